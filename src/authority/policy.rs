//! Open, keys and tokens: what can be decided at once.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use ipnet::IpNet;
use ring::hmac;
use ring::rand::SystemRandom;
use thiserror::Error;

use super::config::{Config, Key, Rule};
use super::pattern::Pattern;
use super::token::{Claims, InvalidKey, Verifier, is_among};
use super::{Action, Secret};

/// When whoever finds no room is to try again: some viewers have left by then.
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// What somebody wants.
#[derive(Debug, Clone)]
pub struct Claim<'a> {
    /// What.
    pub action: Action,
    /// Of which stream: `app/name`.
    pub path: &'a str,
    /// From where, IPv4 addresses being such.
    pub address: IpAddr,
    /// By what right.
    pub credential: Option<&'a Secret>,
}

/// By what something is granted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Basis {
    /// The key's name, the token's `sub`, `open` or `hook`.
    pub name: Arc<str>,
    /// The token's `jti`.
    pub token: Option<Arc<str>>,
    /// When it ends.
    pub expires: Option<SystemTime>,
}

/// Why something is not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Denial {
    /// No credential came.
    #[error("no credential")]
    Missing,
    /// It is neither a key nor a token that can be believed.
    #[error("a wrong credential")]
    Wrong,
    /// It holds no longer, or not yet.
    #[error("a credential that has expired")]
    Expired,
    /// It is for other streams.
    #[error("a credential for another path")]
    Path,
    /// It is for something else.
    #[error("a credential for another action")]
    Action,
    /// It is for somewhere else.
    #[error("a credential for another address")]
    Address,
    /// It was revoked.
    #[error("a credential that was revoked")]
    Revoked,
    /// The hook says no.
    #[error("the hook refuses")]
    Hook,
    /// The hook says nothing, or nothing that can be understood.
    #[error("the hook does not answer")]
    Unanswered,
    /// There is no room. The same may be granted later.
    #[error("too many {what}")]
    Full {
        /// Of what.
        what: &'static str,
        /// When to try again.
        retry_after: Duration,
    },
}

/// What becomes of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Decision {
    Granted(Basis),
    Denied(Denial),
    /// The hook knows.
    Unknown,
}

/// A configuration that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{key}: {message}")]
pub struct PolicyError {
    /// The setting.
    pub key: &'static str,
    /// What is wrong, and what would be right.
    pub message: String,
}

/// The configuration, resolved.
#[derive(Debug)]
pub(super) struct Policy {
    publish: Rule,
    view: Rule,
    /// Keys are compared by their codes under this one, which nobody knows: in constant time, whatever their lengths.
    comparison: hmac::Key,
    keys: Vec<StaticKey>,
    tokens: Vec<Verifier>,
    revoked: Vec<String>,
    has_hook: bool,
    origins: Vec<String>,
}

#[derive(Debug)]
struct StaticKey {
    name: Arc<str>,
    code: hmac::Tag,
    paths: Vec<Pattern>,
    actions: Vec<Action>,
    addresses: Vec<IpNet>,
}

impl Policy {
    /// Everybody may do everything.
    pub(super) fn open() -> Self {
        Self {
            publish: Rule::Open,
            view: Rule::Open,
            comparison: hmac::Key::new(hmac::HMAC_SHA256, &[]),
            keys: Vec::new(),
            tokens: Vec::new(),
            revoked: Vec::new(),
            has_hook: false,
            origins: Vec::new(),
        }
    }

    /// Reads the files that the configuration names.
    pub(super) fn new(config: &Config) -> Result<Self, PolicyError> {
        let comparison = hmac::Key::generate(hmac::HMAC_SHA256, &SystemRandom::new())
            .map_err(|_| PolicyError { key: "authority.keys", message: "no random numbers to be had".into() })?;
        let keys = config.keys.iter().map(|key| StaticKey::new(key, &comparison)).collect::<Result<_, _>>()?;
        let mut tokens = Vec::new();
        for key in &config.tokens {
            let refuse = |message| PolicyError { key: "authority.tokens", message: format!("{}: {message}", key.name) };
            let secret = key.key.read().map_err(refuse)?;
            let verifier = Verifier::new(key.algorithm, &secret);
            tokens.push(verifier.map_err(|error: InvalidKey| refuse(error.to_string()))?);
        }
        Ok(Self {
            publish: config.publish,
            view: config.view,
            comparison,
            keys,
            tokens,
            revoked: config.revoked.clone(),
            has_hook: config.hook.url.is_some(),
            origins: config.origins.iter().map(|origin| origin.trim_end_matches('/').to_ascii_lowercase()).collect(),
        })
    }

    /// Whether anybody may do it.
    pub(super) fn is_open(&self, action: Action) -> bool {
        let rule = match action {
            Action::Publish => self.publish,
            Action::View => self.view,
        };
        rule == Rule::Open
    }

    /// Decides about a claim.
    pub(super) fn decide(&self, claim: &Claim<'_>, revoked: &dyn Fn(&str) -> bool, now: SystemTime) -> Decision {
        if self.is_open(claim.action) {
            return Decision::Granted(Basis { name: "open".into(), token: None, expires: None });
        }
        let is_revoked = |name: &str| revoked(name) || self.revoked.iter().any(|revoked| revoked == name);
        let decided = claim.credential.and_then(|credential| {
            let key = self.key(credential).map(|key| key.decide(claim, &is_revoked));
            key.or_else(|| Some(decide_token(&self.claims(credential)?, claim, &is_revoked, now)))
        });
        match decided {
            Some(Ok(basis)) => Decision::Granted(basis),
            Some(Err(denial)) => Decision::Denied(denial),
            None if self.has_hook => Decision::Unknown,
            None if claim.credential.is_none() => Decision::Denied(Denial::Missing),
            None => Decision::Denied(Denial::Wrong),
        }
    }

    /// Whether a page of `origin` may play, that was asked for at `host`.
    pub(super) fn admits(&self, origin: &str, host: Option<&str>) -> bool {
        let own = || origin.split_once("://").is_some_and(|(_, page)| host.is_some_and(|host| host == page));
        self.origins.is_empty() || self.origins.iter().any(|known| known.eq_ignore_ascii_case(origin)) || own()
    }

    /// The key that this is. All are compared, so that the time tells nothing.
    fn key(&self, credential: &Secret) -> Option<&StaticKey> {
        let bytes = credential.reveal().as_bytes();
        let is_it = |key: &StaticKey| hmac::verify(&self.comparison, bytes, key.code.as_ref()).is_ok();
        self.keys.iter().fold(None, |found, key| if is_it(key) { Some(key) } else { found })
    }

    fn claims(&self, credential: &Secret) -> Option<Claims> {
        self.tokens.iter().find_map(|verifier| verifier.verify(credential))
    }
}

impl StaticKey {
    fn new(key: &Key, comparison: &hmac::Key) -> Result<Self, PolicyError> {
        let refuse = |message| PolicyError { key: "authority.keys", message: format!("{}: {message}", key.name) };
        let secret = key.secret.read().map_err(refuse)?;
        if Secret::brought(secret.reveal()).is_none() {
            return Err(refuse("the secret is empty, or too long to be sent".into()));
        }
        Ok(Self {
            name: key.name.as_str().into(),
            code: hmac::sign(comparison, secret.reveal().as_bytes()),
            paths: key.paths.clone(),
            actions: key.actions.clone(),
            addresses: key.addresses.clone(),
        })
    }

    fn decide(&self, claim: &Claim<'_>, is_revoked: &dyn Fn(&str) -> bool) -> Result<Basis, Denial> {
        if is_revoked(&self.name) {
            return Err(Denial::Revoked);
        }
        scope(&self.paths, &self.actions, &self.addresses, claim)?;
        Ok(Basis { name: Arc::clone(&self.name), token: None, expires: None })
    }
}

fn decide_token(
    token: &Claims,
    claim: &Claim<'_>,
    is_revoked: &dyn Fn(&str) -> bool,
    now: SystemTime,
) -> Result<Basis, Denial> {
    if !token.is_for_us() {
        return Err(Denial::Wrong);
    }
    if [&token.jti, &token.sub].into_iter().flatten().any(|name| is_revoked(name)) {
        return Err(Denial::Revoked);
    }
    if !token.holds_at(now) {
        return Err(Denial::Expired);
    }
    scope(&token.paths, &token.actions, &token.addresses, claim)?;
    Ok(Basis {
        name: token.sub.as_deref().unwrap_or("token").into(),
        token: token.jti.as_deref().map(Into::into),
        expires: Some(token.expires()),
    })
}

fn scope(paths: &[Pattern], actions: &[Action], addresses: &[IpNet], claim: &Claim<'_>) -> Result<(), Denial> {
    if !actions.contains(&claim.action) {
        return Err(Denial::Action);
    }
    if !paths.iter().any(|pattern| pattern.matches(claim.path)) {
        return Err(Denial::Path);
    }
    if !is_among(addresses, claim.address) {
        return Err(Denial::Address);
    }
    Ok(())
}

impl Denial {
    /// The names of all.
    pub(super) const NAMES: [&str; 10] =
        ["missing", "wrong", "expired", "path", "action", "address", "revoked", "hook", "unanswered", "full"];

    /// There is no room for one of `what`.
    pub(super) fn full(what: &'static str) -> Self {
        Self::Full { what, retry_after: RETRY_AFTER }
    }

    /// Whether it is what guessing comes to.
    pub fn is_guess(&self) -> bool {
        matches!(self, Self::Wrong | Self::Hook)
    }

    /// What whoever asks is told: enough to do something about it, and nothing that helps in guessing.
    pub fn told(&self) -> String {
        match self {
            Self::Missing => "A credential is needed".into(),
            Self::Full { what, retry_after } => {
                format!("Too many {what}; try again in {} s", retry_after.as_secs().max(1))
            }
            Self::Expired => "The token has expired".into(),
            Self::Wrong | Self::Path | Self::Action | Self::Address | Self::Revoked | Self::Hook | Self::Unanswered => {
                "Not allowed".into()
            }
        }
    }

    /// When to try again, if that is of any use.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Full { retry_after, .. } => Some(*retry_after),
            _ => None,
        }
    }

    /// Its name, for metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Wrong => "wrong",
            Self::Expired => "expired",
            Self::Path => "path",
            Self::Action => "action",
            Self::Address => "address",
            Self::Revoked => "revoked",
            Self::Hook => "hook",
            Self::Unanswered => "unanswered",
            Self::Full { .. } => "full",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::super::token::{Algorithm, Signer};
    use super::*;
    use crate::authority::config::TokenKey;

    const KEY: &str = "0123456789abcdef0123456789abcdef";

    fn config() -> Config {
        Config {
            publish: Rule::Closed,
            view: Rule::Closed,
            keys: vec![Key {
                name: "studio".into(),
                secret: Secret::new("studio-key".into()),
                paths: vec!["live/*".parse().unwrap()],
                actions: vec![Action::Publish],
                addresses: vec!["192.0.2.0/24".parse().unwrap()],
            }],
            tokens: vec![TokenKey { name: "shop".into(), algorithm: Algorithm::Hs256, key: Secret::new(KEY.into()) }],
            revoked: vec!["bad".into()],
            ..Config::default()
        }
    }

    fn token(change: impl Fn(&mut Claims)) -> Secret {
        let mut claims = Claims {
            paths: vec!["live/*".parse().unwrap()],
            actions: vec![Action::View],
            exp: 1000,
            ..Claims::default()
        };
        change(&mut claims);
        Signer::new(Algorithm::Hs256, &Secret::new(KEY.into())).unwrap().sign(&claims)
    }

    fn decide(config: &Config, action: Action, credential: Option<&Secret>) -> Decision {
        let claim = Claim { action, path: "live/film", address: [192, 0, 2, 7].into(), credential };
        Policy::new(config).unwrap().decide(&claim, &|_| false, UNIX_EPOCH + Duration::from_secs(500))
    }

    fn denial(action: Action, credential: &Secret) -> Option<Denial> {
        match decide(&config(), action, Some(credential)) {
            Decision::Denied(denial) => Some(denial),
            Decision::Granted(_) => None,
            Decision::Unknown => panic!("there is no hook"),
        }
    }

    #[test]
    fn without_a_configuration_everything_is_open() {
        for action in [Action::Publish, Action::View] {
            assert!(matches!(decide(&Config::default(), action, None), Decision::Granted(_)));
        }
    }

    #[test]
    fn a_closed_gateway_wants_a_credential() {
        assert_eq!(decide(&config(), Action::View, None), Decision::Denied(Denial::Missing));
        assert_eq!(denial(Action::View, &Secret::new("guess".into())), Some(Denial::Wrong));
    }

    #[test]
    fn a_key_is_for_its_actions() {
        let key = Secret::new("studio-key".into());
        assert_eq!(denial(Action::Publish, &key), None);
        assert_eq!(denial(Action::View, &key), Some(Denial::Action));
    }

    #[test]
    fn a_token_is_held_to_what_it_says() {
        let cases: [(Secret, Option<Denial>); 8] = [
            (token(|_| {}), None),
            (token(|claims| claims.exp = 500), Some(Denial::Expired)),
            (token(|claims| claims.nbf = Some(501)), Some(Denial::Expired)),
            (token(|claims| claims.paths = vec!["other/**".parse().unwrap()]), Some(Denial::Path)),
            (token(|claims| claims.actions = vec![Action::Publish]), Some(Denial::Action)),
            (token(|claims| claims.addresses = vec!["10.0.0.0/8".parse().unwrap()]), Some(Denial::Address)),
            (token(|claims| claims.jti = Some("bad".into())), Some(Denial::Revoked)),
            (token(|claims| claims.sub = Some("bad".into())), Some(Denial::Revoked)),
        ];
        for (token, expected) in cases {
            assert_eq!(denial(Action::View, &token), expected);
        }
    }

    #[test]
    fn what_neither_key_nor_token_knows_is_for_the_hook() {
        let mut config = config();
        config.hook.url = "http://127.0.0.1:1/".parse().ok();
        assert_eq!(decide(&config, Action::View, None), Decision::Unknown);
        assert_eq!(decide(&config, Action::View, Some(&Secret::new("guess".into()))), Decision::Unknown);
        // What is known to be wrong is not asked about.
        let expired = token(|claims| claims.exp = 1);
        assert_eq!(decide(&config, Action::View, Some(&expired)), Decision::Denied(Denial::Expired));
    }

    #[test]
    fn secrets_are_read_from_files_and_bad_ones_refused_by_their_setting() {
        let mut config = config();
        config.keys[0].secret = Secret::new("file:/no/such".into());
        let error = Policy::new(&config).unwrap_err();
        assert_eq!(error.key, "authority.keys");
        assert!(error.to_string().starts_with("authority.keys: studio: /no/such: "), "{error}");
        let mut config = self::config();
        config.tokens[0].key = Secret::new("file:Cargo.toml".into());
        assert!(Policy::new(&config).is_ok());
        config.tokens[0].key = Secret::new("short".into());
        assert_eq!(Policy::new(&config).unwrap_err().key, "authority.tokens");
    }

    #[test]
    fn pages_play_from_their_own_gateway_and_from_where_it_is_said() {
        let mut config = config();
        assert!(Policy::new(&config).unwrap().admits("https://any.example", None));
        config.origins = vec!["https://Shop.example/".into()];
        let policy = Policy::new(&config).unwrap();
        assert!(policy.admits("https://shop.example", Some("live.example:4446")));
        assert!(policy.admits("http://live.example:4446", Some("live.example:4446")));
        for origin in ["https://evil.example", "http://shop.example", "null", ""] {
            assert!(!policy.admits(origin, Some("live.example:4446")), "{origin}");
        }
    }
}
