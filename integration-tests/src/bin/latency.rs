//! How late viewers are, by transport and by link.
//!
//! ```text
//! cargo run --release -p integration-tests --bin latency -- --transports wss,quic,wt --links lan,lossy,step,stall
//! ```
//!
//! Links are namespaces and TUN devices: they need root. Without it only `loopback` is measured.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use integration_tests::latency::profile::{Profile, profiles};
use integration_tests::latency::results::{Entry, What};
use integration_tests::latency::run::{LOOPBACK, Setup, run};
use integration_tests::latency::way::{Carrier, Way};
use integration_tests::latency::{deployment, glass, machine, memory, namespace, report, results, roles, table};
use integration_tests::process::built_gateway;
use tokio::signal::unix::{SignalKind, signal};

#[derive(Parser)]
#[command(about = "How late viewers are, by transport and by link")]
struct Arguments {
    /// Ways to the viewers: ws, wss, quic, wt, each with -fmp4 as well; websocket, websocketstream, each with -tls; or all.
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
    /// A page of a deployment, https://host/watch/app/name, to measure instead: from the gateway to here.
    #[arg(long)]
    url: Option<String>,
    /// What slow viewers cost in memory, beside a server without backpressure, instead of delays.
    #[arg(long)]
    memory: bool,
    /// Browsers whose pictures to measure, instead of viewers' messages: chromium, firefox, webkit.
    #[arg(long, value_delimiter = ',')]
    browsers: Vec<String>,
    /// Results of earlier runs to report, instead of measuring.
    #[arg(long, value_delimiter = ',')]
    from: Vec<PathBuf>,
    /// Where to add the results, one JSON object a line.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Where to write them as a page with plots.
    #[arg(long)]
    report: Option<PathBuf>,
    /// Where to write the plot of the delay on the link `step`.
    #[arg(long)]
    plot: Option<PathBuf>,
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
    #[command(hide = true)]
    Naive,
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
        Some(Role::Naive) => return memory::serve_naively().await,
        None => {}
    }
    let mut terminate = signal(SignalKind::terminate())?;
    // Whoever ends it, what it has laid is torn down with the future that holds it.
    tokio::select! {
        measured = measure(&arguments) => return show(&arguments, &measured?),
        _ = tokio::signal::ctrl_c() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

fn show(arguments: &Arguments, entries: &[Entry]) -> Result<()> {
    if let Some(path) = &arguments.report {
        fs::write(path, report::page(entries)).with_context(|| path.display().to_string())?;
    }
    if let Some(path) = &arguments.plot {
        fs::write(path, report::course(entries, "step").svg()).with_context(|| path.display().to_string())?;
    }
    Ok(())
}

async fn measure(arguments: &Arguments) -> Result<Vec<Entry>> {
    if !arguments.from.is_empty() {
        let entries = arguments.from.iter().map(|path| results::read(path)).collect::<Result<Vec<_>>>()?.concat();
        print_table(table::HEAD, results::delays(&entries).map(table::line));
        print_table(table::GLASS_HEAD, results::glasses(&entries).map(table::glass_line));
        return Ok(entries);
    }
    if cfg!(debug_assertions) {
        eprintln!("a debug build: the numbers mean little, use --release");
    }
    let ways = ways(arguments)?;
    if let Some(url) = &arguments.url {
        return measure_deployment(arguments, url, &ways).await.map(|()| Vec::new());
    }
    namespace::remove_leftovers();
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
    let mut entries = Vec::new();
    let mut keep = |what| {
        let entry = Entry { what, machine: machine.clone() };
        if let Some(file) = &mut json {
            writeln!(file, "{}", serde_json::to_string(&entry)?)?;
        }
        entries.push(entry);
        anyhow::Ok(())
    };
    if arguments.memory {
        let seen = memory::compare(&setup).await?;
        let last = |kb: &[i64]| kb.last().copied().unwrap_or_default() as f64 / 1e3;
        let [ours, naive] = [&seen.gateway_kb, &seen.naive_kb].map(|kb| last(kb));
        println!("{} viewers at a third of the rate, after {} s:", seen.viewers, arguments.seconds);
        println!("{ours:.1} MB more, {naive:.1} MB without backpressure");
        keep(What::Memory(seen))?;
        return Ok(entries);
    }
    if !arguments.browsers.is_empty() {
        println!("{}", table::GLASS_HEAD);
        glass::measure(&setup.gateway, &arguments.browsers, arguments.seconds, |glass| {
            println!("{}", table::glass_line(&glass));
            keep(What::Glass(glass))
        })
        .await?;
        return Ok(entries);
    }
    println!("{}", table::HEAD);
    for (n, link) in links.iter().enumerate() {
        for way in &ways {
            if link.is_some() && !way.leaves_the_machine() {
                continue;
            }
            eprint!("\x1b[2K{} of {} links: {way}\r", n + 1, links.len());
            let outcome = run(&setup, *way, link.as_ref()).await.with_context(|| way.to_string())?;
            println!("{}", table::line(&outcome));
            keep(What::Delay(Box::new(outcome)))?;
        }
    }
    Ok(entries)
}

fn print_table(head: &str, lines: impl Iterator<Item = String>) {
    let mut lines = lines.peekable();
    if lines.peek().is_some() {
        println!("{head}");
    }
    lines.for_each(|line| println!("{line}"));
}

async fn measure_deployment(arguments: &Arguments, url: &str, ways: &[Way]) -> Result<()> {
    let (server, stream) = deployment::parse(url)?;
    let length = Duration::from_secs(arguments.seconds);
    for way in ways {
        let Carrier::Flows(transport) = way.carrier else {
            println!("{way}: without flows there is no clock");
            continue;
        };
        match deployment::measure(server, transport, &stream, length).await {
            Ok(seen) => {
                let [p50, p95, p99, max] = [0.5, 0.95, 0.99, 1.0].map(|share| seen.percentile(share));
                let (error, frames) = (seen.error_ms, seen.delays_ms.len());
                println!(
                    "{way:12} p50 {p50:.1}  p95 {p95:.1}  p99 {p99:.1}  max {max:.1} ms, ±{error:.1} ms, {frames} frames"
                );
            }
            Err(error) => println!("{way:12} {error:#}"),
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
