//! Every command, in and out of turn.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use proptest::prelude::*;

use super::double::{Heard, Viewer, publish, registry};
use crate::authority::{self, Action, Algorithm, Authority, Claims, Hook, Limits, Rule, Secret, Signer, TokenKey};
use crate::clock::Clock;
use crate::delivery::{Config, Format};
use crate::session::SendFlow;
use crate::session::link::{CloseReason, Link, LinkError};
use crate::wire::amf0::Value;
use crate::wire::tc::{Command, StreamId};

const KEY: &str = "0123456789abcdef0123456789abcdef";
const SOON: Duration = Duration::from_millis(500);

async fn connected() -> (Viewer, SendFlow) {
    Viewer::connected(&registry(), Config::default()).await
}

fn info<'a>(heard: &'a Heard, key: &str) -> Option<&'a Value> {
    heard.command().argument(0)?.get(key)
}

async fn connect_with(object: Value) -> Viewer {
    let mut viewer = Viewer::new(&registry(), Config::default());
    viewer.call(viewer.control, &Command { object, ..Command::new("connect", 1.0, vec![]) });
    viewer
}

async fn assert_misbehaved(viewer: Viewer) {
    let (reason, result) = viewer.end().await;
    assert_eq!(reason, Some(CloseReason::Misbehaved));
    assert!(matches!(result, Err(LinkError::Misbehaved(_))), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn connect_is_answered_with_success() {
    let mut viewer = Viewer::new(&registry(), Config::default());
    let heard = viewer.connect().await;
    assert_eq!((heard.stream, heard.word().as_str()), (StreamId::CONTROL, "NetConnection.Connect.Success"));
    assert_eq!(heard.command().name, "_result");
    assert_eq!(heard.command().transaction, 1.0);
    assert_eq!(info(&heard, "objectEncoding"), Some(&Value::Number(0.0)));
    assert_eq!(info(&heard, "fourCcList"), None);
}

#[tokio::test(start_paused = true)]
async fn codecs_are_listed_for_those_who_list_theirs() {
    let object = Value::object([("app", Value::from("live")), ("fourCcList", Value::StrictArray(vec![]))]);
    let heard = connect_with(object).await.hear().await;
    assert_eq!(info(&heard, "fourCcList"), Some(&Value::StrictArray(vec!["*".into()])));
}

#[tokio::test(start_paused = true)]
async fn the_application_is_the_app_or_else_the_path_of_the_url() {
    for object in [
        Value::object([("app", "live?token=x"), ("tcUrl", "ws://host/other")]),
        Value::object([("tcUrl", "ws://host:4446/l%69ve?token=x")]),
        Value::object([("app", ""), ("tcUrl", "rtmp://host/live/")]),
    ] {
        let registry = registry();
        let _publisher = publish(&registry);
        let mut viewer = Viewer::new(&registry, Config::default());
        viewer.call(viewer.control, &Command { object, ..Command::new("connect", 1.0, vec![]) });
        viewer.hear().await;
        viewer.call(viewer.control, &Command::new("createStream", 2.0, vec![]));
        viewer.hear().await;
        let flow = viewer.open_stream_flow(StreamId(1));
        viewer.say(flow, "play", vec!["demo".into()]);
        assert!(viewer.words(SOON).await.contains("PublishNotify"));
    }
}

#[tokio::test(start_paused = true)]
async fn connect_without_an_application_ends_the_link() {
    for object in [Value::Null, Value::object([("tcUrl", "ws://host")]), Value::object([("app", "?x")])] {
        assert_misbehaved(connect_with(object).await).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_command_before_connect_ends_the_link() {
    let mut viewer = Viewer::new(&registry(), Config::default());
    viewer.call(viewer.control, &Command::new("createStream", 1.0, vec![]));
    assert_misbehaved(viewer).await;
}

#[tokio::test(start_paused = true)]
async fn a_second_connect_ends_the_link() {
    let (mut viewer, _) = connected().await;
    viewer.call(viewer.control, &Command::new("connect", 3.0, vec![]));
    assert_misbehaved(viewer).await;
}

#[tokio::test(start_paused = true)]
async fn a_malformed_command_ends_the_link() {
    for payload in [&b""[..], b"\x14\0\0\0\0", b"\x14\0\0\0\0\x02\0\x04play", b"\x14\0\0\0\0\x05\x05\x05"] {
        let (mut viewer, flow) = connected().await;
        viewer.send(flow, Bytes::from_static(payload));
        assert_misbehaved(viewer).await;
    }
}

#[tokio::test(start_paused = true)]
async fn closing_the_control_flow_is_leaving() {
    let (mut viewer, _) = connected().await;
    let control = viewer.control;
    viewer.end.flows().finish(control);
    let (reason, result) = viewer.end().await;
    assert_eq!(reason, Some(CloseReason::Done));
    assert!(result.is_ok());
}

#[tokio::test(start_paused = true)]
async fn streams_are_numbered_from_one_up_to_a_limit() {
    let (mut viewer, _) = connected().await;
    for id in 2..=8 {
        viewer.call(viewer.control, &Command::new("createStream", 3.0, vec![]));
        assert_eq!(viewer.hear().await.command().argument(0), Some(&Value::Number(f64::from(id))));
    }
    viewer.call(viewer.control, &Command::new("createStream", 4.0, vec![]));
    assert_eq!(viewer.hear().await.command().name, "_error");
    viewer.say(viewer.control, "deleteStream", vec![Value::Number(3.0)]);
    viewer.call(viewer.control, &Command::new("createStream", 5.0, vec![]));
    assert_eq!(viewer.hear().await.command().argument(0), Some(&Value::Number(9.0)));
}

#[tokio::test(start_paused = true)]
async fn old_encoders_courtesies_are_acknowledged_if_asked() {
    let (mut viewer, _) = connected().await;
    let calls =
        ["releaseStream", "FCPublish", "FCUnpublish", "setPeerInfo", "relay", "broadcast", "watch", "deleteStream"];
    for name in calls {
        viewer.say(viewer.control, name, vec![]);
        viewer.call(viewer.control, &Command::new(name, 7.0, vec![]));
        let heard = viewer.hear().await;
        assert_eq!(heard.command(), &Command::result(7.0, Value::Undefined), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_gateways_clock_is_told_to_who_asks() {
    let (mut viewer, _) = connected().await;
    let mut told = vec![];
    for pause in [0, 1_234_500, 2_000] {
        tokio::time::advance(Duration::from_micros(pause)).await;
        viewer.call(viewer.control, &Command::new("time", 4.0, vec![]));
        let heard = viewer.hear().await;
        assert_eq!((heard.command().name.as_str(), heard.command().transaction), ("_result", 4.0));
        told.push(heard.command().argument(0).and_then(Value::as_f64).unwrap());
    }
    let between: Vec<_> = told.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!((between[0] - 1234.5).abs() < 0.001 && (between[1] - 2.0).abs() < 0.001, "{between:?}");
    let day = Clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs_f64() * 1e3;
    assert!((told[0] - day).abs() < 60_000.0, "{} is not of this day, {day}", told[0]);
    viewer.say(viewer.control, "time", vec![]);
    assert_eq!(viewer.words(SOON).await, "", "no answer was wanted");
}

/// A viewer of a gateway where only those may view who have a token of [`KEY`], or whom the hook lets in.
async fn viewer_by_right(hook: Hook) -> (Viewer, SendFlow) {
    let key = TokenKey { name: "shop".into(), algorithm: Algorithm::Hs256, key: Secret::new(KEY.into()) };
    let config = authority::Config { view: Rule::Closed, tokens: vec![key], hook, ..authority::Config::default() };
    let authority = Authority::new(&config, Limits::default()).unwrap();
    Viewer::granted(&registry(), Config::default(), Format::Raw, authority).with_stream().await
}

#[tokio::test(start_paused = true)]
async fn what_is_allowed_is_decided_by_the_time_of_day_as_it_has_been_set_since() {
    let (mut viewer, flow) = viewer_by_right(Hook::default()).await;
    // In virtual time, the time of day stands still: as if it were set back by as much as has passed.
    assert_eq!(viewer.words(Duration::from_secs(60)).await, "");
    let exp = Clock.wall().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs() + 30;
    let claims =
        Claims { paths: vec!["live/**".parse().unwrap()], actions: vec![Action::View], exp, ..Claims::default() };
    let token = Signer::new(Algorithm::Hs256, &Secret::new(KEY.into())).unwrap().sign(&claims);
    viewer.say(flow, "play", vec![format!("demo?token={}", token.reveal()).as_str().into()]);
    let words = viewer.words(SOON).await;
    assert!(words.contains("NetStream.Play.Start"), "{words}");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_asks_on_and_on_without_waiting_for_answers_is_sent_away() {
    let hook = Hook { url: "http://h/".parse().ok(), ..Hook::default() };
    let (mut viewer, flow) = viewer_by_right(hook).await;
    for n in 0..100 {
        viewer.say(flow, "play", vec![format!("{n}").as_str().into()]);
    }
    let (reason, result) = viewer.end().await;
    assert_eq!(reason, Some(CloseReason::NotAllowed));
    assert!(result.is_ok(), "{result:?}");
}

#[tokio::test(start_paused = true)]
async fn an_unknown_command_fails_without_ending_anything() {
    let (mut viewer, flow) = connected().await;
    for (flow, stream) in [(viewer.control, StreamId::CONTROL), (flow, StreamId(1))] {
        viewer.call(flow, &Command::new("seek", 9.0, vec![]));
        let heard = viewer.hear().await;
        assert_eq!((heard.command().name.as_str(), heard.command().transaction), ("_error", 9.0));
        assert_eq!((heard.word().as_str(), heard.stream), ("NetConnection.Call.Failed", stream));
        assert_eq!(info(&heard, "detail"), Some(&"seek".into()));
        viewer.say(flow, "seek", vec![]);
        assert_eq!(viewer.hear().await.command().name, "onStatus");
    }
}

#[tokio::test(start_paused = true)]
async fn play_is_answered_in_order() {
    let (mut viewer, flow) = connected().await;
    viewer.say(flow, "play", vec!["demo".into()]);
    assert_eq!(viewer.words(SOON).await, "begin:1 NetStream.Play.Reset NetStream.Play.Start |RtmpSampleAccess");
}

#[tokio::test(start_paused = true)]
async fn start_tells_the_target_delay() {
    let (mut viewer, flow) = connected().await;
    viewer.say(flow, "play", vec!["demo?videoLifetime=1".into()]);
    let heard = viewer.record(SOON).await;
    let start = heard.iter().find(|heard| heard.word() == "NetStream.Play.Start").unwrap();
    assert_eq!(info(start, "targetDelay"), Some(&Value::Number(150.0)));
    assert_eq!(info(start, "detail"), Some(&"demo".into()));
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_played_is_refused_in_words() {
    for name in ["", "../x", "demo?format=hologram"] {
        let (mut viewer, flow) = connected().await;
        viewer.say(flow, "play", vec![name.into()]);
        let heard = viewer.hear().await;
        assert_eq!(heard.word(), "NetStream.Play.Failed", "{name}");
        assert_eq!(info(&heard, "level"), Some(&"error".into()));
        assert_eq!(viewer.words(SOON).await, "");
    }
}

#[tokio::test(start_paused = true)]
async fn play_without_a_name_stops() {
    let (mut viewer, flow) = connected().await;
    viewer.say(flow, "play", vec!["demo".into()]);
    viewer.words(SOON).await;
    viewer.say(flow, "play", vec![Value::Boolean(false)]);
    assert_eq!(viewer.words(Duration::from_secs(30)).await, "");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_without_a_publisher_is_told_after_a_while_and_goes_on_waiting() {
    let registry = registry();
    let (mut viewer, flow) = Viewer::connected(&registry, Config::default()).await;
    viewer.say(flow, "play", vec!["demo".into()]);
    viewer.words(SOON).await;
    let heard = viewer.record(Duration::from_secs(10)).await;
    assert_eq!(heard.iter().map(Heard::word).collect::<Vec<_>>(), ["NetStream.Play.StreamNotFound"]);
    let _publisher = publish(&registry);
    assert_eq!(viewer.words(SOON).await, "NetStream.Play.PublishNotify");
}

#[tokio::test(start_paused = true)]
async fn how_long_a_viewer_waits_is_configured() {
    let config = Config { wait_for_publisher: Duration::from_secs(2), ..Config::default() };
    let (mut viewer, flow) = Viewer::connected(&registry(), config).await;
    viewer.say(flow, "play", vec!["demo".into()]);
    let start = viewer.hear().await.at;
    let heard = viewer.record(Duration::from_secs(10)).await;
    assert_eq!(heard.last().unwrap().at - start, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn deleting_a_stream_closes_its_flows_both_ways() {
    let (mut viewer, flow) = connected().await;
    viewer.say(flow, "play", vec!["demo".into()]);
    viewer.words(SOON).await;
    viewer.say(viewer.control, "deleteStream", vec![Value::Number(1.0)]);
    viewer.words(SOON).await;
    assert_eq!(viewer.rejected, [flow]);
    assert_eq!(viewer.closed.len(), 1, "the data flow");
}

#[tokio::test(start_paused = true)]
async fn flows_that_belong_to_nothing_are_rejected() {
    let (mut viewer, _) = connected().await;
    let unknown_stream = viewer.open_stream_flow(StreamId(9));
    let second_control = viewer.open(StreamId::CONTROL, None);
    let unassociated = viewer.open(StreamId(1), None);
    assert_eq!(viewer.words(SOON).await, "");
    assert_eq!(viewer.rejected, [unknown_stream, second_control, unassociated]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_takes_a_bounded_number_of_flows() {
    let (mut viewer, _) = connected().await;
    for _ in 0..10 {
        viewer.open_stream_flow(StreamId(1));
    }
    viewer.words(SOON).await;
    assert_eq!(viewer.rejected.len(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_message_panics_or_hangs(payloads in prop::collection::vec(message(), 1..8)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let (mut viewer, flow) = connected().await;
            for (on_control, payload) in payloads {
                viewer.send(if on_control { viewer.control } else { flow }, payload);
            }
            viewer.record(Duration::from_secs(6)).await;
            let control = viewer.control;
            viewer.end.flows().finish(control);
            let (_, result) = viewer.end().await;
            assert!(matches!(result, Ok(()) | Err(LinkError::Misbehaved(_))), "{result:?}");
        });
    }
}

/// Known commands with any arguments, and any bytes.
fn message() -> impl Strategy<Value = (bool, Bytes)> {
    let names = prop::sample::select(vec![
        "connect",
        "createStream",
        "deleteStream",
        "play",
        "pause",
        "receiveAudio",
        "receiveVideo",
        "closeStream",
        "publish",
        "FCPublish",
        "seek",
    ]);
    let value = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Boolean),
        any::<f64>().prop_map(Value::Number),
        "[a-z?=&%./]{0,12}".prop_map(Value::String),
    ];
    let call = (names, any::<f64>(), prop::collection::vec(value, 0..3));
    let command = call.prop_map(|(name, transaction, arguments)| Command::new(name, transaction, arguments).encode());
    let bytes = prop::collection::vec(any::<u8>(), 0..64).prop_map(Bytes::from);
    (any::<bool>(), prop_oneof![command, bytes])
}
