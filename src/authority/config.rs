//! What can be set of authority.

use std::time::Duration;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::pattern::Pattern;
use super::token::Algorithm;
use super::{Action, Secret};
use crate::wire::url::Url;

/// Who may do what. Lists are replaced as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who may publish. Default `open`: a gateway that was just started takes what an encoder sends; it warns of it.
    pub publish: Rule,
    /// Who may view. Default `open`, as above.
    pub view: Rule,
    /// Credentials that stay the same, for encoders that know nothing else. Default none.
    pub keys: Vec<Key>,
    /// What signed tokens are verified with. Default none.
    pub tokens: Vec<TokenKey>,
    /// Tokens that hold no longer, by their `jti`, and persons whose tokens hold no longer, by their `sub`. Default none.
    pub revoked: Vec<String>,
    /// A server that is asked about what is known neither by key nor by token.
    pub hook: Hook,
    /// Origins of the pages that may play, such as `https://shop.example`, beside the gateway's own. Default none, which
    /// means any: a stream that is open to everybody is so to every page.
    pub origins: Vec<String>,
}

/// Who may do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Anybody.
    #[default]
    Open,
    /// Whoever has a credential for it.
    Closed,
}

/// A credential that stays the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// What it is called in logs, and revoked by.
    pub name: String,
    /// The credential, or `file:PATH` of a file that holds it.
    pub secret: Secret,
    /// For which streams.
    pub paths: Vec<Pattern>,
    /// For what.
    pub actions: Vec<Action>,
    /// From where; anywhere if there is none.
    #[serde(default)]
    pub addresses: Vec<IpNet>,
}

/// What signed tokens are verified with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenKey {
    /// What it is called.
    pub name: String,
    /// How they are signed.
    pub algorithm: Algorithm,
    /// HS256: the shared key, 32 bytes or more. EdDSA: the public key in PEM. Or `file:PATH` of a file that holds it.
    pub key: Secret,
}

/// A server that is asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Hook {
    /// Where: `https://host:port/path`, or `http://` on the same machine or network, since credentials are sent to it. Default
    /// none.
    pub url: Option<Url>,
    /// How long it may take; who asks is refused then. Default 2 s: a person waits for it.
    #[serde(with = "humantime_serde")]
    pub timeout: Duration,
    /// How long its answers are remembered. Default 10 s: viewers that connect anew, and those that guess, ask it once.
    #[serde(with = "humantime_serde")]
    pub cache: Duration,
}

impl Default for Hook {
    fn default() -> Self {
        Self { url: None, timeout: Duration::from_secs(2), cache: Duration::from_secs(10) }
    }
}
