//! A session's CONNECT stream: HTTP/3 frames, in whose DATA there are capsules, one of which ends the session.
//!
//! | what | specification |
//! |---|---|
//! | frames on a CONNECT request's stream | RFC 9114 §4.4, §7.1 |
//! | capsules in DATA | RFC 9297 §3.2 |
//! | CLOSE_WEBTRANSPORT_SESSION | draft-ietf-webtrans-http3-02 §5 |
//!
//! ```text
//! frame    type length ┬ capsule │ capsule │ …     DATA; a capsule may go on in the next
//!                      └ skipped                   what nobody knows
//! capsule  type length ┬ code (u32) reason         2843: the session's end
//!                      └ skipped                   any other
//! ```

use thiserror::Error;

use super::{FrameType, data_frame, varint};

const CLOSE: u64 = 0x2843;

/// Longest reason of an end. Defined by: draft-ietf-webtrans-http3-02 §5.
pub const MAX_REASON: usize = 1024;

/// Longest capsule, and longest frame that is skipped: more than any that is known. Stops ones without end.
pub const MAX_LEN: u64 = 16 << 10;

/// Most bytes on a CONNECT stream in all. A session says some dozens; stops small capsules without end.
pub const MAX_TOTAL: u64 = 256 << 10;

const CODE_LEN: usize = 4;

/// Why the peer ended a session.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Close {
    /// Its application's code.
    pub code: u32,
    /// Its application's words.
    pub reason: String,
}

/// A CONNECT stream that breaks the rules. The connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CapsuleError {
    /// A frame that must not be there.
    #[error("a frame that does not belong on a CONNECT stream")]
    Frame,
    /// Longer than [`MAX_LEN`], or an end that is longer or shorter than it may be.
    #[error("a capsule or frame of {0} bytes")]
    Length(u64),
    /// More than [`MAX_TOTAL`] in all.
    #[error("more than {MAX_TOTAL} bytes on a CONNECT stream")]
    TooMuch,
}

/// Reads a CONNECT stream in pieces of any size.
#[derive(Debug, Default)]
pub struct Reader {
    frame: Record,
    capsule: Record,
    /// Of the capsule that ends the session.
    body: Vec<u8>,
    total: u64,
}

/// Something with a type and a length, of which some may have come.
#[derive(Debug, Default)]
struct Record {
    header: Header,
    /// Its type, and how many bytes of it are still to come; `None` until its header is whole.
    open: Option<(u64, u64)>,
}

#[derive(Debug, Default)]
struct Header {
    bytes: [u8; 2 * varint::MAX_LEN],
    len: usize,
}

/// A capsule that ends a session, in a frame.
pub fn close(code: u32, reason: &str) -> Vec<u8> {
    let mut end = reason.len().min(MAX_REASON);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let mut capsule = Vec::new();
    varint::encode(CLOSE, &mut capsule);
    varint::encode((CODE_LEN + end) as u64, &mut capsule);
    capsule.extend(code.to_be_bytes());
    capsule.extend(&reason.as_bytes()[..end]);
    let mut frame = Vec::new();
    data_frame(capsule.len(), &mut frame);
    frame.extend(capsule);
    frame
}

impl Reader {
    /// Takes in what came next. Gives why the session ends, once; what comes behind that is to be thrown away.
    ///
    /// # Errors
    /// [`CapsuleError`].
    pub fn read(&mut self, mut input: &[u8]) -> Result<Option<Close>, CapsuleError> {
        self.total += input.len() as u64;
        if self.total > MAX_TOTAL {
            return Err(CapsuleError::TooMuch);
        }
        while let Some((kind, len)) = self.frame.open(&mut input) {
            match FrameType::from(kind) {
                FrameType::Data => {
                    let mut data = take(&mut input, len);
                    self.frame.advance(data.len());
                    if let Some(close) = self.read_capsules(&mut data)? {
                        return Ok(Some(close));
                    }
                }
                FrameType::Unknown => {
                    check(len, MAX_LEN)?;
                    let skipped = take(&mut input, len).len();
                    self.frame.advance(skipped);
                }
                FrameType::Headers
                | FrameType::Settings
                | FrameType::Control
                | FrameType::Forbidden
                | FrameType::WebTransport => {
                    return Err(CapsuleError::Frame);
                }
            }
            if input.is_empty() {
                break;
            }
        }
        Ok(None)
    }

    fn read_capsules(&mut self, data: &mut &[u8]) -> Result<Option<Close>, CapsuleError> {
        while let Some((kind, len)) = self.capsule.open(data) {
            check(len, if kind == CLOSE { (CODE_LEN + MAX_REASON) as u64 } else { MAX_LEN })?;
            let piece = take(data, len);
            self.capsule.advance(piece.len());
            if kind == CLOSE {
                self.body.extend(piece);
                if self.capsule.open.is_none() {
                    let (code, reason) =
                        self.body.split_first_chunk().ok_or(CapsuleError::Length(self.body.len() as u64))?;
                    let reason = String::from_utf8_lossy(reason).into_owned();
                    return Ok(Some(Close { code: u32::from_be_bytes(*code), reason }));
                }
            }
            if data.is_empty() {
                break;
            }
        }
        Ok(None)
    }
}

impl Record {
    /// Its type and what is still to come of it, as soon as its header is whole.
    fn open(&mut self, input: &mut &[u8]) -> Option<(u64, u64)> {
        while self.open.is_none() {
            let Some((&byte, rest)) = input.split_first() else { break };
            *input = rest;
            self.header.bytes[self.header.len] = byte;
            self.header.len += 1;
            let header = &self.header.bytes[..self.header.len];
            if let Some((kind, start)) = varint::decode(header)
                && let Some((len, _)) = varint::decode(&header[start..])
            {
                self.header.len = 0;
                self.open = Some((kind, len));
            }
        }
        self.open
    }

    /// Takes off what came of it, and closes it when that was all.
    fn advance(&mut self, by: usize) {
        if let Some((_, left)) = &mut self.open {
            *left -= by as u64;
            if *left == 0 {
                self.open = None;
            }
        }
    }
}

fn take<'a>(input: &mut &'a [u8], len: u64) -> &'a [u8] {
    let (piece, rest) = input.split_at(usize::try_from(len).unwrap_or(usize::MAX).min(input.len()));
    *input = rest;
    piece
}

fn check(len: u64, most: u64) -> Result<(), CapsuleError> {
    if len > most { Err(CapsuleError::Length(len)) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
