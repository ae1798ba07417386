//! What a unit becomes on which flow.
//!
//! | format | unit | flow |
//! |---|---|---|
//! | `raw` | the RTMP message as it is | audio on one, video on another |
//! | `fmp4` | the broadcast's packaged form of it: [`tlv`] | the same, and they say that they are |
//!
//! Configurations are the flow's preamble. Data and statuses are on the stream's data flow in both.
//!
//! Invariant: while a publisher stays, a configuration that is the same as the last one is never sent again. Genuine
//! clients take even an identical AVC configuration for a reason to drop pictures until the next key frame.

use std::time::{Duration, Instant};

use bytes::Bytes;

use super::error::Over;
use super::outlet::{Carries, Outlet, Written};
use super::{Config, policy};
use crate::broadcast::{Frame, Registry, StreamPath, Subscriber};
use crate::clock::Epoch;
use crate::media::{MESSAGE_HEADER_LEN, Track, UnitKind};
use crate::session::tally::Origin;
use crate::session::{Deadline, Flows, GroupId, Message, RecvFlow, SendFlow};
use crate::wire::tc::StreamId;
use crate::wire::tlv;

/// In which form a stream is delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// FLV/RTMP message bodies.
    #[default]
    Raw,
    /// Fragmented MP4.
    Fmp4,
}

/// The audio and the video flow of a played stream.
#[derive(Debug)]
pub(super) struct Tracks {
    format: Format,
    audio: Lane,
    video: Lane,
}

/// One flow and where it is.
#[derive(Debug)]
struct Lane {
    outlet: Outlet,
    /// Number of the group that is being written. It is the flow's own: a stream's groups may be played twice.
    group: GroupId,
    /// The stream's number of that group.
    stream_group: Option<u64>,
    configuration: Bytes,
}

impl Format {
    /// The format of this name.
    pub(super) fn named(name: &str) -> Option<Self> {
        match name {
            "raw" => Some(Self::Raw),
            "fmp4" => Some(Self::Fmp4),
            _ => None,
        }
    }

    /// The delay that players are asked to keep.
    pub(super) fn target_delay(self, config: &Config) -> Duration {
        match self {
            Self::Raw => config.target_delay.raw,
            Self::Fmp4 => config.target_delay.fmp4,
        }
    }

    /// Attaches to a stream in this form, `epoch` being where the viewer is told that the Unix epoch lies.
    pub(super) fn subscribe(self, registry: &Registry, config: &Config, path: &StreamPath, epoch: Epoch) -> Subscriber {
        match self {
            Self::Raw => registry.subscribe(path),
            Self::Fmp4 => registry.subscribe_packaged(path, config.segment_frames, epoch),
        }
    }
}

impl Tracks {
    /// Flows of `stream`, opened when there is something for them.
    pub(super) fn new(format: Format, stream: StreamId, control: RecvFlow) -> Self {
        let lane = |track, packaged| {
            let carries = match format {
                Format::Raw => Carries::Tc,
                Format::Fmp4 => Carries::Tlv(packaged),
            };
            Lane::new(carries, stream, control, track)
        };
        Self { format, audio: lane(Track::Audio, tlv::Track::Audio), video: lane(Track::Video, tlv::Track::Video) }
    }

    /// Queues an audio or video frame. A key frame brings forward the deadlines of what came before it to `previous`.
    ///
    /// # Errors
    /// [`Over::TooManyFlows`].
    pub(super) fn write(
        &mut self,
        flows: &mut Flows,
        frame: Frame,
        deadline: Deadline,
        previous: Option<Deadline>,
        origin: Option<Origin>,
    ) -> Result<Written, Over> {
        let lane = match frame.track {
            Track::Audio => &mut self.audio,
            Track::Video => &mut self.video,
            Track::Data => return Ok(Written::Queued),
        };
        lane.write(flows, frame, deadline, previous, origin)
    }

    /// Gives up all frames that wait to be sent.
    pub(super) fn clear(&self, flows: &mut Flows, now: Instant) {
        let deadline = Deadline { start_by: Some(now), finish_by: Some(now) };
        for lane in [&self.audio, &self.video] {
            lane.outlet.expire(flows, GroupId(u64::MAX), deadline);
        }
    }

    /// Closes both flows. What comes next opens others, beginning with the configuration.
    pub(super) fn finish(&mut self, flows: &mut Flows) {
        for lane in [&mut self.audio, &mut self.video] {
            lane.outlet.finish(flows);
            lane.configuration = Bytes::new();
        }
    }

    /// Takes in that another publisher begins. A raw one does with configurations, whatever was before; behind a packaged one's
    /// header any publisher's segments may come.
    pub(super) fn handle_online(&mut self) {
        if self.format == Format::Raw {
            self.audio.configuration = Bytes::new();
            self.video.configuration = Bytes::new();
        }
    }

    /// Takes in that the viewer rejected a flow.
    pub(super) fn handle_rejected(&mut self, flow: SendFlow) {
        self.audio.outlet.handle_rejected(flow);
        self.video.outlet.handle_rejected(flow);
    }

    /// The audio flow, once it is open, if user control messages may be sent on it.
    pub(super) fn audio(&mut self) -> Option<&mut Outlet> {
        Some(&mut self.audio.outlet).filter(|outlet| outlet.is_open() && self.format == Format::Raw)
    }
}

impl Lane {
    fn new(carries: Carries, stream: StreamId, control: RecvFlow, track: Track) -> Self {
        Self {
            outlet: Outlet::new(carries, stream, control, policy::priority(track)),
            group: GroupId::default(),
            stream_group: None,
            configuration: Bytes::new(),
        }
    }

    fn write(
        &mut self,
        flows: &mut Flows,
        frame: Frame,
        deadline: Deadline,
        previous: Option<Deadline>,
        origin: Option<Origin>,
    ) -> Result<Written, Over> {
        if frame.kind == UnitKind::Configuration {
            // A raw one's header holds the time, which changes though the configuration does not. That of the other form
            // is as long.
            let body = frame.message.get(MESSAGE_HEADER_LEN..).map(|body| frame.message.slice_ref(body));
            let body = body.unwrap_or_default();
            if body == self.configuration {
                return Ok(Written::Queued);
            }
            let written = self.outlet.preamble(flows, frame.message)?;
            if matches!(written, Written::Queued) {
                self.configuration = body;
            }
            return Ok(written);
        }
        if frame.kind == UnitKind::Key || starts_group(&frame) && self.stream_group != Some(frame.group) {
            self.stream_group = Some(frame.group);
            self.group = GroupId(self.group.0 + 1);
        }
        if frame.kind == UnitKind::Key
            && let Some(previous) = previous
        {
            self.outlet.expire(flows, self.group, previous);
        }
        let message = Message {
            payload: frame.message,
            group: self.group,
            needs_previous: policy::needs_previous(frame.kind),
            deadline,
        };
        self.outlet.write(flows, message, origin)
    }
}

/// Whether a frame leaves its flow's group with the stream's. Sound needs no other sound, and a group may cost a stream of the
/// transport's: all of it is one.
fn starts_group(frame: &Frame) -> bool {
    frame.track != Track::Audio
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::time::Timestamp;
    use crate::session::streams::LaneTransmit;
    use crate::session::{Config, Session, Streams};

    /// How many lanes ten frames take, each in another group of the stream's.
    fn lanes(track: Track, kind: UnitKind) -> usize {
        let now = Instant::now();
        let mut session = Session::<Streams>::new(Config::default());
        let mut raw = Tracks::new(Format::Raw, StreamId(1), RecvFlow(0));
        for group in 0..10 {
            let message = Bytes::from_static(b"a message");
            let frame = Frame { track, kind, timestamp: Timestamp::from_millis(0), group, received: now, message };
            assert!(matches!(raw.write(session.flows(), frame, Deadline::default(), None, None), Ok(Written::Queued)));
        }
        let sent = std::iter::from_fn(|| session.poll_transmit(now));
        sent.filter(|transmit| matches!(transmit, LaneTransmit::Open { .. })).count() - 1
    }

    #[test]
    fn a_group_of_pictures_is_a_lane_and_all_sound_is_one() {
        assert_eq!((lanes(Track::Video, UnitKind::Key), lanes(Track::Audio, UnitKind::Audio)), (10, 1));
    }
}
