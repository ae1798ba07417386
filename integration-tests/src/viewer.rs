//! A viewer: connects, plays one stream and says what it saw.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use headwater::media::Track;
use rml_amf0::Amf0Value;
use tokio::time::timeout;

use crate::carrier::{Carrier, Dialer};
use crate::clip::Tag;
use crate::rtws::{Event, push_vlu};
use crate::stamp::{Stamp, monotonic};
use crate::tlv;
use crate::transport::Transport;

/// How long a test waits for anything: far beyond what is needed on a busy machine, and the end of a hang.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Our own flows: the control flow and the stream's commands.
const CONTROL: u64 = 0;
const COMMANDS: u64 = 1;
/// What genuine viewers grant a stream's flow.
const STREAM_RECEIVE_BUFFER: u64 = 16_777_215;

const COMMAND: u8 = 20;
const DATA: u8 = 18;
const USER_CONTROL: u8 = 4;

/// What a media message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A decoder configuration.
    Configuration,
    /// A video frame that starts a group.
    Key,
    /// Any other video frame.
    Delta,
    /// An audio frame.
    Audio,
    /// The end of a video sequence.
    EndOfSequence,
}

/// One media message, as it lies in the viewer's buffer.
#[derive(Debug)]
pub struct Frame<'a> {
    /// Audio or video.
    pub track: Track,
    /// What it is.
    pub kind: Kind,
    /// Milliseconds on the stream's time line.
    pub timestamp: u32,
    /// The FLV tag body.
    pub body: &'a [u8],
}

/// How a connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// In words, and with its code if it had one.
    Closed(Option<u16>),
    /// Without.
    Dropped,
}

/// One thing a viewer sees.
#[derive(Debug)]
pub enum Seen<'a> {
    /// A media message.
    Frame(Frame<'a>),
    /// Fragmented MP4.
    Packaged(Vec<tlv::Message>),
    /// The `code` of an `onStatus`.
    Status(String),
    /// A data message's handler name (`onMetaData`).
    Data(String),
    /// Messages that will never come, of a flow that carried this track (`None`: nothing yet).
    Gap(Option<Track>, u64),
    /// Nothing more comes.
    Ended(End),
}

/// A viewer of one stream.
pub struct Viewer {
    carrier: Carrier,
    /// Tracks by flow.
    tracks: HashMap<u64, Track>,
    /// Flows of fragmented MP4.
    packaged: HashSet<u64>,
    server_control: Option<u64>,
    /// Our message stream.
    stream: u64,
    /// What we send on flows of their own, in the order in which those were opened.
    sends: Vec<Track>,
    /// The last that was told by `onClock`.
    clock_pair: Option<(u32, f64)>,
    calls: u32,
}

impl Viewer {
    /// Connects, and asks for `stream` (`app/name`, with a query if need be). What comes is read by [`Viewer::next`].
    ///
    /// # Errors
    /// When the server refuses or breaks the protocol.
    pub async fn play(server: SocketAddr, transport: Transport, stream: &str) -> Result<Self> {
        Self::ask(&Dialer::new(transport)?, server, stream, "play").await
    }

    /// The same with a dialer that is there already.
    ///
    /// # Errors
    /// As [`Viewer::play`].
    pub async fn play_by(dialer: &Dialer, server: SocketAddr, stream: &str) -> Result<Self> {
        Self::ask(dialer, server, stream, "play").await
    }

    /// Connects, and asks to publish `stream`. The answer is the first status that [`Viewer::next`] gives.
    ///
    /// # Errors
    /// When the server refuses the connection or breaks the protocol.
    pub async fn publish(server: SocketAddr, transport: Transport, stream: &str) -> Result<Self> {
        Self::ask(&Dialer::new(transport)?, server, stream, "publish").await
    }

    /// Sends a media message of what it publishes, each track on a flow of its own, opened with the first.
    ///
    /// # Errors
    /// When the socket fails.
    pub async fn send(&mut self, tag: &Tag) -> Result<()> {
        let (flow, kind) = match tag.track {
            Track::Data => (COMMANDS, DATA),
            Track::Audio => (self.flow_of(Track::Audio)?, 8),
            Track::Video => (self.flow_of(Track::Video)?, 9),
        };
        let message = [&[kind], &tag.timestamp.to_be_bytes()[..], &tag.body[..]].concat();
        self.carrier.send(flow, &message);
        self.carrier.flush().await
    }

    /// The flow for a track, opened with its first message.
    fn flow_of(&mut self, track: Track) -> Result<u64> {
        let opened = self.sends.iter().position(|sent| *sent == track);
        // Numbers grow, as lanes want them to.
        let flow = COMMANDS + 1 + opened.unwrap_or(self.sends.len()) as u64;
        if opened.is_none() {
            self.sends.push(track);
            self.open_stream_flow(flow)?;
        }
        Ok(flow)
    }

    async fn ask(dialer: &Dialer, server: SocketAddr, stream: &str, command: &str) -> Result<Self> {
        let (app, name) = stream.split_once('/').context("a stream is app/name")?;
        let carrier = dialer.connect(server, app).await?;
        let mut viewer = Self {
            carrier,
            tracks: HashMap::new(),
            packaged: HashSet::new(),
            server_control: None,
            stream: 0,
            sends: Vec::new(),
            clock_pair: None,
            calls: 2,
        };
        viewer.converse(&format!("ws://{server}/{app}"), app, command, name).await?;
        Ok(viewer)
    }

    /// The next thing it sees. Cancel safe but for what is being written.
    ///
    /// # Errors
    /// When the server breaks the protocol.
    pub async fn next(&mut self) -> Result<Seen<'_>> {
        loop {
            let event = match self.next_event().await? {
                Ok(event) => event,
                Err(end) => return Ok(Seen::Ended(end)),
            };
            match event {
                Event::Message { flow } if self.packaged.contains(&flow) => {
                    let message = Bytes::copy_from_slice(self.carrier.payload(flow));
                    return Ok(Seen::Packaged(tlv::read(message)?));
                }
                Event::Message { flow } => {
                    let message = self.carrier.payload(flow);
                    let (kind, timestamp, body) = split(message)?;
                    match kind {
                        8 | 9 => {
                            let track = if kind == 8 { Track::Audio } else { Track::Video };
                            self.tracks.insert(flow, track);
                            // Read again: a borrow that is returned would last for the whole loop.
                            let body = &self.carrier.payload(flow)[5..];
                            return Ok(Seen::Frame(Frame { track, kind: kind_of(track, body), timestamp, body }));
                        }
                        DATA => match &amf(body)?[..] {
                            [Amf0Value::Utf8String(name), Amf0Value::Number(timestamp), Amf0Value::Number(clock)]
                                if name == "onClock" =>
                            {
                                self.clock_pair = Some((*timestamp as u32, *clock));
                            }
                            [Amf0Value::Utf8String(name), ..] => return Ok(Seen::Data(name.clone())),
                            values => bail!("a data message without a name: {values:?}"),
                        },
                        COMMAND => match &amf(body)?[..] {
                            [Amf0Value::Utf8String(name), Amf0Value::Number(_), _, info, ..] if name == "onStatus" => {
                                return Ok(Seen::Status(code(info)?));
                            }
                            _ => {}
                        },
                        USER_CONTROL => {}
                        kind => bail!("message type {kind}"),
                    }
                }
                Event::Gap { flow, messages } => return Ok(Seen::Gap(self.tracks.get(&flow).copied(), messages)),
                Event::Closed { .. } | Event::Opened { .. } | Event::Ping(_) => {}
                // The reason why media is refused comes as a status.
                Event::Rejected { flow } if flow > COMMANDS => {}
                Event::Rejected { flow } => bail!("our flow {flow} was rejected"),
            }
        }
    }

    /// Asks for the gateway's clock: milliseconds since the Unix epoch. What comes before the answer is not seen by anybody.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn time(&mut self) -> Result<f64> {
        self.calls += 1;
        let call = f64::from(self.calls);
        self.command(CONTROL, "time", call, vec![Amf0Value::Null])?;
        self.carrier.flush().await?;
        match self.result(call).await? {
            Amf0Value::Number(clock) => Ok(clock),
            value => bail!("time answered {value:?}"),
        }
    }

    /// A frame's timestamp, and the gateway's clock when it came from the publisher: the last that was told, to who plays
    /// with `clock=yes`.
    pub fn clock_pair(&self) -> Option<(u32, f64)> {
        self.clock_pair
    }

    /// Leaves in order.
    ///
    /// # Errors
    /// When the socket fails otherwise.
    pub async fn leave(self) -> Result<()> {
        self.carrier.leave().await
    }

    /// How many lanes each track's flow has had, where there are lanes.
    pub fn lanes(&self) -> HashMap<Track, u64> {
        let lanes = self.carrier.lanes_by_flow().into_iter();
        lanes.filter_map(|(flow, lanes)| Some((*self.tracks.get(&flow)?, lanes))).collect()
    }

    /// connect, createStream, play or publish.
    async fn converse(&mut self, url: &str, app: &str, command: &str, name: &str) -> Result<()> {
        self.carrier.open(CONTROL, None, b"TC\x04\x00");
        let text = |text: &str| Amf0Value::Utf8String(text.to_owned());
        let object = [("app", text(app)), ("tcUrl", text(url)), ("objectEncoding", Amf0Value::Number(0.0))];
        let object = object.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        self.command(CONTROL, "connect", 1.0, vec![Amf0Value::Object(object)])?;
        let info = self.result(1.0).await?;
        ensure!(code(&info)? == "NetConnection.Connect.Success", "connect answered {info:?}");

        self.command(CONTROL, "createStream", 2.0, vec![Amf0Value::Null])?;
        let Amf0Value::Number(stream) = self.result(2.0).await? else { bail!("createStream's answer is not a number") };
        ensure!(stream >= 1.0, "stream id {stream}");
        self.stream = stream as u64;
        self.open_stream_flow(COMMANDS)?;
        self.command(COMMANDS, command, 0.0, vec![Amf0Value::Null, text(name)])?;
        self.carrier.flush().await
    }

    fn open_stream_flow(&mut self, flow: u64) -> Result<()> {
        let answers = self.server_control.context("no control flow from the server")?;
        let mut metadata = b"TC\x04".to_vec();
        push_vlu(&mut metadata, self.stream);
        self.carrier.open(flow, Some(answers), &metadata);
        Ok(())
    }

    /// Waits for the answer to a command on the control flow.
    async fn result(&mut self, transaction: f64) -> Result<Amf0Value> {
        loop {
            let event = timeout(PATIENCE, self.next_event()).await.context("no answer to a command")??;
            match event {
                Ok(Event::Message { flow }) => {
                    let (kind, _, body) = split(self.carrier.payload(flow))?;
                    if kind != COMMAND {
                        continue;
                    }
                    let mut values = amf(body)?;
                    match &values[..] {
                        [Amf0Value::Utf8String(name), Amf0Value::Number(number), _, _, ..]
                            if *number == transaction =>
                        {
                            ensure!(name == "_result", "answered {values:?}");
                            return Ok(values.swap_remove(3));
                        }
                        _ => {}
                    }
                }
                Ok(Event::Rejected { flow }) => bail!("our flow {flow} was rejected"),
                Ok(_) => {}
                Err(end) => bail!("ended before the answer: {end:?}"),
            }
        }
    }

    fn command(&mut self, flow: u64, name: &str, transaction: f64, arguments: Vec<Amf0Value>) -> Result<()> {
        let mut values = vec![Amf0Value::Utf8String(name.to_owned()), Amf0Value::Number(transaction)];
        values.extend(arguments);
        let body = rml_amf0::serialize(&values)?;
        self.carrier.send(flow, &[&[COMMAND, 0, 0, 0, 0], &body[..]].concat());
        Ok(())
    }

    async fn next_event(&mut self) -> Result<Result<Event, End>> {
        loop {
            match self.carrier.next_event().await? {
                Ok(Event::Opened { flow }) => self.opened(flow)?,
                event => return Ok(event),
            }
        }
    }

    /// Checks what a flow is for: `TC` or `TLV`, and an answer to our control flow.
    fn opened(&mut self, flow: u64) -> Result<()> {
        let (metadata, answers) = self.carrier.opened_with(flow).context("just opened")?;
        ensure!(answers == Some(CONTROL), "flow {flow} answers {answers:?}, not our control flow");
        match metadata {
            b"TC\x04\x00" => {
                ensure!(self.server_control.is_none(), "a second control flow");
                self.server_control = Some(flow);
                return Ok(());
            }
            [b'T', b'C', 4, ..] => {}
            [b'T', b'L', b'V', track, ..] => {
                self.tracks.insert(flow, if *track == 1 { Track::Video } else { Track::Audio });
                self.packaged.insert(flow);
            }
            _ => bail!("flow metadata {metadata:02x?}"),
        }
        ensure!(self.server_control.is_some(), "a stream's flow before the control flow");
        self.carrier.set_receive_buffer(flow, STREAM_RECEIVE_BUFFER);
        Ok(())
    }
}

/// A frame that was seen, kept.
#[derive(Debug, Clone)]
pub struct Kept {
    /// Audio or video.
    pub track: Track,
    /// What it is.
    pub kind: Kind,
    /// Milliseconds on the stream's time line.
    pub timestamp: u32,
    /// The FLV tag body.
    pub body: Vec<u8>,
    /// The publisher's stamp.
    pub stamp: Option<Stamp>,
    /// When it came, on the stamp's clock.
    pub received: Duration,
}

impl Kept {
    /// From the publisher's write to the viewer's read.
    pub fn delay(&self) -> Option<Duration> {
        self.stamp.map(|stamp| self.received.saturating_sub(stamp.sent))
    }
}

/// Everything a viewer has seen.
#[derive(Debug, Default)]
pub struct Record {
    /// Media messages, in order.
    pub frames: Vec<Kept>,
    /// Messages of fragmented MP4, in order.
    pub packaged: Vec<tlv::Message>,
    /// Status codes, in order.
    pub statuses: Vec<String>,
    /// Names of data messages, in order.
    pub data: Vec<String>,
    /// Abandoned messages.
    pub gaps: Vec<(Option<Track>, u64)>,
    /// The end.
    pub end: Option<End>,
}

impl Record {
    /// The frames of one kind.
    pub fn of(&self, kind: Kind) -> impl DoubleEndedIterator<Item = &Kept> {
        self.frames.iter().filter(move |frame| frame.kind == kind)
    }

    /// The frames of a track, without its configurations.
    pub fn track(&self, track: Track) -> impl DoubleEndedIterator<Item = &Kept> {
        let media = |frame: &&Kept| !matches!(frame.kind, Kind::Configuration | Kind::EndOfSequence);
        self.frames.iter().filter(move |frame| frame.track == track).filter(media)
    }

    /// A status with this code was seen.
    pub fn has_status(&self, code: &str) -> bool {
        self.statuses.iter().any(|status| status == code)
    }

    fn add(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Frame(Frame { track, kind, timestamp, body }) => {
                let stamp = if track == Track::Video { Stamp::of_video(body) } else { Stamp::of_audio(body) };
                let kept = Kept { track, kind, timestamp, body: body.to_vec(), stamp, received: monotonic() };
                self.frames.push(kept);
            }
            Seen::Packaged(messages) => self.packaged.extend(messages),
            Seen::Status(code) => self.statuses.push(code),
            Seen::Data(name) => self.data.push(name),
            Seen::Gap(track, messages) => self.gaps.push((track, messages)),
            Seen::Ended(end) => self.end = Some(end),
        }
    }
}

/// A viewer that keeps what it sees.
pub struct Recorder {
    viewer: Viewer,
    /// What it has seen so far.
    pub record: Record,
}

impl Recorder {
    /// As [`Viewer::play`].
    ///
    /// # Errors
    /// As [`Viewer::play`].
    pub async fn play(server: SocketAddr, transport: Transport, stream: &str) -> Result<Self> {
        Self::play_by(&Dialer::new(transport)?, server, stream).await
    }

    /// As [`Viewer::play_by`].
    ///
    /// # Errors
    /// As [`Viewer::play`].
    pub async fn play_by(dialer: &Dialer, server: SocketAddr, stream: &str) -> Result<Self> {
        Ok(Self { viewer: Viewer::play_by(dialer, server, stream).await?, record: Record::default() })
    }

    /// Watches until `enough` holds.
    ///
    /// # Errors
    /// When the stream ends before, when it takes longer than [`PATIENCE`], or when the server breaks the protocol.
    pub async fn until(&mut self, enough: impl Fn(&Record) -> bool) -> Result<&Record> {
        let watch = async {
            while !enough(&self.record) {
                ensure!(self.record.end.is_none(), "ended");
                let seen = self.viewer.next().await?;
                self.record.add(seen);
            }
            Ok(())
        };
        let watched = timeout(PATIENCE, watch).await.context("took too long").flatten();
        watched.with_context(|| {
            let Record { frames, packaged, statuses, data, gaps, end } = &self.record;
            let last = frames.last().map(|frame| (frame.kind, frame.timestamp));
            let count = frames.len();
            let messages = packaged.len();
            format!("seen: {count} frames, last {last:?}, {messages} messages of fMP4, {statuses:?}, {data:?}, gaps {gaps:?}, end {end:?}")
        })?;
        Ok(&self.record)
    }

    /// Leaves in order and gives out the record.
    ///
    /// # Errors
    /// As [`Viewer::leave`].
    pub async fn leave(self) -> Result<Record> {
        self.viewer.leave().await?;
        Ok(self.record)
    }
}

fn split(message: &[u8]) -> Result<(u8, u32, &[u8])> {
    match message {
        &[kind, a, b, c, d, ref body @ ..] => Ok((kind, u32::from_be_bytes([a, b, c, d]), body)),
        _ => bail!("a message of {} bytes", message.len()),
    }
}

fn amf(body: &[u8]) -> Result<Vec<Amf0Value>> {
    rml_amf0::deserialize(&mut &body[..]).with_context(|| format!("AMF0: {body:02x?}"))
}

fn code(info: &Amf0Value) -> Result<String> {
    match info {
        Amf0Value::Object(members) => match members.get("code") {
            Some(Amf0Value::Utf8String(code)) => Ok(code.clone()),
            _ => bail!("no code in {members:?}"),
        },
        _ => bail!("{info:?} is not an object"),
    }
}

/// Reads the legacy and the enhanced header.
pub fn kind_of(track: Track, body: &[u8]) -> Kind {
    let &[first, ref rest @ ..] = body else { return Kind::Delta };
    if track == Track::Audio {
        return if first >> 4 == 10 && rest.first() == Some(&0) { Kind::Configuration } else { Kind::Audio };
    }
    let packet = if first & 0x80 == 0 { rest.first().copied() } else { Some(first & 0xf) };
    match packet {
        Some(0) => Kind::Configuration,
        Some(2) => Kind::EndOfSequence,
        _ if first >> 4 & 7 == 1 => Kind::Key,
        _ => Kind::Delta,
    }
}
