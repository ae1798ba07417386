//! What a publisher may send once it publishes, and what a viewer then reads: message bodies, units, codecs, the time line, the log.
//!
//! The input is a sequence of messages: type u8, timestamp u32, milliseconds since the last one u16, length u16, body.

#![no_main]

use std::time::{Duration, Instant};

use bytes::{Buf, BytesMut};
use bytesize::ByteSize;
use headwater::broadcast::{Config, Item, Registry, StreamPath};
use headwater::media::time::{Timestamp, Unwrapper};
use headwater::media::{MESSAGE_HEADER_LEN, Track, UnitKind, codec, flv};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let registry = Registry::new(Config { max_bytes: ByteSize::kib(4), ..Config::default() });
    let path = StreamPath::new("live", "fuzz").expect("a path");
    let mut now = Instant::now();
    let mut publisher = registry.publish(&path, now).expect("nobody else publishes");
    // One that reads at once, and one that lags.
    let mut viewers = [(); 2].map(|()| Viewer::new(&registry, &path));
    let mut time = Unwrapper::default();
    let mut input = input;
    while input.len() >= 9 {
        let (kind, timestamp, wait, len) = (input.get_u8(), input.get_u32(), input.get_u16(), input.get_u16());
        let (body, rest) = input.split_at(usize::from(len).min(input.len()));
        input = rest;
        now += Duration::from_millis(wait.into());
        let mut message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
        message.extend_from_slice(body);
        let Ok(Some(unit)) = flv::read(kind, time.unwrap(timestamp), message) else { continue };
        let _ = codec::describe(&unit);
        let _ = flv::configuration(&unit);
        assert!(unit.body().len() <= body.len());
        publisher.append(unit, now).expect("the only publisher");
        viewers[0].read();
    }
    let _ = registry.streams(now);
    drop(publisher);
    for viewer in &mut viewers {
        viewer.read();
    }
});

struct Viewer {
    subscriber: headwater::broadcast::Subscriber,
    newest: [Timestamp; 2],
    awaits_key: bool,
}

impl Viewer {
    fn new(registry: &Registry, path: &StreamPath) -> Self {
        Self { subscriber: registry.subscribe(path), newest: [Timestamp::default(); 2], awaits_key: true }
    }

    /// Reads all that is there and holds it against what the broadcast promises.
    fn read(&mut self) {
        while let Some(item) = self.subscriber.try_next() {
            let frame = match item {
                Item::Frame(frame) => frame,
                Item::Online | Item::Skipped { .. } => {
                    self.awaits_key = true;
                    continue;
                }
                Item::Offline => continue,
            };
            assert_eq!(frame.message.first(), Some(&frame.track.message_type()));
            assert_eq!(frame.message.get(1..5), Some(&frame.timestamp.rtmp().to_be_bytes()[..]));
            match frame.kind {
                UnitKind::Key => self.awaits_key = false,
                UnitKind::Delta => assert!(!self.awaits_key, "a delta frame without its key frame"),
                UnitKind::Audio => {}
                _ => continue,
            }
            let newest = &mut self.newest[usize::from(frame.track == Track::Video)];
            assert!(*newest <= frame.timestamp, "a track goes back");
            *newest = frame.timestamp;
        }
    }
}
