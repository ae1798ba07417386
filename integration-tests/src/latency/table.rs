//! The results in the terminal.

use super::figures::{Bar, Lost};
use super::glass::Glass;
use super::run::Outcome;

/// The columns' names.
pub const HEAD: &str = "link         way                   delay ms p50            p95            p99     max    join  +1 s  \
    lost audio/key/other     gap a/v ms  recovered  wire/payload  CPU %  RSS MB";

/// A line of the table.
pub fn line(outcome: &Outcome) -> String {
    let figures = &outcome.figures;
    let name = format!("{:12} {:21}", outcome.link, outcome.way);
    if let Some(trouble) = &outcome.trouble {
        return format!("{name} {trouble}");
    }
    let delay = &figures.delay_ms;
    let or_dash = |value: Option<String>| value.unwrap_or_else(|| "–".to_owned());
    format!(
        "{name} {:>14} {:>14} {:>14} {:>7.1} {:>7.0} {:>5.0} {:>21} {:>14} {:>10} {:>13} {:>6.1} {:>7.1}",
        bar(delay.p50),
        bar(delay.p95),
        bar(delay.p99),
        delay.max,
        figures.join_ms,
        figures.delay_after_joining_ms,
        lost(&figures.lost),
        format!("{:.0}/{:.0}", figures.longest_gap_audio_ms, figures.longest_gap_video_ms),
        or_dash(figures.recovered_after_ms.map(|ms| format!("{ms:.0}"))),
        or_dash(outcome.wire_over_payload.map(|ratio| format!("{ratio:.3}"))),
        outcome.gateway_cpu_percent,
        outcome.gateway_rss_kb as f64 / 1e3,
    )
}

/// The columns' names of what browsers show.
pub const GLASS_HEAD: &str =
    "browser     way                 decoder    glass to glass ms p50 / p95 / max  target  dropped";

/// A line of the table of what browsers show.
pub fn glass_line(seen: &Glass) -> String {
    let [browser, way, decoder, delay, target, dropped] = glass(seen);
    format!("{browser:10}  {way:18}  {decoder:9}  {delay:33}  {target:6}  {dropped}")
}

/// A figure with what it may be off by.
pub fn bar(bar: Bar) -> String {
    format!("{:.1} ±{:.1}", bar.value, bar.error)
}

/// Shares of the frames that did not come, in per cent: audio, key, other.
pub fn lost(lost: &Lost) -> String {
    let share = |[lost, sent]: [usize; 2]| match lost {
        0 => "0".to_owned(),
        _ => format!("{:.2}%", lost as f64 / sent as f64 * 100.0),
    };
    [lost.audio, lost.key, lost.other].map(share).join(" / ")
}

/// What a browser shows: its name, the way, what decoded, the delay, the player's target and frames dropped.
pub fn glass(glass: &Glass) -> [String; 6] {
    let browser = match &*glass.browser {
        "chromium" => "Chromium",
        "firefox" => "Firefox",
        "webkit" => "WebKitGTK",
        other => other,
    };
    [
        browser.to_owned(),
        glass.transport.clone(),
        glass.decode.clone(),
        format!("{} / {} / {}", glass.p50_ms, glass.p95_ms, glass.max_ms),
        format!("{:.0}", glass.target_ms),
        glass.dropped.to_string(),
    ]
}
