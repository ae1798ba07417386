//! The latency harness: how late a viewer is, by transport and by link.
//!
//! ```text
//! publisher's process ── RTMP ──▶ gateway's process ──▶ [ Line, up and down ] ──▶ viewers' process
//!    a stamp in each frame                                 two namespaces            the stamp read
//! ```
//!
//! All clocks are one: the machine's. Without a link everything is on loopback, and needs no root.

pub mod chart;
pub mod deployment;
pub mod figures;
pub mod glass;
pub mod line;
pub mod machine;
pub mod memory;
pub mod namespace;
pub mod profile;
pub mod record;
pub mod report;
pub mod results;
pub mod roles;
pub mod run;
pub mod table;
pub mod way;
