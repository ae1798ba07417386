//! RTMP in: one publisher, from its first byte to its last.

use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::broadcast::Registry;
use crate::clock::Clock;

/// Limits and names of the RTMP side.
#[derive(Debug, Clone, Default)]
pub struct Config {}

/// Why a publisher's connection ended, when not by its own orderly leaving.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The socket failed.
    #[error("socket: {0}")]
    Io(#[from] std::io::Error),
}

/// Serves one RTMP connection until it ends. Dropping the future takes the stream offline.
///
/// # Errors
/// [`IngestError`] when it did not end in order.
pub async fn serve<S>(
    _socket: S,
    _peer: SocketAddr,
    _registry: &Registry,
    _config: &Config,
    _clock: Clock,
) -> Result<(), IngestError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    todo!("ingest helper")
}
