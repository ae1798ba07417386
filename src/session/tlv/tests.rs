//! What a client without flows is sent, and what it may say.

use std::time::Duration;

use super::*;
use crate::session::{Deadline, GroupId, Priority, error};
use crate::wire::tc::{Info, Status, UserControl};
use crate::wire::tlv::TlvError;

fn session(acknowledged: bool) -> Session<Tlv> {
    let request = Request { app: "live".into(), name: "demo?format=fmp4".into(), acknowledged };
    Session::playing(Config::default(), request)
}

fn message(payload: impl Into<Bytes>) -> crate::session::Message {
    crate::session::Message {
        payload: payload.into(),
        group: GroupId(0),
        needs_previous: false,
        deadline: Deadline::default(),
    }
}

/// What the application sees, until nothing more happens. It opens its control flow when it is asked to, as delivery does.
fn events(session: &mut Session<Tlv>) -> Vec<Event> {
    let mut events = vec![];
    while let Some(event) = session.poll_event() {
        if let Event::Opened { flow, .. } = event {
            session.flows().accept(flow, 1000);
        }
        events.push(event);
    }
    events
}

fn sent(session: &mut Session<Tlv>, now: Instant) -> Vec<Bytes> {
    std::iter::from_fn(|| session.poll_transmit(now)).map(|fragment| fragment.to_bytes()).collect()
}

fn commands(events: &[Event]) -> Vec<(String, Option<Value>)> {
    let messages = events.iter().filter_map(|event| match event {
        Event::Message { payload, .. } => Some(Message::decode(payload.clone()).unwrap().content),
        _ => None,
    });
    messages
        .map(|content| match content {
            Content::Command(command) => (command.name.clone(), command.argument(0).cloned()),
            other => panic!("{other:?}"),
        })
        .collect()
}

fn open_flow(session: &mut Session<Tlv>, metadata: Bytes, answers: RecvFlow) -> SendFlow {
    session.flows().open(metadata, Priority::Immediate, Some(answers)).unwrap()
}

/// A session whose application plays, with a flow for video.
fn playing(acknowledged: bool) -> (Session<Tlv>, SendFlow) {
    let now = Instant::now();
    let mut session = session(acknowledged);
    events(&mut session);
    let control = open_flow(&mut session, FlowMetadata::new(StreamId::CONTROL).encode(), CONTROL);
    session.flows().write(control, message(Command::result(CREATE_STREAM, 7u32).encode())).unwrap();
    assert_eq!(sent(&mut session, now), Vec::<Bytes>::new());
    events(&mut session);
    let video = open_flow(&mut session, tlv::flow_metadata(tlv::Track::Video, StreamId(7)), CONTROL);
    (session, video)
}

#[test]
fn the_application_sees_a_viewer_like_any_other() {
    let now = Instant::now();
    let mut session = session(false);
    let asked = events(&mut session);
    assert!(matches!(&asked[0], Event::Opened { flow: CONTROL, answers: None, .. }));
    assert_eq!(commands(&asked), [("connect".into(), None), ("createStream".into(), None)]);

    let control = open_flow(&mut session, FlowMetadata::new(StreamId::CONTROL).encode(), CONTROL);
    let flows = session.flows();
    flows.write(control, message(Command::result(CONNECT, Value::Null).encode())).unwrap();
    flows.write(control, message(Command::result(CREATE_STREAM, 7u32).encode())).unwrap();
    assert_eq!(sent(&mut session, now), Vec::<Bytes>::new());
    let asked = events(&mut session);
    let Event::Opened { metadata, answers, .. } = &asked[0] else { panic!("{asked:?}") };
    assert_eq!((FlowMetadata::decode(metadata.clone()).unwrap().stream, *answers), (StreamId(7), Some(control)));
    assert_eq!(commands(&asked), [("play".into(), Some("demo?format=fmp4".into()))]);
}

#[test]
fn segments_pass_as_they_are_in_one_piece() {
    let (mut session, video) = playing(false);
    let large = vec![2; 200_000];
    session.flows().write(video, message(large.clone())).unwrap();
    assert_eq!(sent(&mut session, Instant::now()), [large]);
}

#[test]
fn statuses_and_data_become_metadata() {
    let (mut session, _) = playing(false);
    let data = open_flow(&mut session, FlowMetadata::new(StreamId(7)).encode(), CONTROL);
    let status = Command::on_status(Info::new(Status::PlayStart, "Started"));
    let access = crate::wire::tc::Data::new("|RtmpSampleAccess", vec![]);
    let meta = crate::wire::tc::Data::new("onMetaData", vec![Value::object([("width", 640.0)])]);
    let sync = UserControl::FlowSync { id: 0, count: 2 };
    for payload in [status.encode(), access.encode(0), meta.encode(0), sync.encode()] {
        session.flows().write(data, message(payload)).unwrap();
    }
    let sent = sent(&mut session, Instant::now());
    let texts: Vec<_> = sent.iter().map(|message| str::from_utf8(&message[tlv::HEADER_LEN..]).unwrap()).collect();
    assert_eq!(texts.len(), 2);
    assert!(texts[0].contains(r#""code":"NetStream.Play.Start""#) && texts[0].contains(r#""name":"onStatus""#));
    assert_eq!(texts[1], r#"{"name":"onMetaData","values":[{"width":640.0}]}"#);
}

#[test]
fn what_is_late_is_left_out_and_nothing_is_said_of_it() {
    let (mut session, video) = playing(false);
    let now = Instant::now();
    let deadline = Deadline { start_by: Some(now), finish_by: Some(now) };
    let of_group = |group, needs_previous, payload: &'static [u8], deadline| crate::session::Message {
        payload: payload.into(),
        group: GroupId(group),
        needs_previous,
        deadline,
    };
    let flows = session.flows();
    flows.write(video, of_group(1, false, b"late key", deadline)).unwrap();
    flows.write(video, of_group(1, true, b"delta that needs it", Deadline::default())).unwrap();
    flows.write(video, of_group(2, false, b"key", Deadline::default())).unwrap();
    assert_eq!(sent(&mut session, now + Duration::from_secs(1)), [&b"key"[..]]);
    assert_eq!(session.flows().queued(), 0);
}

#[test]
fn who_does_not_acknowledge_is_sent_no_more_than_the_window() {
    let (mut session, video) = playing(true);
    let now = Instant::now();
    for _ in 0..40 {
        session.flows().write(video, message(vec![0; 100_000])).unwrap();
    }
    assert_eq!(sent(&mut session, now).len(), 25);
    assert_eq!(session.path().in_flight, WINDOW);
    session.handle_input(now, tlv::acknowledgement(1_000_000)).unwrap();
    assert_eq!(sent(&mut session, now).len(), 10);
    // An older one says nothing.
    session.handle_input(now, tlv::acknowledgement(5)).unwrap();
    assert_eq!(sent(&mut session, now).len(), 0);
    session.handle_input(now, tlv::acknowledgement(3_500_000)).unwrap();
    assert_eq!(sent(&mut session, now).len(), 5);
}

#[test]
fn a_client_that_is_paced_by_its_transport_need_not_acknowledge() {
    let (mut session, video) = playing(false);
    let now = Instant::now();
    for _ in 0..40 {
        session.flows().write(video, message(vec![0; 100_000])).unwrap();
    }
    assert_eq!(sent(&mut session, now).len(), 40);
    session.handle_input(now, tlv::acknowledgement(u64::MAX)).unwrap();
}

#[test]
fn an_acknowledgement_of_what_was_not_sent_is_the_end() {
    let (mut session, video) = playing(true);
    let now = Instant::now();
    session.flows().write(video, message(vec![0; 100])).unwrap();
    sent(&mut session, now);
    session.handle_input(now, tlv::acknowledgement(100)).unwrap();
    let fault = session.handle_input(now, tlv::acknowledgement(101)).unwrap_err();
    assert_eq!(fault, error::PeerMisbehaved::AckOfMore { bytes: 101, sent: 100 });
}

#[test]
fn a_clients_messages_may_be_cut_and_joined() {
    let (mut session, video) = playing(true);
    let now = Instant::now();
    session.flows().write(video, message(vec![0; 1000])).unwrap();
    sent(&mut session, now);
    let input = [tlv::acknowledgement(1), Bytes::from_static(b"\x63\0\0\0\x01?"), tlv::acknowledgement(900)].concat();
    for cut in 0..input.len() {
        let (mut session, video) = playing(true);
        session.flows().write(video, message(vec![0; 1000])).unwrap();
        sent(&mut session, now);
        for part in [&input[..cut], &input[cut..]] {
            session.handle_input(now, Bytes::copy_from_slice(part)).unwrap();
        }
        assert_eq!(session.path().in_flight, 100, "{cut}");
    }
}

#[test]
fn a_client_that_says_too_much_at_once_is_left() {
    let (mut session, _) = playing(true);
    let claim = Bytes::from_static(b"\x06\0\x01\0\0");
    let fault = session.handle_input(Instant::now(), claim).unwrap_err();
    assert_eq!(fault, error::PeerMisbehaved::MalformedTlv(TlvError::TooLong { length: 65536 }));
}

#[test]
fn a_flow_that_is_closed_gives_its_number_back() {
    let (mut session, video) = playing(false);
    let now = Instant::now();
    session.flows().write(video, message("last")).unwrap();
    session.flows().finish(video);
    assert_eq!(sent(&mut session, now).len(), 1);
    let again = open_flow(&mut session, tlv::flow_metadata(tlv::Track::Video, StreamId(7)), CONTROL);
    session.flows().write(again, message("first")).unwrap();
    assert_eq!((again, sent(&mut session, now)), (video, vec![Bytes::from_static(b"first")]));
}
