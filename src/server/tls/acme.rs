//! Certificates from an authority that gives them to whoever shows that it answers at a domain: ordered and renewed here.
//!
//! | what | specification |
//! |---|---|
//! | accounts, orders, authorizations | RFC 8555 §7 |
//! | `tls-alpn-01`: the authority connects, and is answered in the handshake | RFC 8737 |
//!
//! The library signs what is sent to the authority, and sends it: it looks the authority's name up, opens sockets of its own, on
//! threads of its own beside tokio, and reads what comes back however long that is. The authority is trusted as far as that. The
//! library is given no file and no certificate in use; what a stranger reaches of all this is in [`Challenges`].

mod challenge;
mod kept;
mod order;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

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

/// The pause after an order that came to nothing; doubles up to [`MAX_PAUSE`]. Let's Encrypt forgives five failures an hour, which
/// are as many as there are orders in the first.
const MIN_PAUSE: Duration = Duration::from_secs(120);

/// The longest pause between two orders: certificates are renewed weeks before their end.
const MAX_PAUSE: Duration = Duration::from_secs(4 * 3600);

/// Most characters that are logged of why there is no certificate: the library shows the whole of an answer, which may be a page by
/// whoever stands between.
const MAX_REASON: usize = 500;

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
    /// When the certificate in use is to be renewed. None: there is none.
    renewal: Option<SystemTime>,
    /// No order before, since one has failed. Not a time of day: a clock that is wrong, and set later, is what many fail by.
    not_before: Option<Instant>,
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
        let kept = orderer.kept(now);
        let plan = Mutex::new(Plan::new(kept.as_ref().map(|kept| kept.renewal)));
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

    /// Orders a certificate if one is due, `today` by the time of day. An order that fails is told and counted, and made again
    /// later. Cancel safe.
    pub(super) async fn renew(&self, today: SystemTime, now: Instant) -> Option<CertifiedKey> {
        let renewal = lock(&self.plan).renewal;
        if renewal.is_some_and(|renewal| today < renewal) {
            return None;
        }
        // By the clock of the start it may have ended.
        if let Some(Kept { key, renewal: later }) = self.orderer.kept(today)
            && renewal.is_none_or(|renewal| renewal < later)
        {
            info!("the certificate that is kept is good by this clock");
            lock(&self.plan).renewal = Some(later);
            return Some(key);
        }
        if lock(&self.plan).not_before.is_some_and(|not_before| now < not_before) {
            return None;
        }
        let ordered = self.orderer.order(&self.challenges, today).await;
        let outcome = if ordered.is_ok() { ISSUED } else { FAILED };
        self.outcomes.get_or_create(&Outcome { outcome }).inc();
        let mut plan = lock(&self.plan);
        match ordered {
            Ok(Kept { key, renewal }) => {
                *plan = Plan::new(Some(renewal));
                let days = renewal.duration_since(today).unwrap_or_default().as_secs() / (24 * 3600);
                info!(renewed_in_days = days, "the authority has given a certificate");
                Some(key)
            }
            Err(error) => {
                let pause = plan.pause;
                let error: String = error.to_string().chars().take(MAX_REASON).collect();
                warn!(error, again_in = ?pause, "no certificate from the authority; the one before stays in use");
                plan.not_before = Some(now + pause);
                plan.pause = (pause * 2).min(MAX_PAUSE);
                None
            }
        }
    }
}

impl Plan {
    fn new(renewal: Option<SystemTime>) -> Self {
        Self { renewal, not_before: None, pause: MIN_PAUSE }
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
    use std::path::Path;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

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

    fn provider() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    /// An authority that is gone.
    fn alone(folder: &Path) -> Config {
        Config {
            domains: vec!["localhost".into()],
            directory: "https://127.0.0.1:1/".into(),
            folder: folder.into(),
            ..Config::default()
        }
    }

    /// Keeps a certificate that is valid for ninety days.
    fn keep(config: &Config, from: SystemTime) -> Kept {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(config.domains.clone()).unwrap();
        (params.not_before, params.not_after) = (from.into(), (from + 90 * DAY).into());
        let pem = key.serialize_pem() + &params.self_signed(&key).unwrap().pem();
        Kept::keep(config, &pem, from, &provider()).unwrap()
    }

    fn failed(acme: &Acme) -> u64 {
        acme.outcomes.get_or_create(&Outcome { outcome: FAILED }).get()
    }

    #[tokio::test]
    async fn an_authority_that_is_gone_is_asked_again_after_longer_and_longer_pauses() {
        let (mut now, today) = (Instant::now(), SystemTime::now());
        let (acme, kept) = Acme::open(&alone(Path::new("/dev/null/certs")), today, &provider()).unwrap();
        assert!(kept.is_none());
        for (before, pause) in [120, 240, 480, 960].into_iter().enumerate() {
            assert!(acme.renew(today, now).await.is_none());
            assert_eq!(lock(&acme.plan).not_before, Some(now + Duration::from_secs(pause)));
            // Whatever is done to the time of day.
            for today in [today, today + 1500 * DAY, today - 1500 * DAY] {
                assert!(acme.renew(today, now).await.is_none());
            }
            assert_eq!(failed(&acme), before as u64 + 1);
            now += Duration::from_secs(pause);
        }
    }

    #[tokio::test]
    async fn while_the_certificate_that_is_kept_is_not_to_be_renewed_none_is_ordered() {
        let folder = tempfile::tempdir().unwrap();
        let (config, now, today) = (alone(folder.path()), Instant::now(), SystemTime::now());
        let kept = keep(&config, today);
        let (acme, found) = Acme::open(&config, today, &provider()).unwrap();
        assert_eq!(found.unwrap().cert, kept.key.cert);
        for (days, orders) in [(0, 0), (59, 0), (61, 1)] {
            assert!(acme.renew(today + days * DAY, now).await.is_none());
            assert_eq!(failed(&acme), orders, "{days}");
            assert_eq!(lock(&acme.plan).renewal, Some(kept.renewal));
        }
    }

    #[tokio::test]
    async fn a_clock_that_was_ahead_at_the_start_costs_no_certificate_once_it_is_set() {
        let folder = tempfile::tempdir().unwrap();
        let (config, now, today) = (alone(folder.path()), Instant::now(), SystemTime::now());
        let kept = keep(&config, today);
        let (acme, found) = Acme::open(&config, today + 1500 * DAY, &provider()).unwrap();
        assert!(found.is_none());
        assert!(acme.renew(today + 1500 * DAY, now).await.is_none());
        assert_eq!(failed(&acme), 1);
        assert_eq!(acme.renew(today, now).await.unwrap().cert, kept.key.cert);
        assert!(acme.renew(today, now + MAX_PAUSE).await.is_none());
        assert_eq!(failed(&acme), 1);
    }
}
