//! `Frame`: the twelve RTWebSocket messages. One WebSocket binary message carries one of them.
//!
//! | first byte | message | layout behind it |
//! |---|---|---|
//! | `01` / `41` | ping / its reply | payload |
//! | `0a` | acknowledgement window | bytes |
//! | `10` | flow open | flow, metadata |
//! | `30` | flow open, answering a flow of the receiver's | flow, answered flow, metadata |
//! | `3d` / `1d` | data, more follows / last fragment | flow, payload |
//! | `1a` | abandon | flow, messages − 1 (0 when left out) |
//! | `1c` / `5c` | flow close / its acknowledgement | flow |
//! | `5a` | data acknowledgement | flow, bytes since the last one, advertised window |
//! | `5e` | exception | flow, reason and UTF-8 text (both may be left out) |
//!
//! Numbers are [variable-length](super::vlu). Bit 0x40 marks what goes from a flow's receiver back to its sender.
//! Defined by: RTWebSocket (zenomt/rtwebsocket, `protocol`).

use bytes::{Buf, Bytes};
use thiserror::Error;

use super::vlu;

const PING: u8 = 0x01;
const PING_REPLY: u8 = 0x41;
const ACK_WINDOW: u8 = 0x0a;
const OPEN: u8 = 0x10;
const OPEN_RETURN: u8 = 0x30;
const DATA_MORE: u8 = 0x3d;
const DATA_LAST: u8 = 0x1d;
const ABANDON: u8 = 0x1a;
const CLOSE: u8 = 0x1c;
const ACK: u8 = 0x5a;
const CLOSE_ACK: u8 = 0x5c;
const EXCEPTION: u8 = 0x5e;

/// One RTWebSocket message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// Asks for a reply with the same payload.
    Ping(Bytes),
    /// The reply.
    PingReply(Bytes),
    /// Asks the peer to acknowledge at least each time this many bytes of data have come.
    AckWindow(u64),
    /// Begins a flow.
    Open {
        /// The sender's number for it.
        flow: u64,
        /// The flow of the receiver's that it answers.
        answers: Option<u64>,
        /// What it is for.
        metadata: Bytes,
    },
    /// A fragment of a message.
    Data {
        /// The flow.
        flow: u64,
        /// The message ends with it.
        last: bool,
        /// Its bytes.
        payload: Bytes,
    },
    /// Messages that will not come: the one begun, if any, and those after it.
    Abandon {
        /// The flow.
        flow: u64,
        /// How many, at least 1.
        messages: u64,
    },
    /// Ends a flow.
    Close {
        /// The flow.
        flow: u64,
    },
    /// What came on a flow of the peer's.
    Ack {
        /// The flow, by its sender's number.
        flow: u64,
        /// Bytes of data messages (type, flow and payload) since the last acknowledgement of this flow.
        delta: u64,
        /// Bytes that may be unacknowledged from here on.
        advertisement: u64,
    },
    /// Gives a closed flow's number back to its sender.
    CloseAck {
        /// The flow, by its sender's number.
        flow: u64,
    },
    /// The receiver does not want a flow.
    Exception {
        /// The flow, by its sender's number.
        flow: u64,
        /// Why, and in words; left out by some peers.
        reason: Option<(u64, Bytes)>,
    },
}

/// The message ended early.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("truncated message of type {kind:#04x}")]
pub struct TruncatedFrame {
    /// Its first byte.
    pub kind: u8,
}

/// An encoded message: a few bytes of its own, and bytes shared with whoever else sends them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    head: [u8; Self::HEAD],
    head_len: u8,
    body: Bytes,
}

impl Fragment {
    /// The longest head: a type byte and four numbers.
    pub const HEAD: usize = 1 + 4 * vlu::MAX_LEN;

    fn new(kind: u8, numbers: &[u64], body: Bytes) -> Self {
        let mut fragment = Self::bare(body);
        fragment.push(kind);
        numbers.iter().for_each(|number| fragment.push_number(*number));
        fragment
    }

    /// A body, and no head yet.
    pub fn bare(body: Bytes) -> Self {
        Self { head: [0; Self::HEAD], head_len: 0, body }
    }

    /// Adds a byte to the head, which must have room for it.
    pub(super) fn push(&mut self, byte: u8) {
        self.head[usize::from(self.head_len)] = byte;
        self.head_len += 1;
    }

    /// Adds a number to the head, which must have room for it.
    pub(super) fn push_number(&mut self, number: u64) {
        let mut scratch = [0; vlu::MAX_LEN];
        let len = vlu::encode(number, &mut scratch);
        scratch[..len].iter().for_each(|byte| self.push(*byte));
    }

    /// The bytes before the body.
    pub fn head(&self) -> &[u8] {
        &self.head[..usize::from(self.head_len)]
    }

    /// The shared bytes.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Splits off the shared bytes.
    pub fn into_body(self) -> Bytes {
        self.body
    }

    /// Length of head and body in bytes.
    pub fn len(&self) -> usize {
        self.head().len() + self.body.len()
    }

    /// Whether there is neither head nor body.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Both parts copied into one.
    pub fn to_bytes(&self) -> Bytes {
        [self.head(), &self.body].concat().into()
    }
}

impl Frame {
    /// Reads one message. `None`: an empty message or an unknown type, which every known peer ignores.
    ///
    /// # Errors
    /// [`TruncatedFrame`] when a number is cut or missing.
    pub fn decode(mut input: Bytes) -> Result<Option<Self>, TruncatedFrame> {
        if input.is_empty() {
            return Ok(None);
        }
        let kind = input.get_u8();
        Self::decode_kind(kind, input).map_err(|vlu::Truncated| TruncatedFrame { kind })
    }

    fn decode_kind(kind: u8, mut input: Bytes) -> Result<Option<Self>, vlu::Truncated> {
        Ok(Some(match kind {
            PING => Self::Ping(input),
            PING_REPLY => Self::PingReply(input),
            ACK_WINDOW => Self::AckWindow(vlu::decode(&mut input)?),
            OPEN => Self::Open { flow: vlu::decode(&mut input)?, answers: None, metadata: input },
            OPEN_RETURN => {
                let flow = vlu::decode(&mut input)?;
                Self::Open { flow, answers: Some(vlu::decode(&mut input)?), metadata: input }
            }
            DATA_MORE | DATA_LAST => {
                let flow = vlu::decode(&mut input)?;
                Self::Data { flow, last: kind == DATA_LAST, payload: input }
            }
            ABANDON => {
                let flow = vlu::decode(&mut input)?;
                let more = if input.is_empty() { 0 } else { vlu::decode(&mut input)? };
                Self::Abandon { flow, messages: more.saturating_add(1) }
            }
            CLOSE => Self::Close { flow: vlu::decode(&mut input)? },
            ACK => {
                let flow = vlu::decode(&mut input)?;
                let delta = vlu::decode(&mut input)?;
                Self::Ack { flow, delta, advertisement: vlu::decode(&mut input)? }
            }
            CLOSE_ACK => Self::CloseAck { flow: vlu::decode(&mut input)? },
            EXCEPTION => {
                let flow = vlu::decode(&mut input)?;
                let reason = if input.is_empty() { None } else { Some((vlu::decode(&mut input)?, input)) };
                Self::Exception { flow, reason }
            }
            _ => return Ok(None),
        }))
    }

    /// Writes the message in its minimal form.
    pub fn encode(self) -> Fragment {
        match self {
            Self::Ping(payload) => Fragment::new(PING, &[], payload),
            Self::PingReply(payload) => Fragment::new(PING_REPLY, &[], payload),
            Self::AckWindow(bytes) => Fragment::new(ACK_WINDOW, &[bytes], Bytes::new()),
            Self::Open { flow, answers: None, metadata } => Fragment::new(OPEN, &[flow], metadata),
            Self::Open { flow, answers: Some(answers), metadata } => {
                Fragment::new(OPEN_RETURN, &[flow, answers], metadata)
            }
            Self::Data { flow, last, payload } => {
                Fragment::new(if last { DATA_LAST } else { DATA_MORE }, &[flow], payload)
            }
            Self::Abandon { flow, messages: 0 | 1 } => Fragment::new(ABANDON, &[flow], Bytes::new()),
            Self::Abandon { flow, messages } => Fragment::new(ABANDON, &[flow, messages - 1], Bytes::new()),
            Self::Close { flow } => Fragment::new(CLOSE, &[flow], Bytes::new()),
            Self::Ack { flow, delta, advertisement } => Fragment::new(ACK, &[flow, delta, advertisement], Bytes::new()),
            Self::CloseAck { flow } => Fragment::new(CLOSE_ACK, &[flow], Bytes::new()),
            Self::Exception { flow, reason: None } => Fragment::new(EXCEPTION, &[flow], Bytes::new()),
            Self::Exception { flow, reason: Some((reason, text)) } => Fragment::new(EXCEPTION, &[flow, reason], text),
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

    fn frames() -> impl Strategy<Value = Frame> {
        prop_oneof![
            bytes().prop_map(Frame::Ping),
            bytes().prop_map(Frame::PingReply),
            any::<u64>().prop_map(Frame::AckWindow),
            (any::<u64>(), any::<Option<u64>>(), bytes()).prop_map(|(flow, answers, metadata)| Frame::Open {
                flow,
                answers,
                metadata
            }),
            (any::<u64>(), any::<bool>(), bytes()).prop_map(|(flow, last, payload)| Frame::Data {
                flow,
                last,
                payload
            }),
            (any::<u64>(), 1..=u64::MAX).prop_map(|(flow, messages)| Frame::Abandon { flow, messages }),
            any::<u64>().prop_map(|flow| Frame::Close { flow }),
            any::<(u64, u64, u64)>().prop_map(|(flow, delta, advertisement)| Frame::Ack { flow, delta, advertisement }),
            any::<u64>().prop_map(|flow| Frame::CloseAck { flow }),
            (any::<u64>(), proptest::option::of((any::<u64>(), bytes())))
                .prop_map(|(flow, reason)| Frame::Exception { flow, reason }),
        ]
    }

    proptest! {
        #[test]
        fn every_message_survives(frame in frames()) {
            let fragment = frame.clone().encode();
            prop_assert_eq!(fragment.len(), fragment.to_bytes().len());
            prop_assert_eq!(Frame::decode(fragment.to_bytes()), Ok(Some(frame)));
        }

        #[test]
        fn every_prefix_is_read_or_refused(frame in frames()) {
            let bytes = frame.encode().to_bytes();
            for end in 0..bytes.len() {
                let _ = Frame::decode(bytes.slice(..end));
            }
        }

        #[test]
        fn arbitrary_bytes_are_read_or_refused(input in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Frame::decode(input.into());
        }
    }

    #[test]
    fn a_truncated_number_is_refused() {
        for input in
            [&[0x0a][..], &[0x0a, 0x80], &[0x10], &[0x30, 0], &[0x1d], &[0x1a], &[0x1a, 0, 0x81], &[0x5a, 0, 0]]
        {
            assert_eq!(
                Frame::decode(Bytes::from_static(input)),
                Err(TruncatedFrame { kind: input[0] }),
                "{input:02x?}"
            );
        }
    }

    #[test]
    fn empty_and_unknown_messages_are_ignored() {
        for input in [&[][..], &[0x02], &[0xff, 1, 2]] {
            assert_eq!(Frame::decode(Bytes::from_static(input)), Ok(None));
        }
    }

    #[test]
    fn an_abandon_without_a_count_is_one_message() {
        assert_eq!(Frame::decode(Bytes::from_static(&[0x1a, 2])), Ok(Some(Frame::Abandon { flow: 2, messages: 1 })));
        assert_eq!(Frame::decode(Bytes::from_static(&[0x1a, 2, 2])), Ok(Some(Frame::Abandon { flow: 2, messages: 3 })));
    }
}
