//! TLS: certificates from files, or one for development that is made and renewed here.

mod development;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, digest};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{ServerConfig, SupportedProtocolVersion, crypto};
use serde::{Deserialize, Serialize};
use tokio::time::sleep;
use tracing::warn;

use self::development::Development;
use super::detect::Protocol;
use crate::clock::Clock;

/// Where development certificates are kept, so that a browser that trusts one goes on trusting it.
const DIRECTORY: &str = "certs";

/// How often the time is compared with that of the renewal, which is days before the certificate's end. A single long sleep
/// would miss it on a machine that is suspended.
const RENEWAL_CHECK: Duration = Duration::from_secs(3600);

/// Certificates: both files, or neither.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Files", into = "Files")]
pub enum Config {
    /// A certificate for this machine, signed by itself, made and renewed by the gateway. The default: it needs nothing.
    #[default]
    Development,
    /// PEM files.
    Files {
        /// The certificate, then its intermediates.
        certificate: PathBuf,
        /// Its private key.
        key: PathBuf,
    },
}

/// The two keys of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Files {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, not readable or not PEM. `key` says which one to set right.
    #[error(
        "{key}: {path}: {reason}; give a PEM file that can be read, or leave both of tls.certificate and tls.key out"
    )]
    File {
        /// The configuration key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Key and certificate don't fit, or the library refuses them.
    #[error("tls.key: {0}; give the private key that belongs to tls.certificate")]
    Mismatch(#[source] rustls::Error),
    /// A development certificate can't be made.
    #[error("no development certificate: {0}")]
    Development(#[from] rcgen::Error),
    /// rustls refuses our own settings.
    #[error("tls: {0}")]
    Library(#[source] rustls::Error),
}

/// The certificate in use, replaceable while connections are served.
#[derive(Debug)]
pub struct Certificates {
    current: RwLock<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
    renewal: Option<SystemTime>,
}

impl Certificates {
    /// Reads the files, or finds or makes the development certificate.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(config: &Config, clock: Clock) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(crypto::ring::default_provider());
        let (key, renewal) = match config {
            Config::Files { certificate, key } => (read_files(certificate, key, &provider)?, None),
            Config::Development => {
                let found = Development::find_or_make(Path::new(DIRECTORY), clock.wall(), &provider)?;
                (found.key, Some(found.renewal))
            }
        };
        Ok(Arc::new(Self { current: RwLock::new(Arc::new(key)), provider, renewal }))
    }

    /// What a TLS connection over TCP is accepted with, on a port that speaks `protocols`, the best first.
    ///
    /// # Errors
    /// [`TlsError::Library`].
    pub fn tcp(self: &Arc<Self>, protocols: &[Protocol]) -> Result<Arc<ServerConfig>, TlsError> {
        self.server_config(rustls::DEFAULT_VERSIONS, protocols)
    }

    /// What a QUIC connection is accepted with, on a port that speaks `protocols`, the best first. TLS 1.3 alone, as RFC 9001
    /// §4.2 demands, and without early data, which could be sent twice.
    ///
    /// # Errors
    /// [`TlsError::Library`].
    pub fn quic(self: &Arc<Self>, protocols: &[Protocol]) -> Result<Arc<ServerConfig>, TlsError> {
        self.server_config(&[&TLS13], protocols)
    }

    fn server_config(
        self: &Arc<Self>,
        versions: &[&'static SupportedProtocolVersion],
        protocols: &[Protocol],
    ) -> Result<Arc<ServerConfig>, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(versions)
            .map_err(TlsError::Library)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(self) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = protocols.iter().map(|protocol| protocol.name().to_vec()).collect();
        Ok(Arc::new(config))
    }

    /// The SHA-256 hash of the development certificate, by which a page may trust it; `None` for one from files, which
    /// browsers trust by its chain.
    pub fn development_hash(&self) -> Option<[u8; 32]> {
        self.renewal?;
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        digest(&SHA256, current.cert.first()?).as_ref().try_into().ok()
    }

    /// Renews the development certificate before it expires; returns at once when there is none. Cancel safe.
    pub async fn renew(&self, clock: Clock) {
        let Some(mut renewal) = self.renewal else { return };
        loop {
            sleep(RENEWAL_CHECK).await;
            if clock.wall() < renewal {
                continue;
            }
            match Development::find_or_make(Path::new(DIRECTORY), clock.wall(), &self.provider) {
                Ok(found) => {
                    renewal = found.renewal;
                    *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(found.key);
                }
                Err(error) => warn!(%error, "certificate not renewed"),
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl TryFrom<Files> for Config {
    type Error = &'static str;

    fn try_from(files: Files) -> Result<Self, &'static str> {
        match (files.certificate, files.key) {
            (None, None) => Ok(Self::Development),
            (Some(certificate), Some(key)) => Ok(Self::Files { certificate, key }),
            (Some(_), None) => Err("tls.certificate is set and tls.key is not: set both, or neither"),
            (None, Some(_)) => Err("tls.key is set and tls.certificate is not: set both, or neither"),
        }
    }
}

impl From<Config> for Files {
    fn from(config: Config) -> Self {
        match config {
            Config::Development => Self::default(),
            Config::Files { certificate, key } => Self { certificate: Some(certificate), key: Some(key) },
        }
    }
}

fn read_files(certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let chain = read_chain(&read_file("tls.certificate", certificate)?).map_err(|reason| TlsError::File {
        key: "tls.certificate",
        path: certificate.into(),
        reason,
    })?;
    let private = PrivateKeyDer::from_pem_slice(&read_file("tls.key", key)?).map_err(|error| TlsError::File {
        key: "tls.key",
        path: key.into(),
        reason: error.to_string(),
    })?;
    CertifiedKey::from_der(chain, private, provider).map_err(TlsError::Mismatch)
}

fn read_file(key: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    fs::read(path).map_err(|error: io::Error| TlsError::File { key, path: path.into(), reason: error.to_string() })
}

fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match chain {
        Ok(chain) if chain.is_empty() => Err("holds no certificate".into()),
        Ok(chain) => Ok(chain),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
impl Certificates {
    /// A development certificate that is kept nowhere.
    pub(super) fn in_memory() -> Arc<Self> {
        let provider = Arc::new(crypto::ring::default_provider());
        let made = Development::find_or_make(Path::new("/dev/null/certs"), Clock.wall(), &provider).unwrap();
        Arc::new(Self { current: RwLock::new(Arc::new(made.key)), provider, renewal: Some(made.renewal) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(certificate: Option<&str>, key: Option<&str>) -> Result<Config, &'static str> {
        Files { certificate: certificate.map(Into::into), key: key.map(Into::into) }.try_into()
    }

    #[test]
    fn one_file_without_the_other_is_refused() {
        assert_eq!(pair(None, None), Ok(Config::Development));
        assert!(pair(Some("c.pem"), Some("k.pem")).is_ok());
        assert!(pair(Some("c.pem"), None).unwrap_err().contains("tls.key is not"));
        assert!(pair(None, Some("k.pem")).unwrap_err().contains("tls.certificate is not"));
    }

    #[test]
    fn an_unreadable_file_is_named_with_its_key() {
        let config = Config::Files { certificate: "/no/c.pem".into(), key: "/no/k.pem".into() };
        let error = Certificates::load(&config, Clock).unwrap_err().to_string();
        assert!(error.starts_with("tls.certificate: /no/c.pem: No such file"), "{error}");
    }

    #[test]
    fn a_file_without_a_certificate_is_refused() {
        let config = Config::Files { certificate: "Cargo.toml".into(), key: "Cargo.toml".into() };
        let error = Certificates::load(&config, Clock).unwrap_err().to_string();
        assert!(error.contains("holds no certificate"), "{error}");
    }

    #[test]
    fn only_a_development_certificate_is_trusted_by_its_hash() {
        let mut certificates = Arc::into_inner(Certificates::in_memory()).unwrap();
        assert!(certificates.development_hash().is_some());
        certificates.renewal = None;
        assert_eq!(certificates.development_hash(), None);
    }

    #[test]
    fn each_port_offers_what_it_speaks_and_no_early_data() {
        let quic = Certificates::in_memory().quic(&[Protocol::Http3, Protocol::Native]).unwrap();
        assert_eq!(quic.alpn_protocols, [b"h3".to_vec(), b"headwater/1".to_vec()]);
        assert_eq!(quic.max_early_data_size, 0);
    }
}
