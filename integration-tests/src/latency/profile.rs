//! Links by their names: `integration-tests/links.yml`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Deserialize;

use super::line::Conditions;

/// The profiles of the repository.
const LINKS: &str = include_str!("../../links.yml");

/// A link, the same both ways.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Time under way, one way, ms.
    pub delay_ms: f64,
    /// At most so much more, ms. Default 0.
    #[serde(default)]
    pub jitter_ms: f64,
    /// Share of the packets that are lost, in per cent. Default 0.
    #[serde(default)]
    pub loss_percent: f64,
    /// Mbit/s.
    pub rate_mbit: f64,
    /// Most kB that wait for their turn.
    pub queue_kb: usize,
    /// Rates from later times on: seconds since measuring began, and Mbit/s; 0: nothing passes. Default: none.
    #[serde(default)]
    pub then: Vec<(f64, f64)>,
    /// UDP does not pass. Default false.
    #[serde(default)]
    pub blocks_udp: bool,
}

impl Profile {
    /// What the line is like before anything changes.
    pub fn conditions(&self) -> Conditions {
        let milliseconds = |ms: f64| Duration::from_secs_f64(ms / 1e3);
        Conditions {
            rate: Some(self.rate_mbit * 1e6),
            delay: milliseconds(self.delay_ms),
            jitter: milliseconds(self.jitter_ms),
            loss: self.loss_percent / 100.0,
            queue: self.queue_kb * 1000,
        }
    }

    /// What it is like from later times on, since measuring began.
    pub fn changes(&self) -> impl Iterator<Item = (Duration, Conditions)> {
        let first = self.conditions();
        self.then
            .iter()
            .map(move |&(from, rate)| (Duration::from_secs_f64(from), Conditions { rate: Some(rate * 1e6), ..first }))
    }

    /// When it is at its first rate again after it had changed.
    pub fn recovers_at(&self) -> Option<Duration> {
        self.then.last().map(|&(from, _)| Duration::from_secs_f64(from))
    }
}

/// The profiles of a file, or those of the repository.
///
/// # Errors
/// When they can't be read.
pub fn profiles(file: Option<&Path>) -> Result<Vec<Profile>> {
    let text = match file {
        Some(path) => std::fs::read_to_string(path).with_context(|| path.display().to_string())?,
        None => LINKS.to_owned(),
    };
    let by_name: BTreeMap<String, Vec<Profile>> = serde_saphyr::from_str(&text)?;
    by_name.into_values().next().context("no links")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_repositorys_profiles_are_those_that_are_promised() {
        let names: Vec<_> = profiles(None).unwrap().into_iter().map(|profile| profile.name).collect();
        assert_eq!(names, ["lan", "fibre", "wifi", "lte", "lossy", "satellite", "step", "stall", "udp-blocked"]);
    }

    #[test]
    fn a_link_that_changes_comes_back() {
        for profile in profiles(None).unwrap() {
            let last = profile.then.last();
            assert!(last.is_none_or(|(_, rate)| *rate == profile.rate_mbit), "{}", profile.name);
        }
    }
}
