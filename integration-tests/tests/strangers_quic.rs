//! Whoever floods the port for everything with handshakes over UDP costs little, and nobody who plays over it notices.

use std::time::Duration;

use anyhow::{Result, ensure};
use integration_tests::stage::{LIMIT, STREAM, Stage, Target, case};
use integration_tests::stranger::quic::{Kind, half_handshakes, hellos};
use integration_tests::transport::Transport;
use integration_tests::viewer::Viewer;
use tokio::net::UdpSocket;
use tokio::time::timeout;

/// Beyond what is answered without a token.
const HELLOS: usize = 500;
const HALF_HANDSHAKES: usize = 400;

/// A first packet of each of many clients, from an address that nobody has shown to be theirs.
async fn says_hello_and_no_more(target: Target) -> Result<()> {
    let hellos = hellos(HELLOS).await?;
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    socket.connect(target.unified).await?;
    let flood = async {
        for hello in &hellos {
            socket.send(hello).await?;
        }
        anyhow::Ok(())
    };
    let count = async {
        let (mut bytes, mut asked_again) = (0, 0);
        let mut packet = [0; 2048];
        loop {
            // The first is waited for, and then for there being no more.
            let patience = if asked_again == 0 { LIMIT } else { Duration::from_millis(500) };
            let Ok(came) = timeout(patience, socket.recv(&mut packet)).await else { return Ok((bytes, asked_again)) };
            let packet = &packet[..came?];
            bytes += packet.len();
            asked_again += usize::from(Kind::of(packet) == Kind::Retry);
        }
    };
    let ((), (bytes, asked_again)) = tokio::try_join!(flood, count)?;
    // Whatever comes faster than it can be looked at is ignored.
    ensure!(asked_again > 0, "nobody was asked to come again");
    let sent = hellos.iter().map(Vec::len).sum::<usize>();
    ensure!(bytes < sent, "{bytes} bytes to somebody who may have been named by a stranger, for {sent}");
    Ok(())
}

/// Handshakes of clients that receive at their address, and never go on.
async fn begins_handshakes_and_does_not_go_on(target: Target) -> Result<()> {
    half_handshakes(target.unified, HALF_HANDSHAKES, HALF_HANDSHAKES).await?;
    // Whoever comes then is served.
    Viewer::play(target.unified, Transport::Quic, STREAM).await?.leave().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn floods_of_handshakes_are_bounded_and_nobody_who_plays_notices() -> Result<()> {
    let stage = Stage::open_over([Transport::Quic, Transport::WebTransport], &[]).await?;
    let cases = [
        case("500 hellos and no more: asked to come again, and forgotten", says_hello_and_no_more).within_mb(16),
        case("400 handshakes that do not go on: bounded, and let go", begins_handshakes_and_does_not_go_on)
            .within_mb(32),
    ];
    stage.one_by_one(cases.into_iter()).await?;
    let counts = stage.close_counting().await?;
    println!("{counts:?}");
    let count = |verdict: &str| counts.get(verdict).copied().unwrap_or_default();
    ensure!(count("silent") + count("no_tls") > 100, "{counts:?}");
    Ok(())
}
