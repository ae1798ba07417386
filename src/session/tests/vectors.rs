//! Against what genuine peers were seen to send.

use std::collections::BTreeMap;
use std::time::Instant;

use super::*;
use crate::session::{Config, Event, Pipe, RecvFlow, SendFlow, Session};
use crate::wire::vectors::{Vector, vectors};

/// A session in the place of the genuine browser client: it gives the commands that the client gave.
struct Client {
    session: Session<Pipe>,
    now: Instant,
    sent: Vec<Frame>,
}

impl Client {
    fn step(&mut self, vector: &Vector) {
        if vector.direction == "client->server" {
            self.imitate(Frame::decode(vector.bytes()).unwrap().unwrap());
        } else {
            self.session.handle_input(self.now, vector.bytes()).unwrap_or_else(|e| panic!("{}: {e}", vector.name));
        }
        while let Some(event) = self.session.poll_event() {
            if let Event::Opened { flow, metadata, .. } = event {
                let control = metadata.ends_with(&[0]);
                self.session.flows().accept(flow, if control { 2_097_151 } else { 16_777_215 });
            }
        }
        while let Some(fragment) = self.session.poll_transmit(self.now) {
            self.sent.push(Frame::decode(fragment.to_bytes()).unwrap().unwrap());
        }
    }

    fn imitate(&mut self, frame: Frame) {
        let flows = self.session.flows();
        match frame {
            Frame::Open { answers, metadata, .. } => {
                flows.open(metadata, Priority::Routine, answers.map(RecvFlow)).unwrap();
            }
            Frame::Data { flow, payload, last: true } => {
                flows.write(SendFlow(flow), message(payload)).unwrap();
            }
            _ => {}
        }
    }
}

#[test]
fn a_session_in_the_genuine_clients_place_sends_what_it_sent() {
    let mut client = Client { session: Session::new(Config::default()), now: Instant::now(), sent: Vec::new() };
    let trace: Vec<Vector> = vectors().into_iter().filter(is_conversation).collect();
    for vector in &trace {
        client.step(vector);
    }
    let own = |frame: &Frame| matches!(frame, Frame::Open { .. } | Frame::Data { .. });
    let genuine: Vec<Frame> = trace
        .iter()
        .filter(|vector| vector.direction == "client->server")
        .filter_map(|vector| Frame::decode(vector.bytes()).unwrap())
        .filter(own)
        .collect();
    assert_eq!(client.sent.iter().filter(|frame| own(frame)).cloned().collect::<Vec<_>>(), genuine);
    assert!(genuine.len() >= 5, "connect, createStream and play are among them");

    let mut acknowledged = BTreeMap::new();
    for frame in &client.sent {
        if let Frame::Ack { flow, delta, advertisement } = frame {
            let of_flow = acknowledged.entry(*flow).or_insert((0, 0));
            *of_flow = (of_flow.0 + delta, *advertisement);
        }
    }
    let advertised: Vec<u64> = acknowledged.values().map(|(_, advertisement)| *advertisement).collect();
    assert_eq!(advertised, [2_097_151, 16_777_215, 16_777_215, 16_777_215]);
    let received: u64 =
        trace.iter().filter(|v| v.direction == "server->client" && is_data(v)).map(|v| v.bytes().len() as u64).sum();
    let unacknowledged = received - acknowledged.values().map(|(delta, _)| delta).sum::<u64>();
    assert!(unacknowledged < 2800, "{unacknowledged}");
}

/// The beginning of a recorded session, up to and with its first key frame.
fn is_conversation(vector: &Vector) -> bool {
    let number = vector.name.strip_prefix("live #").and_then(|rest| rest.split(' ').next()?.parse::<u32>().ok());
    number.is_some_and(|number| number <= 31) || vector.name.starts_with("keyframe fragment")
}

fn is_data(vector: &Vector) -> bool {
    matches!(vector.bytes()[0], 0x1d | 0x3d)
}

#[test]
fn what_genuine_peers_take_for_an_error_is_one_here() {
    let mut scenarios: BTreeMap<String, Vec<Vector>> = BTreeMap::new();
    for vector in vectors() {
        if let Some(rest) = vector.name.strip_prefix("protocol error: ")
            && let Some((scenario, _)) = rest.split_once(':')
        {
            scenarios.entry(scenario.to_owned()).or_default().push(vector);
        }
    }
    assert!(scenarios.len() >= 9, "{:?}", scenarios.keys());
    for (name, vectors) in scenarios {
        let mut pair = Pair::new();
        let refused = vectors.iter().any(|vector| {
            let result = pair.right.input(pair.now, vector.bytes());
            pair.right.output(pair.now);
            result.is_err()
        });
        assert!(refused, "{name}");
    }
}
