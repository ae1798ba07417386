//! `Track`: frames → fragments, and the time line that both are on.

use bytes::Bytes;

use super::{Fragment, Sample, TrackId};
use crate::media::codec::{aac, avc};
use crate::media::flv::Coded;
use crate::media::time::Timestamp;

/// Most frames of a fragment, whatever is asked for: beyond, a viewer would rather have files.
const MAX_FRAMES: usize = 60;

/// Makes the fragments of one track, from its frames in decode order.
#[derive(Debug)]
pub struct Track {
    kind: Kind,
    /// Frames of a fragment.
    frames: usize,
    sequence: u32,
    /// What the next fragment holds so far, and where it begins.
    samples: Vec<Sample>,
    decode_time: u64,
    last: Option<Last>,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// In milliseconds: a picture comes when its publisher says.
    Avc { nal_length_size: u8 },
    /// In samples: sound has no gap where the milliseconds of RTMP were rounded.
    Aac { sample_rate: u32, frame_samples: Option<u32> },
}

/// The frame before, in the track's timescale.
#[derive(Debug, Clone, Copy)]
struct Last {
    decode_time: u64,
    duration: u32,
}

impl Track {
    /// A track of H.264 with this configuration, `frames` of it in each fragment (at least one, at most 60).
    pub fn avc(configuration: &avc::Configuration<'_>, frames: usize) -> Self {
        Self::new(Kind::Avc { nal_length_size: configuration.nal_length_size }, frames)
    }

    /// The same for AAC.
    pub fn aac(configuration: &aac::Configuration, frames: usize) -> Self {
        let &aac::Configuration { sample_rate, frame_samples, .. } = configuration;
        Self::new(Kind::Aac { sample_rate, frame_samples }, frames)
    }

    fn new(kind: Kind, frames: usize) -> Self {
        let frames = frames.clamp(1, MAX_FRAMES);
        Self { kind, frames, sequence: 0, samples: Vec::new(), decode_time: 0, last: None }
    }

    /// Takes a frame; gives the fragment that it completes. `shared` holds the bytes of `coded`.
    pub fn push(&mut self, timestamp: Timestamp, coded: Coded<'_>, shared: &Bytes) -> Option<Fragment> {
        let decode_time = self.decode_time(timestamp);
        let duration = self.duration(decode_time);
        if let (Some(before), Some(last)) = (self.samples.last_mut(), self.last) {
            // What was foretold is known now.
            before.duration = between(last.decode_time, decode_time);
        } else {
            self.decode_time = decode_time;
        }
        self.last = Some(Last { decode_time, duration });
        let (sync, composition) = match self.kind {
            Kind::Avc { nal_length_size } => (avc::is_random_access(coded.data, nal_length_size), coded.composition_ms),
            Kind::Aac { .. } => (true, 0),
        };
        self.samples.push(Sample { duration, composition, sync, data: shared.slice_ref(coded.data) });
        if self.samples.len() >= self.frames { self.finish() } else { None }
    }

    /// The fragment of what has been taken and is not complete: a group ends, or a configuration changes.
    pub fn finish(&mut self) -> Option<Fragment> {
        if self.samples.is_empty() {
            return None;
        }
        self.sequence = self.sequence.wrapping_add(1);
        let samples = std::mem::take(&mut self.samples);
        Some(Fragment::new(self.kind.id(), self.sequence, self.decode_time, samples))
    }

    /// Forgets what is not complete: frames are missing.
    pub fn skip(&mut self) {
        self.samples.clear();
    }

    /// Where a frame belongs, in the track's timescale. Never before the frame that came before it.
    fn decode_time(&self, timestamp: Timestamp) -> u64 {
        let at = match self.kind {
            Kind::Avc { .. } => timestamp.millis(),
            Kind::Aac { sample_rate, .. } => {
                // Of a clock that runs for three million years, without overflow.
                let scaled =
                    u128::from(timestamp.millis()) * u128::from(sample_rate) / u128::from(Timestamp::TIMESCALE);
                u64::try_from(scaled).unwrap_or(u64::MAX)
            }
        };
        let Some(last) = self.last else { return at };
        match self.kind {
            // Half of a frame is more than rounding, and less than a frame that is missing.
            Kind::Aac { frame_samples: Some(samples), .. } => {
                let next = last.decode_time.saturating_add(samples.into());
                let follows = at.abs_diff(next) <= u64::from(samples / 2);
                if follows { next } else { at.max(last.decode_time.saturating_add(1)) }
            }
            Kind::Avc { .. } | Kind::Aac { frame_samples: None, .. } => at.max(last.decode_time),
        }
    }

    /// How long a frame at `decode_time` will be: as long as the one before it was.
    fn duration(&self, decode_time: u64) -> u32 {
        match (self.kind, self.last) {
            (Kind::Aac { frame_samples: Some(samples), .. }, _) => samples,
            (_, Some(last)) => match between(last.decode_time, decode_time) {
                // Not that of a gap, and never nothing, which some decoders take for the end.
                distance if (1..=self.kind.timescale()).contains(&distance) => distance,
                _ => last.duration,
            },
            (kind, None) => kind.timescale() / 30,
        }
    }
}

impl Kind {
    fn id(self) -> TrackId {
        match self {
            Self::Avc { .. } => TrackId::Video,
            Self::Aac { .. } => TrackId::Audio,
        }
    }

    fn timescale(self) -> u32 {
        match self {
            Self::Avc { .. } => Timestamp::TIMESCALE,
            Self::Aac { sample_rate, .. } => sample_rate,
        }
    }
}

fn between(earlier: u64, later: u64) -> u32 {
    u32::try_from(later.saturating_sub(earlier)).unwrap_or(u32::MAX)
}
