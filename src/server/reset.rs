//! What outlives a gateway that dies: the secret by which the one after it tells clients over QUIC that their connection is no more.
//! Without it they would notice by silence alone.
//!
//! | what | where |
//! |---|---|
//! | stateless reset | RFC 9000 §10.3 |
//! | tokens that show a client's address | RFC 9000 §8.1.3 |
//!
//! A connection's token for its reset follows from the secret, the port and the connection's identifier, so nothing is kept of
//! connections. Each port has keys of its own: asked about another one's connection, it gives nothing away (RFC 9000 §21.11).

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};
use quinn::EndpointConfig;
use quinn_proto::RandomConnectionIdGenerator;
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use tracing::info;

use super::tls::{TlsError, keep_secret};

/// Bytes of a connection's identifier: so many that none comes twice, since a client of the first would know the token for the
/// reset of the second.
const IDENTIFIER: usize = 8;

/// The least time between two resets. After a restart, every client is to be told; each reset is smaller than the packet that it
/// answers, so that a stranger gains nothing by asking for them.
const RESET_INTERVAL: Duration = Duration::from_millis(1);

/// How long a secret is in its file.
const DIGITS: usize = 64;

/// The secret of a gateway, and of all that stand behind the same address.
pub struct Secret([u8; 32]);

impl Secret {
    /// Takes the secret that is kept in `file`; else makes one and keeps it there, or in memory only where nothing can be written.
    ///
    /// # Errors
    /// [`TlsError::ResetKey`]: there is something else, which is left as it is. [`TlsError::Library`]: the system has no random numbers.
    pub fn find_or_make(file: &Path) -> Result<Self, TlsError> {
        if let Some(kept) = Self::find(file)? {
            return Ok(kept);
        }
        let mut secret = [0; 32];
        let random = SystemRandom::new().fill(&mut secret);
        random.map_err(|_| TlsError::Library(rustls::Error::FailedToGetRandomBytes))?;
        let folder = file.parent().map_or(Ok(()), fs::create_dir_all);
        let kept = folder.and_then(|()| keep_secret(file, &(HEXLOWER.encode(&secret) + "\n")));
        if let Err(error) = kept {
            info!(%error, file = %file.display(), "after a kill, viewers over QUIC will notice by silence alone");
        }
        Ok(Self(secret))
    }

    /// The one in `file`; `None` where there is none, or a part of one, since the disk was full or the machine died.
    fn find(file: &Path) -> Result<Option<Self>, TlsError> {
        let not_one = |reason: String| TlsError::ResetKey { path: file.into(), reason };
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(None),
            Err(error) => return Err(not_one(error.to_string())),
        };
        let digits = text.trim_end().as_bytes();
        if digits.len() > DIGITS || !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(not_one(format!("not {DIGITS} hexadecimal digits")));
        }
        Ok(HEXLOWER_PERMISSIVE.decode(digits).ok().and_then(|secret| Some(Self(secret.try_into().ok()?))))
    }

    /// How the endpoint at a port of this number names connections and resets those that it does not know.
    pub fn endpoint(&self, port: u16) -> EndpointConfig {
        let mut endpoint = EndpointConfig::new(Arc::new(self.reset_key(port)));
        endpoint
            .min_reset_interval(RESET_INTERVAL)
            .cid_generator(|| Box::new(RandomConnectionIdGenerator::new(IDENTIFIER)));
        endpoint
    }

    /// What the tokens are sealed with by which clients show at a port of this number that they were at their address before.
    pub fn token_key(&self, port: u16) -> Arc<hkdf::Prk> {
        Arc::new(hkdf::Salt::new(hkdf::HKDF_SHA256, b"tokens").extract(self.of(port, "tokens").as_ref()))
    }

    fn reset_key(&self, port: u16) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, self.of(port, "reset").as_ref())
    }

    fn of(&self, port: u16, purpose: &str) -> hmac::Tag {
        hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &self.0), format!("{purpose} {port}").as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(secret: &Secret, port: u16) -> Vec<u8> {
        hmac::sign(&secret.reset_key(port), b"identifier").as_ref().into()
    }

    #[test]
    fn who_comes_after_has_the_same_secret_and_each_port_its_own_keys() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("certs/reset.key");
        let [first, second] = [0; 2].map(|_| Secret::find_or_make(&file).unwrap());
        assert_eq!(token(&first, 4444), token(&second, 4444));
        assert_ne!(token(&first, 4444), token(&first, 4443));
    }

    #[test]
    fn every_prefix_of_a_kept_secret_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("reset.key");
        let first = Secret::find_or_make(&file).unwrap();
        let text = fs::read_to_string(&file).unwrap();
        for length in 0..text.trim_end().len() {
            fs::write(&file, &text[..length]).unwrap();
            assert!(Secret::find(&file).unwrap().is_none(), "{length}");
        }
        let second = Secret::find_or_make(&file).unwrap();
        assert_ne!(token(&first, 1), token(&second, 1));
        assert_eq!(token(&second, 1), token(&Secret::find(&file).unwrap().unwrap(), 1));
    }

    #[test]
    fn what_is_no_secret_is_refused_and_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pem");
        for text in ["-----BEGIN PRIVATE KEY-----\n", &"a".repeat(65), "\u{fe}"] {
            fs::write(&file, text).unwrap();
            let error = Secret::find_or_make(&file).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains("quic.reset_key") && error.contains("key.pem"), "{error}");
            assert_eq!(fs::read_to_string(&file).unwrap(), text);
        }
    }

    #[test]
    fn where_nothing_can_be_written_each_start_has_another() {
        let [first, second] = [0; 2].map(|_| Secret::find_or_make(Path::new("/dev/null/reset.key")).unwrap());
        assert_ne!(token(&first, 1), token(&second, 1));
    }
}
