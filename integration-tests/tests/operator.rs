//! The operator's port: figures, the API and its reference, who is cut off.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use headwater::media::Track;
use headwater::server::admin::ROUTES;
use hyper::StatusCode;
use integration_tests::clip::{Clip, Live, Stamps};
use integration_tests::gateway::{Running, gateway};
use integration_tests::operator::{ask, figures_when, get, until};
use integration_tests::publisher::Publisher;
use integration_tests::transport::Transport;
use integration_tests::viewer::{End, Recorder};
use serde_json::Value;

const DOCS: &str = include_str!("../../src/telemetry.rs");

async fn publish(gateway: &Running, stream: &str) -> Result<Publisher> {
    Publisher::start(gateway.rtmp, stream, Live::new(Clip::demo()?, Stamps::Video, 0)).await
}

/// A gateway that has had one of everything: a publisher that left, one that stays, viewers over two transports.
async fn busy() -> Result<(Running, Publisher, [Recorder; 2])> {
    let gateway = gateway().await?;
    publish(&gateway, "live/x").await?.stop().await?;
    let publisher = publish(&gateway, "live/x").await?;
    let ws = Recorder::play(gateway.websocket, Transport::Ws, "live/x").await?;
    let quic = Recorder::play(gateway.quic, Transport::Quic, "live/x").await?;
    let leaver = Recorder::play(gateway.websocket, Transport::Wss, "live/x").await?;
    drop(leaver);
    Ok((gateway, publisher, [ws, quic]))
}

/// Metric → type and help.
type Table = BTreeMap<String, (String, String)>;

fn documented() -> Table {
    let rows = DOCS.lines().filter_map(|line| line.strip_prefix("//! | `"));
    rows.map(|row| {
        let cells: Vec<_> = row.split(" | ").map(|cell| cell.trim_matches(['`', '|', ' '])).collect();
        (cells[0].to_owned(), (cells[1].to_owned(), cells[cells.len() - 1].to_owned()))
    })
    .collect()
}

fn exposed(text: &str) -> Table {
    let said = |keyword: &str| -> BTreeMap<String, String> {
        let lines = text.lines().filter_map(|line| line.strip_prefix(&format!("# {keyword} ")));
        lines.filter_map(|line| line.split_once(' ')).map(|(name, what)| (name.into(), what.into())).collect()
    };
    let help = said("HELP");
    let unit = said("UNIT");
    for (name, unit) in unit {
        assert!(name.ends_with(&format!("_{unit}")), "{name} is in {unit}");
    }
    let described = said("TYPE").into_iter().map(|(name, kind)| {
        let what = help[&name].trim_end_matches('.').to_owned();
        (name, (kind, what))
    });
    described.collect()
}

#[tokio::test]
async fn every_figure_is_shown_as_it_is_documented() -> Result<()> {
    let (gateway, _publisher, [mut ws, mut quic]) = busy().await?;
    ws.until(|seen| seen.track(Track::Video).count() >= 40).await?;
    quic.until(|seen| seen.track(Track::Video).count() >= 40).await?;
    let text = figures_when(gateway.admin, |text| exposed(text) == documented()).await?;
    assert_eq!(exposed(&text), documented());
    assert!(text.ends_with("# EOF\n"));
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}: {text}"));
        line.trim().parse().unwrap()
    };
    assert_eq!(value("headwater_streams "), 1.0);
    assert_eq!(value("headwater_viewers{transport=\"quic\"} "), 1.0);
    assert_eq!(value("headwater_rtmp_ended_total{reason=\"left\"} "), 1.0);
    for transport in ["rtwebsocket", "quic"] {
        let frames = value(&format!("headwater_sent_frames_total{{transport=\"{transport}\"}} "));
        assert_eq!(value(&format!("headwater_delay_seconds_count{{transport=\"{transport}\"}} ")), frames);
        assert!(frames > 0.0);
    }
    Ok(())
}

#[tokio::test]
async fn who_is_cut_off_is_told_and_is_gone() -> Result<()> {
    let (gateway, _publisher, [mut ws, mut quic]) = busy().await?;
    for (viewer, transport) in [(&mut ws, "rtwebsocket"), (&mut quic, "quic")] {
        let of_transport = |told: &Value| {
            let viewer = told["viewers"].as_array()?.iter().find(|viewer| viewer["transport"] == transport)?;
            (viewer["stream"] == "live/x").then(|| viewer["id"].as_u64())?
        };
        let id = until(gateway.admin, "/api/v1/viewers", of_transport).await?;
        let path = format!("/api/v1/connections/{id}");
        assert_eq!(ask(gateway.admin, "DELETE", &path).await?.status(), StatusCode::NO_CONTENT);
        let seen = viewer.until(|seen| seen.end.is_some()).await?;
        // Policy violation: RFC 6455, §7.4.1.
        assert_eq!(seen.end, Some(End::Closed(Some(1008))), "{transport}");
        until(gateway.admin, "/api/v1/viewers", |told| of_transport(told).is_none().then_some(())).await?;
        assert_eq!(ask(gateway.admin, "DELETE", &path).await?.status(), StatusCode::NOT_FOUND);
    }
    let publisher = |told: &Value| told["publishers"][0]["id"].as_u64();
    let id = until(gateway.admin, "/api/v1/publishers", publisher).await?;
    assert_eq!(
        ask(gateway.admin, "DELETE", &format!("/api/v1/connections/{id}")).await?.status(),
        StatusCode::NO_CONTENT
    );
    until(gateway.admin, "/api/v1/streams", |told| told["streams"].as_array()?.is_empty().then_some(())).await
}

#[tokio::test]
async fn every_route_and_field_of_the_reference_is_answered_so() -> Result<()> {
    let (gateway, _publisher, [mut ws, _quic]) = busy().await?;
    ws.until(|seen| seen.track(Track::Video).count() >= 10).await?;
    let reference = get(gateway.admin, "/api/v1/openapi.json").await?;
    let paths = reference["paths"].as_object().context("no paths")?;
    let mut routes: Vec<_> = ROUTES.iter().map(|(path, _)| *path).collect();
    routes.sort_unstable();
    assert_eq!(paths.keys().map(String::as_str).collect::<Vec<_>>(), routes);
    for (path, methods) in paths {
        for (method, operation) in methods.as_object().context("no methods")? {
            if path == "/api/v1/drain" {
                continue; // The end of the gateway.
            }
            let response = ask(gateway.admin, &method.to_uppercase(), &path.replace("{id}", "0")).await?;
            let said = &operation["responses"][response.status().as_str()];
            assert!(said.is_object(), "{method} {path}: {} is not in the reference", response.status());
            let kind = response.headers()["content-type"].to_str()?.split(';').next().unwrap_or_default().to_owned();
            let schema = &said["content"][&kind]["schema"];
            assert!(schema.is_object(), "{method} {path}: {kind} is not in the reference");
            if kind == "application/json" {
                fits(&reference, schema, &serde_json::from_slice(response.body())?, path);
            }
        }
        for (method, status) in [("PUT", StatusCode::METHOD_NOT_ALLOWED)] {
            assert_eq!(ask(gateway.admin, method, &path.replace("{id}", "0")).await?.status(), status, "{path}");
        }
    }
    assert_eq!(ask(gateway.admin, "POST", "/api/v1/drain").await?.status(), StatusCode::ACCEPTED);
    assert_eq!(ask(gateway.admin, "GET", "/api/v1/nothing").await?.status(), StatusCode::NOT_FOUND);
    Ok(())
}

/// Panics unless a value is as a schema says: as much of JSON Schema as the reference uses.
fn fits(reference: &Value, schema: &Value, value: &Value, place: &str) {
    if let Some(name) = schema["$ref"].as_str() {
        let name = name.trim_start_matches("#/components/schemas/");
        return fits(reference, &reference["components"]["schemas"][name], value, place);
    }
    if let Some([some, null]) = schema["anyOf"].as_array().map(Vec::as_slice) {
        assert_eq!(null["type"], "null", "{place}");
        if !value.is_null() {
            fits(reference, some, value, place);
        }
        return;
    }
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let allowed = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        one => vec![one.clone()],
    };
    assert!(allowed.iter().any(|allowed| allowed == kind), "{place}: {value} is none of {allowed:?}");
    if let Some(values) = schema["enum"].as_array() {
        assert!(values.contains(value), "{place}: {value} is none of {values:?}");
    }
    match (value, schema["properties"].as_object()) {
        (Value::Array(items), _) => {
            assert!(!items.is_empty() || place.ends_with("reason"), "{place} shows nothing");
            items.iter().for_each(|item| fits(reference, &schema["items"], item, place));
        }
        (Value::Object(fields), Some(properties)) => {
            assert_eq!(fields.keys().collect::<Vec<_>>(), properties.keys().collect::<Vec<_>>(), "{place}");
            for (name, field) in fields {
                fits(reference, &properties[name], field, &format!("{place}.{name}"));
            }
        }
        _ => {}
    }
}
