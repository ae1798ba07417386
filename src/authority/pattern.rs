use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// Most characters of a pattern: a stream's path has no more.
const MAX_LEN: usize = 255;

/// Which streams something is about: `live/film`, `live/*` (`*` is any run of characters without `/`), `live/**` (anything
/// below; only at the end).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Pattern(String);

/// A text that is no [`Pattern`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0:?} is no pattern of paths; write one like live/film, live/* or live/**")]
pub struct InvalidPattern(String);

impl Pattern {
    /// Whether it is about the stream at `path`.
    pub fn matches(&self, path: &str) -> bool {
        let (mut wanted, mut given) = (self.0.split('/'), path.split('/'));
        loop {
            match (wanted.next(), given.next()) {
                (Some("**"), Some(_)) | (None, None) => return true,
                (Some(wanted), Some(given)) if segment_matches(wanted.as_bytes(), given.as_bytes()) => {}
                _ => return false,
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let above = text.strip_suffix("**").unwrap_or(text);
        let is_sound = !text.is_empty()
            && text.len() <= MAX_LEN
            && !above.contains("**")
            && (above.is_empty() || above.len() == text.len() || above.ends_with('/'))
            && text.split('/').all(|segment| !segment.is_empty());
        is_sound.then(|| Self(text.into())).ok_or_else(|| InvalidPattern(text.into()))
    }
}

impl TryFrom<String> for Pattern {
    type Error = InvalidPattern;

    fn try_from(text: String) -> Result<Self, InvalidPattern> {
        text.parse()
    }
}

impl From<Pattern> for String {
    fn from(pattern: Pattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Goes back to the last star alone, so its time is bounded by the product of the lengths.
fn segment_matches(wanted: &[u8], given: &[u8]) -> bool {
    let (mut w, mut g) = (0, 0);
    let mut star = None;
    while g < given.len() {
        match wanted.get(w) {
            Some(b'*') => {
                star = Some((w, g));
                w += 1;
            }
            Some(byte) if *byte == given[g] => {
                w += 1;
                g += 1;
            }
            _ => {
                let Some((at, from)) = star else { return false };
                star = Some((at, from + 1));
                w = at + 1;
                g = from + 1;
            }
        }
    }
    wanted[w..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        pattern.parse::<Pattern>().unwrap().matches(path)
    }

    #[test]
    fn a_star_stays_within_its_segment_and_two_go_below() {
        for (pattern, path, expected) in [
            ("live/film", "live/film", true),
            ("live/film", "live/film2", false),
            ("live/film", "live", false),
            ("live/*", "live/film", true),
            ("live/*", "live/a/b", false),
            ("live/*", "live2/film", false),
            ("live/**", "live/a/b", true),
            ("live/**", "live", false),
            ("**", "any/thing/at/all", true),
            ("*/cam-*", "shop/cam-7", true),
            ("*/cam-*", "shop/7", false),
            ("a/*b*c", "a/xbbxc", true),
            ("a/*b*c", "a/xbbx", false),
        ] {
            assert_eq!(matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn what_could_mean_something_else_is_refused() {
        for text in ["", "/", "live/", "/live", "live//x", "live/**/x", "live/a**", "***", &"x".repeat(256)] {
            assert!(text.parse::<Pattern>().is_err(), "{text}");
        }
    }

    #[test]
    fn many_stars_take_no_time() {
        let pattern = "a*".repeat(120);
        assert!(!matches(&pattern, &("a".repeat(250) + "b" + "/x")));
    }

    proptest! {
        #[test]
        fn a_path_matches_itself_and_everything_below_its_application(app in "[a-z]{1,8}", name in "[a-z/]{0,8}[a-z]") {
            let path = format!("{app}/{}", name.trim_matches('/').replace("//", "/"));
            prop_assume!(path.split('/').all(|segment| !segment.is_empty()));
            prop_assert!(matches(&path, &path));
            let below = format!("{app}/**");
            prop_assert!(matches(&below, &path));
        }
    }
}
