//! How late viewers are, by transport and by link.
//!
//! ```text
//! cargo run --release -p integration-tests --bin latency -- --transports wss,quic,wt --links lan,lossy,step,stall
//! ```
//!
//! Links are namespaces and TUN devices: they need root. Without it only `loopback` is measured.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use integration_tests::latency::profile::{Profile, profiles};
use integration_tests::latency::run::{LOOPBACK, Setup, run};
use integration_tests::latency::way::Way;
use integration_tests::latency::{machine, namespace, roles, table};
use integration_tests::process::built_gateway;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "How late viewers are, by transport and by link")]
struct Arguments {
    /// Ways to the viewers: ws, wss, quic, wt, websocket, websocketstream, the last two with -tls as well; or all.
    #[arg(long, value_delimiter = ',', default_value = "ws,wss,quic,wt")]
    transports: Vec<String>,
    /// Ports: each transport's own, the one of everything, or both.
    #[arg(long, value_enum, default_value = "own")]
    ports: Ports,
    /// Links by their names in the links' file, loopback, or all.
    #[arg(long, value_delimiter = ',', default_value = LOOPBACK)]
    links: Vec<String>,
    /// The links' file, when not integration-tests/links.yml.
    #[arg(long)]
    links_file: Option<PathBuf>,
    /// How long each is measured.
    #[arg(long, default_value_t = 15)]
    seconds: u64,
    /// Viewers at once, all over the one link.
    #[arg(long, default_value_t = 1)]
    viewers: usize,
    /// Decides what is lost and late on the way.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// TCP's congestion control on links: one that the kernel has. That of QUIC is quinn's CUBIC.
    #[arg(long, default_value = "cubic")]
    congestion: String,
    /// Where to add the results, one JSON object a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The gateway's binary, when not the one beside this.
    #[arg(long)]
    gateway: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Ports {
    Own,
    Unified,
    Both,
}

/// What this binary is when it has started itself.
#[derive(Subcommand)]
#[command(hide = true)]
enum Role {
    #[command(hide = true)]
    Publisher { gateway: SocketAddr },
    #[command(hide = true)]
    Viewers { way: Way, gateway: SocketAddr, count: usize },
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    match arguments.role {
        Some(Role::Publisher { gateway }) => return roles::publish(gateway).await,
        Some(Role::Viewers { way, gateway, count }) => {
            roles::watch(way, gateway, count).await?;
            // Ends the viewers where they are.
            std::process::exit(0);
        }
        None => {}
    }
    let mut terminate = signal(SignalKind::terminate())?;
    // Whoever ends it, what it has laid is torn down with the future that holds it.
    tokio::select! {
        measured = measure(&arguments) => measured,
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn measure(arguments: &Arguments) -> Result<()> {
    if cfg!(debug_assertions) {
        eprintln!("a debug build: the numbers mean little, use --release");
    }
    namespace::remove_leftovers();
    let ways = ways(arguments)?;
    let links = links(arguments)?;
    let setup = Setup {
        gateway: match &arguments.gateway {
            Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
            None => built_gateway().await?,
        },
        harness: std::env::current_exe()?,
        length: Duration::from_secs(arguments.seconds),
        viewers: arguments.viewers,
        seed: arguments.seed,
        congestion: arguments.congestion.clone(),
    };
    let open = |path| OpenOptions::new().append(true).create(true).open(path);
    let mut json = arguments.json.as_ref().map(open).transpose()?;
    let machine = machine::describe();
    println!("{}", table::HEAD);
    for (n, link) in links.iter().enumerate() {
        for way in &ways {
            if link.is_some() && !way.leaves_the_machine() {
                continue;
            }
            eprint!("\x1b[2K{} of {} links: {way}\r", n + 1, links.len());
            let outcome = run(&setup, *way, link.as_ref()).await.with_context(|| way.to_string())?;
            println!("{}", table::line(&outcome));
            if let Some(file) = &mut json {
                let mut line = serde_json::to_value(&outcome)?;
                line["machine"] = json!(machine);
                writeln!(file, "{line}")?;
            }
        }
    }
    Ok(())
}

fn ways(arguments: &Arguments) -> Result<Vec<Way>> {
    let named = |name: &String| match &**name {
        "all" => Ok(Way::all(false)),
        name => name.parse().map(|way| vec![way]).map_err(anyhow::Error::msg),
    };
    let own = arguments.transports.iter().map(named).collect::<Result<Vec<_>>>()?.concat();
    let unified = own.iter().map(|way| Way { unified: true, ..*way });
    Ok(match arguments.ports {
        Ports::Own => own,
        Ports::Unified => unified.collect(),
        Ports::Both => own.iter().copied().chain(unified).collect(),
    })
}

/// `None` is loopback. What can't be had is said and left out.
fn links(arguments: &Arguments) -> Result<Vec<Option<Profile>>> {
    let known = profiles(arguments.links_file.as_deref())?;
    let mut links = Vec::new();
    for name in &arguments.links {
        match &**name {
            "all" => links.extend(known.iter().cloned().map(Some)),
            LOOPBACK => links.push(None),
            name => {
                let names = || known.iter().map(|link| &*link.name).collect::<Vec<_>>().join(", ");
                let link = known.iter().find(|link| link.name == name);
                links.push(Some(link.with_context(|| format!("{name} is none of {LOOPBACK}, {}", names()))?.clone()));
            }
        }
    }
    if links.iter().any(Option::is_some)
        && let Some(missing) = namespace::missing()
    {
        eprintln!("{missing}: left out");
        links.retain(Option::is_none);
    }
    Ok(links)
}
