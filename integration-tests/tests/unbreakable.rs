//! What a machine does to a gateway: no file descriptors left, no room for the log or for certificates, no memory, the end of
//! the process.

use std::fs::{self, OpenOptions, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use headwater::media::Track;
use integration_tests::certificate::CertificateFiles;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::ffmpeg::{Ffmpeg, demo_clip};
use integration_tests::operator::{ask, figures_when};
use integration_tests::process::{GatewayProcess, built_gateway};
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::{End, PATIENCE, Record, Recorder, Seen, Viewer};
use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit};
use tokio::io::{AsyncBufRead, AsyncBufReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::net::unix::pipe;
use tokio::process::ChildStderr;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

async fn publish(rtmp: SocketAddr) -> Result<Publisher> {
    Publisher::start(rtmp, "live/x", Live::new(Clip::demo()?, Stamps::Video, 0)).await
}

async fn sees_more(viewer: &mut Recorder) -> Result<()> {
    let count = viewer.record.track(Track::Video).count();
    viewer.until(|seen| seen.track(Track::Video).count() >= count + 20).await?;
    assert!(viewer.record.gaps.is_empty());
    Ok(())
}

/// The log of a gateway whose standard error is a pipe.
fn log(gateway: &mut GatewayProcess) -> Result<Lines<BufReader<ChildStderr>>> {
    Ok(BufReader::new(gateway.process.child.stderr.take().context("no pipe")?).lines())
}

async fn says(log: &mut Lines<impl AsyncBufRead + Unpin>, words: &str) -> Result<()> {
    let reading = async {
        while let Some(line) = log.next_line().await? {
            if line.contains(words) {
                return Ok(());
            }
        }
        anyhow::bail!("it ended without saying {words}")
    };
    timeout(PATIENCE, reading).await.with_context(|| format!("it does not say {words}"))?
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
    let (cpu, began) = (gateway.process.cpu()?, Instant::now());
    for viewer in &mut viewers {
        sees_more(viewer).await?;
    }
    // It does not try again and again, which would take all of a core.
    let (spent, took) = (gateway.process.cpu()? - cpu, began.elapsed());
    assert!(spent < took / 2, "{spent:?} in {took:?}");
    prlimit(process, Resource::Nofile, before)?;
    let mut newcomer = Recorder::play(gateway.websocket, Transport::Ws, "live/x").await?;
    sees_more(&mut newcomer).await
}

#[tokio::test]
async fn without_room_or_a_reader_for_its_log_it_goes_on() -> Result<()> {
    let full = || OpenOptions::new().write(true).open("/dev/full").map(Stdio::from);
    let closed = || io::pipe().map(|(_, writer)| Stdio::from(writer));
    for (output, errors) in [(full()?, full()?), (closed()?, closed()?)] {
        let folder = tempfile::tempdir()?;
        let gateway = GatewayProcess::start_with(&built_gateway().await?, folder.path(), |command| {
            command.env("RUST_LOG", "debug").stdout(output).stderr(errors);
        })
        .await?;
        let _publisher = publish(gateway.rtmp).await?;
        for transport in [Transport::Ws, Transport::WebTransport] {
            sees_more(&mut Recorder::play(gateway.address(transport), transport, "live/x").await?).await?;
        }
        assert_eq!(gateway.process.terminate().await?, Some(0));
    }
    Ok(())
}

#[tokio::test]
async fn a_reader_of_the_log_who_stands_still_stops_nobody_and_is_told_what_is_lost() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (reader, writer) = io::pipe()?;
    let gateway = GatewayProcess::start_with(&built_gateway().await?, folder.path(), |command| {
        command.env("RUST_LOG", "headwater=debug").stderr(writer);
    })
    .await?;
    let _publisher = publish(gateway.rtmp).await?;
    let mut viewers = [
        Recorder::play(gateway.websocket, Transport::Ws, "live/x").await?,
        Recorder::play(gateway.quic, Transport::Quic, "live/x").await?,
    ];
    let lost = |line: &str| line.strip_prefix("headwater_log_lines_lost_total ").is_some_and(|count| count != "0");
    let mut strangers = 0;
    while !figures_when(gateway.admin, |_| true).await?.lines().any(lost) {
        ensure!(strangers < 100_000, "the log takes it all");
        for _ in 0..500 {
            // It ends before it has said anything, and the log has that.
            TcpStream::connect(gateway.rtmp).await?.set_zero_linger()?;
        }
        strangers += 500;
    }
    for viewer in &mut viewers {
        sees_more(viewer).await?;
    }
    let mut log = BufReader::new(pipe::Receiver::from_owned_fd(reader.into())?).lines();
    says(&mut log, "lines of the log are lost").await?;
    drop(viewers);
    says(&mut log, "viewer left").await?;
    assert_eq!(gateway.process.terminate().await?, Some(0));
    says(&mut log, "stopped").await
}

#[tokio::test]
async fn without_room_for_files_its_certificate_is_in_memory() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let script = folder.path().join("without-room");
    let binary = built_gateway().await?;
    fs::write(&script, format!("#!/bin/sh\ntrap '' XFSZ\nulimit -f 0\nexec {} \"$@\"\n", binary.display()))?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    let mut gateway = GatewayProcess::start_with(&script, folder.path(), |command| {
        command.stderr(Stdio::piped());
    })
    .await?;
    says(&mut log(&mut gateway)?, "kept in memory only").await?;
    assert_eq!(fs::read_dir(folder.path().join("certs"))?.count(), 0, "what is half written is left behind");
    let _publisher = publish(gateway.rtmp).await?;
    for transport in [Transport::Wss, Transport::WebTransport] {
        sees_more(&mut Recorder::play(gateway.address(transport), transport, "live/x").await?).await?;
    }
    assert_eq!(gateway.process.terminate().await?, Some(0));
    Ok(())
}

#[tokio::test]
async fn a_certificate_that_a_full_disk_has_cut_off_is_not_taken() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let files = CertificateFiles::make(folder.path())?;
    let mut gateway = GatewayProcess::start_with(&built_gateway().await?, folder.path(), |command| {
        let [certificate, key] = files.settings();
        command.args(["--set", &certificate, "--set", &key]).stderr(Stdio::piped());
    })
    .await?;
    let mut log = log(&mut gateway)?;
    let _publisher = publish(gateway.rtmp).await?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Wss, "live/x").await?;
    fs::write(&files.certificate, "")?;
    says(&mut log, "the one before stays in use").await?;
    sees_more(&mut viewer).await?;
    sees_more(&mut Recorder::play(gateway.quic, Transport::Quic, "live/x").await?).await
}

#[tokio::test]
async fn without_memory_newcomers_are_refused_who_is_here_stays_and_a_publisher_may_return() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("h.yml");
    fs::write(&file, "")?;
    let gateway = GatewayProcess::start_with(&built_gateway().await?, folder.path(), |command| {
        command.arg("--config").arg(&file);
    })
    .await?;
    let publisher = publish(gateway.rtmp).await?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, "live/x").await?;
    sees_more(&mut viewer).await?;
    fs::write(&file, format!("limits: {{node: {{memory: {} KiB}}}}\n", gateway.process.rss_kb()? * 9 / 10))?;
    assert!(ask(gateway.admin, "POST", "/api/v1/reload").await?.status().is_success());
    let mut newcomer = Recorder::play(gateway.quic, Transport::Quic, "live/x").await?;
    let seen = newcomer.until(|seen| seen.end.is_some()).await?;
    // Try again later: RFC 6455, §7.4.1 and its registry.
    assert_eq!((seen.end, seen.frames.len()), (Some(End::Closed(Some(1013))), 0));
    sees_more(&mut viewer).await?;
    drop(publisher);
    let _publisher = publish(gateway.rtmp).await?;
    viewer.record = Record::default();
    sees_more(&mut viewer).await?;
    fs::write(&file, "")?;
    assert!(ask(gateway.admin, "POST", "/api/v1/reload").await?.status().is_success());
    sees_more(&mut Recorder::play(gateway.quic, Transport::Quic, "live/x").await?).await
}

/// How long a client waits between two attempts, and a viewer for its next picture.
const PAUSE: Duration = Duration::from_millis(100);
const SILENCE: Duration = Duration::from_millis(500);
/// What FFmpeg publishes, started again whenever it ends.
const FFMPEG: &str = "live/ffmpeg";

async fn publish_again_and_again(rtmp: SocketAddr) {
    loop {
        if let Ok(publisher) = publish(rtmp).await {
            publisher.ended().await.ok();
        }
        sleep(PAUSE).await;
    }
}

async fn publish_again_and_again_with_ffmpeg(rtmp: SocketAddr) {
    loop {
        if let Ok(ffmpeg) = Ffmpeg::copy(rtmp, FFMPEG, &demo_clip()) {
            ffmpeg.end().await.ok();
        }
        sleep(PAUSE).await;
    }
}

async fn watch_again_and_again(
    server: SocketAddr,
    transport: Transport,
    stream: &'static str,
    pictures: watch::Sender<usize>,
) {
    loop {
        let Ok(Ok(mut viewer)) = timeout(SILENCE, Viewer::play(server, transport, stream)).await else {
            sleep(PAUSE).await;
            continue;
        };
        loop {
            match timeout(SILENCE, viewer.next()).await {
                Ok(Ok(Seen::Frame(frame))) if frame.track == Track::Video => pictures.send_modify(|count| *count += 1),
                Ok(Ok(Seen::Ended(_)) | Err(_)) | Err(_) => break,
                Ok(Ok(_)) => {}
            }
        }
    }
}

#[tokio::test]
async fn after_a_kill_everybody_is_back_within_two_seconds_of_the_listener() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut gateway = GatewayProcess::start(&built_gateway().await?, folder.path()).await?;
    let mut clients = JoinSet::new();
    clients.spawn(publish_again_and_again(gateway.rtmp));
    clients.spawn(publish_again_and_again_with_ffmpeg(gateway.rtmp));
    let mut pictures = Vec::new();
    let viewers = Transport::ALL.map(|transport| (transport, "live/x"));
    for (transport, stream) in viewers.into_iter().chain([(Transport::Ws, FFMPEG)]) {
        let (sender, receiver) = watch::channel(0);
        clients.spawn(watch_again_and_again(gateway.address(transport), transport, stream, sender));
        pictures.push((format!("{stream} over {transport}"), receiver));
    }
    for (viewer, pictures) in &mut pictures {
        timeout(PATIENCE, pictures.wait_for(|count| *count > 20)).await.with_context(|| viewer.clone())??;
    }
    gateway.kill_and_restart().await?;
    let listening = Instant::now();
    for (viewer, pictures) in &mut pictures {
        let before = *pictures.borrow();
        timeout(PATIENCE, pictures.wait_for(|count| *count > before)).await.with_context(|| viewer.clone())??;
        let back = listening.elapsed();
        ensure!(back < Duration::from_secs(2), "{viewer}: {back:?}");
    }
    Ok(())
}
