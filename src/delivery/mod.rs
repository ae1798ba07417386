//! One viewer, start to finish: the TC conversation and the frames it leads to. Knows no transport.

use crate::broadcast::Registry;
use crate::clock::Clock;
use crate::session::link::{Link, LinkError};

/// Delivery policy's numbers.
#[derive(Debug, Clone, Default)]
pub struct Config {}

/// Serves one viewer until it leaves.
///
/// # Errors
/// [`LinkError`] when the connection failed or the peer broke the protocol.
pub async fn serve<L: Link>(_link: L, _registry: &Registry, _config: &Config, _clock: Clock) -> Result<(), LinkError> {
    todo!("delivery helper")
}
