//! One viewer, start to finish: the TC conversation and the frames it leads to. Knows no transport.

pub mod config;
pub mod policy;
pub mod query;

use crate::broadcast::Registry;
use crate::clock::Clock;
use crate::session::link::{Link, LinkError};

pub use self::config::Config;

/// Serves one viewer until it leaves.
///
/// # Errors
/// [`LinkError`] when the connection failed or the peer broke the protocol.
pub async fn serve<L: Link>(_link: L, _registry: &Registry, _config: &Config, _clock: Clock) -> Result<(), LinkError> {
    todo!("delivery helper")
}
