//! What was seen against what was sent.

use anyhow::{Context, Result, ensure};
use headwater::media::Track;

use crate::clip::Sent;
use crate::viewer::{Kind, Record};

/// Checks that a track came without a hole: every frame from the first that was seen to the last, in order, its bytes as they
/// were sent. Gives out by how many milliseconds its timestamps were moved, all of them by the same.
///
/// # Errors
/// Says which frame is wrong.
pub fn unbroken(sent: &[Sent], seen: &Record, track: Track) -> Result<u32> {
    let sent: Vec<_> = sent.iter().filter(|sent| sent.tag.track == track).collect();
    let seen: Vec<_> = seen.track(track).collect();
    let starts = 0..=sent.len().saturating_sub(seen.len());
    let common =
        |start: usize| sent[start..].iter().zip(&seen).take_while(|(sent, seen)| sent.tag.body == seen.body).count();
    let start = starts.max_by_key(|start| common(*start)).context("nothing was sent")?;
    let first_wrong = common(start);
    ensure!(!seen.is_empty(), "no {track:?} was seen");
    ensure!(first_wrong == seen.len(), "{track:?} frame {first_wrong} of {} is not the one that was sent", seen.len());
    let moved = seen[0].timestamp.wrapping_sub(sent[start].tag.timestamp);
    for (seen, sent) in seen.iter().zip(&sent[start..]) {
        let now = seen.timestamp.wrapping_sub(sent.tag.timestamp);
        ensure!(now == moved, "{track:?} at {} was moved by {now} ms, those before by {moved}", sent.tag.timestamp);
    }
    Ok(moved)
}

/// Checks what a decoder relies on: each track's configuration comes before its frames, and video begins with a key frame.
///
/// # Errors
/// Says which frame is wrong.
pub fn decodable_from_the_start(seen: &Record) -> Result<()> {
    for track in [Track::Video, Track::Audio] {
        let mut of_track = seen.frames.iter().filter(|frame| frame.track == track);
        let Some(first) = of_track.next() else { continue };
        ensure!(first.kind == Kind::Configuration, "{track:?} begins with {:?}", first.kind);
        let then = of_track.find(|frame| frame.kind != Kind::Configuration);
        let is_right = then.is_none_or(|frame| track == Track::Audio || frame.kind == Kind::Key);
        ensure!(is_right, "the first frame of video is {:?}", then.map(|frame| frame.kind));
    }
    Ok(())
}
