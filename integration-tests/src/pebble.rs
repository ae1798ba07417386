//! A certificate authority: Pebble, by those who run Let's Encrypt.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::certificate::CertificateFiles;
use crate::pages::over_http1;
use crate::process::{Process, free_port};
use crate::viewer::PATIENCE;

/// An authority for which every name is this machine's.
pub struct Pebble {
    /// The address of its directory.
    pub directory: String,
    /// PEM file of the root that its directory is believed by.
    pub directory_root: PathBuf,
    management: SocketAddr,
    process: Process,
    /// Where it looks names up.
    _names: Process,
    _folder: TempDir,
}

impl Pebble {
    /// Starts one that looks for challenges at `tls_port`, and gives certificates for `lifetime` seconds.
    ///
    /// # Errors
    /// When it is not installed, or does not start.
    pub async fn start(tls_port: u16, lifetime: u64) -> Result<Self> {
        let folder = TempDir::new()?;
        let (server, management, names, names_management) = (free_port()?, free_port()?, free_port()?, free_port()?);
        let CertificateFiles { certificate, key } = CertificateFiles::make(folder.path())?;
        let config = json!({"pebble": {
            "listenAddress": server,
            "managementListenAddress": management,
            "certificate": certificate,
            "privateKey": key,
            "httpPort": tls_port,
            "tlsPort": tls_port,
            "certificateValidityPeriod": lifetime,
        }});
        let path = folder.path().join("pebble.json");
        fs::write(&path, config.to_string())?;
        // It would sleep before it validates, to try clients out. It refuses one good nonce in twenty, too, which they are to bear.
        let mut command = Command::new("pebble");
        command.arg("-config").arg(path).env("PEBBLE_VA_NOSLEEP", "1");
        let process = start(command.args(["-dnsserver", &names.to_string()]))?;
        let mut command = Command::new("pebble-challtestsrv");
        command.args(["-dns01", &names.to_string(), "-management", &names_management.to_string()]);
        command.args(["-defaultIPv4", "127.0.0.1", "-defaultIPv6", ""]);
        let _names = start(command.args(["-http01", "", "-https01", "", "-tlsalpn01", ""]))?;
        let answers = async {
            for address in [server, management, names] {
                while TcpStream::connect(address).await.is_err() {
                    yield_now().await;
                }
            }
        };
        timeout(PATIENCE, answers).await.context("pebble does not answer")?;
        let directory = format!("https://localhost:{}/dir", server.port());
        Ok(Self { directory, directory_root: certificate, management, process, _names, _folder: folder })
    }

    /// The root of the certificates that it gives.
    ///
    /// # Errors
    /// When it does not say.
    pub async fn roots(&self) -> Result<RootCertStore> {
        let (_, _, pem) = over_http1(self.management, "/roots/0").await?;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&pem)?)?;
        Ok(roots)
    }

    /// Ends it.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(self) -> Result<()> {
        self.process.terminate().await.map(drop)
    }
}

fn start(command: &mut Command) -> Result<Process> {
    Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()))
        .context("run: apt-get install -y --no-install-recommends pebble")
}
