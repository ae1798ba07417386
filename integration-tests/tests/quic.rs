//! Viewers over native QUIC: they play, and whatever they do or leave undone, what they took is given back.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater::media::Track;
use headwater::server::detect::Verdict;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::compare::{decodable_from_the_start, unbroken};
use integration_tests::gateway::{gateway, gateway_with};
use integration_tests::process::{GatewayProcess, built_gateway};
use integration_tests::publisher::Publisher;
use integration_tests::tls;
use integration_tests::transport::Transport;
use integration_tests::viewer::{PATIENCE, Recorder};
use quinn::crypto::rustls::QuicClientConfig;
use quinn::{Connection, ConnectionError, Endpoint};
use tokio::runtime;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

const NATIVE: &[u8] = b"headwater/1";

async fn every_frame_arrives(port: impl FnOnce(&integration_tests::gateway::Running) -> SocketAddr) -> Result<()> {
    let gateway = gateway().await?;
    let live = Live::new(Clip::demo()?, Stamps::Video, 0);
    let publisher = Publisher::start(gateway.rtmp, "live/quic", live).await?;
    let mut viewer = Recorder::play(port(&gateway), Transport::Quic, "live/quic").await?;
    viewer.until(|seen| seen.track(Track::Video).count() >= 90 && seen.track(Track::Audio).count() >= 120).await?;
    let sent = publisher.log().all();
    let seen = viewer.leave().await?;
    decodable_from_the_start(&seen)?;
    assert_eq!(seen.gaps, []);
    assert_eq!(unbroken(&sent, &seen, Track::Video)?, unbroken(&sent, &seen, Track::Audio)?);
    publisher.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn every_frame_arrives_over_native_quic() -> Result<()> {
    every_frame_arrives(|gateway| gateway.quic).await
}

#[tokio::test]
async fn every_frame_arrives_over_the_one_port() -> Result<()> {
    every_frame_arrives(|gateway| gateway.unified).await
}

#[tokio::test]
async fn who_offers_nothing_that_is_spoken_here_is_refused_and_counted() -> Result<()> {
    let gateway = gateway().await?;
    // A reserved name that stands for those of the future (RFC 8701), and one of another port's.
    for offered in [&[0x0a, 0x0a][..], b"h3"] {
        let refused = connect(gateway.quic, offered).await.expect_err("nothing to agree upon");
        // The alert no_application_protocol (RFC 9001 §4.8, RFC 7301 §3.2).
        let Some(ConnectionError::ConnectionClosed(close)) = refused.downcast_ref() else { return Err(refused) };
        assert_eq!(u64::from(close.error_code), 0x100 + 120);
    }
    gateway.has_counted(Verdict::NoTls, 2).await?;
    gateway.stop().await
}

#[tokio::test]
async fn a_viewer_that_leaves_or_vanishes_is_gone() -> Result<()> {
    let gateway = gateway_with(|config| config.quic.connection.idle_timeout = Duration::from_secs(1)).await?;
    let live = Live::new(Clip::demo()?, Stamps::Video, 0);
    let publisher = Publisher::start(gateway.rtmp, "live/gone", live).await?;
    let mut viewer = Recorder::play(gateway.quic, Transport::Quic, "live/gone").await?;
    viewer.until(|seen| seen.track(Track::Video).count() >= 5).await?;
    gateway.has_viewers(1).await?;
    viewer.leave().await?;
    gateway.has_viewers(0).await?;

    let server = gateway.quic;
    let runtime = spawn_blocking(move || {
        let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async {
            let mut viewer = Recorder::play(server, Transport::Quic, "live/gone").await?;
            viewer.until(|seen| seen.track(Track::Video).count() >= 5).await?;
            anyhow::Ok(())
        })?;
        // Nothing is said any more: whoever would say it does not run.
        anyhow::Ok(runtime)
    })
    .await??;
    gateway.has_viewers(1).await?;
    gateway.has_viewers(0).await?;
    runtime.shutdown_background();
    publisher.stop().await?;
    gateway.stop().await
}

#[tokio::test]
async fn a_client_opens_only_so_many_streams_and_none_both_ways() -> Result<()> {
    let gateway = gateway().await?;
    let (connection, _endpoint) = connect(gateway.quic, NATIVE).await?;
    let mut opened = Vec::new();
    while let Ok(stream) = timeout(Duration::from_millis(200), connection.open_uni()).await {
        opened.push(stream?);
        ensure!(opened.len() <= 16, "more than a player needs");
    }
    assert!(timeout(Duration::from_millis(200), connection.open_bi()).await.is_err());
    gateway.stop().await
}

#[tokio::test]
async fn a_client_s_bytes_that_are_no_lanes_close_the_connection_with_the_reason() -> Result<()> {
    let gateway = gateway().await?;
    let (connection, _endpoint) = connect(gateway.quic, NATIVE).await?;
    let mut control = connection.open_uni().await?;
    // The control lane, and the close of a flow that was never opened.
    control.write_all(&[0, 4, 0x1c, 9, 0, 0]).await?;
    let closed = timeout(PATIENCE, connection.closed()).await.context("it stays open")?;
    let ConnectionError::ApplicationClosed(close) = closed else { return Err(closed.into()) };
    assert_eq!(u64::from(close.error_code), 1002, "{close}");
    gateway.stop().await
}

#[tokio::test]
async fn shutdown_tells_viewers_over_quic() -> Result<()> {
    let gateway = gateway().await?;
    let (connection, _endpoint) = connect(gateway.quic, NATIVE).await?;
    // It is served once the gateway has opened a lane.
    connection.accept_uni().await?;
    gateway.stop().await?;
    let closed = timeout(PATIENCE, connection.closed()).await.context("it stays open")?;
    let ConnectionError::ApplicationClosed(close) = closed else { return Err(closed.into()) };
    assert_eq!(u64::from(close.error_code), 1001);
    Ok(())
}

#[tokio::test]
async fn after_a_kill_the_next_gateway_tells_clients_of_the_one_before() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut gateway = GatewayProcess::start(&built_gateway().await?, folder.path()).await?;
    let native = connect(gateway.quic, NATIVE).await?;
    let unified = connect(gateway.unified, NATIVE).await?;
    for (connection, _) in [&native, &unified] {
        connection.accept_uni().await?;
    }
    gateway.kill_and_restart().await?;
    for (connection, _) in [&native, &unified] {
        connection.open_uni().await?.write_all(&[0, 4]).await?;
        // By word, not by silence (RFC 9000 §10.3).
        assert_eq!(timeout(PATIENCE, connection.closed()).await?, ConnectionError::Reset);
    }
    Ok(())
}

async fn connect(server: SocketAddr, protocol: &[u8]) -> Result<(Connection, Endpoint)> {
    let tls = Arc::unwrap_or_clone(tls::client_offering(&[protocol])?);
    let mut endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)));
    Ok((endpoint.connect(server, "localhost")?.await?, endpoint))
}
