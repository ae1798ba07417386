//! Whole connections: rml_rtmp's client over an in-memory pipe, in virtual time.

use std::time::Duration;

use bytes::Bytes;
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType,
};
use rml_rtmp::time::RtmpTimestamp;
use tokio::io::DuplexStream;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::*;
use crate::authority::{Authority, Entrance};
use crate::broadcast::{self, Item, StreamPath, Subscriber};
use crate::media::UnitKind;

type Served = JoinHandle<Result<(), IngestError>>;

const KEY_FRAME: &[u8] = &[0x17, 1, 0, 0, 0, 0, 0, 0, 1, 0x65];

fn registry() -> Registry {
    Registry::new(broadcast::Config::default())
}

/// A connection that is being served.
fn connect(registry: &Registry) -> (DuplexStream, Served) {
    let (client, server) = tokio::io::duplex(64 * 1024);
    (client, spawn(server, registry, &Authority::default()))
}

fn spawn(server: DuplexStream, registry: &Registry, authority: &Authority) -> Served {
    let registry = registry.clone();
    let peer = "192.0.2.7:1000".parse().unwrap();
    let (visitor, _leash) = authority.visit(peer, Entrance::Rtmp, None, Clock.wall());
    tokio::spawn(async move { serve(server, &registry, &Config::default(), Clock, &visitor).await })
}

fn viewer(registry: &Registry) -> Subscriber {
    registry.subscribe(&StreamPath::new("live", "x").unwrap())
}

/// An independent publisher.
struct Encoder {
    socket: DuplexStream,
    session: ClientSession,
}

impl Encoder {
    async fn connected(mut socket: DuplexStream) -> Self {
        let mut handshake = Handshake::new(PeerType::Client);
        socket.write_all(&handshake.generate_outbound_p0_and_p1().unwrap()).await.unwrap();
        let remaining = loop {
            let mut bytes = BytesMut::new();
            socket.read_buf(&mut bytes).await.unwrap();
            match handshake.process_bytes(&bytes).unwrap() {
                HandshakeProcessResult::InProgress { response_bytes } => {
                    socket.write_all(&response_bytes).await.unwrap();
                }
                HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                    socket.write_all(&response_bytes).await.unwrap();
                    break remaining_bytes;
                }
            }
        };
        assert!(remaining.is_empty());
        let (session, first) = ClientSession::new(ClientSessionConfig::new()).unwrap();
        let mut encoder = Self { socket, session };
        encoder.send(first).await;
        encoder
    }

    async fn publishing(socket: DuplexStream) -> Self {
        let mut encoder = Self::connected(socket).await;
        let connect = encoder.session.request_connection("live".to_owned()).unwrap();
        encoder.send(vec![connect]).await;
        encoder.until(&ClientSessionEvent::ConnectionRequestAccepted).await;
        let publish = encoder.session.request_publishing("x".to_owned(), PublishRequestType::Live).unwrap();
        encoder.send(vec![publish]).await;
        encoder.until(&ClientSessionEvent::PublishRequestAccepted).await;
        encoder
    }

    async fn send(&mut self, results: Vec<ClientSessionResult>) {
        for result in results {
            if let ClientSessionResult::OutboundResponse(packet) = result {
                self.socket.write_all(&packet.bytes).await.unwrap();
            }
        }
    }

    async fn until(&mut self, expected: &ClientSessionEvent) {
        loop {
            let mut bytes = BytesMut::new();
            assert_ne!(self.socket.read_buf(&mut bytes).await.unwrap(), 0, "closed before {expected:?}");
            let results = self.session.handle_input(&bytes).unwrap();
            let found =
                results.iter().any(|r| matches!(r, ClientSessionResult::RaisedEvent(event) if event == expected));
            self.send(results).await;
            if found {
                return;
            }
        }
    }

    async fn video(&mut self, body: &'static [u8], timestamp: u32) {
        let body = Bytes::from_static(body);
        let packet = self.session.publish_video_data(body, RtmpTimestamp::new(timestamp), false).unwrap();
        self.send(vec![packet]).await;
    }
}

async fn timed_out(served: Served) -> Awaited {
    match served.await.unwrap() {
        Err(IngestError::TimedOut(awaited)) => awaited,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_an_encoder_publishes_reaches_the_viewer() {
    let registry = registry();
    let mut viewer = viewer(&registry);
    let (socket, served) = connect(&registry);
    let mut encoder = Encoder::publishing(socket).await;
    encoder.video(KEY_FRAME, 0).await;
    assert!(matches!(viewer.next().await, Item::Online));
    let Item::Frame(frame) = viewer.next().await else { panic!("no frame") };
    assert_eq!((frame.kind, &frame.message[5..]), (UnitKind::Key, KEY_FRAME));
    drop(encoder);
    assert!(matches!(viewer.next().await, Item::Offline));
    assert!(served.await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_crowd_has_the_last_frame_without_another_behind_it() {
    let registry = registry();
    let (socket, _served) = connect(&registry);
    let mut encoder = Encoder::publishing(socket).await;
    let watch = |mut viewer: Subscriber| async move { while !matches!(viewer.next().await, Item::Frame(_)) {} };
    let crowd: Vec<_> = (0..200).map(|_| tokio::spawn(watch(viewer(&registry)))).collect();
    tokio::time::sleep(Duration::from_millis(1)).await;
    let begin = Instant::now();
    encoder.video(KEY_FRAME, 0).await;
    for viewer in crowd {
        viewer.await.unwrap();
    }
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn an_encoder_that_stops_in_order_takes_its_stream_offline() {
    let registry = registry();
    let mut viewer = viewer(&registry);
    let (socket, _served) = connect(&registry);
    let mut encoder = Encoder::publishing(socket).await;
    let stop = encoder.session.stop_publishing().unwrap();
    encoder.send(stop).await;
    assert!(matches!(viewer.next().await, Item::Online));
    assert!(matches!(viewer.next().await, Item::Offline));
}

#[tokio::test(start_paused = true)]
async fn a_returning_encoder_replaces_its_dead_connection() {
    let registry = registry();
    let (socket, old_served) = connect(&registry);
    let mut old = Encoder::publishing(socket).await;
    let (socket, _served) = connect(&registry);
    let mut new = Encoder::publishing(socket).await;
    old.video(KEY_FRAME, 0).await;
    let mut rest = Vec::new();
    old.socket.read_to_end(&mut rest).await.unwrap();
    assert!(rest.windows(8).any(|window| window == b"Rejected"), "the old one is told");
    drop(old);
    assert!(matches!(old_served.await.unwrap(), Err(IngestError::Replaced(_))));
    let mut viewer = viewer(&registry);
    new.video(KEY_FRAME, 0).await;
    assert!(matches!(viewer.next().await, Item::Online));
    assert!(matches!(viewer.next().await, Item::Frame(_)));
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_says_nothing_is_dropped() {
    let registry = registry();
    let begin = Instant::now();
    let (_socket, served) = connect(&registry);
    assert_eq!(timed_out(served).await, Awaited::Handshake);
    assert_eq!(begin.elapsed().as_secs(), Config::default().handshake_timeout.as_secs());
}

#[tokio::test(start_paused = true)]
async fn a_handshake_byte_by_byte_is_no_way_to_stay() {
    let registry = registry();
    let (mut socket, served) = connect(&registry);
    let dripping = tokio::spawn(async move {
        while socket.write_all(&[3]).await.is_ok() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    });
    assert_eq!(timed_out(served).await, Awaited::Handshake);
    dripping.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_does_not_publish_is_dropped() {
    let registry = registry();
    let (socket, served) = connect(&registry);
    let mut encoder = Encoder::connected(socket).await;
    let connect = encoder.session.request_connection("live".to_owned()).unwrap();
    encoder.send(vec![connect]).await;
    encoder.until(&ClientSessionEvent::ConnectionRequestAccepted).await;
    assert_eq!(timed_out(served).await, Awaited::Publish);
}

#[tokio::test(start_paused = true)]
async fn a_silent_publisher_is_dropped() {
    let registry = registry();
    let mut viewer = viewer(&registry);
    let (socket, served) = connect(&registry);
    let mut encoder = Encoder::publishing(socket).await;
    let begin = Instant::now();
    for timestamp in [0, 8000, 16_000] {
        encoder.video(KEY_FRAME, timestamp).await;
        tokio::time::sleep(Duration::from_secs(8)).await;
    }
    while !matches!(viewer.next().await, Item::Offline) {}
    assert_eq!(begin.elapsed(), Duration::from_secs(16) + Config::default().idle_timeout);
    let mut rest = Vec::new();
    encoder.socket.read_to_end(&mut rest).await.unwrap();
    assert!(rest.windows(8).any(|window| window == b"Rejected"), "it is told");
    assert_eq!(timed_out(served).await, Awaited::Media);
}

#[tokio::test(start_paused = true)]
async fn a_publisher_of_nothing_but_pings_is_dropped() {
    let registry = registry();
    let (socket, served) = connect(&registry);
    let mut encoder = Encoder::publishing(socket).await;
    let begin = Instant::now();
    // A user control message of an event that nobody answers, on chunk stream 2.
    const IDLE: &[u8] = &[2, 0, 0, 0, 0, 0, 6, 4, 0, 0, 0, 0, 0, 3, 0, 0, 0, 0];
    while begin.elapsed() < Config::default().idle_timeout - Duration::from_secs(1) {
        encoder.socket.write_all(IDLE).await.unwrap();
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    drop(encoder.socket.read(&mut [0; 4096]).await);
    drop(encoder);
    assert_eq!(timed_out(served).await, Awaited::Media);
    assert_eq!(begin.elapsed(), Config::default().idle_timeout);
}

#[tokio::test(start_paused = true)]
async fn a_second_encoder_is_refused_if_that_is_the_rule() {
    let rules = broadcast::PublisherRules { takeover: broadcast::Takeover::Refuse, ..Default::default() };
    let registry = Registry::with_rules(broadcast::Config::default(), rules);
    let (socket, _served) = connect(&registry);
    let mut first = Encoder::publishing(socket).await;
    let (socket, _served) = connect(&registry);
    let mut second = Encoder::connected(socket).await;
    let connect = second.session.request_connection("live".to_owned()).unwrap();
    second.send(vec![connect]).await;
    second.until(&ClientSessionEvent::ConnectionRequestAccepted).await;
    let publish = second.session.request_publishing("x".to_owned(), PublishRequestType::Live).unwrap();
    second.send(vec![publish]).await;
    let status = "NetStream.Publish.BadName".to_owned();
    second.until(&ClientSessionEvent::UnhandleableOnStatusCode { code: status }).await;
    let mut viewer = viewer(&registry);
    first.video(KEY_FRAME, 0).await;
    assert!(matches!(viewer.next().await, Item::Online));
    assert!(matches!(viewer.next().await, Item::Frame(_)));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_no_answers_is_dropped() {
    let registry = registry();
    let (client, server) = tokio::io::duplex(16);
    let served = spawn(server, &registry, &Authority::default());
    let (_unread, mut write) = tokio::io::split(client);
    let hello = Handshake::new(PeerType::Client).generate_outbound_p0_and_p1().unwrap();
    let _ = write.write_all(&hello).await;
    assert_eq!(timed_out(served).await, Awaited::Handshake);
}

#[tokio::test(start_paused = true)]
async fn what_is_no_rtmp_is_refused_at_once() {
    let registry = registry();
    let (mut socket, served) = connect(&registry);
    socket.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let error = served.await.unwrap().unwrap_err();
    assert!(matches!(error, IngestError::Misbehaved(Misbehaved::Handshake(_))), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_dropped_connection_takes_its_stream_offline() {
    let registry = registry();
    let mut viewer = viewer(&registry);
    let (socket, served) = connect(&registry);
    let _encoder = Encoder::publishing(socket).await;
    assert!(matches!(viewer.next().await, Item::Online));
    served.abort();
    assert!(matches!(viewer.next().await, Item::Offline));
}
