use std::time::Instant;

use thiserror::Error;

use super::order::Order;
use super::registry::Lease;
use super::{PublisherRules, Takeover};
use crate::media::{Unit, UnitKind};

/// The right to append to one live stream, until a newer publisher takes it.
///
/// Dropping it takes the stream offline.
#[derive(Debug)]
pub struct Publisher {
    lease: Lease,
    number: u64,
    rules: PublisherRules,
    /// When the last unit came, or it began.
    last: Instant,
    /// When viewers are to be woken for what waits.
    wake_at: Option<Instant>,
    /// Viewers are left of the last ones that were to be woken.
    some_are_left: bool,
    order: Order,
}

/// Another publisher has taken the path. End the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("another publisher has taken the stream")]
pub struct Replaced;

/// Another publisher has the path, and [`Takeover::Refuse`] is the rule.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("another publisher has the stream")]
pub struct Taken;

impl Publisher {
    pub(super) fn new(lease: Lease, rules: PublisherRules, now: Instant) -> Result<Self, Taken> {
        let mut cache = lease.stream.write();
        let is_alive = |heard: Instant| now.saturating_duration_since(heard) < rules.idle_timeout;
        if rules.takeover == Takeover::Refuse && cache.heard().is_some_and(is_alive) {
            return Err(Taken);
        }
        let number = cache.go_online(now);
        drop(cache);
        let some_are_left = lease.stream.appended.ring_some();
        Ok(Self { lease, number, rules, last: now, wake_at: None, some_are_left, order: Order::default() })
    }

    /// Appends a unit that came at `now`, for every viewer to read, and wakes them all. Audio may wait a moment until they are woken
    /// for it: see [`Config::max_audio_wait`](super::Config::max_audio_wait).
    ///
    /// For who has no other streams to think of: the whole crowd is woken in one go.
    ///
    /// Its timestamp is moved onto the stream's one time line, on which this publisher goes on where the one before ended.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn append(&mut self, unit: Unit, now: Instant) -> Result<(), Replaced> {
        self.append_quietly(unit, now)?;
        self.wake(now);
        while self.some_are_left {
            self.wake(now);
        }
        Ok(())
    }

    /// The same, but leaves the waking to a call of [`Publisher::wake`] that follows: units that came together are sent together.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn append_quietly(&mut self, unit: Unit, now: Instant) -> Result<(), Replaced> {
        self.last = now;
        let stream = &self.lease.stream;
        let mut cache = stream.write();
        if cache.publisher() != Some(self.number) {
            return Err(Replaced);
        }
        let metrics = self.lease.metrics();
        metrics.received_frames.inc();
        metrics.received_bytes.inc_by(unit.body().len() as u64);
        let may_wait = unit.kind == UnitKind::Audio && cache.is_video_due(now);
        let wake_by = if may_wait { now + cache.max_audio_wait() } else { now };
        if self.rules.declare_picture_order {
            self.order.append(unit, &mut cache, now);
        } else {
            cache.append(unit, now);
        }
        drop(cache);
        self.wake_at = Some(self.wake_at.map_or(wake_by, |earlier| earlier.min(wake_by)));
        Ok(())
    }

    /// When to call [`Publisher::wake`]. A time that is past means that some viewers are left from the last call: let other tasks
    /// have their turn, and call it again. So the gateway's other streams go on, however many view this one.
    pub fn wake_at(&self) -> Option<Instant> {
        if self.some_are_left { Some(self.last) } else { self.wake_at }
    }

    /// Wakes viewers for what has been appended, but for audio that may wait longer for a video frame to be sent with. Some of a
    /// crowd, the others when it is called again.
    pub fn wake(&mut self, now: Instant) {
        let bell = &self.lease.stream.appended;
        if self.wake_at.take_if(|at| *at <= now).is_some() {
            self.some_are_left = bell.ring_some();
        } else if self.some_are_left {
            self.some_are_left = bell.wake_some();
        }
    }

    /// When it will have stalled unless something more is appended. Drop it then.
    pub fn stalls_at(&self) -> Instant {
        self.last + self.rules.idle_timeout
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        let mut cache = self.lease.stream.write();
        if cache.publisher() == Some(self.number) {
            cache.go_offline();
            drop(cache);
            self.lease.stream.appended.ring();
        }
    }
}
