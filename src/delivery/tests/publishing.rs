//! What a client publishes, and what becomes of it.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};

use super::double::{Viewer, publish, registry};
use crate::broadcast::{self, Item, PublisherRules, Registry, StreamPath, Subscriber, Takeover};
use crate::clock::Clock;
use crate::delivery::Config;
use crate::delivery::outlet::lasting;
use crate::media::UnitKind;
use crate::session::SendFlow;
use crate::session::link::Link;
use crate::wire::amf0::Value;
use crate::wire::tc::{Command, Data, StreamId, message_type};

const SOON: Duration = Duration::from_millis(500);

const CONFIGURATION: &[u8] = b"\x17\0\0\0\0\x01\x64";
const KEY: &[u8] = b"\x17\x01\0\0\0\x65";
const DELTA: &[u8] = b"\x27\x01\0\0\0\x41";
const SOUND: &[u8] = b"\xaf\x01sound";

/// A client that publishes `live/demo` as genuine ones do: commands and data on one flow, sound and picture on others.
struct Source {
    client: Viewer,
    data: SendFlow,
    audio: SendFlow,
    video: SendFlow,
}

impl Source {
    async fn new(registry: &Registry) -> Self {
        let (mut client, data) = Viewer::connected(registry, Config::default()).await;
        client.say(data, "publish", vec!["demo?priority=1".into(), "live".into()]);
        let (audio, video) = (client.open_stream_flow(StreamId(1)), client.open_stream_flow(StreamId(1)));
        Self { client, data, audio, video }
    }

    async fn accepted(registry: &Registry) -> Self {
        let mut source = Self::new(registry).await;
        assert_eq!(source.words().await, "NetStream.Publish.Start");
        source
    }

    fn send(&mut self, flow: SendFlow, kind: u8, timestamp: u32, body: &[u8]) {
        self.client.send(flow, message(kind, timestamp, body));
    }

    fn video(&mut self, timestamp: u32, body: &[u8]) {
        self.send(self.video, message_type::VIDEO, timestamp, body);
    }

    fn audio(&mut self, timestamp: u32, body: &[u8]) {
        self.send(self.audio, message_type::AUDIO, timestamp, body);
    }

    async fn words(&mut self) -> String {
        self.client.words(SOON).await
    }
}

fn message(kind: u8, timestamp: u32, body: &[u8]) -> Bytes {
    let mut message = BytesMut::new();
    message.put_u8(kind);
    message.put_u32(timestamp);
    message.put_slice(body);
    message.freeze()
}

fn subscribe(registry: &Registry) -> Subscriber {
    registry.subscribe(&StreamPath::new("live", "demo").unwrap())
}

/// What there is to read: kinds and times, and changes of publishers.
fn read(subscriber: &mut Subscriber) -> Vec<String> {
    let item = |item| match item {
        Item::Frame(frame) => format!("{:?} {}", frame.kind, frame.timestamp.millis()),
        other => format!("{other:?}"),
    };
    std::iter::from_fn(|| subscriber.try_next()).map(item).collect()
}

#[tokio::test(start_paused = true)]
async fn what_is_published_on_three_flows_is_one_stream() {
    let registry = registry();
    let mut source = Source::accepted(&registry).await;
    let metadata = Data::new("@setDataFrame", vec!["onMetaData".into(), Value::object([("width", 640.0)])]);
    source.client.send(source.data, metadata.encode(0));
    source.video(7000, CONFIGURATION);
    source.video(7000, KEY);
    source.client.record(Duration::from_millis(1)).await;
    source.audio(7010, SOUND);
    source.video(7040, DELTA);
    assert_eq!(source.words().await, "");
    let mut viewer = subscribe(&registry);
    let mut items: Vec<_> = std::iter::from_fn(|| viewer.try_next()).collect();
    let Some(Item::Frame(metadata)) = items.get(1) else { panic!("{items:?}") };
    assert_eq!(
        &metadata.message[5..],
        &Data::new("onMetaData", vec![Value::object([("width", 640.0)])]).encode(0)[5..]
    );
    items.retain(|item| matches!(item, Item::Frame(frame) if matches!(frame.kind, UnitKind::Key | UnitKind::Delta)));
    let Some(Item::Frame(key)) = items.first() else { panic!("{items:?}") };
    assert_eq!(&key.message[5..], KEY);
    let mut times = read(&mut subscribe(&registry));
    times.sort();
    assert_eq!(times, ["Audio 10", "Configuration 0", "Delta 40", "Key 0", "Metadata 0", "Online"]);
}

#[tokio::test(start_paused = true)]
async fn a_crowd_has_the_last_frame_without_another_behind_it() {
    let registry = registry();
    let mut source = Source::accepted(&registry).await;
    let watch = |mut viewer: Subscriber| async move {
        while !matches!(viewer.next().await, Item::Frame(_)) {}
        Clock.now()
    };
    let crowd: Vec<_> = (0..200).map(|_| tokio::spawn(watch(subscribe(&registry)))).collect();
    source.words().await;
    let begin = Clock.now();
    source.video(0, KEY);
    source.words().await;
    for viewer in crowd {
        assert!(viewer.is_finished());
        assert!(viewer.await.unwrap() - begin < Duration::from_millis(1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_frame_in_many_pieces_and_as_long_as_a_message_may_be_comes_whole() {
    let registry = registry();
    let mut source = Source::accepted(&registry).await;
    let mut key = KEY.to_vec();
    key.resize(250 << 10, 7);
    source.video(0, &key);
    source.words().await;
    let mut viewer = subscribe(&registry);
    let frame = std::iter::from_fn(|| viewer.try_next()).find_map(|item| match item {
        Item::Frame(frame) => Some(frame.message),
        _ => None,
    });
    assert_eq!(frame.unwrap()[5..], key);
}

#[tokio::test(start_paused = true)]
async fn each_way_to_stop_takes_the_stream_offline() {
    for way in ["closeStream", "deleteStream", "FCUnpublish", "publish", "play", "leave"] {
        let registry = registry();
        let mut viewer = subscribe(&registry);
        let mut source = Source::accepted(&registry).await;
        assert_eq!(read(&mut viewer), ["Online"]);
        let (client, data) = (&mut source.client, source.data);
        match way {
            "deleteStream" => client.say(client.control, way, vec![Value::Number(1.0)]),
            "FCUnpublish" => client.say(client.control, way, vec!["demo".into()]),
            "leave" => client.end.flows().finish(client.control),
            "play" => client.say(data, way, vec!["other".into()]),
            "publish" => client.say(data, way, vec![Value::Boolean(false)]),
            _ => client.say(data, way, vec![]),
        }
        let words = source.words().await;
        if !["leave", "deleteStream"].contains(&way) {
            assert!(words.contains("NetStream.Unpublish.Success"), "{way}: {words}");
        }
        assert!(matches!(viewer.next().await, Item::Offline), "{way}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_may_publish_again_after_it_stopped() {
    let registry = registry();
    let mut viewer = subscribe(&registry);
    let mut source = Source::accepted(&registry).await;
    source.video(0, KEY);
    source.words().await;
    let mut seen = read(&mut viewer);
    source.client.say(source.data, "closeStream", vec![]);
    source.video(40, DELTA);
    source.client.say(source.data, "publish", vec!["demo".into()]);
    assert_eq!(source.words().await, "NetStream.Unpublish.Success NetStream.Publish.Start");
    source.video(0, DELTA);
    source.video(40, KEY);
    source.words().await;
    seen.extend(read(&mut viewer));
    let kinds: Vec<_> = seen.iter().map(|item| item.split(' ').next().unwrap()).collect();
    assert_eq!(kinds, ["Online", "Key", "Offline", "Online", "Key"]);
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_published_is_refused_in_words() {
    for name in ["", "../x", "?x"] {
        let (mut client, flow) = Viewer::connected(&registry(), Config::default()).await;
        client.say(flow, "publish", vec![name.into()]);
        assert_eq!(client.words(SOON).await, "NetStream.Publish.BadName", "{name}");
    }
    let mut source = Source::accepted(&registry()).await;
    source.client.say(source.data, "publish", vec!["other".into()]);
    assert_eq!(source.words().await, "NetStream.Publish.BadName", "one stream a connection");
}

#[tokio::test(start_paused = true)]
async fn the_newest_publisher_wins_and_the_one_before_is_told() {
    let registry = registry();
    let mut source = Source::accepted(&registry).await;
    let _newer = publish(&registry);
    source.video(0, KEY);
    assert_eq!(source.words().await, "NetStream.Publish.Rejected");
    assert_eq!(source.client.rejected, [source.video]);
}

#[tokio::test(start_paused = true)]
async fn a_second_publisher_is_refused_if_that_is_the_rule() {
    let rules = PublisherRules { takeover: Takeover::Refuse, ..PublisherRules::default() };
    let registry = Registry::with_rules(broadcast::Config::default(), rules);
    let first = publish(&registry);
    let mut source = Source::new(&registry).await;
    assert_eq!(source.words().await, "NetStream.Publish.BadName");
    drop(first);
    source.client.say(source.data, "publish", vec!["demo".into()]);
    assert_eq!(source.words().await, "NetStream.Publish.Start");
}

#[tokio::test(start_paused = true)]
async fn a_codec_that_can_not_be_carried_is_refused_by_name() {
    let registry = registry();
    let mut viewer = subscribe(&registry);
    let mut source = Source::accepted(&registry).await;
    source.video(0, b"\x12\0");
    let heard = source.client.hear().await;
    assert_eq!(heard.word(), "NetStream.Publish.Rejected");
    let description = heard.command().argument(0).and_then(|info| info.get("description")).and_then(Value::as_str);
    assert_eq!(description, Some("Sorenson H.263 video can't be carried"));
    assert_eq!(read(&mut viewer), ["Online", "Offline"]);
}

#[tokio::test(start_paused = true)]
async fn after_a_gap_in_video_comes_a_key_frame_first_and_sound_goes_on() {
    let registry = registry();
    let mut viewer = subscribe(&registry);
    let mut source = Source::accepted(&registry).await;
    source.video(0, KEY);
    source.audio(0, SOUND);
    source.words().await;
    for (flow, kind, body) in [(source.video, message_type::VIDEO, DELTA), (source.audio, message_type::AUDIO, SOUND)] {
        let lost = source.client.end.flows().write(flow, lasting(message(kind, 40, body))).unwrap();
        source.client.end.flows().abandon(lost);
    }
    source.video(80, DELTA);
    source.audio(80, SOUND);
    source.video(120, KEY);
    source.video(160, DELTA);
    source.words().await;
    let mut seen = read(&mut viewer);
    seen.sort();
    assert_eq!(seen, ["Audio 0", "Audio 80", "Delta 160", "Key 0", "Key 120", "Online"]);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_publishes_nothing_is_told_and_so_are_viewers() {
    let registry = registry();
    let mut viewer = subscribe(&registry);
    let mut source = Source::accepted(&registry).await;
    source.client.record(Duration::from_secs(5)).await;
    source.audio(0, SOUND);
    let begin = Clock.now();
    // Neither commands nor messages of no meaning keep it alive.
    let told = loop {
        source.client.say(source.data, "receiveAudio", vec![Value::Boolean(true)]);
        source.video(0, b"");
        if let Some(heard) = source.client.record(SOON).await.first() {
            assert_eq!(heard.word(), "NetStream.Publish.Rejected");
            break heard.at;
        }
    };
    assert_eq!(told - begin, PublisherRules::default().idle_timeout);
    assert_eq!(read(&mut viewer), ["Online", "Audio 0", "Offline"]);
    source.client.say(source.data, "publish", vec!["demo".into()]);
    assert_eq!(source.words().await, "NetStream.Publish.Start", "it may come back on the same connection");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_before_publish_and_what_is_unsound_is_left_out() {
    let registry = registry();
    let mut viewer = subscribe(&registry);
    let (mut client, flow) = Viewer::connected(&registry, Config::default()).await;
    client.send(flow, message(message_type::VIDEO, 0, KEY));
    client.say(flow, "publish", vec!["demo".into()]);
    client.send(flow, message(message_type::DATA_AMF0, 0, b"\x02\0\x01x\x05\x09"));
    client.send(flow, message(message_type::DATA_AMF0, 0, b"\x02\0"));
    client.send(flow, message(message_type::VIDEO, 0, b"\x17"));
    assert_eq!(client.words(SOON).await, "NetStream.Publish.Start");
    assert_eq!(read(&mut viewer), ["Online"]);
}

#[tokio::test(start_paused = true)]
async fn viewers_on_other_connections_see_a_changed_configuration_before_its_key_frame() {
    let registry = registry();
    let mut source = Source::accepted(&registry).await;
    let (mut viewer, flow) = Viewer::connected(&registry, Config::default()).await;
    viewer.call(flow, &Command::new("play", 0.0, vec!["demo".into()]));
    viewer.words(SOON).await;
    for (time, body) in
        [(0, CONFIGURATION), (0, KEY), (40, DELTA), (80, b"\x17\0\0\0\0\x01\x42"), (80, KEY), (120, DELTA)]
    {
        source.video(time, body);
        source.words().await;
    }
    assert_eq!(viewer.words(SOON).await, "V K0 d40 V K80 d120");
}
