//! Access units: what a live stream is made of. No I/O, no async, no clock.

pub mod codec;
pub mod flv;
pub mod fmp4;
pub mod time;

use bytes::{BufMut, Bytes, BytesMut};

use self::time::Timestamp;

/// Length of the header that starts every [`Unit`]'s message: message type u8, timestamp u32 big-endian in milliseconds.
pub const MESSAGE_HEADER_LEN: usize = 5;

/// Which of a stream's three kinds of media a unit belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Track {
    /// RTMP message type 8.
    Audio,
    /// RTMP message type 9.
    Video,
    /// RTMP message type 18: `onMetaData` and other AMF0 data.
    Data,
}

/// What a unit means to whoever decides about sending it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitKind {
    /// Decoder configuration (AVCDecoderConfigurationRecord, AudioSpecificConfig): applies to all later units of its track.
    Configuration,
    /// A video frame that starts a group: nothing before it is needed to decode what follows.
    Key,
    /// A video frame that needs frames before it.
    Delta,
    /// An audio frame, decodable by itself.
    Audio,
    /// End of the video sequence (AVC packet type 2).
    EndOfSequence,
    /// `onMetaData`, kept and repeated to every viewer that joins.
    Metadata,
    /// Any other data message: passed on once.
    Data,
}

/// One message of a live stream as its publisher sent it, not yet shared.
///
/// `message` holds the RTMP message in the form in which viewers get it, header first, so that nothing has to be copied
/// for each of them: `type u8, timestamp u32 big-endian (ms), FLV tag body`.
#[derive(Debug)]
pub struct Unit {
    /// The track.
    pub track: Track,
    /// What it means.
    pub kind: UnitKind,
    /// Decode time.
    pub timestamp: Timestamp,
    /// Presentation time minus decode time, in milliseconds (B-frames).
    pub composition_ms: i32,
    message: BytesMut,
}

impl Unit {
    /// Makes a unit. The first [`MESSAGE_HEADER_LEN`] bytes of `message` are overwritten by [`Unit::into_message`].
    pub fn new(track: Track, kind: UnitKind, timestamp: Timestamp, composition_ms: i32, message: BytesMut) -> Self {
        debug_assert!(message.len() >= MESSAGE_HEADER_LEN, "the header's room is there");
        Self { track, kind, timestamp, composition_ms, message }
    }

    /// The FLV tag body, without the header.
    pub fn body(&self) -> &[u8] {
        &self.message[MESSAGE_HEADER_LEN..]
    }

    /// Writes the header with the unit's present timestamp and gives out the shareable message.
    pub fn into_message(mut self) -> Bytes {
        let mut header = &mut self.message[..MESSAGE_HEADER_LEN];
        header.put_u8(self.track.message_type());
        header.put_u32(self.timestamp.rtmp());
        self.message.freeze()
    }
}

impl Track {
    /// The RTMP message type that carries this track.
    pub fn message_type(self) -> u8 {
        match self {
            Track::Audio => 8,
            Track::Video => 9,
            Track::Data => 18,
        }
    }
}
