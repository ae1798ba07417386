//! The doubles: a link, a viewer and a publisher.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use mp4_atom::{Decode, Moof, Prft};
use tokio::select;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinHandle;
use tokio::time::{sleep, sleep_until, timeout};

use crate::authority::{Authority, Entrance};
use crate::broadcast::{self, Publisher, Registry, StreamPath};
use crate::clock::Clock;
use crate::delivery::{self, Format, Metrics, serve_as};
use crate::media::time::Timestamp;
use crate::media::{MESSAGE_HEADER_LEN, Track, Unit, UnitKind};
use crate::session::link::{CloseReason, Link, LinkError, PathStats};
use crate::session::tlv::Request;
use crate::session::wire::Wire;
use crate::session::{self, Event, Flows, Pipe, Priority, RecvFlow, SendFlow, Session};
use crate::wire::amf0::Value;
use crate::wire::frame::Fragment;
use crate::wire::tc::{Command, Content, FlowMetadata, Message, StreamId, UserControl};
use crate::wire::tlv;

const WINDOW: u64 = 1 << 20;

/// A rate at which a line takes everything at once.
pub(super) const UNLIMITED: u32 = u32::MAX;

/// A session at one end of two channels. `rate` is in bytes a second, and may be changed at any time.
#[derive(Debug)]
pub(super) struct End<W = Pipe> {
    session: Session<W>,
    output: UnboundedSender<Bytes>,
    input: UnboundedReceiver<Bytes>,
    rate: Arc<AtomicU32>,
    /// Bytes that are still on their way onto the line.
    debt: f64,
    paid_until: Instant,
    /// The most bytes that have waited at once.
    most_queued: Arc<AtomicUsize>,
    closed: Option<UnboundedSender<CloseReason>>,
}

impl End {
    fn pair() -> (Self, Self) {
        let (a, b) = (mpsc::unbounded_channel(), mpsc::unbounded_channel());
        let end = |output, input| Self::of(Session::new(session::Config::default()), output, input);
        (end(a.0, b.1), end(b.0, a.1))
    }
}

impl<W: Wire<Input = Bytes, Transmit = Fragment>> End<W> {
    fn of(session: Session<W>, output: UnboundedSender<Bytes>, input: UnboundedReceiver<Bytes>) -> Self {
        Self {
            session,
            output,
            input,
            rate: Arc::new(AtomicU32::new(UNLIMITED)),
            debt: 0.0,
            paid_until: Clock.now(),
            most_queued: Arc::default(),
            closed: None,
        }
    }

    /// Sends what the line takes by now; whether it is busy.
    fn transmit(&mut self) -> bool {
        let now = Clock.now();
        self.most_queued.fetch_max(self.session.flows().queued(), Ordering::Relaxed);
        let rate = self.rate.load(Ordering::Relaxed);
        let passed = now - std::mem::replace(&mut self.paid_until, now);
        self.debt = (self.debt - passed.as_secs_f64() * f64::from(rate)).max(0.0);
        while rate == UNLIMITED || self.debt == 0.0 {
            let Some(fragment) = self.session.poll_transmit(now) else { return false };
            self.debt += fragment.len() as f64;
            // The other end may have gone.
            let _ = self.output.send(fragment.to_bytes());
        }
        true
    }
}

impl<W: Wire<Input = Bytes, Transmit = Fragment> + Send> Link for End<W> {
    async fn next(&mut self) -> Result<Event, LinkError> {
        loop {
            let busy = self.transmit();
            if let Some(event) = self.session.poll_event() {
                return Ok(event);
            }
            let far = Clock.now() + Duration::from_secs(3600);
            let timer = self.session.poll_timeout().map_or(far, |(at, _)| at);
            select! {
                input = self.input.recv() => {
                    let input = input.ok_or(LinkError::Closed)?;
                    let taken = self.session.handle_input(Clock.now(), input);
                    taken.map_err(|fault| LinkError::Misbehaved(fault.to_string()))?;
                }
                () = sleep_until(timer.into()) => self.session.handle_timeout(Clock.now()),
                () = sleep(Duration::from_millis(1)), if busy => {}
            }
        }
    }

    fn flows(&mut self) -> &mut Flows {
        self.session.flows()
    }

    fn path(&self) -> PathStats {
        self.session.path()
    }

    async fn close(mut self, reason: CloseReason) {
        self.transmit();
        if let Some(closed) = self.closed {
            closed.send(reason).unwrap();
        }
    }
}

/// The type of message that a whole message of a flow of the format `fmp4` is shown as.
const PACKAGED: u8 = 0xff;

/// As [`Heard::word`], of both formats alike.
fn packaged_word(mut payload: Bytes) -> String {
    let mut word = String::new();
    while let Some(message) = tlv::Message::decode(&mut payload, u32::MAX).unwrap() {
        match message {
            tlv::Message::Init { codec, .. } => word += if codec.starts_with("avc1") { "V" } else { "A" },
            tlv::Message::Keyframe { .. } => word += "K",
            tlv::Message::Segment(segment) if word == "K" => word += &decode_time(&segment).to_string(),
            tlv::Message::Segment(segment) => word = format!("d{}", decode_time(&segment)),
            tlv::Message::Audio(segment) => word = format!("a{}", (decode_time(&segment) * 10 + 220) / 441),
            other => panic!("{other:?}"),
        }
    }
    word
}

fn decode_time(segment: &Bytes) -> u64 {
    let mut rest = &segment[..];
    if rest[4..].starts_with(b"prft") {
        Prft::decode(&mut rest).unwrap();
    }
    let moof = Moof::decode(&mut rest).unwrap();
    moof.traf[0].tfdt.as_ref().unwrap().base_media_decode_time
}

/// A configuration of H.264, 640×360.
const AVC: &[u8] =
    b"\x17\0\0\0\0\x01\x4d\x40\x1f\xff\xe1\x00\x1a\x67\x4d\x40\x1f\xa6\x11\x02\x80\xbf\xe5\xc0\x44\x00\x00\x03\x00\
    \x04\x00\x00\x03\x00\xf2\x3c\x60\xc8\x46\x01\x00\x06\x68\xe8\x43\x0b\x2c\x80";

/// Something the gateway said.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Heard {
    pub(super) stream: StreamId,
    pub(super) flow: RecvFlow,
    pub(super) message: Message,
    pub(super) at: Instant,
}

impl Heard {
    /// The message in short: a command's name, a status' code, a track and its time.
    pub(super) fn word(&self) -> String {
        let time = self.message.timestamp;
        match &self.message.content {
            Content::Command(command) => command.status_code().unwrap_or(&command.name).to_owned(),
            Content::Data(data) => data.name.clone(),
            Content::UserControl(UserControl::StreamBegin(id)) => format!("begin:{}", id.0),
            Content::UserControl(UserControl::FlowSync { id, count }) => format!("sync:{id}/{count}"),
            Content::Audio(body) if body.get(1) == Some(&0) => "A".to_owned(),
            Content::Audio(_) => format!("a{time}"),
            Content::Video(body) => match (body[0], body[1]) {
                (_, 0) => "V".to_owned(),
                (_, 2) => "E".to_owned(),
                (0x17, _) => format!("K{time}"),
                _ => format!("d{time}"),
            },
            Content::Other { message_type: PACKAGED, body } => packaged_word(body.clone()),
            other => format!("{other:?}"),
        }
    }

    pub(super) fn command(&self) -> &Command {
        let Content::Command(command) = &self.message.content else { panic!("{self:?}") };
        command
    }
}

/// A client on a session of its own, and the gateway's task that serves it.
#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) end: End,
    pub(super) control: SendFlow,
    /// Bytes a second that the gateway can send.
    pub(super) rate: Arc<AtomicU32>,
    server_control: Option<RecvFlow>,
    flows: HashMap<RecvFlow, StreamId>,
    /// Those of them that carry the format `fmp4`.
    packaged: HashSet<RecvFlow>,
    pub(super) rejected: Vec<SendFlow>,
    pub(super) closed: Vec<RecvFlow>,
    task: JoinHandle<Result<(), LinkError>>,
    reason: UnboundedReceiver<CloseReason>,
}

impl Viewer {
    /// A viewer whose control flow is open and who has said nothing.
    pub(super) fn new(registry: &Registry, config: delivery::Config) -> Self {
        Self::served(registry, config, Format::Raw)
    }

    /// The same where something else is delivered unless a play asks for something else again.
    pub(super) fn served(registry: &Registry, config: delivery::Config, format: Format) -> Self {
        Self::granted(registry, config, format, Authority::default())
    }

    /// The same where `authority` decides what may be played.
    pub(super) fn granted(registry: &Registry, config: delivery::Config, format: Format, authority: Authority) -> Self {
        let (mut gateway, mut end) = End::pair();
        let (closed, reason) = mpsc::unbounded_channel();
        gateway.closed = Some(closed);
        let rate = gateway.rate.clone();
        let registry = registry.clone();
        let task = tokio::spawn(async move {
            let peer = "192.0.2.7:1000".parse().unwrap();
            let (visitor, _leash) = authority.visit(peer, Entrance::RtWebSocket, None, Clock.wall());
            let mut meter = Metrics::default().viewer(visitor.id(), "double");
            serve_as(gateway, format, &registry, &config, Clock, &visitor, &mut meter).await
        });
        let metadata = FlowMetadata::new(StreamId::CONTROL).encode();
        let control = end.flows().open(metadata, Priority::Immediate, None).unwrap();
        Self {
            end,
            control,
            rate,
            server_control: None,
            flows: HashMap::new(),
            packaged: HashSet::new(),
            rejected: vec![],
            closed: vec![],
            task,
            reason,
        }
    }

    /// A viewer that is connected to `live` and has stream 1 with one flow, which is returned.
    pub(super) async fn connected(registry: &Registry, config: delivery::Config) -> (Self, SendFlow) {
        Self::new(registry, config).with_stream().await
    }

    /// Connects this viewer to `live`, and makes stream 1 with one flow, which is returned.
    pub(super) async fn with_stream(self) -> (Self, SendFlow) {
        let mut viewer = self;
        viewer.connect().await;
        viewer.call(viewer.control, &Command::new("createStream", 2.0, vec![]));
        assert_eq!(viewer.hear().await.command().argument(0), Some(&Value::Number(1.0)));
        let flow = viewer.open_stream_flow(StreamId(1));
        (viewer, flow)
    }

    pub(super) async fn connect(&mut self) -> Heard {
        let object = Value::object([("app", "live")]);
        self.call(self.control, &Command { object, ..Command::new("connect", 1.0, vec![]) });
        self.hear().await
    }

    pub(super) fn open_stream_flow(&mut self, stream: StreamId) -> SendFlow {
        self.open(stream, self.server_control)
    }

    pub(super) fn open(&mut self, stream: StreamId, answers: Option<RecvFlow>) -> SendFlow {
        self.end.flows().open(FlowMetadata::new(stream).encode(), Priority::Immediate, answers).unwrap()
    }

    pub(super) fn call(&mut self, flow: SendFlow, command: &Command) {
        self.send(flow, command.encode());
    }

    /// Calls with transaction 0 and these arguments.
    pub(super) fn say(&mut self, flow: SendFlow, name: &str, arguments: Vec<Value>) {
        self.call(flow, &Command::new(name, 0.0, arguments));
    }

    pub(super) fn send(&mut self, flow: SendFlow, payload: Bytes) {
        self.end.flows().write(flow, delivery::outlet::lasting(payload)).unwrap();
    }

    /// What the gateway says next.
    pub(super) async fn hear(&mut self) -> Heard {
        timeout(Duration::from_secs(60), self.listen()).await.unwrap().expect("the link lives")
    }

    /// In short, what the gateway says before `time` has passed in silence.
    pub(super) async fn words(&mut self, time: Duration) -> String {
        let mut words = vec![];
        while let Ok(Some(heard)) = timeout(time, self.listen()).await {
            words.push(heard.word());
        }
        words.join(" ")
    }

    /// What the gateway says until `time` has passed.
    pub(super) async fn record(&mut self, time: Duration) -> Vec<Heard> {
        let end = Clock.now() + time;
        let mut heard = vec![];
        while let Ok(Some(next)) = timeout(end.saturating_duration_since(Clock.now()), self.listen()).await {
            heard.push(next);
        }
        heard
    }

    /// How the gateway ends this.
    pub(super) async fn end(mut self) -> (Option<CloseReason>, Result<(), LinkError>) {
        while timeout(Duration::from_secs(60), self.listen()).await.unwrap().is_some() {}
        drop(self.end);
        let result = self.task.await.unwrap();
        (self.reason.recv().await, result)
    }

    /// `None`: the link is closed.
    async fn listen(&mut self) -> Option<Heard> {
        loop {
            match self.end.next().await.ok()? {
                Event::Opened { flow, metadata, answers } => {
                    let stream = match tlv::read_flow_metadata(&metadata) {
                        Some((_, stream)) => {
                            self.packaged.insert(flow);
                            stream
                        }
                        None => FlowMetadata::decode(metadata).unwrap().stream,
                    };
                    assert_eq!(answers, Some(self.control), "genuine clients reject it otherwise");
                    if self.server_control.is_none() {
                        assert_eq!(stream, StreamId::CONTROL);
                        self.server_control = Some(flow);
                    }
                    self.flows.insert(flow, stream);
                    self.end.flows().accept(flow, WINDOW);
                }
                Event::Message { flow, payload } => {
                    let message = if self.packaged.contains(&flow) {
                        Message { timestamp: 0, content: Content::Other { message_type: PACKAGED, body: payload } }
                    } else {
                        Message::decode(payload).unwrap()
                    };
                    return Some(Heard { stream: self.flows[&flow], flow, message, at: Clock.now() });
                }
                Event::Closed { flow } => self.closed.push(flow),
                Event::Rejected { flow, .. } => self.rejected.push(flow),
                Event::Gap { .. } | Event::Room => {}
            }
        }
    }
}

/// A client without flows, and the gateway's end of its line.
#[derive(Debug)]
pub(super) struct Flowless {
    /// Bytes a second that the gateway can send.
    pub(super) rate: Arc<AtomicU32>,
    /// The most bytes that have waited in the gateway at once.
    pub(super) most_queued: Arc<AtomicUsize>,
    output: UnboundedReceiver<Bytes>,
    input: UnboundedSender<Bytes>,
    received: u64,
}

impl Flowless {
    /// A client that plays `live/demo`.
    pub(super) fn playing(registry: &Registry, acknowledged: bool) -> Self {
        let (sender, output) = mpsc::unbounded_channel();
        let (input, receiver) = mpsc::unbounded_channel();
        let request = Request { app: "live".into(), name: "demo?format=fmp4".into(), acknowledged };
        let gateway = End::of(Session::playing(session::Config::default(), request), sender, receiver);
        let (rate, most_queued) = (gateway.rate.clone(), gateway.most_queued.clone());
        let registry = registry.clone();
        tokio::spawn(async move { delivery::serve(gateway, &registry, &delivery::Config::default(), Clock).await });
        Self { rate, most_queued, output, input, received: 0 }
    }

    /// The messages that have come, but for metadata.
    pub(super) fn read(&mut self) -> Vec<tlv::Message> {
        let mut messages = vec![];
        while let Ok(mut bytes) = self.output.try_recv() {
            self.received += bytes.len() as u64;
            while let Some(message) = tlv::Message::decode(&mut bytes, u32::MAX).unwrap() {
                messages.push(message);
            }
        }
        messages.retain(|message| !matches!(message, tlv::Message::Metadata(_)));
        messages
    }

    /// Acknowledges all that was read.
    pub(super) fn acknowledge(&self) {
        self.input.send(tlv::acknowledgement(self.received)).unwrap();
    }
}

pub(super) fn registry() -> Registry {
    Registry::new(broadcast::Config::default())
}

pub(super) fn publish(registry: &Registry) -> Publisher {
    registry.publish(&StreamPath::new("live", "demo").unwrap(), Clock.now()).unwrap()
}

/// Appends units in short: `V A` configurations, `K d` video, `a` audio, `E` end of sequence, `M` metadata; and time in ms.
pub(super) fn append(publisher: &mut Publisher, units: &[(char, u64)]) {
    for &(letter, time) in units {
        append_sized(publisher, letter, time, 0);
    }
}

/// The same with `size` bytes more.
pub(super) fn append_sized(publisher: &mut Publisher, letter: char, time: u64, size: usize) {
    let (track, kind, body): (_, _, &[u8]) = match letter {
        'V' => (Track::Video, UnitKind::Configuration, AVC),
        'A' => (Track::Audio, UnitKind::Configuration, b"\xaf\0\x12\x10"),
        'K' => (Track::Video, UnitKind::Key, b"\x17\x01\0\0\0"),
        'd' => (Track::Video, UnitKind::Delta, b"\x27\x01\0\0\0"),
        'a' => (Track::Audio, UnitKind::Audio, b"\xaf\x01"),
        'E' => (Track::Video, UnitKind::EndOfSequence, b"\x17\x02\0\0\0"),
        'M' => (Track::Data, UnitKind::Metadata, b"\x02\0\x0aonMetaData"),
        other => panic!("no unit {other}"),
    };
    let mut message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
    message.extend_from_slice(body);
    message.resize(message.len() + size, 0);
    let unit = Unit::new(track, kind, Timestamp::from_millis(time), 0, message);
    publisher.append(unit, Clock.now()).unwrap();
}
