//! Whoever attacks HTTP/3 and WebTransport is answered or let go, costs little memory, and is noticed by nobody else.

use std::net::UdpSocket;

use anyhow::{Context, Result, ensure};
use integration_tests::stage::{Case, LIMIT, Stage, Target, case};
use integration_tests::stranger::http3::{
    DATA, GREASE, HEADERS, Http3, SETTINGS, frame, headers, quic, read_frame, session_code, varint,
};
use quinn::{ReadError, ReadToEndError, VarInt};
use tokio::time::timeout;

/// HTTP/3's codes.
const NO_ERROR: u64 = 0x100;
const STREAM_CREATION_ERROR: u64 = 0x103;
const CLOSED_CRITICAL_STREAM: u64 = 0x104;
const FRAME_UNEXPECTED: u64 = 0x105;
const EXCESSIVE_LOAD: u64 = 0x107;
const ID_ERROR: u64 = 0x108;
const MISSING_SETTINGS: u64 = 0x10a;
const REQUEST_INCOMPLETE: u64 = 0x10d;
const MESSAGE_ERROR: u64 = 0x10e;
const DECOMPRESSION_FAILED: u64 = 0x200;

fn claim(kind: u64, len: u64) -> Vec<u8> {
    [varint(kind), varint(len)].concat()
}

/// Sends `bytes` as a request, and is told.
fn told(name: &'static str, bytes: Vec<u8>, answer: &'static str) -> Case {
    case(name, move |target: Target| {
        let bytes = bytes.clone();
        async move {
            let client = Http3::connect(target.unified).await?;
            let (mut send, mut recv) = client.connection.open_bi().await?;
            // It may be stopped in the middle of it.
            send.write_all(&bytes).await.ok();
            let (kind, told) = timeout(LIMIT, read_frame(&mut recv)).await.context("no answer")??;
            ensure!(kind == HEADERS && told.windows(3).any(|three| three == answer.as_bytes()), "{told:?}");
            is_served(&client).await
        }
    })
}

/// Sends `bytes` as a request, which is reset; the connection goes on.
fn reset(name: &'static str, bytes: Vec<u8>, code: u64) -> Case {
    case(name, move |target: Target| {
        let bytes = bytes.clone();
        async move {
            let client = Http3::connect(target.unified).await?;
            let (mut send, mut recv) = client.connection.open_bi().await?;
            send.write_all(&bytes).await.ok();
            let told = timeout(LIMIT, recv.read_to_end(1000)).await.context("nothing comes")?;
            ensure!(told == Err(ReadToEndError::Read(ReadError::Reset(VarInt::from_u64(code)?))), "{told:?}");
            is_served(&client).await
        }
    })
}

/// Sends `bytes` as a request, for which the connection is closed.
fn closed(name: &'static str, bytes: Vec<u8>, code: u64) -> Case {
    case(name, move |target: Target| {
        let bytes = bytes.clone();
        async move {
            let client = Http3::connect(target.unified).await?;
            let (mut send, _recv) = client.connection.open_bi().await?;
            send.write_all(&bytes).await.ok();
            is_closed_with(&client, code).await
        }
    })
}

/// Opens a stream one way with `bytes`, for which the connection is closed.
fn closed_one_way(name: &'static str, bytes: Vec<u8>, code: u64) -> Case {
    case(name, move |target: Target| {
        let bytes = bytes.clone();
        async move {
            let client = Http3::connect(target.unified).await?;
            let mut send = client.connection.open_uni().await?;
            send.write_all(&bytes).await.ok();
            is_closed_with(&client, code).await
        }
    })
}

async fn is_closed_with(client: &Http3, code: u64) -> Result<()> {
    let told = client.is_closed().await?;
    ensure!(told == code, "closed with {told:#x}");
    Ok(())
}

async fn is_served(client: &Http3) -> Result<()> {
    let answer = client.get("/api/v1/streams").await?;
    ensure!(answer.windows(9).any(|window| window == b"\"streams\""), "not served");
    Ok(())
}

fn requests() -> Vec<Case> {
    const GET: [(&str, &str); 3] = [(":method", "GET"), (":scheme", "https"), (":path", "/")];
    let many: Vec<(&str, &str)> = GET.into_iter().chain([("a", "b"); 1000]).collect();
    let section = |bytes: &[u8]| frame(HEADERS, bytes);
    vec![
        told("a header of 1 MB: 431", [claim(HEADERS, 1 << 20), vec![b'a'; 1 << 20]].concat(), "431"),
        told("1000 header fields: 431", headers(&many), "431"),
        told(
            "a field of 20 kB in a code: 431",
            section(&[&[0, 0, 0x21, b'a', 0xff, 0xff, 0x7f][..], &[0; 16510]].concat()),
            "431",
        ),
        told("an unknown frame without end: 431", claim(GREASE, 1 << 60), "431"),
        told(
            "a body without end: 405",
            [headers(&[(":method", "POST"), GET[1], GET[2]]), claim(DATA, 1 << 60), vec![7; 9000]].concat(),
            "405",
        ),
        told("CONNECT to a host: 501", headers(&[(":method", "CONNECT"), (":authority", "a:1")]), "501"),
        reset("a request without a path: reset", headers(&GET[..1]), MESSAGE_ERROR),
        reset(
            "a request for a stream both ways of no session: reset",
            [varint(0x41), varint(96)].concat(),
            session_code(3),
        ),
        reset("half a request: reset", headers(&GET)[..5].to_vec(), REQUEST_INCOMPLETE),
        reset("no request at all: reset", vec![0x01], REQUEST_INCOMPLETE),
        closed("a body before its header: closed", frame(DATA, b"?"), FRAME_UNEXPECTED),
        closed("settings in a request: closed", frame(SETTINGS, &[]), FRAME_UNEXPECTED),
        closed("a reference to a table that was not offered: closed", section(&[0, 0, 0x80]), DECOMPRESSION_FAILED),
        closed(
            "a code that is none: closed",
            section(&[0, 0, 0x51, 0x84, 0xff, 0xff, 0xff, 0xff]),
            DECOMPRESSION_FAILED,
        ),
    ]
}

fn streams() -> Vec<Case> {
    vec![
        closed_one_way("a second control stream: closed", vec![0], STREAM_CREATION_ERROR),
        closed_one_way("a push: closed", vec![1], STREAM_CREATION_ERROR),
        closed_one_way("a lane of what can't be a session: closed", [varint(0x54), vec![3]].concat(), ID_ERROR),
        closed_one_way("compression without end: closed", [vec![2], vec![0; 300 << 10]].concat(), EXCESSIVE_LOAD),
        case("a control stream that ends: closed", async |target: Target| {
            let (connection, _endpoint) = quic(target.unified).await?;
            let mut control = connection.open_uni().await?;
            control.write_all(&[&[0][..], &frame(SETTINGS, &[])].concat()).await?;
            control.finish()?;
            has_closed(&connection, CLOSED_CRITICAL_STREAM).await
        }),
        case("a control stream without settings: closed", async |target: Target| {
            let (connection, _endpoint) = quic(target.unified).await?;
            let mut control = connection.open_uni().await?;
            control.write_all(&[&[0][..], &frame(GREASE, b"?")].concat()).await?;
            has_closed(&connection, MISSING_SETTINGS).await
        }),
        case("a frame without end on a control stream: closed", async |target: Target| {
            let (connection, _endpoint) = quic(target.unified).await?;
            let mut control = connection.open_uni().await?;
            control.write_all(&[&[0][..], &frame(SETTINGS, &[]), &claim(GREASE, 1 << 60)].concat()).await?;
            has_closed(&connection, EXCESSIVE_LOAD).await
        }),
    ]
}

fn sessions() -> Vec<Case> {
    vec![
        case("an endless capsule: the session and the connection are closed", async |target: Target| {
            let client = Http3::connect(target.unified).await?;
            let mut session = client.session("/wt/live").await?;
            session.send.write_all(&[claim(DATA, 1 << 61), claim(0x17, 1 << 60)].concat()).await?;
            is_closed_with(&client, NO_ERROR).await
        }),
        case("100,000 capsules that mean nothing: closed", async |target: Target| {
            let client = Http3::connect(target.unified).await?;
            let mut session = client.session("/wt/live").await?;
            session.send.write_all(&frame(DATA, &frame(0x17, b"?")).repeat(100_000)).await.ok();
            is_closed_with(&client, NO_ERROR).await
        }),
        case("20,000 lanes that are opened and reset at once: no harm", async |target: Target| {
            let client = Http3::connect(target.unified).await?;
            let session = client.session("/wt/live").await?;
            for _ in 0..20_000 {
                // It may be let go for it, or not.
                let Ok(mut lane) = client.lane(session.id, &[1]).await else { return Ok(()) };
                lane.reset(VarInt::from_u32(0)).ok();
            }
            Ok(())
        }),
        case("2000 lanes of a session that never begins: stopped", async |target: Target| {
            let client = Http3::connect(target.unified).await?;
            let mut held = Vec::new();
            for _ in 0..2000 {
                let opened = timeout(std::time::Duration::from_millis(300), client.lane(400, &[1])).await;
                // As many as may be open wait; there is no credit for more.
                let Ok(Ok(lane)) = opened else { break };
                held.push(lane);
            }
            ensure!(held.len() < 100, "{} lanes are open", held.len());
            is_closed_with(&client, NO_ERROR).await
        }),
        case("100,000 datagrams in a session: ignored", async |target: Target| {
            let client = Http3::connect(target.unified).await?;
            let _session = client.session("/wt/live").await?;
            for _ in 0..100_000 {
                client.connection.send_datagram_wait(vec![0; 1000].into()).await?;
            }
            is_served(&client).await
        })
        // What has come and was not decrypted yet waits in quinn, as much as a client may have in flight.
        .within_mb(64),
        case("an answer that nobody reads: no more is kept than one window", async |target: Target| {
            let client = Http3::connect(target.unified).await?;
            let fields = [(":method", "GET"), (":scheme", "https"), (":path", "/player/index.js")];
            let mut unread = Vec::new();
            for _ in 0..16 {
                unread.push(client.request(&fields).await?);
            }
            target.stream_goes_on(10).await
        }),
    ]
}

fn impatient() -> Vec<Case> {
    vec![
        case("200 connections that ask for nothing: closed", async |target: Target| {
            let mut idle = Vec::new();
            for _ in 0..200 {
                idle.push(Http3::connect(target.unified).await?);
            }
            for client in &idle {
                is_closed_with(client, NO_ERROR).await?;
            }
            Ok(())
        })
        .within_mb(64),
        case("100,000 datagrams of noise: others are served", async |target: Target| {
            let socket = UdpSocket::bind("127.0.0.1:0")?;
            let noise: Vec<u8> = (0..1400u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
            for round in 0..100_000usize {
                let mut datagram = noise[round % 200..].to_vec();
                // Half of them claim to begin a connection.
                if round % 2 == 0 {
                    datagram[..6].copy_from_slice(&[0xc0, 0, 0, 0, 1, 8]);
                }
                socket.send_to(&datagram, target.unified).ok();
                if round % 1000 == 0 {
                    tokio::task::yield_now().await;
                }
            }
            is_served(&Http3::connect(target.unified).await?).await
        })
        .within_mb(16),
    ]
}

async fn has_closed(connection: &quinn::Connection, code: u64) -> Result<()> {
    match timeout(LIMIT, connection.closed()).await.context("not closed")? {
        quinn::ConnectionError::ApplicationClosed(close) if close.error_code.into_inner() == code => Ok(()),
        other => Err(other).context("closed otherwise"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_over_http3_are_answered_or_let_go_and_nobody_else_notices() -> Result<()> {
    let stage = Stage::open().await?;
    stage.one_by_one(requests().into_iter().chain(streams()).chain(sessions())).await?;
    stage.all_at_once(&impatient()).await?;
    stage.close().await
}
