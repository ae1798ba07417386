//! What a session waits for.

/// What expires at the time that [`poll_timeout`](super::Session::poll_timeout) gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Data came and has not been acknowledged for as long as a peer may be kept waiting.
    DelayedAck,
}
