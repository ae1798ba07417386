//! What the session core costs for one viewer: a second of live video and audio, in virtual time.
//!
//! A real peer answers once, across a link of 20 ms, and what it said is repeated for each turn, so that the time is that
//! of the sending side alone.

use std::hint::black_box;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use headwater::session::{Config, Deadline, Event, GroupId, Message, Pipe, Priority, SendFlow, Session};
use headwater::wire::frame::Fragment;

const KEY_FRAME: usize = 80_000;
const DELTA_FRAME: usize = 10_000;
const AUDIO_FRAME: usize = 250;
const VIDEO_FRAMES: u32 = 30;
const AUDIO_FRAMES: u32 = 47;

/// One way. In milliseconds, as all times here.
const DELAY: u64 = 10;
/// A second, and until all of it is acknowledged.
const END: u64 = 1400;

/// What happens to the sender at one time.
#[derive(Default)]
struct Step {
    at: u64,
    from_peer: Vec<Bytes>,
    frames: Vec<Frame>,
}

#[derive(Clone)]
struct Frame {
    is_video: bool,
    is_key: bool,
    payload: Bytes,
}

/// The sender, with its two flows.
struct Sender {
    session: Session<Pipe>,
    start: Instant,
    audio: SendFlow,
    video: SendFlow,
}

impl Sender {
    fn new(start: Instant) -> Self {
        let mut session = Session::new(Config::default());
        let mut open = |priority| {
            session.flows().open(Bytes::from_static(b"TC\x04\x01"), priority, None).expect("below the limit")
        };
        let (audio, video) = (open(Priority::Immediate), open(Priority::Priority));
        Self { session, start, audio, video }
    }

    /// Lets a step happen, and hands what is sent to `send`.
    fn step(&mut self, step: &Step, mut send: impl FnMut(Fragment)) {
        let now = self.start + Duration::from_millis(step.at);
        for input in &step.from_peer {
            self.session.handle_input(now, input.clone()).expect("the peer behaves");
            self.drain(now, &mut send);
        }
        for frame in &step.frames {
            let (flow, lifetime) = if frame.is_video { (self.video, 500) } else { (self.audio, 700) };
            let start_by = now + Duration::from_millis(lifetime);
            let deadline =
                Deadline { start_by: Some(start_by), finish_by: Some(start_by + Duration::from_millis(100)) };
            let needs_previous = frame.is_video && !frame.is_key;
            let message = Message { payload: frame.payload.clone(), group: GroupId(1), needs_previous, deadline };
            self.session.flows().write(flow, message).expect("there is room");
            self.drain(now, &mut send);
        }
    }

    fn drain(&mut self, now: Instant, send: &mut impl FnMut(Fragment)) {
        while let Some(fragment) = self.session.poll_transmit(now) {
            send(fragment);
        }
        while let Some(event) = self.session.poll_event() {
            black_box(event);
        }
        black_box(self.session.poll_timeout());
    }
}

/// Sends a second to a real peer and notes what it answered.
fn record() -> Vec<Step> {
    let start = Instant::now();
    let mut sender = Sender::new(start);
    let mut peer = Session::<Pipe>::new(Config::default());
    let mut to_peer: Vec<(u64, Bytes)> = Vec::new();
    let mut from_peer: Vec<(u64, Bytes)> = Vec::new();
    let mut messages = 0;
    let mut steps = Vec::new();
    for at in 0..END {
        let now = start + Duration::from_millis(at);
        let arrived = |link: &mut Vec<(u64, Bytes)>| -> Vec<Bytes> {
            link.extract_if(.., |(time, _)| *time <= at).map(|(_, bytes)| bytes).collect()
        };
        for bytes in arrived(&mut to_peer) {
            peer.handle_input(now, bytes).expect("the sender behaves");
            while let Some(event) = peer.poll_event() {
                match event {
                    Event::Opened { flow, .. } => peer.flows().accept(flow, 16 << 20),
                    Event::Message { .. } => messages += 1,
                    event => panic!("{event:?}"),
                }
            }
        }
        if peer.poll_timeout().is_some_and(|(at, _)| at <= now) {
            peer.handle_timeout(now);
        }
        while let Some(fragment) = peer.poll_transmit(now) {
            from_peer.push((at + DELAY, fragment.to_bytes()));
        }
        let step = Step { at, from_peer: arrived(&mut from_peer), frames: frames_at(at) };
        if !step.from_peer.is_empty() || !step.frames.is_empty() {
            sender.step(&step, |fragment| to_peer.push((at + DELAY, fragment.to_bytes())));
            steps.push(step);
        }
    }
    assert_eq!(messages, VIDEO_FRAMES + AUDIO_FRAMES, "every frame arrives");
    steps
}

/// The frames that are due in a millisecond.
fn frames_at(at: u64) -> Vec<Frame> {
    let due = |count: u32| (0..count).find(|n| u64::from(*n) * 1000 / u64::from(count) == at);
    let frame = |is_video, is_key, len| Frame { is_video, is_key, payload: vec![0; len].into() };
    let video = due(VIDEO_FRAMES).map(|n| frame(true, n == 0, if n == 0 { KEY_FRAME } else { DELTA_FRAME }));
    let audio = due(AUDIO_FRAMES).map(|_| frame(false, false, AUDIO_FRAME));
    audio.into_iter().chain(video).collect()
}

fn session_core(criterion: &mut Criterion) {
    let steps = record();
    let payloads = steps.iter().flat_map(|step| &step.frames).map(|frame| frame.payload.len() as u64);
    let (elements, bytes) = (u64::from(VIDEO_FRAMES + AUDIO_FRAMES), payloads.sum());
    let mut group = criterion.benchmark_group("session_core");
    group.throughput(Throughput::ElementsAndBytes { elements, bytes });
    group.bench_function("a second to one viewer", |bencher| {
        let start = Instant::now();
        bencher.iter(|| {
            let mut sender = Sender::new(start);
            for step in &steps {
                sender.step(step, |fragment| {
                    black_box(fragment);
                });
            }
        });
    });
    group.finish();
}

criterion_group!(benches, session_core);
criterion_main!(benches);
