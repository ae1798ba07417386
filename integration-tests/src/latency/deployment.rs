//! A deployment's delay, with nothing installed there: the gateway's clock by its `time` command, and when frames came to it
//! by the pairs of timestamp and clock that `clock=yes` asks for.
//!
//! What is measured is from the gateway's taking a frame from the publisher to this viewer's message.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use tokio::time::{Instant, timeout};

use crate::transport::Transport;
use crate::viewer::{PATIENCE, Seen, Viewer};

/// How often the clock is asked for; the fastest answer counts.
const CALLS: usize = 8;

/// A deployment's delay over one transport.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    /// From the gateway's taking a frame to this viewer's message, ms, in order.
    pub delays_ms: Vec<f64>,
    /// By how much all of them may be off: half of the fastest call, ms.
    pub error_ms: f64,
}

/// What a page's address says: where to connect, and the stream.
///
/// # Errors
/// When it isn't `https://host[:port]/watch/app/name`, or the host is not known.
pub fn parse(url: &str) -> Result<(SocketAddr, String)> {
    let (scheme, rest) = url.split_once("://").context("an address has a scheme")?;
    let (host, path) = rest.split_once('/').context("an address has a path")?;
    let stream = path.strip_prefix("watch/").context("a page is /watch/app/name")?;
    ensure!(stream.matches('/').count() == 1, "a page is /watch/app/name");
    let port = match scheme {
        "http" => 80,
        "https" => 443,
        _ => anyhow::bail!("{scheme} is neither https nor http"),
    };
    let has_port = host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok());
    let host = if has_port { host.to_owned() } else { format!("{host}:{port}") };
    let server = host.to_socket_addrs()?.next().with_context(|| format!("{host} is not known"))?;
    Ok((server, stream.to_owned()))
}

/// Watches for so long.
///
/// # Errors
/// When the stream can't be played, or the gateway does not tell its clock.
pub async fn measure(server: SocketAddr, transport: Transport, stream: &str, length: Duration) -> Result<Deployment> {
    let asked = format!("{stream}?clock=yes");
    let joining = Viewer::play(server, transport, &asked);
    let mut viewer = timeout(PATIENCE, joining).await.context("no answer")??;
    // The gateway's clock when this one's was so, and half of the way there and back.
    let mut best: Option<(Instant, f64, Duration)> = None;
    for _ in 0..CALLS {
        let asked = Instant::now();
        let clock = viewer.time().await?;
        let error = asked.elapsed() / 2;
        if best.is_none_or(|(_, _, least)| error < least) {
            best = Some((asked + error, clock, error));
        }
    }
    let (at, clock, error) = best.context("the gateway does not tell its clock")?;
    let end = Instant::now() + length;
    let mut delays_ms = Vec::new();
    while Instant::now() < end {
        let next = timeout(PATIENCE, viewer.next()).await.context("nothing comes")??;
        let timestamp = match next {
            Seen::Frame(frame) => frame.timestamp,
            Seen::Ended(end) => anyhow::bail!("{end:?}"),
            _ => continue,
        };
        let now = clock + at.elapsed().as_secs_f64() * 1e3;
        if let Some((of, taken)) = viewer.clock_pair() {
            let since = f64::from(timestamp.wrapping_sub(of).cast_signed());
            delays_ms.push(now - (taken + since));
        }
    }
    viewer.leave().await?;
    ensure!(!delays_ms.is_empty(), "the gateway does not tell when frames came");
    delays_ms.sort_by(f64::total_cmp);
    Ok(Deployment { delays_ms, error_ms: error.as_secs_f64() * 1e3 })
}

impl Deployment {
    /// The delay of this share of the frames, ms.
    pub fn percentile(&self, share: f64) -> f64 {
        let rank = (self.delays_ms.len() as f64 * share).ceil() as usize;
        self.delays_ms.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pages_address_says_where_and_what() {
        let (server, stream) = parse("https://127.0.0.1:8443/watch/live/film").unwrap();
        assert_eq!((server, &*stream), (([127, 0, 0, 1], 8443).into(), "live/film"));
        assert_eq!(parse("http://127.0.0.1/watch/live/film").unwrap().0.port(), 80);
        for wrong in [
            "127.0.0.1/watch/live/film",
            "https://127.0.0.1/live/film",
            "https://127.0.0.1/watch/film",
            "ftp://a/watch/b/c",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
