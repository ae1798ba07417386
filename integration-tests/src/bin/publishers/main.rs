//! Publishers that come and go, and many of them: what the viewers of a gateway of its own notice.
//!
//! ```text
//! cargo run --release -p integration-tests --bin publishers -- --kills 100
//! cargo run --release -p integration-tests --bin publishers -- --publishers 100 --viewers 5 --seconds 60
//! ```
//!
//! Exits with 1 when a promise is broken, and says which.

mod crowd;
mod kills;

use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use clap::{Parser, Subcommand};
use integration_tests::process::{GatewayProcess, built_gateway};
use serde::Serialize;
use tempfile::TempDir;

#[derive(Parser)]
#[command(about = "Publishers that come and go, and many of them")]
struct Arguments {
    /// Kills (SIGKILL) and restarts the one publisher so often, before the eyes of one viewer.
    #[arg(long, conflicts_with = "publishers")]
    kills: Option<usize>,
    /// Who is killed: FFmpeg, or this program.
    #[arg(long, value_enum, default_value_t = kills::Victim::Ffmpeg)]
    victim: kills::Victim,
    /// So many publishers at once.
    #[arg(long)]
    publishers: Option<usize>,
    /// Viewers of each of them.
    #[arg(long, default_value_t = 5)]
    viewers: usize,
    /// How long they are measured.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// Where to write the results, one JSON object a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The gateway's binary, when not the one beside this.
    #[arg(long)]
    gateway: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this binary is when it has started itself.
#[derive(Subcommand)]
#[command(hide = true)]
enum Role {
    #[command(hide = true)]
    Publish { server: SocketAddr, stream: String },
}

/// Where the results go besides standard output.
struct Results(Option<File>);

impl Results {
    fn add(&mut self, line: &impl Serialize) -> Result<()> {
        if let Some(file) = &mut self.0 {
            writeln!(file, "{}", serde_json::to_string(line)?)?;
        }
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if let Some(Role::Publish { server, stream }) = &arguments.role {
        kills::publish(*server, stream).await?;
        return Ok(ExitCode::SUCCESS);
    }
    ensure!(arguments.kills.is_some() || arguments.publishers.is_some(), "say --kills or --publishers");
    let binary = match &arguments.gateway {
        Some(path) => path.canonicalize()?,
        None => built_gateway().await?,
    };
    let mut results = Results(arguments.json.as_ref().map(File::create).transpose()?);
    let folder = TempDir::new()?;
    let gateway = GatewayProcess::start(&binary, folder.path()).await?;
    let broken = if let Some(kills) = arguments.kills {
        kills::run(&gateway, arguments.victim, kills, &mut results).await?
    } else {
        let publishers = arguments.publishers.context("checked")?;
        crowd::run(&gateway, (publishers, arguments.viewers), Duration::from_secs(arguments.seconds), &mut results)
            .await?
    };
    gateway.process.terminate().await?;
    for promise in &broken {
        println!("broken: {promise}");
    }
    if broken.is_empty() {
        println!("every promise was kept");
    }
    Ok(if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The names of the promises that do not hold.
fn broken<'a>(promises: &[(&'a str, bool)]) -> Vec<&'a str> {
    promises.iter().filter(|(_, holds)| !holds).map(|(name, _)| *name).collect()
}
