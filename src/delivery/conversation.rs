//! The TC command state machine: what a viewer says and what it is answered.
//!
//! | specification | section |
//! |---|---|
//! | RFC 7425 (Adobe's RTMFP profile for Flash communication) | §5 |
//! | RTMP 1.0 | §7.2 |
//!
//! ```text
//! viewer                                    gateway
//! Fc  TC 0, answers nothing        ─▶
//!                                  ◀─       Fs  TC 0, answers Fc: answers to commands, STREAM_BEGIN
//!     connect, createStream, time  ─▶
//! F1… TC n, answers Fs             ─▶
//!     play, pause, publish …       ─▶
//!                                  ◀─       G1… TC n, answers Fc (not F1): data, audio, video
//! ```

mod permission;

use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tracing::info;

use self::permission::{TOKEN, Waiting, Wanted, credential};
use super::Config;
use super::error::Over;
use super::formats::Format;
use super::outlet::lasting;
use super::play::{Request, Stream};
use super::publish::{self, Publication, Rejection, is_media};
use super::query::Query;
use crate::authority::{Action, Grant, Secret, Visitor};
use crate::broadcast::{Item, Registry, StreamPath};
use crate::clock::{Clock, Epoch};
use crate::session::error::WriteError;
use crate::session::{Event, Flows, Priority, RecvFlow, SendFlow};
use crate::wire::amf0::Value;
use crate::wire::query;
use crate::wire::tc::{Command, Content, FlowMetadata, Info, Message, Status, StreamId};

/// Most message streams of one viewer at a time. Genuine clients make one; each is a place in a broadcast.
const MAX_STREAMS: usize = 8;

/// Stream ids go round here: genuine peers use 24 bits, and never 0.
const MAX_STREAM_ID: u32 = 0xff_ffff;

/// Most flows that a viewer may have open for one message stream. Genuine clients use three.
const MAX_STREAM_FLOWS: usize = 8;

/// Most bytes of answers on the control flow that wait to be sent: a thousand. Stops floods of calls whose answers are not
/// read, or not acknowledged, from filling memory.
const MAX_UNREAD: usize = 64 << 10;

/// Unacknowledged bytes allowed on a flow of the viewer's. It sends commands; genuine clients start with this many.
const WINDOW: u64 = 65536;

/// One viewer's side of the talk and ours.
#[derive(Debug)]
pub(super) struct Conversation<'a> {
    registry: &'a Registry,
    config: &'a Config,
    /// What is played unless a play asks for something else.
    format: Format,
    /// For the time of day by which something is granted: it may be set while a viewer is here.
    clock: Clock,
    epoch: Epoch,
    control: Option<Control>,
    /// In boxes, since a map's node has room for eleven.
    streams: BTreeMap<StreamId, Box<Stream>>,
    visitor: &'a Visitor,
    /// What is wanted of a stream and has not been granted yet.
    waiting: BTreeMap<StreamId, Box<Waiting>>,
    denials: u32,
    /// The viewer's flows that belong to a stream.
    flows: BTreeMap<RecvFlow, StreamId>,
    /// What is published: one stream a connection, as over RTMP. In a box, since few publish.
    publication: Option<Box<Publication>>,
    last_stream: StreamId,
}

/// The pair of control flows.
#[derive(Debug)]
struct Control {
    theirs: RecvFlow,
    ours: SendFlow,
    /// The application, once connected.
    app: Option<String>,
    /// What came with `connect`.
    credential: Option<Secret>,
}

impl<'a> Conversation<'a> {
    /// A conversation in which nothing has been said.
    pub(super) fn new(
        registry: &'a Registry,
        config: &'a Config,
        format: Format,
        clock: Clock,
        visitor: &'a Visitor,
    ) -> Self {
        Self {
            registry,
            config,
            format,
            clock,
            epoch: clock.epoch(),
            control: None,
            streams: BTreeMap::new(),
            visitor,
            waiting: BTreeMap::new(),
            denials: 0,
            flows: BTreeMap::new(),
            publication: None,
            last_stream: StreamId::CONTROL,
        }
    }

    /// Takes in what the viewer did.
    ///
    /// # Errors
    /// [`Over`]: close the link.
    pub(super) fn handle_event(&mut self, flows: &mut Flows, event: Event, now: Instant) -> Result<(), Over> {
        // Commands without end must not put off the end of who publishes nothing.
        if let Some(Err(why)) = self.publication.as_mut().map(|publication| publication.handle_timeout(now)) {
            self.reject_publication(flows, &why)?;
        }
        match event {
            Event::Opened { flow, metadata, answers } => self.handle_opened(flows, flow, metadata, answers),
            Event::Message { flow, payload } => self.handle_message(flows, flow, payload, now),
            Event::Gap { flow, .. } => {
                if let Some(publication) = &mut self.publication {
                    publication.handle_gap(flow);
                }
                Ok(())
            }
            Event::Room => Ok(()),
            Event::Closed { flow } => self.handle_closed(flow),
            Event::Rejected { flow, .. } => self.handle_rejected(flow),
        }
    }

    /// Takes in what happened to a stream that is played.
    ///
    /// # Errors
    /// [`Over`]: close the link.
    pub(super) fn handle_item(
        &mut self,
        flows: &mut Flows,
        id: StreamId,
        item: Item,
        now: Instant,
    ) -> Result<(), Over> {
        self.streams.get_mut(&id).map_or(Ok(()), |stream| stream.handle_item(flows, self.config, item, now))
    }

    /// Takes in that the time of [`Conversation::poll_timeout`] has come.
    ///
    /// # Errors
    /// [`Over`]: close the link.
    pub(super) fn handle_timeout(&mut self, flows: &mut Flows, now: Instant) -> Result<(), Over> {
        if let Some(Err(why)) = self.publication.as_mut().map(|publication| publication.handle_timeout(now)) {
            self.reject_publication(flows, &why)?;
        }
        self.streams.values_mut().try_for_each(|stream| stream.handle_timeout(flows, now))
    }

    /// When to call [`Conversation::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let publication = self.publication.as_ref().map(|publication| publication.poll_timeout());
        self.streams.values().filter_map(|stream| stream.poll_timeout()).chain(publication).min()
    }

    /// What is played, the first of several.
    pub(super) fn plays(&self) -> Option<&StreamPath> {
        self.streams.values().find_map(|stream| stream.path())
    }

    /// What happens next to any stream that is played, or the task is woken when something does.
    pub(super) fn poll_item(&mut self, context: &mut Context<'_>) -> Poll<(StreamId, Item)> {
        for (&id, stream) in &mut self.streams {
            if let Some(subscriber) = stream.subscriber()
                && let Poll::Ready(item) = subscriber.poll_next(context)
            {
                return Poll::Ready((id, item));
            }
        }
        Poll::Pending
    }

    /// What has happened already to any stream that is played.
    pub(super) fn try_next_item(&mut self) -> Option<(StreamId, Item)> {
        self.streams.iter_mut().find_map(|(&id, stream)| Some((id, stream.subscriber()?.try_next()?)))
    }

    /// A flow that is not accepted here is rejected by the session.
    fn handle_opened(
        &mut self,
        flows: &mut Flows,
        flow: RecvFlow,
        metadata: Bytes,
        answers: Option<SendFlow>,
    ) -> Result<(), Over> {
        let Ok(FlowMetadata { stream, .. }) = FlowMetadata::decode(metadata) else { return Ok(()) };
        match (&self.control, answers) {
            (None, None) if stream == StreamId::CONTROL => {
                flows.accept(flow, WINDOW);
                let metadata = FlowMetadata::new(StreamId::CONTROL).encode();
                let ours = flows.open(metadata, Priority::Immediate, Some(flow))?;
                self.control = Some(Control { theirs: flow, ours, app: None, credential: None });
            }
            (Some(control), Some(answered))
                if answered == control.ours
                    && self.streams.contains_key(&stream)
                    && self.flows.values().filter(|of| **of == stream).count() < MAX_STREAM_FLOWS =>
            {
                let window = if self.publishes(stream) { publish::WINDOW } else { WINDOW };
                flows.accept(flow, window);
                self.flows.insert(flow, stream);
            }
            _ => {}
        }
        Ok(())
    }

    fn handle_closed(&mut self, flow: RecvFlow) -> Result<(), Over> {
        if self.control.as_ref().is_some_and(|control| control.theirs == flow) {
            return Err(Over::Left);
        }
        self.flows.remove(&flow);
        if let Some(publication) = &mut self.publication {
            publication.handle_closed(flow);
        }
        Ok(())
    }

    fn handle_rejected(&mut self, flow: SendFlow) -> Result<(), Over> {
        if self.control.as_ref().is_some_and(|control| control.ours == flow) {
            return Err(Over::Left);
        }
        self.streams.values_mut().for_each(|stream| stream.handle_rejected(flow));
        Ok(())
    }

    fn handle_message(&mut self, flows: &mut Flows, flow: RecvFlow, payload: Bytes, now: Instant) -> Result<(), Over> {
        if let (Some(publication), Some(&stream)) = (&mut self.publication, self.flows.get(&flow))
            && publication.stream() == stream
            && is_media(&payload)
        {
            let taken = publication.handle_media(flow, &payload, now);
            return taken.or_else(|rejection| self.reject_publication(flows, &rejection));
        }
        let Content::Command(command) = Message::decode(payload)?.content else { return Ok(()) };
        match (&self.control, self.flows.get(&flow)) {
            (Some(control), _) if control.theirs == flow => self.handle_connection_command(flows, &command, now),
            (_, Some(&stream)) => self.handle_stream_command(flows, stream, &command, now),
            // What was under way on a flow that has been rejected since.
            _ => Ok(()),
        }
    }

    fn handle_connection_command(&mut self, flows: &mut Flows, command: &Command, now: Instant) -> Result<(), Over> {
        let Some(control) = &mut self.control else { return Ok(()) };
        match (command.name.as_str(), control.app.is_some()) {
            ("connect", false) => {
                control.app = Some(app(&command.object).ok_or(Over::OutOfTurn("connect names no application"))?);
                control.credential = credential(&command.object);
                control.tell(flows, &connected(command))
            }
            ("connect", true) => Err(Over::OutOfTurn("connected already")),
            (_, false) => Err(Over::OutOfTurn("a command before connect")),
            ("createStream", true) => self.create_stream(flows, command.transaction),
            ("deleteStream", true) => {
                let id = command.argument(0).and_then(Value::as_u32).map(StreamId);
                if let Some(id) = id {
                    self.delete_stream(flows, id, now);
                }
                self.reply(flows, command.transaction, Value::Undefined)
            }
            ("FCUnpublish", true) => {
                if let Some(stream) = self.publication.as_ref().map(|publication| publication.stream()) {
                    self.unpublish(flows, stream)?;
                }
                self.reply(flows, command.transaction, Value::Undefined)
            }
            ("time", true) => self.reply(flows, command.transaction, self.epoch.millis_to(now)),
            ("releaseStream" | "FCPublish" | "setPeerInfo" | "relay" | "broadcast" | "watch", true) => {
                self.reply(flows, command.transaction, Value::Undefined)
            }
            (_, true) => control.tell(flows, &failed(command, "Method not found")),
        }
    }

    fn create_stream(&mut self, flows: &mut Flows, transaction: f64) -> Result<(), Over> {
        let Some(control) = &self.control else { return Ok(()) };
        if self.streams.len() >= MAX_STREAMS {
            let info = Info::new(Status::CallFailed, "Too many streams").with("detail", "createStream");
            return control.tell(flows, &Command::error(transaction, info));
        }
        let id = StreamId(self.last_stream.0 % MAX_STREAM_ID + 1);
        self.last_stream = id;
        self.streams.insert(id, Box::new(Stream::new(id, control.theirs)));
        control.tell(flows, &Command::result(transaction, id.0))
    }

    fn delete_stream(&mut self, flows: &mut Flows, id: StreamId, now: Instant) {
        let Some(mut stream) = self.streams.remove(&id) else { return };
        self.publication.take_if(|publication| publication.stream() == id);
        self.waiting.remove(&id);
        stream.close(flows, now);
        self.flows.retain(|flow, of| {
            if *of == id {
                flows.reject(*flow, 0, "");
            }
            *of != id
        });
    }

    /// Answers a call on the control flow, if an answer is wanted.
    fn reply(&self, flows: &mut Flows, transaction: f64, value: impl Into<Value>) -> Result<(), Over> {
        match &self.control {
            Some(control) if transaction > 0.0 => control.tell(flows, &Command::result(transaction, value)),
            _ => Ok(()),
        }
    }

    fn handle_stream_command(
        &mut self,
        flows: &mut Flows,
        id: StreamId,
        command: &Command,
        now: Instant,
    ) -> Result<(), Over> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        let flag = command.argument(0).and_then(Value::as_bool);
        match command.name.as_str() {
            "play" => self.play(flows, id, command, now),
            "publish" => self.publish(flows, id, command, now),
            "closeStream" => {
                self.waiting.remove(&id);
                stream.stop(flows, now);
                self.unpublish(flows, id)
            }
            "pause" => {
                stream.pause(self.registry, self.config, flag.unwrap_or(false), now);
                Ok(())
            }
            "receiveAudio" => {
                stream.receive_audio(flag.unwrap_or(true));
                Ok(())
            }
            "receiveVideo" => {
                stream.receive_video(self.registry, self.config, flag.unwrap_or(true), now);
                Ok(())
            }
            _ => stream.answer(flows, &failed(command, "Method not found")),
        }
    }

    fn publish(&mut self, flows: &mut Flows, id: StreamId, command: &Command, now: Instant) -> Result<(), Over> {
        self.waiting.remove(&id);
        let Some(name) = command.argument(0).and_then(Value::as_str) else { return self.unpublish(flows, id) };
        let (Some(stream), Some(control)) = (self.streams.get_mut(&id), &self.control) else { return Ok(()) };
        let (name, query) = query::split(name);
        let path = StreamPath::new(control.app.as_deref().unwrap_or_default(), name);
        let is_publishing = self.publication.is_some()
            || self.waiting.values().any(|waiting| matches!(waiting.wanted, Wanted::Publish { .. }));
        let refuse = |why: &str| Info::new(Status::PublishBadName, why).with("detail", name);
        match path {
            _ if is_publishing => stream.notify(flows, refuse("This connection publishes already")),
            Err(error) => stream.notify(flows, refuse(&error.to_string())),
            Ok(path) => {
                let credential = query::value(query, TOKEN).and_then(|token| Secret::brought(&token));
                let wanted = Wanted::Publish { path: path.clone(), name: name.to_owned() };
                self.ask(id, Action::Publish, &path, credential, wanted, now);
                Ok(())
            }
        }
    }

    fn begin_publishing(
        &mut self,
        flows: &mut Flows,
        id: StreamId,
        path: &StreamPath,
        name: &str,
        grant: Grant,
        now: Instant,
    ) -> Result<(), Over> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        match Publication::begin(self.registry, path, id, grant, now) {
            Ok(publication) => {
                info!(stream = %path, "publishing");
                stream.stop(flows, now);
                self.publication = Some(Box::new(publication));
                for (&flow, _) in self.flows.iter().filter(|(_, of)| **of == id) {
                    flows.accept(flow, publish::WINDOW);
                }
                stream.notify(flows, Info::new(Status::PublishStart, "Publishing").with("detail", name))
            }
            Err(taken) => {
                stream.notify(flows, Info::new(Status::PublishBadName, &taken.to_string()).with("detail", name))
            }
        }
    }

    /// Ends what is published on a stream, as the client has asked.
    fn unpublish(&mut self, flows: &mut Flows, id: StreamId) -> Result<(), Over> {
        if self.publication.take_if(|publication| publication.stream() == id).is_none() {
            return Ok(());
        }
        info!("unpublished");
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(()) };
        stream.notify(flows, Info::new(Status::UnpublishSuccess, "Stopped publishing"))
    }

    /// Ends what is published, and says why.
    fn reject_publication(&mut self, flows: &mut Flows, why: &Rejection) -> Result<(), Over> {
        let Some(publication) = self.publication.take() else { return Ok(()) };
        info!("no longer publishing: {why}");
        let stream = publication.stream();
        publication.reject_flows(flows);
        let Some(stream) = self.streams.get_mut(&stream) else { return Ok(()) };
        stream.notify(flows, Info::new(Status::PublishRejected, &why.to_string()))
    }

    fn publishes(&self, stream: StreamId) -> bool {
        self.publication.as_ref().is_some_and(|publication| publication.stream() == stream)
    }

    fn play(&mut self, flows: &mut Flows, id: StreamId, command: &Command, now: Instant) -> Result<(), Over> {
        self.unpublish(flows, id)?;
        let (Some(stream), Some(control)) = (self.streams.get_mut(&id), &self.control) else { return Ok(()) };
        self.waiting.remove(&id);
        let Some(name) = command.argument(0).and_then(Value::as_str) else {
            stream.stop(flows, now);
            return Ok(());
        };
        let (name, query) = query::split(name);
        let mut query = Query::parse(query);
        let refuse = |stream: &mut Stream, flows: &mut Flows, why: &str| {
            stream.stop(flows, now);
            stream.notify(flows, Info::new(Status::PlayFailed, why).with("detail", name))
        };
        let Some(format) = query.format.as_deref().map_or(Some(self.format), Format::named) else {
            return refuse(stream, flows, "This format is not available; format=raw and format=fmp4 are");
        };
        let app = control.app.as_deref().unwrap_or_default();
        let path = match StreamPath::new(app, name) {
            Ok(path) => path,
            Err(error) => return refuse(stream, flows, &error.to_string()),
        };
        let credential = query.token.take();
        let request = Request { path: path.clone(), name: name.to_owned(), format, query, epoch: self.epoch };
        self.ask(id, Action::View, &path, credential, Wanted::Play(request), now);
        Ok(())
    }
}

impl Control {
    fn tell(&self, flows: &mut Flows, command: &Command) -> Result<(), Over> {
        self.write(flows, command.encode())
    }

    fn write(&self, flows: &mut Flows, message: Bytes) -> Result<(), Over> {
        if flows.queued_on(self.ours) >= MAX_UNREAD {
            return Err(Over::Unread);
        }
        match flows.write(self.ours, lasting(message)) {
            Ok(_) => Ok(()),
            Err(WriteError::Full) => Err(Over::Unread),
            Err(WriteError::Closed) => Err(Over::Left),
        }
    }
}

/// The application that a `connect` is for: its `app`, else the path of its `tcUrl`.
fn app(connect: &Value) -> Option<String> {
    let text = |key| connect.get(key).and_then(Value::as_str).filter(|text| !text.is_empty());
    let app = text("app").or_else(|| {
        let (_, rest) = text("tcUrl")?.split_once("://")?;
        Some(rest.split_once('/')?.1)
    })?;
    let app = query::percent_decode(query::split(app).0);
    let app = app.trim_matches('/');
    (!app.is_empty()).then(|| app.to_owned())
}

/// The answer to `connect`.
fn connected(connect: &Command) -> Command {
    // 4: can forward, whatever the codec.
    let any_codec = || Value::object([("*", 4.0)]);
    let mut info = Info::new(Status::ConnectSuccess, "Connected")
        .with("objectEncoding", 0.0)
        .with("capsEx", 0.0)
        .with("audioFourCcInfoMap", any_codec())
        .with("videoFourCcInfoMap", any_codec());
    if connect.object.get("fourCcList").is_some() {
        info = info.with("fourCcList", Value::StrictArray(vec!["*".into()]));
    }
    Command::result(connect.transaction, info)
}

/// The answer to a call that isn't known.
fn failed(command: &Command, why: &str) -> Command {
    let info = Info::new(Status::CallFailed, why).with("detail", command.name.as_str());
    if command.transaction > 0.0 { Command::error(command.transaction, info) } else { Command::on_status(info) }
}
