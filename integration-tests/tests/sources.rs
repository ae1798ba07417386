//! Paths that are another server's: pulled while somebody watches.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use headwater::media::Track;
use integration_tests::gateway::{Running, gateway_with};
use integration_tests::origin::Origin;
use integration_tests::transport::Transport;
use integration_tests::viewer::{PATIENCE, Recorder};
use serde_json::json;
use tokio::task::yield_now;
use tokio::time::timeout;

const ANY_PORT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);

async fn gateway_before(origin: &Origin) -> Result<Running> {
    let paths = json!([{"path": "live/*", "url": format!("rtmp://{}/origin/*", origin.address)}]);
    let sources = serde_json::from_value(json!({"paths": paths, "grace": "200ms", "max": 1}))?;
    gateway_with(|config| config.sources = sources).await
}

async fn play(gateway: &Running) -> Result<Recorder> {
    Recorder::play(gateway.websocket, Transport::Ws, "live/x").await
}

async fn becomes(origin: &Origin, players: usize) -> Result<()> {
    let waiting = async {
        while origin.players() != players {
            yield_now().await;
        }
    };
    timeout(PATIENCE, waiting).await.with_context(|| format!("it does not come to {players} players"))
}

#[tokio::test]
async fn a_path_is_pulled_for_its_first_viewer_and_let_go_after_its_last() -> Result<()> {
    let origin = Origin::start(ANY_PORT).await?;
    let gateway = gateway_before(&origin).await?;
    assert_eq!(origin.players(), 0);
    let mut first = play(&gateway).await?;
    first.until(|seen| seen.track(Track::Video).count() >= 20 && seen.track(Track::Audio).count() >= 20).await?;
    let mut second = play(&gateway).await?;
    second.until(|seen| seen.track(Track::Video).count() >= 20).await?;
    assert_eq!(origin.players(), 1);
    drop((first, second));
    becomes(&origin, 0).await
}

#[tokio::test]
async fn no_more_paths_are_pulled_than_may_be_until_one_is_let_go() -> Result<()> {
    let origin = Origin::start(ANY_PORT).await?;
    let gateway = gateway_before(&origin).await?;
    let mut first = play(&gateway).await?;
    first.until(|seen| seen.track(Track::Video).count() >= 1).await?;
    let mut second = Recorder::play(gateway.websocket, Transport::Ws, "live/y").await?;
    second.until(|seen| seen.has_status("NetStream.Play.Start")).await?;
    first.until(|seen| seen.track(Track::Video).count() >= 20).await?;
    assert_eq!((origin.players(), second.record.frames.len()), (1, 0));
    drop(first);
    second.until(|seen| seen.track(Track::Video).count() >= 1).await?;
    Ok(())
}

#[tokio::test]
async fn viewers_stay_while_the_other_server_is_restarted() -> Result<()> {
    let origin = Origin::start(ANY_PORT).await?;
    let gateway = gateway_before(&origin).await?;
    let mut viewer = play(&gateway).await?;
    viewer.until(|seen| seen.track(Track::Video).count() >= 20).await?;
    let address = origin.address;
    origin.kill().await;
    let origin = timeout(Duration::from_secs(10), async {
        loop {
            if let Ok(origin) = Origin::start(address).await {
                return origin;
            }
            yield_now().await;
        }
    });
    let _origin = origin.await?;
    let before = viewer.until(|_| true).await?.track(Track::Video).count();
    viewer.until(|seen| seen.track(Track::Video).count() >= before + 60).await?;
    Ok(())
}
