//! What browsers show: from the clock at the encoder to the clock when a browser paints. Browsers are driven from Node, by
//! `integration-tests/browser/latency/glass.js`; all of it shares the machine, and so its clock and processors.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/browser/latency/glass.js");

/// One way in one browser. Times are in milliseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Glass {
    /// chromium, firefox or webkit.
    pub browser: String,
    /// The player's name of the transport.
    pub transport: String,
    /// What decoded: webcodecs or mse.
    pub decode: String,
    /// Pictures that were read.
    pub pictures: u64,
    /// Those that could not be.
    pub spoilt: u64,
    /// Delay.
    pub p50_ms: f64,
    /// As above.
    pub p95_ms: f64,
    /// The longest.
    pub max_ms: f64,
    /// The player's target at the end, and what it had in its buffer.
    pub target_ms: f64,
    /// As above.
    pub buffer_ms: f64,
    /// Frames that were not shown since the page was opened: by WebCodecs those that came too late, by Media Source the browser's own count.
    pub dropped: u64,
}

/// Measures each way that `browsers` have, for `seconds` each, and gives it to `each`.
///
/// # Errors
/// When a browser is missing or shows nothing; those of `each`.
pub async fn measure(
    gateway: &Path,
    browsers: &[String],
    seconds: u64,
    mut each: impl FnMut(Glass) -> Result<()>,
) -> Result<()> {
    let mut command = Command::new("node");
    command.args([SCRIPT, "--attended", "--browsers", &browsers.join(","), "--seconds", &seconds.to_string()]);
    // Not killed: it ends all that it has started when its standard input ends, which it does with this process in any case.
    let node = command.env("HEADWATER_BIN", gateway).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut node = node.context("node can't be started: integration-tests/run.sh installs it")?;
    let mut lines = BufReader::new(node.stdout.take().context("piped")?).lines();
    while let Some(line) = lines.next_line().await? {
        each(serde_json::from_str(&line).with_context(|| line.clone())?)?;
    }
    ensure!(node.wait().await?.success(), "browsers could not be driven; integration-tests/run.sh installs them");
    Ok(())
}
