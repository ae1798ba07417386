//! Whoever attacks the port for viewers below RTWebSocket (TLS, HTTP, WebSocket frames) is answered or cut by name, costs
//! little memory, and is noticed by nobody else.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::stage::{Case, Stage, Target, case};
use integration_tests::stranger::websocket::{
    BINARY, CLOSE, CONTINUATION, PING, TEXT, UPGRADE, connect, frame, is_closed_for, is_served, upgraded, upgraded_deaf,
};
use integration_tests::stranger::{Flood, Stranger};
use tokio::time::{MissedTickBehavior, interval};

/// A TLS record of a client's hello, cut off.
const HALF_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3];
/// One byte each.
const SLOW: Duration = Duration::from_millis(50);

fn impatient() -> Vec<Case> {
    let cut = |name, bytes: &'static [u8], reason: &'static str| {
        case(name, move |target: Target| async move {
            let mut stranger = Stranger::connect(target.websocket, &target.log).await?;
            stranger.send(bytes).await?;
            stranger.is_cut_for(reason).await
        })
    };
    vec![
        cut("nothing at all: cut for no first byte in time", b"", "no first byte in time"),
        cut("half a TLS hello: cut for no TLS handshake in time", HALF_HELLO, "no TLS handshake in time"),
        cut("half an HTTP request: cut", b"GET / HTTP/1.1\r\nHo", "connection failed"),
        case("an HTTP request byte by byte: cut", |target| byte_by_byte(target, UPGRADE.as_bytes())),
        case("a request over TLS byte by byte: cut", async |target| {
            let mut stranger = Stranger::connect_tls(target.websocket, &target.log).await?;
            stranger.send(b"GET / HTTP/1.1\r\n").await?;
            stranger.is_cut_for("connection failed").await
        }),
        case("500 connections that say nothing: each cut for no first byte in time", async |target| {
            let mut idle = Vec::new();
            for _ in 0..500 {
                idle.push(Stranger::connect(target.websocket, &target.log).await?);
            }
            for stranger in &mut idle {
                stranger.is_cut_for("no first byte in time").await?;
            }
            Ok(())
        })
        .within_mb(16),
        case("500 WebSockets that say nothing, not even pong: each cut", async |target| {
            let mut idle = Vec::new();
            for _ in 0..500 {
                idle.push(upgraded(&target).await?);
            }
            for stranger in &mut idle {
                stranger.is_cut_for("the peer does not answer").await?;
            }
            Ok(())
        })
        .within_mb(32),
    ]
}

fn greetings() -> Vec<Case> {
    let noise: Vec<u8> = (0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let cut = |name, bytes: Vec<u8>, reason: &'static str| {
        case(name, move |target: Target| {
            let bytes = bytes.clone();
            async move {
                let mut stranger = Stranger::connect(target.websocket, &target.log).await?;
                stranger.send(&bytes).await?;
                stranger.is_cut_for(reason).await
            }
        })
    };
    let told = |name, bytes: Vec<u8>, answer: &'static str| {
        case(name, move |target: Target| {
            let bytes = bytes.clone();
            async move {
                let mut stranger = Stranger::connect(target.websocket, &target.log).await?;
                stranger.send(&bytes).await?;
                stranger.is_told(answer).await
            }
        })
    };
    let request = |head: &str| [head.as_bytes(), b"\r\n\r\n"].concat();
    let upgrade = |from: &str, to: &str| UPGRADE.replace(from, to).into_bytes();
    vec![
        cut("RTMP: cut, on a port for viewers", vec![3; 1537], "nothing that is spoken here"),
        cut("a TLS record that is noise: cut", [&[0x16, 3, 1, 0x40, 0][..], &noise].concat(), "TLS handshake failed"),
        cut("a TLS hello of nothing: cut", vec![0x16, 3, 1, 0, 4, 1, 0, 0, 0], "TLS handshake failed"),
        cut("HTTP, then noise: cut", [b"GET / HTTP/1.1\r\n", &noise[..]].concat(), "connection failed"),
        told("a header of 1 MB: 431", [b"GET / HTTP/1.1\r\nA: ", &[b'a'; 1 << 20][..]].concat(), "HTTP/1.1 431 "),
        told("a path of 1 MB: 431", [b"GET /", &[b'a'; 1 << 20][..]].concat(), "HTTP/1.1 431 "),
        told("1000 header fields: 431", request(&format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(1000))), " 431 "),
        told("a path that leads upwards: 404", request("GET /player/../../etc/passwd HTTP/1.1"), "HTTP/1.1 404 "),
        told("a request of HTTP/9: refused", request("GET / HTTP/9.9"), "HTTP/1.1 400 "),
        told(
            "a body without end: 405",
            [&request("POST / HTTP/1.1\r\nContent-Length: 99999999999"), &noise[..]].concat(),
            " 405 ",
        ),
        told("WebSocket version 12: 426", upgrade("Version: 13", "Version: 12"), "HTTP/1.1 426 "),
        told("a short WebSocket key: 400", upgrade("dGhl", ""), "HTTP/1.1 400 "),
        told("WebSocket over HTTP/1.0: 400", upgrade("HTTP/1.1", "HTTP/1.0"), " 400 "),
        told("WebSocket without Connection: 400", upgrade("Connection: Upgrade", "Connection: close"), " 400 "),
        told("another subprotocol: 400", upgrade("Host: a", "Sec-WebSocket-Protocol: x"), "HTTP/1.1 400 "),
        told("WebSocket of a stream without a name: 404", upgrade("/live", "/ws/live"), "HTTP/1.1 404 "),
        case("1000 requests in one go: each is answered", async |target| {
            let mut stranger = Stranger::connect(target.websocket, &target.log).await?;
            stranger.flood_and_read(b"GET /api/v1/streams HTTP/1.1\r\nHost: a\r\n\r\n", 1000).await?;
            for _ in 0..1000 {
                stranger.is_told("HTTP/1.1 200 ").await?;
            }
            Ok(())
        }),
    ]
}

fn frames() -> Vec<Case> {
    let cut = |name, bytes: Vec<u8>, reason: &'static str| {
        case(name, move |target: Target| {
            let bytes = bytes.clone();
            async move {
                let mut stranger = upgraded(&target).await?;
                stranger.send(&bytes).await?;
                is_closed_for(&mut stranger, 1002, reason).await
            }
        })
    };
    let endless = [frame(BINARY & 0x7f, &[1; 100]), frame(CONTINUATION, &[1; 100]).repeat(1000)].concat();
    let claims = |len: u64| [&[BINARY, 0xff][..], &len.to_be_bytes(), &[0; 4]].concat();
    vec![
        cut("a frame without mask: closed with 1002", vec![BINARY, 1, 0x41], "viewer lost error=the peer misbehaved"),
        cut("a ping in two fragments: closed with 1002", frame(PING & 0x7f, b"half"), "ragmented control frame"),
        cut("a ping of 126 bytes: closed with 1002", frame(PING, &[0; 126]), "ontrol frame too big"),
        cut("an opcode nobody knows: closed with 1002", frame(0x83, b"?"), "pcode"),
        cut("a reserved bit: closed with 1002", frame(BINARY | 0x40, b"?"), "eserved bits"),
        cut("a fragment of nothing: closed with 1002", frame(CONTINUATION, b"?"), "ontinue frame"),
        cut(
            "a message in a message: closed with 1002",
            frame(BINARY & 0x7f, b"?").repeat(2),
            "hile waiting for more fragments",
        ),
        cut(
            "a frame that claims 2^63 bytes: closed with 1002",
            claims(1 << 63),
            "viewer lost error=the peer misbehaved",
        ),
        cut(
            "a frame that claims 64 KiB and 1 byte: closed with 1002",
            claims(65_537),
            "viewer lost error=the peer misbehaved",
        ),
        cut("a message of fragments without end: closed with 1002", endless, "viewer lost error=the peer misbehaved"),
        cut("text that is not UTF-8: closed with 1002", frame(TEXT, &[0xff; 9]), "UTF-8"),
        case("100,000 text messages: ignored", async |target| {
            let mut stranger = upgraded(&target).await?;
            ensure!(stranger.flood(&frame(TEXT, b"hello!"), 100_000).await == Flood::Taken);
            is_served(&mut stranger).await
        }),
        case("100,000 empty fragments of one message: put together", async |target| {
            let mut stranger = upgraded(&target).await?;
            stranger.send(&frame(BINARY & 0x7f, &[])).await?;
            ensure!(stranger.flood(&frame(CONTINUATION, &[]), 100_000).await == Flood::Taken);
            stranger.send(&frame(0x80 | CONTINUATION, &[])).await?;
            is_served(&mut stranger).await
        }),
        case("100,000 WebSocket pings: answered, as far as they are read", async |target| {
            let mut stranger = upgraded(&target).await?;
            stranger.flood_and_read(&frame(PING, b"hey"), 100_000).await?;
            stranger.is_told([0x8a, 3, b'h', b'e', b'y']).await?;
            stranger.forget();
            is_served(&mut stranger).await
        }),
        case("400,000 WebSocket pings, no pong read: only the newest is answered, cut once silent", async |target| {
            let mut stranger = upgraded_deaf(&target).await?;
            ensure!(stranger.flood(&frame(PING, &[b'!'; 125]), 400_000).await == Flood::Taken);
            stranger.is_logged("the peer does not answer").await
        }),
        case("a close code nobody may send: answered with 1002", async |target| {
            let mut stranger = upgraded(&target).await?;
            stranger.send(&frame(CLOSE, &999u16.to_be_bytes())).await?;
            stranger.is_told([CLOSE]).await?;
            stranger.is_cut().await.map(drop)
        }),
        case("frames behind a close: nothing comes of them", async |target| {
            let mut stranger = upgraded(&target).await?;
            stranger.send(&[frame(CLOSE, &1000u16.to_be_bytes()), connect()?].concat()).await?;
            let told = stranger.is_cut().await?;
            ensure!(told == [CLOSE, 2, 0x03, 0xe8], "{told:02x?}");
            Ok(())
        }),
        case("a frame byte by byte: read", async |target| {
            let mut stranger = upgraded(&target).await?;
            for byte in connect()? {
                stranger.send(&[byte]).await?;
            }
            stranger.is_told("NetConnection.Connect.Success").await
        }),
        case("gone in the middle of a frame: let go", async |target| {
            let mut stranger = upgraded(&target).await?;
            stranger.send(&frame(BINARY, &[0; 1000])[..500]).await?;
            stranger.finish().await?;
            stranger.is_cut_for("viewer left").await
        }),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_on_the_viewers_port_are_answered_or_cut_and_nobody_else_notices() -> Result<()> {
    let stage = Stage::open().await?;
    stage.one_by_one(greetings().into_iter().chain(frames())).await?;
    stage.all_at_once(&impatient()).await?;
    stage.close().await
}

async fn byte_by_byte(target: Target, bytes: &[u8]) -> Result<()> {
    let mut stranger = Stranger::connect(target.websocket, &target.log).await?;
    let mut tick = interval(SLOW);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let address = stranger.address();
    let send = async {
        for byte in bytes {
            tick.tick().await;
            stranger.send(&[*byte]).await?;
        }
        anyhow::bail!("it takes them all")
    };
    tokio::select! {
        sent = send => sent,
        said = target.log.says(address, "connection failed") => said,
    }
}
