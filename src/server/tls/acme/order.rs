//! One order at the authority, from the account to the certificate. Defined by: RFC 8555, §7.

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::CryptoProvider;
use rustls::{ClientConfig, RootCertStore};
use rustls_acme::acme::{Account, AcmeError, Auth, AuthStatus, Directory, Identifier, OrderStatus, Problem};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::super::{TlsError, read_chain, read_file};
use super::kept::{self, Kept};
use super::{Challenges, Config};

/// The longest that an order may take: authorities look from several places, and one that hangs is left.
const PATIENCE: Duration = Duration::from_secs(300);

/// Between two questions of how far an order is.
const POLL: Duration = Duration::from_secs(1);

/// How often a step is made again for whose signature the authority wants another nonce: it may forget those that it gave.
const MAX_BAD_NONCES: usize = 5;

/// How it says so. Defined by: RFC 8555, §6.5.
const BAD_NONCE: &str = "urn:ietf:params:acme:error:badNonce";

/// Where the directory's roots are named.
const ROOT_KEY: &str = "tls.acme.directory_root";

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub(super) enum OrderError {
    /// The authority can't be reached, or what it answers is none.
    #[error("{0}")]
    Acme(#[from] AcmeError),
    /// It has not found us at the domain, or gives none for it: look at the name's address, and whether port 443 comes here.
    #[error("{domain}: {reason}")]
    NotOurs { domain: String, reason: String },
    /// It gives none for all of them together.
    #[error("refused: {0}")]
    Refused(String),
    /// No end in [`PATIENCE`].
    #[error("the authority does not come to an end")]
    Late,
    /// What it gave can't be used.
    #[error("what the authority gave can't be used: {0}")]
    Unusable(String),
    /// No key can be made.
    #[error(transparent)]
    Key(#[from] rcgen::Error),
    /// rustls refuses our own settings.
    #[error(transparent)]
    Library(#[from] rustls::Error),
}

/// Orders certificates.
#[derive(Debug)]
pub(super) struct Orderer {
    config: Config,
    client: Arc<ClientConfig>,
    provider: Arc<CryptoProvider>,
}

impl Orderer {
    pub(super) fn new(config: &Config, provider: &Arc<CryptoProvider>) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        if let Some(path) = &config.directory_root {
            let refuse = |reason| TlsError::File { key: ROOT_KEY, path: path.clone(), reason };
            for root in read_chain(&read_file(ROOT_KEY, path)?).map_err(refuse)? {
                roots.add(root).map_err(|error| refuse(error.to_string()))?;
            }
        } else {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                warn!("this system trusts no certificate: install ca-certificates, or set {ROOT_KEY} or SSL_CERT_FILE");
            }
        }
        let client = ClientConfig::builder_with_provider(Arc::clone(provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Library)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { config: config.clone(), client: Arc::new(client), provider: Arc::clone(provider) })
    }

    /// The certificate that is kept, if it is valid at `now`.
    pub(super) fn kept(&self, now: SystemTime) -> Option<Kept> {
        Kept::find(&self.config, now, &self.provider)
    }

    /// Orders a certificate and keeps it. Cancel safe: what was begun is the authority's to forget.
    pub(super) async fn order(&self, challenges: &Challenges, now: SystemTime) -> Result<Kept, OrderError> {
        let mut trouble = None;
        let pem = timeout(PATIENCE, self.download(challenges, &mut trouble)).await;
        let pem = pem.unwrap_or_else(|_| Err(trouble.map_or(OrderError::Late, OrderError::Acme)))?;
        Kept::keep(&self.config, &pem, now, &self.provider).map_err(OrderError::Unusable)
    }

    /// The private key, then the chain. What is in the way for now is left in `trouble`.
    async fn download(&self, challenges: &Challenges, trouble: &mut Option<AcmeError>) -> Result<String, OrderError> {
        let directory = Directory::discover(&self.client, &self.config.directory).await?;
        let account_key = kept::account_key(&self.config)?.serialize_der();
        let contact: Vec<String> = self.config.contact.iter().map(|address| format!("mailto:{address}")).collect();
        let create = || Account::create_with_keypair(&self.client, directory.clone(), &contact, &account_key);
        let account = step(create).await?;
        let (url, mut order) = step(|| account.new_order(&self.client, self.config.domains.clone())).await?;
        for authorization in &order.authorizations {
            self.authorize(&account, authorization, challenges, trouble).await?;
        }
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut request = CertificateParams::new(self.config.domains.clone())?;
        request.distinguished_name = DistinguishedName::new();
        let request = request.serialize_request(&key)?;
        loop {
            order = match order.status {
                OrderStatus::Valid { certificate } => {
                    let chain = insist(trouble, || account.certificate(&self.client, &certificate)).await;
                    return Ok(key.serialize_pem() + &chain);
                }
                OrderStatus::Invalid => return Err(OrderError::Refused(said(order.error))),
                OrderStatus::Ready => step(|| account.finalize(&self.client, &order.finalize, request.der())).await?,
                OrderStatus::Pending | OrderStatus::Processing => {
                    insist(trouble, || account.order(&self.client, &url)).await
                }
            };
            if !matches!(order.status, OrderStatus::Valid { .. }) {
                sleep(POLL).await;
            }
        }
    }

    /// Shows that one domain is ours.
    async fn authorize(
        &self,
        account: &Account,
        url: &str,
        challenges: &Challenges,
        trouble: &mut Option<AcmeError>,
    ) -> Result<(), OrderError> {
        let asked = insist(trouble, || account.auth(&self.client, url)).await;
        let Identifier::Dns(domain) = asked.identifier.clone();
        if let AuthStatus::Pending = asked.status {
            let (challenge, key) = account.tls_alpn_01(&asked.challenges, domain.clone())?;
            let _answering = challenges.pose(domain, key, &self.provider)?;
            step(|| account.challenge(&self.client, &challenge.url)).await?;
            loop {
                sleep(POLL).await;
                let now = insist(trouble, || account.auth(&self.client, url)).await;
                if !matches!(now.status, AuthStatus::Pending) {
                    return outcome(now);
                }
            }
        }
        outcome(asked)
    }
}

/// Makes a step that is made once, and makes it again if all that is wrong with it is its nonce.
async fn step<T, E: Display, F: Future<Output = Result<T, E>>>(make: impl Fn() -> F) -> Result<T, E> {
    for _ in 0..MAX_BAD_NONCES {
        match make().await {
            Err(error) if error.to_string().contains(BAD_NONCE) => debug!("the authority wants another nonce"),
            made => return made,
        }
    }
    make().await
}

/// Asks until there is an answer, since who asks changes nothing, and an order that is left is lost. What was in the way of the last
/// that was not answered is left in `trouble`.
async fn insist<T, E: Display, F: Future<Output = Result<T, E>>>(trouble: &mut Option<E>, ask: impl Fn() -> F) -> T {
    loop {
        match ask().await {
            Ok(answer) => {
                *trouble = None;
                return answer;
            }
            Err(error) => {
                debug!(%error, "the authority does not answer; asked again");
                *trouble = Some(error);
            }
        }
        sleep(POLL).await;
    }
}

fn outcome(authorization: Auth) -> Result<(), OrderError> {
    let Identifier::Dns(domain) = authorization.identifier;
    match authorization.status {
        AuthStatus::Valid => Ok(()),
        AuthStatus::Pending
        | AuthStatus::Invalid
        | AuthStatus::Revoked
        | AuthStatus::Expired
        | AuthStatus::Deactivated => {
            let problem = authorization.challenges.into_iter().find_map(|challenge| challenge.error);
            Err(OrderError::NotOurs { domain, reason: said(problem) })
        }
    }
}

/// What the authority says is wrong.
fn said(problem: Option<Problem>) -> String {
    let said = problem.and_then(|problem| problem.detail.or(problem.typ));
    said.unwrap_or_else(|| "the authority does not say why".into())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// As the library shows it.
    const FORGOTTEN: &str =
        r#"http request error: non 2xx http status: 400 "{\"type\":\"urn:ietf:params:acme:error:badNonce\"}""#;

    /// Makes a step that fails `failures` times as `error`; how that ends, and after how many attempts.
    async fn make(failures: usize, error: &str) -> (Result<(), String>, usize) {
        let made = Cell::new(0);
        let outcome = step(async || {
            made.set(made.get() + 1);
            if made.get() > failures { Ok(()) } else { Err(error.to_owned()) }
        });
        (outcome.await, made.get())
    }

    #[tokio::test]
    async fn a_step_whose_nonce_is_refused_is_made_again_and_no_other() {
        assert_eq!(make(0, FORGOTTEN).await, (Ok(()), 1));
        assert_eq!(make(2, FORGOTTEN).await, (Ok(()), 3));
        assert_eq!(make(usize::MAX, FORGOTTEN).await, (Err(FORGOTTEN.to_owned()), MAX_BAD_NONCES + 1));
        assert_eq!(make(1, "refused").await, (Err("refused".to_owned()), 1));
    }

    #[tokio::test(start_paused = true)]
    async fn how_far_an_order_is_is_asked_until_it_is_said() {
        let (asked, mut trouble) = (Cell::new(0), None);
        let ask = async || {
            asked.set(asked.get() + 1);
            if asked.get() > 3 { Ok("valid") } else { Err("hung up") }
        };
        assert!(timeout(2 * POLL - POLL / 2, insist(&mut trouble, ask)).await.is_err());
        assert_eq!(trouble, Some("hung up"));
        assert_eq!(insist(&mut trouble, ask).await, "valid");
        assert_eq!((asked.get(), trouble), (4, None));
    }
}
