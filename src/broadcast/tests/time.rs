//! Time goes on whatever publishers do, and sound stays with picture: raw timestamps in, what viewers read out.

use super::*;

/// How far apart sound and picture may be. Defined by: ITU-R BT.1359, which finds 45 ms of early sound noticeable.
const IN_STEP_MS: i64 = 45;

const VIDEO: u8 = 9;
const AUDIO: u8 = 8;

/// A stream, what publishes it, and a viewer that stays.
struct Scene {
    registry: Registry,
    path: StreamPath,
    begin: Instant,
    encoder: Option<(Publisher, Intake)>,
    viewer: Subscriber,
    /// Number of the present run of the encoder's clock, and of the one that the viewer saw last.
    era: u8,
    seen: u8,
    told: Vec<String>,
    /// The viewer's newest times, of audio and video.
    newest: [i64; 2],
    /// The last video frame's era, and how far its time is from its moment.
    video: Option<(u8, i64)>,
}

impl Scene {
    fn new() -> Self {
        let registry = Registry::new(Config::default());
        let path = StreamPath::new("live", "x").unwrap();
        let viewer = registry.subscribe(&path);
        let (told, newest, video) = (vec![], [0; 2], None);
        Self { registry, path, begin: Instant::now(), encoder: None, viewer, era: 0, seen: 0, told, newest, video }
    }

    fn publish(&mut self, at: u64) {
        let publisher = self.registry.publish(&self.path, self.begin + Duration::from_millis(at)).unwrap();
        self.encoder = Some((publisher, Intake::default()));
    }

    /// From `from` on for two seconds, video comes each 40 ms and audio each 20, of moments `audio_lead` ms later. The
    /// encoder's clock shows `raw` at the beginning.
    fn run(&mut self, from: u64, raw: u32, audio_lead: i32) {
        self.era += 1;
        for step in (0u32..2000).step_by(20) {
            let at = from + u64::from(step);
            if step % 40 == 0 {
                let head = if step % 1000 == 0 { 0x17 } else { 0x27 };
                self.send(VIDEO, raw.wrapping_add(step), at, &[head, 1, 0, 0, 0], at as i64);
            }
            let raw = raw.wrapping_add(step).wrapping_add_signed(audio_lead);
            self.send(AUDIO, raw, at, &[0xaf, 1], at as i64 + i64::from(audio_lead));
        }
    }

    /// A frame whose content says to which era and moment it belongs.
    fn send(&mut self, message_type: u8, raw: u32, at: u64, head: &[u8], moment: i64) {
        let mut message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
        message.extend_from_slice(head);
        message.extend_from_slice(&[self.era]);
        message.extend_from_slice(&moment.to_be_bytes());
        let (publisher, intake) = self.encoder.as_mut().unwrap();
        let unit = intake.read(message_type, raw, message).unwrap().unwrap();
        publisher.append(unit, self.begin + Duration::from_millis(at)).unwrap();
        self.watch();
    }

    /// Reads what there is for the viewer, and checks it.
    fn watch(&mut self) {
        while let Some(item) = self.viewer.try_next() {
            match item {
                Item::Frame(frame) if frame.track == Track::Data => {
                    let data = crate::wire::tc::Data::decode(&frame.message[MESSAGE_HEADER_LEN..]).unwrap();
                    self.told.push(data.name);
                }
                Item::Frame(frame) => self.check(&frame),
                other => self.told.push(format!("{other:?}")),
            }
        }
    }

    fn check(&mut self, frame: &Frame) {
        let (head, moment) = frame.message.split_last_chunk::<8>().unwrap();
        let (era, time) = (head[head.len() - 1], i64::try_from(frame.timestamp.millis()).unwrap());
        let offset = time - i64::from_be_bytes(*moment);
        let newest = &mut self.newest[usize::from(frame.track == Track::Video)];
        assert!(*newest <= time, "{:?} went back from {newest} to {time} in era {era}", frame.track);
        *newest = time;
        match self.video {
            _ if frame.track == Track::Video => self.video = Some((era, offset)),
            Some((of, video)) if of == era => {
                assert!((video - offset).abs() <= IN_STEP_MS, "era {era} at {time}: {}", video - offset);
            }
            _ => {}
        }
        self.seen = era;
    }

    /// Ends the scene: data messages and changes of publishers, by name.
    fn told(self) -> Vec<String> {
        assert_eq!(self.seen, self.era, "the viewer saw all");
        self.told
    }
}

/// Sound may be early, late or neither.
const LEADS: [i32; 3] = [0, 40, -40];

#[test]
fn a_returning_publisher_keeps_time_and_step() {
    for lead in LEADS {
        let mut scene = Scene::new();
        scene.publish(0);
        scene.run(0, 5000, lead);
        scene.encoder = None;
        scene.publish(5000);
        scene.run(5000, 40, lead);
        assert_eq!(scene.told(), ["Online", "Offline", "Online"]);
    }
}

#[test]
fn a_publisher_that_takes_over_keeps_time_and_step() {
    for lead in LEADS {
        for raw in [40, 1_000_000, u32::MAX - 100] {
            let mut scene = Scene::new();
            scene.publish(0);
            scene.run(0, 5000, lead);
            scene.publish(2000);
            scene.run(2000, raw, lead);
            assert_eq!(scene.told(), ["Online", "Offline", "Online"]);
        }
    }
}

#[test]
fn a_hundred_publishers_one_after_the_other_keep_time_and_step() {
    let mut scene = Scene::new();
    for turn in 0..100 {
        scene.publish(turn * 2500);
        scene.run(turn * 2500, (turn as u32).wrapping_mul(0x3456_7890), LEADS[turn as usize % 3]);
        scene.encoder = None;
        scene.watch();
    }
    assert_eq!(scene.told(), ["Online", "Offline"].repeat(100));
}

#[test]
fn a_clock_that_wraps_around_keeps_time_and_step() {
    for wrap in [u32::MAX - 999, (1 << 24) - 1000] {
        for lead in LEADS {
            let mut scene = Scene::new();
            scene.publish(0);
            scene.era = 1;
            for step in (0u32..4000).step_by(20) {
                let mask = if wrap < 1 << 24 { (1 << 24) - 1 } else { u32::MAX };
                let raw = wrap.wrapping_add(step) & mask;
                let at = u64::from(step);
                if step % 40 == 0 {
                    let head = if step % 1000 == 0 { 0x17 } else { 0x27 };
                    scene.send(VIDEO, raw, at, &[head, 1, 0, 0, 0], at as i64);
                }
                let audio = raw.wrapping_add_signed(lead) & mask;
                scene.send(AUDIO, audio, at, &[0xaf, 1], at as i64 + i64::from(lead));
            }
            assert_eq!(scene.told(), ["Online"], "no discontinuity");
        }
    }
}

#[test]
fn an_encoder_that_resets_its_clock_keeps_time_and_step_and_viewers_are_told() {
    for lead in LEADS {
        for (before, after) in [(3_600_000, 40), (40, 3_600_000), (9000, 10_000), (40, u32::MAX - 500)] {
            let mut scene = Scene::new();
            scene.publish(0);
            scene.run(0, before, lead);
            scene.run(2000, after, lead);
            assert_eq!(scene.told(), ["Online", DISCONTINUITY], "{before} → {after}, {lead}");
        }
    }
}

#[test]
fn tracks_that_keep_different_clocks_are_no_flood_of_announcements() {
    let mut stream = Stream::new(Config::default());
    let mut viewer = stream.subscribe();
    let mut announced = 0;
    for at in (0..2000).step_by(20) {
        let now = stream.start + Duration::from_millis(at);
        let publisher = stream.publisher.as_mut().unwrap();
        publisher.append(unit('K', at), now).unwrap();
        publisher.append(unit('a', at + 90_000), now).unwrap();
        announced += words(&mut viewer).matches(DISCONTINUITY).count();
    }
    assert_eq!(announced, 2, "one a second");
}

#[test]
fn a_gap_in_video_is_left_out_up_to_the_next_key_frame_and_sound_goes_on() {
    let read = |intake: &mut Intake, message_type, body: &[u8]| {
        let mut message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
        message.extend_from_slice(body);
        intake.read(message_type, 0, message).unwrap().is_some()
    };
    let (key, delta, sound) = ([0x17, 1, 0, 0, 0, 1], [0x27, 1, 0, 0, 0, 1], [0xaf, 1, 1]);
    let mut intake = Intake::default();
    intake.handle_gap(Track::Audio);
    assert!(read(&mut intake, VIDEO, &delta), "of audio nothing depends");
    intake.handle_gap(Track::Video);
    assert!(!read(&mut intake, VIDEO, &delta));
    assert!(read(&mut intake, AUDIO, &sound));
    assert!(read(&mut intake, VIDEO, &key));
    assert!(read(&mut intake, VIDEO, &delta));
}
