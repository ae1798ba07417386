//! Who may publish and view what, and what is open by that right: one policy for every way in.
//!
//! ```text
//!               visit                    ask                            Grant (while it is used)
//! connection ─────────▶ Visitor ──────────────────▶ policy: open, keys, tokens ─┬▶ Granted
//!      ▲                                                                        ├▶ Denied
//!      └── Cut ◀── kick, revoke, expiry, another policy                         └▶ the hook is asked (elsewhere)
//! ```
//!
//! Whoever serves a connection registers it with [`Authority::visit`], and ends it as soon as its [`Leash`] is done.
//! Whoever serves its commands asks with [`Visitor::ask`] for each stream, and keeps the [`Grant`] while it is used.
//!
//! Invariant: no clock, and no I/O but reading the files of secrets that a configuration names. The hook is asked by whoever takes
//! [`Authority::questions`].
//! Invariant: a credential is a [`Secret`], which no log, metric or answer can show.

mod ask;
mod config;
mod gate;
mod hook;
mod limits;
mod metrics;
mod pattern;
mod policy;
mod secret;
mod session;
#[cfg(test)]
mod tests;
mod token;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use self::ask::{Asking, Grant, Wish};
pub use self::config::{Config, Hook, Key, Rule, TokenKey};
pub use self::gate::{Arrival, Authority, Visitor};
pub use self::hook::{Question, Verdict};
pub use self::limits::{Address, Limits, Node, Path, Tenant};
pub use self::pattern::{InvalidPattern, Pattern};
pub use self::policy::{Basis, Claim, Denial, PolicyError};
pub use self::secret::Secret;
pub use self::session::{Cut, Entrance, Leash, SessionId, Summary, Use};
pub use self::token::{Algorithm, Audience, Claims, InvalidKey, Signer, random_id};

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// To publish a stream.
    Publish,
    /// To view one.
    View,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Publish => "publish",
            Self::View => "view",
        })
    }
}
