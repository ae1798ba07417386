//! `headwater token`: mints a signed token.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail, ensure};
use clap::Args;
use headwater::authority::{Action, Algorithm, Claims, Secret, Signer, TokenKey, random_id};
use headwater::config;
use humantime_serde::re::humantime;

use super::Settings;

/// What a token is to say, and what it is signed with.
#[derive(Debug, Args)]
pub(crate) struct Token {
    /// The configuration, for its authority.tokens.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(flatten)]
    settings: Settings,
    /// Which of authority.tokens to sign with. Default: the first.
    #[arg(long, value_name = "NAME")]
    key: Option<String>,
    /// For EdDSA: the private key, in PEM.
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// Which streams: live/film, live/*, live/**; may be given more than once.
    #[arg(long, value_name = "PATTERN", required = true)]
    path: Vec<String>,
    /// What for: view or publish; may be given more than once.
    #[arg(long, value_name = "ACTION", default_value = "view")]
    action: Vec<String>,
    /// How long it holds: 30m, 12h, 7d.
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    lifetime: String,
    /// From where alone: 192.0.2.0/24; may be given more than once.
    #[arg(long, value_name = "NETWORK")]
    address: Vec<String>,
    /// Whose it is, for all of theirs to be revoked together.
    #[arg(long, value_name = "NAME")]
    subject: Option<String>,
}

impl Token {
    /// The token, and what it is revoked by.
    pub(crate) fn mint(&self, now: SystemTime) -> Result<(Secret, String)> {
        let loaded = config::load(self.config.as_deref(), &self.settings.set)?;
        let signer = self.signer(&loaded.config.authority.tokens)?;
        let lifetime = humantime::parse_duration(&self.lifetime).context("--lifetime: write 30m, 12h or 7d")?;
        let id = random_id().map_err(|_| anyhow!("no random numbers to be had"))?;
        let claims = Claims {
            paths: self.path.iter().map(|path| path.parse()).collect::<Result<_, _>>().context("--path")?,
            actions: self.action.iter().map(|action| action_named(action)).collect::<Result<_>>()?,
            exp: since_epoch(now)?.saturating_add(lifetime).as_secs(),
            addresses: self.address.iter().map(|address| network(address)).collect::<Result<_>>()?,
            jti: Some(id.clone()),
            sub: self.subject.clone(),
            ..Claims::default()
        };
        Ok((signer.sign(&claims), id))
    }

    fn signer(&self, keys: &[TokenKey]) -> Result<Signer> {
        let found = match &self.key {
            Some(name) => keys.iter().find(|key| key.name == *name),
            None => keys.first(),
        };
        let key = found.context("authority.tokens holds no such key; give --config, and --key if there are several")?;
        let secret = match (key.algorithm, &self.private_key) {
            (Algorithm::Hs256, None) => key.key.read().map_err(|error| anyhow!("{}: {error}", key.name))?,
            (Algorithm::Hs256, Some(_)) => bail!("--private-key is for EdDSA, and {} is of HS256", key.name),
            (Algorithm::EdDsa, Some(file)) => {
                let text =
                    std::fs::read_to_string(file).with_context(|| format!("--private-key {}", file.display()))?;
                Secret::new(text)
            }
            (Algorithm::EdDsa, None) => bail!("{} is of EdDSA: give its --private-key", key.name),
        };
        Signer::new(key.algorithm, &secret).with_context(|| key.name.clone())
    }
}

fn action_named(name: &str) -> Result<Action> {
    match name {
        "publish" => Ok(Action::Publish),
        "view" => Ok(Action::View),
        other => bail!("--action {other}: write view or publish"),
    }
}

fn network<T: std::str::FromStr>(text: &str) -> Result<T> {
    // One address is a network of itself.
    let bits = if text.contains(':') { 128 } else { 32 };
    let network = text.parse().or_else(|_| format!("{text}/{bits}").parse());
    network.map_err(|_| anyhow!("--address {text}: write 192.0.2.7 or 192.0.2.0/24"))
}

fn since_epoch(now: SystemTime) -> Result<Duration> {
    let since = now.duration_since(UNIX_EPOCH).context("the machine's clock is before 1970")?;
    ensure!(!since.is_zero(), "the machine's clock is not set");
    Ok(since)
}
