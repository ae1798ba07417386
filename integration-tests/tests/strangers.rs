//! Whatever strangers send, on any port: they are let go, and nobody else notices.

use std::net::SocketAddr;

use anyhow::Result;
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::compare::unbroken;
use integration_tests::gateway::gateway;
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::{PATIENCE, Recorder};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

const UPGRADE: &str = "GET /live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

/// What strangers send, by its name.
fn garbage() -> Vec<(&'static str, Vec<u8>)> {
    let noise: Vec<u8> = (0..20_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let after = |head: &[u8], tail: &[u8]| [head, tail].concat();
    let rtmp_handshake = after(&[3], &[0; 2 * 1536]);
    let frame = |payload: &[u8]| after(&[0x82, 0x80 | payload.len() as u8, 0, 0, 0, 0], payload);
    let upgraded = |payload: &[u8]| after(UPGRADE.as_bytes(), payload);
    vec![
        ("nothing", Vec::new()),
        ("noise", noise.clone()),
        ("zeros", vec![0; 20_000]),
        ("an endless HTTP line", after(b"GET /", &[b'a'; 200_000])),
        ("HTTP, then noise", after(b"GET / HTTP/1.1\r\n", &noise)),
        ("a TLS hello that is noise", after(&[0x16, 3, 1, 0x40, 0], &noise)),
        ("an RTMP handshake, then noise", after(&rtmp_handshake, &noise)),
        ("an RTMP message of 16 MB", after(&rtmp_handshake, &[3, 0, 0, 0, 0xff, 0xff, 0xff, 20, 0, 0, 0, 0, 2, 0])),
        ("an RTMP chunk size of 0", after(&rtmp_handshake, &[2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("AMF0 nested without end", after(&rtmp_handshake, &deep_amf0())),
        ("an upgrade, then noise", upgraded(&noise)),
        (
            "a WebSocket message without an end",
            upgraded(&[0x82, 0xff, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        ),
        ("a truncated integer", upgraded(&frame(&[0x10, 0x80]))),
        ("data on an unknown flow", upgraded(&frame(&[0x1d, 9, 1]))),
        ("an acknowledgement of nothing", upgraded(&frame(&[0x5a, 9, 1, 1]))),
        ("a flow of no kind", upgraded(&frame(&[0x10, 0, 1, 2, 3]))),
    ]
}

/// A command in one 60 kB chunk: arrays in arrays.
fn deep_amf0() -> Vec<u8> {
    let arrays = [10, 0, 0, 0, 1].repeat(12_000);
    let chunk_size = [2, 0, 0, 0, 0, 0, 4, 1, 0, 0, 0, 0, 0, 1, 0, 0];
    [&chunk_size[..], &[3, 0, 0, 0, 0, 0xea, 0x60, 20, 0, 0, 0, 0], &arrays].concat()
}

/// Sends it, says no more, and reads until it is let go.
async fn stranger(server: SocketAddr, bytes: &[u8]) -> Result<()> {
    let mut socket = TcpStream::connect(server).await?;
    let talk = async {
        // Either may fail: whoever sends this may be cut off in the middle of it.
        if socket.write_all(bytes).await.is_ok() && socket.shutdown().await.is_ok() {
            socket.read_to_end(&mut Vec::new()).await.ok();
        }
    };
    Ok(timeout(PATIENCE, talk).await?)
}

#[tokio::test]
async fn garbage_on_any_port_hurts_nobody_else() -> Result<()> {
    let gateway = gateway().await?;
    let live = Live::new(Clip::demo()?, Stamps::Video, 0);
    let publisher = Publisher::start(gateway.rtmp, "live/calm", live).await?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Wss, "live/calm").await?;
    let mut calm = 20;
    viewer.until(|seen| seen.track(Track::Video).count() >= calm).await?;
    for port in [gateway.rtmp, gateway.websocket] {
        for (name, bytes) in garbage() {
            stranger(port, &bytes).await.map_err(|error| error.context(name))?;
            calm += 1;
            viewer.until(|seen| seen.track(Track::Video).count() >= calm).await.map_err(|error| error.context(name))?;
        }
    }
    let seen = viewer.leave().await?;
    let sent = publisher.log().all();
    for track in [Track::Video, Track::Audio] {
        unbroken(&sent, &seen, track)?;
    }
    publisher.stop().await?;
    gateway.stop().await
}
