use bytes::{BufMut, Bytes};
use proptest::prelude::*;

use super::*;
use crate::ingest::chunk::ChunkError;
use crate::media::{MESSAGE_HEADER_LEN, UnitKind};
use crate::wire::tc::Data;

const AVC_CONFIGURATION: &[u8] = &[0x17, 0, 0, 0, 0, 1, 0x64, 0, 0x1f, 0xff, 0xe1, 0, 0, 1, 0, 0];
const KEY_FRAME: &[u8] = &[0x17, 1, 0, 0, 80, 0, 0, 0, 1, 0x65];
const AAC_FRAME: &[u8] = &[0xaf, 1, 0x21, 0x10];

/// An encoder and the session that it talks to.
struct Pair {
    encoder: Output,
    session: Session,
    input: BytesMut,
    answers: ChunkReader,
    answered: BytesMut,
}

impl Pair {
    fn new() -> Self {
        let config = Config::default();
        Self {
            encoder: Output::new(),
            session: Session::new(&config),
            input: BytesMut::new(),
            answers: ChunkReader::new(config.chunk_limits()),
            answered: BytesMut::new(),
        }
    }

    fn connected() -> Self {
        let mut pair = Self::new();
        pair.call(0, "connect", 1.0, Value::object([("app", "live")]), vec![]).unwrap();
        let _ = pair.answers();
        pair
    }

    fn publishing() -> Self {
        let mut pair = Self::connected();
        for event in pair.publish("x").unwrap() {
            assert!(matches!(event, Event::Publish { path, .. } if path.as_str() == "live/x"));
            pair.session.accept();
        }
        let _ = pair.answers();
        pair
    }

    /// Sends what the encoder has written.
    fn deliver(&mut self) -> Result<Vec<Event>, IngestError> {
        self.input.extend_from_slice(&self.encoder.take());
        let mut events = Vec::new();
        while let Some(event) = self.session.read(&mut self.input)? {
            events.push(event);
        }
        Ok(events)
    }

    fn call(
        &mut self,
        stream: u32,
        name: &str,
        transaction: f64,
        object: Value,
        arguments: Vec<Value>,
    ) -> Result<Vec<Event>, IngestError> {
        self.encoder.command(stream, &Command { object, ..Command::new(name, transaction, arguments) });
        self.deliver()
    }

    fn publish(&mut self, name: &str) -> Result<Vec<Event>, IngestError> {
        self.call(0, "createStream", 4.0, Value::Null, vec![])?;
        self.call(1, "publish", 5.0, Value::Null, vec![name.into(), "live".into()])
    }

    fn send(&mut self, kind: u8, body: &[u8]) -> Result<Vec<Event>, IngestError> {
        self.encoder.message(kind, 1, Bytes::copy_from_slice(body));
        self.deliver()
    }

    /// The kinds of the units that a message becomes.
    fn units(&mut self, kind: u8, body: &[u8]) -> Vec<UnitKind> {
        let events = self.send(kind, body).unwrap();
        events.iter().map(|event| if let Event::Unit(unit) = event { unit.kind } else { panic!("{event:?}") }).collect()
    }

    /// What the session has answered since last asked: type and body.
    fn answers(&mut self) -> Vec<(u8, Vec<u8>)> {
        self.answered.extend_from_slice(&self.session.take_output());
        let mut answers = Vec::new();
        while let Some(message) = self.answers.read(&mut self.answered).unwrap() {
            answers.push((message.kind, message.body().to_vec()));
        }
        answers
    }

    fn commands(&mut self) -> Vec<Command> {
        let answers = self.answers();
        let commands = answers.iter().filter(|(kind, _)| *kind == message_type::COMMAND_AMF0);
        commands.map(|(_, body)| Command::decode(body).unwrap()).collect()
    }

    fn codes(&mut self) -> Vec<String> {
        self.commands().iter().filter_map(|command| command.status_code().map(str::to_owned)).collect()
    }
}

fn path(app: &str, name: &str) -> Option<String> {
    let mut pair = Pair::new();
    pair.call(0, "connect", 1.0, Value::object([("app", app)]), vec![]).unwrap();
    match pair.publish(name).unwrap().pop() {
        Some(Event::Publish { path, .. }) => Some(path.to_string()),
        None => None,
        Some(event) => panic!("{event:?}"),
    }
}

#[test]
fn connect_is_answered_with_windows_and_success() {
    let mut pair = Pair::new();
    pair.call(0, "connect", 1.0, Value::object([("app", "live")]), vec![]).unwrap();
    let answers = pair.answers();
    let kinds: Vec<u8> = answers.iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [5, 6, 20]);
    let result = Command::decode(&answers[2].1).unwrap();
    assert_eq!((result.name.as_str(), result.transaction), ("_result", 1.0));
    assert_eq!(result.status_code(), Some("NetConnection.Connect.Success"));
    assert_eq!(result.argument(0).unwrap().get("fourCcList"), None);
}

#[test]
fn an_enhanced_encoder_is_told_what_can_be_carried() {
    let mut pair = Pair::new();
    let list = Value::StrictArray(vec!["hvc1".into()]);
    let object = Value::object([("app", Value::from("live")), ("fourCcList", list), ("capsEx", Value::from(1u32))]);
    pair.call(0, "connect", 1.0, object, vec![]).unwrap();
    let info = pair.commands().pop().unwrap().arguments.remove(0);
    let Some(Value::StrictArray(list)) = info.get("fourCcList") else { panic!("{info:?}") };
    assert!(list.contains(&"hvc1".into()) && list.contains(&"mp4a".into()));
    assert_eq!(info.get("videoFourCcInfoMap").unwrap().get("avc1").unwrap().as_u32(), Some(4));
    assert_eq!(info.get("capsEx").unwrap().as_u32(), Some(0));
}

#[test]
fn the_commands_of_encoders_lead_to_a_published_stream() {
    let mut pair = Pair::connected();
    for (name, transaction) in [("releaseStream", 2.0), ("FCPublish", 3.0)] {
        assert!(pair.call(0, name, transaction, Value::Null, vec!["x".into()]).unwrap().is_empty());
    }
    assert_eq!(pair.publish("x").unwrap().len(), 1);
    pair.session.accept();
    let commands = pair.commands();
    let told: Vec<(&str, f64)> = commands.iter().map(|command| (command.name.as_str(), command.transaction)).collect();
    assert_eq!(told, [("_result", 2.0), ("_result", 3.0), ("onFCPublish", 0.0), ("_result", 4.0), ("onStatus", 0.0)]);
    assert_eq!(commands[3].argument(0), Some(&Value::Number(1.0)));
    assert_eq!(commands[4].status_code(), Some("NetStream.Publish.Start"));
}

#[test]
fn commands_in_amf3_messages_are_understood() {
    let mut pair = Pair::new();
    let connect = Command { object: Value::object([("app", "live")]), ..Command::new("connect", 1.0, vec![]) };
    let body = [&[0][..], &connect.encode_body()].concat();
    pair.send(17, &body).unwrap();
    assert_eq!(pair.codes(), ["NetConnection.Connect.Success"]);
}

#[test]
fn queries_and_slashes_are_no_part_of_the_path() {
    assert_eq!(path("live", "x").as_deref(), Some("live/x"));
    assert_eq!(path("live/?token=1", "x?key=2").as_deref(), Some("live/x"));
    assert_eq!(path("/live/_definst_", "/a/b/").as_deref(), Some("live/_definst_/a/b"));
}

#[test]
fn an_encoder_without_app_is_known_by_its_url() {
    let mut pair = Pair::new();
    let object = Value::object([("tcUrl", "rtmp://host:1935/live?key=1")]);
    pair.call(0, "connect", 1.0, object, vec![]).unwrap();
    assert!(matches!(&pair.publish("x").unwrap()[..], [Event::Publish { path, .. }] if path.as_str() == "live/x"));
}

#[test]
fn a_name_that_no_stream_can_have_is_refused() {
    for (app, name) in [("", "x"), ("live", ""), ("live", "?key"), ("live", "../x"), ("live", "a\0b")] {
        assert_eq!(path(app, name), None, "{app} {name}");
    }
    let mut pair = Pair::connected();
    pair.publish("").unwrap();
    assert_eq!(pair.codes(), ["NetStream.Publish.BadName"]);
}

#[test]
fn a_second_publish_is_refused() {
    let mut pair = Pair::publishing();
    assert!(pair.publish("y").unwrap().is_empty());
    assert_eq!(pair.codes(), ["NetStream.Publish.BadName"]);
}

#[test]
fn publishing_on_a_stream_that_was_not_created_is_refused() {
    let mut pair = Pair::connected();
    pair.call(9, "publish", 5.0, Value::Null, vec!["x".into()]).unwrap();
    assert_eq!(pair.codes(), ["NetStream.Publish.BadName"]);
}

#[test]
fn media_becomes_units_once_publishing() {
    let mut pair = Pair::connected();
    assert!(pair.send(9, KEY_FRAME).unwrap().is_empty());
    let mut pair = Pair::publishing();
    assert_eq!(pair.units(9, AVC_CONFIGURATION), [UnitKind::Configuration]);
    assert_eq!(pair.units(9, KEY_FRAME), [UnitKind::Key]);
    assert_eq!(pair.units(8, AAC_FRAME), [UnitKind::Audio]);
    let metadata = Data::new("@setDataFrame", vec!["onMetaData".into(), Value::object([("width", 640u32)])]);
    assert_eq!(pair.units(18, &metadata.encode(0)[MESSAGE_HEADER_LEN..]), [UnitKind::Metadata]);
}

#[test]
fn aggregates_are_taken_apart() {
    let mut pair = Pair::publishing();
    let mut body = Vec::new();
    for (kind, part) in [(9, KEY_FRAME), (8, AAC_FRAME)] {
        body.put_u8(kind);
        body.put_uint(part.len() as u64, 3);
        body.put_slice(&[0; 7]);
        body.put_slice(part);
        body.put_u32(11 + part.len() as u32);
    }
    assert_eq!(pair.units(22, &body), [UnitKind::Key, UnitKind::Audio]);
}

#[test]
fn hostile_data_messages_are_dropped() {
    let mut pair = Pair::publishing();
    let lone = Data::new("@setDataFrame", vec![]);
    let nested = [b"\x02\x00\x01x".as_slice(), &[0x0a, 0, 0, 0, 1].repeat(10_000)].concat();
    let long = Data::new("onMetaData", vec!["x".repeat(64 * 1024).as_str().into()]);
    for body in [&lone.encode(0)[MESSAGE_HEADER_LEN..], &nested, &long.encode(0)[MESSAGE_HEADER_LEN..]] {
        assert_eq!(pair.units(18, body), []);
    }
}

#[test]
fn a_nested_command_is_misbehaviour() {
    let mut pair = Pair::connected();
    let nested = [b"\x02\x00\x01x\x00\0\0\0\0\0\0\0\0".as_slice(), &[0x0a, 0, 0, 0, 1].repeat(10_000)].concat();
    let error = pair.send(20, &nested).unwrap_err();
    assert!(matches!(error, IngestError::Misbehaved(Misbehaved::Command(_))), "{error}");
}

#[test]
fn a_codec_that_cannot_be_carried_is_refused_by_name() {
    let mut pair = Pair::publishing();
    let error = pair.send(9, &[0x12, 0, 0]).unwrap_err();
    assert!(matches!(&error, IngestError::UnsupportedCodec(codec) if codec.to_string().contains("H.263")), "{error}");
    let status = pair.commands().pop().unwrap();
    assert_eq!(status.status_code(), Some("NetStream.Publish.Rejected"));
    let description = status.argument(0).unwrap().get("description").unwrap();
    assert!(description.as_str().unwrap().contains("H.263"), "{description:?}");
}

#[test]
fn every_way_to_stop_publishing_is_understood() {
    for (stream, name, argument) in [
        (0, "FCUnpublish", Value::from("x")),
        (0, "deleteStream", Value::from(1u32)),
        (1, "closeStream", Value::Undefined),
    ] {
        let mut pair = Pair::publishing();
        let events = pair.call(stream, name, 6.0, Value::Null, vec![argument]).unwrap();
        assert!(matches!(events[..], [Event::Unpublish]), "{name}: {events:?}");
        assert!(pair.codes().contains(&"NetStream.Unpublish.Success".to_owned()));
        assert!(pair.call(0, "deleteStream", 0.0, Value::Null, vec![Value::from(1u32)]).unwrap().is_empty());
    }
}

#[test]
fn a_connection_may_publish_again() {
    let mut pair = Pair::publishing();
    pair.call(0, "deleteStream", 0.0, Value::Null, vec![Value::from(1u32)]).unwrap();
    assert_eq!(pair.publish("y").unwrap().len(), 1);
}

#[test]
fn players_are_told_where_to_go() {
    let mut pair = Pair::connected();
    pair.call(1, "play", 0.0, Value::Null, vec!["x".into()]).unwrap();
    assert_eq!(pair.codes(), ["NetStream.Play.Failed"]);
}

#[test]
fn an_unknown_call_is_answered_when_it_wants_an_answer() {
    let mut pair = Pair::connected();
    pair.call(0, "nonsense", 0.0, Value::Null, vec![]).unwrap();
    assert_eq!(pair.commands(), []);
    pair.call(0, "nonsense", 7.0, Value::Null, vec![]).unwrap();
    assert_eq!(pair.commands()[0].name, "_error");
}

#[test]
fn streams_are_bounded() {
    let mut pair = Pair::connected();
    for _ in 0..MAX_STREAMS + 1 {
        pair.call(0, "createStream", 2.0, Value::Null, vec![]).unwrap();
    }
    let commands = pair.commands();
    assert!(commands[..MAX_STREAMS].iter().all(|command| command.name == "_result"));
    assert_eq!(commands[MAX_STREAMS].name, "_error");
}

#[test]
fn commands_come_after_one_connect() {
    for names in [&["createStream"][..], &["connect", "connect"]] {
        let mut pair = Pair::new();
        let results = names.iter().map(|name| pair.call(0, name, 1.0, Value::Null, vec![])).collect::<Vec<_>>();
        let error = results.last().unwrap().as_ref().unwrap_err();
        assert!(matches!(error, IngestError::Misbehaved(Misbehaved::OutOfOrder(_))), "{error}");
    }
}

#[test]
fn a_ping_is_answered_with_its_time() {
    let mut pair = Pair::connected();
    pair.encoder.user_control(PING_REQUEST, 1234);
    pair.deliver().unwrap();
    assert_eq!(pair.answers(), [(4, vec![0, 7, 0, 0, 4, 210])]);
}

#[test]
fn the_running_total_is_acknowledged_every_window() {
    let mut pair = Pair::connected();
    pair.encoder.window_acknowledgement_size(1000);
    pair.deliver().unwrap();
    for (count, expected) in [(999, vec![]), (1, vec![(3, 1000u32)]), (1500, vec![(3, 2500)]), (999, vec![])] {
        pair.session.received(count);
        let expected: Vec<_> = expected.into_iter().map(|(kind, total)| (kind, total.to_be_bytes().to_vec())).collect();
        assert_eq!(pair.answers(), expected, "{count}");
    }
    pair.session.received((1 << 32) - 3499);
    assert_eq!(pair.answers(), [(3, vec![0, 0, 0, 0])]);
}

#[test]
fn a_message_beyond_the_limit_is_misbehaviour() {
    let mut pair = Pair::connected();
    pair.input.extend_from_slice(&[0x04, 0, 0, 0, 0xff, 0xff, 0xff, 9, 1, 0, 0, 0]);
    let error = pair.deliver().unwrap_err();
    assert!(matches!(error, IngestError::Misbehaved(Misbehaved::Chunks(ChunkError::MessageTooLong { .. }))), "{error}");
}

/// What an encoder sends from `connect` to its second frame and its goodbye.
fn publisher_bytes() -> Bytes {
    let mut encoder = Output::new();
    let call = |name, transaction, arguments| Command::new(name, transaction, arguments);
    encoder.chunk_size();
    let object = Value::object([("app", "live"), ("tcUrl", "rtmp://host/live")]);
    encoder.command(0, &Command { object, ..call("connect", 1.0, vec![]) });
    encoder.command(0, &call("releaseStream", 2.0, vec!["x".into()]));
    encoder.command(0, &call("FCPublish", 3.0, vec!["x".into()]));
    encoder.command(0, &call("createStream", 4.0, vec![]));
    encoder.command(1, &call("publish", 5.0, vec!["x".into(), "live".into()]));
    encoder.message(9, 1, Bytes::from_static(AVC_CONFIGURATION));
    encoder.message(9, 1, Bytes::from_static(KEY_FRAME));
    encoder.message(8, 1, Bytes::from_static(AAC_FRAME));
    encoder.command(0, &call("FCUnpublish", 6.0, vec!["x".into()]));
    encoder.take()
}

/// How many events a session makes of these pieces.
fn events(pieces: &[&[u8]]) -> Result<usize, IngestError> {
    let mut pair = Pair::new();
    let mut count = 0;
    for piece in pieces {
        pair.input.extend_from_slice(piece);
        while pair.session.read(&mut pair.input)?.is_some() {
            pair.session.accept();
            count += 1;
        }
        let _ = pair.session.take_output();
    }
    Ok(count)
}

#[test]
fn every_prefix_is_waited_on_and_goes_on_with_the_rest() {
    let bytes = publisher_bytes();
    assert_eq!(events(&[&bytes]).unwrap(), 5);
    for end in 0..bytes.len() {
        let (before, after) = bytes.split_at(end);
        assert!(events(&[before]).unwrap() < 5, "{end}");
        assert_eq!(events(&[before, after]).unwrap(), 5, "{end}");
    }
}

proptest! {
    #[test]
    fn damaged_input_never_panics(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = publisher_bytes().to_vec();
        for (at, with) in damage {
            let at = at.index(bytes.len());
            bytes[at] = with;
        }
        let _ = events(&[&bytes]);
    }

    #[test]
    fn random_messages_never_panic(
        messages in prop::collection::vec((0u8..24, prop::collection::vec(any::<u8>(), 0..64)), 0..20)
    ) {
        let mut pair = Pair::publishing();
        for (kind, body) in messages {
            if pair.send(kind, &body).is_err() {
                break;
            }
        }
    }
}
