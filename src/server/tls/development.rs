//! The certificate that the gateway makes for itself.
//!
//! It is short-lived because browsers accept one by its hash only if it is valid for at most 14 days; it is kept in files so
//! that one that somebody made an exception for goes on being served after a restart. Text before a PEM block is a comment
//! (RFC 7468 §5.2): the certificate's file says there, in a form that needs no X.509 reader, until when and for whom it is.

use std::env;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use tracing::{info, warn};

use super::TlsError;

const CERTIFICATE_FILE: &str = "dev-certificate.pem";
const KEY_FILE: &str = "dev-key.pem";

/// How long a certificate is valid. Browsers accept at most 14 days for one that they are given by its hash.
const VALIDITY: Duration = Duration::from_secs(13 * 24 * 3600);

/// How long before its end a certificate is replaced: a page that was given the old one's hash has this long to reconnect.
const RENEWAL: Duration = Duration::from_secs(2 * 24 * 3600);

/// A certificate is valid from a little before it was made, for viewers whose clocks are slow. Counts towards [`VALIDITY`].
const SKEW: Duration = Duration::from_secs(3600);

/// A development certificate.
#[derive(Debug)]
pub(super) struct Development {
    /// The certificate and its key.
    pub(super) key: CertifiedKey,
    /// When it is to be replaced.
    pub(super) renewal: SystemTime,
}

impl Development {
    /// Takes the certificate that is kept in `directory`, unless it is old, broken or for another host; else makes one and
    /// keeps it there, or in memory only where nothing can be written.
    pub(super) fn find_or_make(directory: &Path, now: SystemTime, provider: &CryptoProvider) -> Result<Self, TlsError> {
        let names = names();
        if let Some(found) = Self::find(directory, &names, now, provider) {
            return Ok(found);
        }
        let (certificate, key) = make(&names, now)?;
        let expires = now - SKEW + VALIDITY;
        let comment = format!("names: {}\nexpires: {}\n", names.join(" "), unix_seconds(expires));
        match keep(directory, &(comment + &certificate), &key) {
            Ok(()) => {
                info!(directory = %directory.display(), "development certificate made");
            }
            Err(error) => {
                warn!(%error, directory = %directory.display(), "development certificate kept in memory only");
            }
        }
        Ok(Self { key: certify(&certificate, &key, provider)?, renewal: expires - RENEWAL })
    }

    fn find(directory: &Path, names: &[String], now: SystemTime, provider: &CryptoProvider) -> Option<Self> {
        let certificate = fs::read_to_string(directory.join(CERTIFICATE_FILE)).ok()?;
        let key = fs::read_to_string(directory.join(KEY_FILE)).ok()?;
        let comment = |name: &str| certificate.lines().find_map(|line| line.strip_prefix(name));
        let expires = UNIX_EPOCH.checked_add(Duration::from_secs(comment("expires: ")?.parse().ok()?))?;
        let renewal = expires.checked_sub(RENEWAL)?;
        if comment("names: ")? != names.join(" ") || is_due(renewal, now) {
            return None;
        }
        // Fails when another gateway was writing the two files just then.
        Some(Self { key: certify(&certificate, &key, provider).ok()?, renewal })
    }
}

/// Whether a certificate that is to be replaced at `renewal` is to be replaced at `now`. One from the future is another clock's, or
/// of this one before it was set: it is not valid yet, or for longer than it should be.
pub(super) fn is_due(renewal: SystemTime, now: SystemTime) -> bool {
    now >= renewal || renewal + RENEWAL > now + VALIDITY
}

fn names() -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string(), Ipv6Addr::LOCALHOST.to_string()];
    let host = fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| env::var("HOSTNAME").ok());
    if let Some(host) = host.map(|host| host.trim().to_owned())
        && host.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '.')
        && !host.is_empty()
        && !names.contains(&host)
    {
        names.push(host);
    }
    names
}

fn make(names: &[String], now: SystemTime) -> Result<(String, String), rcgen::Error> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "Headwater development");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = (now - SKEW).into();
    params.not_after = (now - SKEW + VALIDITY).into();
    Ok((params.self_signed(&key)?.pem(), key.serialize_pem()))
}

fn keep(directory: &Path, certificate: &str, key: &str) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    write(&directory.join(KEY_FILE), key)?;
    write(&directory.join(CERTIFICATE_FILE), certificate)
}

/// Writes a file that only its owner can read, whole or not at all.
pub(in crate::server) fn write(path: &Path, text: &str) -> io::Result<()> {
    let part = path.with_extension(format!("{}.part", std::process::id()));
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(&part).and_then(|mut file| file.write_all(text.as_bytes()));
    // What is left on a full disk is of no use to anybody.
    written.and_then(|()| fs::rename(&part, path)).inspect_err(|_| drop(fs::remove_file(&part)))
}

fn certify(certificate: &str, key: &str, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
    let pem = |error: rustls::pki_types::pem::Error| TlsError::Library(rustls::Error::General(error.to_string()));
    let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(pem)?;
    let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(pem)?;
    CertifiedKey::from_der(vec![certificate], key, provider).map_err(TlsError::Library)
}

fn unix_seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    struct Directory(PathBuf);

    impl Directory {
        fn new(test: &str) -> Self {
            Self(env::temp_dir().join(format!("headwater-{}-{test}", std::process::id())))
        }

        fn certificate(&self, now: SystemTime) -> Development {
            Development::find_or_make(&self.0, now, &rustls::crypto::ring::default_provider()).unwrap()
        }
    }

    impl Drop for Directory {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn now() -> SystemTime {
        UNIX_EPOCH + 20_000 * DAY
    }

    #[test]
    fn a_kept_certificate_is_used_again_until_it_is_old() {
        let directory = Directory::new("again");
        let first = directory.certificate(now());
        assert_eq!(directory.certificate(now() + 10 * DAY).key.cert, first.key.cert);
        assert_ne!(directory.certificate(now() + 11 * DAY).key.cert, first.key.cert);
    }

    #[test]
    fn renewal_comes_before_the_end() {
        let renewal = Directory::new("renewal").certificate(now()).renewal;
        assert!(renewal > now() + 10 * DAY && renewal < now() + 11 * DAY);
    }

    #[test]
    fn a_certificate_for_another_host_is_replaced() {
        let directory = Directory::new("host");
        let first = directory.certificate(now());
        let path = directory.0.join(CERTIFICATE_FILE);
        fs::write(&path, fs::read_to_string(&path).unwrap().replace("names: localhost", "names: elsewhere")).unwrap();
        assert_ne!(directory.certificate(now()).key.cert, first.key.cert);
    }

    #[test]
    fn a_certificate_from_the_future_is_replaced() {
        let directory = Directory::new("future");
        let first = directory.certificate(now());
        assert_eq!(directory.certificate(now() - SKEW).key.cert, first.key.cert);
        assert!(is_due(first.renewal, now() - DAY) && !is_due(first.renewal, now()));
        assert_ne!(directory.certificate(now() - DAY).key.cert, first.key.cert);
    }

    #[test]
    fn a_date_beyond_all_clocks_is_survived() {
        let directory = Directory::new("beyond");
        let first = directory.certificate(now());
        let path = directory.0.join(CERTIFICATE_FILE);
        let text = fs::read_to_string(&path).unwrap();
        let expires = unix_seconds(first.renewal + RENEWAL).to_string();
        fs::write(&path, text.replace(&expires, &u64::MAX.to_string())).unwrap();
        assert_ne!(directory.certificate(now()).key.cert, first.key.cert);
    }

    #[test]
    fn every_prefix_of_a_kept_file_is_survived() {
        let directory = Directory::new("prefix");
        directory.certificate(now());
        let path = directory.0.join(CERTIFICATE_FILE);
        let text = fs::read_to_string(&path).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        for length in 0..text.trim_end().len() {
            fs::write(&path, &text[..length]).unwrap();
            assert!(Development::find(&directory.0, &names(), now(), &provider).is_none(), "{length}");
        }
    }

    #[test]
    fn where_nothing_can_be_written_the_certificate_stays_in_memory() {
        let directory = Directory(PathBuf::from("/dev/null/certs"));
        assert_eq!(directory.certificate(now()).key.cert.len(), 1);
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_its_owners_alone() {
        use std::os::unix::fs::PermissionsExt;
        let directory = Directory::new("mode");
        directory.certificate(now());
        let mode = fs::metadata(directory.0.join(KEY_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
