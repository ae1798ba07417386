//! Any sequence of commands on both sides over a line that reorders lanes ends with every message delivered once, in order, or
//! named as lost.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::mux::PACKET;
use super::*;
use crate::session::{Config, Event, MessageId, RecvFlow};

#[derive(Debug, Clone)]
enum Operation {
    Open { priority: bool },
    Write { flow: u64, len: usize, group: u64, needs_previous: bool, deadline_ms: Option<u64> },
    Abandon { flow: u64, number: u64 },
    Expire { flow: u64, before: u64 },
    Preamble { flow: u64 },
    Finish { flow: u64 },
    Reject { flow: u64 },
    Wait { ms: u64 },
    Stall { ms: u64 },
    Narrow { window: usize },
}

fn operations() -> impl Strategy<Value = Operation> {
    let flow = 0_u64..4;
    prop_oneof![
        2 => any::<bool>().prop_map(|priority| Operation::Open { priority }),
        12 => (flow.clone(), 8_usize..40_000, 0_u64..5, any::<bool>(), proptest::option::of(0_u64..500))
            .prop_map(|(flow, len, group, needs_previous, deadline_ms)| Operation::Write { flow, len, group, needs_previous, deadline_ms }),
        1 => (flow.clone(), 0_u64..20).prop_map(|(flow, number)| Operation::Abandon { flow, number }),
        1 => (flow.clone(), 0_u64..5).prop_map(|(flow, before)| Operation::Expire { flow, before }),
        1 => flow.clone().prop_map(|flow| Operation::Preamble { flow }),
        1 => flow.clone().prop_map(|flow| Operation::Finish { flow }),
        1 => flow.prop_map(|flow| Operation::Reject { flow }),
        4 => (0_u64..100).prop_map(|ms| Operation::Wait { ms }),
        1 => (0_u64..500).prop_map(|ms| Operation::Stall { ms }),
        1 => (PACKET..100_000).prop_map(|window| Operation::Narrow { window }),
    ]
}

fn apply(pair: &mut Pair, operation: &Operation, written: &mut BTreeMap<u64, u64>, number: u64) {
    let now = pair.now;
    let flows = pair.left.session.flows();
    match *operation {
        Operation::Open { priority } => {
            let priority = if priority { Priority::Immediate } else { Priority::Routine };
            flows.open(Bytes::new(), priority, None).unwrap();
        }
        Operation::Write { flow, len, group, needs_previous, deadline_ms } => {
            let by = deadline_ms.map(|ms| now + MS * u32::try_from(ms).unwrap());
            let deadline = Deadline { start_by: by, finish_by: by.map(|by| by + 50 * MS) };
            let mut payload = vec![9; len];
            payload[..8].copy_from_slice(&number.to_be_bytes());
            let message = Message { deadline, needs_previous, ..of_group(group, payload) };
            *written.entry(flow).or_default() += u64::from(flows.write(SendFlow(flow), message).is_ok());
        }
        Operation::Abandon { flow, number } => flows.abandon(MessageId { flow: SendFlow(flow), number }),
        Operation::Expire { flow, before } => {
            flows.expire(SendFlow(flow), GroupId(before), Deadline { start_by: Some(now), finish_by: Some(now) });
        }
        Operation::Preamble { flow } => {
            let _ = flows.preamble(SendFlow(flow), format!("p{number}").into());
        }
        Operation::Finish { flow } => flows.finish(SendFlow(flow)),
        Operation::Reject { flow } => pair.right.session.flows().reject(RecvFlow(flow), 1, "no"),
        Operation::Wait { ms } => pair.run_for(MS * u32::try_from(ms).unwrap()),
        Operation::Stall { ms } => pair.left.line.stall(now, MS * u32::try_from(ms).unwrap()),
        Operation::Narrow { window } => pair.left.line.window = window,
    }
}

proptest! {
    #[test]
    fn every_message_is_delivered_once_in_order_or_named_as_lost(
        sequence in proptest::collection::vec(operations(), 1..60),
        jitter in 0_u32..150,
        resets_outrun: bool,
    ) {
        let mut pair = Pair::with_config(&Config { max_message: 100_000, ..Config::default() });
        pair.left.line.rate = Some(500_000);
        pair.left.line.jitter = jitter * MS;
        pair.left.line.resets_outrun = resets_outrun;
        pair.left.line.delay = 20 * MS;
        pair.right.line.delay = 20 * MS;
        pair.left.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
        let mut written = BTreeMap::new();
        let mut rejected = Vec::new();
        for (number, operation) in sequence.iter().enumerate() {
            if let Operation::Reject { flow } = operation {
                rejected.push(*flow);
            }
            apply(&mut pair, operation, &mut written, number as u64);
        }
        for flow in 0..64 {
            pair.left.session.flows().finish(SendFlow(flow));
        }
        // As long as two megabytes take, a packet a round trip.
        pair.run_for(600_000 * MS);

        prop_assert_eq!(pair.left.session.flows().queued(), 0);
        prop_assert_eq!(pair.left.session.poll_timeout(), None);
        prop_assert_eq!(pair.right.session.poll_timeout(), None);
        let mut accounted = BTreeMap::<u64, u64>::new();
        let mut last = BTreeMap::new();
        let mut closed = 0;
        for (_, event) in &pair.right.events {
            match event {
                Event::Message { flow, payload } if payload[0] != b'p' => {
                    *accounted.entry(flow.0).or_default() += 1;
                    let number = u64::from_be_bytes(payload[..8].try_into().unwrap());
                    let before = last.insert(flow.0, number);
                    prop_assert!(before.is_none_or(|before| before < number), "once and in order");
                }
                Event::Gap { flow, messages } => *accounted.entry(flow.0).or_default() += messages,
                Event::Closed { .. } => closed += 1,
                Event::Message { .. } | Event::Opened { .. } | Event::Rejected { .. } | Event::Room => {}
            }
        }
        let opened = 1 + sequence.iter().filter(|operation| matches!(operation, Operation::Open { .. })).count();
        prop_assert_eq!(closed, opened);
        for (flow, written) in written {
            let accounted = accounted.get(&flow).copied().unwrap_or_default();
            if rejected.contains(&flow) {
                prop_assert!(accounted <= written);
            } else {
                prop_assert_eq!(accounted, written, "flow {}", flow);
            }
        }
    }
}
