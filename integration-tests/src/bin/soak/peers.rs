//! Who uses the gateway: viewers that stay, publishers that come and go, travellers whose network is cut, strangers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::link::{Conditions, Link};
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::{Seen, Viewer};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// What healthy viewers and travellers saw.
#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) frames: AtomicU64,
    pub(crate) lost: AtomicU64,
    /// How often a traveller's network was cut.
    pub(crate) cuts: AtomicU64,
    /// The longest that a viewer then needed from its next attempt to its first picture, in milliseconds.
    pub(crate) longest_return: AtomicU64,
}

/// What a stranger sends, over TCP to any port: nothing, half of a request, noise, half of an RTMP handshake.
pub(crate) const STRANGE: [&[u8]; 5] =
    [b"", b"GET /live HTTP/1.1\r\nHost: x\r\n", &[0xff; 4000], &[3; 900], &[0x16, 3, 1, 2, 0, 1]];

/// How long a dead line is kept: longer than the gateway waits for whoever says nothing.
const DEAD: Duration = Duration::from_secs(12);

/// How long a traveller waits for a picture.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) async fn publish(rtmp: SocketAddr, stream: &str) -> Result<Publisher> {
    Publisher::start(rtmp, stream, live()?).await
}

fn live() -> Result<Live> {
    Ok(Live::new(Clip::demo()?, Stamps::Video, 0))
}

/// Watches for ever, and counts.
pub(crate) async fn watch(server: SocketAddr, transport: Transport, stream: String, counts: Arc<Counts>) -> Result<()> {
    let mut viewer = Viewer::play(server, transport, &stream).await?;
    loop {
        match viewer.next().await? {
            Seen::Frame(_) => {
                counts.frames.fetch_add(1, Ordering::Relaxed);
            }
            Seen::Gap(_, messages) => {
                counts.lost.fetch_add(messages, Ordering::Relaxed);
            }
            Seen::Ended(end) => bail!("{transport:?} viewer of {stream}: {end:?}"),
            Seen::Packaged(_) | Seen::Status(_) | Seen::Data(_) => {}
        }
    }
}

/// Publishes for some seconds, is killed or stops in order, and comes again; somebody watches each time.
pub(crate) async fn come_and_go(rtmp: SocketAddr, websocket: SocketAddr, stream: String) -> Result<()> {
    for turn in 0.. {
        let publisher = publish(rtmp, &stream).await?;
        let viewer = Viewer::play(websocket, Transport::Ws, &stream).await?;
        sleep(Duration::from_secs(2 + turn % 5)).await;
        if turn % 2 == 0 {
            publisher.kill().await;
        } else {
            publisher.stop().await?;
        }
        drop(viewer);
    }
    Ok(())
}

/// Watches over a line that is cut again and again, with an end or without a word, and comes again over another.
pub(crate) async fn travel(
    server: SocketAddr,
    transport: Transport,
    stream: String,
    between_cuts: Duration,
    counts: Arc<Counts>,
) -> Result<()> {
    for turn in 0.. {
        let link = Link::under(transport, server, Conditions::default(), turn + 1).await?;
        let begun = Instant::now();
        let mut viewer = timeout(PATIENCE, Viewer::play(link.address(), transport, &stream)).await??;
        let first = timeout(PATIENCE, picture(&mut viewer)).await;
        first.with_context(|| format!("no picture for a traveller over {transport}"))??;
        counts.longest_return.fetch_max(begun.elapsed().as_millis() as u64, Ordering::Relaxed);
        if let Ok(ended) = timeout(between_cuts, watch_on(&mut viewer)).await {
            ended.with_context(|| format!("a traveller over {transport}, before its line was cut"))?;
        }
        counts.cuts.fetch_add(1, Ordering::Relaxed);
        if turn % 2 == 0 {
            drop(link);
        } else {
            link.set(Conditions { dead: true, ..Conditions::default() });
            tokio::spawn(async move {
                sleep(DEAD).await;
                drop((viewer, link));
            });
        }
    }
    Ok(())
}

async fn watch_on(viewer: &mut Viewer) -> Result<()> {
    loop {
        picture(viewer).await?;
    }
}

async fn picture(viewer: &mut Viewer) -> Result<()> {
    loop {
        match viewer.next().await? {
            Seen::Frame(frame) if frame.track == Track::Video => return Ok(()),
            Seen::Ended(end) => bail!("{end:?}"),
            _ => {}
        }
    }
}

/// Publishes over a line that is cut again and again, by a reset or without a word, and goes on over another.
pub(crate) async fn publish_from_afar(
    rtmp: SocketAddr,
    stream: String,
    between_cuts: Duration,
    counts: Arc<Counts>,
) -> Result<()> {
    for turn in 0.. {
        counts.cuts.fetch_add(1, Ordering::Relaxed);
        if turn % 2 == 0 {
            let socket = TcpStream::connect(rtmp).await?;
            socket.set_zero_linger()?;
            let publisher = Publisher::start_over(socket, rtmp, &stream, live()?).await?;
            sleep(between_cuts).await;
            publisher.kill().await;
        } else {
            let link = Link::to(rtmp, Conditions::default(), turn).await?;
            let publisher = publish(link.address(), &stream).await?;
            sleep(between_cuts).await;
            link.set(Conditions { dead: true, ..Conditions::default() });
            tokio::spawn(async move {
                sleep(DEAD).await;
                drop((publisher, link));
            });
        }
    }
    Ok(())
}

/// Sends bytes, stays for a while, and is gone without a word.
pub(crate) async fn trouble(server: SocketAddr, bytes: &[u8]) {
    if let Ok(mut socket) = TcpStream::connect(server).await {
        // It may be cut off meanwhile, which is right.
        socket.write_all(bytes).await.ok();
        sleep(Duration::from_secs(3)).await;
    }
}
