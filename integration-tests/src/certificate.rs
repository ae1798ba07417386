//! A certificate in files, as an operator keeps it and replaces it while somebody is connected.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use headwater::server::tls;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::pages;

/// A certificate for `localhost`, and its key.
#[derive(Debug, Clone)]
pub struct CertificateFiles {
    /// The certificate.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl CertificateFiles {
    /// Makes them in a folder.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn make(folder: &Path) -> Result<Self> {
        let files = Self::in_folder(folder);
        files.replace()?;
        Ok(files)
    }

    /// Those that were made in a folder.
    pub fn in_folder(folder: &Path) -> Self {
        Self { certificate: folder.join("certificate.pem"), key: folder.join("key.pem") }
    }

    /// Makes others in their place.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn replace(&self) -> Result<()> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()])?;
        fs::write(&self.certificate, made.cert.pem())?;
        Ok(fs::write(&self.key, made.signing_key.serialize_pem())?)
    }

    /// The gateway's configuration with them.
    pub fn config(&self) -> tls::Config {
        tls::Config::Files { certificate: self.certificate.clone(), key: self.key.clone() }
    }

    /// The same as settings on a command line.
    pub fn settings(&self) -> [String; 2] {
        let set = |key: &str, file: &Path| format!("tls.{key}={}", file.display());
        [set("certificate", &self.certificate), set("key", &self.key)]
    }

    /// Checks that newcomers over TLS are shown those that are there.
    ///
    /// # Errors
    /// When they are shown another certificate.
    pub async fn are_served(&self, server: SocketAddr) -> Result<()> {
        let socket = pages::connect(server, &[b"http/1.1"]).await?;
        let shown = socket.get_ref().1.peer_certificates().and_then(<[_]>::first).context("no certificate")?;
        ensure!(*shown == CertificateDer::from_pem_file(&self.certificate)?, "the certificate was not replaced");
        Ok(())
    }
}
