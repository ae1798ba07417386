//! What viewers measure delay with: the gateway's clock, by itself and beside the stream's.
//!
//! The gateway's clock is milliseconds since the Unix epoch as an AMF0 number, with the fraction. During one connection it
//! never jumps.
//!
//! | asked | answered |
//! |---|---|
//! | `time(transaction)` on the control flow | `_result(transaction, null, clock)`: the clock when the call was handled |
//! | `play "name?clock=yes"` | once a second, with a frame, on the stream's data flow: `onClock(timestamp, clock)` |
//!
//! `timestamp` is that of the frame's message, `clock` when the frame came from the publisher. Segments of fragmented MP4 say
//! the same unasked, and where nothing can be asked: once a second, those of a track have a `prft` box in front (ISO/IEC
//! 14496-12, §8.16.5), with the first frame's presentation time and `clock` in NTP's format. A viewer finds its own clock's
//! difference as NTP does, taking half of the fastest `time` call for the way back; what is left of a frame's age when it is
//! shown is delay.

use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::broadcast::Frame;
use crate::clock::Epoch;
use crate::wire::amf0::Value;
use crate::wire::tc::Data;

/// Name of the data message that tells when a frame came from the publisher.
const ON_CLOCK: &str = "onClock";

/// At least so long between two of them.
const EVERY: Duration = Duration::from_secs(1);

/// Tells one viewer of one stream.
#[derive(Debug)]
pub(super) struct Teller {
    due: Instant,
}

impl Teller {
    /// Tells with the first frame from `now` on.
    pub(super) fn new(now: Instant) -> Self {
        Self { due: now }
    }

    /// The message to send with a frame, if one is due.
    pub(super) fn tell(&mut self, frame: &Frame, epoch: Epoch, now: Instant) -> Option<Bytes> {
        if now < self.due {
            return None;
        }
        // On time on average, unless there were no frames.
        self.due = (self.due + EVERY).max(now);
        let timestamp = frame.timestamp.rtmp();
        let clock = epoch.millis_to(frame.received);
        let values = vec![Value::Number(timestamp.into()), Value::Number(clock)];
        Some(Data::new(ON_CLOCK, values).encode(timestamp))
    }
}
