//! What strangers say in HTTP/2, frame by frame (RFC 9113).

/// What a client says first: the preface, and settings that change nothing.
pub fn preface() -> Vec<u8> {
    [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"[..], &frame(SETTINGS, 0, 0, &[])].concat()
}

/// Frame types.
pub const DATA: u8 = 0;
/// A request's head.
pub const HEADERS: u8 = 1;
/// The end of a request.
pub const RST_STREAM: u8 = 3;
/// Settings.
pub const SETTINGS: u8 = 4;
/// A ping.
pub const PING: u8 = 6;
/// More of a head.
pub const CONTINUATION: u8 = 9;

/// A request without a body.
pub const END_STREAM: u8 = 1;
/// A whole head.
pub const END_HEADERS: u8 = 4;

/// `GET https://a/`, compressed (RFC 7541): three fields of the static table and the authority.
pub const GET: &[u8] = &[0x82, 0x84, 0x87, 0x01, 1, b'a'];

/// `CONNECT` for WebSocket (RFC 8441).
pub const WEBSOCKET: &[u8] = b"\x02\x07CONNECT\x84\x87\x01\x01a\x00\x09:protocol\x09websocket";

/// A frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = &(payload.len() as u32).to_be_bytes()[1..];
    [length, &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A whole request.
pub fn get(stream: u32) -> Vec<u8> {
    frame(HEADERS, END_STREAM | END_HEADERS, stream, GET)
}

/// Takes it back (CANCEL).
pub fn cancel(stream: u32) -> Vec<u8> {
    frame(RST_STREAM, 0, stream, &8u32.to_be_bytes())
}
