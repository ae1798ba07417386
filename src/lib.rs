//! Headwater: one live stream in, every browser out.
pub mod broadcast;
pub mod clock;
pub mod config;
pub mod delivery;
pub mod demo;
pub mod gateway;
pub mod ingest;
pub mod media;
pub mod server;
pub mod session;
pub mod telemetry;
pub mod transport;
pub mod wire;
