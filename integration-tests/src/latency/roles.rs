//! The publisher's and the viewers' processes: on a link they live in different namespaces.
//!
//! Each says a line when it is under way, goes on until its standard input has a line or ends, and then reports as JSON.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use headwater::media::Track;
use serde::Serialize;
use tokio::io::{AsyncBufReadExt, BufReader, stdin};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::record::{Class, Frame, Seen};
use super::way::{Carrier, Way};
use crate::carrier::Dialer;
use crate::clip::{Clip, Live, Stamps};
use crate::publisher::Publisher;
use crate::stamp::{Stamp, monotonic};
use crate::tlv;
use crate::viewer::{self, PATIENCE, Viewer};

/// The stream that is measured.
pub const STREAM: &str = "live/latency";
/// How long a viewer may take for its first picture; over a line that lets nothing through it takes this long to know.
const JOIN_WITHIN: Duration = Duration::from_secs(12);
/// Said by the publisher once it is accepted.
pub const PUBLISHING: &str = "publishing";
/// Said by the viewers once all have had a key frame.
pub const JOINED: &str = "joined";

/// Publishes the stream to the gateway's RTMP port.
///
/// # Errors
/// When it is refused, or lost in the middle.
pub async fn publish(gateway: SocketAddr) -> Result<()> {
    let listening = async {
        while tokio::net::TcpStream::connect(gateway).await.is_err() {
            sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(PATIENCE, listening).await.context("the gateway does not listen")?;
    let live = Live::new(Clip::heavy()?, Stamps::All, 0);
    let publisher = Publisher::start(gateway, STREAM, live).await?;
    println!("{PUBLISHING}");
    told().await?;
    let log = publisher.log();
    publisher.stop().await?;
    let frames = log.all().into_iter().filter_map(|sent| {
        let class = Class::of(sent.tag.track, &sent.tag.body)?;
        let time = sent.stamp.sent;
        Some(Frame { class, sent: time, received: time, bytes: sent.tag.body.len() })
    });
    report(&frames.collect::<Vec<_>>())
}

/// Joins so many viewers, all on one way.
///
/// # Errors
/// When no socket can be had. What befalls a viewer is reported.
pub async fn watch(way: Way, gateway: SocketAddr, count: usize) -> Result<()> {
    let (joined, mut has_joined) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let mut viewers = JoinSet::new();
    for _ in 0..count {
        let (joined, mut stopped) = (joined.clone(), stopped.clone());
        viewers.spawn(async move {
            let mut seen = Seen { started: monotonic(), ..Seen::default() };
            let ended = tokio::select! {
                ended = follow(way, gateway, &mut seen, &joined) => ended,
                // The sender outlives the viewers.
                _ = stopped.wait_for(|stopped| *stopped) => Ok(()),
            };
            seen.ended = ended.err().map(|error| format!("{error:#}"));
            seen
        });
    }
    match timeout(JOIN_WITHIN, has_joined.wait_for(|joined| *joined == count)).await {
        Ok(_) => println!("{JOINED}"),
        Err(_) => println!("only {} of {count} have joined", *joined.borrow()),
    }
    told().await?;
    stop.send_replace(true);
    report(&viewers.join_all().await)
}

async fn follow(way: Way, gateway: SocketAddr, seen: &mut Seen, joined: &watch::Sender<usize>) -> Result<()> {
    let mut add = |class, stamp: Option<Stamp>, bytes: usize| {
        if class == Class::Key && seen.frames.iter().all(|frame| frame.class != Class::Key) {
            joined.send_modify(|joined| *joined += 1);
        }
        let received = monotonic();
        seen.frames.extend(stamp.map(|stamp| Frame { class, sent: stamp.sent, received, bytes }));
    };
    let mut class = Class::Other;
    let mut packaged = |message: &tlv::Message| match message {
        tlv::Message::Keyframe(..) => class = Class::Key,
        tlv::Message::Segment(segment) => {
            add(std::mem::replace(&mut class, Class::Other), Stamp::find(segment), segment.len());
        }
        tlv::Message::Audio(segment) => add(Class::Audio, Stamp::find(segment), segment.len()),
        tlv::Message::Init { .. } | tlv::Message::Metadata(_) => {}
    };
    match way.carrier {
        Carrier::Flows(transport) => {
            let mut viewer = Viewer::play_by(&Dialer::new(transport)?, gateway, STREAM).await?;
            loop {
                match viewer.next().await? {
                    viewer::Seen::Frame(frame) => {
                        let Some(class) = Class::of(frame.track, frame.body) else { continue };
                        let of = if frame.track == Track::Video { Stamp::of_video } else { Stamp::of_audio };
                        add(class, of(frame.body), frame.body.len());
                    }
                    viewer::Seen::Ended(end) => bail!("{end:?}"),
                    _ => {}
                }
            }
        }
        Carrier::Packaged(transport) => {
            let stream = format!("{STREAM}?format=fmp4");
            let mut viewer = Viewer::play_by(&Dialer::new(transport)?, gateway, &stream).await?;
            loop {
                match viewer.next().await? {
                    viewer::Seen::Packaged(messages) => messages.iter().for_each(&mut packaged),
                    viewer::Seen::Ended(end) => bail!("{end:?}"),
                    _ => {}
                }
            }
        }
        Carrier::Tlv(dialect, is_encrypted) => {
            let mut viewer = tlv::Viewer::play_over(gateway, is_encrypted, dialect, STREAM).await?;
            loop {
                packaged(&viewer.next().await?);
            }
        }
    }
}

/// Waits until the process that started this one says that it is time.
async fn told() -> Result<()> {
    BufReader::new(stdin()).lines().next_line().await?;
    Ok(())
}

fn report(what: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string(what)?);
    Ok(())
}
