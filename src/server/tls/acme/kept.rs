//! What of an authority is kept in files: the account's key, and the certificate with its own.
//!
//! Authorities give the same certificate only a few times a week, so a gateway that is restarted goes on with the one that it has.
//! Text before a PEM block is a comment (RFC 7468 §5.2): it says there whose the file is, and for what.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use tracing::warn;
use x509_parser::parse_x509_certificate;

use super::super::{development, read_chain};
use super::Config;

const ACCOUNT_FILE: &str = "acme-account.pem";
const CERTIFICATE_FILE: &str = "acme-certificate.pem";

/// A certificate of the authority's.
#[derive(Debug)]
pub(super) struct Kept {
    /// The certificate, its intermediates and its key.
    pub(super) key: CertifiedKey,
    /// When another one is to be ordered: after two thirds of its life.
    pub(super) renewal: SystemTime,
}

impl Kept {
    /// The certificate that is kept for these domains, unless it has ended or is broken.
    pub(super) fn find(config: &Config, now: SystemTime, provider: &Arc<CryptoProvider>) -> Option<Self> {
        let text = fs::read_to_string(certificate_file(config)).ok()?;
        let pem = text.strip_prefix(&certificate_comment(config))?;
        let (kept, end) = Self::read(pem, provider).ok()?;
        (now < end).then_some(kept)
    }

    /// Reads what the authority gave, and keeps it. The text holds the private key, then the chain.
    pub(super) fn keep(
        config: &Config,
        pem: &str,
        now: SystemTime,
        provider: &Arc<CryptoProvider>,
    ) -> Result<Self, String> {
        let (kept, _) = Self::read(pem, provider)?;
        if kept.renewal <= now {
            return Err("it should have been renewed by now; is this machine's clock right?".into());
        }
        write(&certificate_file(config), &(certificate_comment(config) + pem));
        Ok(kept)
    }

    /// A certificate with its key, and when it ends.
    fn read(pem: &str, provider: &CryptoProvider) -> Result<(Self, SystemTime), String> {
        let private = PrivateKeyDer::from_pem_slice(pem.as_bytes()).map_err(|error| error.to_string())?;
        let chain = read_chain(pem.as_bytes())?;
        let (_, certificate) = parse_x509_certificate(&chain[0]).map_err(|error| error.to_string())?;
        let seconds = |time: x509_parser::time::ASN1Time| u64::try_from(time.timestamp()).unwrap_or_default();
        let (begin, end) = (seconds(certificate.validity.not_before), seconds(certificate.validity.not_after));
        let renewal = begin + end.saturating_sub(begin) / 3 * 2;
        let key = CertifiedKey::from_der(chain, private, provider).map_err(|error| error.to_string())?;
        Ok((Self { key, renewal: at(renewal) }, at(end)))
    }
}

/// The account's key: the one that is kept for this authority, else another one, which is kept.
pub(super) fn account_key(config: &Config) -> Result<KeyPair, rcgen::Error> {
    let (path, comment) = (config.folder.join(ACCOUNT_FILE), format!("directory: {}\n", config.directory));
    let kept = fs::read_to_string(&path).ok();
    if let Some(key) = kept.and_then(|text| KeyPair::from_pem(text.strip_prefix(&comment)?).ok()) {
        return Ok(key);
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    write(&path, &(comment + &key.serialize_pem()));
    Ok(key)
}

fn certificate_file(config: &Config) -> PathBuf {
    config.folder.join(CERTIFICATE_FILE)
}

fn certificate_comment(config: &Config) -> String {
    format!("directory: {}\ndomains: {}\n", config.directory, config.domains.join(" "))
}

fn write(path: &Path, text: &str) {
    let folder = path.parent().map_or(Ok(()), fs::create_dir_all);
    if let Err(error) = folder.and_then(|()| development::write(path, text)) {
        warn!(%error, path = %path.display(), "kept in memory only: the next start orders it again");
    }
}

fn at(unix_seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(unix_seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn provider() -> Arc<CryptoProvider> {
        Arc::new(rustls::crypto::ring::default_provider())
    }

    fn certificate(from: SystemTime, to: SystemTime) -> String {
        let key = KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (from.into(), to.into());
        key.serialize_pem() + &params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn a_kept_certificate_is_found_until_its_end_and_renewed_a_third_of_its_life_before() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { folder: folder.path().join("new"), ..Config::default() };
        let now = UNIX_EPOCH + 20_000 * DAY;
        let kept = Kept::keep(&config, &certificate(now, now + 90 * DAY), now, &provider()).unwrap();
        assert_eq!(kept.renewal, now + 60 * DAY);
        let found = Kept::find(&config, now + 89 * DAY, &provider()).unwrap();
        assert_eq!((found.key.cert, found.renewal), (kept.key.cert, kept.renewal));
        assert!(Kept::find(&config, now + 90 * DAY, &provider()).is_none());
        for other in [
            Config { domains: vec!["other.example".into()], ..config.clone() },
            Config { directory: "https://other.example/".into(), ..config },
        ] {
            assert!(Kept::find(&other, now, &provider()).is_none());
        }
    }

    #[test]
    fn a_certificate_that_is_old_by_this_clock_is_not_ordered_again_and_again() {
        let config = Config { folder: "/dev/null/certs".into(), ..Config::default() };
        let now = UNIX_EPOCH + 20_000 * DAY;
        let error = Kept::keep(&config, &certificate(now - 70 * DAY, now + 20 * DAY), now, &provider()).unwrap_err();
        assert!(error.contains("clock"), "{error}");
    }

    #[test]
    fn every_prefix_of_a_kept_file_is_survived() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { folder: folder.path().into(), ..Config::default() };
        let now = UNIX_EPOCH + 20_000 * DAY;
        Kept::keep(&config, &certificate(now, now + DAY), now, &provider()).unwrap();
        let text = fs::read_to_string(certificate_file(&config)).unwrap();
        for length in 0..text.trim_end().len() {
            fs::write(certificate_file(&config), &text[..length]).unwrap();
            assert!(Kept::find(&config, now, &provider()).is_none(), "{length}");
        }
    }

    #[test]
    fn an_account_is_kept_for_its_authority_and_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { folder: folder.path().into(), ..Config::default() };
        let first = account_key(&config).unwrap().serialize_der();
        assert_eq!(account_key(&config).unwrap().serialize_der(), first);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join(ACCOUNT_FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        let other = Config { directory: "https://other.example/".into(), ..config };
        assert_ne!(account_key(&other).unwrap().serialize_der(), first);
    }
}
