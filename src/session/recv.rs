//! One flow of the peer's: what it is putting together.

use bytes::{Bytes, BytesMut};

/// A flow that the peer sends on.
#[derive(Debug)]
pub(super) struct Receiver {
    pub(super) verdict: Verdict,
    /// Bytes that the peer may leave unacknowledged.
    pub(super) window: u64,
    partial: Option<BytesMut>,
}

/// What the application made of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has been told and has not answered.
    Asked,
    Accepted,
    /// What still comes is counted and dropped.
    Rejected,
}

/// A message grew beyond the limit.
#[derive(Debug)]
pub(super) struct TooLong;

impl Receiver {
    pub(super) fn new() -> Self {
        Self { verdict: Verdict::Asked, window: 0, partial: None }
    }

    /// Takes a fragment; gives the message when it is the last one.
    pub(super) fn fragment(&mut self, payload: Bytes, last: bool, limit: usize) -> Result<Option<Bytes>, TooLong> {
        if self.verdict != Verdict::Accepted {
            return Ok(None);
        }
        let held = self.partial.as_ref().map_or(0, BytesMut::len);
        if held + payload.len() > limit {
            return Err(TooLong);
        }
        match (self.partial.take(), last) {
            (None, true) => Ok(Some(payload)),
            (partial, last) => {
                let mut message = partial.unwrap_or_default();
                message.extend_from_slice(&payload);
                if last {
                    Ok(Some(message.freeze()))
                } else {
                    self.partial = Some(message);
                    Ok(None)
                }
            }
        }
    }

    pub(super) fn window_bytes(&self) -> usize {
        usize::try_from(self.window).unwrap_or(usize::MAX)
    }

    pub(super) fn is_asked(&self) -> bool {
        self.verdict == Verdict::Asked
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.verdict == Verdict::Accepted
    }

    pub(super) fn is_rejected(&self) -> bool {
        self.verdict == Verdict::Rejected
    }

    /// Drops what has come of a message.
    pub(super) fn drop_partial(&mut self) {
        self.partial = None;
    }
}
