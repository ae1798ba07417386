//! The results as one page that needs nothing else.

use std::fmt::Write;

use super::chart::{Chart, escaped};
use super::memory::Memory;
use super::results::{Entry, What, delays, glasses};
use super::run::Outcome;
use super::table;

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:60em;margin:2em auto;padding:0 1em;color-scheme:light dark}\
    table{border-collapse:collapse;font-size:13px}td,th{padding:.2em .6em;text-align:right;border-bottom:1px solid #8884}\
    td:nth-child(-n+2){text-align:left}";

/// The page.
pub fn page(entries: &[Entry]) -> String {
    let mut out = format!(
        "<!doctype html><html lang=en><meta charset=utf-8><title>Headwater: delay</title><style>{STYLE}</style>\
         <h1>Headwater: delay by transport and link</h1>\
         <p>From the publisher's write to the viewer's message, ms; ± is half of the interval that 95 % of redrawn runs fall \
         into.</p>"
    );
    let mut machines: Vec<_> = entries.iter().map(|entry| &entry.machine).collect();
    machines.dedup();
    for machine in machines {
        let cores = machine.cores;
        let line = format!("{}, {cores} cores, Linux {}, commit {}", machine.cpu, machine.kernel, machine.commit);
        let _ = write!(out, "<p>{}</p>", escaped(&line));
    }
    for link in names(delays(entries).filter(|outcome| outcome.figures.recovered_after_ms.is_some())) {
        out += &course(entries, &link).svg();
    }
    out += &percentiles(entries).svg();
    for entry in entries {
        if let What::Memory(memory) = &entry.what {
            out += &memory_chart(memory).svg();
        }
    }
    out + &rows(entries) + &glass_rows(entries) + "</html>\n"
}

/// The delay's course on a link, a line for each way.
pub fn course(entries: &[Entry], link: &str) -> Chart {
    let mut chart = Chart {
        title: format!("Delay on the link {link}"),
        x: "s".to_owned(),
        y: "ms, the largest of each 100 ms".to_owned(),
        ..Chart::default()
    };
    for outcome in delays(entries).filter(|outcome| outcome.link == link && outcome.trouble.is_none()) {
        let points = outcome.figures.course_ms.iter().enumerate();
        let points = points.map(|(n, delay)| delay.map(|delay| (n as f64 / 10.0, delay)));
        chart.series.push((outcome.way.clone(), points.collect()));
        chart.shaded = outcome.changed.into_iter().collect();
    }
    chart
}

/// p50 and p99 of each way on each link.
fn percentiles(entries: &[Entry]) -> Chart {
    let names = names(delays(entries));
    let mut chart = Chart {
        title: "p99 of the delay by link".to_owned(),
        y: "ms".to_owned(),
        is_logarithmic: true,
        ..Chart::default()
    };
    for outcome in delays(entries).filter(|outcome| outcome.trouble.is_none()) {
        let link = names.iter().position(|name| *name == outcome.link).unwrap_or_default();
        let series = match chart.series.iter().position(|(name, _)| *name == outcome.way) {
            Some(known) => &mut chart.series[known],
            None => chart.series.push_mut((outcome.way.clone(), Vec::new())),
        };
        series.1.push(Some((link as f64, outcome.figures.delay_ms.p99.value)));
    }
    chart.names = names;
    chart
}

fn memory_chart(memory: &Memory) -> Chart {
    let points = |kb: &[i64]| {
        let points = kb.iter().enumerate();
        points.map(|(n, kb)| Some((n as f64 / 2.0, (*kb).max(0) as f64 / 1000.0))).collect()
    };
    Chart {
        title: format!("Memory for {} viewers at a third of the rate", memory.viewers),
        x: "s".to_owned(),
        y: "MB more than before".to_owned(),
        series: vec![
            ("Headwater".to_owned(), points(&memory.gateway_kb)),
            ("no backpressure".to_owned(), points(&memory.naive_kb)),
        ],
        ..Chart::default()
    }
}

fn rows(entries: &[Entry]) -> String {
    let mut out = "<table><tr><th>link<th>transport<th>p50<th>p95<th>p99<th>max<th>join<th>after 1 s\
        <th>lost: audio / key / other<th>longest gap, audio<th>video<th>recovered after<th>wire / payload<th>CPU %<th>RSS MB"
        .to_owned();
    for outcome in delays(entries) {
        let figures = &outcome.figures;
        let delay = &figures.delay_ms;
        let _ = write!(out, "<tr><td>{}<td>{}", escaped(&outcome.link), escaped(&outcome.way));
        if let Some(trouble) = &outcome.trouble {
            let _ = write!(out, "<td colspan=13>{}", escaped(trouble));
            continue;
        }
        let or_dash = |value: Option<f64>, places| value.map_or("–".to_owned(), |value| format!("{value:.places$}"));
        let cells = [
            table::bar(delay.p50),
            table::bar(delay.p95),
            table::bar(delay.p99),
            format!("{:.1}", delay.max),
            format!("{:.0}", figures.join_ms),
            format!("{:.0}", figures.delay_after_joining_ms),
            table::lost(&figures.lost),
            format!("{:.0}", figures.longest_gap_audio_ms),
            format!("{:.0}", figures.longest_gap_video_ms),
            or_dash(figures.recovered_after_ms, 0),
            or_dash(outcome.wire_over_payload, 3),
            format!("{:.1}", outcome.gateway_cpu_percent),
            format!("{:.1}", outcome.gateway_rss_kb as f64 / 1e3),
        ];
        let _ = write!(out, "<td>{}", cells.join("<td>"));
    }
    out + "</table>"
}

fn glass_rows(entries: &[Entry]) -> String {
    let rows: String = glasses(entries).map(|glass| format!("<tr><td>{}", table::glass(glass).join("<td>"))).collect();
    if rows.is_empty() {
        return rows;
    }
    format!(
        "<h2>Glass to glass</h2><table><tr><th>browser<th>way<th>decoder<th>p50 / p95 / longest, ms\
         <th>player's target, ms<th>dropped{rows}</table>"
    )
}

/// Links, in the order of their first appearance.
fn names<'a>(outcomes: impl Iterator<Item = &'a Outcome>) -> Vec<String> {
    let mut names = Vec::new();
    for outcome in outcomes {
        if !names.contains(&outcome.link) {
            names.push(outcome.link.clone());
        }
    }
    names
}
