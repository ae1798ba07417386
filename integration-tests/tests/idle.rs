//! Who neither publishes nor views does not stay; who waits for a publisher does.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use integration_tests::gateway::gateway_with;
use integration_tests::operator::figures_when;
use integration_tests::over_each_transport;
use integration_tests::transport::Transport;
use integration_tests::viewer::{End, PATIENCE, Seen, Viewer};
use tokio::time::timeout;

over_each_transport!(whoever_does_nothing_is_told_and_whoever_waits_stays);

async fn whoever_does_nothing_is_told_and_whoever_waits_stays(transport: Transport) -> Result<()> {
    let gateway = gateway_with(|config| config.limits.idle_timeout = Duration::from_millis(500)).await?;
    let mut waiting = Viewer::play(gateway.address(transport), transport, "live/later").await?;
    // No stream has such a name, so nothing is viewed.
    let mut idle = Viewer::play(gateway.address(transport), transport, "live/").await?;
    let end = async {
        loop {
            if let Seen::Ended(end) = idle.next().await? {
                return Ok::<_, anyhow::Error>(end);
            }
        }
    };
    let end = timeout(PATIENCE, end).await.context("it stays")??;
    // Normal closure: RFC 6455, §7.4.1.
    assert_eq!(end, End::Closed(Some(1000)));
    let ended = "headwater_viewers_ended_total{reason=\"idle\"} 1";
    let figures = figures_when(gateway.admin, |figures| figures.contains(ended)).await?;
    ensure!(figures.contains(ended), "{figures}");
    // It came before the other one, and is answered.
    waiting.time().await?;
    gateway.stop().await
}
