//! Bytes to values and back. No state, no I/O, no clock.

pub mod amf0;
pub mod frame;
pub mod http3;
pub mod lane;
pub mod query;
pub mod tc;
pub mod tlv;
pub mod url;
pub mod vlu;

#[cfg(test)]
pub(crate) mod vectors;
