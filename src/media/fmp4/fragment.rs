//! `Fragment`: `moof` and `mdat` of a few samples of one track.

use std::time::{Duration, SystemTime};

use bytes::{BufMut, Bytes, BytesMut};
use mp4_atom::{Encode, Mfhd, Moof, Prft, ReferenceTime, Tfdt, Tfhd, Traf, Trun, TrunEntry};

use super::TrackId;

/// Length of the header that starts an `mdat`: its length and its name.
const MDAT_HEADER_LEN: usize = 8;

/// A sample that depends on no other. Defined by: ISO/IEC 14496-12, §8.8.3.1.
const SYNC: u32 = 0x0200_0000;
/// A sample that depends on others, and is none to begin with.
const NON_SYNC: u32 = 0x0101_0000;

/// From 1900, where NTP's time begins, to 1970. Defined by: RFC 5905, §6.
const NTP_TO_UNIX: Duration = Duration::from_secs(2_208_988_800);

/// One coded frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// In the track's timescale.
    pub duration: u32,
    /// Presentation time minus decode time, in the track's timescale.
    pub composition: i32,
    /// A decoder may begin with it.
    pub sync: bool,
    /// The frame, as the codec has it.
    pub data: Bytes,
}

/// A media segment, its samples' bytes still shared with whoever else has them.
#[derive(Debug)]
pub struct Fragment {
    track: TrackId,
    decode_time: u64,
    /// `moof` and the start of `mdat`; before them `prft`, if there is one.
    head: BytesMut,
    samples: Vec<Sample>,
}

impl Fragment {
    /// A segment that begins at `decode_time`, in the track's timescale. `sequence` counts a track's segments.
    pub(super) fn new(track: TrackId, sequence: u32, decode_time: u64, samples: Vec<Sample>) -> Self {
        let mut moof = moof(track, sequence, decode_time, &samples);
        let mut head = encoded(&moof);
        // Known now that the box's length is.
        if let Some(run) = moof.traf.iter_mut().flat_map(|traf| &mut traf.trun).next() {
            run.data_offset = i32::try_from(head.len() + MDAT_HEADER_LEN).ok();
        }
        head = encoded(&moof);
        let len = MDAT_HEADER_LEN + samples.iter().map(|sample| sample.data.len()).sum::<usize>();
        // A sample came in an RTMP message, which is bounded far below this.
        head.put_u32(u32::try_from(len).unwrap_or(u32::MAX));
        head.put_slice(b"mdat");
        Self { track, decode_time, head, samples }
    }

    /// Says when the encoder gave its first sample, as far as is known here: a player finds how late it is. Only once.
    /// Defined by: ISO/IEC 14496-12, §8.16.5.
    pub fn refer(&mut self, wall: SystemTime) {
        let composition = self.samples.first().map_or(0, |sample| sample.composition);
        let reference = Prft {
            reference_track_id: self.track as u32,
            ntp_timestamp: ntp(wall),
            media_time: self.decode_time.saturating_add_signed(composition.into()),
            utc_time_semantics: ReferenceTime::Output,
        };
        let mut head = encoded(&reference);
        head.unsplit(std::mem::take(&mut self.head));
        self.head = head;
    }

    /// Bytes of the whole segment.
    #[expect(clippy::len_without_is_empty, reason = "there is no empty one")]
    pub fn len(&self) -> usize {
        self.head.len() + self.samples.iter().map(|sample| sample.data.len()).sum::<usize>()
    }

    /// Appends the segment to `out`.
    pub fn write(&self, out: &mut BytesMut) {
        out.put_slice(&self.head);
        for sample in &self.samples {
            out.put_slice(&sample.data);
        }
    }
}

fn moof(track: TrackId, sequence: u32, decode_time: u64, samples: &[Sample]) -> Moof {
    let has_composition = samples.iter().any(|sample| sample.composition != 0);
    let entry = |sample: &Sample| TrunEntry {
        duration: Some(sample.duration),
        // Bounded as in `Fragment::new`.
        size: u32::try_from(sample.data.len()).ok(),
        flags: Some(if sample.sync { SYNC } else { NON_SYNC }),
        cts: has_composition.then_some(sample.composition.into()),
    };
    let run = Trun { data_offset: Some(0), samples: samples.iter().map(entry).collect::<Vec<_>>().into() };
    Moof {
        mfhd: Mfhd { sequence_number: sequence },
        traf: vec![Traf {
            tfhd: Tfhd { track_id: track as u32, default_base_is_moof: true, ..Tfhd::default() },
            tfdt: Some(Tfdt { base_media_decode_time: decode_time }),
            trun: vec![run],
            ..Traf::default()
        }],
    }
}

fn encoded(atom: &impl Encode) -> BytesMut {
    let mut out = BytesMut::with_capacity(128);
    // Only offsets beyond 32 bits can't be encoded, and these are of 32.
    let _ = atom.encode(&mut out);
    out
}

/// In NTP's format: seconds, which begin again in 2036, and a fraction of 32 bits.
fn ntp(wall: SystemTime) -> u64 {
    let since = wall.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().saturating_add(NTP_TO_UNIX);
    (since.as_secs() << 32) | ((u64::from(since.subsec_nanos()) << 32) / 1_000_000_000)
}
