//! Addresses of servers, as a configuration names them.
//!
//! | what | where |
//! |---|---|
//! | `http`, `https`, their ports | RFC 9110 §4.2 |
//! | `host:port` | RFC 3986 §3.2 |

use std::fmt;
use std::str::FromStr;

use axum::http::Uri;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// `http://host:port/path` or `https://host:port/path`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Url {
    text: String,
    /// Whether it is asked inside TLS.
    pub is_https: bool,
    /// A name or an address, without an IPv6 address's brackets.
    pub host: String,
    /// The scheme's own if it names none.
    pub port: u16,
    /// What the request's `Host` says.
    pub authority: String,
    /// Path and query.
    pub target: String,
}

/// A text that is no such address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("write http://host:port/path or https://host:port/path, without a user or a fragment")]
pub struct InvalidUrl;

impl FromStr for Url {
    type Err = InvalidUrl;

    fn from_str(text: &str) -> Result<Self, InvalidUrl> {
        let uri: Uri = text.parse().map_err(|_| InvalidUrl)?;
        let (is_https, port) = match uri.scheme_str() {
            Some("http") => (false, 80),
            Some("https") => (true, 443),
            _ => return Err(InvalidUrl),
        };
        let authority = uri.authority().ok_or(InvalidUrl)?.as_str();
        let (host, port) = host_and_port(authority, port).ok_or(InvalidUrl)?;
        let host = host.trim_matches(['[', ']']);
        // What is behind # is dropped without a word otherwise.
        if authority.contains('@') || text.contains('#') {
            return Err(InvalidUrl);
        }
        let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
        let path = if uri.path().is_empty() { "/" } else { uri.path() };
        let (host, authority, target) = (host.to_owned(), authority.to_owned(), format!("{path}{query}"));
        Ok(Self { text: text.to_owned(), is_https, host, port, authority, target })
    }
}

/// The two parts of `host:port`, or of a host alone; an IPv6 address stays in its brackets.
pub fn host_and_port(text: &str, default: u16) -> Option<(&str, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        // The colons of an IPv6 address are inside its brackets.
        Some((host, port)) if !port.ends_with(']') => (host, port.parse().ok()?),
        _ => (text, default),
    };
    (!host.is_empty() && port != 0).then_some((host, port))
}

impl TryFrom<String> for Url {
    type Error = InvalidUrl;

    fn try_from(text: String) -> Result<Self, InvalidUrl> {
        text.parse()
    }
}

impl From<Url> for String {
    fn from(url: Url) -> Self {
        url.text
    }
}

/// Without path and query, where a secret may be.
impl fmt::Debug for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}/…", if self.is_https { "https" } else { "http" }, self.authority)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_taken_apart() {
        for (text, is_https, host, port, authority, target) in [
            ("http://hook.example", false, "hook.example", 80, "hook.example", "/"),
            ("https://hook.example/may?key=x", true, "hook.example", 443, "hook.example", "/may?key=x"),
            ("http://127.0.0.1:8080/a/b", false, "127.0.0.1", 8080, "127.0.0.1:8080", "/a/b"),
            ("https://[::1]/", true, "::1", 443, "[::1]", "/"),
            ("https://[2001:db8::1]:8443?q", true, "2001:db8::1", 8443, "[2001:db8::1]:8443", "/?q"),
        ] {
            let url: Url = text.parse().unwrap();
            let found = (url.is_https, &*url.host, url.port, &*url.authority, &*url.target);
            assert_eq!(found, (is_https, host, port, authority, target), "{text}");
            assert_eq!(String::from(url), text);
        }
    }

    #[test]
    fn what_can_t_be_asked_is_refused() {
        for text in [
            "",
            "hook.example",
            "/may",
            "ftp://hook.example/",
            "http://",
            "http:///may",
            "http://:80/",
            "http://hook.example:0/",
            "http://hook.example:99999/",
            "http://user:password@hook.example/",
            "http://hook.example/#there",
            "http://hook example/",
        ] {
            assert_eq!(text.parse::<Url>(), Err(InvalidUrl), "{text}");
        }
    }

    #[test]
    fn what_may_be_secret_is_not_shown() {
        let url: Url = "https://hook.example/may?key=secret".parse().unwrap();
        assert_eq!(format!("{url:?}"), "https://hook.example/…");
    }
}
