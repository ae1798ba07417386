//! One publisher, killed and restarted; one viewer, which stays.

use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use headwater::media::Track;
use integration_tests::clip::{Clip, Live, Stamps, Tag};
use integration_tests::ffmpeg::{Ffmpeg, demo_clip};
use integration_tests::process::{GatewayProcess, Process};
use integration_tests::publisher::Publisher;
use integration_tests::stamp::monotonic;
use integration_tests::transport::Transport;
use integration_tests::viewer::{Kept, Kind, Record, Recorder};
use serde::Serialize;
use tokio::process::Command;
use tokio::time::timeout;

use crate::{Results, broken};

const STREAM: &str = "live/kills";
const PUBLISHED: &str = "NetStream.Play.PublishNotify";
const UNPUBLISHED: &str = "NetStream.Play.UnpublishNotify";
/// Frames of each track before the next kill, and how many more at most: the kills meet the stream at every phase.
const FRAMES: usize = 45;
const PHASES: usize = 30;
/// After the end was told: what the other flows still hold comes within it.
const REST: Duration = Duration::from_millis(100);
/// How far sound and picture may be apart, in ms.
const APART: f64 = 45.0;

/// Who is killed. Both publish the demo's clip as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Victim {
    /// FFmpeg, `-c copy`.
    Ffmpeg,
    /// This program.
    Own,
}

/// What the viewer saw of one publisher.
#[derive(Debug, Default, Serialize)]
struct Turn {
    turn: usize,
    /// From the publisher's start to the viewer's first key frame.
    back_ms: f64,
    /// From the last frame of the publisher before to that key frame, by the clock.
    away_ms: f64,
    /// The same by the timestamps.
    jump_ms: i32,
    frames: usize,
    frames_missing: usize,
    gaps_named: u64,
    frames_unknown: usize,
    timestamps_backwards: usize,
    /// By how much sound and picture moved against each other on the time line since the publisher's clip.
    apart_on_time_line_ms: f64,
    /// By how much one of them came later than the other, in the median.
    apart_on_arrival_ms: f64,
    publish_notifies: usize,
    unpublish_notifies: usize,
}

/// All turns together; of lengths of time the largest.
#[derive(Serialize)]
struct Summary {
    victim: Victim,
    kills: usize,
    reconnects: usize,
    publish_notifies: usize,
    unpublish_notifies: usize,
    frames: usize,
    frames_missing: usize,
    gaps_named: u64,
    frames_unknown: usize,
    timestamps_backwards: usize,
    apart_on_time_line_ms: f64,
    apart_on_arrival_ms: f64,
    back_ms: f64,
}

/// The killed program's part: publishes until it is.
pub(crate) async fn publish(server: SocketAddr, stream: &str) -> Result<()> {
    let live = Live::new(Clip::demo()?, Stamps::None, 0);
    let _publisher = Publisher::start(server, stream, live).await?;
    std::future::pending().await
}

/// Gives out which promises were broken.
pub(crate) async fn run(
    gateway: &GatewayProcess,
    victim: Victim,
    kills: usize,
    results: &mut Results,
) -> Result<Vec<&'static str>> {
    println!("turn  back ms  away ms  jump ms  frames  missing  named  apart ms (time line, arrival)");
    let clip = Clip::demo()?;
    let mut viewer = Recorder::play(gateway.websocket, Transport::Ws, STREAM).await?;
    let (mut turns, mut reconnects) = (Vec::new(), 0);
    let mut last: Option<(u32, Duration)> = None;
    // The publisher after the last of them is watched too, and ends as they did.
    for turn in 0..=kills {
        let start = monotonic();
        let publisher = Running::start(victim, gateway.rtmp)?;
        let enough = FRAMES + turn * 7 % PHASES;
        let both =
            |seen: &Record| [Track::Audio, Track::Video].iter().all(|track| seen.track(*track).count() >= enough);
        let watched = match viewer.until(both).await {
            Ok(_) => {
                publisher.kill().await?;
                viewer.until(|seen| count(seen, UNPUBLISHED) > 0).await.map(|_| ())
            }
            Err(error) => Err(error),
        };
        if let Err(error) = watched {
            if viewer.record.end.is_none() {
                return Err(error.context(format!("turn {turn}")));
            }
            println!("turn {turn}: {error:#}");
            reconnects += 1;
            viewer = Recorder::play(gateway.websocket, Transport::Ws, STREAM).await?;
            last = None;
            continue;
        }
        timeout(REST, viewer.until(|_| false)).await.ok();
        let seen = std::mem::take(&mut viewer.record);
        let turn = Turn { turn, ..examine(&clip, &seen, start, last)? };
        println!(
            "{:4} {:8.0} {:8.0} {:8} {:7} {:8} {:6} {:10.1} {:8.1}",
            turn.turn,
            turn.back_ms,
            turn.away_ms,
            turn.jump_ms,
            turn.frames,
            turn.frames_missing,
            turn.gaps_named,
            turn.apart_on_time_line_ms,
            turn.apart_on_arrival_ms,
        );
        results.add(&turn)?;
        turns.push(turn);
        let newest = media(&seen).reduce(|a, b| if later(a.timestamp, b.timestamp) >= 0 { b } else { a });
        last = newest.map(|frame| (frame.timestamp, frame.received)).or(last);
    }
    let summary = summarize(victim, kills, reconnects, &turns);
    println!("{}", serde_json::to_string(&summary)?);
    results.add(&summary)?;
    Ok(broken(&[
        ("the viewer stays connected", reconnects == 0),
        ("each start is told once", turns.iter().all(|turn| turn.publish_notifies == 1)),
        ("each end is told once", turns.iter().all(|turn| turn.unpublish_notifies == 1)),
        ("each frame that is missing is named", turns.iter().all(|turn| turn.frames_missing as u64 <= turn.gaps_named)),
        ("every frame is one of the clip's", summary.frames_unknown == 0),
        ("no timestamp goes backwards", summary.timestamps_backwards == 0),
        ("sound and picture stay within 45 ms on the time line", summary.apart_on_time_line_ms <= APART),
        ("sound and picture come within 45 ms of each other", summary.apart_on_arrival_ms <= APART),
    ]))
}

fn summarize(victim: Victim, kills: usize, reconnects: usize, turns: &[Turn]) -> Summary {
    let sum = |of: fn(&Turn) -> usize| turns.iter().map(of).sum();
    let max = |of: fn(&Turn) -> f64| turns.iter().map(of).fold(0.0, f64::max);
    Summary {
        victim,
        kills,
        reconnects,
        publish_notifies: sum(|turn| turn.publish_notifies),
        unpublish_notifies: sum(|turn| turn.unpublish_notifies),
        frames: sum(|turn| turn.frames),
        frames_missing: sum(|turn| turn.frames_missing),
        gaps_named: turns.iter().map(|turn| turn.gaps_named).sum(),
        frames_unknown: sum(|turn| turn.frames_unknown),
        timestamps_backwards: sum(|turn| turn.timestamps_backwards),
        apart_on_time_line_ms: max(|turn| turn.apart_on_time_line_ms),
        apart_on_arrival_ms: max(|turn| turn.apart_on_arrival_ms),
        back_ms: max(|turn| turn.back_ms),
    }
}

enum Running {
    Ffmpeg(Ffmpeg),
    Own(Process),
}

impl Running {
    fn start(victim: Victim, server: SocketAddr) -> Result<Self> {
        Ok(match victim {
            Victim::Ffmpeg => Self::Ffmpeg(Ffmpeg::copy(server, STREAM, &demo_clip())?),
            Victim::Own => {
                let mut command = Command::new(std::env::current_exe()?);
                command.args(["publish", &server.to_string(), STREAM]).stdin(Stdio::null());
                Self::Own(Process::start(&mut command)?)
            }
        })
    }

    /// SIGKILL.
    async fn kill(self) -> Result<()> {
        match self {
            Self::Ffmpeg(ffmpeg) => ffmpeg.kill().await,
            Self::Own(mut process) => Ok(process.child.kill().await?),
        }
    }
}

/// `last`: the newest frame of the publisher before, its timestamp and when it came.
fn examine(clip: &Clip, seen: &Record, start: Duration, last: Option<(u32, Duration)>) -> Result<Turn> {
    let first = seen.of(Kind::Key).next().context("no key frame")?;
    let mut turn = Turn {
        back_ms: milliseconds(first.received.saturating_sub(start)),
        away_ms: last.map_or(0.0, |(_, received)| milliseconds(first.received.saturating_sub(received))),
        jump_ms: last.map_or(0, |(timestamp, _)| later(timestamp, first.timestamp)),
        gaps_named: seen.gaps.iter().map(|(_, messages)| messages).sum(),
        publish_notifies: count(seen, PUBLISHED),
        unpublish_notifies: count(seen, UNPUBLISHED),
        ..Turn::default()
    };
    let (mut shifts, mut arrivals) = (Vec::new(), Vec::new());
    for track in [Track::Audio, Track::Video] {
        let tags: Vec<_> = clip.frames.iter().filter(|tag| tag.track == track).collect();
        let (mut expected, mut newest) = (None, last.map(|(timestamp, _)| timestamp));
        let mut delays = Vec::new();
        for frame in seen.track(track) {
            turn.frames += 1;
            turn.timestamps_backwards += usize::from(newest.is_some_and(|newest| later(newest, frame.timestamp) < 0));
            newest = Some(frame.timestamp);
            delays.push(milliseconds(frame.received) - f64::from(frame.timestamp));
            let Some(distance) = distance(&tags, expected.unwrap_or(0), frame) else {
                turn.frames_unknown += 1;
                continue;
            };
            // What came before the first is not missing: video begins with a key frame.
            turn.frames_missing += if expected.is_some() { distance } else { 0 };
            let at = expected.unwrap_or(0) + distance;
            expected = Some(at + 1);
            let loops = (at / tags.len()) as u32 * clip.duration;
            shifts.push(frame.timestamp.wrapping_sub(tags[at % tags.len()].timestamp + loops).cast_signed());
        }
        delays.sort_unstable_by(f64::total_cmp);
        arrivals.push(*delays.get(delays.len() / 2).with_context(|| format!("no {track:?}"))?);
    }
    let [audio, video] = arrivals[..] else { bail!("two tracks") };
    turn.apart_on_arrival_ms = (audio - video).abs();
    let (Some(least), Some(most)) = (shifts.iter().min(), shifts.iter().max()) else { bail!("no frame of the clip") };
    turn.apart_on_time_line_ms = f64::from(most.wrapping_sub(*least));
    Ok(turn)
}

/// How many frames after the expected one of the looped clip this one is.
fn distance(tags: &[&Tag], expected: usize, frame: &Kept) -> Option<usize> {
    (0..tags.len()).find(|distance| tags[(expected + distance) % tags.len()].body == frame.body)
}

fn media(seen: &Record) -> impl Iterator<Item = &Kept> {
    [Track::Audio, Track::Video].into_iter().flat_map(|track| seen.track(track))
}

/// By how much `b` is later than `a`, across a wrap.
fn later(a: u32, b: u32) -> i32 {
    b.wrapping_sub(a).cast_signed()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn count(record: &Record, code: &str) -> usize {
    record.statuses.iter().filter(|status| *status == code).count()
}
