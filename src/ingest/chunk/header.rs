//! Chunk headers. Defined by: RTMP 1.0, §5.3.1.

use bytes::Buf;

/// The 24-bit time that says that 32 bits follow.
const EXTENDED: u32 = 0xff_ffff;

/// How much of a message header a chunk repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Type 0: all of it, with the time itself.
    Full,
    /// Type 1: all but the message stream, with the time passed.
    SameStream,
    /// Type 2: the time passed.
    SameLength,
    /// Type 3: nothing.
    Same,
}

/// A message header as it stands on one chunk stream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// The time or, unless the format was [`Format::Full`], the time passed, in milliseconds.
    pub(super) time: u32,
    /// Whether the time came in the extended field.
    pub(super) extended: bool,
    /// Bytes in the message.
    pub(super) length: usize,
    /// Message type.
    pub(super) kind: u8,
    /// Message stream id.
    pub(super) stream: u32,
}

/// Reads the basic header: the format and the chunk stream id. `None`: not all of it is there.
pub(super) fn read_basic(input: &mut &[u8]) -> Option<(Format, u32)> {
    let first = input.try_get_u8().ok()?;
    let format = match first >> 6 {
        0 => Format::Full,
        1 => Format::SameStream,
        2 => Format::SameLength,
        _ => Format::Same,
    };
    let id = match first & 0x3f {
        0 => 64 + u32::from(input.try_get_u8().ok()?),
        1 => 64 + u32::from(input.try_get_u16_le().ok()?),
        id => u32::from(id),
    };
    Some((format, id))
}

/// Reads the message header and the extended time, on top of the chunk stream's previous header. `None`: not all of it is there.
pub(super) fn read_message(format: Format, previous: Header, input: &mut &[u8]) -> Option<Header> {
    let mut header = previous;
    if format == Format::Same {
        // Some encoders repeat the extended time in chunks of this type, as they should, and some don't; it's told by its value.
        if header.extended && input.get(..4).map(|mut bytes| bytes.get_u32())? == header.time {
            input.advance(4);
        }
        return Some(header);
    }
    header.time = read_u24(input)?;
    if matches!(format, Format::Full | Format::SameStream) {
        header.length = usize::try_from(read_u24(input)?).ok()?;
        header.kind = input.try_get_u8().ok()?;
    }
    if format == Format::Full {
        header.stream = input.try_get_u32_le().ok()?;
    }
    header.extended = header.time == EXTENDED;
    if header.extended {
        header.time = input.try_get_u32().ok()?;
    }
    Some(header)
}

fn read_u24(input: &mut &[u8]) -> Option<u32> {
    let high = input.try_get_u8().ok()?;
    let low = input.try_get_u16().ok()?;
    Some(u32::from(high) << 16 | u32::from(low))
}
