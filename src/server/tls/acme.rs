//! Certificates from an authority that gives them to whoever shows that it answers at a domain: ordered and renewed here.
//!
//! | what | specification |
//! |---|---|
//! | accounts, orders, authorizations | RFC 8555 §7 |
//! | `tls-alpn-01`: the authority connects, and is answered in the handshake | RFC 8737 |
//!
//! The library signs what is sent to the authority and reads what comes back. It is given no socket, no file and no certificate
//! in use; what a stranger reaches of all this is in [`Challenges`].

mod challenge;
mod kept;
mod order;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::DnsName;
use rustls::sign::CertifiedKey;
use serde::{Deserialize, Serialize};
use tracing::{info, warn};

pub use self::challenge::Challenges;
use self::kept::Kept;
use self::order::Orderer;
use super::{TlsError, lock};

/// The pause after an order that came to nothing; doubles up to [`MAX_PAUSE`]. Let's Encrypt forgives five failures an hour.
const MIN_PAUSE: Duration = Duration::from_secs(60);

/// The longest pause between two orders: certificates are renewed weeks before their end.
const MAX_PAUSE: Duration = Duration::from_secs(4 * 3600);

/// What is ordered, where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The names that the certificate is for. Default none: nothing is ordered.
    pub domains: Vec<String>,
    /// A mail address that the authority may write to. Default none.
    pub contact: Option<String>,
    /// The authority's directory. Default Let's Encrypt's.
    pub directory: String,
    /// PEM file of the roots that the directory is believed by. Default none: whom this system trusts.
    pub directory_root: Option<PathBuf>,
    /// Where account and certificate are kept. Default `certs`.
    pub folder: PathBuf,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            domains: Vec::new(),
            contact: None,
            directory: "https://acme-v02.api.letsencrypt.org/directory".into(),
            directory_root: None,
            folder: super::DIRECTORY.into(),
        }
    }
}

impl Config {
    /// What is wrong with it.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        if self.domains.is_empty() {
            return Err("tls.acme.domains is empty: name what the certificate is for, or leave tls.acme out");
        }
        if !self.domains.iter().all(|domain| DnsName::try_from(domain.as_str()).is_ok()) {
            return Err(
                "tls.acme.domains: give names such as live.example.org; an address or * can't be shown to be ours",
            );
        }
        if !self.directory.starts_with("https://") {
            return Err("tls.acme.directory: give the address of the authority's directory, https://…");
        }
        Ok(())
    }
}

/// Orders a certificate whenever one is due.
#[derive(Debug)]
pub(super) struct Acme {
    orderer: Orderer,
    challenges: Arc<Challenges>,
    outcomes: Family<Outcome, Counter>,
    plan: Mutex<Plan>,
}

/// How an order has ended.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct Outcome {
    outcome: &'static str,
}

const ISSUED: &str = "issued";
const FAILED: &str = "failed";

#[derive(Debug)]
struct Plan {
    /// When the next order is due.
    due: SystemTime,
    /// How long to wait should it fail.
    pause: Duration,
}

impl Acme {
    /// Makes ready, and finds the certificate that is kept, if it is still valid.
    ///
    /// # Errors
    /// [`TlsError::File`]: the directory's root can't be used.
    pub(super) fn open(
        config: &Config,
        now: SystemTime,
        provider: &Arc<CryptoProvider>,
    ) -> Result<(Self, Option<CertifiedKey>), TlsError> {
        let orderer = Orderer::new(config, provider)?;
        let kept = Kept::find(config, now, provider);
        let plan = Mutex::new(Plan { due: kept.as_ref().map_or(now, |kept| kept.renewal), pause: MIN_PAUSE });
        let acme = Self { orderer, challenges: Arc::default(), outcomes: outcomes(), plan };
        Ok((acme, kept.map(|kept| kept.key)))
    }

    /// What the authority is answered.
    pub(super) fn challenges(&self) -> Arc<Challenges> {
        Arc::clone(&self.challenges)
    }

    /// Counts how orders end.
    pub(super) fn outcomes(&self) -> Family<Outcome, Counter> {
        self.outcomes.clone()
    }

    /// Orders a certificate if one is due at `now`. An order that fails is told and counted, and made again later. Cancel safe.
    pub(super) async fn renew(&self, now: SystemTime) -> Option<CertifiedKey> {
        if now < lock(&self.plan).due {
            return None;
        }
        let ordered = self.orderer.order(&self.challenges, now).await;
        let outcome = if ordered.is_ok() { ISSUED } else { FAILED };
        self.outcomes.get_or_create(&Outcome { outcome }).inc();
        let mut plan = lock(&self.plan);
        match ordered {
            Ok(Kept { key, renewal }) => {
                *plan = Plan { due: renewal, pause: MIN_PAUSE };
                let days = renewal.duration_since(now).unwrap_or_default().as_secs() / (24 * 3600);
                info!(renewed_in_days = days, "the authority has given a certificate");
                Some(key)
            }
            Err(error) => {
                let pause = plan.pause;
                warn!(%error, again_in = ?pause, "no certificate from the authority; the one before stays in use");
                *plan = Plan { due: now + pause, pause: (pause * 2).min(MAX_PAUSE) };
                None
            }
        }
    }
}

/// Counts none yet, and shows that.
pub(super) fn outcomes() -> Family<Outcome, Counter> {
    let outcomes = Family::default();
    for outcome in [ISSUED, FAILED] {
        drop(outcomes.get_or_create(&Outcome { outcome }));
    }
    outcomes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_whose_authority_can_be_asked_safely_are_taken() {
        let config = |domain: &str, directory: &str| Config {
            domains: vec![domain.into()],
            directory: directory.into(),
            ..Config::default()
        };
        assert_eq!(config("live.example.org", "https://ca.example/dir").check(), Ok(()));
        for (domain, directory, says) in [
            ("*.example.org", "https://ca.example", "tls.acme.domains"),
            ("192.0.2.1", "https://ca.example", "tls.acme.domains"),
            ("", "https://ca.example", "tls.acme.domains"),
            ("example.org", "http://ca.example", "tls.acme.directory"),
        ] {
            let error = config(domain, directory).check().unwrap_err();
            assert!(error.starts_with(says), "{domain} {directory}: {error}");
        }
        assert!(Config::default().check().unwrap_err().contains("is empty"));
    }

    #[test]
    fn a_root_that_cannot_be_read_is_named_with_its_key() {
        let config = Config { directory_root: Some("/no/root.pem".into()), ..Config::default() };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let error = Acme::open(&config, SystemTime::UNIX_EPOCH, &provider).unwrap_err().to_string();
        assert!(error.starts_with("tls.acme.directory_root: /no/root.pem: "), "{error}");
    }

    #[tokio::test(start_paused = true)]
    async fn an_authority_that_is_gone_is_asked_again_after_longer_and_longer_pauses() {
        let config = Config {
            domains: vec!["localhost".into()],
            directory: "https://127.0.0.1:1/".into(),
            folder: "/dev/null/certs".into(),
            ..Config::default()
        };
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut now = SystemTime::now();
        let (acme, kept) = Acme::open(&config, now, &provider).unwrap();
        assert!(kept.is_none());
        for pause in [60, 120, 240, 480] {
            assert!(acme.renew(now).await.is_none());
            assert_eq!(lock(&acme.plan).due, now + Duration::from_secs(pause));
            assert!(acme.renew(now).await.is_none());
            now += Duration::from_secs(pause);
        }
        assert_eq!(acme.outcomes.get_or_create(&Outcome { outcome: FAILED }).get(), 4);
    }
}
