//! What the operator's port answers. `openapi.json`, served beside it, is the reference.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, post};
use axum::{Json, Router};
use serde::Serialize;
use tokio::sync::oneshot;

use super::{Office, Order, Standing, plain};
use crate::authority::{Action, Entrance, SessionId, Summary};
use crate::server::http;

/// The reference.
const OPENAPI: &str = include_str!("openapi.json");

/// A path and what is answered there.
type Route = (&'static str, fn() -> MethodRouter<Office>);

/// Every route of the port.
pub const ROUTES: [Route; 11] = [
    ("/metrics", || get(metrics)),
    ("/api/v1/openapi.json", || get(openapi)),
    ("/api/v1/health", || get(health)),
    ("/api/v1/ready", || get(ready)),
    ("/api/v1/version", || get(version)),
    ("/api/v1/streams", || get(streams)),
    ("/api/v1/viewers", || get(viewers)),
    ("/api/v1/publishers", || get(publishers)),
    ("/api/v1/reload", || post(reload)),
    ("/api/v1/drain", || post(drain)),
    ("/api/v1/connections/{id}", || delete(kick)),
];

/// How alive it is.
#[derive(Debug, Serialize)]
struct Health {
    status: &'static str,
}

/// Whether newcomers are taken, and if not, why.
#[derive(Debug, Serialize)]
struct Ready {
    ready: bool,
    reason: Option<&'static str>,
}

/// Why a configuration is not taken on.
#[derive(Debug, Serialize)]
struct Refused {
    error: String,
}

/// What is running, and for how long.
#[derive(Debug, Serialize)]
struct Version {
    name: &'static str,
    version: &'static str,
    uptime_seconds: u64,
}

#[derive(Debug, Serialize)]
struct Viewers {
    viewers: Vec<Viewer>,
}

/// One viewer. Figures are up to a second old.
#[derive(Debug, Serialize)]
struct Viewer {
    id: u64,
    address: String,
    transport: &'static str,
    online_seconds: u64,
    /// `app/name`.
    stream: Option<String>,
    bytes: u64,
    frames: u64,
    abandoned: u64,
    delay_ms: f64,
    rtt_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Publishers {
    publishers: Vec<Publisher>,
}

/// One connection that publishes, or came over RTMP to do so.
#[derive(Debug, Serialize)]
struct Publisher {
    id: u64,
    address: String,
    transport: &'static str,
    online_seconds: u64,
    /// `app/name`.
    stream: Option<String>,
}

pub(super) fn router(office: Office) -> Router {
    let router = ROUTES.into_iter().fold(Router::new(), |router, (path, method)| router.route(path, method()));
    let page = |kind: &'static str, text: &'static str| get(move || async move { ([(CONTENT_TYPE, kind)], text) });
    router
        .route("/", page("text/html; charset=utf-8", include_str!("page/index.html")))
        .route("/page.css", page("text/css; charset=utf-8", include_str!("page/page.css")))
        .route("/page.js", page("text/javascript; charset=utf-8", include_str!("page/page.js")))
        .with_state(office)
}

async fn reload(State(office): State<Office>) -> Response {
    let (reply, answer) = oneshot::channel();
    let asked = office.orders.send(Order::Reload(reply)).await;
    match (asked, answer.await) {
        (Ok(()), Ok(Ok(changes))) => Json(changes).into_response(),
        (Ok(()), Ok(Err(error))) => (StatusCode::UNPROCESSABLE_ENTITY, Json(Refused { error })).into_response(),
        _ => plain(StatusCode::SERVICE_UNAVAILABLE, "the gateway is about to end\n"),
    }
}

async fn drain(State(office): State<Office>) -> Response {
    match office.orders.send(Order::Drain).await {
        Ok(()) => StatusCode::ACCEPTED.into_response(),
        Err(_) => plain(StatusCode::SERVICE_UNAVAILABLE, "the gateway is about to end\n"),
    }
}

async fn metrics(State(office): State<Office>) -> Response {
    let mut text = String::new();
    match prometheus_client::encoding::text::encode(&mut text, &office.figures) {
        Ok(()) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(_) => plain(StatusCode::INTERNAL_SERVER_ERROR, "the figures can't be shown\n"),
    }
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

async fn health() -> impl IntoResponse {
    Json(Health { status: "ok" })
}

async fn ready(State(office): State<Office>) -> impl IntoResponse {
    let reason = match *office.standing.borrow() {
        Standing::Serving => None,
        Standing::Starting => Some("starting"),
        Standing::Draining => Some("draining"),
    };
    let status = if reason.is_none() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(Ready { ready: reason.is_none(), reason }))
}

async fn version(State(office): State<Office>) -> impl IntoResponse {
    let uptime = office.clock.now().saturating_duration_since(office.started);
    Json(Version { name: env!("CARGO_PKG_NAME"), version: env!("CARGO_PKG_VERSION"), uptime_seconds: uptime.as_secs() })
}

async fn streams(State(office): State<Office>) -> impl IntoResponse {
    Json(http::streams(&office.registry, office.clock))
}

async fn viewers(State(office): State<Office>) -> impl IntoResponse {
    let viewers = office.authority.sessions().into_iter().filter_map(|session| {
        let figures = office.viewers.of(session.id)?;
        Some(Viewer {
            id: session.id.0,
            address: session.address.to_string(),
            transport: session.entrance.name(),
            online_seconds: office.online(&session),
            stream: figures.stream.map(|stream| stream.to_string()),
            bytes: figures.bytes,
            frames: figures.frames,
            abandoned: figures.abandoned,
            delay_ms: figures.delay.as_secs_f64() * 1e3,
            rtt_ms: figures.rtt.map(|rtt| rtt.as_secs_f64() * 1e3),
        })
    });
    Json(Viewers { viewers: viewers.collect() })
}

async fn publishers(State(office): State<Office>) -> impl IntoResponse {
    let publishers = office.authority.sessions().into_iter().filter_map(|session| {
        let publishes = session.uses.iter().find(|u| u.action == Action::Publish);
        (publishes.is_some() || session.entrance == Entrance::Rtmp).then(|| Publisher {
            id: session.id.0,
            address: session.address.to_string(),
            transport: session.entrance.name(),
            online_seconds: office.online(&session),
            stream: publishes.map(|u| u.path.to_string()),
        })
    });
    Json(Publishers { publishers: publishers.collect() })
}

async fn kick(State(office): State<Office>, Path(id): Path<String>) -> Response {
    match id.parse() {
        Ok(id) if office.authority.kick(SessionId(id)) => StatusCode::NO_CONTENT.into_response(),
        Ok(_) | Err(_) => plain(StatusCode::NOT_FOUND, "nobody of this id is here\n"),
    }
}

impl Office {
    fn online(&self, session: &Summary) -> u64 {
        self.clock.wall().duration_since(session.since).unwrap_or_default().as_secs()
    }
}
