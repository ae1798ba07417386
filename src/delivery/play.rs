//! One message stream of a viewer: what it plays, and what it is told about it.
//!
//! ```text
//! play ─▶ Reset, Start, |RtmpSampleAccess ─▶ waiting ──publisher──▶ PublishNotify, metadata, configurations, frames
//!                                             │    ▲                                    │
//!                     wait_for_publisher over ▼    └── FLOW_SYNC, UnpublishNotify ◀─────┘ publisher gone
//!                                     StreamNotFound, and goes on waiting
//! ```
//!
//! Whoever starts, resumes or wants video again joins the stream anew and is given the newest group from its key frame:
//! there is a picture at once, and none that lacks what it needs. Sound that was given before is not given twice. Who was stuck
//! is given sound at once and goes on with the next key frame: of what is old it has enough in its sockets.

use std::time::Instant;

use super::Config;
use super::error::Over;
use super::formats::{Format, Tracks};
use super::measure::Teller;
use super::outlet::{Carries, Outlet, Written, lasting};
use super::policy::{self, Lifetimes};
use super::query::Query;
use crate::authority::Grant;
use crate::broadcast::{Frame, Item, Registry, StreamPath, Subscriber};
use crate::clock::Epoch;
use crate::media::time::Timestamp;
use crate::media::{Track, UnitKind};
use crate::session::{Flows, RecvFlow, SendFlow};
use crate::wire::amf0::Value;
use crate::wire::tc::{Command, Data, Info, Status, StreamId, UserControl};

/// A message stream made by `createStream`.
#[derive(Debug)]
pub(super) struct Stream {
    id: StreamId,
    control: RecvFlow,
    data: Outlet,
    tracks: Tracks,
    playing: Option<Playing>,
    paused: bool,
    wants_audio: bool,
    wants_video: bool,
    /// Number of the next FLOW_SYNC.
    next_sync: u32,
}

/// What is being played.
#[derive(Debug)]
struct Playing {
    subscriber: Subscriber,
    /// By what right it is played: for as long as it is here.
    _grant: Grant,
    path: StreamPath,
    /// The name in the viewer's words.
    name: String,
    format: Format,
    lifetimes: Lifetimes,
    /// When it joined or was moved to the newest group: what came before is as fresh as what came then.
    started: Instant,
    /// When it read on after it was stuck, unless it has joined anew since.
    resumed: Option<Instant>,
    /// When to say that nobody publishes.
    patient_until: Option<Instant>,
    published: bool,
    /// Delta frames are of no use until a key frame has been queued.
    needs_key: bool,
    last_audio: Option<Timestamp>,
    /// What the gateway's clock is told by.
    epoch: Epoch,
    /// For who asked to be told it.
    teller: Option<Teller>,
}

/// What to play and how.
#[derive(Debug)]
pub(super) struct Request {
    /// The stream.
    pub(super) path: StreamPath,
    /// Its name as the viewer said it.
    pub(super) name: String,
    /// In which form.
    pub(super) format: Format,
    /// The viewer's other wishes.
    pub(super) query: Query,
    /// What the gateway's clock is told by.
    pub(super) epoch: Epoch,
}

impl Stream {
    /// A stream that does nothing yet. Its flows will answer the viewer's flow `control`.
    pub(super) fn new(id: StreamId, control: RecvFlow) -> Self {
        Self {
            id,
            control,
            data: Outlet::new(Carries::Tc, id, control, policy::priority(Track::Data)),
            tracks: Tracks::new(Format::Raw, id, control),
            playing: None,
            paused: false,
            wants_audio: true,
            wants_video: true,
            next_sync: 0,
        }
    }

    /// Plays, instead of what was played before.
    ///
    /// # Errors
    /// [`Over`] when the viewer can't be answered.
    pub(super) fn play(
        &mut self,
        flows: &mut Flows,
        registry: &Registry,
        config: &Config,
        request: Request,
        grant: Grant,
        now: Instant,
    ) -> Result<(), Over> {
        let Request { path, name, format, query, epoch } = request;
        self.stop(flows, now);
        // A viewer that plays anew may have new decoders: new flows begin with the configurations again.
        self.tracks.finish(flows);
        self.tracks = Tracks::new(format, self.id, self.control);
        self.paused = false;
        self.notify(flows, Info::new(Status::PlayReset, "Playing and resetting").with("detail", name.as_str()))?;
        let target_delay = u32::try_from(format.target_delay(config).as_millis()).unwrap_or(u32::MAX);
        let start = Info::new(Status::PlayStart, "Started playing")
            .with("detail", name.as_str())
            .with("targetDelay", target_delay);
        self.notify(flows, start)?;
        let access = Data::new("|RtmpSampleAccess", vec![Value::Boolean(true), Value::Boolean(true)]);
        self.data.tell(flows, access.encode(0))?;
        self.playing = Some(Playing {
            subscriber: format.subscribe(registry, config, &path, epoch),
            _grant: grant,
            path,
            name,
            format,
            lifetimes: Lifetimes::new(config, &query),
            started: now,
            resumed: None,
            patient_until: Some(now + config.wait_for_publisher),
            published: false,
            needs_key: true,
            last_audio: None,
            epoch,
            teller: query.clock.then(|| Teller::new(now)),
        });
        Ok(())
    }

    /// Stops playing. The flows stay open for what is played next.
    pub(super) fn stop(&mut self, flows: &mut Flows, now: Instant) {
        if self.playing.take().is_some() {
            self.tracks.clear(flows, now);
        }
    }

    /// Stops playing and closes all flows.
    pub(super) fn close(&mut self, flows: &mut Flows, now: Instant) {
        self.stop(flows, now);
        self.tracks.finish(flows);
        self.data.finish(flows);
    }

    /// Withholds audio and video, or gives them again from the newest group on.
    pub(super) fn pause(&mut self, registry: &Registry, config: &Config, paused: bool, now: Instant) {
        if self.paused && !paused {
            self.rejoin(registry, config, now);
        }
        self.paused = paused;
    }

    /// Withholds audio, or gives it again.
    pub(super) fn receive_audio(&mut self, wanted: bool) {
        self.wants_audio = wanted;
    }

    /// Withholds video, or gives it again from the newest group on.
    pub(super) fn receive_video(&mut self, registry: &Registry, config: &Config, wanted: bool, now: Instant) {
        if wanted && !self.wants_video {
            self.rejoin(registry, config, now);
        }
        self.wants_video = wanted;
    }

    /// Tells the viewer on the stream's data flow.
    ///
    /// # Errors
    /// [`Over`].
    pub(super) fn notify(&mut self, flows: &mut Flows, info: Info) -> Result<(), Over> {
        self.answer(flows, &Command::on_status(info))
    }

    /// Sends a command on the stream's data flow.
    ///
    /// # Errors
    /// [`Over`].
    pub(super) fn answer(&mut self, flows: &mut Flows, command: &Command) -> Result<(), Over> {
        self.data.tell(flows, command.encode())
    }

    /// Takes in what happened to the played stream.
    ///
    /// # Errors
    /// [`Over`] when the viewer can't be told.
    pub(super) fn handle_item(
        &mut self,
        flows: &mut Flows,
        config: &Config,
        item: Item,
        now: Instant,
    ) -> Result<(), Over> {
        let Some(playing) = &mut self.playing else { return Ok(()) };
        match item {
            Item::Online => {
                playing.patient_until = None;
                if std::mem::replace(&mut playing.published, true) {
                    return Ok(());
                }
                self.tracks.handle_online();
                let info =
                    Info::new(Status::PlayPublishNotify, "Being published").with("detail", playing.name.as_str());
                self.notify(flows, info)
            }
            Item::Offline => self.handle_offline(flows),
            Item::Frame(frame) => self.handle_frame(flows, config, frame, now),
            Item::Skipped { .. } => {
                playing.started = now;
                playing.resumed = Some(now);
                playing.needs_key = true;
                Ok(())
            }
        }
    }

    /// Takes in that the time of [`Stream::poll_timeout`] may have come.
    ///
    /// # Errors
    /// [`Over`] when the viewer can't be told.
    pub(super) fn handle_timeout(&mut self, flows: &mut Flows, now: Instant) -> Result<(), Over> {
        let Some(playing) = &mut self.playing else { return Ok(()) };
        if playing.patient_until.take_if(|until| *until <= now).is_none() {
            return Ok(());
        }
        let info =
            Info::new(Status::PlayStreamNotFound, "Nobody publishes this yet").with("detail", playing.name.as_str());
        self.notify(flows, info)
    }

    /// Takes in that the viewer rejected a flow.
    pub(super) fn handle_rejected(&mut self, flow: SendFlow) {
        self.data.handle_rejected(flow);
        self.tracks.handle_rejected(flow);
    }

    /// When to call [`Stream::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        self.playing.as_ref()?.patient_until
    }

    /// What is played.
    pub(super) fn path(&self) -> Option<&StreamPath> {
        self.playing.as_ref().map(|playing| &playing.path)
    }

    /// The cursor into what is played.
    pub(super) fn subscriber(&mut self) -> Option<&mut Subscriber> {
        self.playing.as_mut().map(|playing| &mut playing.subscriber)
    }

    fn rejoin(&mut self, registry: &Registry, config: &Config, now: Instant) {
        if let Some(playing) = &mut self.playing {
            playing.subscriber = playing.format.subscribe(registry, config, &playing.path, playing.epoch);
            playing.started = now;
            playing.resumed = None;
            playing.needs_key = true;
        }
    }

    fn handle_frame(&mut self, flows: &mut Flows, config: &Config, frame: Frame, now: Instant) -> Result<(), Over> {
        let Some(playing) = &mut self.playing else { return Ok(()) };
        let (kind, timestamp, received) = (frame.kind, frame.timestamp, frame.received);
        if matches!(kind, UnitKind::Key | UnitKind::Delta | UnitKind::Audio)
            && let Some(told) = playing.teller.as_mut().and_then(|teller| teller.tell(&frame, playing.epoch, now))
        {
            // Another comes in a second.
            let _: Written = self.data.write(flows, lasting(told), None)?;
        }
        match (frame.track, kind) {
            // A viewer that has no room for metadata can do without; it is nothing to leave it for.
            (Track::Data, _) => return self.data.write(flows, lasting(frame.message), None).map(|_: Written| ()),
            (_, UnitKind::Audio) => {
                let repeated = received < playing.started && playing.last_audio >= Some(timestamp);
                let format = playing.format;
                let audible = policy::is_audible(format, received, playing.started, format.target_delay(config));
                if self.paused || !self.wants_audio || repeated || !audible {
                    return Ok(());
                }
            }
            (_, UnitKind::Key) => {
                let margin = playing.lifetimes.resume_margin();
                let live = playing.resumed.is_none_or(|resumed| policy::is_live(received, resumed, margin));
                if self.paused || !self.wants_video || !live {
                    return Ok(());
                }
            }
            (_, UnitKind::Delta) if self.paused || !self.wants_video || playing.needs_key => return Ok(()),
            // Decoders must stay right even while nothing is decoded.
            _ => {}
        }
        let deadline = playing.lifetimes.deadline(kind, received, playing.started);
        let origin = policy::origin(kind, received, playing.started);
        let written = if policy::is_late(deadline, now) {
            Written::Lost
        } else {
            self.tracks.write(flows, frame, deadline, playing.lifetimes.previous_group(now), origin)?
        };
        if let (Written::Lost, Some(origin)) = (written, origin) {
            flows.count_abandoned(origin);
        }
        match (kind, written) {
            (UnitKind::Audio, Written::Queued) => playing.last_audio = Some(timestamp),
            (UnitKind::Key, Written::Queued) => playing.needs_key = false,
            (UnitKind::Key | UnitKind::Delta, Written::Lost) => playing.needs_key = true,
            _ => {}
        }
        Ok(())
    }

    /// Says that the publisher has gone, after the last sound: the syncs keep the flows in step.
    fn handle_offline(&mut self, flows: &mut Flows) -> Result<(), Over> {
        let Some(playing) = &mut self.playing else { return Ok(()) };
        playing.published = false;
        let info = Info::new(Status::PlayUnpublishNotify, "No longer published").with("detail", playing.name.as_str());
        self.sync(flows)?;
        self.notify(flows, info)?;
        self.sync(flows)
    }

    /// Makes the viewer hand up nothing more from the audio or the data flow until it has come this far on both. One
    /// flow that waits for another that isn't there would stall for good, so both must be open.
    fn sync(&mut self, flows: &mut Flows) -> Result<(), Over> {
        let (true, Some(audio)) = (self.data.is_open(), self.tracks.audio()) else { return Ok(()) };
        let sync = UserControl::FlowSync { id: self.next_sync, count: 2 }.encode();
        self.next_sync = self.next_sync.wrapping_add(1);
        audio.tell(flows, sync.clone())?;
        self.data.tell(flows, sync)
    }
}
