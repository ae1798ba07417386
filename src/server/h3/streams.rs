//! What clients open one way: HTTP/3's own streams, and a session's lanes.
//!
//! | what | specification |
//! |---|---|
//! | types, and which of them may come once | RFC 9114 §6.2 |
//! | the control stream | RFC 9114 §6.2.1, §7.2.4 |
//! | QPACK's streams | RFC 9204 §4.2 |

use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicBool, Ordering};

use quinn::{RecvStream, VarInt};
use tokio::io::{AsyncRead, AsyncReadExt};

use super::Fault;
use crate::wire::http3::code::Code;
use crate::wire::http3::{FrameType, SessionId, StreamType, varint};

/// Longest frame on the control stream: settings are some dozen bytes, and a change of priority names a few words. Stops
/// frames without end.
const MAX_FRAME: u64 = 4 << 10;

/// Most bytes of a control stream, and of each of QPACK's, in all: thousands of requests. Stops frames that mean nothing.
const MAX_TOTAL: u64 = 256 << 10;

/// The shortest header of a frame, in bytes: what an empty one counts for, of which there could be any number else.
pub(super) const MIN_HEADER: u64 = 2;

/// Settings that HTTP/2 alone has, which must not come. Defined by: RFC 9114 §7.2.4.1.
const FORBIDDEN_SETTINGS: RangeInclusive<u64> = 0x02..=0x05;

/// A stream that has said what it is.
#[derive(Debug)]
pub(super) enum Stream {
    /// A session's lane, behind its header.
    Lane(SessionId, RecvStream),
    /// Nothing more is to be had from it.
    Over,
}

/// Which of the streams have come that may come once.
#[derive(Debug, Default)]
pub(super) struct Critical {
    control: AtomicBool,
    encoder: AtomicBool,
    decoder: AtomicBool,
}

impl Critical {
    /// Reads a stream, HTTP/3's own to their end.
    ///
    /// # Errors
    /// [`Fault`]: the connection is to be closed.
    pub(super) async fn read(&self, mut stream: RecvStream) -> Result<Stream, Fault> {
        let Ok(kind) = read_varint(&mut stream).await else { return Ok(Stream::Over) };
        let once = match StreamType::from(kind) {
            StreamType::WebTransport => return read_session(stream).await,
            StreamType::Control => &self.control,
            StreamType::QpackEncoder => &self.encoder,
            StreamType::QpackDecoder => &self.decoder,
            StreamType::Push => return Err(Fault::peer(Code::StreamCreationError, "a push from a client")),
            StreamType::Unknown(_) => {
                // An error is a stream that has ended already.
                let _ = stream.stop(VarInt::from_u32(Code::StreamCreationError.number()));
                return Ok(Stream::Over);
            }
        };
        if once.swap(true, Ordering::Relaxed) {
            return Err(Fault::peer(Code::StreamCreationError, "a stream that may come once came twice"));
        }
        if StreamType::from(kind) == StreamType::Control {
            return read_control(&mut stream).await;
        }
        read_qpack(&mut stream).await
    }
}

async fn read_session(mut stream: RecvStream) -> Result<Stream, Fault> {
    match read_varint(&mut stream).await {
        Ok(session) if session % 4 != 0 => Err(Fault::peer(Code::IdError, "a lane of what can't be a session")),
        Ok(session) => Ok(Stream::Lane(SessionId(session), stream)),
        Err(_) => Ok(Stream::Over),
    }
}

/// Throws a stream of QPACK's away: without a dynamic table, what it says means nothing.
async fn read_qpack(stream: &mut (impl AsyncRead + Unpin + Send)) -> Result<Stream, Fault> {
    match tokio::io::copy(&mut stream.take(MAX_TOTAL), &mut tokio::io::sink()).await {
        Ok(MAX_TOTAL) => Err(Fault::peer(Code::ExcessiveLoad, "too much on a stream of QPACK's")),
        Ok(_) => ended(&io::ErrorKind::UnexpectedEof.into()),
        Err(error) => ended(&error),
    }
}

/// Reads a control stream, which never ends as long as the connection is well.
async fn read_control(stream: &mut (impl AsyncRead + Unpin + Send)) -> Result<Stream, Fault> {
    let mut total = 0;
    let mut is_first = true;
    loop {
        let kind = match read_varint(stream).await {
            Ok(kind) => FrameType::from(kind),
            Err(error) => return ended(&error),
        };
        match (is_first, kind) {
            (true, FrameType::Settings) | (false, FrameType::Control | FrameType::Unknown) => {}
            (true, _) => return Err(Fault::peer(Code::MissingSettings, "something else before the settings")),
            (false, _) => {
                return Err(Fault::peer(Code::FrameUnexpected, "a frame that does not belong on a control stream"));
            }
        }
        is_first = false;
        let len = match read_varint(stream).await {
            Ok(len) => len,
            Err(error) => return ended(&error),
        };
        total += MIN_HEADER + len;
        if len > MAX_FRAME || total > MAX_TOTAL {
            return Err(Fault::peer(Code::ExcessiveLoad, "too much on a control stream"));
        }
        let mut frame = vec![0; usize::try_from(len).unwrap_or_default()];
        if let Err(error) = stream.read_exact(&mut frame).await {
            return ended(&error);
        }
        if kind == FrameType::Settings {
            check_settings(&frame)?;
        }
    }
}

/// Nothing that a client sets changes what it is sent; that it could be read is checked for its sake.
fn check_settings(mut frame: &[u8]) -> Result<(), Fault> {
    while !frame.is_empty() {
        if FORBIDDEN_SETTINGS.contains(&take_varint(&mut frame)?) {
            return Err(Fault::peer(Code::SettingsError, "a setting of HTTP/2"));
        }
        take_varint(&mut frame)?;
    }
    Ok(())
}

fn take_varint(frame: &mut &[u8]) -> Result<u64, Fault> {
    let (number, len) = varint::decode(frame).ok_or(Fault::peer(Code::SettingsError, "settings that end too early"))?;
    *frame = &frame[len..];
    Ok(number)
}

/// What the end of a stream means that must not end. That the connection has is noticed by whoever accepts streams.
fn ended(error: &io::Error) -> Result<Stream, Fault> {
    match error.kind() {
        io::ErrorKind::NotConnected => Ok(Stream::Over),
        _ => Err(Fault::peer(Code::ClosedCriticalStream, "a stream has ended that must not")),
    }
}

/// Reads one variable-length integer.
///
/// # Errors
/// The stream's.
pub(super) async fn read_varint(stream: &mut (impl AsyncRead + Unpin + Send)) -> io::Result<u64> {
    let mut bytes = [0; varint::MAX_LEN];
    stream.read_exact(&mut bytes[..1]).await?;
    let len = varint::len(bytes[0]);
    stream.read_exact(&mut bytes[1..len]).await?;
    varint::decode(&bytes[..len]).map(|(value, _)| value).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http3::control_stream;

    fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        varint::encode(kind, &mut frame);
        varint::encode(payload.len() as u64, &mut frame);
        frame.extend(payload);
        frame
    }

    /// What a control stream comes to that ends where `bytes` do, all of it there at once.
    async fn control(bytes: &[u8]) -> Code {
        match read_control(&mut &bytes[..]).await {
            Err(Fault::Peer { code, .. }) => code,
            other => panic!("{other:?}"),
        }
    }

    /// Settings as our own: those of a client have the same form.
    fn settings() -> Vec<u8> {
        control_stream()[1..].to_vec()
    }

    #[tokio::test]
    async fn every_prefix_of_a_control_stream_is_one_that_has_ended() {
        let bytes = [settings(), frame(0x21, b"grease"), frame(0x0d, &[8]), frame(0xf_0700, b"\0u=3")].concat();
        for end in 0..=bytes.len() {
            assert_eq!(control(&bytes[..end]).await, Code::ClosedCriticalStream, "{end}");
        }
    }

    #[tokio::test]
    async fn settings_come_first_and_once() {
        assert_eq!(control(&frame(0x0d, &[8])).await, Code::MissingSettings);
        assert_eq!(control(&[settings(), settings()].concat()).await, Code::FrameUnexpected);
    }

    #[tokio::test]
    async fn settings_that_end_too_early_are_refused() {
        assert_eq!(control(&frame(0x04, &[0x33])).await, Code::SettingsError);
        assert_eq!(control(&frame(0x04, &[0x33, 1, 0xc0])).await, Code::SettingsError);
    }

    #[tokio::test]
    async fn settings_of_http2_are_refused() {
        for name in 0x02..=0x05 {
            assert_eq!(control(&frame(0x04, &[0x33, 1, name, 0])).await, Code::SettingsError, "{name}");
        }
    }

    #[tokio::test]
    async fn requests_do_not_belong_on_a_control_stream() {
        for kind in [0x00, 0x01, 0x02, 0x05, 0x41] {
            assert_eq!(control(&[settings(), frame(kind, b"?")].concat()).await, Code::FrameUnexpected, "{kind:x}");
        }
    }

    #[tokio::test]
    async fn frames_without_end_are_refused_at_their_length() {
        let mut claim = vec![0x21];
        varint::encode(varint::MAX, &mut claim);
        assert_eq!(control(&[settings(), claim].concat()).await, Code::ExcessiveLoad);
        for many in [frame(0x21, &[0; 1000]).repeat(300), frame(0x21, &[]).repeat(200_000)] {
            assert_eq!(control(&[settings(), many].concat()).await, Code::ExcessiveLoad);
        }
    }

    #[tokio::test]
    async fn too_much_compression_is_refused() {
        let Err(Fault::Peer { code, .. }) = read_qpack(&mut tokio::io::repeat(0)).await else { panic!() };
        assert_eq!(code, Code::ExcessiveLoad);
    }
}
