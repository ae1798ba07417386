//! Whoever attacks the port for everything is told apart and let go at every stage, costs little memory, is counted, and is
//! noticed by nobody else.

use anyhow::{Result, ensure};
use integration_tests::stage::{Case, Stage, Target, case};
use integration_tests::stranger::Stranger;
use integration_tests::stranger::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, GET, HEADERS, PING, SETTINGS, WEBSOCKET, cancel, frame, get, preface,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// A TLS record of a client's hello, cut off.
const HALF_HELLO: &[u8] = &[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 1, 2, 3];
const HALF_HEAD: &[u8] = b"GET / HTTP/1.1\r\nHo";

/// In the clear, in TLS that has agreed upon nothing, or upon this.
#[derive(Clone, Copy)]
enum In {
    Clear,
    Tls,
    Agreed(&'static [u8]),
}

async fn stranger(target: &Target, within: In) -> Result<Stranger> {
    match within {
        In::Clear => Stranger::connect(target.unified, &target.log).await,
        In::Tls => Stranger::connect_tls(target.unified, &target.log).await,
        In::Agreed(name) => Stranger::connect_tls_offering(target.unified, &[name], &target.log).await,
    }
}

/// Sends `bytes`, no more, and is cut.
fn cut(name: &'static str, within: In, bytes: impl Into<Vec<u8>>, reason: &'static str) -> Case {
    let bytes = bytes.into();
    case(name, move |target: Target| {
        let bytes = bytes.clone();
        async move {
            let mut stranger = stranger(&target, within).await?;
            stranger.send(&bytes).await?;
            stranger.is_cut_for(reason).await
        }
    })
}

/// Sends `bytes`, no more, and is cut without a reason worth noting.
fn let_go(name: &'static str, within: In, bytes: impl Into<Vec<u8>>) -> Case {
    let bytes = bytes.into();
    case(name, move |target: Target| {
        let bytes = bytes.clone();
        async move {
            let mut stranger = stranger(&target, within).await?;
            stranger.send(&bytes).await?;
            stranger.is_cut().await.map(drop)
        }
    })
}

/// Sends `bytes` and is told.
fn told(name: &'static str, within: In, bytes: impl Into<Vec<u8>>, answer: impl Into<Vec<u8>>) -> Case {
    let (bytes, answer) = (bytes.into(), answer.into());
    case(name, move |target: Target| {
        let (bytes, answer) = (bytes.clone(), answer.clone());
        async move {
            let mut stranger = stranger(&target, within).await?;
            stranger.send(&bytes).await?;
            stranger.is_told(answer).await
        }
    })
}

fn impatient() -> Vec<Case> {
    const HTTP2: In = In::Agreed(b"h2");
    let half_head = frame(HEADERS, END_STREAM, 1, GET);
    vec![
        cut("nothing at all", In::Clear, [], "no first byte in time"),
        cut("half a TLS hello", In::Clear, HALF_HELLO, "no TLS handshake in time"),
        cut("half a request", In::Clear, HALF_HEAD, "connection failed"),
        cut("half an RTMP handshake", In::Clear, [3; 700], "no handshake in time"),
        cut("TLS, then nothing", In::Tls, [], "no first byte inside TLS in time"),
        cut("half a request inside TLS", In::Tls, HALF_HEAD, "connection failed"),
        cut("half an RTMP handshake inside TLS", In::Tls, [3; 700], "no handshake in time"),
        let_go("http/1.1, then nothing", In::Agreed(b"http/1.1"), []),
        let_go("h2, then nothing", HTTP2, []),
        let_go("half of HTTP/2's preface", HTTP2, &preface()[..9]),
        let_go("HTTP/2, then no request", HTTP2, preface()),
        let_go("HTTP/2, then a head without end", HTTP2, [preface(), half_head].concat()),
    ]
}

fn greetings() -> Vec<Case> {
    let noise: Vec<u8> = (0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let after = |head: &[u8]| [head, &noise].concat();
    let long_head = |head: &str| [head.as_bytes(), b"GET / HTTP/1.1\r\nA: ", &[b'a'; 1 << 20]].concat();
    vec![
        cut("a byte that begins nothing", In::Clear, after(&[0x80]), "nothing that is spoken here"),
        cut("the version of RTMPE", In::Clear, vec![6; 1537], "nothing that is spoken here"),
        cut("a TLS record that is noise", In::Clear, after(&[0x16, 3, 1, 0x40, 0]), "TLS handshake failed"),
        cut("noise after RTMP's version", In::Clear, [&[3; 1537][..], &noise].concat(), "connection ended"),
        cut("noise inside TLS", In::Tls, after(&[0x80]), "nothing that is spoken here, inside TLS"),
        cut("TLS inside TLS", In::Tls, HALF_HELLO, "nothing that is spoken here, inside TLS"),
        cut("HTTP/2's preface where HTTP/1.1 is spoken", In::Clear, preface(), "connection failed"),
        cut(
            "HTTP/1.1 where HTTP/2 was agreed upon",
            In::Agreed(b"h2"),
            after(b"GET / HTTP/1.1\r\n"),
            "connection failed",
        ),
        cut("RTMP where HTTP/1.1 was agreed upon", In::Agreed(b"http/1.1"), vec![3; 1537], "connection failed"),
        told("a header of 1 MB: 431", In::Clear, long_head(""), "HTTP/1.1 431 "),
        told("a header of 1 MB inside TLS: 431", In::Tls, long_head(""), "HTTP/1.1 431 "),
        told("no name to be sent to: 400", In::Clear, "GET / HTTP/1.1\r\nHost: \r\n\r\n", "HTTP/1.1 400 "),
        told(
            "WebSocket in the clear from elsewhere: 308",
            In::Clear,
            "GET /live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
            "HTTP/1.1 308 ",
        ),
    ]
}

fn http2() -> Vec<Case> {
    const HTTP2: In = In::Agreed(b"h2");
    let begun = |more: Vec<u8>| [preface(), more].concat();
    let settings = frame(SETTINGS, 0, 0, &[0, 3, 0, 0, 0, 9]);
    vec![
        cut("a header of 1 MB over HTTP/2: cut", HTTP2, begun(endless_head(64)), "connection failed"),
        told(
            "more than 16 KB of header over HTTP/2: 431",
            HTTP2,
            begun(
                [frame(HEADERS, END_STREAM, 1, GET), large_field().repeat(2), frame(CONTINUATION, END_HEADERS, 1, &[])]
                    .concat(),
            ),
            // The status, in HPACK's Huffman code.
            [0x83, 0x69, 0x90, 0xff],
        ),
        cut("a frame of 16 MB: cut", HTTP2, begun(vec![0xff, 0xff, 0xff, DATA, 0, 0, 0, 0, 1]), "connection failed"),
        cut("data nobody asked for: cut", HTTP2, begun(frame(DATA, 0, 1, b"?")), "connection failed"),
        case("WebSocket over HTTP/2: not offered, refused", |target: Target| async move {
            let mut stranger = stranger(&target, HTTP2).await?;
            stranger.send(&begun_with(frame(HEADERS, END_HEADERS, 1, WEBSOCKET))).await?;
            // The stream is reset, for a protocol error.
            stranger.is_told(frame(3, 0, 1, &[0, 0, 0, 1])).await
        }),
        case("100,000 requests taken back at once: cut", |target: Target| async move {
            let mut stranger = stranger(&target, HTTP2).await?;
            let requests = (0..100_000).flat_map(|n| [get(2 * n + 1), cancel(2 * n + 1)].concat());
            stranger.send(&begun_with(requests.collect())).await?;
            stranger.is_cut_for("connection failed").await
        })
        .within_mb(16),
        case("requests taken back one at a time: cut", |target: Target| async move {
            let mut stranger = stranger(&target, HTTP2).await?;
            // A window of nothing: no answer can be given.
            stranger.send(&begun_with(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]))).await?;
            for n in 0..1000 {
                stranger.send(&get(2 * n + 1)).await?;
                tokio::task::yield_now().await;
                stranger.send(&cancel(2 * n + 1)).await?;
            }
            stranger.is_cut().await.map(drop)
        }),
        case("100,000 pings: answered, as far as they are read", |target: Target| async move {
            let mut stranger = stranger(&target, HTTP2).await?;
            stranger.send(&preface()).await?;
            stranger.flood_and_read(&frame(PING, 0, 0, b"whatever"), 100_000).await?;
            stranger.is_told(frame(PING, 1, 0, b"whatever")).await
        })
        .within_mb(16),
        case("100,000 settings: bounded", move |target: Target| {
            let settings = settings.clone();
            async move {
                let mut stranger = stranger(&target, HTTP2).await?;
                stranger.send(&preface()).await?;
                stranger.flood(&settings, 100_000).await;
                Ok(())
            }
        })
        .within_mb(16),
    ]
}

fn begun_with(more: Vec<u8>) -> Vec<u8> {
    [preface(), more].concat()
}

/// A head that goes on for this many frames of 16 KB.
fn endless_head(frames: usize) -> Vec<u8> {
    [frame(HEADERS, END_STREAM, 1, GET), large_field().repeat(frames)].concat()
}

/// A CONTINUATION with fields of 16 KB.
fn large_field() -> Vec<u8> {
    let field = [&b"\x00\x01a\x7f\x81\x3e"[..], &[b'a'; 8064]].concat();
    frame(CONTINUATION, 0, 1, &field.repeat(2))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_on_the_port_for_everything_are_answered_or_cut_and_nobody_else_notices() -> Result<()> {
    let stage = Stage::open().await?;
    stage.one_by_one(greetings().into_iter().chain(http2())).await?;
    stage.all_at_once(&impatient()).await?;
    let counts = stage.close_counting().await?;
    let count = |verdict: &str| counts.get(verdict).copied().unwrap_or_default();
    ensure!((count("silent"), count("unknown"), count("no_tls")) == (3, 4, 1), "{counts:?}");
    Ok(())
}

/// Connections of every kind that go no further. Some are beyond `limits.connections`.
async fn half_open(target: Target) -> Result<()> {
    let mut idle = Vec::new();
    for n in 0..10_000 {
        let mut socket = TcpStream::connect(target.unified).await?;
        // Those beyond the limit are cut already.
        socket.write_all([&[], HALF_HELLO, HALF_HEAD, &[3; 700]][n % 4]).await.ok();
        idle.push(socket);
    }
    let mut inside = JoinSet::new();
    for _ in 0..50 {
        let target = target.clone();
        inside.spawn(async move { Stranger::connect_tls(target.unified, &target.log).await });
    }
    inside.join_all().await;
    for mut socket in idle {
        socket.read_to_end(&mut Vec::new()).await.ok();
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_connections_that_are_half_open_are_let_go_and_counted() -> Result<()> {
    let settings = ["limits.connections=9000", "limits.header_timeout=20s", "rtmp.limits.handshake_timeout=20s"];
    let stage = Stage::open_with(&settings).await?;
    let attack = case("10,000 connections, each half open: let go in time", half_open).within_mb(128);
    stage.all_at_once(&[attack]).await?;
    let counts = stage.close_counting().await?;
    println!("{counts:?}");
    let count = |verdict: &str| counts.get(verdict).copied().unwrap_or_default();
    let half = count("silent") + count("http") + count("rtmp");
    ensure!(half > 8000 && count("refused") > 1000, "{counts:?}");
    Ok(())
}
