//! What a viewer is given of a stream, and when.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytesize::ByteSize;

use super::double::{Heard, Viewer, append, append_sized, publish, registry};
use crate::broadcast::{Publisher, Registry};
use crate::clock::Clock;
use crate::delivery::Config;
use crate::session::SendFlow;
use crate::session::link::Link;
use crate::wire::amf0::Value;
use crate::wire::tc::{Command, Content, StreamId};

const SOON: Duration = Duration::from_millis(50);

/// The answer to `play`.
const ANSWER: [&str; 4] = ["begin:1", "NetStream.Play.Reset", "NetStream.Play.Start", "|RtmpSampleAccess"];

/// A viewer that plays `live/demo` and has heard nothing yet.
async fn starting(registry: &Registry) -> (Viewer, SendFlow) {
    let (mut viewer, flow) = Viewer::connected(registry, Config::default()).await;
    viewer.say(flow, "play", vec!["demo".into()]);
    (viewer, flow)
}

/// A viewer that plays `live/demo` and has heard as many messages as the answer has.
async fn playing(registry: &Registry) -> (Viewer, SendFlow) {
    let (mut viewer, flow) = starting(registry).await;
    for _ in ANSWER {
        viewer.hear().await;
    }
    (viewer, flow)
}

fn words(heard: &[Heard]) -> Vec<String> {
    heard.iter().map(Heard::word).collect()
}

#[tokio::test(start_paused = true)]
async fn a_joining_viewer_gets_the_newest_group_at_once() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('M', 0), ('A', 0), ('V', 0), ('K', 0), ('d', 40), ('K', 80), ('a', 90), ('d', 120)]);
    let (mut viewer, _) = starting(&registry).await;
    let mut heard = words(&viewer.record(SOON).await);
    heard.retain(|word| !ANSWER.contains(&word.as_str()));
    // Each flow is in order; between them there is none.
    heard.sort_by_key(|word| (word.starts_with(['V', 'K', 'd']), word.starts_with(['A', 'a'])));
    assert_eq!(heard, ["NetStream.Play.PublishNotify", "onMetaData", "A", "a90", "V", "K80", "d120"]);
}

#[tokio::test(start_paused = true)]
async fn audio_video_and_data_have_flows_of_their_own() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('M', 0), ('A', 0), ('V', 0), ('K', 0), ('a', 0)]);
    let (mut viewer, _) = starting(&registry).await;
    let heard = viewer.record(SOON).await;
    assert!(heard.iter().all(|heard| heard.stream == StreamId(1) || heard.word() == ANSWER[0]));
    let flow_of = |word: &str| heard.iter().find(|heard| heard.word() == word).unwrap().flow;
    assert_eq!(flow_of("A"), flow_of("a0"));
    assert_eq!(flow_of("V"), flow_of("K0"));
    assert_eq!(flow_of("onMetaData"), flow_of("NetStream.Play.PublishNotify"));
    assert!(flow_of("A") != flow_of("V") && flow_of("A") != flow_of("onMetaData"));
}

#[tokio::test(start_paused = true)]
async fn live_frames_are_passed_on_as_they_come() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0)]);
    let (mut viewer, _) = playing(&registry).await;
    viewer.words(SOON).await;
    for time in [40, 80, 120] {
        append(&mut publisher, &[('d', time)]);
        let heard = viewer.hear().await;
        assert_eq!((heard.word(), heard.at), (format!("d{time}"), Clock.now()));
    }
}

#[tokio::test(start_paused = true)]
async fn once_a_second_a_frame_comes_with_the_time_of_its_receipt_for_who_asks() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('A', 0), ('V', 0), ('K', 0)]);
    let (mut viewer, flow) = Viewer::connected(&registry, Config::default()).await;
    viewer.call(viewer.control, &Command::new("time", 4.0, vec![]));
    let clock = viewer.hear().await.command().argument(0).and_then(Value::as_f64).unwrap();
    tokio::time::advance(Duration::from_millis(7)).await;
    viewer.say(flow, "play", vec!["demo?clock=yes".into()]);
    let mut heard = viewer.record(SOON).await;
    for frame in 1..=60 {
        append(&mut publisher, &[('d', frame * 40), ('a', frame * 40)]);
        heard.extend(viewer.record(Duration::from_millis(40)).await);
    }
    let told = heard.iter().filter_map(|heard| match &heard.message.content {
        Content::Data(data) if data.name == "onClock" => Some((heard.message.timestamp, &data.values)),
        _ => None,
    });
    let told: Vec<_> = told
        .map(|(timestamp, values)| {
            assert_eq!(values[0].as_f64(), Some(f64::from(timestamp)));
            (timestamp, (values[1].as_f64().unwrap() - clock).round())
        })
        .collect();
    // It joined 7 ms and heard what was there for 50 ms; then a frame came each 40 ms, the first at once.
    assert_eq!(told, [(0, 0.0), (1000, 1017.0), (2000, 2017.0)]);
}

#[tokio::test(start_paused = true)]
async fn sound_from_long_before_the_viewer_is_left_out() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('A', 0), ('V', 0), ('K', 0), ('a', 0)]);
    tokio::time::advance(Duration::from_secs(1)).await;
    append(&mut publisher, &[('d', 1000), ('a', 1000)]);
    let (mut viewer, _) = playing(&registry).await;
    let heard = viewer.words(SOON).await;
    assert!(heard.contains("K0") && heard.contains("a1000") && !heard.contains("a0"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn syncs_surround_the_news_that_the_publisher_has_gone() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('A', 0), ('a', 0)]);
    let (mut viewer, _) = playing(&registry).await;
    viewer.words(SOON).await;
    drop(publisher);
    let heard = viewer.record(SOON).await;
    let of =
        |with: &dyn Fn(&Heard) -> bool| words(&heard.iter().filter(|heard| with(heard)).cloned().collect::<Vec<_>>());
    let data = heard.iter().find(|heard| heard.word() == "NetStream.Play.UnpublishNotify").unwrap().flow;
    assert_eq!(of(&|heard| heard.flow == data), ["sync:0/2", "NetStream.Play.UnpublishNotify", "sync:1/2"]);
    assert_eq!(of(&|heard| heard.flow != data), ["sync:0/2", "sync:1/2"]);
}

#[tokio::test(start_paused = true)]
async fn without_an_audio_flow_there_is_nothing_to_sync() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0)]);
    let (mut viewer, _) = playing(&registry).await;
    viewer.words(SOON).await;
    drop(publisher);
    assert_eq!(viewer.words(SOON).await, "NetStream.Play.UnpublishNotify");
}

#[tokio::test(start_paused = true)]
async fn a_returning_publisher_is_announced_and_begins_with_a_configuration() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0)]);
    let (mut viewer, _) = playing(&registry).await;
    viewer.words(SOON).await;
    drop(publisher);
    viewer.words(SOON).await;
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('d', 0), ('K', 40)]);
    let heard = viewer.record(SOON).await;
    assert_eq!(words(&heard)[..2], ["NetStream.Play.PublishNotify", "V"]);
    assert!(words(&heard)[2].starts_with('K') && heard[2].message.timestamp > 40, "time goes on");
}

#[tokio::test(start_paused = true)]
async fn a_repeated_configuration_is_not_passed_on() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0), ('d', 40), ('V', 80), ('d', 80)]);
    let (mut viewer, flow) = playing(&registry).await;
    viewer.words(SOON).await;
    viewer.say(flow, "pause", vec![true.into()]);
    viewer.words(SOON).await;
    append(&mut publisher, &[('V', 120), ('d', 120)]);
    viewer.say(flow, "pause", vec![false.into()]);
    assert_eq!(viewer.words(SOON).await, "K0 d40 d80 d120");
}

#[tokio::test(start_paused = true)]
async fn a_paused_viewer_gets_nothing_and_then_a_picture_at_once() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('A', 0), ('V', 0), ('K', 0), ('a', 0)]);
    let (mut viewer, flow) = playing(&registry).await;
    viewer.words(SOON).await;
    viewer.say(flow, "pause", vec![true.into()]);
    viewer.words(SOON).await;
    append(&mut publisher, &[('d', 40), ('a', 40), ('K', 80), ('a', 80), ('d', 120)]);
    assert_eq!(viewer.words(SOON).await, "");
    viewer.say(flow, "pause", vec![false.into()]);
    let heard = viewer.words(SOON).await;
    assert!(heard.contains("K80 d120") && heard.contains("a80"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn sound_is_not_given_twice() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('A', 0), ('V', 0), ('K', 0), ('a', 0), ('a', 20)]);
    let (mut viewer, flow) = playing(&registry).await;
    viewer.words(SOON).await;
    viewer.say(flow, "receiveVideo", vec![false.into()]);
    viewer.words(SOON).await;
    append(&mut publisher, &[('d', 40), ('a', 40)]);
    assert_eq!(viewer.words(SOON).await, "a40");
    viewer.say(flow, "receiveVideo", vec![true.into()]);
    assert_eq!(viewer.words(SOON).await, "K0 d40");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_without_sound_still_gets_pictures() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('A', 0), ('V', 0), ('K', 0), ('a', 0)]);
    let (mut viewer, flow) = playing(&registry).await;
    viewer.words(SOON).await;
    viewer.say(flow, "receiveAudio", vec![false.into()]);
    viewer.words(SOON).await;
    append(&mut publisher, &[('d', 40), ('a', 40)]);
    assert_eq!(viewer.words(SOON).await, "d40");
    viewer.say(flow, "receiveAudio", vec![true.into()]);
    viewer.words(SOON).await;
    append(&mut publisher, &[('d', 80), ('a', 80)]);
    assert_eq!(viewer.words(SOON).await, "a80 d80");
}

#[tokio::test(start_paused = true)]
async fn a_closed_stream_is_silent_and_can_play_again() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0)]);
    let (mut viewer, flow) = playing(&registry).await;
    viewer.words(SOON).await;
    viewer.say(flow, "closeStream", vec![]);
    viewer.words(SOON).await;
    append(&mut publisher, &[('d', 40)]);
    assert_eq!(viewer.words(SOON).await, "");
    viewer.say(flow, "play", vec!["demo".into()]);
    let heard = viewer.words(SOON).await;
    assert!(heard.starts_with("begin:1 NetStream.Play.Reset") && heard.ends_with("V K0 d40"), "{heard}");
}

#[tokio::test(start_paused = true)]
async fn two_streams_play_side_by_side() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0)]);
    let (mut viewer, _) = playing(&registry).await;
    viewer.call(viewer.control, &Command::new("createStream", 3.0, vec![]));
    viewer.words(SOON).await;
    let flow = viewer.open_stream_flow(StreamId(2));
    viewer.say(flow, "play", vec!["demo".into()]);
    viewer.words(SOON).await;
    append(&mut publisher, &[('d', 40)]);
    let heard = viewer.record(SOON).await;
    let mut streams: Vec<_> = heard.iter().map(|heard| heard.stream.0).collect();
    streams.sort_unstable();
    assert_eq!(streams, [1, 2]);
}

#[tokio::test(start_paused = true)]
async fn a_rejected_flow_is_not_opened_again() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0)]);
    let (mut viewer, _) = playing(&registry).await;
    let heard = viewer.record(SOON).await;
    let video = heard.iter().find(|heard| heard.word() == "K0").unwrap().flow;
    viewer.end.flows().reject(video, 0, "");
    viewer.words(SOON).await;
    append(&mut publisher, &[('d', 40), ('K', 80)]);
    assert_eq!(viewer.words(SOON).await, "");
}

/// Publishes 25 frames a second of `bytes` in groups of a second, and AAC's 50 of 200 bytes.
async fn broadcast(publisher: &mut Publisher, seconds: u64, bytes: usize) {
    append(publisher, &[('A', 0), ('V', 0)]);
    for tick in 0..seconds * 50 {
        let time = tick * 20;
        append_sized(publisher, 'a', time, 200);
        if tick % 2 == 0 {
            append_sized(publisher, if tick % 50 == 0 { 'K' } else { 'd' }, time, bytes);
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a viewer got of [`broadcast`], and how late.
struct Got {
    /// Audio frames.
    sound: usize,
    /// Video frames' times in ms.
    pictures: Vec<u32>,
    /// The longest delay of a frame that was published in this second.
    delays: Vec<Duration>,
}

/// Broadcasts 2.5 Mbit/s of video for `seconds` over a line that is `lines[second]` Mbit/s fast, or the last of them.
async fn over_lines(format: &str, lines: &'static [f64], seconds: u64) -> Got {
    let registry = registry();
    let mut publisher = publish(&registry);
    let (mut viewer, flow) = Viewer::connected(&registry, Config::default()).await;
    viewer.say(flow, "play", vec![format!("demo?format={format}").into()]);
    let start = Clock.now();
    let rate = viewer.rate.clone();
    let change = async {
        for mbits in lines {
            rate.store((mbits * 125_000.0) as u32, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
    };
    let heard = viewer.record(Duration::from_secs(seconds) + SOON);
    let (heard, (), ()) = tokio::join!(heard, broadcast(&mut publisher, seconds, 12_500), change);
    let mut got = Got { sound: 0, pictures: vec![], delays: vec![Duration::ZERO; seconds as usize] };
    for heard in heard {
        let word = heard.word();
        let Some(time) = word.strip_prefix(['a', 'K', 'd']).and_then(|time| time.parse::<u32>().ok()) else { continue };
        if word.starts_with('a') {
            got.sound += 1;
        } else {
            let begins = got.pictures.last().is_none_or(|last| last / 1000 != time / 1000);
            assert_eq!(begins, word.starts_with('K'), "a group begins with its key frame: {word}");
            got.pictures.push(time);
        }
        // Sound's own clock may be a little ahead.
        let last = got.delays.len() - 1;
        let longest = &mut got.delays[last.min(time as usize / 1000)];
        *longest = (*longest).max(heard.at - (start + Duration::from_millis(time.into())));
    }
    got
}

#[tokio::test(start_paused = true)]
async fn a_viewer_at_half_the_rate_keeps_its_sound_and_a_bounded_delay() {
    for format in ["raw", "fmp4"] {
        let got = over_lines(format, &[1.3], 20).await;
        assert!(got.sound > 950, "{} of 1000 audio frames", got.sound);
        assert!(got.pictures.len() > 500 / 3, "{} of 500 video frames", got.pictures.len());
        assert!(got.delays.iter().all(|delay| *delay < Duration::from_secs(1)), "{:?}", got.delays);
    }
}

#[tokio::test(start_paused = true)]
async fn the_delay_recovers_with_the_rate() {
    for format in ["raw", "fmp4"] {
        let got = over_lines(format, &[5.0, 5.0, 5.0, 1.3, 1.3, 1.3, 1.3, 1.3, 5.0], 12).await;
        assert!(got.delays[9..].iter().all(|delay| *delay < Duration::from_millis(100)), "{:?}", got.delays);
        assert_eq!(got.pictures.iter().filter(|time| **time >= 9000).count(), 75, "all pictures again");
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_line_recovers_in_a_second() {
    for format in ["raw", "fmp4"] {
        let got = over_lines(format, &[5.0, 5.0, 0.001, 0.001, 0.001, 5.0], 10).await;
        assert!(got.delays[6..].iter().all(|delay| *delay < Duration::from_millis(100)), "{:?}", got.delays);
        assert_eq!(got.pictures.iter().filter(|time| **time >= 6000).count(), 100, "all pictures again");
    }
}

/// Publishes for 40 s to a viewer whose line carries nothing from the 5th second on, and everything again from `until` on. Gives
/// the bytes of frames that were published before that and came after it, and the first of those published later.
async fn after_a_stall(until: Duration) -> (usize, Vec<String>) {
    let registry = registry();
    let mut publisher = publish(&registry);
    let (mut viewer, flow) = Viewer::connected(&registry, Config::default()).await;
    viewer.say(flow, "play", vec!["demo".into()]);
    let (rate, start) = (viewer.rate.clone(), Clock.now());
    let change = async {
        tokio::time::sleep(Duration::from_secs(5)).await;
        rate.store(0, Ordering::Relaxed);
        tokio::time::sleep(until - Duration::from_secs(5)).await;
        rate.store(u32::MAX, Ordering::Relaxed);
    };
    let heard = viewer.record(Duration::from_secs(40));
    let (heard, (), ()) = tokio::join!(heard, broadcast(&mut publisher, 40, 12_500), change);
    let late = heard.into_iter().filter(|heard| heard.at >= start + until);
    let (stale, live): (Vec<_>, Vec<_>) =
        late.partition(|heard| start + Duration::from_millis(heard.message.timestamp.into()) < start + until);
    let bytes = stale.iter().map(|heard| match &heard.message.content {
        Content::Audio(body) | Content::Video(body) => body.len(),
        _ => 0,
    });
    (bytes.sum(), words(&live))
}

#[tokio::test(start_paused = true)]
async fn a_viewer_that_was_stuck_hears_at_once_and_sees_from_a_young_or_the_next_key_frame_on() {
    for (until, key) in [(35_050, "d35080"), (35_150, "K36000"), (35_500, "K36000"), (35_990, "K36000")] {
        let (stale, live) = after_a_stall(Duration::from_millis(until)).await;
        assert!(stale < 200_000, "{stale} bytes from before {until} ms");
        assert!(live[0].starts_with('a'), "{}", live[0]);
        assert_eq!(live.iter().find(|word| !word.starts_with('a')).map(String::as_str), Some(key));
    }
}

#[tokio::test(start_paused = true)]
async fn a_queue_with_room_for_one_frame_still_passes_all() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0)]);
    let times: Vec<_> = (1..=40).map(|number| number * 10).collect();
    for time in &times {
        append_sized(&mut publisher, 'd', *time, 4000);
    }
    let config = Config { queue_bytes: ByteSize(0), ..Config::default() };
    let (mut viewer, flow) = Viewer::connected(&registry, config).await;
    viewer.rate.store(1_000_000, Ordering::Relaxed);
    viewer.say(flow, "play", vec!["demo".into()]);
    let heard = words(&viewer.record(Duration::from_secs(1)).await);
    assert_eq!(heard.iter().filter(|word| word.starts_with('d')).count(), times.len());
}

#[tokio::test(start_paused = true)]
async fn metadata_is_not_kept_from_a_paused_viewer() {
    let registry = registry();
    let mut publisher = publish(&registry);
    let (mut viewer, flow) = playing(&registry).await;
    viewer.say(flow, "pause", vec![Value::Boolean(true)]);
    viewer.words(SOON).await;
    append(&mut publisher, &[('M', 0)]);
    assert_eq!(viewer.words(SOON).await, "onMetaData");
}
