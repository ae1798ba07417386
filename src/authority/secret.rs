use std::fmt;
use std::fs;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest credential that is looked at. Stops strangers from having megabytes compared and kept; a token with a dozen paths
/// has about 500 bytes.
const MAX_LEN: usize = 4096;

/// In front of a file's path, where a secret may stand.
const FILE: &str = "file:";

/// What is shown instead.
const HIDDEN: &str = "***";

/// A credential or a key. It can't be printed, logged or serialized; cloning shares it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Arc<str>);

impl Secret {
    /// A secret of our own.
    pub fn new(text: String) -> Self {
        Self(text.into())
    }

    /// A credential that somebody brings; `None` if it is empty or too long to be one.
    pub fn brought(text: &str) -> Option<Self> {
        (!text.is_empty() && text.len() <= MAX_LEN).then(|| Self(text.into()))
    }

    /// The secret itself, or what is in the file that a configuration names instead (`file:PATH`), without the line's end.
    ///
    /// # Errors
    /// Which file can't be read, and why.
    pub fn read(&self) -> Result<Self, String> {
        match self.0.strip_prefix(FILE) {
            None => Ok(self.clone()),
            Some(path) => match fs::read_to_string(path) {
                Ok(text) => Ok(Self::new(text.trim().into())),
                Err(error) => Err(format!("{path}: {error}")),
            },
        }
    }

    /// The text itself. Compare it in constant time, and show it to nobody.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_way_of_showing_it_shows_it() {
        let secret = Secret::brought("hunter2").unwrap();
        for shown in [format!("{secret:?}"), secret.to_string(), serde_json::to_string(&secret).unwrap()] {
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }

    #[test]
    fn what_can_be_no_credential_is_none() {
        assert_eq!(Secret::brought(""), None);
        assert_eq!(Secret::brought(&"x".repeat(MAX_LEN + 1)), None);
        assert!(Secret::brought(&"x".repeat(MAX_LEN)).is_some());
    }
}
