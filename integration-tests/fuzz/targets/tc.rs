//! TC: a flow's metadata, and messages of every type. Whatever is read can be written and read again.

#![no_main]

use bytes::Bytes;
use headwater::wire::tc::{Content, FlowMetadata, Message, Status};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let input = Bytes::copy_from_slice(input);
    if let Ok(metadata) = FlowMetadata::decode(input.clone()) {
        assert_eq!(FlowMetadata::decode(metadata.encode()), Ok(metadata));
    }
    let Ok(message) = Message::decode(input) else { return };
    if let Content::Command(command) = &message.content {
        let _ = command.status_code().and_then(Status::from_code);
    }
    let written = message.encode();
    if let Ok(again) = Message::decode(written.clone()) {
        assert_eq!(again.encode(), written);
    }
});
