//! How flows are laid onto a transport.

use std::fmt;
use std::time::Instant;

use super::config::Config;
use super::error::PeerMisbehaved;
use super::flows::Flows;
use super::link::PathStats;
use super::timer::Timer;

pub(super) mod sealed {
    /// Wires are part of the core: each changes what its invariants must hold against.
    pub trait Sealed {}
}

/// One way of carrying flows. Called by [`Session`](super::Session) alone, which states the order of calls.
pub trait Wire: sealed::Sealed + fmt::Debug + Sized {
    /// What comes from the transport.
    type Input;
    /// What goes to it.
    type Transmit;

    /// A wire before its first byte.
    fn new(config: &Config) -> Self;

    /// Takes in what came.
    ///
    /// # Errors
    /// [`PeerMisbehaved`]: the session is over.
    fn handle_input(&mut self, flows: &mut Flows, now: Instant, input: Self::Input) -> Result<(), PeerMisbehaved>;

    /// Takes in that the time of [`Wire::poll_timeout`] has come.
    fn handle_timeout(&mut self, flows: &mut Flows, now: Instant);

    /// The next thing to send.
    fn poll_transmit(&mut self, flows: &mut Flows, now: Instant) -> Option<Self::Transmit>;

    /// When to call [`Wire::handle_timeout`], and why.
    fn poll_timeout(&self, flows: &Flows) -> Option<(Instant, Timer)>;

    /// Whether more input may be given before output has been taken.
    fn accepts_input(&self) -> bool;

    /// What is known of the way to the peer.
    fn path(&self) -> PathStats;
}
