//! Reads a file and the command line's settings into a [`Config`], and explains what is wrong with them.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::{Config, former};

/// Keys whose values are never shown.
const SECRETS: [&str; 2] = ["authority.keys", "authority.tokens"];

/// A configuration, and where each of its keys was set.
#[derive(Debug, Clone, Default)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    file: Option<(PathBuf, String)>,
    flags: Vec<(String, String)>,
}

/// What is wrong with a configuration: where, which key, what, and what would be right.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {message}")]
pub struct ConfigError {
    /// `file:line` or the flag.
    pub place: String,
    /// The key, what is wrong and what would be right.
    pub message: String,
}

/// Reads `file`, then applies `settings` (`key.path=value`, the value in YAML) in their order.
///
/// # Errors
/// [`ConfigError`] for the first thing that is wrong.
pub fn load(file: Option<&Path>, settings: &[String]) -> Result<Loaded, ConfigError> {
    let keys = known_keys();
    let mut loaded = Loaded::default();
    let mut tree = Value::Object(Map::new());
    if let Some(path) = file {
        let place = path.display().to_string();
        let text = fs::read_to_string(path)
            .map_err(|error| ConfigError { place, message: format!("can't be read: {error}") })?;
        loaded.config = read(path, &text, &keys)?;
        tree = parse_yaml(&text).map_err(|error| yaml_error(path, &text, &error, &keys))?;
        loaded.file = Some((path.into(), text));
    }
    // Two settings may be right only together, so a failure counts only if no later setting mends it.
    let mut failure = None;
    for setting in settings {
        let (key, value) = split_setting(setting, &keys)?;
        insert(&mut tree, key, value);
        loaded.flags.push((key.into(), setting.clone()));
        match Config::deserialize_from(&tree) {
            Ok(config) => {
                loaded.config = config;
                failure = None;
            }
            Err(error) => {
                failure.get_or_insert(ConfigError {
                    place: flag(setting),
                    message: format!("{key}: {error}{}", default_of(key)),
                });
            }
        }
    }
    failure.map_or(Ok(loaded), Err)
}

impl Loaded {
    /// Where `key` was set: the flag, `file:line`, or that it is the default.
    pub fn place(&self, key: &str) -> String {
        if let Some((_, setting)) = self.flags.iter().rev().find(|(flag, _)| flag == key) {
            return flag(setting);
        }
        if let Some((path, text)) = &self.file
            && let Some(line) = (1..=text.lines().count()).find(|&line| key_at(text, line).as_deref() == Some(key))
        {
            return at(path, line);
        }
        "default".into()
    }
}

impl Config {
    fn deserialize_from(tree: &Value) -> Result<Self, serde_json::Error> {
        serde_json::from_value(tree.clone())
    }

    pub(super) fn to_tree(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }
}

fn read(path: &Path, text: &str, keys: &BTreeSet<String>) -> Result<Config, ConfigError> {
    serde_saphyr::from_str_with_options(text, options()).map_err(|error| yaml_error(path, text, &error, keys))
}

fn parse_yaml(text: &str) -> Result<Value, serde_saphyr::Error> {
    match serde_saphyr::from_str_with_options(text, options())? {
        Value::Null => Ok(Value::Object(Map::new())),
        tree => Ok(tree),
    }
}

/// `off` is a word here, not YAML 1.1's `false`.
fn options() -> serde_saphyr::Options {
    serde_saphyr::options! { strict_booleans: true, with_snippet: false }
}

fn yaml_error(path: &Path, text: &str, error: &serde_saphyr::Error, keys: &BTreeSet<String>) -> ConfigError {
    let line = error.location().and_then(|location| usize::try_from(location.line()).ok()).unwrap_or_default();
    let message = match (error.without_snippet(), key_at(text, line)) {
        (serde_saphyr::Error::SerdeUnknownField { .. }, Some(key)) => unknown_key(&key, keys),
        (error, Some(key)) => format!("{key}: {error}{}", default_of(&key)),
        (error, None) => error.to_string(),
    };
    ConfigError { place: at(path, line), message }
}

fn at(path: &Path, line: usize) -> String {
    format!("{}:{line}", path.display())
}

/// The dotted key of a line, found by going up through smaller indentations. Block style only, which is what people write.
fn key_at(text: &str, line: usize) -> Option<String> {
    let lines: Vec<&str> = text.lines().take(line).collect();
    let mut parts = Vec::new();
    let mut indent = usize::MAX;
    for line in lines.iter().rev() {
        let trimmed = line.trim_start();
        let own = line.len() - trimmed.len();
        match trimmed.split_once(':') {
            Some((key, _)) if own < indent && !trimmed.starts_with('#') => {
                parts.push(key.trim_matches(['"', '\'', ' ']));
                indent = own;
            }
            // The line asked for holds no key.
            _ if parts.is_empty() => return None,
            _ => {}
        }
        if indent == 0 {
            break;
        }
    }
    parts.reverse();
    Some(parts.join("."))
}

fn split_setting<'a>(setting: &'a str, keys: &BTreeSet<String>) -> Result<(&'a str, Value), ConfigError> {
    let refuse = |message| Err(ConfigError { place: flag(setting), message });
    let Some((key, text)) = setting.split_once('=') else {
        return refuse("write key.path=value".into());
    };
    if !keys.contains(key) {
        return refuse(unknown_key(key, keys));
    }
    match serde_saphyr::from_str_with_options(text, options()) {
        Ok(value) => Ok((key, value)),
        // `[::]:4446` is no YAML, but it is clear what it means.
        Err(_) => Ok((key, Value::String(text.into()))),
    }
}

/// How a setting is named, without the secrets that may be in it.
fn flag(setting: &str) -> String {
    match setting.split_once('=') {
        Some((key, _)) if SECRETS.contains(&key) => format!("--set {key}=***"),
        _ => format!("--set {setting}"),
    }
}

fn insert(tree: &mut Value, key: &str, value: Value) {
    let mut place = tree;
    for part in key.split('.') {
        if !place.is_object() {
            *place = Value::Object(Map::new());
        }
        place = &mut place[part];
    }
    *place = value;
}

fn known_keys() -> BTreeSet<String> {
    let mut keys = BTreeSet::new();
    collect_keys(&Config::default().to_tree(), "", &mut keys);
    keys
}

fn collect_keys(tree: &Value, prefix: &str, keys: &mut BTreeSet<String>) {
    match tree {
        Value::Object(map) => {
            for (key, value) in map {
                let path = if prefix.is_empty() { key.clone() } else { format!("{prefix}.{key}") };
                collect_keys(value, &path, keys);
            }
        }
        _ => {
            keys.insert(prefix.into());
        }
    }
}

fn unknown_key(key: &str, keys: &BTreeSet<String>) -> String {
    if let Some(explanation) = former::explain(key) {
        return explanation;
    }
    if keys.iter().any(|known| known.starts_with(&format!("{key}."))) {
        return format!("{key} is a section: set one of its keys, such as {}", nearest(key, keys));
    }
    format!("unknown key {key}: did you mean {}?", nearest(key, keys))
}

fn nearest<'a>(key: &str, keys: &'a BTreeSet<String>) -> &'a str {
    let likeness = |known: &str| strsim::jaro_winkler(key, known);
    keys.iter().map(String::as_str).max_by(|a, b| likeness(a).total_cmp(&likeness(b))).unwrap_or_default()
}

fn default_of(key: &str) -> String {
    struct Default(Option<Value>);
    impl fmt::Display for Default {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            match &self.0 {
                Some(Value::String(text)) => write!(f, " (default: {text})"),
                Some(Value::Object(_)) | None => Ok(()),
                Some(value) => write!(f, " (default: {value})"),
            }
        }
    }
    let pointer = format!("/{}", key.replace('.', "/"));
    Default(Config::default().to_tree().pointer(&pointer).cloned()).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Address;

    const SHIPPED: &str = include_str!("../../config/headwater.yml");

    fn read_text(text: &str) -> Result<Config, ConfigError> {
        read(Path::new("h.yml"), text, &known_keys())
    }

    fn set(settings: &[&str]) -> Result<Loaded, ConfigError> {
        load(None, &settings.iter().map(|&setting| setting.to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn the_shipped_file_equals_the_defaults_and_holds_every_key() {
        assert_eq!(read_text(SHIPPED).unwrap(), Config::default());
        let mut written = BTreeSet::new();
        collect_keys(&parse_yaml(SHIPPED).unwrap(), "", &mut written);
        assert_eq!(written, known_keys());
    }

    #[test]
    fn an_empty_file_is_all_defaults() {
        for text in ["", "# nothing\n", "rtmp: {}\n"] {
            assert_eq!(read_text(text).unwrap(), Config::default(), "{text:?}");
        }
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_one() {
        let error = read_text("rtmp:\n  address: 1935\nwebsocket:\n  adress: 1\n").unwrap_err();
        assert_eq!(error.to_string(), "h.yml:4: unknown key websocket.adress: did you mean websocket.address?");
    }

    #[test]
    fn an_unknown_section_is_refused_with_the_nearest_key() {
        let error = read_text("rtmpp:\n  address: 1935\n").unwrap_err().to_string();
        assert!(error.starts_with("h.yml:1: unknown key rtmpp: did you mean rtmp."), "{error}");
    }

    #[test]
    fn a_wrong_type_is_refused_with_file_line_key_and_default() {
        let error = read_text("# x\nlimits:\n  connections: many\n").unwrap_err().to_string();
        assert!(error.starts_with("h.yml:3: limits.connections: "), "{error}");
        assert!(error.contains("(default: 10000)"), "{error}");
    }

    #[test]
    fn a_bad_address_is_refused_with_what_would_be_right() {
        let error = read_text("rtmp:\n  address: nowhere\n").unwrap_err().to_string();
        assert!(error.starts_with("h.yml:2: rtmp.address: "), "{error}");
        assert!(error.contains("127.0.0.1:4446"), "{error}");
    }

    #[test]
    fn broken_yaml_is_refused_with_its_line() {
        let error = read_text("rtmp:\n  address: [1\n").unwrap_err().to_string();
        assert!(error.starts_with("h.yml:"), "{error}");
    }

    #[test]
    fn off_is_an_address_and_not_a_boolean() {
        assert_eq!(read_text("rtmp:\n  address: off\n").unwrap().rtmp.address, Address::Off);
        assert_eq!(set(&["rtmp.address=off"]).unwrap().config.rtmp.address, Address::Off);
    }

    #[test]
    fn the_last_setting_wins_and_knows_its_place() {
        let loaded = set(&["rtmp.address=1", "rtmp.address=[::1]:2", "limits.connections=7"]).unwrap();
        assert_eq!(loaded.config.rtmp.address, "[::1]:2".parse().unwrap());
        assert_eq!(loaded.config.limits.connections, 7);
        assert_eq!(loaded.place("rtmp.address"), "--set rtmp.address=[::1]:2");
        assert_eq!(loaded.place("tls.key"), "default");
    }

    #[test]
    fn settings_that_are_right_only_together_are_taken() {
        assert!(set(&["tls.key=k.pem", "tls.certificate=c.pem"]).is_ok());
        let error = set(&["tls.key=k.pem"]).unwrap_err().to_string();
        assert!(error.contains("set both, or neither"), "{error}");
    }

    #[test]
    fn a_wrong_setting_is_refused_by_its_flag() {
        for (setting, says) in [
            ("rtmp", "write key.path=value"),
            ("rtmp=1", "rtmp is a section: set one of its keys, such as rtmp.address"),
            ("rtmp.adress=1", "unknown key rtmp.adress: did you mean rtmp.address?"),
            ("limits.connections=many", "limits.connections: invalid type"),
        ] {
            let error = set(&[setting]).unwrap_err();
            assert_eq!(error.place, format!("--set {setting}"));
            assert!(error.message.starts_with(says), "{error}");
        }
    }

    #[test]
    fn secrets_are_not_shown_when_they_are_refused() {
        for key in SECRETS {
            let error = set(&[&format!("{key}=[{{name: a, secret: hunter2, key: hunter2}}]")]).unwrap_err().to_string();
            assert!(error.contains(key) && !error.contains("hunter2"), "{error}");
        }
        let text = "authority:\n  keys:\n    - secret: hunter2\n      name: 3\n      paths: hunter2\n";
        let error = read_text(text).unwrap_err().to_string();
        assert!(error.starts_with("h.yml:") && !error.contains("hunter2"), "{error}");
    }

    #[test]
    fn a_key_is_found_by_its_line() {
        let text = "a:\n  b: 1\n\n  # c: 1\n  c:\n    d: 2\ne: 3\n";
        let keys: Vec<_> = (1..=7).map(|line| key_at(text, line)).collect();
        let expected = [Some("a"), Some("a.b"), None, None, Some("a.c"), Some("a.c.d"), Some("e")];
        assert_eq!(keys.iter().map(Option::as_deref).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = load(Some(Path::new("/no/such.yml")), &[]).unwrap_err().to_string();
        assert!(error.starts_with("/no/such.yml: can't be read: "), "{error}");
    }
}
