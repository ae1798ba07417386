//! Many viewers in one process and on one thread.

use std::cell::{Cell, RefCell};
use std::io::BufRead;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use headwater::media::Track;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::{Transport, Watched};
use crate::stamp::{Stamp, monotonic};
use crate::viewer::{Frame, Kind, PATIENCE, Scheme, Seen, Viewer, kind_of};

/// Between two viewers' joining: 200 at once would measure the handshakes of the others.
const STAGGER: Duration = Duration::from_millis(10);
/// How long after the window a frame of the window may come.
const GRACE: Duration = Duration::from_secs(1);

/// What all viewers write to.
struct Tally {
    window: Cell<Option<(Duration, Duration)>>,
    joined: Cell<usize>,
    received: Cell<u64>,
    delay_us: RefCell<Histogram<u64>>,
    join_us: RefCell<Histogram<u64>>,
}

/// Joins `count` viewers, says `ready` on standard output, reads the window (its start and end, ns of the monotonic clock) from
/// standard input, and returns what was seen of it.
///
/// # Errors
/// When a viewer can't join or loses its connection.
pub async fn watch(transport: Transport, server: SocketAddr, stream: &str, count: usize) -> Result<Watched> {
    let histogram = || Histogram::new_with_bounds(1, 60_000_000, 3).map(RefCell::new);
    let tally = Rc::new(Tally {
        window: Cell::new(None),
        joined: Cell::new(0),
        received: Cell::new(0),
        delay_us: histogram()?,
        join_us: histogram()?,
    });
    let local = LocalSet::new();
    let mut viewers = JoinSet::new();
    let watched = async {
        for _ in 0..count {
            viewers.spawn_local(viewer(transport, server, stream.to_owned(), tally.clone()));
            sleep(STAGGER).await;
        }
        let all_joined = async {
            while tally.joined.get() < count {
                match viewers.try_join_next() {
                    Some(ended) => bail!("a viewer ended: {:?}", ended?),
                    None => sleep(STAGGER).await,
                }
            }
            Ok(())
        };
        timeout(PATIENCE, all_joined).await.context("not all viewers could join")??;
        println!("ready");
        let line = tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next()).await?;
        let line = line.context("no window was given")??;
        let (start, end) = line.split_once(' ').context("a window is two numbers")?;
        let (start, end) = (Duration::from_nanos(start.parse()?), Duration::from_nanos(end.parse()?));
        tally.window.set(Some((start, end)));
        tokio::select! {
            Some(ended) = viewers.join_next() => bail!("a viewer ended: {:?}", ended?),
            () = sleep((end + GRACE).saturating_sub(monotonic())) => {}
        }
        Ok(())
    };
    local.run_until(watched).await?;
    let milliseconds =
        |histogram: &RefCell<Histogram<u64>>, quantile| histogram.borrow().value_at_quantile(quantile) as f64 / 1e3;
    Ok(Watched {
        frames_received: tally.received.get(),
        delay_ms_p50: milliseconds(&tally.delay_us, 0.5),
        delay_ms_p99: milliseconds(&tally.delay_us, 0.99),
        join_ms_p50: milliseconds(&tally.join_us, 0.5),
    })
}

async fn viewer(transport: Transport, server: SocketAddr, stream: String, tally: Rc<Tally>) -> Result<()> {
    let start = monotonic();
    let mut joined = false;
    let mut count = |frame: &Frame<'_>| {
        let now = monotonic();
        if !joined && frame.kind == Kind::Key {
            joined = true;
            tally.joined.update(|joined| joined + 1);
            tally.join_us.borrow_mut().saturating_record((now - start).as_micros() as u64);
        }
        let stamp = if frame.track == Track::Video { Stamp::of_video(frame.body) } else { Stamp::of_audio(frame.body) };
        if let (Some((from, to)), Some(stamp)) = (tally.window.get(), stamp)
            && (from..to).contains(&stamp.sent)
        {
            tally.received.update(|received| received + 1);
            tally.delay_us.borrow_mut().saturating_record(now.saturating_sub(stamp.sent).as_micros() as u64);
        }
    };
    match transport {
        Transport::Ws | Transport::Wss => {
            let scheme = if transport.is_encrypted() { Scheme::Tls } else { Scheme::Plain };
            let mut viewer = Viewer::play(server, scheme, &stream).await?;
            loop {
                match viewer.next().await? {
                    Seen::Frame(frame) => count(&frame),
                    Seen::Ended(end) => bail!("{end:?}"),
                    Seen::Status(_) | Seen::Data(_) | Seen::Gap(..) => {}
                }
            }
        }
        Transport::Tcp | Transport::TcpGathered => read_frames(TcpStream::connect(server).await?, count).await,
        Transport::Tls => {
            let socket = TcpStream::connect(server).await?;
            let connector = TlsConnector::from(crate::tls::client()?);
            read_frames(connector.connect(ServerName::try_from("localhost")?, socket).await?, count).await
        }
    }
}

/// Reads a baseline's frames.
async fn read_frames(mut socket: impl AsyncRead + Unpin, mut count: impl FnMut(&Frame<'_>)) -> Result<()> {
    let mut buffer = vec![0; 128 << 10];
    let mut filled = 0;
    loop {
        let read = socket.read(&mut buffer[filled..]).await?;
        ensure!(read > 0, "the server hung up");
        filled += read;
        let mut rest = &buffer[..filled];
        while let Some((length, after)) = rest.split_first_chunk::<4>()
            && let Some((message, after)) = after.split_at_checked(u32::from_be_bytes(*length) as usize)
        {
            let (&kind, body) = (message.first().context("empty")?, message.get(5..).context("short")?);
            let track = if kind == 8 { Track::Audio } else { Track::Video };
            count(&Frame { track, kind: kind_of(track, body), timestamp: 0, body });
            rest = after;
        }
        let left = rest.len();
        buffer.copy_within(filled - left..filled, 0);
        filled = left;
        ensure!(filled < buffer.len(), "a frame larger than the buffer");
    }
}
