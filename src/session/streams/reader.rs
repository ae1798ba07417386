//! Bytes of one lane that have come and have not been made use of.

use bytes::{Buf, Bytes, BytesMut};

/// A lane's bytes at the place up to which it has been read.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// What came last, when nothing was left over from before: whole messages in it are handed on without a copy.
    fresh: Bytes,
    /// What is left over: copied, since the transport's buffer may be far larger than the part of it that is.
    kept: BytesMut,
}

impl Reader {
    /// Adds what came.
    pub(super) fn push(&mut self, data: Bytes) {
        if self.kept.is_empty() {
            self.fresh = data;
        } else {
            self.kept.extend_from_slice(&data);
        }
    }

    /// All that has come and was not taken.
    pub(super) fn bytes(&self) -> &[u8] {
        if self.kept.is_empty() { &self.fresh } else { &self.kept }
    }

    /// How much that is.
    pub(super) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// Takes `len` bytes behind `skip` others, which are dropped. `None`: they have not all come.
    pub(super) fn take(&mut self, skip: usize, len: usize) -> Option<Bytes> {
        if self.len() < skip.saturating_add(len) {
            return None;
        }
        if self.kept.is_empty() {
            self.fresh.advance(skip);
            return Some(self.fresh.split_to(len));
        }
        self.kept.advance(skip);
        Some(self.kept.split_to(len).freeze())
    }

    /// Lets go of the transport's buffer; to be called once nothing more can be taken.
    pub(super) fn keep(&mut self) {
        let fresh = std::mem::take(&mut self.fresh);
        if self.kept.is_empty() {
            self.kept = BytesMut::from(&fresh[..]);
        }
    }
}
