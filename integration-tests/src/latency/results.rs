//! Results as they are kept: one JSON object a line, and what the README shows of them.

use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::glass::Glass;
use super::machine::Machine;
use super::memory::Memory;
use super::run::Outcome;
use super::table;

/// A line of a results' file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Entry {
    /// What was measured.
    #[serde(flatten)]
    pub what: What,
    /// Where, and of which commit.
    pub machine: Machine,
}

/// What a line is about.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// Delay, by way and link.
    Delay(Box<Outcome>),
    /// What slow viewers cost in memory.
    Memory(Memory),
    /// What browsers show.
    Glass(Glass),
}

/// Reads a results' file.
///
/// # Errors
/// Says which line can't be read.
pub fn read(path: &Path) -> Result<Vec<Entry>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let entry = |(n, line)| serde_json::from_str(line).with_context(|| format!("{}:{}", path.display(), n + 1));
    text.lines().enumerate().map(entry).collect()
}

/// The delays among the entries.
pub fn delays(entries: &[Entry]) -> impl Iterator<Item = &Outcome> {
    entries.iter().filter_map(|entry| match &entry.what {
        What::Delay(outcome) => Some(&**outcome),
        What::Memory(_) | What::Glass(_) => None,
    })
}

/// What browsers show, among the entries.
pub fn glasses(entries: &[Entry]) -> impl Iterator<Item = &Glass> {
    entries.iter().filter_map(|entry| match &entry.what {
        What::Glass(glass) => Some(glass),
        What::Delay(_) | What::Memory(_) => None,
    })
}

/// The README's rows of delays.
pub fn readme_delays(entries: &[Entry]) -> Vec<String> {
    delays(entries).map(readme_delay).collect()
}

fn readme_delay(outcome: &Outcome) -> String {
    let head = format!("| {} | {} |", outcome.link, outcome.way);
    if outcome.trouble.is_some() {
        return format!("{head} no connection | – | – | – | – |");
    }
    let figures = &outcome.figures;
    let delay = &figures.delay_ms;
    let recovered = figures.recovered_after_ms.map_or("–".to_owned(), |ms| format!("{ms:.0}"));
    let [p50, p95, p99] = [delay.p50, delay.p95, delay.p99].map(table::bar);
    let [join, lost] = [format!("{:.0}", figures.join_ms), table::lost(&figures.lost)];
    format!("{head} {p50} / {p95} / {p99} | {:.0} | {join} | {lost} | {recovered} |", delay.max)
}

/// The README's rows of what browsers show.
pub fn readme_glasses(entries: &[Entry]) -> Vec<String> {
    glasses(entries).map(|glass| format!("| {} |", table::glass(glass).join(" | "))).collect()
}
