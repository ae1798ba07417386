//! Reads media segments: what a stranger to the gateway finds in their boxes.
//!
//! | specification | section |
//! |---|---|
//! | ISO/IEC 14496-12 (ISO base media file format) | §4.2 boxes, §8.8 movie fragments, §8.16.5 reference times |

use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use bytes::{Buf, Bytes};
use headwater::media::Track;

use crate::stamp::Stamp;

/// A segment of one track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fragment {
    /// In the track's timescale.
    pub decode_time: u64,
    /// Its frames.
    pub samples: Vec<Sample>,
    /// When it came to the gateway, if it says so.
    pub reference: Option<Reference>,
}

/// When a frame came to the gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reference {
    /// Its presentation time, in the track's timescale.
    pub media_time: u64,
    /// By the gateway's clock.
    pub wall: SystemTime,
}

/// A frame of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// A decoder may begin with it.
    pub is_sync: bool,
    /// The frame, as the codec has it.
    pub data: Bytes,
}

impl Fragment {
    /// Reads `moof` and `mdat`.
    ///
    /// # Errors
    /// When a box is cut or missing, or says less of the samples than the gateway says of each.
    pub fn read(segment: &Bytes) -> Result<Self> {
        let mut found = Found::default();
        found.read(segment.clone())?;
        let mut data = found.data.context("no mdat")?;
        let cut = |(is_sync, len): (bool, usize)| {
            ensure!(len <= data.len(), "mdat is too short");
            Ok(Sample { is_sync, data: data.split_to(len) })
        };
        let samples = found.samples.into_iter().map(cut).collect::<Result<_>>()?;
        ensure!(data.is_empty(), "{} bytes of mdat are nobody's", data.len());
        let decode_time = found.decode_time.context("no tfdt")?;
        Ok(Self { decode_time, samples, reference: found.reference })
    }
}

/// What has been read of a segment.
#[derive(Default)]
struct Found {
    decode_time: Option<u64>,
    /// Of each whether it's a sync sample, and its length.
    samples: Vec<(bool, usize)>,
    data: Option<Bytes>,
    reference: Option<Reference>,
}

impl Found {
    fn read(&mut self, mut boxes: Bytes) -> Result<()> {
        while let Some((name, mut body)) = next_box(&mut boxes)? {
            match &name {
                b"moof" | b"traf" => self.read(body)?,
                b"tfdt" => {
                    let version = body.try_get_u32()? >> 24;
                    let time = if version == 0 { body.try_get_u32()?.into() } else { body.try_get_u64()? };
                    self.decode_time = Some(time);
                }
                b"trun" => self.samples = read_run(body)?,
                b"mdat" => self.data = Some(body),
                b"prft" => self.reference = Some(read_reference(body)?),
                _ => {}
            }
        }
        Ok(())
    }
}

impl Sample {
    /// The publisher's stamp in it.
    pub fn stamp(&self, track: Track) -> Option<Stamp> {
        if track == Track::Video { Stamp::of_picture(&self.data) } else { Stamp::of_sound(&self.data) }
    }
}

/// The next box's name and body.
fn next_box(boxes: &mut Bytes) -> Result<Option<([u8; 4], Bytes)>> {
    let Some((&[a, b, c, d, ref name @ ..], _)) = boxes.split_first_chunk::<8>() else {
        ensure!(boxes.is_empty(), "a box of {} bytes", boxes.len());
        return Ok(None);
    };
    let (name, len) = (<[u8; 4]>::try_from(&name[..])?, u32::from_be_bytes([a, b, c, d]) as usize);
    ensure!((8..=boxes.len()).contains(&len), "a box of {len} bytes, {} are there", boxes.len());
    let mut body = boxes.split_to(len);
    body.advance(8);
    Ok(Some((name, body)))
}

fn read_reference(mut body: Bytes) -> Result<Reference> {
    /// Between the beginnings of NTP's and Unix's time (RFC 5905, §6).
    const NTP_TO_UNIX: u64 = 2_208_988_800;
    let version = body.try_get_u32()? >> 24;
    let (_track, seconds, fraction) = (body.try_get_u32()?, body.try_get_u32()?, body.try_get_u32()?);
    let media_time = if version == 0 { body.try_get_u32()?.into() } else { body.try_get_u64()? };
    let seconds = u64::from(seconds).checked_sub(NTP_TO_UNIX).context("before 1970")?;
    let since = Duration::from_secs_f64(f64::from(fraction) / 2f64.powi(32)) + Duration::from_secs(seconds);
    Ok(Reference { media_time, wall: SystemTime::UNIX_EPOCH + since })
}

/// Of each sample whether it's a sync sample, and its length. Defined by: ISO/IEC 14496-12, §8.8.8.
fn read_run(mut body: Bytes) -> Result<Vec<(bool, usize)>> {
    const OFFSET: u32 = 1;
    const FIRST_FLAGS: u32 = 4;
    const DURATION: u32 = 0x100;
    const SIZE: u32 = 0x200;
    const FLAGS: u32 = 0x400;
    const COMPOSITION: u32 = 0x800;
    const NON_SYNC: u32 = 0x1_0000;
    let (fields, count) = (body.try_get_u32()? & 0xff_ffff, body.try_get_u32()?);
    let mut field = |name| if fields & name > 0 { body.try_get_u32().map(Some) } else { Ok(None) };
    field(OFFSET)?;
    let first_flags = field(FIRST_FLAGS)?;
    let mut samples = Vec::new();
    for n in 0..count {
        field(DURATION)?;
        let (size, flags) = (field(SIZE)?, field(FLAGS)?.or(first_flags.filter(|_| n == 0)));
        field(COMPOSITION)?;
        let flags = flags.context("a sample without flags")?;
        samples.push((flags & NON_SYNC == 0, size.context("a sample without a size")? as usize));
    }
    Ok(samples)
}
