//! What the end-to-end tests and the benchmarks are made of: publishers, viewers, a bad link, a gateway to put between them.
//!
//! Everything here uses the gateway's public interfaces alone, and the viewer reads the wire with a decoder of its own: a
//! server tested only by its own stack proves nothing.

mod bundle;
pub mod carrier;
pub mod certificate;
pub mod clip;
pub mod compare;
pub mod fanout;
pub mod ffmpeg;
pub mod ffprobe;
pub mod fragment;
pub mod gateway;
mod lanes;
pub mod latency;
pub mod link;
pub mod operator;
pub mod origin;
pub mod pages;
pub mod pebble;
mod pipe;
pub mod process;
pub mod publisher;
mod rtmp;
mod rtws;
pub mod said;
pub mod stage;
pub mod stamp;
pub mod stranger;
pub mod tls;
pub mod tlv;
pub mod transport;
pub mod viewer;
mod websocket;
