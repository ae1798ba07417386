//! What must be taken, in any order of arrival, and what must not.

use super::*;

const CONTROL: u64 = 3;

/// A decoder whose server has opened flow 2 with metadata `m`, in answer to our flow 0.
struct Viewer {
    lanes: Lanes,
    now: Instant,
}

impl Viewer {
    fn new() -> Self {
        let mut lanes = Lanes::default();
        lanes.opened(0);
        let mut viewer = Self { lanes, now: Instant::now() };
        viewer.take(CONTROL, &[0, 4, 0x30, 2, 0, b'm']);
        assert_eq!(viewer.seen(), ["open 2"]);
        viewer
    }

    fn take(&mut self, stream: u64, bytes: &[u8]) {
        self.lanes.handle(self.now, stream, bytes).unwrap();
    }

    fn refuse(&mut self, stream: u64, bytes: &[u8]) {
        assert!(self.lanes.handle(self.now, stream, bytes).is_err(), "{bytes:02x?}");
    }

    fn end(&mut self, stream: u64, end: LaneEnd) -> bool {
        self.lanes.handle_end(self.now, stream, end).unwrap()
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
        self.lanes.handle_timeout(self.now).unwrap();
    }

    fn seen(&mut self) -> Vec<String> {
        let mut seen = Vec::new();
        while let Some(event) = self.lanes.next_event() {
            seen.push(match event {
                Event::Opened { flow } => format!("open {flow}"),
                Event::Message { flow: _ } => String::from_utf8(self.lanes.payload().to_vec()).unwrap(),
                Event::Gap { flow: _, messages } => format!("gap {messages}"),
                Event::Closed { flow } => format!("close {flow}"),
                Event::Rejected { flow } => format!("rejected {flow}"),
                Event::Ping(_) => unreachable!(),
            });
        }
        seen
    }
}

/// Lane `number` of flow 2 with preamble `p`, then these bytes.
fn lane(number: u8, first: u8, rest: &[u8]) -> Vec<u8> {
    [&[1, 2, number, first, 1, b'p'][..], rest].concat()
}

#[test]
fn lanes_come_in_order_with_their_preamble_when_it_changes() {
    let mut viewer = Viewer::new();
    viewer.take(7, &lane(0, 1, &[0, 1, b'a', 0, 1, b'b']));
    viewer.take(11, &lane(1, 3, &[0, 1, b'c']));
    assert_eq!(viewer.seen(), ["p", "a", "b"]);
    viewer.end(7, LaneEnd::Finished);
    assert_eq!(viewer.seen(), ["c"]);
    viewer.take(15, &[1, 2, 2, 4, 1, b'q', 0, 1, b'd']);
    viewer.end(11, LaneEnd::Finished);
    assert_eq!(viewer.seen(), ["q", "d"]);
}

#[test]
fn bytes_may_be_cut_anywhere() {
    let wire = lane(0, 1, &[&[0, 0x81, 0][..], &[b'x'; 128], &[2, 1, b'z']].concat());
    for cut in 0..wire.len() {
        let mut viewer = Viewer::new();
        viewer.take(7, &wire[..cut]);
        viewer.take(7, &wire[cut..]);
        assert_eq!(viewer.seen(), ["p", &"x".repeat(128), "gap 2", "z"], "{cut}");
    }
}

#[test]
fn a_lane_may_outrun_the_opening_of_its_flow() {
    let mut viewer = Viewer::new();
    viewer.take(7, &[1, 4, 0, 1, 0, 0, 1, b'a']);
    viewer.end(7, LaneEnd::Finished);
    assert!(viewer.seen().is_empty());
    viewer.take(CONTROL, &[3, 0x30, 4, 0]);
    assert_eq!(viewer.seen(), ["open 4", "a"]);
}

#[test]
fn a_newer_lane_waits_for_the_older_and_not_for_long() {
    let mut viewer = Viewer::new();
    viewer.take(7, &lane(0, 1, &[0, 1, b'a']));
    assert_eq!(viewer.seen(), ["p", "a"]);
    viewer.take(11, &lane(1, 5, &[]));
    assert_eq!(viewer.lanes.due(), None, "from its first whole message on");
    viewer.take(11, &[0, 1, b'e']);
    viewer.pass(PATIENCE - Duration::from_millis(1));
    viewer.take(7, &[0, 1, b'b']);
    assert_eq!(viewer.seen(), ["b"]);
    viewer.pass(Duration::from_millis(1));
    assert_eq!(viewer.seen(), ["gap 2", "e"]);
    assert_eq!(viewer.lanes.stops(), [7]);
    viewer.take(7, &[0, 1, b'c']);
    assert!(viewer.seen().is_empty());
}

#[test]
fn nothing_waits_for_a_lane_that_is_given_up() {
    for header_first in [true, false] {
        let mut viewer = Viewer::new();
        if header_first {
            viewer.take(7, &lane(0, 1, &[0, 1, b'a', 0, 9]));
        }
        viewer.end(7, LaneEnd::Reset(ABANDONED));
        viewer.take(11, &lane(1, 5, &[0, 1, b'e']));
        viewer.take(CONTROL, &[3, 0x1a, 2, 0]);
        let seen = if header_first { &["p", "a", "gap 3", "e"][..] } else { &["p", "gap 4", "e"] };
        assert_eq!(viewer.seen(), seen);
        viewer.take(CONTROL, &[3, 0x1c, 2, 2]);
        viewer.end(11, LaneEnd::Finished);
        assert_eq!(viewer.seen(), ["close 2"]);
    }
}

#[test]
fn a_lane_that_comes_too_late_is_stopped() {
    let mut viewer = Viewer::new();
    viewer.take(11, &lane(1, 5, &[0, 1, b'e']));
    viewer.pass(PATIENCE);
    assert_eq!(viewer.seen(), ["p", "gap 4", "e"]);
    viewer.take(7, &lane(0, 1, &[0, 1, b'a']));
    assert!(viewer.seen().is_empty());
    assert_eq!(viewer.lanes.stops(), [7]);
}

#[test]
fn the_control_lanes_end_is_the_sessions() {
    for end in [LaneEnd::Finished, LaneEnd::Reset(CLOSED)] {
        assert!(!Viewer::new().end(CONTROL, end));
    }
}

#[test]
fn records_that_are_not_known_are_skipped() {
    let mut viewer = Viewer::new();
    viewer.take(CONTROL, &[2, 0x77, 0, 5, 0x5e, 0, 1, b'n', b'o']);
    assert_eq!(viewer.seen(), ["rejected 0"]);
}

#[test]
fn violations_on_the_control_lane_are_errors() {
    for wire in [
        &[0][..],
        &[4, 0x30, 2, 0, b'm'],
        &[4, 0x30, 1, 0, b'm'],
        &[4, 0x30, 3, 7, b'm'],
        &[1, 0x10],
        &[3, 0x1a, 9, 0],
        &[4, 0x1a, 2, 0, 0],
        &[3, 0x1a, 2, 0, 3, 0x1a, 2, 0],
        &[3, 0x1c, 9, 0],
        &[3, 0x1c, 2, 1, 3, 0x1c, 2, 1],
        &[4, 0x5e, 0, 0, 0xff],
        &[3, 0x5e, 8, 0],
        &[0xff; 11],
        &[0x87, 0xff, 0xff, 0x7f],
    ] {
        Viewer::new().refuse(CONTROL, wire);
    }
}

#[test]
fn violations_on_lanes_are_errors() {
    let mut viewer = Viewer::new();
    viewer.refuse(7, &[0]);
    viewer.refuse(7, &[2]);
    viewer.refuse(1, &[1]);
    Viewer::new().refuse(7, &lane(0, 0, &[]));
    for wire in [&lane(0, 1, &[])[..], &lane(1, 1, &[]), &[1, 2, 1, 9, 0, 0, 0x8f, 0xff, 0xff, 0x7f]] {
        let mut viewer = Viewer::new();
        viewer.take(7, &lane(0, 1, &[0, 1, b'a']));
        viewer.refuse(11, wire);
    }
    let mut viewer = Viewer::new();
    viewer.take(7, &lane(0, 1, &[0, 1, b'a']));
    viewer.take(11, &lane(1, 2, &[]));
    viewer.refuse(7, &[0, 1, b'b']);
    let mut viewer = Viewer::new();
    viewer.take(CONTROL, &[3, 0x1c, 2, 1]);
    viewer.refuse(7, &lane(1, 1, &[]));
}

#[test]
fn a_lane_must_end_behind_a_message_and_be_reset_for_a_reason_of_the_senders() {
    for rest in [&[0][..], &[0, 2, b'a']] {
        let mut viewer = Viewer::new();
        viewer.take(7, &lane(0, 1, rest));
        assert!(viewer.lanes.handle_end(viewer.now, 7, LaneEnd::Finished).is_err());
    }
    let mut viewer = Viewer::new();
    viewer.take(7, &lane(0, 1, &[]));
    assert!(viewer.lanes.handle_end(viewer.now, 7, LaneEnd::Reset(SUPERSEDED)).is_err());
    assert!(viewer.lanes.handle_end(viewer.now, 11, LaneEnd::Finished).is_err(), "without a header");
}

#[test]
fn a_lane_that_is_reset_must_be_given_up_in_words() {
    let mut viewer = Viewer::new();
    viewer.take(7, &lane(0, 1, &[0, 1, b'a']));
    viewer.end(7, LaneEnd::Reset(ABANDONED));
    viewer.refuse(CONTROL, &[3, 0x1c, 2, 1]);
}
