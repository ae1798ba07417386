//! How the authority is shown that it has reached the one who ordered. Defined by: RFC 8737, §3.

use std::fmt;
use std::sync::{Arc, Mutex};

use rustls::crypto::CryptoProvider;
use rustls::server::ClientHello;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{Error, ServerConfig};

use super::super::lock;
use crate::server::detect::Protocol;

/// What the authority is answered while it validates a domain; at any other time, and to anybody else, nothing.
#[derive(Default)]
pub struct Challenges(Mutex<Option<Posed>>);

struct Posed {
    domain: String,
    config: Arc<ServerConfig>,
}

/// As long as it is there, a challenge is answered.
pub(super) struct Answering<'a>(&'a Challenges);

impl Challenges {
    /// What a handshake is completed with that offers `acme-tls/1` and nothing else, for the domain that is being validated.
    /// It agrees upon that or fails, so nothing is ever served behind it.
    pub fn answer(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        if !hello.alpn()?.eq([Protocol::Acme.name()]) {
            return None;
        }
        let posed = lock(&self.0);
        let posed = posed.as_ref().filter(|posed| hello.server_name() == Some(&posed.domain))?;
        Some(Arc::clone(&posed.config))
    }

    /// Answers for `domain` with `key` until what is returned is dropped.
    pub(super) fn pose(
        &self,
        domain: String,
        key: CertifiedKey,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Answering<'_>, Error> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
            .with_protocol_versions(rustls::DEFAULT_VERSIONS)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![Protocol::Acme.name().to_vec()];
        *lock(&self.0) = Some(Posed { domain, config: Arc::new(config) });
        Ok(Answering(self))
    }
}

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        *lock(&self.0.0) = None;
    }
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let domain = lock(&self.0).as_ref().map(|posed| posed.domain.clone());
        f.debug_tuple("Challenges").field(&domain).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use rustls::pki_types::{PrivateKeyDer, ServerName};
    use rustls::server::Acceptor;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn provider() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    fn key() -> CertifiedKey {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        CertifiedKey::from_der(vec![made.cert.into()], key, &provider()).unwrap()
    }

    fn is_answered(challenges: &Challenges, name: &'static str, protocols: &[&[u8]]) -> bool {
        let config = ClientConfig::builder_with_provider(provider()).with_safe_default_protocol_versions().unwrap();
        let mut config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let mut client = ClientConnection::new(Arc::new(config), ServerName::try_from(name).unwrap()).unwrap();
        let mut hello = Vec::new();
        client.write_tls(&mut hello).unwrap();
        let mut acceptor = Acceptor::default();
        acceptor.read_tls(&mut Cursor::new(hello)).unwrap();
        challenges.answer(&acceptor.accept().unwrap().unwrap().client_hello()).is_some()
    }

    #[test]
    fn only_a_hello_for_the_challenge_alone_and_while_it_is_posed_is_answered() {
        let challenges = Challenges::default();
        assert!(!is_answered(&challenges, "a.example", &[b"acme-tls/1"]));
        let answering = challenges.pose("a.example".into(), key(), &provider()).unwrap();
        assert!(is_answered(&challenges, "a.example", &[b"acme-tls/1"]));
        for protocols in [&[] as &[&[u8]], &[b"h2"], &[b"acme-tls/1", b"h2"], &[b"http/1.1", b"acme-tls/1"]] {
            assert!(!is_answered(&challenges, "a.example", protocols), "{protocols:?}");
        }
        for name in ["b.example", "a.example.org", "192.0.2.1"] {
            assert!(!is_answered(&challenges, name, &[b"acme-tls/1"]), "{name}");
        }
        drop(answering);
        assert!(!is_answered(&challenges, "a.example", &[b"acme-tls/1"]));
    }
}
