//! What a machine does to a gateway: no file descriptors left, no room for the log.

use std::fs::{self, OpenOptions};
use std::net::SocketAddr;

use anyhow::{Context, Result};
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::process::{GatewayProcess, built_gateway};
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::Recorder;
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::net::TcpStream;

async fn publish(rtmp: SocketAddr) -> Result<Publisher> {
    Publisher::start(rtmp, "live/x", Live::new(Clip::demo()?, Stamps::Video, 0)).await
}

async fn sees_more(viewer: &mut Recorder) -> Result<()> {
    let count = viewer.record.track(Track::Video).count();
    viewer.until(|seen| seen.track(Track::Video).count() >= count + 20).await?;
    assert!(viewer.record.gaps.is_empty());
    Ok(())
}

#[tokio::test]
async fn without_file_descriptors_who_is_here_stays_and_later_others_come() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let gateway = GatewayProcess::start(&built_gateway().await?, folder.path()).await?;
    let _publisher = publish(gateway.rtmp).await?;
    let mut viewers = [
        Recorder::play(gateway.websocket, Transport::Ws, "live/x").await?,
        Recorder::play(gateway.quic, Transport::Quic, "live/x").await?,
    ];
    for viewer in &mut viewers {
        sees_more(viewer).await?;
    }
    let pid = gateway.process.child.id().context("it has ended")?;
    let used = fs::read_dir(format!("/proc/{pid}/fd"))?.count() as u64;
    let process = Pid::from_raw(pid.cast_signed());
    let before = getrlimit(Resource::Nofile);
    prlimit(process, Resource::Nofile, Rlimit { current: Some(used), maximum: before.maximum })?;
    let mut knocking = Vec::new();
    for _ in 0..20 {
        // The kernel answers for it.
        knocking.push(TcpStream::connect(gateway.websocket).await?);
    }
    let cpu = gateway.process.cpu()?;
    for viewer in &mut viewers {
        sees_more(viewer).await?;
    }
    // It does not try again and again.
    let spent = gateway.process.cpu()? - cpu;
    assert!(spent.as_secs_f64() < 1.0, "{spent:?}");
    prlimit(process, Resource::Nofile, before)?;
    let mut newcomer = Recorder::play(gateway.websocket, Transport::Ws, "live/x").await?;
    sees_more(&mut newcomer).await
}

#[tokio::test]
async fn without_room_for_its_log_it_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let full = OpenOptions::new().write(true).open("/dev/full")?;
    let gateway = GatewayProcess::start_with(&built_gateway().await?, folder.path(), |command| {
        command.env("RUST_LOG", "debug").stderr(full);
    })
    .await?;
    let _publisher = publish(gateway.rtmp).await?;
    for transport in [Transport::Ws, Transport::WebTransport] {
        sees_more(&mut Recorder::play(gateway.address(transport), transport, "live/x").await?).await?;
    }
    assert_eq!(gateway.process.terminate().await?, Some(0));
    Ok(())
}
