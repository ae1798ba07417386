//! A child process, and what it costs.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{sleep, timeout};

use crate::transport::Transport;
use crate::viewer::PATIENCE;

/// A child process, killed when it is dropped.
pub struct Process {
    /// The child.
    pub child: Child,
    pid: Pid,
}

impl Process {
    /// Starts it, with nothing to read and its output where this process's goes, unless `command` says otherwise.
    ///
    /// # Errors
    /// When it can't be started.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command.kill_on_drop(true).spawn().with_context(|| format!("starting {command:?}"))?;
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed())).context("it ended at once")?;
        Ok(Self { child, pid })
    }

    /// The CPU time of all its threads.
    ///
    /// # Errors
    /// When it has ended.
    pub fn cpu(&self) -> Result<Duration> {
        let mut nanos = 0;
        for thread in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            // Finer than the clock ticks of /proc/PID/stat.
            let times = fs::read_to_string(thread?.path().join("schedstat"))?;
            nanos += times.split(' ').next().context("empty schedstat")?.parse::<u64>()?;
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Its resident memory in kB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn rss_kb(&self) -> Result<u64> {
        self.status_kb("VmRSS:")
    }

    /// The most resident memory that it had since [`Process::forget_peak`], in kB.
    ///
    /// # Errors
    /// When it has ended.
    pub fn peak_kb(&self) -> Result<u64> {
        self.status_kb("VmHWM:")
    }

    /// Begins a new measurement of [`Process::peak_kb`].
    ///
    /// # Errors
    /// When it has ended.
    pub fn forget_peak(&self) -> Result<()> {
        Ok(fs::write(format!("/proc/{}/clear_refs", self.pid), "5")?)
    }

    fn status_kb(&self, name: &str) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid))?;
        let line = status.lines().find_map(|line| line.strip_prefix(name)).with_context(|| format!("no {name}"))?;
        Ok(line.trim().trim_end_matches(" kB").parse()?)
    }

    /// Asks it to end (SIGTERM) and waits for its exit code.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn terminate(mut self) -> Result<Option<i32>> {
        self.ask_to_end()?;
        self.end().await
    }

    /// Sends SIGTERM.
    ///
    /// # Errors
    /// When it has ended.
    pub fn ask_to_end(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::TERM)?)
    }

    /// Stops it where it is, which nobody is told of (SIGSTOP).
    ///
    /// # Errors
    /// When it has ended.
    pub fn freeze(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::STOP)?)
    }

    /// Sends SIGHUP.
    ///
    /// # Errors
    /// When it has ended.
    pub fn hang_up(&self) -> Result<()> {
        Ok(kill_process(self.pid, Signal::HUP)?)
    }

    /// Waits for its exit code.
    ///
    /// # Errors
    /// When it takes longer than [`PATIENCE`].
    pub async fn end(&mut self) -> Result<Option<i32>> {
        Ok(timeout(PATIENCE, self.child.wait()).await.context("it does not end")??.code())
    }
}

/// The gateway as its users run it.
pub struct GatewayProcess {
    /// The process.
    pub process: Process,
    command: Command,
    /// Where publishers go.
    pub rtmp: SocketAddr,
    /// Where viewers go.
    pub websocket: SocketAddr,
    /// Where everybody goes.
    pub unified: SocketAddr,
    /// Where its operator goes.
    pub admin: SocketAddr,
    /// Where viewers over native QUIC go.
    pub quic: SocketAddr,
    /// Where viewers over WebTransport go.
    pub webtransport: SocketAddr,
    /// Where those go that want fragmented MP4.
    pub webtransport_fmp4: SocketAddr,
}

impl GatewayProcess {
    /// Where viewers over a transport go.
    pub fn address(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Ws | Transport::Wss => self.websocket,
            Transport::Quic => self.quic,
            Transport::WebTransport => self.webtransport,
        }
    }

    /// Starts `headwater serve` on free ports, its certificates in `folder`, and waits until it listens.
    ///
    /// # Errors
    /// When it ends or does not listen.
    pub async fn start(binary: &Path, folder: &Path) -> Result<Self> {
        Self::start_with(binary, folder, |_| ()).await
    }

    /// The same with its command line or environment changed.
    ///
    /// # Errors
    /// As [`GatewayProcess::start`].
    pub async fn start_with(binary: &Path, folder: &Path, change: impl FnOnce(&mut Command)) -> Result<Self> {
        let (rtmp, websocket, unified, admin) = (free_port()?, free_port()?, free_port()?, free_port()?);
        let (quic, webtransport, webtransport_fmp4) = (free_udp_port()?, free_udp_port()?, free_udp_port()?);
        let mut command = Command::new(binary);
        command.arg("serve").current_dir(folder).env("RUST_LOG", "warn").stdin(Stdio::null());
        let addresses = [
            ("rtmp.address", rtmp),
            ("websocket.address", websocket),
            ("unified.address", unified),
            ("admin.address", admin),
            ("quic.address", quic),
            ("webtransport.address", webtransport),
            ("webtransport.fmp4_address", webtransport_fmp4),
        ];
        for (key, address) in addresses {
            command.args(["--set", &format!("{key}={address}")]);
        }
        change(&mut command);
        let process = Process::start(&mut command)?;
        let mut this =
            Self { process, command, rtmp, websocket, unified, admin, quic, webtransport, webtransport_fmp4 };
        this.listens().await?;
        Ok(this)
    }

    /// Kills it (SIGKILL), starts it again on the same ports and waits until it listens.
    ///
    /// # Errors
    /// As [`GatewayProcess::start`].
    pub async fn kill_and_restart(&mut self) -> Result<()> {
        self.process.child.kill().await?;
        self.process = Process::start(&mut self.command)?;
        self.listens().await
    }

    async fn listens(&mut self) -> Result<()> {
        for address in [self.rtmp, self.websocket, self.unified] {
            let listens = async {
                while TcpStream::connect(address).await.is_err() {
                    sleep(Duration::from_millis(20)).await;
                }
            };
            tokio::select! {
                () = listens => {}
                code = self.process.end() => anyhow::bail!("the gateway ended: {code:?}"),
            }
        }
        Ok(())
    }
}

/// The gateway's program in the same build as this one, built if need be.
///
/// # Errors
/// When it does not build.
pub async fn built_gateway() -> Result<PathBuf> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.args(["build", "--quiet", "--package", "headwater", "--bin", "headwater"]);
    // What the outer cargo tells its tests makes build scripts that ask for it (ring's) run anew.
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    if cfg!(debug_assertions) {
        // With the features and the profile of the tests, nearly all of it is built already.
        cargo.args(["--package", "integration-tests", "--profile", "test"]);
    } else {
        cargo.arg("--release");
    }
    ensure!(cargo.current_dir(env!("CARGO_MANIFEST_DIR")).status().await?.success(), "the gateway does not build");
    let beside = std::env::current_exe()?;
    let folder = beside.parent().context("a program lies in a folder")?;
    // Tests are built one folder deeper.
    let folder = if folder.ends_with("deps") { folder.parent().context("deps lies in a folder")? } else { folder };
    Ok(folder.join("headwater"))
}

/// A port that nobody listens on.
///
/// # Errors
/// When there is none.
pub fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}

/// The same of UDP.
fn free_udp_port() -> Result<SocketAddr> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?)
}
