//! Connections over UDP move with their viewers from address to address, and miss nothing.

use anyhow::Result;
use headwater::media::Track;
use integration_tests::carrier::Dialer;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::compare::unbroken;
use integration_tests::gateway::{Running, gateway};
use integration_tests::link::{Conditions, Link};
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::Recorder;

/// Plays, lets the viewer's address change several times, and goes on playing.
async fn moves(
    gateway: &Running,
    transport: Transport,
    mut viewer: Recorder,
    mut change: impl FnMut(u32) -> Result<()>,
) -> Result<()> {
    let live = Live::new(Clip::demo()?, Stamps::Video, 0);
    let publisher = Publisher::start(gateway.rtmp, "live/moves", live).await?;
    for n in 1..=3 {
        viewer.until(|seen| seen.track(Track::Video).count() >= 30 * n as usize).await?;
        change(n)?;
    }
    viewer.until(|seen| seen.track(Track::Video).count() >= 150).await?;
    gateway.has_viewers(1).await?;
    let sent = publisher.log().all();
    let seen = viewer.leave().await?;
    assert_eq!(seen.gaps, [], "over {transport}");
    for track in [Track::Video, Track::Audio] {
        unbroken(&sent, &seen, track)?;
    }
    publisher.stop().await
}

#[tokio::test]
async fn a_viewer_that_goes_on_from_another_socket_misses_nothing() -> Result<()> {
    let gateway = gateway().await?;
    let dialer = Dialer::new(Transport::Quic)?;
    let viewer = Recorder::play_by(&dialer, gateway.quic, "live/moves").await?;
    moves(&gateway, Transport::Quic, viewer, |_| dialer.rebind()).await?;
    gateway.stop().await
}

#[tokio::test]
async fn a_viewer_whose_address_changes_on_the_way_misses_nothing() -> Result<()> {
    for transport in [Transport::Quic, Transport::WebTransport] {
        let gateway = gateway().await?;
        let link = Link::under(transport, gateway.address(transport), Conditions::default(), 1).await?;
        let viewer = Recorder::play(link.address(), transport, "live/moves").await?;
        let change = |network| {
            link.set(Conditions { network, ..Conditions::default() });
            Ok(())
        };
        moves(&gateway, transport, viewer, change).await?;
        gateway.stop().await?;
    }
    Ok(())
}
