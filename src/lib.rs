//! Headwater: one live stream in, every browser out.
pub mod broadcast;
pub mod clock;
pub mod delivery;
pub mod ingest;
pub mod media;
pub mod session;
pub mod transport;
pub mod wire;
