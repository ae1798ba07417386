//! A viewer's whole conversation: session, TC and delivery, with a stream to play.
//!
//! The input is a sequence of messages: length u16, bytes. An empty one lets time for something else.

#![no_main]

use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use headwater::broadcast::{self, Registry, StreamPath};
use headwater::clock::Clock;
use headwater::delivery;
use headwater::media::time::Timestamp;
use headwater::media::{MESSAGE_HEADER_LEN, flv};
use headwater::session;
use headwater::session::link::CloseReason;
use headwater::transport::pipe_link::PipeLink;
use headwater::transport::{MessagePipe, TransportError};
use headwater::wire::frame::Fragment;
use libfuzzer_sys::fuzz_target;
use tokio::runtime::{Builder, Runtime};
use tokio::time::Instant;

/// Configurations, a key frame, sound and a delta frame.
const FRAMES: [(u8, u64, &[u8]); 5] = [
    (9, 0, b"\x17\0\0\0\0\x01\x64\0\x1f\xff\xe1\0\x04\x67\x64\0\x1f\x01\0\x01\x68"),
    (8, 0, b"\xaf\0\x11\x90"),
    (9, 0, b"\x17\x01\0\0\0\0\0\0\x02\x65\x88"),
    (8, 10, b"\xaf\x01\x21\x10"),
    (9, 33, b"\x27\x01\0\0\0\0\0\0\x02\x41\x9a"),
];

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

fuzz_target!(|input: &[u8]| {
    let mut input = Bytes::copy_from_slice(input);
    let mut inbound = VecDeque::new();
    while input.len() >= 2 {
        let len = usize::from(input.get_u16()).min(input.len());
        inbound.push_back(input.split_to(len));
    }
    let registry = Registry::new(broadcast::Config::default());
    // The name in the recorded conversations.
    let path = StreamPath::new("live", "test").expect("a path");
    let mut publisher = registry.publish(&path, Clock.now()).expect("nobody else publishes");
    for (kind, time, body) in FRAMES {
        let mut message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
        message.extend_from_slice(body);
        let unit = flv::read(kind, Timestamp::from_millis(time), message);
        publisher.append(unit.expect("readable").expect("of use"), Clock.now()).expect("the only publisher");
    }
    let link = PipeLink::new(Pipe(inbound), session::Config::default(), Clock);
    let config = delivery::Config::default();
    let _ = RUNTIME.with(|runtime| runtime.block_on(delivery::serve(link, &registry, &config, Clock)));
    assert!(
        registry.streams(Clock.now()).iter().all(|stream| stream.viewers == 0),
        "a viewer that left is still there"
    );
});

/// What a viewer sends; then it leaves. What it gets is dropped.
struct Pipe(VecDeque<Bytes>);

impl MessagePipe for Pipe {
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Bytes>, TransportError>> {
        let message = self.0.pop_front();
        if message.as_ref().is_some_and(Bytes::is_empty) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(Ok(message))
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }

    fn poll_liveness(&mut self, _: &mut Context<'_>, _: Instant) -> Poll<Result<(), TransportError>> {
        Poll::Pending
    }

    fn has_room(&self) -> bool {
        true
    }

    fn start_send(&mut self, _: Fragment) {}

    fn start_close(&mut self, _: CloseReason) {}

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        Poll::Ready(Ok(()))
    }
}
