use std::time::Instant;

use thiserror::Error;

use super::registry::Lease;
use crate::media::Unit;

/// The right to append to one live stream, until a newer publisher takes it.
///
/// Dropping it takes the stream offline.
#[derive(Debug)]
pub struct Publisher {
    lease: Lease,
    number: u64,
}

/// Another publisher has taken the path. End the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("another publisher has taken the stream")]
pub struct Replaced;

impl Publisher {
    pub(super) fn new(lease: Lease) -> Self {
        let number = lease.stream.write().go_online();
        lease.stream.appended.ring();
        Self { lease, number }
    }

    /// Appends a unit that came at `now`, for every viewer to read.
    ///
    /// Its timestamp is moved onto the stream's one time line, on which this publisher goes on where the one before ended.
    ///
    /// # Errors
    /// [`Replaced`].
    pub fn append(&mut self, unit: Unit, now: Instant) -> Result<(), Replaced> {
        let stream = &self.lease.stream;
        let mut cache = stream.write();
        if cache.publisher() != Some(self.number) {
            return Err(Replaced);
        }
        cache.append(unit, now);
        drop(cache);
        stream.appended.ring();
        Ok(())
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
