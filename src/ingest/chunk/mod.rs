//! Chunks → messages. Sans-IO, safe against strangers.
//!
//! | specification | section |
//! |---|---|
//! | RTMP 1.0 (Adobe, 2012) | §5.3 chunking, §5.4.1 Set Chunk Size, §5.4.2 Abort |
//!
//! Every chunk stream has a buffer of its own, so that interleaved messages don't mix. A buffer grows with the bytes that
//! have come, never by the length that a header claims.

mod header;

use std::collections::HashMap;

use bytes::{Buf, BytesMut};
use thiserror::Error;

use self::header::{Format, Header};
use crate::media::MESSAGE_HEADER_LEN;

/// Chunk size until the peer sets another. Defined by: RTMP 1.0, §5.4.1.
const DEFAULT_CHUNK_SIZE: u32 = 128;

/// Most that is reserved for a message of which nothing has come yet. Stops sixteen-megabyte claims from costing memory,
/// and spares ordinary frames the growing.
const MAX_FIRST_RESERVE: usize = 64 * 1024;

const SET_CHUNK_SIZE: u8 = 1;
const ABORT: u8 = 2;

/// Bounds of what a peer may have us hold.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Longest message, in bytes.
    pub(super) message_size: usize,
    /// Most chunk streams used.
    pub(super) chunk_streams: usize,
    /// Most bytes in unfinished messages, over all chunk streams.
    pub(super) buffered: usize,
}

/// One RTMP message.
#[derive(Debug)]
pub(super) struct Message {
    /// Message type.
    pub(super) kind: u8,
    /// Message stream id.
    pub(super) stream: u32,
    /// Milliseconds, modulo 2^32.
    pub(super) timestamp: u32,
    /// The body, behind [`MESSAGE_HEADER_LEN`] spare bytes.
    pub(super) buffer: BytesMut,
}

impl Message {
    /// The message's bytes.
    pub(super) fn body(&self) -> &[u8] {
        self.buffer.get(MESSAGE_HEADER_LEN..).unwrap_or_default()
    }
}

/// What the peer did wrong. Nothing that follows can be understood: close the connection.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChunkError {
    /// A message longer than may be.
    #[error("a message of {length} bytes exceeds the limit of {limit}")]
    MessageTooLong {
        /// Its claimed length.
        length: usize,
        /// The limit.
        limit: usize,
    },
    /// Too many chunk streams.
    #[error("more than {0} chunk streams")]
    TooManyChunkStreams(usize),
    /// Too many bytes in messages that are begun and not finished.
    #[error("more than {0} bytes in unfinished messages")]
    TooMuchUnfinished(usize),
    /// The first header on a chunk stream refers to one before it.
    #[error("chunk stream {0} starts with a compressed header")]
    NothingToReferTo(u32),
    /// No chunk can have this size.
    #[error("chunk size {0} is out of range")]
    ChunkSize(u32),
    /// A protocol control message is too short.
    #[error("truncated {0}")]
    Truncated(&'static str),
}

/// Reads messages from chunks.
#[derive(Debug)]
pub(super) struct ChunkReader {
    limits: Limits,
    chunk_size: u32,
    streams: HashMap<u32, ChunkStream>,
    buffered: usize,
    /// The chunk that is being read: its chunk stream and what is missing of it.
    current: Option<(u32, usize)>,
}

#[derive(Debug)]
struct ChunkStream {
    header: Header,
    timestamp: u32,
    /// The message being read, if one is.
    unfinished: Option<BytesMut>,
}

impl ChunkReader {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, chunk_size: DEFAULT_CHUNK_SIZE, streams: HashMap::new(), buffered: 0, current: None }
    }

    /// Takes bytes off the front of `input` until a message is whole. `None`: all that can be used is used; come back with
    /// more behind what is left.
    ///
    /// # Errors
    /// [`ChunkError`], after which the reader is of no use.
    pub(super) fn read(&mut self, input: &mut BytesMut) -> Result<Option<Message>, ChunkError> {
        loop {
            let Some((id, missing)) = self.current.take() else {
                match self.begin_chunk(input)? {
                    Some(current) => self.current = Some(current),
                    None => return Ok(None),
                }
                continue;
            };
            let taken = missing.min(input.len());
            let (payload, _) = input.split_at(taken);
            let message = self.take_payload(id, payload)?;
            input.advance(taken);
            if taken < missing {
                self.current = Some((id, missing - taken));
                return Ok(None);
            }
            match message {
                Some(message) if message.kind == SET_CHUNK_SIZE => self.set_chunk_size(&message)?,
                Some(message) if message.kind == ABORT => self.abort(&message)?,
                Some(message) => return Ok(Some(message)),
                None => {}
            }
        }
    }

    /// Reads a chunk's header; gives its chunk stream and the length of its payload.
    fn begin_chunk(&mut self, input: &mut BytesMut) -> Result<Option<(u32, usize)>, ChunkError> {
        let mut rest: &[u8] = input;
        let Some((format, id)) = header::read_basic(&mut rest) else { return Ok(None) };
        let known = self.streams.get(&id);
        // An encoder that starts a chunk stream without a stream id means stream 0; librtmp does so with its pings.
        let previous = match (known, format) {
            (Some(stream), _) => stream.header,
            (None, Format::Full | Format::SameStream) => Header::default(),
            (None, Format::SameLength | Format::Same) => return Err(ChunkError::NothingToReferTo(id)),
        };
        let Some(header) = header::read_message(format, previous, &mut rest) else { return Ok(None) };
        if header.length > self.limits.message_size {
            return Err(ChunkError::MessageTooLong { length: header.length, limit: self.limits.message_size });
        }
        if known.is_none() && self.streams.len() >= self.limits.chunk_streams {
            return Err(ChunkError::TooManyChunkStreams(self.limits.chunk_streams));
        }
        let used = input.len() - rest.len();
        input.advance(used);

        let stream = self.streams.entry(id).or_insert(ChunkStream { header, timestamp: 0, unfinished: None });
        if stream.unfinished.is_some() && stream.header.length != header.length {
            // The message is given up in favour of another.
            self.buffered -= stream.unfinished.take().map_or(0, |buffer| payload_len(&buffer));
        }
        let received = match &stream.unfinished {
            // Some encoders repeat more of the header than they need to; the time is that of the first one.
            Some(buffer) => payload_len(buffer),
            None => {
                stream.timestamp = match format {
                    Format::Full => header.time,
                    Format::SameStream | Format::SameLength | Format::Same => {
                        stream.timestamp.wrapping_add(header.time)
                    }
                };
                stream.header = header;
                let first = header.length.min(MAX_FIRST_RESERVE);
                let mut buffer = BytesMut::with_capacity(MESSAGE_HEADER_LEN + first);
                buffer.resize(MESSAGE_HEADER_LEN, 0);
                stream.unfinished = Some(buffer);
                0
            }
        };
        let chunk_size = usize::try_from(self.chunk_size).unwrap_or(usize::MAX);
        Ok(Some((id, chunk_size.min(header.length - received))))
    }

    fn take_payload(&mut self, id: u32, payload: &[u8]) -> Result<Option<Message>, ChunkError> {
        let Some(stream) = self.streams.get_mut(&id) else { return Ok(None) };
        let Some(buffer) = &mut stream.unfinished else { return Ok(None) };
        self.buffered += payload.len();
        if self.buffered > self.limits.buffered {
            return Err(ChunkError::TooMuchUnfinished(self.limits.buffered));
        }
        let whole = MESSAGE_HEADER_LEN + stream.header.length;
        if buffer.capacity() < buffer.len() + payload.len() {
            // Doubles, but not past the end as `reserve` would: what is kept for viewers has no slack.
            let mut grown = BytesMut::with_capacity((buffer.len() + buffer.len().max(payload.len())).min(whole));
            grown.extend_from_slice(buffer);
            *buffer = grown;
        }
        buffer.extend_from_slice(payload);
        if buffer.len() < whole {
            return Ok(None);
        }
        self.buffered -= stream.header.length;
        Ok(stream.unfinished.take().map(|buffer| Message {
            kind: stream.header.kind,
            stream: stream.header.stream,
            timestamp: stream.timestamp,
            buffer,
        }))
    }

    fn set_chunk_size(&mut self, message: &Message) -> Result<(), ChunkError> {
        let size = message.body().try_get_u32().map_err(|_| ChunkError::Truncated("chunk size"))?;
        // The top bit must be zero. A size beyond any message's is as good as the longest message's.
        if size == 0 || size > i32::MAX as u32 {
            return Err(ChunkError::ChunkSize(size));
        }
        self.chunk_size = size;
        Ok(())
    }

    fn abort(&mut self, message: &Message) -> Result<(), ChunkError> {
        let id = message.body().try_get_u32().map_err(|_| ChunkError::Truncated("abort"))?;
        if let Some(stream) = self.streams.get_mut(&id) {
            self.buffered -= stream.unfinished.take().map_or(0, |buffer| payload_len(&buffer));
        }
        Ok(())
    }
}

fn payload_len(buffer: &BytesMut) -> usize {
    buffer.len() - MESSAGE_HEADER_LEN
}

#[cfg(test)]
mod tests;
