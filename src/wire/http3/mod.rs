//! HTTP/3, and WebTransport over it: what a server reads and writes on QUIC's streams.
//!
//! | specification | what of it | where |
//! |---|---|---|
//! | RFC 9000 §16 | variable-length integers | [`varint`] |
//! | RFC 9114 §6.2, §7.2 | types of streams and frames, settings | here |
//! | RFC 9114 §8.1 | error codes | [`code`] |
//! | RFC 9204, RFC 7541 §5.2 and appendix B | field sections, without the dynamic table | [`qpack`] |
//! | RFC 9297 §3.2 | capsules | [`capsule`] |
//! | draft-ietf-webtrans-http3-02, and -07's settings | sessions, their streams, their end | here, [`code`], [`capsule`] |
//!
//! ```text
//! stream the client opens, both ways      frame │ frame │ …                      a request
//!                                         41 session …                           of WebTransport: not wanted here
//! stream one way                          00 frame │ frame │ …                   control
//!                                         02 …, 03 …                             QPACK's: of no use without the table
//!                                         54 session …                           of WebTransport: a lane
//! frame                                   type length payload
//! ```
//!
//! A session is named by the stream of its CONNECT request, whose DATA frames carry its capsules.

pub mod capsule;
pub mod code;
pub mod qpack;
pub mod varint;

/// Longest header section that is read, encoded and decoded: browsers send 1 KB. Stops headers without end.
pub const MAX_FIELD_SECTION: usize = 16 << 10;

/// What a one-way stream begins with. Defined by: RFC 9114 §6.2, RFC 9204 §4.2, draft-ietf-webtrans-http3-02 §4.1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamType {
    /// `00`.
    Control,
    /// `01`: only servers push.
    Push,
    /// `02`.
    QpackEncoder,
    /// `03`.
    QpackDecoder,
    /// `54`: a session's, whose number follows.
    WebTransport,
    /// Any other: not to be read.
    Unknown(u64),
}

impl From<u64> for StreamType {
    fn from(number: u64) -> Self {
        match number {
            0x00 => Self::Control,
            0x01 => Self::Push,
            0x02 => Self::QpackEncoder,
            0x03 => Self::QpackDecoder,
            0x54 => Self::WebTransport,
            other => Self::Unknown(other),
        }
    }
}

/// What a frame is. Defined by: RFC 9114 §7.2, draft-ietf-webtrans-http3-02 §4.2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FrameType {
    /// `00`.
    Data,
    /// `01`.
    Headers,
    /// `04`.
    Settings,
    /// `03`, `07`, `0d`: about pushes and the connection's end, only on the control stream.
    Control,
    /// `05`, and what HTTP/2 alone has: never from a client.
    Forbidden,
    /// `41`: no frame, but the session's number and then bytes to the stream's end.
    WebTransport,
    /// Any other: to be skipped.
    Unknown,
}

impl From<u64> for FrameType {
    fn from(number: u64) -> Self {
        match number {
            0x00 => Self::Data,
            0x01 => Self::Headers,
            0x03 | 0x07 | 0x0d => Self::Control,
            0x04 => Self::Settings,
            0x02 | 0x05 | 0x06 | 0x08 | 0x09 => Self::Forbidden,
            0x41 => Self::WebTransport,
            _ => Self::Unknown,
        }
    }
}

/// A WebTransport session, by its CONNECT request's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionId(pub u64);

impl SessionId {
    /// What each of its one-way streams begins with. Defined by: draft-ietf-webtrans-http3-02 §4.1.
    pub fn stream_header(self) -> Vec<u8> {
        let mut header = Vec::new();
        varint::encode(0x54, &mut header);
        varint::encode(self.0, &mut header);
        header
    }
}

/// The settings, and what each is for: the one place that says what is offered.
///
/// Without flow control of sessions (-07's `WT_INITIAL_…`), which is only for more than one session a connection.
const SETTINGS: [(u64, u64); 7] = [
    // The longest header section. RFC 9114 §7.2.4.1.
    (0x06, MAX_FIELD_SECTION as u64),
    // Extended CONNECT. RFC 9220 §3.
    (0x08, 1),
    // Datagrams, without which no browser begins a session. RFC 9297 §2.1.1.
    (0x33, 1),
    // WebTransport, for Chromium and Firefox. draft-ietf-webtrans-http3-02 §3.1.
    (0x2b60_3742, 1),
    // One session a connection. Behind -02 but before -07, for clients in between.
    (0x2b60_3743, 1),
    // One session a connection: more would need flow control. For Safari. draft-ietf-webtrans-http3-07 §3.1.
    (0xc671_706a, 1),
    // One that nobody knows, for peers not to forget to ignore those. RFC 9114 §7.2.4.1.
    (0x1f * 0x48_57 + 0x21, 0),
];

/// What the control stream begins with: its type and the settings.
pub fn control_stream() -> Vec<u8> {
    let mut settings = Vec::new();
    for (name, value) in SETTINGS {
        varint::encode(name, &mut settings);
        varint::encode(value, &mut settings);
    }
    let mut bytes = vec![0x00];
    frame_header(0x04, settings.len(), &mut bytes);
    bytes.extend(settings);
    bytes
}

/// Appends the header of a HEADERS frame whose field section has this many bytes.
pub fn headers_frame(len: usize, out: &mut Vec<u8>) {
    frame_header(0x01, len, out);
}

/// Appends the header of a DATA frame of this many bytes.
pub fn data_frame(len: usize, out: &mut Vec<u8>) {
    frame_header(0x00, len, out);
}

fn frame_header(kind: u64, len: usize, out: &mut Vec<u8>) {
    varint::encode(kind, out);
    varint::encode(len as u64, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lane_of_any_session_begins_with_its_type_and_the_sessions_number() {
        assert_eq!(SessionId(0).stream_header(), [0x40, 0x54, 0x00]);
        assert_eq!(SessionId(4).stream_header(), [0x40, 0x54, 0x04]);
        assert_eq!(SessionId(64).stream_header(), [0x40, 0x54, 0x40, 0x40]);
    }

    #[test]
    fn both_drafts_are_offered_with_one_session() {
        let bytes = control_stream();
        let (mut rest, mut settings) = (&bytes[3..], Vec::new());
        assert_eq!((bytes[0], bytes[1], usize::from(bytes[2])), (0x00, 0x04, rest.len()));
        while let Some((number, len)) = varint::decode(rest) {
            settings.push(number);
            rest = &rest[len..];
        }
        let settings: Vec<_> = settings.chunks(2).map(|pair| (pair[0], pair[1])).collect();
        assert_eq!(settings, SETTINGS);
        for setting in [(0x08, 1), (0x33, 1), (0x2b60_3742, 1), (0x2b60_3743, 1), (0xc671_706a, 1)] {
            assert!(settings.contains(&setting), "{setting:x?}");
        }
    }

    #[test]
    fn the_setting_that_nobody_knows_is_one_of_those_kept_for_that() {
        assert_eq!((SETTINGS[6].0 - 0x21) % 0x1f, 0);
    }
}
