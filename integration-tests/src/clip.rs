//! A short piece of stream, and the endless live stream that looping it makes.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes};
use headwater::media::Track;
use tokio::time::{Instant, sleep_until};

use crate::stamp::{Stamp, monotonic};

/// The demo's clip.
const DEMO: &[u8] = include_bytes!("../../src/demo/clip.flv");

/// One FLV tag.
#[derive(Debug, Clone)]
pub struct Tag {
    /// Its track.
    pub track: Track,
    /// Decode time in milliseconds from the clip's start.
    pub timestamp: u32,
    /// The tag body.
    pub body: Bytes,
}

/// What can be published: configurations first, then frames in order of their timestamps.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Decoder configurations, of each track that is there.
    pub configurations: Vec<Tag>,
    /// The frames.
    pub frames: Vec<Tag>,
    /// What one turn of the loop takes, in milliseconds.
    pub duration: u32,
}

impl Clip {
    /// The demo's clip: H.264 and AAC, a key frame each second.
    ///
    /// # Errors
    /// None, as long as the clip in the repository is an FLV file.
    pub fn demo() -> Result<Self> {
        Self::read(Bytes::from_static(DEMO))
    }

    /// 2.65 Mbit/s: 30 video frames a second, a key frame of eight times a delta frame's size each 2 s, and AAC's 46.9 audio frames.
    /// Framing and configurations are real, the pictures are noise.
    ///
    /// # Errors
    /// As [`Clip::demo`].
    pub fn heavy() -> Result<Self> {
        const SECONDS: u32 = 8;
        const GROUP: u32 = 60;
        const DELTA_LEN: usize = 2 * 2_500_000 / 8 / (GROUP as usize - 1 + 8);
        const AUDIO_LEN: usize = 400;
        let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
        let video = (0..SECONDS * 30).map(|n| {
            let key = n % GROUP == 0;
            // Real encoders' sizes vary; the mean is kept.
            let len = if key { 8 * DELTA_LEN } else { DELTA_LEN * (75 + noise.next() as usize % 51) / 100 };
            let mut body = vec![if key { 0x17 } else { 0x27 }, 1, 0, 0, 0];
            body.extend_from_slice(&(len as u32).to_be_bytes());
            body.push(if key { 0x65 } else { 0x41 });
            body.extend((1..len).map(|_| noise.next() | 1));
            Tag { track: Track::Video, timestamp: n * 1000 / 30, body: body.into() }
        });
        let mut frames: Vec<Tag> = video.collect();
        frames.extend((0..SECONDS * 48_000 / 1024).map(|n| {
            let mut body = vec![0xaf, 1];
            body.extend((0..AUDIO_LEN).map(|_| noise.next()));
            Tag { track: Track::Audio, timestamp: n * 1024 / 48, body: body.into() }
        }));
        frames.sort_by_key(|frame| frame.timestamp);
        Ok(Self { frames, duration: SECONDS * 1000, ..Self::demo()? })
    }

    /// Reads an FLV file. Metadata is left out.
    ///
    /// # Errors
    /// When it isn't one, or has fewer than two frames.
    pub fn read(mut flv: Bytes) -> Result<Self> {
        ensure!(flv.len() > 13 && flv.starts_with(b"FLV\x01"), "not an FLV file");
        flv.advance(13);
        let mut clip = Self { configurations: Vec::new(), frames: Vec::new(), duration: 0 };
        while flv.remaining() > 11 {
            let head = flv.get_u32();
            let len = (head & 0xff_ffff) as usize;
            let time = flv.get_u32();
            flv.advance(3);
            ensure!(flv.remaining() >= len + 4, "truncated tag");
            let body = flv.split_to(len);
            flv.advance(4);
            let track = match head >> 24 {
                8 => Track::Audio,
                9 => Track::Video,
                _ => continue,
            };
            let tag = Tag { track, timestamp: time.rotate_right(8), body };
            if tag.body.get(1) == Some(&0) { clip.configurations.push(tag) } else { clip.frames.push(tag) }
        }
        let of_one = |track| clip.frames.iter().filter(move |frame| frame.track == track);
        let track = if of_one(Track::Video).count() > 1 { Track::Video } else { Track::Audio };
        let count = of_one(track).count() as u32;
        let last = of_one(track).next_back().context("no frames")?.timestamp;
        ensure!(count > 1, "a loop needs two frames");
        clip.duration = (last * count).div_ceil(count - 1) / 10 * 10;
        Ok(clip)
    }

    /// The same without one of its tracks.
    #[must_use]
    pub fn without(mut self, track: Track) -> Self {
        self.configurations.retain(|tag| tag.track != track);
        self.frames.retain(|tag| tag.track != track);
        self
    }
}

/// Which frames of a [`Live`] stream carry a [`Stamp`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Stamps {
    /// None: every byte is the clip's.
    None,
    /// Video, which stays decodable.
    #[default]
    Video,
    /// Audio too, which nobody can decode then.
    All,
}

/// A frame that was sent.
#[derive(Debug, Clone)]
pub struct Sent {
    /// What was sent and with which timestamp.
    pub tag: Tag,
    /// When, and its number on its track.
    pub stamp: Stamp,
}

/// What has been sent of a [`Live`] stream. Clones show the same.
#[derive(Debug, Clone, Default)]
pub struct SentLog(Arc<Mutex<Vec<Sent>>>);

impl SentLog {
    /// All of it, in order.
    pub fn all(&self) -> Vec<Sent> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many frames were sent from `start` until just before `end`.
    pub fn between(&self, start: Duration, end: Duration) -> usize {
        self.all().iter().filter(|sent| (start..end).contains(&sent.stamp.sent)).count()
    }
}

/// A clip, looped without end, each frame when it is due.
#[derive(Debug)]
pub struct Live {
    clip: Clip,
    stamps: Stamps,
    first_timestamp: u32,
    epoch: Instant,
    turn: u32,
    next: usize,
    sequence: [u32; 2],
    log: SentLog,
}

impl Live {
    /// A stream that starts now, with `first_timestamp` on its first frame.
    pub fn new(clip: Clip, stamps: Stamps, first_timestamp: u32) -> Self {
        let epoch = Instant::now();
        Self { clip, stamps, first_timestamp, epoch, turn: 0, next: 0, sequence: [0; 2], log: SentLog::default() }
    }

    /// Shows what has been sent.
    pub fn log(&self) -> SentLog {
        self.log.clone()
    }

    /// Waits until the next frame is due. Cancel safe.
    pub async fn due(&self) {
        sleep_until(self.epoch + Duration::from_millis(self.elapsed().into())).await;
    }

    /// Stamps the next frame and gives it out.
    pub fn take(&mut self) -> Tag {
        let mut tag = self.clip.frames[self.next].clone();
        tag.timestamp = self.first_timestamp.wrapping_add(self.elapsed());
        let sequence = &mut self.sequence[usize::from(tag.track == Track::Video)];
        let stamp = Stamp { sent: monotonic(), sequence: *sequence };
        *sequence += 1;
        match (tag.track, self.stamps) {
            (Track::Video, Stamps::Video | Stamps::All) => tag.body = stamp.into_video(&tag.body),
            (Track::Audio, Stamps::All) => tag.body = stamp.over_audio(&tag.body),
            (Track::Audio | Track::Video | Track::Data, _) => {}
        }
        self.next += 1;
        if self.next == self.clip.frames.len() {
            (self.next, self.turn) = (0, self.turn + 1);
        }
        self.log.0.lock().unwrap_or_else(PoisonError::into_inner).push(Sent { tag: tag.clone(), stamp });
        tag
    }

    /// The decoder configurations, with the first frame's timestamp.
    pub fn configurations(&self) -> Vec<Tag> {
        let timestamp = self.first_timestamp;
        self.clip.configurations.iter().map(|tag| Tag { timestamp, ..tag.clone() }).collect()
    }

    /// Milliseconds from the start to the next frame.
    fn elapsed(&self) -> u32 {
        self.turn * self.clip.duration + self.clip.frames[self.next].timestamp
    }
}

/// Bytes without a pattern, the same each time (xorshift64).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u8 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 32) as u8
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_demo_clip_has_whole_frames_of_both_tracks() {
        let clip = Clip::demo().unwrap();
        let count = |track| clip.frames.iter().filter(|frame| frame.track == track).count();
        assert_eq!((count(Track::Video), count(Track::Audio)), (240, 375));
        assert_eq!(clip.configurations.len(), 2);
        assert_eq!(clip.duration, 8000);
    }

    #[test]
    fn the_heavy_clip_has_the_promised_rate() {
        let clip = Clip::heavy().unwrap();
        let bits = clip.frames.iter().map(|frame| frame.body.len() * 8).sum::<usize>();
        let rate = bits as f64 / f64::from(clip.duration) / 1000.0;
        assert!((2.6..2.7).contains(&rate), "{rate} Mbit/s");
    }

    #[tokio::test(start_paused = true)]
    async fn timestamps_go_on_when_the_clip_starts_over() {
        let clip = Clip::demo().unwrap().without(Track::Audio);
        let mut live = Live::new(clip, Stamps::Video, u32::MAX - 8000);
        let mut last = None;
        for n in 0..600 {
            live.due().await;
            let tag = live.take();
            assert_eq!(Stamp::of_video(&tag.body).unwrap().sequence, n);
            if let Some(last) = last {
                assert!((33..=34).contains(&tag.timestamp.wrapping_sub(last)));
            }
            last = Some(tag.timestamp);
        }
        assert_eq!(live.log().all().len(), 600);
    }
}
