//! The figures in the README are those of the results that are kept.

use std::fs;
use std::path::PathBuf;

use integration_tests::latency::results;
use serde_json::Value;

fn file(path: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", path].iter().collect()
}

/// The rows of the README's table whose head begins so.
fn table(head: &str) -> Vec<String> {
    let readme = fs::read_to_string(file("README.md")).expect("it is there");
    let lines = readme.lines().skip_while(|line| !line.starts_with(head)).skip(2);
    lines.take_while(|line| line.starts_with('|')).map(str::to_owned).collect()
}

#[test]
fn costs_are_those_that_were_measured() {
    let lines = fs::read_to_string(file("integration-tests/results/fanout.jsonl")).unwrap();
    let mut rows: Vec<String> = lines.lines().map(|line| row(&serde_json::from_str(line).unwrap())).collect();
    let mut shown = table("| at 2.65 Mbit/s |");
    // In an order of its own.
    rows.sort();
    shown.sort();
    assert!(!rows.is_empty());
    assert_eq!(shown, rows);
}

#[test]
fn other_servers_cost_what_was_measured() {
    for (file_name, head) in [("fanout-against", "| server |"), ("fanout-moq", "| 50 viewers |")] {
        let lines = fs::read_to_string(file(&format!("integration-tests/results/{file_name}.jsonl"))).unwrap();
        let rows: Vec<String> = lines.lines().map(|line| server_row(&serde_json::from_str(line).unwrap())).collect();
        assert!(!rows.is_empty());
        assert_eq!(table(head), rows);
    }
}

fn server_row(line: &Value) -> String {
    let number = |name: &str| line[name].as_f64().expect("a number");
    let (name, joins) = match line["transport"].as_str().expect("a name") {
        "tcp" => ("raw TCP, a write a frame".to_owned(), None),
        "bare-quic-groups" => ("bare quinn, a stream a group".to_owned(), None),
        "nginx-rtmp" => ("nginx-rtmp 1.2.2, plain RTMP".to_owned(), Some(0)),
        "node-media-server" => ("Node-Media-Server 4.4.3, FLV over ws".to_owned(), Some(1)),
        "node-media-server-wss" => ("Node-Media-Server 4.4.3, FLV over wss".to_owned(), Some(1)),
        "moq-relay" => ("moq-relay 0.17.10, to its own client".to_owned(), Some(0)),
        transport => (format!("**Headwater** {transport}"), Some(1)),
    };
    let join = joins.map_or("–".to_owned(), |digits| format!("{:.digits$}", number("join_ms_p50")));
    format!(
        "| {name} | {:.2} | {:.1} | {:.1} / {:.1} | {join} |",
        number("cpu_ms_per_viewer_second"),
        number("rss_kb_per_viewer"),
        number("delay_ms_p50"),
        number("delay_ms_p99"),
    )
}

#[test]
fn delays_are_those_that_were_measured() {
    let entries = results::read(&file("integration-tests/results/delays.jsonl")).unwrap();
    let rows = results::readme_delays(&entries);
    assert!(!rows.is_empty());
    assert_eq!(table("| link |"), rows);
}

#[test]
fn what_browsers_show_is_as_late_as_was_measured() {
    let entries = results::read(&file("integration-tests/results/glass.jsonl")).unwrap();
    let rows = results::readme_glasses(&entries);
    assert!(!rows.is_empty());
    assert_eq!(table("| browser |"), rows);
}

fn row(line: &Value) -> String {
    let number = |name: &str| line[name].as_f64().expect("a number");
    let (name, is_ours) = match line["transport"].as_str().expect("a name") {
        "tcp" => ("raw TCP, a write a frame".to_owned(), false),
        "bare-quic-groups" => ("bare quinn, a stream a group".to_owned(), false),
        transport => (format!("**Headwater** {transport}"), true),
    };
    let join = if is_ours { format!("{:.1}", number("join_ms_p50")) } else { "–".to_owned() };
    format!(
        "| {name} | {} | {:.2} | {:.1} | {:.1} / {:.1} | {} | {join} |",
        number("viewers"),
        number("cpu_ms_per_viewer_second"),
        number("rss_kb_per_viewer"),
        number("delay_ms_p50"),
        number("delay_ms_p99"),
        number("frames_lost"),
    )
}
