//! A session behind lanes in memory, of which the tests decide how much they take.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::yield_now;
use tokio::time::{Instant, timeout};

use super::stream_link::StreamLink;
use super::{LaneError, Measured, RecvLane, SendLane, StreamMux, TransportError};
use crate::clock::Clock;
use crate::session::link::{CloseReason, Link, LinkError};
use crate::session::{self, Deadline, Event, GroupId, Priority, SendFlow};
use crate::wire::lane::LaneCode;

/// The network and the peer, as a test sets them up and finds them.
#[derive(Debug)]
struct Network {
    /// Lanes that the link opened, the control lane first.
    opened: Vec<Lane>,
    /// How many it may open.
    openable: usize,
    /// Bytes that all lanes together take.
    room: usize,
    /// What the link let be in flight.
    limit: u64,
    unread: u64,
    measured: Measured,
    /// How often it was asked for that.
    asked: usize,
    /// Lanes of the peer's: what comes on them.
    accepted: VecDeque<Vec<Bytes>>,
    endless: bool,
    settles: bool,
    lost: bool,
    closed: Option<CloseReason>,
    sender: Option<Waker>,
    receiver: Option<Waker>,
}

#[derive(Debug, Default)]
struct Lane {
    priority: i32,
    chunks: Vec<Bytes>,
    stopped: bool,
    finished: bool,
    reset: Option<LaneCode>,
}

impl Lane {
    fn len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum()
    }
}

#[derive(Debug, Clone)]
struct Lanes(Arc<Mutex<Network>>);

#[derive(Debug)]
struct Outgoing(Lanes, usize);

#[derive(Debug)]
struct Incoming(Lanes, VecDeque<Bytes>);

impl Lanes {
    fn new() -> Self {
        let ms = Duration::from_millis;
        let measured = Measured { rtt: ms(20), least_rtt: ms(20), congestion_window: 100_000, acks: 0 };
        Self(Arc::new(Mutex::new(Network {
            opened: Vec::new(),
            openable: usize::MAX,
            room: usize::MAX,
            limit: 0,
            unread: 0,
            measured,
            asked: 0,
            accepted: VecDeque::new(),
            endless: false,
            settles: true,
            lost: false,
            closed: None,
            sender: None,
            receiver: None,
        })))
    }

    fn network(&self) -> MutexGuard<'_, Network> {
        self.0.lock().unwrap()
    }

    /// Changes the network and wakes whoever waits for it.
    fn change(&self, change: impl FnOnce(&mut Network)) {
        let mut network = self.network();
        change(&mut network);
        for waiting in [network.sender.take(), network.receiver.take()] {
            waiting.into_iter().for_each(Waker::wake);
        }
    }
}

fn wait<T>(waker: &mut Option<Waker>, cx: &Context<'_>) -> Poll<T> {
    *waker = Some(cx.waker().clone());
    Poll::Pending
}

impl StreamMux for Lanes {
    type Send = Outgoing;
    type Recv = Incoming;

    fn poll_open(&mut self, cx: &mut Context<'_>) -> Poll<Result<Outgoing, TransportError>> {
        let mut network = self.network();
        if network.opened.len() == network.openable {
            return wait(&mut network.sender, cx);
        }
        network.opened.push(Lane::default());
        Poll::Ready(Ok(Outgoing(self.clone(), network.opened.len() - 1)))
    }

    fn poll_accept(&mut self, cx: &mut Context<'_>) -> Poll<Result<Incoming, TransportError>> {
        let mut network = self.network();
        match network.accepted.pop_front() {
            Some(chunks) => Poll::Ready(Ok(Incoming(self.clone(), chunks.into()))),
            None if network.lost => Poll::Ready(Err(TransportError::TimedOut)),
            None => wait(&mut network.receiver, cx),
        }
    }

    fn measure(&self) -> Measured {
        let mut network = self.network();
        network.asked += 1;
        network.measured
    }

    fn limit_in_flight(&mut self, bytes: u64) {
        self.network().limit = bytes;
    }

    fn limit_unread(&mut self, bytes: u64) {
        self.network().unread = bytes;
    }

    fn poll_close(&mut self, _: &mut Context<'_>, reason: CloseReason) -> Poll<()> {
        self.network().closed = Some(reason);
        Poll::Ready(())
    }
}

impl SendLane for Outgoing {
    fn set_priority(&mut self, priority: i32) {
        self.0.network().opened[self.1].priority = priority;
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, chunks: &mut [Bytes]) -> Poll<Result<(), LaneError>> {
        let mut network = self.0.network();
        for chunk in chunks {
            if network.opened[self.1].stopped {
                return Poll::Ready(Err(LaneError::GivenUp));
            }
            let taken = chunk.split_to(chunk.len().min(network.room));
            network.room -= taken.len();
            network.opened[self.1].chunks.push(taken);
            if !chunk.is_empty() {
                return wait(&mut network.sender, cx);
            }
        }
        Poll::Ready(Ok(()))
    }

    fn finish(&mut self) {
        self.0.network().opened[self.1].finished = true;
    }

    fn poll_settled(&mut self, _: &mut Context<'_>) -> Poll<()> {
        if self.0.network().settles { Poll::Ready(()) } else { Poll::Pending }
    }

    fn reset(self, code: LaneCode) {
        self.0.network().opened[self.1].reset = Some(code);
    }
}

impl RecvLane for Incoming {
    fn poll_read(&mut self, cx: &mut Context<'_>, _: usize) -> Poll<Result<Option<Bytes>, LaneError>> {
        let mut network = self.0.network();
        match self.1.pop_front() {
            Some(chunk) => Poll::Ready(Ok(Some(chunk))),
            // A record that is skipped.
            None if network.endless => Poll::Ready(Ok(Some(Bytes::from_static(&[1, 0xff])))),
            None => wait(&mut network.receiver, cx),
        }
    }

    fn stop(self, _: LaneCode) {}
}

fn link() -> (StreamLink<Lanes>, Lanes) {
    let lanes = Lanes::new();
    (StreamLink::new(lanes.clone(), session::Config::default(), Clock), lanes)
}

fn open(link: &mut StreamLink<Lanes>, priority: Priority) -> SendFlow {
    link.flows().open(Bytes::new(), priority, None).unwrap()
}

fn write(link: &mut StreamLink<Lanes>, flow: SendFlow, group: u64, payload: &Bytes) {
    let message = session::Message {
        payload: payload.clone(),
        group: GroupId(group),
        needs_previous: true,
        deadline: Deadline::default(),
    };
    link.flows().write(flow, message).unwrap();
}

/// Lets the link do what it can.
async fn run(link: &mut StreamLink<Lanes>) {
    timeout(Duration::from_millis(1), link.next()).await.expect_err("nothing comes");
}

fn payload(len: usize) -> Bytes {
    vec![7; len].into()
}

#[tokio::test(start_paused = true)]
async fn a_group_is_a_lane_of_its_own_and_its_bytes_are_not_copied() {
    let (mut link, lanes) = link();
    let flow = open(&mut link, Priority::Priority);
    let payload = payload(40_000);
    write(&mut link, flow, 1, &payload);
    write(&mut link, flow, 2, &payload);
    run(&mut link).await;
    let network = lanes.network();
    let [control, first, second] = &network.opened[..] else { panic!("{network:?}") };
    assert!(!control.finished && first.finished && !second.finished);
    assert!(control.priority > second.priority && second.priority > first.priority);
    for lane in [first, second] {
        let shared = lane.chunks.iter().filter(|chunk| payload.as_ptr_range().contains(&chunk.as_ptr()));
        assert_eq!(shared.map(Bytes::len).sum::<usize>(), payload.len());
    }
}

#[tokio::test(start_paused = true)]
async fn the_next_group_does_not_wait_until_the_last_is_acknowledged() {
    let (mut link, lanes) = link();
    let flow = open(&mut link, Priority::Priority);
    lanes.change(|network| network.settles = false);
    for group in 1..=3 {
        write(&mut link, flow, group, &payload(1000));
        run(&mut link).await;
    }
    let network = lanes.network();
    let [_control, first, second, third] = &network.opened[..] else { panic!("{network:?}") };
    assert!(first.finished && second.finished && !third.finished);
    assert!([first, second, third].iter().all(|lane| lane.len() > 1000));
}

#[tokio::test(start_paused = true)]
async fn what_a_lane_does_not_take_stays_with_the_session_and_follows() {
    let (mut link, lanes) = link();
    let flow = open(&mut link, Priority::Priority);
    lanes.change(|network| network.room = 50_000);
    for _ in 0..10 {
        write(&mut link, flow, 1, &payload(40_000));
    }
    run(&mut link).await;
    assert!(link.flows().queued() > 300_000, "{}", link.flows().queued());
    lanes.change(|network| network.room = usize::MAX);
    run(&mut link).await;
    assert_eq!(link.flows().queued(), 0);
    assert!(lanes.network().opened[1].len() > 400_000);
}

#[tokio::test(start_paused = true)]
async fn the_most_urgent_lane_goes_on_first() {
    let (mut link, lanes) = link();
    let (video, audio) = (open(&mut link, Priority::Priority), open(&mut link, Priority::Immediate));
    lanes.change(|network| network.room = 1000);
    write(&mut link, video, 1, &payload(9000));
    run(&mut link).await;
    write(&mut link, audio, 1, &payload(9000));
    run(&mut link).await;
    let before: Vec<_> = lanes.network().opened.iter().map(Lane::len).collect();
    lanes.change(|network| network.room = 5000);
    run(&mut link).await;
    let after: Vec<_> = lanes.network().opened.iter().map(Lane::len).collect();
    assert_eq!(after[1], before[1], "video has to wait: {after:?}");
    assert_eq!(after.iter().sum::<usize>() - before.iter().sum::<usize>(), 5000);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_can_t_be_opened_yet_is_opened_later() {
    let (mut link, lanes) = link();
    let flow = open(&mut link, Priority::Priority);
    lanes.change(|network| network.openable = 1);
    write(&mut link, flow, 1, &payload(1000));
    run(&mut link).await;
    assert_eq!(lanes.network().opened.len(), 1);
    lanes.change(|network| network.openable = 2);
    run(&mut link).await;
    assert!(lanes.network().opened[1].len() > 1000);
}

#[tokio::test(start_paused = true)]
async fn a_lane_that_the_peer_stops_does_not_stop_the_others() {
    let (mut link, lanes) = link();
    let flow = open(&mut link, Priority::Priority);
    write(&mut link, flow, 1, &payload(1000));
    run(&mut link).await;
    lanes.change(|network| network.opened[1].stopped = true);
    write(&mut link, flow, 1, &payload(1000));
    write(&mut link, flow, 2, &payload(1000));
    run(&mut link).await;
    assert!(lanes.network().opened[2].len() > 1000);
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_stops_the_control_lane_has_left() {
    let (mut link, lanes) = link();
    run(&mut link).await;
    lanes.change(|network| network.opened[0].stopped = true);
    open(&mut link, Priority::Priority);
    let end = timeout(Duration::from_millis(1), link.next()).await;
    assert!(matches!(end, Ok(Err(LinkError::Closed))), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_connection_ends_the_link() {
    let (mut link, lanes) = link();
    run(&mut link).await;
    lanes.change(|network| network.lost = true);
    assert!(matches!(link.next().await, Err(LinkError::TimedOut)));
}

#[tokio::test(start_paused = true)]
async fn what_may_come_unread_grows_with_the_windows_that_are_granted() {
    let (mut link, lanes) = link();
    lanes.change(|network| network.accepted.push_back(vec![Bytes::from_static(b"\0\x05\x10\0any")]));
    let Ok(Event::Opened { flow, .. }) = link.next().await else { panic!("no flow") };
    assert_eq!(lanes.network().unread, 0);
    for window in [1 << 20, 1 << 10] {
        link.flows().accept(flow, window);
        run(&mut link).await;
        assert_eq!(lanes.network().unread, 1 << 20);
    }
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_sends_without_end_does_not_keep_others_waiting() {
    let (mut link, lanes) = link();
    lanes.change(|network| {
        network.accepted.push_back(vec![Bytes::from_static(&[0])]);
        network.endless = true;
    });
    let others = async {
        for _ in 0..3 {
            yield_now().await;
        }
    };
    tokio::select! {
        biased;
        event = link.next() => panic!("unexpected {event:?}"),
        () = others => {}
    }
}

#[tokio::test(start_paused = true)]
async fn what_may_be_in_flight_follows_the_path() {
    let (mut link, lanes) = link();
    let flow = open(&mut link, Priority::Priority);
    let ms = Duration::from_millis;
    let unsent = 16 << 10;
    for (acks, rtt, congestion_window, limit) in [
        // 20 ms at least, and 50 ms more are accepted.
        (1, ms(20), 100_000, 100_000),
        (2, ms(70), 200_000, 200_000),
        (3, ms(140), 200_000, 100_000),
        (4, ms(7000), 200_000, 16 << 10),
        (5, ms(20), u64::MAX, 16 << 20),
    ] {
        lanes.change(|network| network.measured = Measured { rtt, least_rtt: ms(20), congestion_window, acks });
        write(&mut link, flow, 1, &payload(1));
        run(&mut link).await;
        assert_eq!(lanes.network().limit, limit + unsent, "{rtt:?}");
        assert_eq!((link.path().rtt, link.path().limit), (Some(rtt), limit));
        tokio::time::advance(rtt.max(ms(100))).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_path_on_which_nothing_is_acknowledged_is_sent_a_frame_a_second() {
    let (mut link, lanes) = link();
    let ms = Duration::from_millis;
    let flow = open(&mut link, Priority::Priority);
    let bytes = || lanes.network().opened.iter().map(Lane::len).sum::<usize>();
    let mut sent = Vec::new();
    for _ in 0..60 {
        let message = session::Message {
            payload: payload(100),
            group: GroupId(1),
            needs_previous: false,
            deadline: Deadline {
                start_by: Some(tokio::time::Instant::now().into_std() + ms(150)),
                ..Deadline::default()
            },
        };
        link.flows().write(flow, message).unwrap();
        run(&mut link).await;
        sent.push(bytes());
        tokio::time::advance(ms(49)).await;
    }
    let frames_from = |at: usize| sent.windows(2).skip(at).filter(|pair| pair[1] > pair[0]).count();
    // At 20 ms a round trip, 95 ms are too long.
    assert!(sent[1] > sent[0], "it is not stuck at once: {sent:?}");
    assert_eq!(frames_from(3), 2, "{sent:?}");
    lanes.network().measured.acks = 1;
    timeout(ms(11), link.next()).await.expect_err("nothing comes");
    assert!(bytes() > sent[59], "it goes on without anything new to send");
}

/// A link whose path has been stuck for a moment when a second frame is written.
async fn stuck(room: usize) -> (StreamLink<Lanes>, Lanes) {
    let (mut link, lanes) = link();
    let flow = open(&mut link, Priority::Priority);
    write(&mut link, flow, 1, &payload(100));
    run(&mut link).await;
    lanes.network().room = room;
    tokio::time::advance(Duration::from_millis(100)).await;
    write(&mut link, flow, 1, &payload(100));
    (link, lanes)
}

#[tokio::test(start_paused = true)]
async fn a_path_that_stays_stuck_is_asked_after_more_and_more_seldom() {
    let (mut link, lanes) = stuck(0).await;
    timeout(Duration::from_secs(60), link.next()).await.expect_err("nothing comes");
    let asked = lanes.network().asked;
    assert!((50..1000).contains(&asked), "{asked} times");
}

#[tokio::test(start_paused = true)]
async fn a_stuck_path_is_not_asked_after_while_nothing_waits_for_it() {
    let (mut link, lanes) = stuck(usize::MAX).await;
    // It takes what waits for a try.
    timeout(Duration::from_secs(2), link.next()).await.expect_err("nothing comes");
    let asked = lanes.network().asked;
    timeout(Duration::from_secs(60), link.next()).await.expect_err("nothing comes");
    // When it is called and when it is left.
    assert!(lanes.network().asked <= asked + 2, "{} times", lanes.network().asked - asked);
}

#[tokio::test(start_paused = true)]
async fn what_a_stuck_path_was_not_given_goes_before_the_goodbye() {
    let (mut link, lanes) = link();
    let flow = open(&mut link, Priority::Priority);
    for _ in 0..2 {
        write(&mut link, flow, 1, &payload(1000));
        run(&mut link).await;
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert!(lanes.network().opened[1].len() < 2000);
    link.close(CloseReason::GoingAway).await;
    assert!(lanes.network().opened[1].len() > 2000);
}

#[tokio::test(start_paused = true)]
async fn a_link_is_closed_for_a_reason_behind_what_was_queued() {
    let (mut link, lanes) = link();
    let flow = open(&mut link, Priority::Priority);
    write(&mut link, flow, 1, &payload(1000));
    link.close(CloseReason::GoingAway).await;
    let network = lanes.network();
    assert!(network.opened[1].len() > 1000 && network.opened[1].finished);
    assert!(!network.opened[0].finished, "its end would come before the reason");
    assert_eq!(network.closed, Some(CloseReason::GoingAway));
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_takes_nothing_is_told_and_left_within_a_second() {
    let (mut link, lanes) = link();
    lanes.change(|network| {
        network.settles = false;
        network.room = 100;
    });
    let (blocked, written) = (open(&mut link, Priority::Priority), open(&mut link, Priority::Immediate));
    write(&mut link, written, 1, &payload(10));
    write(&mut link, blocked, 1, &payload(1000));
    let since = Instant::now();
    link.close(CloseReason::Misbehaved).await;
    assert!(since.elapsed() <= Duration::from_secs(1));
    assert_eq!(lanes.network().closed, Some(CloseReason::Misbehaved));
}
