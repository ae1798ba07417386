use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// Most bytes in a path, so that names can't fill memory, logs and the live list.
const MAX_LEN: usize = 255;

/// The name of a live stream: `app/name`. Cloning shares it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamPath(Arc<str>);

impl StreamPath {
    /// Joins an application and a stream name. Either may hold `/` inside, at most 255 bytes together.
    ///
    /// # Errors
    /// [`InvalidPath`] when a part is empty or has an empty, `.` or `..` segment, when they are too long together, or hold
    /// control characters.
    pub fn new(app: &str, name: &str) -> Result<Self, InvalidPath> {
        let path = format!("{app}/{name}");
        if path.len() > MAX_LEN {
            return Err(InvalidPath("it is longer than 255 bytes"));
        }
        if path.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return Err(InvalidPath("a part is empty, '.' or '..'"));
        }
        if path.contains(char::is_control) {
            return Err(InvalidPath("it holds control characters"));
        }
        Ok(Self(path.into()))
    }

    /// The path as text: `app/name`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StreamPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name that no stream can have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("not a stream path: {0}")]
pub struct InvalidPath(pub &'static str);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_its_parts_joined() {
        assert_eq!(StreamPath::new("live", "demo").unwrap().as_str(), "live/demo");
        assert_eq!(StreamPath::new("live/inst", "a/b").unwrap().to_string(), "live/inst/a/b");
    }

    #[test]
    fn names_that_no_stream_can_have_are_refused() {
        for (app, name) in
            [("", "x"), ("live", ""), ("/live", "x"), ("live/", "x"), ("live", "x/"), ("live", "../x"), ("live", "x\n")]
        {
            assert!(StreamPath::new(app, name).is_err(), "{app:?} {name:?}");
        }
        assert!(StreamPath::new("live", &"x".repeat(251)).is_err());
        assert!(StreamPath::new("live", &"x".repeat(250)).is_ok());
    }
}
