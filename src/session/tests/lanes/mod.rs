//! Two sessions over simulated streams, in virtual time.

mod congestion;
mod misbehaviour;
mod mux;
mod operations;
mod order;
mod sending;
mod vectors;

use std::time::Duration;

use bytes::Bytes;

use self::mux::Pair;
use super::{filled, message};
use crate::session::{Deadline, GroupId, Message, Priority, SendFlow};

const MS: Duration = Duration::from_millis(1);

/// A pair whose left side has opened a flow that the right side accepts with `window` bytes of room.
fn with_flow(window: u64) -> (Pair, SendFlow) {
    let mut pair = Pair::new();
    pair.right.accepts = Some(window);
    let flow = pair.left.session.flows().open(Bytes::from_static(b"flow"), Priority::Routine, None).unwrap();
    pair.settle();
    (pair, flow)
}

/// A message of a group.
fn of_group(group: u64, payload: impl Into<Bytes>) -> Message {
    Message { group: GroupId(group), ..message(payload) }
}

/// A frame of a group that needs the one before it, and is of use for `lifetime`.
fn frame(pair: &Pair, group: u64, is_key: bool, payload: Vec<u8>, lifetime: Duration) -> Message {
    let start_by = pair.now + lifetime;
    let deadline = Deadline { start_by: Some(start_by), finish_by: Some(start_by + 100 * MS) };
    Message { payload: payload.into(), group: GroupId(group), needs_previous: !is_key, deadline }
}
