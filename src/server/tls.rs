//! TLS: certificates from files, which are read again when they change, from an authority ([`acme`]), or one for development that
//! is made and renewed here.
//!
//! A handshake takes the certificate that is in use when it begins. Whoever is connected keeps its keys, whatever is done to the
//! certificate, over TCP and over QUIC.

pub mod acme;
mod development;

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use prometheus_client::registry::Registry;
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
use tracing::{info, warn};

use self::acme::{Acme, Challenges};
use self::development::Development;
pub(super) use self::development::write as keep_secret;
use super::detect::Protocol;
use crate::clock::Clock;

/// Where development certificates are kept, so that a browser that trusts one goes on trusting it.
const DIRECTORY: &str = "certs";

/// How often the files are read, and the time is compared with that of the development certificate's renewal. Two small reads: to
/// be told of changes would take more, and misses those behind links and on other machines' disks.
const CHECK: Duration = Duration::from_secs(2);

/// Where the certificate is from: both files, an authority, or neither.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Keys", into = "Keys")]
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
    /// An authority, and the certificate for development until it has given one.
    Acme(acme::Config),
}

/// The keys of the file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Keys {
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    acme: acme::Config,
}

/// Why there is no TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is missing, not readable or not PEM. `key` says which one to set right.
    #[error("{key}: {path}: {reason}; give a PEM file that can be read, or leave it out")]
    File {
        /// The configuration key that names it.
        key: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// There is something else in the file of the secret that outlives the gateway.
    #[error("quic.reset_key: {path}: {reason}; give a file that a gateway has made, or the name of one to be made")]
    ResetKey {
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
    current: RwLock<InUse>,
    provider: Arc<CryptoProvider>,
    source: Source,
    acme: Option<Acme>,
}

#[derive(Debug, Clone)]
struct InUse {
    key: Arc<CertifiedKey>,
    is_development: bool,
}

/// Where the certificate is from.
#[derive(Debug)]
enum Source {
    Files {
        certificate: PathBuf,
        key: PathBuf,
        seen: Mutex<Pem>,
    },
    /// With an authority, as long as it has given none.
    Development {
        folder: PathBuf,
        renewal: Mutex<SystemTime>,
    },
}

/// What was in the two files.
#[derive(Clone, PartialEq, Eq)]
struct Pem {
    certificate: Vec<u8>,
    key: Vec<u8>,
}

impl Certificates {
    /// Reads the files, or finds or makes the development certificate.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn load(config: &Config, clock: Clock) -> Result<Arc<Self>, TlsError> {
        let provider = Arc::new(crypto::ring::default_provider());
        match config {
            Config::Files { certificate, key } => {
                let pem = Pem::read(certificate, key)?;
                let current = InUse::new(pem.certify(certificate, key, &provider)?, false);
                let source =
                    Source::Files { certificate: certificate.clone(), key: key.clone(), seen: Mutex::new(pem) };
                Ok(Arc::new(Self { current: RwLock::new(current), provider, source, acme: None }))
            }
            Config::Development => Ok(Arc::new(Self::development(DIRECTORY.into(), clock.wall(), provider)?)),
            Config::Acme(config) => {
                let (acme, kept) = Acme::open(config, clock.wall(), &provider)?;
                let stand_in = Self::development(config.folder.clone(), clock.wall(), provider)?;
                if let Some(key) = kept {
                    stand_in.put(InUse::new(key, false));
                }
                Ok(Arc::new(Self { acme: Some(acme), ..stand_in }))
            }
        }
    }

    fn development(folder: PathBuf, now: SystemTime, provider: Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let found = Development::find_or_make(&folder, now, &provider)?;
        let source = Source::Development { folder, renewal: Mutex::new(found.renewal) };
        Ok(Self { current: RwLock::new(InUse::new(found.key, true)), provider, source, acme: None })
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

    /// The SHA-256 hash of the development certificate, by which a page may trust it; `None` while another one is in use, which
    /// browsers trust by its chain.
    pub fn development_hash(&self) -> Option<[u8; 32]> {
        let current = self.in_use();
        let certificate = current.key.cert.first().filter(|_| current.is_development)?;
        digest(&SHA256, certificate).as_ref().try_into().ok()
    }

    /// What an authority is answered that looks whether a domain is ours.
    pub fn challenges(&self) -> Arc<Challenges> {
        self.acme.as_ref().map(Acme::challenges).unwrap_or_default()
    }

    /// Has it shown how orders end.
    pub fn register(&self, registry: &mut Registry) {
        let outcomes = self.acme.as_ref().map_or_else(acme::outcomes, Acme::outcomes);
        registry.register("certificate_orders", "Certificates ordered from an authority, by how that ended", outcomes);
    }

    /// Reads the files again, or renews the development certificate if that is due at `now`; whether there is another
    /// certificate now.
    ///
    /// # Errors
    /// [`TlsError`]: the certificate is the one that it was.
    pub fn refresh(&self, now: SystemTime) -> Result<bool, TlsError> {
        let is_development = self.in_use().is_development;
        let fresh = match &self.source {
            Source::Files { certificate, key, seen } => {
                let pem = Pem::read(certificate, key)?;
                let mut seen = lock(seen);
                if *seen == pem {
                    return Ok(false);
                }
                let fresh = pem.certify(certificate, key, &self.provider)?;
                *seen = pem;
                fresh
            }
            Source::Development { folder, renewal } => {
                let mut renewal = lock(renewal);
                if !is_development || !development::is_due(*renewal, now) {
                    return Ok(false);
                }
                let found = Development::find_or_make(folder, now, &self.provider)?;
                *renewal = found.renewal;
                found.key
            }
        };
        self.put(InUse::new(fresh, is_development));
        Ok(true)
    }

    fn put(&self, fresh: InUse) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = fresh;
    }

    fn in_use(&self) -> InUse {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Does so for ever, each time that it may be needed, and orders what an authority is to give. Cancel safe.
    pub async fn keep_fresh(&self, clock: Clock) {
        let mut last_failure = None;
        loop {
            if let Some(acme) = &self.acme
                && let Some(key) = acme.renew(clock.wall(), clock.now()).await
            {
                self.put(InUse::new(key, false));
            }
            sleep(CHECK).await;
            match self.refresh(clock.wall()) {
                Ok(true) => info!("another certificate is in use"),
                Ok(false) => last_failure = None,
                // Whoever replaces two files has done half of it for a moment.
                Err(error) if last_failure.is_none() => last_failure = Some((error.to_string(), false)),
                Err(error) => {
                    let error = error.to_string();
                    let is_told = last_failure.as_ref().is_some_and(|(last, is_told)| *is_told && *last == error);
                    if !is_told {
                        warn!(error, "the certificate can't be replaced; the one before stays in use");
                    }
                    last_failure = Some((error, true));
                }
            }
        }
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.in_use().key)
    }
}

impl InUse {
    fn new(key: CertifiedKey, is_development: bool) -> Self {
        Self { key: Arc::new(key), is_development }
    }
}

impl TryFrom<Keys> for Config {
    type Error = &'static str;

    fn try_from(Keys { certificate, key, acme }: Keys) -> Result<Self, &'static str> {
        let wants_acme = acme != acme::Config::default();
        match (certificate, key) {
            (None, None) if wants_acme => acme.check().map(|()| Self::Acme(acme)),
            (None, None) => Ok(Self::Development),
            (Some(_), _) if wants_acme => Err("tls.certificate and tls.acme are both set: set one of them"),
            (_, Some(_)) if wants_acme => Err("tls.key and tls.acme are both set: set one of them"),
            (Some(certificate), Some(key)) => Ok(Self::Files { certificate, key }),
            (Some(_), None) => Err("tls.certificate is set and tls.key is not: set both, or neither"),
            (None, Some(_)) => Err("tls.key is set and tls.certificate is not: set both, or neither"),
        }
    }
}

impl From<Config> for Keys {
    fn from(config: Config) -> Self {
        match config {
            Config::Development => Self::default(),
            Config::Files { certificate, key } => {
                Self { certificate: Some(certificate), key: Some(key), ..Self::default() }
            }
            Config::Acme(acme) => Self { acme, ..Self::default() },
        }
    }
}

impl Pem {
    fn read(certificate: &Path, key: &Path) -> Result<Self, TlsError> {
        Ok(Self { certificate: read_file("tls.certificate", certificate)?, key: read_file("tls.key", key)? })
    }

    /// The certificate and its key, of these files' names.
    fn certify(&self, certificate: &Path, key: &Path, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let refuse = |key, path: &Path, reason| TlsError::File { key, path: path.into(), reason };
        let chain = read_chain(&self.certificate).map_err(|reason| refuse("tls.certificate", certificate, reason))?;
        let private =
            PrivateKeyDer::from_pem_slice(&self.key).map_err(|error| refuse("tls.key", key, error.to_string()))?;
        CertifiedKey::from_der(chain, private, provider).map_err(TlsError::Mismatch)
    }
}

impl fmt::Debug for Pem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pem").finish_non_exhaustive()
    }
}

/// What is behind the lock is right after any panic: each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
        Arc::new(Self::development("/dev/null/certs".into(), Clock.wall(), provider).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(certificate: Option<&str>, key: Option<&str>) -> Result<Config, &'static str> {
        Keys { certificate: certificate.map(Into::into), key: key.map(Into::into), ..Keys::default() }.try_into()
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

    /// Files with a certificate that belongs to their key.
    fn write_pair(certificate: &Path, key: &Path) -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let pair = (made.cert.pem(), made.signing_key.serialize_pem());
        fs::write(certificate, &pair.0).unwrap();
        fs::write(key, &pair.1).unwrap();
        pair
    }

    fn in_use(certificates: &Certificates) -> CertificateDer<'static> {
        certificates.in_use().key.cert[0].clone()
    }

    #[test]
    fn only_a_development_certificate_is_trusted_by_its_hash() {
        assert!(Certificates::in_memory().development_hash().is_some());
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        write_pair(&certificate, &key);
        let config = Config::Files { certificate, key };
        assert_eq!(Certificates::load(&config, Clock).unwrap().development_hash(), None);
    }

    #[test]
    fn files_are_read_again_when_both_have_changed_and_fit() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = (folder.path().join("c.pem"), folder.path().join("k.pem"));
        write_pair(&certificate, &key);
        let config = Config::Files { certificate: certificate.clone(), key: key.clone() };
        let certificates = Certificates::load(&config, Clock).unwrap();
        let first = in_use(&certificates);
        assert!(!certificates.refresh(Clock.wall()).unwrap());
        let (_, second_key) = write_pair(&certificate, &folder.path().join("new-key.pem"));
        assert!(matches!(certificates.refresh(Clock.wall()), Err(TlsError::Mismatch(_))));
        assert_eq!(in_use(&certificates), first);
        fs::write(&key, second_key).unwrap();
        assert!(certificates.refresh(Clock.wall()).unwrap());
        assert_ne!(in_use(&certificates), first);
        fs::remove_file(&key).unwrap();
        assert!(matches!(certificates.refresh(Clock.wall()), Err(TlsError::File { key: "tls.key", .. })));
    }

    #[test]
    fn the_development_certificate_is_renewed_days_before_its_end_and_players_are_told_the_new_hash() {
        let certificates = Certificates::in_memory();
        let (first, day) = (certificates.development_hash(), Duration::from_secs(24 * 3600));
        assert!(!certificates.refresh(Clock.wall() + 10 * day).unwrap());
        assert!(certificates.refresh(Clock.wall() + 11 * day).unwrap());
        assert_ne!(certificates.development_hash(), first);
        assert!(!certificates.refresh(Clock.wall() + 12 * day).unwrap());
    }

    #[test]
    fn each_port_offers_what_it_speaks_and_no_early_data() {
        let quic = Certificates::in_memory().quic(&[Protocol::Http3, Protocol::Native]).unwrap();
        assert_eq!(quic.alpn_protocols, [b"h3".to_vec(), b"headwater/1".to_vec()]);
        assert_eq!(quic.max_early_data_size, 0);
    }
}
