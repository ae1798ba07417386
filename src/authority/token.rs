//! Signed tokens: what they say, and whether it is to be believed.
//!
//! | what | specification |
//! |---|---|
//! | `header.claims.signature` | RFC 7515 §3.1, §7.1 |
//! | `exp`, `nbf`, `aud`, `jti`, `sub` | RFC 7519 §4.1 |
//! | HS256 | RFC 7518 §3.2 |
//! | EdDSA with Ed25519 | RFC 8037 §3.1 |
//!
//! ```json
//! {"paths": ["live/*"], "actions": ["view"], "exp": 1893456000, "addresses": ["192.0.2.0/24"], "jti": "7f3a…", "sub": "shop"}
//! ```
//!
//! The algorithm is the key's own, whatever the header says: a token whose header names another is none of that key's.

use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use data_encoding::{BASE64, BASE64URL_NOPAD};
use ipnet::IpNet;
use ring::rand::{SecureRandom, SystemRandom};
use ring::signature::{ED25519, Ed25519KeyPair, UnparsedPublicKey};
use ring::{digest, hmac};
use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::pattern::Pattern;
use super::{Action, Secret};

/// Whom a token is for if it says so.
const AUDIENCE: &str = "headwater";

/// Bytes of a public key of Ed25519, and what stands before them in a PEM file (RFC 8410 §4).
const ED25519_LEN: usize = 32;
const ED25519_INFO: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// What a token says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// Which streams it is about.
    pub paths: Vec<Pattern>,
    /// What may be done with them.
    pub actions: Vec<Action>,
    /// Until when, in seconds since the Unix epoch. A token without end is none.
    pub exp: u64,
    /// From when on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// From where; anywhere if there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<IpNet>,
    /// Names the token, for it to be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// Whose it is, for all of somebody's to be revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// Whom it is for; if it says so, `headwater` must be among them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub aud: Option<Audience>,
}

/// One or more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Audience {
    /// One.
    One(String),
    /// More.
    Many(Vec<String>),
}

/// How tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Algorithm {
    /// HMAC with SHA-256: whoever can verify can mint.
    #[serde(rename = "HS256")]
    Hs256,
    /// Ed25519: the gateway has the public key alone.
    #[serde(rename = "EdDSA")]
    EdDsa,
}

/// What verifies tokens.
#[derive(Debug, Clone)]
pub(super) enum Verifier {
    /// Of HS256.
    Hs256(hmac::Key),
    /// Of EdDSA.
    EdDsa(UnparsedPublicKey<Vec<u8>>),
}

/// What mints tokens.
#[derive(Debug)]
pub enum Signer {
    /// For HS256.
    Hs256(hmac::Key),
    /// For EdDSA.
    EdDsa(Ed25519KeyPair),
}

/// A key that is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidKey {
    /// It could be guessed, offline and at leisure, by whoever has one token.
    #[error("a key for HS256 needs at least 32 bytes (RFC 7518 §3.2); make one with: openssl rand -base64 32")]
    Short,
    /// It is not of the algorithm.
    #[error("no public key of Ed25519 in PEM; get it with: openssl pkey -in private.pem -pubout")]
    NotPublic,
    /// It is not of the algorithm.
    #[error("no private key of Ed25519 in PEM; make one with: openssl genpkey -algorithm ed25519")]
    NotPrivate,
}

/// What a token's header says that matters.
#[derive(Debug, Serialize, Deserialize)]
struct Header {
    alg: String,
    #[serde(default, skip_serializing)]
    crit: Option<serde::de::IgnoredAny>,
}

impl Verifier {
    /// Reads a key: for HS256 any text, for EdDSA a public key in PEM.
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub(super) fn new(algorithm: Algorithm, key: &Secret) -> Result<Self, InvalidKey> {
        match algorithm {
            Algorithm::Hs256 => Ok(Self::Hs256(hs256(key)?)),
            Algorithm::EdDsa => {
                let der = pem(key.reveal(), "PUBLIC KEY").ok_or(InvalidKey::NotPublic)?;
                let bytes = der.strip_prefix(&ED25519_INFO).filter(|bytes| bytes.len() == ED25519_LEN);
                Ok(Self::EdDsa(UnparsedPublicKey::new(&ED25519, bytes.ok_or(InvalidKey::NotPublic)?.to_vec())))
            }
        }
    }

    /// What a token says, if it is one that was signed with this key.
    pub(super) fn verify(&self, token: &Secret) -> Option<Claims> {
        let (signed, signature) = token.reveal().rsplit_once('.')?;
        let (header, claims) = signed.split_once('.')?;
        let header: Header = serde_json::from_slice(&decode(header)?).ok()?;
        if header.alg != self.name() || header.crit.is_some() {
            return None;
        }
        let signature = decode(signature)?;
        let is_right = match self {
            Self::Hs256(key) => hmac::verify(key, signed.as_bytes(), &signature).is_ok(),
            Self::EdDsa(key) => key.verify(signed.as_bytes(), &signature).is_ok(),
        };
        // Nothing of the claims is looked at before.
        is_right.then(|| serde_json::from_slice(&decode(claims)?).ok())?
    }

    fn name(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::EdDsa(_) => "EdDSA",
        }
    }
}

impl Signer {
    /// Reads a key: for HS256 the same as for verifying, for EdDSA a private key in PEM (PKCS #8).
    ///
    /// # Errors
    /// [`InvalidKey`].
    pub fn new(algorithm: Algorithm, key: &Secret) -> Result<Self, InvalidKey> {
        match algorithm {
            Algorithm::Hs256 => Ok(Self::Hs256(hs256(key)?)),
            Algorithm::EdDsa => {
                let der = pem(key.reveal(), "PRIVATE KEY").ok_or(InvalidKey::NotPrivate)?;
                Ok(Self::EdDsa(Ed25519KeyPair::from_pkcs8_maybe_unchecked(&der).map_err(|_| InvalidKey::NotPrivate)?))
            }
        }
    }

    /// Makes a token.
    pub fn sign(&self, claims: &Claims) -> Secret {
        let alg = match self {
            Self::Hs256(_) => "HS256",
            Self::EdDsa(_) => "EdDSA",
        };
        let part = |json: serde_json::Value| BASE64URL_NOPAD.encode(json.to_string().as_bytes());
        let claims = serde_json::to_value(claims).unwrap_or_default();
        let signed = format!("{}.{}", part(serde_json::json!({"alg": alg, "typ": "JWT"})), part(claims));
        let signature = match self {
            Self::Hs256(key) => hmac::sign(key, signed.as_bytes()).as_ref().to_vec(),
            Self::EdDsa(key) => key.sign(signed.as_bytes()).as_ref().to_vec(),
        };
        Secret::new(format!("{signed}.{}", BASE64URL_NOPAD.encode(&signature)))
    }
}

impl Claims {
    /// When it ends.
    pub fn expires(&self) -> SystemTime {
        time(self.exp)
    }

    /// Whether it holds at `now`.
    pub fn holds_at(&self, now: SystemTime) -> bool {
        now < self.expires() && self.nbf.is_none_or(|from| time(from) <= now)
    }

    /// Whether it is for this gateway.
    pub fn is_for_us(&self) -> bool {
        match &self.aud {
            None => true,
            Some(Audience::One(name)) => name == AUDIENCE,
            Some(Audience::Many(names)) => names.iter().any(|name| name == AUDIENCE),
        }
    }
}

/// Whether somebody at `address` is meant.
pub(super) fn is_among(addresses: &[IpNet], address: IpAddr) -> bool {
    addresses.is_empty() || addresses.iter().any(|net| net.contains(&address))
}

/// Makes a name for a token that nobody else makes.
///
/// # Errors
/// The system has no random numbers.
pub fn random_id() -> Result<String, ring::error::Unspecified> {
    let mut bytes = [0; 9];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(BASE64URL_NOPAD.encode(&bytes))
}

/// A time beyond what the clock can tell never comes.
fn time(seconds: u64) -> SystemTime {
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds)).unwrap_or(UNIX_EPOCH + Duration::from_secs(u32::MAX.into()))
}

fn hs256(key: &Secret) -> Result<hmac::Key, InvalidKey> {
    let bytes = key.reveal().as_bytes();
    if bytes.len() < digest::SHA256_OUTPUT_LEN {
        return Err(InvalidKey::Short);
    }
    Ok(hmac::Key::new(hmac::HMAC_SHA256, bytes))
}

fn decode(part: &str) -> Option<Vec<u8>> {
    BASE64URL_NOPAD.decode(part.as_bytes()).ok()
}

/// The first block of that kind. Defined by: RFC 7468, §3.
fn pem(text: &str, kind: &str) -> Option<Vec<u8>> {
    let (_, rest) = text.split_once(&format!("-----BEGIN {kind}-----"))?;
    let (body, _) = rest.split_once(&format!("-----END {kind}-----"))?;
    let body: String = body.split_ascii_whitespace().collect();
    BASE64.decode(body.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    /// RFC 8410 §10.3, without its attributes.
    const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC\n-----END PRIVATE KEY-----\n";
    const PUBLIC: &str = "-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n-----END PUBLIC KEY-----\n";

    fn secret(text: &str) -> Secret {
        Secret::new(text.into())
    }

    fn claims() -> Claims {
        let paths = vec!["live/*".parse().unwrap()];
        Claims { paths, actions: vec![Action::View], exp: 2_000_000_000, jti: Some("a".into()), ..Claims::default() }
    }

    fn pairs() -> [(Signer, Verifier); 2] {
        [(Algorithm::Hs256, KEY, KEY), (Algorithm::EdDsa, PRIVATE, PUBLIC)].map(|(algorithm, private, public)| {
            (Signer::new(algorithm, &secret(private)).unwrap(), Verifier::new(algorithm, &secret(public)).unwrap())
        })
    }

    #[test]
    fn what_was_signed_is_read() {
        for (signer, verifier) in pairs() {
            assert_eq!(verifier.verify(&signer.sign(&claims())), Some(claims()));
        }
    }

    /// RFC 7515, appendix A.1: its claims are not ours, but its signature is right.
    #[test]
    fn the_specification_s_signature_is_right() {
        let key = BASE64URL_NOPAD
            .decode(b"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
            .unwrap();
        let signed = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
        let signature = decode("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").unwrap();
        assert!(hmac::verify(&key, signed.as_bytes(), &signature).is_ok());
    }

    #[test]
    fn every_prefix_and_every_changed_byte_is_refused() {
        for (signer, verifier) in pairs() {
            let token = signer.sign(&claims());
            let token = token.reveal();
            for end in 0..token.len() {
                assert_eq!(verifier.verify(&secret(&token[..end])), None, "{end}");
                let mut changed = token.as_bytes().to_vec();
                // Another digit, and not one that differs in bits alone that are left over.
                changed[end] = if changed[end] == b'-' { b'Q' } else { b'-' };
                assert_eq!(verifier.verify(&secret(std::str::from_utf8(&changed).unwrap())), None, "{end}");
            }
        }
    }

    #[test]
    fn the_header_chooses_no_algorithm() {
        let [(_, hs256), (eddsa, public)] = pairs();
        assert_eq!(hs256.verify(&eddsa.sign(&claims())), None);
        // The public key taken for a shared one.
        let confused = Signer::Hs256(hmac::Key::new(hmac::HMAC_SHA256, PUBLIC.as_bytes()));
        assert_eq!(public.verify(&confused.sign(&claims())), None);
        let part = |text: &str| BASE64URL_NOPAD.encode(text.as_bytes());
        let body = part(&serde_json::to_string(&claims()).unwrap());
        for header in [r#"{"alg":"none"}"#, r#"{"alg":"HS256","crit":["exp"]}"#] {
            let signed = format!("{}.{body}", part(header));
            let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, KEY.as_bytes()), signed.as_bytes());
            let token = format!("{signed}.{}", BASE64URL_NOPAD.encode(signature.as_ref()));
            assert_eq!(hs256.verify(&secret(&token)), None, "{header}");
        }
    }

    #[test]
    fn keys_that_are_none_are_refused() {
        for (algorithm, key, error) in [
            (Algorithm::Hs256, "short", InvalidKey::Short),
            (Algorithm::EdDsa, KEY, InvalidKey::NotPublic),
            (Algorithm::EdDsa, PRIVATE, InvalidKey::NotPublic),
        ] {
            assert_eq!(Verifier::new(algorithm, &secret(key)).unwrap_err(), error);
        }
        assert_eq!(Signer::new(Algorithm::EdDsa, &secret(PUBLIC)).unwrap_err(), InvalidKey::NotPrivate);
    }

    #[test]
    fn a_token_holds_from_its_beginning_to_its_end() {
        let claims = Claims { nbf: Some(100), exp: 200, ..Claims::default() };
        for (at, holds) in [(99, false), (100, true), (199, true), (200, false)] {
            assert_eq!(claims.holds_at(time(at)), holds, "{at}");
        }
        assert!(Claims { exp: u64::MAX, ..Claims::default() }.holds_at(time(0)));
    }

    #[test]
    fn a_token_for_others_is_not_for_us() {
        for (aud, expected) in [
            (None, true),
            (Some(Audience::One("headwater".into())), true),
            (Some(Audience::One("shop".into())), false),
            (Some(Audience::Many(vec!["shop".into(), "headwater".into()])), true),
        ] {
            assert_eq!(Claims { aud, ..Claims::default() }.is_for_us(), expected);
        }
    }

    proptest! {
        #[test]
        fn any_text_is_refused(text in ".*") {
            for (_, verifier) in pairs() {
                prop_assert_eq!(verifier.verify(&secret(&text)), None);
            }
        }
    }
}
