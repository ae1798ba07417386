//! What a client publishes: the second way in, by the rules of the first.
//!
//! ```text
//! publish ─▶ Publish.Start ─▶ messages on the stream's flows ─▶ Intake ─▶ Publisher
//!    └─▶ Publish.BadName         └─▶ Publish.Rejected: a codec, a newer publisher, silence
//! ```
//!
//! Sound, picture and data come on flows of their own, and overtake each other as the client's priorities say; the time in
//! each message's header puts them together again. One message is held for each flow, as long as the flow's window at most.

use std::collections::BTreeMap;
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::authority::Grant;
use crate::broadcast::{Intake, Publisher, Registry, Replaced, StreamPath, Taken, UnsupportedCodec};
use crate::media::Track;
use crate::session::{Flows, RecvFlow};
use crate::wire::tc::{HEADER_LEN, StreamId, message_type};

/// Unacknowledged bytes allowed on a flow of a client that publishes. No memory is set aside for them, since messages are
/// taken as they come: this is 80 Mbit/s over a round trip of 200 ms.
pub(super) const WINDOW: u64 = 2 << 20;

/// One stream that a client publishes. Dropping it takes the stream offline.
#[derive(Debug)]
pub(super) struct Publication {
    stream: StreamId,
    publisher: Publisher,
    /// By what right.
    _grant: Grant,
    intake: Intake,
    /// The flows on which sound or picture has come. Picture makes a flow its own.
    tracks: BTreeMap<RecvFlow, Track>,
}

/// Why a client may publish no longer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Rejection {
    /// Another publisher has taken the stream.
    #[error(transparent)]
    Replaced(#[from] Replaced),
    /// It sends what this gateway can't carry.
    #[error(transparent)]
    UnsupportedCodec(#[from] UnsupportedCodec),
    /// It has sent nothing for too long.
    #[error("no media in time")]
    Stalled,
}

impl Publication {
    /// Begins to publish `path` from message stream `stream`.
    ///
    /// # Errors
    /// [`Taken`].
    pub(super) fn begin(
        registry: &Registry,
        path: &StreamPath,
        stream: StreamId,
        grant: Grant,
        now: Instant,
    ) -> Result<Self, Taken> {
        let publisher = registry.publish(path, now)?;
        Ok(Self { stream, publisher, _grant: grant, intake: Intake::default(), tracks: BTreeMap::new() })
    }

    /// Takes in a message for which [`is_media`] holds.
    ///
    /// # Errors
    /// [`Rejection`]: tell the client, and drop this.
    pub(super) fn handle_media(&mut self, flow: RecvFlow, message: &Bytes, now: Instant) -> Result<(), Rejection> {
        let Some((&[kind, a, b, c, d], _)) = message.split_first_chunk::<HEADER_LEN>() else { return Ok(()) };
        match kind {
            message_type::VIDEO => drop(self.tracks.insert(flow, Track::Video)),
            message_type::AUDIO => drop(self.tracks.entry(flow).or_insert(Track::Audio)),
            _ => {}
        }
        // A copy of its own: a slice would keep the connection's whole read buffer for as long as the stream keeps the frame.
        let unit = self.intake.read(kind, u32::from_be_bytes([a, b, c, d]), BytesMut::from(&message[..]))?;
        if let Some(unit) = unit {
            self.publisher.append_quietly(unit, now)?;
            self.publisher.wake(now);
        }
        Ok(())
    }

    /// Takes in that messages of a flow will never come.
    pub(super) fn handle_gap(&mut self, flow: RecvFlow) {
        if let Some(&track) = self.tracks.get(&flow) {
            self.intake.handle_gap(track);
        }
    }

    /// Takes in that a flow is closed.
    pub(super) fn handle_closed(&mut self, flow: RecvFlow) {
        self.tracks.remove(&flow);
    }

    /// Ends it, and the flows that carried it: what the client still sends would only fill the line.
    pub(super) fn reject_flows(self, flows: &mut Flows) {
        for flow in self.tracks.into_keys() {
            flows.reject(flow, 0, "");
        }
    }

    /// The message stream that it belongs to.
    pub(super) fn stream(&self) -> StreamId {
        self.stream
    }

    /// Takes in that the time of [`Publication::poll_timeout`] may have come.
    ///
    /// # Errors
    /// [`Rejection::Stalled`].
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), Rejection> {
        self.publisher.wake(now);
        if self.publisher.stalls_at() <= now { Err(Rejection::Stalled) } else { Ok(()) }
    }

    /// When to call [`Publication::handle_timeout`].
    pub(super) fn poll_timeout(&self) -> Instant {
        let stalls_at = self.publisher.stalls_at();
        self.publisher.wake_at().map_or(stalls_at, |wake_at| wake_at.min(stalls_at))
    }
}

/// Whether a message is of a type that is published.
pub(super) fn is_media(message: &[u8]) -> bool {
    use message_type::{AUDIO, DATA_AMF0, DATA_AMF3, VIDEO};
    matches!(message.first(), Some(&(AUDIO | VIDEO | DATA_AMF0 | DATA_AMF3)))
}
