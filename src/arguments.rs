//! The command line.

mod token;

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};
use clap::{Args, Parser, Subcommand};
use headwater::config::{self, Loaded};
use headwater::demo;
use headwater::gateway::Gateway;
use headwater::server::admin::Order;
use headwater::telemetry;
use tokio::signal;
use tokio::sync::{mpsc, oneshot};

use self::token::Token;

/// A live-video gateway: one RTMP stream in, every browser out.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until Ctrl-C or SIGTERM; SIGHUP has the configuration read again.
    Serve {
        /// The configuration, in YAML; without it everything is at its default.
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Serve a bundled clip as live/demo, and print the page that plays it.
    Demo {
        /// The page's port. Default: 443, or 8443 where 443 is refused.
        #[arg(long, value_name = "N")]
        port: Option<u16>,
        #[command(flatten)]
        settings: Settings,
    },
    /// Mint a signed token, as authority.tokens of a configuration verifies it, and print it.
    Token(Token),
    /// Say whether a configuration can be used, and if not, why.
    CheckConfig {
        /// The file.
        file: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Settings {
    /// Override one key of the configuration; may be given more than once.
    #[arg(long, value_name = "KEY.PATH=VALUE")]
    set: Vec<String>,
}

impl Arguments {
    /// Does what was asked for. An error means that the configuration can't be used.
    pub(crate) fn run(self) -> Result<()> {
        match self.command {
            Command::Serve { config, settings } => serve(config, settings.set),
            Command::Demo { port, settings } => demo(&config::load(None, &settings.set)?, port),
            Command::Token(token) => {
                let (token, id) = token.mint(SystemTime::now())?;
                eprintln!("to revoke it: {id}");
                writeln!(io::stdout(), "{}", token.reveal()).context("can't print the token")
            }
            Command::CheckConfig { file } => {
                config::load(Some(&file), &[])?;
                println!("{}: ok", file.display());
                Ok(())
            }
        }
    }
}

fn serve(file: Option<PathBuf>, settings: Vec<String>) -> Result<()> {
    let loaded = config::load(file.as_deref(), &settings)?;
    let _log = telemetry::log_to_stderr(&loaded.config.log).context("can't write a log")?;
    runtime()?.block_on(async {
        let gateway =
            Gateway::bind(loaded.config.clone()).map_err(|error| anyhow!("{}: {error}", loaded.place(error.key())))?;
        gateway.warn_of_openness();
        let again = move || match config::load(file.as_deref(), &settings) {
            Ok(loaded) => Ok(loaded.config),
            Err(error) => Err(error.to_string()),
        };
        let gateway = gateway.reading_again(again);
        let orders = gateway.orders();
        let until_stopped = async {
            tokio::select! {
                () = stop_signal() => {}
                () = reload_at_hangup(orders) => {}
            }
        };
        gateway.run(until_stopped).await;
        Ok(())
    })
}

fn demo(loaded: &Loaded, port: Option<u16>) -> Result<()> {
    let _log = telemetry::log_to_stderr(&loaded.config.log).context("can't write a log")?;
    runtime()?.block_on(async {
        let gateway = demo::bind(loaded.config.clone(), port).map_err(|error| match (error.key(), port) {
            ("unified.address", Some(port)) => anyhow!("--port {port}: {error}"),
            (key, _) => anyhow!("{}: {error}", loaded.place(key)),
        })?;
        let Some(rtmp) = gateway.addresses().rtmp else {
            bail!("{}: the demo publishes through rtmp.address: leave it on", loaded.place("rtmp.address"));
        };
        writeln!(io::stdout(), "{}", demo::url(&gateway)).context("can't print the page's address")?;
        let until_stopped = async {
            tokio::select! {
                () = stop_signal() => {}
                () = demo::publish(rtmp) => {}
            }
        };
        gateway.run(until_stopped).await;
        Ok(())
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().context("can't start")
}

/// Ctrl-C, or SIGTERM where there is such a thing.
async fn stop_signal() {
    #[cfg(unix)]
    if let Ok(mut terminate) = signal::unix::signal(signal::unix::SignalKind::terminate()) {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = signal::ctrl_c() => {}
        }
        return;
    }
    let _ = signal::ctrl_c().await;
}

/// Has the configuration read again at each SIGHUP, for ever; what has become of it is in the log.
async fn reload_at_hangup(orders: mpsc::Sender<Order>) {
    #[cfg(unix)]
    if let Ok(mut hangup) = signal::unix::signal(signal::unix::SignalKind::hangup()) {
        while hangup.recv().await.is_some() {
            let (reply, _) = oneshot::channel();
            if orders.send(Order::Reload(reply)).await.is_err() {
                break;
            }
        }
    }
    std::future::pending::<()>().await;
}
