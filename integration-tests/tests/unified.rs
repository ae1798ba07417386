//! One port for everything over TCP: whatever comes is told apart, and served.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use headwater::media::Track;
use headwater::server::detect::Verdict;
use hyper::Version;
use integration_tests::compare::decodable_from_the_start;
use integration_tests::ffmpeg::{Ffmpeg, demo_clip};
use integration_tests::gateway::{Running, gateway};
use integration_tests::pages::{GREASE, connect, over_http1, over_http2};
use integration_tests::transport::Transport;
use integration_tests::viewer::{PATIENCE, Recorder};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// A request in the clear, and all that is answered to it.
async fn in_the_clear(server: SocketAddr, path: &str, host: &str) -> Result<String> {
    ask(TcpStream::connect(server).await?, path, host).await
}

async fn ask(mut socket: impl AsyncRead + AsyncWrite + Unpin, path: &str, host: &str) -> Result<String> {
    socket.write_all(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").as_bytes()).await?;
    let mut answer = Vec::new();
    timeout(PATIENCE, socket.read_to_end(&mut answer)).await??;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn plays(gateway: &Running, server: SocketAddr, transport: Transport, stream: &str) -> Result<()> {
    let mut viewer = Recorder::play(server, transport, stream).await?;
    let seen = viewer
        .until(|seen| seen.track(Track::Video).count() >= 60 && seen.track(Track::Audio).count() >= 90)
        .await
        .with_context(|| format!("{stream}, so far {}", gateway.verdicts))?;
    decodable_from_the_start(seen)
}

#[tokio::test]
async fn ffmpeg_publishes_over_rtmp_and_rtmps_and_viewers_play_over_ws_and_wss() -> Result<()> {
    let gateway = gateway().await?;
    let port = gateway.unified;
    let clip = demo_clip();
    let arguments = ["-re", "-stream_loop", "-1", "-i", clip.to_str().context("UTF-8")?, "-c", "copy"];
    let _plain = Ffmpeg::publish_to(&format!("rtmp://{port}/live/plain"), arguments)?;
    let _secret = Ffmpeg::publish_to(&format!("rtmps://{port}/live/secret"), arguments)?;
    tokio::try_join!(
        plays(&gateway, port, Transport::Wss, "live/plain"),
        plays(&gateway, port, Transport::Wss, "live/secret"),
        plays(&gateway, port, Transport::Ws, "live/secret"),
    )?;
    for (verdict, count) in [(Verdict::Rtmp, 1), (Verdict::Rtmps, 1), (Verdict::Https, 2), (Verdict::Http, 1)] {
        assert_eq!(gateway.verdicts.of(verdict), count, "{verdict:?} of {}", gateway.verdicts);
    }
    gateway.stop().await
}

#[tokio::test]
async fn the_pages_are_the_same_over_http1_and_http2() -> Result<()> {
    let gateway = gateway().await?;
    for path in ["/", "/watch/live/demo", "/player/transports.json", "/api/v1/streams", "/nothing"] {
        let (old, new) = tokio::try_join!(over_http1(gateway.unified, path), over_http2(gateway.unified, path))?;
        assert_eq!((old.1, new.1), (Version::HTTP_11, Version::HTTP_2));
        assert_eq!((old.0, &old.2), (new.0, &new.2), "{path}");
        assert_eq!(old.0.is_success(), path != "/nothing");
    }
    assert_eq!(gateway.verdicts.of(Verdict::Http2), 5);
    gateway.stop().await
}

#[tokio::test]
async fn https_says_that_there_is_http3_on_the_same_port() -> Result<()> {
    let gateway = gateway().await?;
    let announcement = format!("alt-svc: h3=\":{}\"; ma=3600\r\n", gateway.unified.port());
    let page = ask(connect(gateway.unified, &[b"http/1.1"]).await?, "/", "example.org").await?;
    assert!(page.contains(&announcement), "{page}");
    let page = ask(connect(gateway.websocket, &[b"http/1.1"]).await?, "/", "example.org").await?;
    assert!(page.starts_with("HTTP/1.1 200 ") && !page.contains("alt-svc"), "{page}");
    gateway.stop().await
}

#[tokio::test]
async fn in_the_clear_localhost_is_served_and_any_other_name_is_sent_to_https() -> Result<()> {
    let gateway = gateway().await?;
    let port = gateway.unified.port();
    let page = in_the_clear(gateway.unified, "/", &format!("localhost:{port}")).await?;
    assert!(page.starts_with("HTTP/1.1 200 ") && page.contains("</html>"), "{page}");
    let moved = in_the_clear(gateway.unified, "/watch/live/a?b", &format!("example.org:{port}")).await?;
    assert!(moved.starts_with("HTTP/1.1 308 "), "{moved}");
    assert!(moved.contains(&format!("location: https://example.org:{port}/watch/live/a?b\r\n")), "{moved}");
    // The port for WebSocket takes any name.
    let page = in_the_clear(gateway.websocket, "/", "example.org").await?;
    assert!(page.starts_with("HTTP/1.1 200 "), "{page}");
    gateway.stop().await
}

#[tokio::test]
async fn only_names_that_mean_nothing_here_end_in_no_tls() -> Result<()> {
    let gateway = gateway().await?;
    let error = connect(gateway.unified, &[GREASE, b"spdy/3"]).await.err().context("agreed upon nothing")?;
    assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    gateway.has_counted(Verdict::NoTls, 1).await?;
    gateway.stop().await
}
