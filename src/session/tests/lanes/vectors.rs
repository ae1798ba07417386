//! Lanes written by hand, and what is made of them.

use serde::Deserialize;

use super::order::Hand;
use crate::session::Event;
use crate::session::streams::{LaneInput, RecvLaneId};

#[derive(Deserialize)]
struct Vector {
    name: String,
    steps: Vec<Step>,
    events: Vec<String>,
}

#[derive(Deserialize)]
struct Step {
    lane: u64,
    hex: String,
    end: Option<String>,
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a session makes of a vector whose bytes come `size` at a time.
fn told(vector: &Vector, size: usize) -> Vec<String> {
    let mut hand = Hand::new();
    let fed = vector.steps.iter().try_for_each(|step| {
        let digits = step.hex.as_bytes().chunks(2);
        let bytes: Vec<u8> =
            digits.map(|digits| u8::from_str_radix(str::from_utf8(digits).unwrap(), 16).unwrap()).collect();
        bytes.chunks(size).try_for_each(|data| hand.received(step.lane, data))?;
        let lane = RecvLaneId(step.lane);
        match step.end.as_deref() {
            None => Ok(()),
            Some("reset") => hand.input(LaneInput::Reset { lane }),
            Some(_) => hand.input(LaneInput::Finished { lane }),
        }
    });
    let word = |event: &Event| match event {
        Event::Opened { flow, metadata, .. } => format!("open {} {}", flow.0, hex(metadata)),
        Event::Message { flow, payload } => format!("message {} {}", flow.0, hex(payload)),
        Event::Gap { flow, messages } => format!("gap {} {messages}", flow.0),
        Event::Closed { flow } => format!("closed {}", flow.0),
        Event::Rejected { .. } | Event::Room => "?".into(),
    };
    let refused = fed.is_err().then(|| "refused".to_owned());
    hand.events.iter().map(word).chain(refused).collect()
}

#[test]
fn lanes_mean_what_they_say_however_they_are_cut() {
    let vectors: Vec<Vector> =
        serde_json::from_str(include_str!("../../../../integration-tests/vectors/lanes.json")).unwrap();
    assert!(vectors.len() >= 20);
    for vector in vectors {
        for size in [1, 2, 3, 7, usize::MAX] {
            assert_eq!(told(&vector, size), vector.events, "{}, {size} bytes at a time", vector.name);
        }
    }
}
