use proptest::prelude::*;

use super::*;
use crate::wire::amf0::Value;

fn decoded(message: &Bytes) -> Content {
    Message::decode(message.clone()).unwrap().content
}

#[test]
fn metadata_is_written_as_genuine_peers_do() {
    for (id, bytes) in [(0, &b"TC\x04\x00"[..]), (1, b"TC\x04\x01"), (128, b"TC\x04\x81\x00")] {
        let metadata = FlowMetadata::new(StreamId(id));
        assert_eq!(metadata.encode(), bytes);
        assert_eq!(FlowMetadata::decode(Bytes::copy_from_slice(bytes)), Ok(metadata));
    }
}

#[test]
fn metadata_needs_a_stream_id_and_ignores_what_follows_it() {
    let decode = |bytes: &'static [u8]| FlowMetadata::decode(Bytes::from_static(bytes));
    assert_eq!(decode(b"TC\x05\x07more"), Ok(FlowMetadata { stream: StreamId(7), network_order: true }));
    assert_eq!(decode(b"TC\x00\x07"), Err(TcError::NotTc));
    assert_eq!(decode(b"TX\x04\x07"), Err(TcError::NotTc));
    assert_eq!(decode(b"TC\x04\x90\x80\x80\x80\x00"), Err(TcError::StreamId(1 << 32)));
    for end in 0..4 {
        decode(&b"TC\x04\x01"[..end]).unwrap_err();
    }
}

#[test]
fn a_command_survives() {
    let command = Command {
        object: Value::object([("app", "live")]),
        ..Command::new("connect", 1.0, vec![Value::from("token"), Value::Null])
    };
    assert_eq!(decoded(&command.encode()), Content::Command(command.clone()));
    assert_eq!(Command::decode(&command.encode_body()), Ok(command));
}

#[test]
fn an_amf3_command_is_amf0_behind_a_zero_byte() {
    let command = Command::new("play", 0.0, vec![Value::from("test")]);
    let decode =
        |first: &[u8]| Content::decode(message_type::COMMAND_AMF3, [first, &command.encode_body()].concat().into());
    assert_eq!(decode(&[0]), Ok(Content::Command(command.clone())));
    assert_eq!(decode(&[1]), Err(TcError::Malformed { what: "AMF3 message" }));
}

#[test]
fn a_command_needs_a_name_and_a_number_but_no_object() {
    let body = |values: &[Value]| {
        let mut out = BytesMut::new();
        crate::wire::amf0::encode(values, &mut out);
        out
    };
    let name = Value::from("createStream");
    assert_eq!(
        Command::decode(&body(&[name.clone(), Value::Number(2.0)])),
        Ok(Command::new("createStream", 2.0, vec![]))
    );
    for values in [&[][..], std::slice::from_ref(&name), &[Value::Number(2.0), name.clone()]] {
        assert_eq!(Command::decode(&body(values)), Err(TcError::Malformed { what: "command" }));
    }
}

#[test]
fn data_survives() {
    let data = Data::new("|RtmpSampleAccess", vec![true.into(), true.into()]);
    let message = Message::decode(data.encode(u32::MAX)).unwrap();
    assert_eq!(message, Message { timestamp: u32::MAX, content: Content::Data(data) });
}

#[test]
fn a_status_is_told_by_its_code() {
    let info = Info::new(Status::PlayStart, "playing").with("detail", "test");
    let command = Command::on_status(info);
    assert_eq!(command.status_code(), Some("NetStream.Play.Start"));
    let info = command.argument(0).unwrap();
    assert_eq!(info.get("level").and_then(Value::as_str), Some("status"));
    assert_eq!(info.get("detail").and_then(Value::as_str), Some("test"));
    for status in Status::ALL {
        assert_eq!(Status::from_code(status.code()), Some(*status));
    }
}

#[test]
fn user_control_survives_and_every_prefix_is_truncated() {
    for (control, fields) in [
        (UserControl::StreamBegin(StreamId(1)), 11),
        (UserControl::FlowSync { id: 7, count: 2 }, 15),
        (UserControl::Other { event: 3, payload: Bytes::from_static(b"payload") }, 7),
    ] {
        let message = control.encode();
        assert_eq!(decoded(&message), Content::UserControl(control));
        for end in 0..fields {
            Message::decode(message.slice(..end)).unwrap_err();
        }
    }
}

#[test]
fn media_bodies_are_shared_not_copied() {
    let message = Bytes::from_static(b"\x08\0\0\0\x07\xaf\x01frame");
    let Content::Audio(body) = decoded(&message) else { panic!("audio") };
    assert_eq!(body, message.slice(HEADER_LEN..));
    assert_eq!(body.as_ptr(), message.slice(HEADER_LEN..).as_ptr());
}

proptest! {
    #[test]
    fn no_message_panics(kind in prop_oneof![Just(4u8), Just(15), Just(17), Just(18), Just(20), any::<u8>()],
                         rest in prop::collection::vec(any::<u8>(), 0..100)) {
        let _ = Message::decode([&[kind][..], &rest].concat().into());
        let _ = FlowMetadata::decode([b"TC\x04", &rest[..]].concat().into());
    }

    #[test]
    fn every_prefix_of_a_command_is_an_error_or_a_shorter_command(name in ".{0,12}", text in ".{0,12}") {
        let command = Command::new(&name, 1.0, vec![Value::from(text), Value::object([("a", 1.0)])]);
        let message = command.encode();
        for end in 0..message.len() {
            if let Ok(message) = Message::decode(message.slice(..end)) {
                prop_assert_ne!(message.content, Content::Command(command.clone()));
            }
        }
    }
}
