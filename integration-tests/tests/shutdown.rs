//! The program ends as asked, with everybody told.

use anyhow::Result;
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::process::{GatewayProcess, built_gateway};
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::{End, Recorder};

async fn sigterm_ends_it_in_order(transport: Transport) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let GatewayProcess { mut process, rtmp, websocket, .. } =
        GatewayProcess::start(&built_gateway().await?, folder.path()).await?;
    let live = Live::new(Clip::demo()?, Stamps::Video, 0);
    let _publisher = Publisher::start(rtmp, "live/end", live).await?;
    let mut viewer = Recorder::play(websocket, transport, "live/end").await?;
    viewer.until(|seen| seen.track(Track::Video).count() >= 10).await?;

    process.ask_to_end()?;
    let seen = viewer.until(|seen| seen.end.is_some()).await?;
    // 1001: going away.
    assert_eq!(seen.end, Some(End::Closed(Some(1001))));
    drop(viewer);
    assert_eq!(process.end().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn sigterm_says_good_bye_over_ws_and_exits_0() -> Result<()> {
    sigterm_ends_it_in_order(Transport::Ws).await
}

#[tokio::test]
async fn sigterm_says_good_bye_over_wss_and_exits_0() -> Result<()> {
    sigterm_ends_it_in_order(Transport::Wss).await
}
