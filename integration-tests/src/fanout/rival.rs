//! Other servers, started from their packages with the settings that they come with, and measured as the gateway is.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::BytesMut;
use headwater::media::Track;
use rml_rtmp::sessions::ClientSessionEvent;
use tempfile::TempDir;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::{interval, timeout};

use super::Rival;
use crate::process::{Process, free_port};
use crate::rtmp::Connection;
use crate::viewer::PATIENCE;
use crate::websocket::{Incoming, WebSocket, dial};

/// nginx's module for RTMP, where Debian puts it.
const NGINX_MODULE: &str = "/usr/lib/nginx/modules/ngx_rtmp_module.so";
/// Where npm puts the rivals that are its.
const NODE_MODULES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/rivals/node_modules");
/// What a broadcast is called at the relay.
const BROADCAST: &str = "fanout";
/// An FLV file's header, and the length in front of its first tag.
const FLV_HEADER: usize = 13;
const TAG_HEADER: usize = 11;

/// A rival at work.
pub struct Running {
    /// Its process.
    pub process: Process,
    /// What is published to, if that is another one.
    _before: Option<Process>,
    /// Where it is published to, by RTMP.
    pub ingest: SocketAddr,
    /// Where it is viewed.
    pub viewers: SocketAddr,
    _folder: TempDir,
}

impl Rival {
    /// Starts it and waits until it can be published to.
    ///
    /// # Errors
    /// When it is not installed, with what installs it; when it does not come up.
    pub async fn start(self) -> Result<Running> {
        let folder = tempfile::tempdir()?;
        let (ingest, http) = (free_port()?, free_port()?);
        let (mut command, viewers) = match self {
            Rival::NginxRtmp => (nginx(folder.path(), ingest)?, ingest),
            Rival::NodeMediaServer => (node(folder.path(), ingest, "http", http)?, http),
            Rival::NodeMediaServerTls => (node(folder.path(), ingest, "https", http)?, http),
            Rival::MoqRelay => (moq_relay(http)?, http),
        };
        let process = Process::start(&mut command)?;
        let before = match self {
            Rival::MoqRelay => {
                Some(Process::start(moq(http).args(["import", "rtmp", "--listen", &ingest.to_string()]))?)
            }
            Rival::NginxRtmp | Rival::NodeMediaServer | Rival::NodeMediaServerTls => None,
        };
        let mut again = interval(Duration::from_millis(50));
        let is_up = async {
            for address in [ingest, viewers] {
                while TcpStream::connect(address).await.is_err() {
                    again.tick().await;
                }
            }
        };
        timeout(PATIENCE, is_up).await.context("it does not come up")?;
        Ok(Running { process, _before: before, ingest, viewers, _folder: folder })
    }
}

/// One process does all: a worker of its own, and no master.
fn nginx(folder: &Path, ingest: SocketAddr) -> Result<Command> {
    ensure!(Path::new(NGINX_MODULE).exists(), "not installed: apt-get install nginx libnginx-mod-rtmp");
    let configuration = folder.join("nginx.conf");
    let pid = folder.join("nginx.pid");
    fs::write(
        &configuration,
        format!(
            "load_module {NGINX_MODULE};\ndaemon off;\nmaster_process off;\npid {};\nerror_log stderr;\n\
             events {{ worker_connections 8192; }}\n\
             rtmp {{ access_log off; server {{ listen {ingest}; application live {{ live on; }} }} }}\n",
            pid.display()
        ),
    )?;
    let mut command = Command::new("/usr/sbin/nginx");
    command.arg("-c").arg(configuration).arg("-e").arg("stderr").arg("-p").arg(folder);
    Ok(command)
}

/// `scheme`: of the port for viewers.
fn node(folder: &Path, ingest: SocketAddr, scheme: &str, viewers: SocketAddr) -> Result<Command> {
    let package = Path::new(NODE_MODULES).join("node-media-server");
    ensure!(package.exists(), "not installed: npm ci --prefix integration-tests/rivals");
    let configuration = folder.join("config.json");
    let bin = package.join("bin");
    let settings = serde_json::json!({
        "bind": ingest.ip(),
        "store": {"path": folder},
        "auth": {"play": false, "publish": false},
        "rtmp": {"port": ingest.port()},
        (scheme): {"port": viewers.port(), "key": bin.join("key.pem"), "cert": bin.join("cert.pem")},
        "record": {"auto": false, "path": folder},
    });
    fs::write(&configuration, settings.to_string())?;
    let mut command = Command::new("node");
    command.arg(bin.join("app.js")).arg("--no-admin").arg("--config").arg(configuration).current_dir(folder);
    command.stdout(Stdio::null());
    Ok(command)
}

/// It has no file of settings, and answers on TCP as well.
fn moq_relay(address: SocketAddr) -> Result<Command> {
    let is_there = |program| std::process::Command::new(program).arg("--version").output().is_ok();
    ensure!(is_there("moq-relay") && is_there("moq"), "not installed: cargo install moq-relay@0.17.10 moq-cli@0.14.10");
    let mut command = Command::new("moq-relay");
    let address = address.to_string();
    command.args(["--listen", &address, "--web-http-listen", &address, "--listen-tls-generate", "localhost"]);
    command.args(["--auth-public", "**", "--log-level", "error"]);
    Ok(command)
}

/// A peer of the relay's.
fn moq(relay: SocketAddr) -> Command {
    let mut command = Command::new("moq");
    command.args([
        "--connect",
        &format!("https://{relay}/"),
        "--connect-tls-insecure",
        "--connect-websocket-enabled=false",
    ]);
    command.args(["--broadcast", BROADCAST, "--log-level", "error"]);
    command
}

/// A viewer of a rival.
pub(super) enum Viewer {
    Rtmp(Box<Connection>),
    /// FLV in a WebSocket's messages.
    Flv(WebSocket),
    /// FLV that a program writes.
    Program(Process, BytesMut),
}

impl Viewer {
    pub(super) async fn play(rival: Rival, server: SocketAddr, stream: &str) -> Result<Self> {
        Ok(match rival {
            Rival::MoqRelay => {
                let mut export = moq(server);
                // It complains when its relay ends.
                export.args(["export", "flv"]).stdout(Stdio::piped()).stderr(Stdio::null());
                let program = Process::start(&mut export)?;
                Self::Program(program, BytesMut::new())
            }
            Rival::NginxRtmp => {
                let socket = dial(server, false).await?;
                let (app, name) = stream.split_once('/').context("a stream is app/name")?;
                let mut connection = Connection::open(socket, &format!("rtmp://{server}"), app).await?;
                let play = connection.session.request_playback(name.to_owned())?;
                connection.write(vec![play]).await?;
                Self::Rtmp(Box::new(connection))
            }
            Rival::NodeMediaServer | Rival::NodeMediaServerTls => {
                let socket = dial(server, rival == Rival::NodeMediaServerTls).await?;
                let path = format!("/{stream}.flv");
                Self::Flv(WebSocket::connect(socket, &server.to_string(), &path).await?)
            }
        })
    }

    /// Waits for more, and gives all that has come to `each`: FLV tags' bodies.
    pub(super) async fn next(&mut self, mut each: impl FnMut(Track, &[u8])) -> Result<()> {
        match self {
            Self::Rtmp(connection) => match connection.next().await? {
                ClientSessionEvent::AudioDataReceived { data, .. } => each(Track::Audio, &data),
                ClientSessionEvent::VideoDataReceived { data, .. } => each(Track::Video, &data),
                _ => {}
            },
            Self::Flv(socket) => {
                while let Some(incoming) = socket.try_next()? {
                    match incoming {
                        Incoming::Binary(range) => tags(socket.bytes(range), &mut each)?,
                        Incoming::Close(code) => bail!("closed with {code:?}"),
                    }
                }
                ensure!(socket.fill().await?, "the server hung up");
            }
            Self::Program(program, read) => {
                let output = program.child.stdout.as_mut().context("piped")?;
                ensure!(output.read_buf(read).await? > 0, "the program ended");
                tags(&read.split_to(whole_tags(read)), &mut each)?;
            }
        }
        Ok(())
    }
}

/// How many bytes there are of whole tags.
fn whole_tags(read: &[u8]) -> usize {
    let mut whole = 0;
    let mut next = if read.starts_with(b"FLV") { FLV_HEADER } else { 0 };
    while next <= read.len() {
        whole = next;
        let Some(head) = read.get(next..next + TAG_HEADER) else { break };
        next += TAG_HEADER + u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize + 4;
    }
    whole
}

/// Reads the tags of one message, which holds whole ones.
fn tags(message: &[u8], each: &mut impl FnMut(Track, &[u8])) -> Result<()> {
    let mut rest =
        if message.starts_with(b"FLV") { message.get(FLV_HEADER..).context("a short header")? } else { message };
    while let Some((head, after)) = rest.split_at_checked(TAG_HEADER) {
        let len = u32::from_be_bytes([0, head[1], head[2], head[3]]) as usize;
        let (body, after) = after.split_at_checked(len).context("half a tag")?;
        match head[0] {
            8 => each(Track::Audio, body),
            9 => each(Track::Video, body),
            _ => {}
        }
        rest = after.get(4..).context("half a tag")?;
    }
    Ok(())
}
