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
//! | `1c` | flow close | flow, how many lanes it had, how many messages | flow's sender |
//! | `5e` | exception: the flow is not wanted | flow, reason, UTF-8 text | flow's receiver |
//!
//! A record with another first byte is skipped, as is what follows the last number of one that has no text. A record is at most
//! [`MAX_RECORD`] bytes long. Flows are numbered upwards in the order of their opening and a number is not used again, so nothing
//! late can be taken for something new. A flow ends where its close has come and all its lanes have ended; messages that the
//! close counts and that have not come by then never will. A control lane that is finished, reset or stopped is the session's end.
//!
//! # Group lanes
//!
//! *lane* counts the lanes of its flow from 0. *first* is the number of the flow's message that would be the lane's first, counting
//! from 1. The *preamble* (decoder configuration, may be empty, at most [`MAX_PREAMBLE`] bytes) stands before the first message; a lane is decodable by itself. A
//! changed preamble begins a new lane. Then come the messages, whole and in order, each preceded by how many were abandoned before
//! it (*skipped*, 0 mostly) and its length. A lane may outrun the record that opens its flow.
//!
//! A sender gives up a message that has not begun by counting it into the next *skipped*, or the next lane's *first*; one that has
//! begun by resetting the stream with [`LaneCode::Abandoned`] and saying so on the control lane. Messages behind it that do not
//! need it go on in a new lane. A lane that the receiver stopped is given up in the same way. Stream priority is the flow's, then
//! the newest lane; the control lane goes before all. A preamble goes out with the next message, and has no number.
//!
//! # What a receiver does
//!
//! It hands up the lanes of a flow in order. A newer lane waits until the ones before it have ended, at most 100 ms from its
//! first whole message on; then what is older is stopped with [`LaneCode::Superseded`] and its messages count as lost. Loss is read from the
//! numbers, never from a reset, which may outrun the lane's header. A preamble is handed up like a message, unless it is the same as
//! the flow's last. A lane of a flow that is not open yet waits for the record that opens it; one of a flow that is not wanted,
//! or has been closed, is stopped with [`LaneCode::Rejected`], as is one of another kind.
//!
//! # How many lanes
//!
//! A group is a lane; a flow whose messages do not depend on each other (control, data, audio) is one group for ever. A minute of 30 frames
//! a second in groups of 2 s takes 30 lanes for video, one for audio, one for data, one for commands and the control lane: browsers that
//! bear a few thousand streams a session last for hours.

use bytes::{Buf, Bytes};
use thiserror::Error;

use super::frame::Fragment;
use super::vlu;

/// Longest control record in bytes. Metadata and reasons are a few words; a longer claim would only fill memory.
pub const MAX_RECORD: usize = 4096;

/// Longest preamble in bytes. Decoder configuration takes hundreds; a longer claim would only fill memory.
pub const MAX_PREAMBLE: usize = 16 << 10;

const CONTROL: u8 = 0x00;
const GROUP: u8 = 0x01;

const OPEN: u8 = 0x10;
const OPEN_RETURN: u8 = 0x30;
const GIVEN_UP: u8 = 0x1a;
const CLOSE: u8 = 0x1c;
const EXCEPTION: u8 = 0x5e;

/// What a lane is for: its first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Records about flows.
    Control,
    /// Messages of a flow.
    Group,
}

impl Kind {
    /// Reads a lane's first byte. `None`: a kind that is not known here.
    pub fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            CONTROL => Some(Self::Control),
            GROUP => Some(Self::Group),
            _ => None,
        }
    }
}

/// How the control lane begins.
pub fn control_header() -> Fragment {
    let mut fragment = Fragment::bare(Bytes::new());
    fragment.push(CONTROL);
    fragment
}

/// A record of the control lane.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// Begins a flow.
    Open {
        /// Its number.
        flow: u64,
        /// The flow of the receiver's that it answers.
        answers: Option<u64>,
        /// What it is for.
        metadata: Bytes,
    },
    /// A lane was reset.
    GivenUp {
        /// Its flow.
        flow: u64,
        /// Its number in the flow.
        lane: u64,
    },
    /// Ends a flow, behind all its lanes.
    Close {
        /// The flow.
        flow: u64,
        /// How many lanes it had.
        lanes: u64,
        /// How many messages it had, given up or not.
        messages: u64,
    },
    /// The receiver does not want a flow.
    Exception {
        /// The flow, by its sender's number.
        flow: u64,
        /// Why, in the application's terms.
        reason: u64,
        /// And in words.
        text: Bytes,
    },
}

impl Record {
    /// Writes the record behind its length. What is longer than [`MAX_RECORD`] is cut at its end: only words can be.
    pub fn encode(self) -> Fragment {
        let (kind, numbers, body) = match self {
            Self::Open { flow, answers: None, metadata } => (OPEN, [Some(flow), None, None], metadata),
            Self::Open { flow, answers, metadata } => (OPEN_RETURN, [Some(flow), answers, None], metadata),
            Self::GivenUp { flow, lane } => (GIVEN_UP, [Some(flow), Some(lane), None], Bytes::new()),
            Self::Close { flow, lanes, messages } => (CLOSE, [Some(flow), Some(lanes), Some(messages)], Bytes::new()),
            Self::Exception { flow, reason, text } => (EXCEPTION, [Some(flow), Some(reason), None], text),
        };
        let numbers = || numbers.into_iter().flatten();
        let head = 1 + numbers().map(vlu::len).sum::<usize>();
        let body = body.slice(..body.len().min(MAX_RECORD - head));
        let len = head + body.len();
        let mut fragment = Fragment::bare(body);
        fragment.push_number(len as u64);
        fragment.push(kind);
        numbers().for_each(|number| fragment.push_number(number));
        fragment
    }

    /// Reads a record without its length. `None`: an empty record or one of an unknown kind, to be skipped.
    ///
    /// # Errors
    /// [`MalformedLane`] when a number is cut or missing.
    pub fn decode(mut input: Bytes) -> Result<Option<Self>, MalformedLane> {
        if input.is_empty() {
            return Ok(None);
        }
        let kind = input.get_u8();
        Self::decode_kind(kind, input).map_err(|vlu::Truncated| MalformedLane::TruncatedRecord { kind })
    }

    fn decode_kind(kind: u8, mut input: Bytes) -> Result<Option<Self>, vlu::Truncated> {
        if !matches!(kind, OPEN | OPEN_RETURN | GIVEN_UP | CLOSE | EXCEPTION) {
            return Ok(None);
        }
        let flow = vlu::decode(&mut input)?;
        Ok(Some(match kind {
            OPEN => Self::Open { flow, answers: None, metadata: input },
            OPEN_RETURN => Self::Open { flow, answers: Some(vlu::decode(&mut input)?), metadata: input },
            GIVEN_UP => Self::GivenUp { flow, lane: vlu::decode(&mut input)? },
            CLOSE => {
                let lanes = vlu::decode(&mut input)?;
                Self::Close { flow, lanes, messages: vlu::decode(&mut input)? }
            }
            _ => Self::Exception { flow, reason: vlu::decode(&mut input)?, text: input },
        }))
    }
}

/// How a group lane begins, behind its first byte and before its preamble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GroupHeader {
    /// The flow.
    pub flow: u64,
    /// Number of the lane in the flow, from 0.
    pub lane: u64,
    /// Number of the message that would be the first here, from 1.
    pub first: u64,
    /// Length of the preamble in bytes.
    pub preamble: u64,
}

impl GroupHeader {
    /// Writes the beginning of a lane: its first byte, this and the preamble, whose length is put in the place of this one's.
    pub fn encode(self, preamble: Bytes) -> Fragment {
        let len = preamble.len() as u64;
        let mut fragment = Fragment::bare(preamble);
        fragment.push(GROUP);
        [self.flow, self.lane, self.first, len].into_iter().for_each(|number| fragment.push_number(number));
        fragment
    }

    /// Reads what stands behind a lane's first byte, and how many bytes it took. `None`: not all of it is there.
    ///
    /// # Errors
    /// [`MalformedLane::LongNumber`].
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, MalformedLane> {
        let numbers = numbers(input)?;
        Ok(numbers.map(|([flow, lane, first, preamble], len)| (Self { flow, lane, first, preamble }, len)))
    }
}

/// What stands before each message of a lane.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageHeader {
    /// How many messages were given up before this one.
    pub skipped: u64,
    /// Length of the message in bytes.
    pub len: u64,
}

impl MessageHeader {
    /// Writes the beginning of a message: this and its first piece.
    pub fn encode(self, piece: Bytes) -> Fragment {
        let mut fragment = Fragment::bare(piece);
        [self.skipped, self.len].into_iter().for_each(|number| fragment.push_number(number));
        fragment
    }

    /// Reads what stands before a message, and how many bytes it took. `None`: not all of it is there.
    ///
    /// # Errors
    /// [`MalformedLane::LongNumber`].
    pub fn decode(input: &[u8]) -> Result<Option<(Self, usize)>, MalformedLane> {
        Ok(numbers(input)?.map(|([skipped, len], taken)| (Self { skipped, len }, taken)))
    }
}

/// A further piece of a message that has begun: its bytes alone.
pub fn piece(body: Bytes) -> Fragment {
    Fragment::bare(body)
}

/// Reads the length of a control record, and how many bytes that took. `None`: not all of it is there.
///
/// # Errors
/// [`MalformedLane::LongNumber`], and [`MalformedLane::LongRecord`] when it claims more than [`MAX_RECORD`].
pub fn record_len(input: &[u8]) -> Result<Option<(usize, usize)>, MalformedLane> {
    let Some(([len], taken)) = numbers(input)? else { return Ok(None) };
    match usize::try_from(len) {
        Ok(len) if len <= MAX_RECORD => Ok(Some((len, taken))),
        _ => Err(MalformedLane::LongRecord),
    }
}

/// Numbers from the front of `input`, and how many bytes they took; `None` when the input ends before they do.
fn numbers<const N: usize>(input: &[u8]) -> Result<Option<([u64; N], usize)>, MalformedLane> {
    let mut numbers = [0; N];
    let mut at = 0;
    for number in &mut numbers {
        let rest = input.get(at..).unwrap_or_default();
        let Some(last) = rest.iter().take(vlu::MAX_LEN).position(|byte| byte & 0x80 == 0) else {
            return if rest.len() < vlu::MAX_LEN { Ok(None) } else { Err(MalformedLane::LongNumber) };
        };
        // At most ten bytes, of which the last one ends the number.
        *number = vlu::decode(&mut Bytes::copy_from_slice(&rest[..=last])).unwrap_or(u64::MAX);
        at += last + 1;
    }
    Ok(Some((numbers, at)))
}

/// A lane can't be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum MalformedLane {
    /// A number takes more bytes than any does.
    #[error("a number of more than 10 bytes")]
    LongNumber,
    /// A record claims to be longer than [`MAX_RECORD`].
    #[error("a control record of more than 4096 bytes")]
    LongRecord,
    /// A preamble claims to be longer than [`MAX_PREAMBLE`].
    #[error("a preamble of more than 16384 bytes")]
    LongPreamble,
    /// A record ends before its last number.
    #[error("truncated control record of type {kind:#04x}")]
    TruncatedRecord {
        /// Its first byte.
        kind: u8,
    },
    /// A lane was finished before all of what it had begun.
    #[error("a lane that ends inside a message")]
    Unfinished,
}

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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Bytes> {
        proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
    }

    fn records() -> impl Strategy<Value = Record> {
        prop_oneof![
            (any::<u64>(), any::<Option<u64>>(), bytes()).prop_map(|(flow, answers, metadata)| Record::Open {
                flow,
                answers,
                metadata
            }),
            any::<(u64, u64)>().prop_map(|(flow, lane)| Record::GivenUp { flow, lane }),
            any::<(u64, u64, u64)>().prop_map(|(flow, lanes, messages)| Record::Close { flow, lanes, messages }),
            (any::<u64>(), any::<u64>(), bytes()).prop_map(|(flow, reason, text)| Record::Exception {
                flow,
                reason,
                text
            }),
        ]
    }

    fn read(encoded: &Bytes) -> Result<Option<Record>, MalformedLane> {
        let (len, taken) = record_len(encoded).unwrap().unwrap();
        assert_eq!(taken + len, encoded.len());
        Record::decode(encoded.slice(taken..))
    }

    proptest! {
        #[test]
        fn every_record_survives(record in records()) {
            let fragment = record.clone().encode();
            prop_assert_eq!(fragment.len(), fragment.to_bytes().len());
            prop_assert_eq!(read(&fragment.to_bytes()), Ok(Some(record)));
        }

        #[test]
        fn every_group_header_survives_and_no_prefix_is_one(flow: u64, lane: u64, first: u64, preamble in bytes()) {
            let header = GroupHeader { flow, lane, first, preamble: preamble.len() as u64 };
            let encoded = header.encode(preamble.clone()).to_bytes();
            prop_assert_eq!(Kind::from_byte(encoded[0]), Some(Kind::Group));
            let len = encoded.len() - preamble.len() - 1;
            prop_assert_eq!(GroupHeader::decode(&encoded[1..]), Ok(Some((header, len))));
            for end in 0..len {
                prop_assert_eq!(GroupHeader::decode(&encoded[1..][..end]), Ok(None));
            }
        }

        #[test]
        fn every_message_header_survives_and_no_prefix_is_one(skipped: u64, len: u64, message in bytes()) {
            let header = MessageHeader { skipped, len };
            let encoded = header.encode(message.clone()).to_bytes();
            let taken = encoded.len() - message.len();
            prop_assert_eq!(MessageHeader::decode(&encoded), Ok(Some((header, taken))));
            for end in 0..taken {
                prop_assert_eq!(MessageHeader::decode(&encoded[..end]), Ok(None));
            }
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(input in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = (GroupHeader::decode(&input), MessageHeader::decode(&input), record_len(&input));
            let _ = Record::decode(input.into());
        }
    }

    #[test]
    fn a_truncated_record_is_refused() {
        for input in [&[0x10][..], &[0x30, 0], &[0x1a, 0], &[0x1c, 0, 1], &[0x5e, 0x80], &[0x5e, 0]] {
            let refused = Err(MalformedLane::TruncatedRecord { kind: input[0] });
            assert_eq!(Record::decode(Bytes::from_static(input)), refused, "{input:02x?}");
        }
    }

    #[test]
    fn empty_and_unknown_records_are_skipped() {
        for input in [&[][..], &[0x02], &[0xff, 1, 2]] {
            assert_eq!(Record::decode(Bytes::from_static(input)), Ok(None));
        }
    }

    #[test]
    fn an_endless_number_is_refused_and_not_waited_for() {
        assert_eq!(MessageHeader::decode(&[0x80; 9]), Ok(None));
        assert_eq!(MessageHeader::decode(&[0x80; 10]), Err(MalformedLane::LongNumber));
        assert_eq!(record_len(&[0xa0, 0x01]), Err(MalformedLane::LongRecord));
    }

    #[test]
    fn a_reason_too_long_to_send_is_cut() {
        let fragment = Record::Exception { flow: 1, reason: 0, text: vec![b'x'; 10_000].into() }.encode();
        assert_eq!(record_len(fragment.head()), Ok(Some((MAX_RECORD, 2))));
    }
}
