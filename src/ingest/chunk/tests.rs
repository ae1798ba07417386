use std::collections::VecDeque;

use bytes::BufMut;
use proptest::prelude::*;

use super::*;

const LIMITS: Limits = Limits { message_size: 100_000, chunk_streams: 8, buffered: 200_000 };

/// A message to write, as its parts.
#[derive(Debug, Clone, PartialEq)]
struct Sent {
    id: u32,
    kind: u8,
    stream: u32,
    timestamp: u32,
    body: Vec<u8>,
}

fn sent(id: u32, kind: u8, timestamp: u32, len: usize) -> Sent {
    Sent { id, kind, stream: 1, timestamp, body: (0..len).map(|i| i as u8).collect() }
}

fn basic(out: &mut Vec<u8>, format: u8, id: u32) {
    match id {
        0..64 => out.put_u8(format << 6 | id as u8),
        64..320 => out.put_slice(&[format << 6, (id - 64) as u8]),
        _ => {
            out.put_u8(format << 6 | 1);
            out.put_u16_le((id - 64) as u16);
        }
    }
}

/// The message's chunks, each with the header that `format` says at first and type 3 after it. `time` is what stands in it.
fn chunks(message: &Sent, format: u8, time: u32, chunk_size: usize) -> Vec<Vec<u8>> {
    let mut chunks = Vec::new();
    let mut parts = message.body.chunks(chunk_size);
    for first in std::iter::once(true).chain(std::iter::repeat(false)) {
        let part = parts.next();
        if part.is_none() && !first {
            break;
        }
        let mut out = Vec::new();
        let format = if first { format } else { 3 };
        basic(&mut out, format, message.id);
        if format < 3 {
            out.put_uint(time.min(0xff_ffff).into(), 3);
        }
        if format < 2 {
            out.put_uint(message.body.len() as u64, 3);
            out.put_u8(message.kind);
        }
        if format == 0 {
            out.put_u32_le(message.stream);
        }
        if time >= 0xff_ffff {
            out.put_u32(time);
        }
        out.put_slice(part.unwrap_or_default());
        chunks.push(out);
    }
    chunks
}

fn full(message: &Sent, chunk_size: usize) -> Vec<u8> {
    chunks(message, 0, message.timestamp, chunk_size).concat()
}

fn set_chunk_size(size: u32) -> Vec<u8> {
    let mut message = sent(2, 1, 0, 0);
    message.body = size.to_be_bytes().into();
    full(&message, 128)
}

/// Feeds the pieces one after the other and gives what was read.
fn read_pieces<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> Result<Vec<Message>, ChunkError> {
    let mut reader = ChunkReader::new(LIMITS);
    let mut input = BytesMut::new();
    let mut messages = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        while let Some(message) = reader.read(&mut input)? {
            messages.push(message);
        }
        assert!(input.len() < 18, "only a part of a header is left over");
    }
    Ok(messages)
}

fn read(bytes: &[u8]) -> Result<Vec<Message>, ChunkError> {
    read_pieces([bytes])
}

fn assert_is(message: &Message, sent: &Sent) {
    assert_eq!((message.kind, message.stream, message.timestamp), (sent.kind, sent.stream, sent.timestamp));
    assert_eq!(message.body(), sent.body);
}

#[test]
fn a_message_is_put_together_from_its_chunks() {
    let video = sent(4, 9, 1234, 1000);
    let read = read(&full(&video, 128)).unwrap();
    assert_eq!(read.len(), 1);
    assert_is(&read[0], &video);
}

#[test]
fn an_empty_message_is_a_message() {
    let read = read(&full(&sent(4, 8, 7, 0), 128)).unwrap();
    assert!(read[0].body().is_empty());
}

#[test]
fn long_chunk_stream_ids_are_read() {
    for id in [3, 63, 64, 319, 320, 65_599] {
        assert_is(&read(&full(&sent(id, 8, 7, 300), 128)).unwrap()[0], &sent(id, 8, 7, 300));
    }
}

#[test]
fn interleaved_messages_do_not_mix() {
    let (video, audio) = (sent(4, 9, 10, 400), sent(5, 8, 11, 300));
    let (video_chunks, audio_chunks) = (chunks(&video, 0, 10, 128), chunks(&audio, 0, 11, 128));
    let mut bytes = Vec::new();
    for (i, chunk) in video_chunks.iter().enumerate() {
        bytes.extend_from_slice(chunk);
        bytes.extend(audio_chunks.get(i).into_iter().flatten());
    }
    let read = read(&bytes).unwrap();
    assert_is(&read[0], &audio);
    assert_is(&read[1], &video);
}

#[test]
fn compressed_headers_build_on_the_one_before() {
    let mut bytes = full(&sent(4, 9, 1000, 10), 128);
    bytes.extend(chunks(&sent(4, 9, 0, 20), 1, 40, 128).concat());
    bytes.extend(chunks(&sent(4, 9, 0, 20), 2, 41, 128).concat());
    bytes.extend(chunks(&sent(4, 9, 0, 20), 3, 0, 128).concat());
    let read = read(&bytes).unwrap();
    let timestamps: Vec<_> = read.iter().map(|message| message.timestamp).collect();
    assert_eq!(timestamps, [1000, 1040, 1081, 1122]);
    assert!(read[1..].iter().all(|message| message.stream == 1 && message.body().len() == 20));
}

#[test]
fn a_chunk_stream_may_start_without_a_message_stream() {
    let bytes = chunks(&sent(2, 4, 0, 6), 1, 0, 128).concat();
    assert_eq!(read(&bytes).unwrap()[0].stream, 0);
}

#[test]
fn extended_times_are_read_whether_repeated_or_not() {
    for timestamp in [0xff_ffff, 0x100_0000, u32::MAX] {
        let message = sent(4, 9, timestamp, 300);
        assert_is(&read(&full(&message, 128)).unwrap()[0], &message);

        let mut unrepeated = chunks(&message, 0, timestamp, 128);
        for chunk in unrepeated.iter_mut().skip(1) {
            chunk.drain(1..5);
        }
        assert_is(&read(&unrepeated.concat()).unwrap()[0], &message);
    }
}

#[test]
fn time_wraps_at_32_bits() {
    let mut bytes = full(&sent(4, 9, u32::MAX - 9, 10), 128);
    bytes.extend(chunks(&sent(4, 9, 0, 10), 2, 40, 128).concat());
    assert_eq!(read(&bytes).unwrap()[1].timestamp, 30);
}

#[test]
fn a_new_chunk_size_holds_from_the_next_chunk() {
    let video = sent(4, 9, 0, 5000);
    let bytes = [set_chunk_size(4096), full(&video, 4096)].concat();
    assert_is(&read(&bytes).unwrap()[0], &video);
}

#[test]
fn a_chunk_size_that_cannot_be_is_refused() {
    for size in [0, 0x8000_0000, u32::MAX] {
        assert_eq!(read(&set_chunk_size(size)).unwrap_err(), ChunkError::ChunkSize(size));
    }
    assert!(read(&set_chunk_size(0x7fff_ffff)).is_ok());
}

#[test]
fn an_aborted_message_is_forgotten() {
    let (aborted, next) = (sent(4, 9, 0, 300), sent(4, 9, 5, 200));
    let mut abort = sent(2, 2, 0, 0);
    abort.body = 4u32.to_be_bytes().into();
    let bytes = [chunks(&aborted, 0, 0, 128)[0].clone(), full(&abort, 128), full(&next, 128)].concat();
    let read = read(&bytes).unwrap();
    assert_eq!(read.len(), 1);
    assert_is(&read[0], &next);
}

#[test]
fn a_repeated_full_header_continues_its_message() {
    let message = sent(4, 9, 77, 200);
    let mut bytes = chunks(&message, 0, 77, 128)[0].clone();
    let again = Sent { body: message.body.clone(), ..message.clone() };
    let header = chunks(&again, 0, 77, 128)[0][..12].to_vec();
    bytes.extend(header);
    bytes.extend(&message.body[128..]);
    assert_is(&read(&bytes).unwrap()[0], &message);
}

#[test]
fn a_claimed_length_over_the_limit_is_refused_at_once() {
    let bytes = [0x04, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0];
    assert_eq!(read(&bytes).unwrap_err(), ChunkError::MessageTooLong { length: 0xff_ffff, limit: 100_000 });
}

#[test]
fn a_claim_costs_no_more_than_the_first_reserve() {
    let mut reader = ChunkReader::new(Limits { message_size: 1 << 24, ..LIMITS });
    let mut input = BytesMut::from(&[0x04, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0, 1][..]);
    assert!(reader.read(&mut input).unwrap().is_none());
    let capacity = reader.streams[&4].unfinished.as_ref().unwrap().capacity();
    assert!(capacity < 2 * MAX_FIRST_RESERVE, "{capacity}");
}

#[test]
fn a_long_message_ends_without_slack() {
    let message = sent(4, 9, 0, 90_000);
    let read = read(&full(&message, 128)).unwrap();
    assert!(read[0].buffer.capacity() <= 90_000 + 64, "{}", read[0].buffer.capacity());
}

#[test]
fn too_many_chunk_streams_are_refused() {
    let bytes: Vec<u8> = (3..12).flat_map(|id| full(&sent(id, 8, 0, 1), 128)).collect();
    assert_eq!(read(&bytes).unwrap_err(), ChunkError::TooManyChunkStreams(8));
}

#[test]
fn too_much_unfinished_is_refused() {
    let mut bytes = set_chunk_size(99_999);
    for id in 3..7 {
        bytes.extend_from_slice(&chunks(&sent(id, 9, 0, 100_000), 0, 0, 99_999)[0]);
    }
    assert_eq!(read(&bytes).unwrap_err(), ChunkError::TooMuchUnfinished(200_000));
}

#[test]
fn a_reference_to_nothing_is_refused() {
    assert_eq!(read(&[0xc4]).unwrap_err(), ChunkError::NothingToReferTo(4));
    assert_eq!(read(&[0x84, 0, 0, 1]).unwrap_err(), ChunkError::NothingToReferTo(4));
}

/// The messages of one chunk stream, and their chunks that are not written yet; of each, whether it ends its message.
type Queue = (Vec<Sent>, VecDeque<(Vec<u8>, bool)>);

prop_compose! {
    fn a_message()(id in 3u32..7, kind in prop::sample::select(vec![8u8, 9, 18, 20]), step in 0u32..0x0200_0000, len in 0usize..700)
        -> (u32, u8, u32, usize) {
        (id, kind, step, len)
    }
}

proptest! {
    #[test]
    fn any_chunking_and_any_splitting_give_the_same_messages(
        messages in prop::collection::vec(a_message(), 1..12),
        chunk_size in 1usize..900,
        order in prop::collection::vec(any::<prop::sample::Index>(), 200),
        cuts in prop::collection::vec(1usize..300, 1..50),
    ) {
        // Messages of one chunk stream stay in order; chunks of different ones are interleaved at will.
        let mut queues: [Queue; 7] = Default::default();
        for (id, kind, step, len) in messages {
            let (sents, chunked) = &mut queues[id as usize];
            let message = match sents.last() {
                None => sent(id, kind, step, len),
                Some(last) => sent(id, kind, last.timestamp.wrapping_add(step), len),
            };
            let (format, time) = match sents.last() {
                None => (0, message.timestamp),
                Some(last) if last.kind == kind && last.body.len() == len => (2, step),
                Some(_) => (1, step),
            };
            let mut parts = chunks(&message, format, time, chunk_size);
            let last = parts.pop().unwrap();
            chunked.extend(parts.into_iter().map(|part| (part, false)));
            chunked.push_back((last, true));
            sents.push(message);
        }
        let mut bytes = set_chunk_size(chunk_size as u32);
        let mut expected = Vec::new();
        let mut finished = [0; 7];
        let mut picks = order.iter().cycle();
        loop {
            let open: Vec<usize> = (0..7).filter(|&id| !queues[id].1.is_empty()).collect();
            if open.is_empty() {
                break;
            }
            let id = open[picks.next().unwrap().index(open.len())];
            let (part, ends) = queues[id].1.pop_front().unwrap();
            bytes.extend(part);
            if ends {
                expected.push(queues[id].0[finished[id]].clone());
                finished[id] += 1;
            }
        }
        let mut pieces = Vec::new();
        let mut rest = &bytes[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, after) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = after;
        }
        let read = read_pieces(pieces).unwrap();
        prop_assert_eq!(read.len(), expected.len());
        for (message, sent) in read.iter().zip(&expected) {
            assert_is(message, sent);
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = read(&bytes);
    }

    #[test]
    fn damaged_chunks_never_panic(len in 0usize..500, at: prop::sample::Index, with: u8) {
        let mut bytes = [set_chunk_size(60), full(&sent(4, 9, 20, len), 60), full(&sent(5, 8, 30, len), 60)].concat();
        let at = at.index(bytes.len());
        bytes[at] = with;
        let _ = read(&bytes);
    }
}
