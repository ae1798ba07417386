//! What a session waits for.

/// What expires at the time that [`poll_timeout`](super::Session::poll_timeout) gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Timer {
    /// Data came and has not been acknowledged for as long as a peer may be kept waiting.
    DelayedAck,
    /// What waits for a lane that takes no more is of no use from then on.
    Late,
    /// A newer lane has waited as long as it may for those before it.
    LaneWait,
}
