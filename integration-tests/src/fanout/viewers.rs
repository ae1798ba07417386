//! Many viewers in one process and on one thread.

use std::cell::{Cell, RefCell};
use std::io::BufRead;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use hdrhistogram::Histogram;
use headwater::delivery::Format;
use headwater::media::{MESSAGE_HEADER_LEN, Track};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::net::TcpStream;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsConnector;

use super::{Baseline, FirstKey, Rival, Stall, Stalled, Subject, Watched, rival};
use crate::bundle;
use crate::carrier::Dialer;
use crate::fragment::Fragment;
use crate::stamp::{Stamp, monotonic};
use crate::tlv::{self, Dialect, Message};
use crate::transport::Transport;
use crate::viewer::{Frame, Kind, PATIENCE, Seen, Viewer, kind_of};

/// Between two viewers' joining: 200 at once would measure the handshakes of the others.
const STAGGER: Duration = Duration::from_millis(10);
/// Viewers over QUIC that share a socket: all of a key frame for each of them has to fit into what the kernel holds for it, or
/// what is measured is the overflow. Elsewhere viewers have sockets of their own.
const VIEWERS_A_SOCKET: usize = 25;
/// How long after the window a frame of the window may come.
const GRACE: Duration = Duration::from_secs(1);

/// What all viewers write to.
struct Tally {
    window: Cell<Option<(Duration, Duration)>>,
    joined: Cell<usize>,
    /// Nobody publishes: whoever is let in has joined.
    idle: bool,
    received: Cell<u64>,
    bytes: Cell<u64>,
    delay_us: RefCell<Histogram<u64>>,
    join_us: RefCell<Histogram<u64>>,
    stall: Cell<Option<Stall>>,
    before_us: RefCell<Histogram<u64>>,
    during_us: RefCell<Histogram<u64>>,
    /// Of each that stalled, as it goes.
    catching_up: RefCell<Vec<CatchingUp>>,
}

/// How all of them connect.
#[derive(Clone)]
enum Way {
    Gateway(Dialer),
    Flowless(Dialect),
    Rival(Rival),
    Baseline(Baseline),
    BareQuic(quinn::Endpoint),
}

/// A frame that has come.
#[derive(Clone, Copy)]
struct Arrival {
    /// A video frame that starts a group.
    is_key: bool,
    stamp: Option<Stamp>,
    /// Bytes of its message; of a segment's frames, the first has all.
    len: usize,
}

/// What a viewer got when it read again.
#[derive(Clone, Copy, Default)]
struct CatchingUp {
    stale_bytes: u64,
    first_key: Option<FirstKey>,
}

/// Joins `count` viewers, who have joined when they see a key frame, or at once where nobody publishes (`idle`), says `ready` on standard output, reads the window (its start and end, ns of the monotonic clock; then
/// those of the stall, if the first `stalled` viewers are to stop reading) from standard input, and says what was seen of it, a
/// line of JSON. The viewers go on until standard input ends.
///
/// # Errors
/// When a viewer can't join or loses its connection.
pub async fn watch(
    subject: Subject,
    server: SocketAddr,
    stream: &str,
    (count, stalled): (usize, usize),
    idle: bool,
) -> Result<()> {
    let histogram = || Histogram::new_with_bounds(1, 60_000_000, 3).map(RefCell::new);
    let tally = Rc::new(Tally {
        window: Cell::new(None),
        joined: Cell::new(0),
        idle,
        received: Cell::new(0),
        bytes: Cell::new(0),
        delay_us: histogram()?,
        join_us: histogram()?,
        stall: Cell::new(None),
        before_us: histogram()?,
        during_us: histogram()?,
        catching_up: RefCell::new(vec![CatchingUp::default(); stalled]),
    });
    // Of the others the path or the port says it.
    let query = match subject {
        Subject::Gateway(Transport::WebTransport, _) | Subject::Gateway(_, Format::Raw) => "",
        Subject::Gateway(_, Format::Fmp4) => "format=fmp4",
        Subject::Flowless(_) | Subject::Rival(_) | Subject::Baseline(_) => "",
    };
    let stream = match (stream.contains('?'), query) {
        (_, "") => stream.to_owned(),
        (true, query) => format!("{stream}&{query}"),
        (false, query) => format!("{stream}?{query}"),
    };
    let local = LocalSet::new();
    let mut viewers = JoinSet::new();
    let watched = async {
        let mut way = Way::new(subject)?;
        for n in 0..count {
            if n % VIEWERS_A_SOCKET == 0 && n > 0 {
                way = Way::new(subject)?;
            }
            viewers.spawn_local(viewer(way.clone(), server, stream.clone(), (n < stalled).then_some(n), tally.clone()));
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
        let line = next_line().await?.context("no window was given")?;
        let times: Vec<u64> = line.split(' ').map(str::parse).collect::<Result<_, _>>()?;
        let times: Vec<_> = times.into_iter().map(Duration::from_nanos).collect();
        let (&[start, end], stall) = times.split_first_chunk().context("a window is two numbers")?;
        if let &[from, to] = stall {
            tally.stall.set(Some(Stall { from, to }));
        }
        tally.window.set(Some((start, end)));
        tokio::select! {
            Some(ended) = viewers.join_next() => bail!("a viewer ended: {:?}", ended?),
            () = sleep((end + GRACE).saturating_sub(monotonic())) => {}
        }
        println!("{}", serde_json::to_string(&tally.watched())?);
        while next_line().await?.is_some() {}
        Ok(())
    };
    local.run_until(watched).await
}

/// A line of standard input, if there is another.
async fn next_line() -> Result<Option<String>> {
    Ok(tokio::task::spawn_blocking(|| std::io::stdin().lock().lines().next()).await?.transpose()?)
}

impl Way {
    fn new(subject: Subject) -> Result<Self> {
        Ok(match subject {
            Subject::Gateway(transport, format) => Self::Gateway(Dialer::for_format(transport, format)?),
            Subject::Flowless(dialect) => Self::Flowless(dialect),
            Subject::Rival(rival) => Self::Rival(rival),
            Subject::Baseline(Baseline::Quic | Baseline::QuicGroups) => Self::BareQuic(bundle::quic_endpoint()?),
            Subject::Baseline(baseline) => Self::Baseline(baseline),
        })
    }
}

impl Tally {
    fn admitted(&self) {
        if self.idle {
            self.joined.update(|joined| joined + 1);
        }
    }

    fn watched(&self) -> Watched {
        let milliseconds =
            |histogram: &RefCell<Histogram<u64>>, quantile| histogram.borrow().value_at_quantile(quantile) as f64 / 1e3;
        Watched {
            frames_received: self.received.get(),
            bytes_received: self.bytes.get(),
            delay_ms_p50: milliseconds(&self.delay_us, 0.5),
            delay_ms_p99: milliseconds(&self.delay_us, 0.99),
            join_ms_p50: milliseconds(&self.join_us, 0.5),
            stalled: self.stall.get().map(|_| {
                let viewers = self.catching_up.borrow();
                Stalled {
                    delay_ms_p50_before: milliseconds(&self.before_us, 0.5),
                    delay_ms_p99_before: milliseconds(&self.before_us, 0.99),
                    delay_ms_p50_during: milliseconds(&self.during_us, 0.5),
                    delay_ms_p99_during: milliseconds(&self.during_us, 0.99),
                    stale_bytes: viewers.iter().map(|viewer| viewer.stale_bytes).max().unwrap_or_default(),
                    first_keys: viewers.iter().map(|viewer| viewer.first_key).collect(),
                }
            }),
        }
    }
}

/// `stalls`: its number among those that do.
async fn viewer(way: Way, server: SocketAddr, stream: String, stalls: Option<usize>, tally: Rc<Tally>) -> Result<()> {
    let start = monotonic();
    let mut joined = false;
    let shared = tally.clone();
    let mut count = move |arrival: Arrival| {
        let now = monotonic();
        if !joined && arrival.is_key {
            joined = true;
            tally.joined.update(|joined| joined + 1);
            tally.join_us.borrow_mut().saturating_record((now - start).as_micros() as u64);
        }
        let Some(stamp) = arrival.stamp else { return };
        if let Some(n) = stalls {
            if let Some(stall) = tally.stall.get() {
                tally.catching_up.borrow_mut()[n].count(stall, now, stamp, arrival);
            }
            return;
        }
        if let Some((from, to)) = tally.window.get()
            && (from..to).contains(&stamp.sent)
        {
            let delay_us = now.saturating_sub(stamp.sent).as_micros() as u64;
            tally.received.update(|received| received + 1);
            tally.bytes.update(|bytes| bytes + arrival.len as u64);
            tally.delay_us.borrow_mut().saturating_record(delay_us);
            match tally.stall.get() {
                Some(stall) if stamp.sent < stall.from => tally.before_us.borrow_mut().saturating_record(delay_us),
                Some(stall) if stamp.sent < stall.to => tally.during_us.borrow_mut().saturating_record(delay_us),
                _ => {}
            }
        }
    };
    match way {
        Way::Gateway(dialer) => {
            let mut viewer = Viewer::play_by(&dialer, server, &stream).await?;
            shared.admitted();
            loop {
                stand_still(stalls, &shared).await;
                match viewer.next().await? {
                    Seen::Frame(frame) => count(Arrival::of(&frame)),
                    Seen::Packaged(messages) => arrivals(&messages, &mut count)?,
                    Seen::Ended(end) => bail!("{end:?}"),
                    Seen::Status(_) | Seen::Data(_) | Seen::Gap(..) => {}
                }
            }
        }
        Way::Flowless(dialect) => {
            let mut viewer = tlv::Viewer::play(server, dialect, &stream).await?;
            shared.admitted();
            loop {
                stand_still(stalls, &shared).await;
                arrivals(&[viewer.next().await?], &mut count)?;
            }
        }
        Way::Rival(rival) => {
            let mut viewer = rival::Viewer::play(rival, server, &stream).await?;
            loop {
                stand_still(stalls, &shared).await;
                viewer.next(|track, body| count(Arrival::of_tag(track, body))).await?;
            }
        }
        Way::BareQuic(endpoint) => {
            let connection = endpoint.connect(server, "localhost")?.await?;
            let count = Rc::new(RefCell::new(count));
            let mut streams = JoinSet::new();
            loop {
                tokio::select! {
                    stream = connection.accept_uni() => {
                        let count = count.clone();
                        streams.spawn_local(read_frames(stream?, move |arrival| (count.borrow_mut())(arrival)));
                    }
                    // A group has ended.
                    Some(_) = streams.join_next() => {}
                }
            }
        }
        Way::Baseline(Baseline::Tls) => {
            let socket = TcpStream::connect(server).await?;
            let connector = TlsConnector::from(crate::tls::client()?);
            read_frames(connector.connect(ServerName::try_from("localhost")?, socket).await?, count).await
        }
        Way::Baseline(_) => read_frames(TcpStream::connect(server).await?, count).await,
    }
}

/// Waits until the stall is over, if there is one and the viewer is among those that stall.
async fn stand_still(stalls: Option<usize>, tally: &Tally) {
    if let (Some(_), Some(stall)) = (stalls, tally.stall.get())
        && (stall.from..stall.to).contains(&monotonic())
    {
        sleep(stall.to.saturating_sub(monotonic())).await;
    }
}

/// Counts the frames of segments.
fn arrivals(messages: &[Message], count: &mut impl FnMut(Arrival)) -> Result<()> {
    for message in messages {
        let (track, segment) = match message {
            Message::Segment(segment) => (Track::Video, segment),
            Message::Audio(segment) => (Track::Audio, segment),
            Message::Init { .. } | Message::Keyframe(..) | Message::Metadata(_) => continue,
        };
        let mut len = tlv::HEADER_LEN + segment.len();
        for sample in Fragment::read(segment)?.samples {
            let is_key = track == Track::Video && sample.is_sync;
            count(Arrival { is_key, stamp: sample.stamp(track), len: std::mem::take(&mut len) });
        }
    }
    Ok(())
}

impl Arrival {
    fn of(frame: &Frame<'_>) -> Self {
        let stamp = if frame.track == Track::Video { Stamp::of_video(frame.body) } else { Stamp::of_audio(frame.body) };
        Self { is_key: frame.kind == Kind::Key, stamp, len: MESSAGE_HEADER_LEN + frame.body.len() }
    }

    fn of_tag(track: Track, body: &[u8]) -> Self {
        Self::of(&Frame { track, kind: kind_of(track, body), timestamp: 0, body })
    }
}

impl CatchingUp {
    fn count(&mut self, stall: Stall, now: Duration, stamp: Stamp, arrival: Arrival) {
        if now < stall.to {
            return;
        }
        if stamp.sent < stall.to {
            self.stale_bytes += arrival.len as u64;
        } else if self.first_key.is_none() && arrival.is_key {
            let milliseconds = |since: Duration| (now - since).as_secs_f64() * 1e3;
            let (after_ms, delay_ms) = (milliseconds(stall.to), milliseconds(stamp.sent));
            self.first_key = Some(FirstKey { sequence: stamp.sequence, after_ms, delay_ms });
        }
    }
}

/// Reads a baseline's frames.
async fn read_frames(mut socket: impl AsyncRead + Unpin, mut count: impl FnMut(Arrival)) -> Result<()> {
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
            count(Arrival::of_tag(track, body));
            rest = after;
        }
        let left = rest.len();
        buffer.copy_within(filled - left..filled, 0);
        filled = left;
        ensure!(filled < buffer.len(), "a frame larger than the buffer");
    }
}
