//! Two network namespaces and what joins them: a TUN device in each, and between these a line in this process, alike for TCP
//! and UDP. Needs root.
//!
//! ```text
//!  gateway's namespace            this process             viewer's namespace
//!  10.255.0.1 ── TUN ── Line down ─────────────────▶ TUN ── 10.255.0.2
//!                TUN ◀──────────────── Line up ───── TUN
//! ```
//!
//! The namespaces' names tell the process that made them: they go when it ends, and what a process left that was killed goes
//! when the next one begins.

use std::fs;
use std::io::Write;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tun_rs::{DeviceBuilder, SyncDevice};

use super::line::Line;
use super::profile::Profile;
use crate::stamp::monotonic;

/// Where the gateway is to be found from the viewer.
pub const GATEWAY: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 255, 0, 1));

const NETWORK: &str = "10.255.0.0/24";
const PREFIX: &str = "headwater-";
const MTU: usize = 1500;

/// Why there can be no namespaces on this machine. `None`: there can.
pub fn missing() -> Option<&'static str> {
    if !rustix::process::geteuid().is_root() {
        return Some("links need root (network namespaces, TUN devices)");
    }
    let has_programs = ["/usr/sbin/ip", "/sbin/ip"].iter().any(|path| Path::new(path).exists());
    if !has_programs {
        return Some("links need iproute2: apt-get install -y iproute2");
    }
    let tun = DeviceBuilder::new().name(device("probe")).build_sync();
    tun.is_err().then_some("links need /dev/net/tun, which this machine does not give")
}

/// Removes what processes left that are gone.
pub fn remove_leftovers() {
    let names = fs::read_dir("/run/netns").into_iter().flatten().flatten();
    for name in names.filter_map(|entry| entry.file_name().into_string().ok()) {
        let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next());
        if let Some(pid) = pid
            && !Path::new("/proc").join(pid).exists()
        {
            ip(&["netns", "del", &name]).ok();
        }
    }
}

/// A link that is there until it is dropped.
pub struct Link {
    gateway: Namespace,
    viewer: Namespace,
    down: Arc<Direction>,
    up: Arc<Direction>,
}

impl Link {
    /// Lays a link. TCP's congestion control is that of `congestion`, on both sides.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn lay(profile: &Profile, seed: u64, congestion: &str) -> Result<Self> {
        let gateway = Namespace::new("gateway")?;
        let viewer = Namespace::new("viewer")?;
        let left = Arc::new(gateway.device("10.255.0.1", congestion)?);
        let right = Arc::new(viewer.device("10.255.0.2", congestion)?);
        for namespace in [&gateway, &viewer] {
            // What was learnt of an earlier connection's path is no business of the next one's.
            namespace.set("net/ipv4/tcp_no_metrics_save", "1")?;
        }
        if profile.blocks_udp {
            gateway.block_udp()?;
        }
        let direction = |seed| Arc::new(Direction::new(Line::new(profile.conditions(), seed)));
        let (down, up) = (direction(2 * seed), direction(2 * seed + 1));
        carry(down.clone(), left.clone(), right.clone());
        carry(up.clone(), right, left);
        Ok(Self { gateway, viewer, down, up })
    }

    /// Lets the profile's changes happen, counted from `start` on the stamps' clock.
    pub fn begin(&self, profile: &Profile, start: Duration) {
        for direction in [&self.down, &self.up] {
            let mut line = direction.line();
            profile.changes().for_each(|(after, conditions)| line.schedule(start + after, conditions));
        }
    }

    /// Bytes of IP packets that the gateway has sent, and how many of them were lost.
    pub fn carried(&self) -> (u64, u64) {
        (self.down.bytes.load(Ordering::Relaxed), self.down.lost.load(Ordering::Relaxed))
    }

    /// A command that runs in the gateway's namespace.
    pub fn at_gateway(&self, program: &Path) -> tokio::process::Command {
        self.gateway.command(program)
    }

    /// A command that runs in the viewer's.
    pub fn at_viewer(&self, program: &Path) -> tokio::process::Command {
        self.viewer.command(program)
    }
}

/// One way through the line, and what went that way.
struct Direction {
    line: Mutex<Line>,
    bytes: AtomicU64,
    lost: AtomicU64,
}

impl Direction {
    fn new(line: Line) -> Self {
        Self { line: Mutex::new(line), bytes: AtomicU64::new(0), lost: AtomicU64::new(0) }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Carries packets one way until a device is gone. On threads: a runtime's timers are a millisecond coarse.
fn carry(direction: Arc<Direction>, from: Arc<SyncDevice>, to: Arc<SyncDevice>) {
    let (sender, receiver) = mpsc::channel::<(Duration, Vec<u8>)>();
    thread::spawn(move || {
        let mut packet = [0; MTU];
        while let Ok(len) = from.recv(&mut packet) {
            direction.bytes.fetch_add(len as u64, Ordering::Relaxed);
            // The lock is for `begin` alone, so the time does not go back.
            let due = direction.line().enter(monotonic(), len);
            match due {
                Some(due) if sender.send((due, packet[..len].to_vec())).is_err() => return,
                Some(_) => {}
                None => _ = direction.lost.fetch_add(1, Ordering::Relaxed),
            }
        }
    });
    thread::spawn(move || {
        while let Ok((due, packet)) = receiver.recv() {
            thread::sleep(due.saturating_sub(monotonic()));
            if to.send(&packet).is_err() {
                return;
            }
        }
    });
}

/// A namespace of this process, removed when it is dropped: its device with it, and with that the threads that carry.
struct Namespace(String);

impl Namespace {
    fn new(side: &str) -> Result<Self> {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{PREFIX}{}-{number}-{side}", std::process::id());
        ip(&["netns", "add", &name])?;
        let this = Self(name);
        this.ip(&["link", "set", "lo", "up"])?;
        Ok(this)
    }

    /// A TUN device that this process reads and writes, and the namespace has as its network.
    fn device(&self, address: &str, congestion: &str) -> Result<SyncDevice> {
        let name = device(&self.0[PREFIX.len()..]);
        let made = DeviceBuilder::new().name(&name).mtu(MTU as u16).enable(false).build_sync()?;
        ip(&["link", "set", &name, "netns", &self.0])?;
        self.ip(&["addr", "add", &format!("{address}/32"), "dev", &name])?;
        self.ip(&["link", "set", &name, "up"])?;
        // The route's, since a namespace may not set what the system has not allowed to all.
        self.ip(&["route", "add", NETWORK, "dev", &name, "src", address, "congctl", congestion])
            .with_context(|| format!("TCP's congestion control can't be {congestion} here"))?;
        Ok(made)
    }

    fn set(&self, key: &str, value: &str) -> Result<()> {
        let write = format!("echo {value} > /proc/sys/{key}");
        run(Command::new("ip").args(["netns", "exec", &self.0, "sh", "-c", &write]))
    }

    fn block_udp(&self) -> Result<()> {
        const RULES: &[u8] = b"table inet headwater { chain input { type filter hook input priority 0; \
            iifname != lo meta l4proto udp drop; } }";
        let mut nft = Command::new("ip");
        nft.args(["netns", "exec", &self.0, "nft", "-f", "-"]).stdin(Stdio::piped());
        let mut nft = nft.spawn().context("nft")?;
        nft.stdin.take().context("piped")?.write_all(RULES)?;
        ensure!(nft.wait()?.success(), "nft blocks nothing; is it installed? apt-get install -y nftables");
        Ok(())
    }

    fn ip(&self, arguments: &[&str]) -> Result<()> {
        ip(&[&["-n", &self.0], arguments].concat())
    }

    fn command(&self, program: &Path) -> tokio::process::Command {
        let mut command = tokio::process::Command::new("ip");
        command.args(["netns", "exec", &self.0]).arg(program);
        command
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        ip(&["netns", "del", &self.0]).ok();
    }
}

/// Devices' names have 15 letters at most.
fn device(of: &str) -> String {
    let name: String = of.chars().filter(|c| *c != '-').collect();
    format!("hw{}", &name[..name.len().min(13)])
}

fn ip(arguments: &[&str]) -> Result<()> {
    run(Command::new("ip").args(arguments))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("{command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}
