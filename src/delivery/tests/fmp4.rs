//! A stream played as fragmented MP4: what holds for `raw` holds.

use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::sleep;

use super::double::{Flowless, Heard, UNLIMITED, Viewer, append, append_sized, publish, registry};
use crate::broadcast::Registry;
use crate::delivery::{Config, Format};
use crate::session::SendFlow;
use crate::wire::tc::{Content, StreamId};
use crate::wire::tlv::Message;

const SOON: Duration = Duration::from_millis(50);

/// A viewer that plays `live/demo`, and all that it has heard.
async fn playing(registry: &Registry) -> (Viewer, SendFlow, Vec<Heard>) {
    let (mut viewer, flow) = Viewer::connected(registry, Config::default()).await;
    viewer.say(flow, "play", vec!["demo?format=fmp4".into()]);
    let heard = viewer.record(SOON).await;
    (viewer, flow, heard)
}

/// The words of what is media.
fn media(heard: &[Heard]) -> Vec<String> {
    let is_media = |word: &String| word.len() < 8 && word.starts_with(['V', 'A', 'K', 'd', 'a']);
    heard.iter().map(Heard::word).filter(is_media).collect()
}

#[tokio::test(start_paused = true)]
async fn a_joining_viewer_gets_headers_and_the_newest_group_on_flows_that_say_so() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('M', 0), ('A', 0), ('V', 0), ('K', 0), ('K', 80), ('a', 80), ('d', 120)]);
    let (_viewer, _, heard) = playing(&registry).await;
    let mut words = media(&heard);
    // Each flow is in order; between them there is none.
    words.sort_by_key(|word| word.starts_with(['V', 'K', 'd']));
    assert_eq!(words, ["A", "a80", "V", "K80", "d120"]);
    assert!(heard.iter().all(|heard| heard.stream == StreamId(1) || heard.word().starts_with("begin")));
    assert!(heard.iter().any(|heard| heard.word() == "onMetaData"), "data is on the conversation's flow");
    let start = heard.iter().find(|heard| heard.word() == "NetStream.Play.Start").unwrap();
    let delay = start.command().argument(0).unwrap().get("targetDelay").unwrap().as_u32();
    assert_eq!(delay, Some(1000), "what Media Source Extensions need");
}

#[tokio::test(start_paused = true)]
async fn a_connection_has_a_format_that_a_play_need_not_ask_for_and_may_refuse() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0)]);
    let (mut viewer, flow) = Viewer::served(&registry, Config::default(), Format::Fmp4).with_stream().await;
    for (name, packaged) in [("demo", true), ("demo?format=raw", false)] {
        viewer.say(flow, "play", vec![name.into()]);
        let heard = viewer.record(SOON).await;
        let key = heard.iter().find(|heard| heard.word() == "K0").unwrap();
        assert_eq!(matches!(key.message.content, Content::Other { .. }), packaged, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_new_configuration_is_sent_and_the_same_one_is_not() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0), ('d', 40), ('V', 80), ('d', 80)]);
    let (mut viewer, flow, heard) = playing(&registry).await;
    assert_eq!(media(&heard), ["V", "K0", "d40", "d80"]);
    viewer.say(flow, "pause", vec![true.into()]);
    viewer.words(SOON).await;
    append(&mut publisher, &[('V', 120), ('d', 120)]);
    viewer.say(flow, "pause", vec![false.into()]);
    assert_eq!(viewer.words(SOON).await, "K0 d40 d80 d120");
    append(&mut publisher, &[('A', 120)]);
    assert_eq!(viewer.words(SOON).await, "A");
}

#[tokio::test(start_paused = true)]
async fn a_viewer_without_pictures_gets_them_again_from_a_key_frame() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('A', 0), ('V', 0), ('K', 0), ('a', 0)]);
    let (mut viewer, flow, _) = playing(&registry).await;
    viewer.say(flow, "receiveVideo", vec![false.into()]);
    viewer.words(SOON).await;
    append(&mut publisher, &[('d', 40), ('a', 40)]);
    assert_eq!(viewer.words(SOON).await, "a40");
    viewer.say(flow, "receiveVideo", vec![true.into()]);
    assert_eq!(viewer.words(SOON).await, "K0 d40");
}

#[tokio::test(start_paused = true)]
async fn a_publisher_that_returns_begins_with_a_key_frame_and_with_headers_that_are_new() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0), ('a', 0)]);
    let (mut viewer, ..) = playing(&registry).await;
    drop(publisher);
    assert_eq!(viewer.words(SOON).await, "NetStream.Play.UnpublishNotify", "syncs are for RTMP messages");
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('A', 0), ('K', 0)]);
    let heard = viewer.record(SOON).await;
    assert!(heard.iter().any(|heard| heard.word() == "NetStream.Play.PublishNotify"));
    let words = media(&heard);
    assert!(words[0] == "A" && words[1].starts_with('K') && words.len() == 2, "{words:?}");
}

#[tokio::test(start_paused = true)]
async fn one_viewer_may_play_both_formats_one_after_the_other() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0)]);
    let (mut viewer, flow, heard) = playing(&registry).await;
    let packaged = heard.iter().find(|heard| heard.word() == "K0").unwrap().flow;
    viewer.say(flow, "play", vec!["demo".into()]);
    let heard = viewer.record(SOON).await;
    assert_eq!(media(&heard), ["V", "K0"]);
    assert_ne!(heard.iter().find(|heard| heard.word() == "K0").unwrap().flow, packaged);
    assert!(viewer.closed.contains(&packaged));
}

#[tokio::test(start_paused = true)]
async fn segments_of_several_frames_are_sent_when_they_are_complete() {
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0), ('K', 0)]);
    let config = Config { segment_frames: 2, ..Config::default() };
    let (mut viewer, flow) = Viewer::connected(&registry, config).await;
    viewer.say(flow, "play", vec!["demo?format=fmp4".into()]);
    assert_eq!(media(&viewer.record(SOON).await), ["V"]);
    append(&mut publisher, &[('d', 40), ('d', 80)]);
    assert_eq!(viewer.words(SOON).await, "K0");
}

/// A minute of 2.5 Mbit/s in virtual time. For 40 s of it one viewer stands still: it does not acknowledge, or its line takes
/// nothing. Another gets each frame when it is published.
async fn stalls(acknowledged: bool) {
    const KEY_EVERY: u64 = 60;
    const STANDS: u64 = 300;
    // In the middle of a group.
    const READS_AGAIN: u64 = 1530;
    let registry = registry();
    let mut publisher = publish(&registry);
    append(&mut publisher, &[('V', 0)]);
    let mut viewer = Flowless::playing(&registry, acknowledged);
    let mut other = Flowless::playing(&registry, acknowledged);
    sleep(Duration::from_millis(1)).await;
    let (mut behind, mut resumed) = (vec![], vec![]);
    for n in 0..1800 {
        let is_key = n % KEY_EVERY == 0;
        append_sized(&mut publisher, if is_key { 'K' } else { 'd' }, n * 33, if is_key { 75_000 } else { 9_300 });
        sleep(Duration::from_millis(33)).await;
        let frames = segments(&other.read());
        assert_eq!(frames, if is_key { vec![format!("K{}", n * 33)] } else { vec!["d".into()] }, "the other's, {n}");
        other.acknowledge();
        match n {
            STANDS => viewer.rate.store(if acknowledged { UNLIMITED } else { 0 }, Ordering::Relaxed),
            READS_AGAIN => viewer.rate.store(UNLIMITED, Ordering::Relaxed),
            _ => {}
        }
        let stands = (STANDS + 1..READS_AGAIN).contains(&n);
        if stands { &mut behind } else { &mut resumed }.extend(segments(&viewer.read()));
        if !stands {
            viewer.acknowledge();
        }
    }
    // What is queued when it fills up is one frame too much.
    let most = viewer.most_queued.load(Ordering::Relaxed);
    let bound = Config::default().queue_bytes.as_u64() as usize + 75_100;
    assert!(most <= bound, "{most} bytes waited");
    let resumed = &resumed[STANDS as usize + 1..];
    assert_eq!(resumed[0], "K51480", "it goes on with the next key frame");
    assert_eq!(resumed.len(), 240, "and misses nothing from there on");
    assert!(behind.len() < 300, "{} frames came while it stood still", behind.len());
}

/// The segments of video in short: `K` and the group's decode time, or `d`.
fn segments(messages: &[Message]) -> Vec<String> {
    let mut segments = vec![];
    let mut key = None;
    for message in messages {
        match message {
            Message::Keyframe { decode_time, .. } => key = Some(format!("K{decode_time}")),
            Message::Segment(_) => segments.push(key.take().unwrap_or_else(|| "d".into())),
            _ => {}
        }
    }
    segments
}

#[tokio::test(start_paused = true)]
async fn a_viewer_without_flows_that_does_not_acknowledge_costs_a_queue_and_goes_on_with_the_newest_group() {
    stalls(true).await;
}

#[tokio::test(start_paused = true)]
async fn a_viewer_without_flows_whose_line_is_stuck_costs_a_queue_and_goes_on_with_the_newest_group() {
    stalls(false).await;
}
