//! One publisher and its viewers, with the time passed in.

mod order;
mod packaged;
mod time;
mod wake;

use std::time::{Duration, Instant};

use bytes::BytesMut;
use bytesize::ByteSize;

use super::*;
use crate::media::{MESSAGE_HEADER_LEN, Unit};

/// A publisher whose units come when their timestamps say.
struct Stream {
    registry: Registry,
    path: StreamPath,
    publisher: Option<Publisher>,
    start: Instant,
}

impl Stream {
    fn new(config: Config) -> Self {
        let mut stream = Self {
            registry: Registry::new(config),
            path: StreamPath::new("live", "x").unwrap(),
            publisher: None,
            start: Instant::now(),
        };
        stream.publish();
        stream
    }

    fn publish(&mut self) {
        self.publisher = Some(self.registry.publish(&self.path, self.start).unwrap());
    }

    fn subscribe(&self) -> Subscriber {
        self.registry.subscribe(&self.path)
    }

    fn append(&mut self, unit: Unit) {
        let now = self.start + Duration::from_millis(unit.timestamp.millis());
        self.publisher.as_mut().unwrap().append(unit, now).unwrap();
    }

    fn units(&mut self, units: &[(char, u64)]) {
        for &(kind, at) in units {
            self.append(unit(kind, at));
        }
    }
}

/// `V`, `A` configurations, `M` metadata, `K` key frame, `d` delta, `a` audio.
fn unit(kind: char, at: u64) -> Unit {
    let (track, unit_kind, text) = match kind {
        'V' => (Track::Video, UnitKind::Configuration, "V".into()),
        'W' => (Track::Video, UnitKind::Configuration, "W".into()),
        'A' => (Track::Audio, UnitKind::Configuration, "A".into()),
        'M' => (Track::Data, UnitKind::Metadata, "M".into()),
        'K' => (Track::Video, UnitKind::Key, format!("K{at}")),
        'd' => (Track::Video, UnitKind::Delta, format!("d{at}")),
        'a' => (Track::Audio, UnitKind::Audio, format!("a{at}")),
        other => panic!("no unit is called {other}"),
    };
    let mut message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
    message.extend_from_slice(text.as_bytes());
    Unit::new(track, unit_kind, Timestamp::from_millis(at), 0, message)
}

fn words(subscriber: &mut Subscriber) -> String {
    let mut words = Vec::new();
    while let Some(item) = subscriber.try_next() {
        words.push(match item {
            Item::Online => "online".into(),
            Item::Offline => "offline".into(),
            Item::Skipped { frames } => format!("skipped:{frames}"),
            Item::Frame(frame) => String::from_utf8_lossy(&frame.message[MESSAGE_HEADER_LEN..]).into_owned(),
        });
    }
    words.join(" ")
}

#[test]
fn a_joining_viewer_gets_the_newest_group_from_its_key_frame_at_once() {
    let mut stream = Stream::new(Config::default());
    stream.units(&[('M', 0), ('V', 0), ('A', 0), ('K', 0), ('d', 40), ('K', 80), ('a', 100), ('d', 120)]);
    assert_eq!(words(&mut stream.subscribe()), "online M V A K80 a100 d120");
}

#[test]
fn a_viewer_that_came_first_is_told_when_the_publisher_comes() {
    let mut stream = Stream::new(Config::default());
    stream.publisher = None;
    let mut viewer = stream.subscribe();
    assert_eq!(words(&mut viewer), "");
    stream.publish();
    assert_eq!(words(&mut viewer), "online");
    stream.units(&[('V', 0), ('K', 0)]);
    assert_eq!(words(&mut viewer), "V K0");
}

#[test]
fn every_viewer_reads_the_same_bytes() {
    let mut stream = Stream::new(Config::default());
    let mut viewers: Vec<_> = (0..200).map(|_| stream.subscribe()).collect();
    stream.units(&[('V', 0), ('K', 0), ('d', 40)]);
    let read: Vec<Vec<*const u8>> = viewers
        .iter_mut()
        .map(|viewer| {
            std::iter::from_fn(|| viewer.try_next())
                .filter_map(|item| match item {
                    Item::Frame(frame) => Some(frame.message.as_ptr()),
                    Item::Online | Item::Offline | Item::Skipped { .. } => None,
                })
                .collect()
        })
        .collect();
    assert_eq!(read[0].len(), 3);
    assert!(read.iter().all(|pointers| *pointers == read[0]));
}

#[test]
fn a_viewer_that_lags_goes_on_with_the_newest_group() {
    let mut stream = Stream::new(Config::default());
    let mut viewer = stream.subscribe();
    stream.units(&[('V', 0), ('K', 0)]);
    assert_eq!(words(&mut viewer), "online V K0");
    stream.units(&[('d', 40), ('a', 50), ('K', 400), ('d', 600)]);
    assert_eq!(words(&mut viewer), "skipped:2 K400 d600");
}

#[test]
fn a_viewer_within_max_lag_reads_on_into_the_newest_group() {
    let mut stream = Stream::new(Config::default());
    let mut viewer = stream.subscribe();
    stream.units(&[('V', 0), ('K', 0)]);
    assert_eq!(words(&mut viewer), "online V K0");
    stream.units(&[('d', 40), ('K', 400), ('d', 540)]);
    assert_eq!(words(&mut viewer), "d40 K400 d540");
}

#[test]
fn a_late_viewer_inside_the_newest_group_is_left_in_peace() {
    let mut stream = Stream::new(Config::default());
    let mut viewer = stream.subscribe();
    stream.units(&[('K', 0), ('d', 5000)]);
    assert_eq!(words(&mut viewer), "online K0 d5000");
}

#[test]
fn a_configuration_that_changed_while_skipping_is_told_before_the_key_frame() {
    let mut stream = Stream::new(Config::default());
    let mut viewer = stream.subscribe();
    stream.units(&[('V', 0), ('A', 0), ('K', 0)]);
    assert_eq!(words(&mut viewer), "online V A K0");
    stream.units(&[('d', 40), ('W', 1000), ('K', 1000)]);
    assert_eq!(words(&mut viewer), "skipped:2 W K1000");
}

#[test]
fn a_joining_viewer_gets_the_configuration_of_its_group_not_a_later_one() {
    let mut stream = Stream::new(Config::default());
    stream.units(&[('V', 0), ('K', 0), ('d', 40), ('W', 80)]);
    assert_eq!(words(&mut stream.subscribe()), "online V K0 d40 W");
}

#[test]
fn a_repeated_configuration_is_told_once() {
    let mut stream = Stream::new(Config::default());
    stream.units(&[('V', 0), ('K', 0), ('V', 40), ('d', 40)]);
    assert_eq!(words(&mut stream.subscribe()), "online V K0 d40");
}

#[test]
fn video_before_the_first_key_frame_is_left_out() {
    let mut stream = Stream::new(Config::default());
    let mut viewer = stream.subscribe();
    stream.units(&[('V', 0), ('d', 0), ('a', 20), ('K', 40)]);
    assert_eq!(words(&mut viewer), "online V a20 K40");
}

#[test]
fn a_returning_publisher_goes_on_in_time() {
    let mut stream = Stream::new(Config::default());
    let mut viewer = stream.subscribe();
    stream.units(&[('V', 0), ('K', 0), ('d', 40)]);
    stream.publisher = None;
    assert_eq!(words(&mut viewer), "online V K0 d40 offline");
    stream.publish();
    stream.start -= Duration::from_millis(6800);
    stream.units(&[('V', 7000), ('K', 7000)]);
    assert!(matches!(viewer.try_next(), Some(Item::Online)));
    let mut last = Timestamp::default();
    while let Some(Item::Frame(frame)) = viewer.try_next() {
        last = frame.timestamp;
    }
    assert_eq!(last, Timestamp::from_millis(200));
}

#[test]
fn the_newest_publisher_wins_and_the_one_before_learns_it() {
    let mut stream = Stream::new(Config::default());
    let mut viewer = stream.subscribe();
    stream.units(&[('V', 0), ('K', 0)]);
    let mut old = stream.publisher.take().unwrap();
    stream.publish();
    stream.units(&[('V', 0), ('K', 0)]);
    assert_eq!(old.append(unit('d', 40), stream.start), Err(Replaced));
    drop(old);
    assert_eq!(words(&mut viewer), "online V K0 offline online V K0");
}

#[test]
fn a_publisher_that_is_alive_keeps_others_out_if_that_is_the_rule() {
    let rules = PublisherRules { takeover: Takeover::Refuse, ..PublisherRules::default() };
    let registry = Registry::with_rules(Config::default(), rules);
    let (path, start) = (StreamPath::new("live", "x").unwrap(), Instant::now());
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut first = registry.publish(&path, start).unwrap();
    first.append(unit('K', 0), at(10)).unwrap();
    assert_eq!(registry.publish(&path, at(24)).unwrap_err(), Taken);
    assert_eq!(registry.streams(at(24))[0].online_for, Duration::from_secs(24), "the refused one leaves no trace");
    assert_eq!(first.append(unit('d', 40), at(24)), Ok(()));
    drop(first);
    registry.publish(&path, at(25)).unwrap();
}

#[test]
fn a_publisher_that_has_stalled_keeps_nobody_out() {
    let rules = PublisherRules { takeover: Takeover::Refuse, ..PublisherRules::default() };
    let registry = Registry::with_rules(Config::default(), rules);
    let (path, start) = (StreamPath::new("live", "x").unwrap(), Instant::now());
    let mut first = registry.publish(&path, start).unwrap();
    assert_eq!(first.stalls_at(), start + rules.idle_timeout);
    let second = registry.publish(&path, first.stalls_at()).unwrap();
    assert_eq!(first.append(unit('K', 0), first.stalls_at()), Err(Replaced));
    drop(first);
    assert_eq!(registry.streams(second.stalls_at()).len(), 1);
}

#[test]
fn a_skip_over_a_change_of_publishers_tells_both() {
    let mut stream = Stream::new(Config::default());
    let mut viewer = stream.subscribe();
    stream.units(&[('V', 0), ('K', 0)]);
    assert_eq!(words(&mut viewer), "online V K0");
    stream.units(&[('d', 40)]);
    stream.publisher = None;
    stream.publish();
    stream.start += Duration::from_secs(5);
    stream.units(&[('V', 0), ('K', 0)]);
    assert_eq!(words(&mut viewer), "skipped:4 offline online V K0");
}

#[test]
fn a_joining_viewer_waits_for_a_key_frame_when_the_group_outgrew_the_bounds() {
    let mut stream = Stream::new(Config { max_duration: Duration::from_secs(1), ..Config::default() });
    let mut early = stream.subscribe();
    stream.units(&[('V', 0), ('K', 0), ('d', 600), ('d', 1200)]);
    let mut viewer = stream.subscribe();
    stream.units(&[('a', 1210), ('d', 1300), ('K', 1400), ('d', 1500)]);
    assert_eq!(words(&mut viewer), "online V a1210 K1400 d1500");
    assert_eq!(words(&mut early), "online skipped:6 V K1400 d1500");
}

#[test]
fn a_stream_keeps_no_more_than_its_bytes() {
    let mut stream = Stream::new(Config { max_bytes: ByteSize::kib(64), ..Config::default() });
    let mut viewer = stream.subscribe();
    for at in 0..10_000 {
        stream.append(unit('a', at / 100));
    }
    let read = words(&mut viewer).split(' ').count();
    assert!((100..1000).contains(&read), "{read}");
}

#[test]
fn a_stream_without_video_starts_a_group_each_second() {
    let mut stream = Stream::new(Config::default());
    stream.append(unit('A', 0));
    for at in (0..2500).step_by(100) {
        stream.append(unit('a', at));
    }
    assert_eq!(words(&mut stream.subscribe()), "online A a2000 a2100 a2200 a2300 a2400");
}

#[test]
fn the_bit_rate_is_that_of_the_last_seconds() {
    let mut stream = Stream::new(Config::default());
    for at in (0..10_000).step_by(10) {
        stream.append(unit('a', at));
    }
    let now = stream.start + Duration::from_secs(10);
    let summary = &stream.registry.streams(now)[0];
    // 100 messages of 10 bytes a second.
    assert!((7_500..=8_500).contains(&summary.bits_per_second), "{summary:?}");
    assert_eq!(summary.frames, 1000);
}

#[test]
fn a_stream_is_described_by_its_configuration() {
    let mut stream = Stream::new(Config::default());
    let mut message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
    message.extend_from_slice(&[0xaf, 0, 0x11, 0x90]);
    stream.append(Unit::new(Track::Audio, UnitKind::Configuration, Timestamp::default(), 0, message));
    let audio = stream.registry.streams(stream.start)[0].audio.clone().unwrap();
    assert_eq!((audio.codec.as_str(), audio.sample_rate, audio.channels), ("mp4a.40.2", 48_000, 2));
}

#[tokio::test(start_paused = true)]
async fn waiting_viewers_are_woken_by_an_append() {
    let mut stream = Stream::new(Config::default());
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let mut viewer = stream.subscribe();
        tasks.spawn(async move {
            while !matches!(viewer.next().await, Item::Frame(frame) if frame.kind == UnitKind::Key) {}
        });
    }
    for _ in 0..300 {
        tokio::task::yield_now().await;
    }
    stream.units(&[('K', 0)]);
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_wait_loses_nothing() {
    let mut stream = Stream::new(Config::default());
    let mut viewer = stream.subscribe();
    assert!(matches!(viewer.next().await, Item::Online));
    assert!(tokio::time::timeout(Duration::from_secs(1), viewer.next()).await.is_err());
    stream.units(&[('K', 0)]);
    assert!(matches!(viewer.next().await, Item::Frame(_)));
    drop(stream);
    assert!(matches!(viewer.next().await, Item::Offline));
}
