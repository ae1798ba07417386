//! What a stream costs for each of 100 viewers, all that the processor does short of the kernel: FLV message bodies are
//! read, appended to the broadcast, and played by 100 viewers of the gateway's own, whose sockets are memory.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Buf, BytesMut};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use headwater::broadcast::{self, Publisher, Registry, StreamPath};
use headwater::clock::Clock;
use headwater::delivery;
use headwater::media::time::Timestamp;
use headwater::media::{MESSAGE_HEADER_LEN, flv};
use headwater::session;
use headwater::transport::pipe_link::PipeLink;
use headwater::transport::websocket::{self, WebSocket};
use headwater::wire::amf0::Value;
use headwater::wire::frame::Frame;
use headwater::wire::tc::{Command, FlowMetadata, StreamId};
use integration_tests::clip::{Clip, Tag};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::task::yield_now;
use tokio::time::timeout;

const VIEWERS: u64 = 100;
const STREAM: &str = "bench";

/// What each viewer gets before frames: answers to connect and createStream, the stream's beginning, that it was reset and
/// is started, sample access, that it is published, both configurations.
const SETUP_MESSAGES: u64 = 9;

/// Bytes for which genuine viewers wait when this gateway asks them to.
const ACK_WINDOW: u64 = 11_200;
const RECEIVE_BUFFER: u64 = 16_777_215;

/// The far end of a connection: takes everything at once, counts messages and acknowledges as a viewer does.
struct Viewer {
    to_gateway: BytesMut,
    reader: Option<Waker>,
    /// Bytes to be acknowledged of each flow, by its number.
    unacknowledged: [u64; 8],
    since_acknowledgement: u64,
    messages: Arc<AtomicU64>,
}

impl Viewer {
    /// One that has said all that it has to say.
    fn new(messages: Arc<AtomicU64>) -> Self {
        let mut viewer = Self {
            to_gateway: BytesMut::new(),
            reader: None,
            unacknowledged: [0; 8],
            since_acknowledgement: 0,
            messages,
        };
        let open = |flow, answers, stream| Frame::Open { flow, answers, metadata: FlowMetadata::new(stream).encode() };
        let say = |flow, command: Command| Frame::Data { flow, last: true, payload: command.encode() };
        let stream = StreamId(1);
        let connect = Command { object: Value::object([("app", "live")]), ..Command::new("connect", 1.0, vec![]) };
        viewer.send(open(0, None, StreamId::CONTROL));
        viewer.send(say(0, connect));
        viewer.send(say(0, Command::new("createStream", 2.0, vec![])));
        viewer.send(open(1, Some(0), stream));
        viewer.send(say(1, Command::new("play", 0.0, vec![STREAM.into()])));
        viewer
    }

    /// Sends a frame, masked with zeros: clients must mask.
    fn send(&mut self, frame: Frame) {
        let message = frame.encode().to_bytes();
        let len = u8::try_from(message.len()).expect("viewers are brief");
        assert!(len < 126, "a one-byte length");
        self.to_gateway.extend_from_slice(&[0x82, 0x80 | len, 0, 0, 0, 0]);
        self.to_gateway.extend_from_slice(&message);
        if let Some(reader) = self.reader.take() {
            reader.wake();
        }
    }

    /// Takes one WebSocket message: its header and the frame's head, and the frame's body.
    fn receive(&mut self, head: &[u8], body: &[u8]) {
        let frame = match head[1] {
            126 => &head[4..],
            127 => &head[10..],
            _ => &head[2..],
        };
        let (kind, flow) = (frame[0], frame[1]);
        match kind {
            0x10 | 0x30 => self.send(Frame::Ack { flow: flow.into(), delta: 0, advertisement: RECEIVE_BUFFER }),
            0x1d | 0x3d => {
                let len = (frame.len() + body.len()) as u64;
                self.unacknowledged[usize::from(flow)] += len;
                self.since_acknowledgement += len;
                self.messages.fetch_add(u64::from(kind == 0x1d), Ordering::Relaxed);
                if self.since_acknowledgement >= ACK_WINDOW {
                    self.since_acknowledgement %= ACK_WINDOW;
                    self.acknowledge();
                }
            }
            0x1a => panic!("a frame was given up"),
            _ => {}
        }
    }

    fn acknowledge(&mut self) {
        for flow in 0..self.unacknowledged.len() {
            let delta = std::mem::take(&mut self.unacknowledged[flow]);
            if delta > 0 {
                self.send(Frame::Ack { flow: flow as u64, delta, advertisement: RECEIVE_BUFFER });
            }
        }
    }
}

impl AsyncRead for Viewer {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.to_gateway.is_empty() {
            self.reader = Some(cx.waker().clone());
            return Poll::Pending;
        }
        let len = self.to_gateway.len().min(buf.remaining());
        buf.put_slice(&self.to_gateway[..len]);
        self.to_gateway.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Viewer {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, _: &[u8]) -> Poll<io::Result<usize>> {
        panic!("the gateway writes vectors");
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        for message in slices.chunks_exact(2) {
            self.receive(&message[0], &message[1]);
        }
        Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// A publisher and all its viewers.
struct Stage {
    publisher: Publisher,
    messages: Arc<AtomicU64>,
    turn: u64,
}

impl Stage {
    async fn new(clip: &Clip) -> Self {
        let registry = Registry::new(broadcast::Config::default());
        let path = StreamPath::new("live", STREAM).expect("a path");
        let messages = Arc::new(AtomicU64::new(0));
        let mut stage = Self {
            publisher: registry.publish(&path, Clock.now()).expect("nobody else"),
            messages: Arc::clone(&messages),
            turn: 0,
        };
        for tag in &clip.configurations {
            stage.append(tag, 0);
        }
        for _ in 0..VIEWERS {
            let (registry, viewer) = (registry.clone(), Viewer::new(Arc::clone(&messages)));
            tokio::spawn(async move {
                let socket = WebSocket::new(viewer, &websocket::Config::default(), &[]);
                let link = PipeLink::new(socket, session::Config::default(), Clock);
                delivery::serve(link, &registry, &delivery::Config::default(), Clock).await
            });
        }
        stage.wait_for(VIEWERS * SETUP_MESSAGES).await;
        stage
    }

    /// Plays the clip once, each frame when all viewers have got the one before it.
    async fn play(&mut self, clip: &Clip) {
        let mut expected = self.messages.load(Ordering::Relaxed);
        let start = self.turn * u64::from(clip.duration);
        self.turn += 1;
        for tag in &clip.frames {
            self.append(tag, start);
            expected += VIEWERS;
            self.wait_for(expected).await;
        }
    }

    fn append(&mut self, tag: &Tag, start: u64) {
        let mut message = BytesMut::with_capacity(MESSAGE_HEADER_LEN + tag.body.len());
        message.resize(MESSAGE_HEADER_LEN, 0);
        message.extend_from_slice(&tag.body);
        let timestamp = Timestamp::from_millis(start + u64::from(tag.timestamp));
        let unit = flv::read(tag.track.message_type(), timestamp, message).expect("a real tag").expect("with a unit");
        self.publisher.append(unit, Clock.now()).expect("the only publisher");
    }

    async fn wait_for(&self, messages: u64) {
        let all = async {
            while self.messages.load(Ordering::Relaxed) < messages {
                yield_now().await;
            }
        };
        timeout(Duration::from_secs(10), all).await.expect("every viewer gets every frame");
        assert_eq!(self.messages.load(Ordering::Relaxed), messages, "and nothing else");
    }
}

fn flv_to_flows(criterion: &mut Criterion) {
    let clip = Clip::heavy().expect("the clip is there");
    let bytes: usize = clip.frames.iter().map(|tag| tag.body.len()).sum();
    let mut group = criterion.benchmark_group("flv_to_flows");
    group.throughput(Throughput::ElementsAndBytes {
        elements: clip.frames.len() as u64 * VIEWERS,
        bytes: bytes as u64 * VIEWERS,
    });
    group.sample_size(20).measurement_time(Duration::from_secs(8));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
    let mut stage = runtime.block_on(Stage::new(&clip));
    group.bench_function("8 s to 100 viewers", |bencher| {
        bencher.iter(|| runtime.block_on(stage.play(&clip)));
    });
    group.finish();
}

criterion_group!(benches, flv_to_flows);
criterion_main!(benches);
