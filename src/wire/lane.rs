//! Lanes: flows laid onto unidirectional streams of QUIC (RFC 9000 §2.1) or WebTransport. Our own framing, specified here.
//!
//! The flows, their metadata, their messages and the conversation on them are RTWebSocket's. Instead of one pipe there are
//! many *lanes*: each group of messages that depend on each other is a stream of its own, so that a late group can be given
//! up without holding up the next. Acknowledgement, flow control and retransmission are QUIC's. Both sides are alike.
//!
//! All numbers are [variable-length](super::vlu) (RFC 7016 §2.1.2).
//!
//! ```text
//! control lane   00 │ length record │ length record │ …                                          (one each way, never ends)
//! group lane     01 flow lane first preambleLength preamble │ skipped length message │ … FIN
//! ```
//!
//! # The control lane
//!
//! The first lane that each side opens. Each record is preceded by its length and begins with one byte that names it, as in
//! [RTWebSocket](super::frame):
//!
//! | first byte | record | layout behind it | from |
//! |---|---|---|---|
//! | `10` | flow open | flow, metadata | flow's sender |
//! | `30` | flow open, answering a flow of the receiver's | flow, answered flow, metadata | flow's sender |
//! | `1a` | lane given up: its stream was reset, perhaps before its header arrived | flow, lane | flow's sender |
//! | `1c` | flow close | flow, how many lanes it had | flow's sender |
//! | `5e` | exception: the flow is not wanted | flow, reason, UTF-8 text | flow's receiver |
//!
//! A record with another first byte is skipped. Flows are numbered upwards in the order of their opening and a number is not used
//! again, so nothing late can be taken for something new. The control lane's end or reset is the session's end.
//!
//! # Group lanes
//!
//! *lane* counts the lanes of its flow from 0. *first* is the number of the flow's message that would be the lane's first, counting
//! from 1. The *preamble* (decoder configuration, may be empty) stands before the first message; a lane is decodable by itself. A
//! changed preamble begins a new lane. Then come the messages, whole and in order, each preceded by how many were abandoned before
//! it (*skipped*, 0 mostly) and its length. A lane may outrun the record that opens its flow.
//!
//! A sender gives up a message that has not begun by counting it into the next *skipped*, or the next lane's *first*; one that has
//! begun by resetting the stream with [`LaneCode::Abandoned`] and saying so on the control lane. Messages behind it that do not
//! need it go on in a new lane. Stream priority is the flow's, then the newest lane.
//!
//! # What a receiver does
//!
//! It hands up the lanes of a flow in order. A newer lane waits until the ones before it have ended, at most 100 ms from its
//! first whole message on; then what is older is stopped with [`LaneCode::Superseded`] and its messages count as lost. Loss is read from the
//! numbers, never from a reset, which may outrun the lane's header. A preamble is handed up like a message, unless it is the same as
//! the flow's last.
//!
//! # How many lanes
//!
//! A group is a lane; a flow whose messages do not depend on each other (control, data, audio) is one group for ever. A minute of 30 frames
//! a second in groups of 2 s takes 30 lanes for video, one for audio, one for data, one for commands and the control lane: browsers that
//! bear a few thousand streams a session last for hours.

/// What a stream is reset or stopped for: QUIC's application error code, or WebTransport's stream error code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LaneCode {
    /// 0: the session ends.
    Closed,
    /// 1, reset: what is left of the group is too late to be of use.
    Abandoned,
    /// 2, stop: a newer group is being handed up.
    Superseded,
    /// 3, stop: the flow is not wanted, or the lane's kind is not known.
    Rejected,
}

impl LaneCode {
    /// Its number on the wire.
    pub fn number(self) -> u32 {
        match self {
            Self::Closed => 0,
            Self::Abandoned => 1,
            Self::Superseded => 2,
            Self::Rejected => 3,
        }
    }
}
