//! Any sequence of commands on both sides over a slow line ends with every message delivered or named as lost.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::session::{Event, RecvFlow, SendFlow};

#[derive(Debug, Clone)]
enum Operation {
    Open { priority: bool },
    Write { flow: u64, len: usize, group: u64, needs_previous: bool, deadline_ms: Option<u64> },
    Abandon { flow: u64, number: u64 },
    Expire { flow: u64, before: u64 },
    Preamble { flow: u64 },
    Finish { flow: u64 },
    Reject { flow: u64 },
    Window { flow: u64, bytes: u64 },
    Wait { ms: u64 },
    Stall { ms: u64 },
}

fn operations() -> impl Strategy<Value = Operation> {
    let flow = 0_u64..4;
    prop_oneof![
        2 => any::<bool>().prop_map(|priority| Operation::Open { priority }),
        8 => (flow.clone(), 0_usize..40_000, 0_u64..5, any::<bool>(), proptest::option::of(0_u64..500))
            .prop_map(|(flow, len, group, needs_previous, deadline_ms)| Operation::Write { flow, len, group, needs_previous, deadline_ms }),
        1 => (flow.clone(), 0_u64..20).prop_map(|(flow, number)| Operation::Abandon { flow, number }),
        1 => (flow.clone(), 0_u64..5).prop_map(|(flow, before)| Operation::Expire { flow, before }),
        1 => flow.clone().prop_map(|flow| Operation::Preamble { flow }),
        1 => flow.clone().prop_map(|flow| Operation::Finish { flow }),
        1 => flow.clone().prop_map(|flow| Operation::Reject { flow }),
        1 => (flow, prop_oneof![Just(0), 1_u64..5000, Just(1 << 20)]).prop_map(|(flow, bytes)| Operation::Window { flow, bytes }),
        4 => (0_u64..100).prop_map(|ms| Operation::Wait { ms }),
        1 => (0_u64..500).prop_map(|ms| Operation::Stall { ms }),
    ]
}

fn apply(pair: &mut Pair, operation: &Operation, written: &mut u64) {
    let now = pair.now;
    let flows = pair.left.session.flows();
    match *operation {
        Operation::Open { priority } => {
            let priority = if priority { Priority::Immediate } else { Priority::Routine };
            flows.open(Bytes::new(), priority, None).unwrap();
        }
        Operation::Write { flow, len, group, needs_previous, deadline_ms } => {
            let by = deadline_ms.map(|ms| now + Duration::from_millis(ms));
            let deadline = Deadline { start_by: by, finish_by: by.map(|by| by + Duration::from_millis(50)) };
            let message = Message { group: GroupId(group), needs_previous, deadline, ..filled(9, len) };
            *written += u64::from(flows.write(SendFlow(flow), message).is_ok());
        }
        Operation::Abandon { flow, number } => {
            flows.abandon(crate::session::MessageId { flow: SendFlow(flow), number });
        }
        Operation::Expire { flow, before } => {
            flows.expire(SendFlow(flow), GroupId(before), Deadline { start_by: Some(now), finish_by: Some(now) });
        }
        Operation::Preamble { flow } => {
            let payload = Bytes::copy_from_slice(&written.to_be_bytes());
            *written += u64::from(flows.preamble(SendFlow(flow), payload).is_ok());
        }
        Operation::Finish { flow } => flows.finish(SendFlow(flow)),
        Operation::Reject { flow } => pair.right.session.flows().reject(RecvFlow(flow), 1, "no"),
        Operation::Window { flow, bytes } => pair.right.session.flows().accept(RecvFlow(flow), bytes),
        Operation::Wait { ms } => pair.run_for(Duration::from_millis(ms)),
        Operation::Stall { ms } => pair.left.link.stall(now, Duration::from_millis(ms)),
    }
}

proptest! {
    #[test]
    fn every_message_is_delivered_or_named_as_lost(sequence in proptest::collection::vec(operations(), 1..60)) {
        let mut pair = Pair::new();
        pair.left.link.rate = Some(500_000);
        pair.left.link.delay = Duration::from_millis(20);
        pair.right.link.delay = Duration::from_millis(20);
        pair.left.session.flows().open(Bytes::new(), Priority::Routine, None).unwrap();
        let mut written = 0;
        // A preamble that says the same again counts as taken and is not sent: `written` makes each differ.
        let mut rejected = false;
        for operation in sequence {
            rejected |= matches!(operation, Operation::Reject { .. });
            apply(&mut pair, &operation, &mut written);
        }
        for flow in 0..64 {
            pair.right.session.flows().accept(RecvFlow(flow), 1 << 20);
        }
        pair.run_for(Duration::from_secs(30));

        prop_assert_eq!(pair.left.session.flows().queued(), 0);
        prop_assert_eq!(pair.left.session.path().in_flight, 0);
        let lost: u64 = pair.right.events.iter().map(|(_, event)| match event {
            Event::Gap { messages, .. } => *messages,
            Event::Opened { .. } | Event::Message { .. } | Event::Closed { .. } | Event::Rejected { .. } | Event::Room => 0,
        }).sum();
        let delivered = pair.right.messages().len() as u64;
        if rejected {
            prop_assert!(delivered + lost <= written);
        } else {
            prop_assert_eq!(delivered + lost, written);
            prop_assert_eq!(lost, pair.left.session.flows().abandoned());
        }
    }
}
