//! Headwater: one live stream in, every browser out.
//!
//! RTMP comes in; viewers come over WebSocket, WebTransport or native QUIC, on their own ports or all on one. Between them stand two things that do no I/O: [`broadcast`], which holds live
//! streams in memory, and [`session`], the RTWebSocket core, which decides what each viewer is sent next. Everything that
//! touches a socket is a thin shell around one of the two.
//!
//! ```text
//!  RTMP ─▶ server ─▶ ingest ─▶ broadcast ─▶ delivery ─▶ session::Link ◀─ transport ◀─ server ◀─ WS / WT / QUIC
//!                (media: FLV in, fMP4 out)  (wire: RTWebSocket bytes)
//! ```
//!
//! # Layers
//!
//! 1. **Flows** (RTWebSocket): prioritized one-way message flows, per-flow windows, acknowledgements, abandonment, RTT; laid onto
//!    one ordered pipe, or onto lanes, streams of QUIC and WebTransport ([`wire::lane`]).
//! 2. **Conversation** (TC: RTMP commands over flows): connect, createStream, play, pause, onStatus.
//! 3. **Delivery format** of a played stream: `raw`, FLV/RTMP message bodies on an audio, a video and a data flow; or `fmp4`,
//!    fragmented MP4 on an audio and a video flow, or without flows, for clients that only read ([`wire::tlv`]).
//!
//! Imports point down this table, and siblings in one layer never import each other: `ingest`, `delivery` and `transport`
//! meet only in `server`. `delivery` does not know that `transport` exists; `transport` does not know what media is.
//! `integration-tests/tests/layers.rs` reads every `use crate::` line against it.
//!
//! | layer | modules | may import |
//! |---|---|---|
//! | L0 | `wire`, `media` | nothing |
//! | L0 | `clock` | nothing |
//! | L1 | `authority` | `wire` |
//! | L1 | `session` | `wire` |
//! | L1 | `broadcast` | `wire`, `media`, `clock` |
//! | L2 | `ingest` | `wire`, `media`, `broadcast`, `authority`, `clock` |
//! | L2 | `delivery` | `wire`, `media`, `broadcast`, `session`, `authority`, `clock` |
//! | L2 | `transport` | `wire`, `session`, `clock` |
//! | L3 | `server` | `wire`, `media`, `authority`, `session`, `broadcast`, `ingest`, `delivery`, `transport`, `clock` |
//! | L4 | `gateway`, `config`, `telemetry`, `demo` | everything |
//!
//! # Invariants
//!
//! 1. `wire`, `media`, `session`, `server::detect` read no clock, socket, file, environment or random source. Time is an
//!    argument.
//! 2. Every mutation of a session is followed by a full drain before the next await. Only a link does this.
//! 3. One task owns one connection: its session, its transport, its viewer. Nothing about a session is behind a lock.
//! 4. Bytes leave the core as late as possible: once in a kernel or library buffer they cannot be abandoned, so those
//!    buffers are shallow.
//! 5. Every peer-controlled number has a named limit next to the code that reads it.
//! 6. A slow viewer costs a bounded amount of memory and nobody else's time. A viewer is a cursor, not a queue of copies.
//! 7. A frame's bytes exist once in memory whatever the number of viewers; what is the same for all viewers is computed once.
//! 8. The gateway does not transcode.
//! 9. HTTP is one pure function from request to response; upgrades are taken outside it, and the upgraded connection is its
//!    raw socket again.
//! 10. In the player, session and transport live in a worker: a hidden page's timers are throttled, and acknowledgements
//!     must not be.
//! 11. Policy: control, data and audio priority 5, video 4; when late, video is abandoned before audio.

pub mod authority;
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
