//! Two sessions over a simulated link, in virtual time.

mod abandonment;
mod acknowledgement;
mod congestion;
mod flow_life;
mod lanes;
mod misbehaviour;
mod operations;
mod pair;
mod vectors;

use bytes::Bytes;

use self::pair::{Pair, Side};
use super::{Deadline, GroupId, Message, Priority};
use crate::wire::frame::Frame;

/// A message that never expires.
fn message(payload: impl Into<Bytes>) -> Message {
    Message { payload: payload.into(), group: GroupId(0), needs_previous: false, deadline: Deadline::default() }
}

/// A message of `len` bytes that all are `fill`.
fn filled(fill: u8, len: usize) -> Message {
    message(vec![fill; len])
}

/// A pair whose left side has opened a flow that the right side accepts with `window` bytes of room.
fn with_flow(window: u64) -> (Pair, super::SendFlow) {
    let mut pair = Pair::new();
    pair.right.accepts = Some(window);
    let flow = pair.left.session.flows().open(Bytes::from_static(b"flow"), Priority::Routine, None).unwrap();
    pair.settle();
    (pair, flow)
}

/// What a side has sent, read back.
fn sent(side: &Side) -> Vec<Frame> {
    side.sent.iter().map(|(_, bytes)| Frame::decode(bytes.clone()).unwrap().unwrap()).collect()
}
