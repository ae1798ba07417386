//! A slow line: sound goes on, pictures are given up by groups.

use super::*;

/// Plays `seconds` of 30 frames a second in groups of 2 s with sound over `pair`; frames are written as they come.
fn play(pair: &mut Pair, seconds: u64, frame_len: usize) -> (SendFlow, SendFlow) {
    let flows = pair.left.session.flows();
    let audio = flows.open(Bytes::from_static(b"a"), Priority::Immediate, None).unwrap();
    let video = flows.open(Bytes::from_static(b"v"), Priority::Priority, None).unwrap();
    for step in 0..seconds * 30 {
        let group = step / 60 + 1;
        let is_key = step % 60 == 0;
        if is_key {
            let by = Some(pair.now + 100 * MS);
            let deadline = Deadline { start_by: by, finish_by: by };
            pair.left.session.flows().expire(video, GroupId(group), deadline);
        }
        let len = if is_key { frame_len * 6 } else { frame_len };
        let mut payload = vec![b'v'; len];
        payload[1..9].copy_from_slice(&step.to_be_bytes());
        let message = frame(pair, group, is_key, payload, 500 * MS);
        pair.left.session.flows().write(video, message).unwrap();
        let mut payload = vec![b'a'; 200];
        payload[1..9].copy_from_slice(&step.to_be_bytes());
        let message = Message { group: GroupId(1), needs_previous: false, ..frame(pair, 1, true, payload, 800 * MS) };
        pair.left.session.flows().write(audio, message).unwrap();
        pair.run_for(33 * MS);
    }
    (audio, video)
}

fn came(pair: &Pair, track: u8) -> Vec<(Duration, u64)> {
    let messages = pair.right.events.iter().filter_map(|(at, event)| Some((*at, mux::message_of(event)?)));
    let of_track = messages.filter(|(_, payload)| payload[0] == track);
    of_track.map(|(at, payload)| (at, u64::from_be_bytes(payload[1..9].try_into().unwrap()))).collect()
}

/// A line of `rate` bytes a second with 20 ms of delay and as much jitter, whose window is 100 ms of it.
fn line(rate: u64) -> Pair {
    let mut pair = Pair::new();
    pair.right.accepts = Some(4 << 20);
    pair.left.line.rate = Some(rate);
    pair.left.line.window = usize::try_from(rate / 10).unwrap();
    for side in [&mut pair.left, &mut pair.right] {
        side.line.delay = 20 * MS;
        side.line.jitter = 20 * MS;
    }
    pair
}

#[test]
fn a_line_with_room_loses_nothing() {
    let mut pair = line(1_000_000);
    play(&mut pair, 10, 8000);
    pair.run_for(1000 * MS);
    assert_eq!((came(&pair, b'a').len(), came(&pair, b'v').len()), (300, 300));
    assert_eq!(
        (pair.left.opened(), pair.left.resets(), pair.right.lost()),
        (6, 0, 0),
        "a lane each group, one for sound"
    );
}

#[test]
fn sound_goes_on_over_a_slow_line_while_pictures_are_given_up() {
    let mut pair = line(120_000);
    play(&mut pair, 20, 8000);
    pair.run_for(2000 * MS);
    let (audio, video) = (came(&pair, b'a'), came(&pair, b'v'));
    assert!(audio.len() > 594, "{} of 600", audio.len());
    assert!((60..500).contains(&video.len()), "{} of 600", video.len());
    for (at, step) in audio {
        let age = at.saturating_sub(33 * MS * u32::try_from(step).unwrap());
        assert!(age < 300 * MS, "frame {step} came after {age:?}");
    }
    assert!(pair.left.session.flows().abandoned() > 0);
}

#[test]
fn pictures_that_come_late_are_none() {
    let mut pair = line(120_000);
    play(&mut pair, 20, 8000);
    pair.run_for(2000 * MS);
    for (at, step) in came(&pair, b'v') {
        let age = at.saturating_sub(33 * MS * u32::try_from(step).unwrap());
        assert!(age < 1000 * MS, "frame {step} came after {age:?}");
    }
}

#[test]
fn every_group_of_a_line_that_is_too_slow_begins_with_its_key_frame() {
    let mut pair = line(120_000);
    play(&mut pair, 20, 8000);
    pair.run_for(2000 * MS);
    let steps: Vec<u64> = came(&pair, b'v').into_iter().map(|(_, step)| step).collect();
    assert!(steps.is_sorted());
    for pair in steps.windows(2) {
        assert!(pair[1] == pair[0] + 1 || pair[1] % 60 == 0, "{} behind {}", pair[1], pair[0]);
    }
    let keys = steps.iter().filter(|step| **step % 60 == 0).count();
    assert!(keys >= 9, "{keys} of 10");
}

#[test]
fn after_a_stall_the_newest_group_comes_first() {
    let mut pair = line(500_000);
    let (_, video) = play(&mut pair, 1, 8000);
    let now = pair.now;
    pair.left.line.stall(now, 1500 * MS);
    for step in 30..60_u64 {
        let mut payload = vec![b'v'; 8000];
        payload[1..9].copy_from_slice(&step.to_be_bytes());
        let message = frame(&pair, 1, false, payload, 500 * MS);
        pair.left.session.flows().write(video, message).unwrap();
        pair.run_for(33 * MS);
    }
    let mut payload = vec![b'v'; 40_000];
    payload[1..9].copy_from_slice(&1000_u64.to_be_bytes());
    let message = frame(&pair, 2, true, payload, 2000 * MS);
    pair.left.session.flows().write(video, message).unwrap();
    let before = came(&pair, b'v').len();
    pair.run_for(2000 * MS);
    let after = &came(&pair, b'v')[before..];
    let (at, _) = after.iter().find(|(_, step)| *step == 1000).expect("the key frame came");
    assert!(*at < 990 * MS + 1500 * MS + 350 * MS, "what the transport had, and 40 kB, at 500 kB a second: {at:?}");
    assert_eq!(after.last().unwrap().1, 1000, "nothing older comes behind it");
}

#[test]
fn a_peer_that_gets_nothing_is_sent_for_within_bounds() {
    let mut pair = line(120_000);
    let now = pair.now;
    pair.left.line.stall(now, 100_000 * MS);
    play(&mut pair, 60, 8000);
    assert!(pair.left.opened() - pair.left.resets() < 20, "{} {}", pair.left.opened(), pair.left.resets());
    assert!(pair.left.session.flows().queued() < 512 << 10);
}
