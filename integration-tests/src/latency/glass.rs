//! What browsers show: from the clock at the encoder to the clock when a browser paints. Browsers are driven from Node, by
//! `integration-tests/browser/latency/glass.js`; all of it shares the machine, and so its clock and processors.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::process::Process;

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
    /// Frames that came too late to be shown, since the page was opened.
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
    command.args([SCRIPT, "--browsers", &browsers.join(","), "--seconds", &seconds.to_string()]);
    let mut node = Process::start(command.env("HEADWATER_BIN", gateway).stdout(Stdio::piped()))?;
    let mut lines = BufReader::new(node.child.stdout.take().context("piped")?).lines();
    while let Some(line) = lines.next_line().await? {
        each(serde_json::from_str(&line).with_context(|| line.clone())?)?;
    }
    ensure!(node.child.wait().await?.success(), "browsers could not be driven; integration-tests/run.sh installs them");
    Ok(())
}
