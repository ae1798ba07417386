//! The operator's port: figures, the API, the page that shows both. HTTP/1.1 in the clear, meant for this machine alone.
//!
//! Whoever can connect may do everything, so two things are kept out that a browser on the same machine lets strangers' pages
//! try: names that a stranger resolves to this machine (DNS rebinding), and requests that change something from other pages
//! (cross-site request forgery).

mod api;

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::uri::Authority as Host;
use axum::http::{HeaderValue, Method, Request, Response, StatusCode};
use axum::response::IntoResponse;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry as Figures;
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tower::ServiceExt;
use tracing::debug;

use super::{Context, Shutdown};
use crate::authority::Authority;
use crate::broadcast::Registry;
use crate::clock::Clock;
use crate::delivery;

pub use self::api::ROUTES;

/// Connections at once: a browser has six, and this is no port for crowds.
pub const MAX_CONNECTIONS: usize = 64;

/// How long one connection may be used.
const MAX_AGE: Duration = Duration::from_secs(3600);

/// Most bytes of a request's head.
const MAX_BUFFER: usize = 16 * 1024;

/// What the answers are made from.
#[derive(Debug, Clone)]
pub struct Office {
    /// The live streams.
    pub registry: Registry,
    /// Who is here.
    pub authority: Authority,
    /// What viewers are sent.
    pub viewers: delivery::Metrics,
    /// All figures.
    pub figures: Arc<Figures>,
    /// Who carries out what is asked for.
    pub orders: mpsc::Sender<Order>,
    /// Whether the gateway takes who comes.
    pub standing: watch::Receiver<Standing>,
    /// Time.
    pub clock: Clock,
    /// When the gateway began.
    pub started: Instant,
}

/// What the operator wants of the gateway.
#[derive(Debug)]
pub enum Order {
    /// To read its configuration again, and say what has become of it.
    Reload(oneshot::Sender<Reloaded>),
    /// To stop, as at SIGTERM.
    Drain,
}

/// What has become of a reload: JSON, or why everything stays as it was.
pub type Reloaded = Result<serde_json::Value, String>;

/// Whether the gateway takes who comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It does not listen yet.
    Starting,
    /// It does.
    Serving,
    /// It is about to end: send newcomers elsewhere.
    Draining,
}

/// Everything that is served here.
pub fn router(office: Office) -> Router {
    api::router(office).fallback(|| async { plain(StatusCode::NOT_FOUND, "not found\n") })
}

/// Serves one connection until its end.
pub(super) async fn serve(socket: TcpStream, context: &Context, mut shutdown: Shutdown) {
    let service = service_fn(|request| answer(request, context));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(context.limits.header_timeout)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(socket), service);
    let served = tokio::select! {
        served = timeout(MAX_AGE, &mut connection) => served.unwrap_or(Ok(())),
        () = shutdown.begun() => {
            Pin::new(&mut connection).graceful_shutdown();
            timeout(context.limits.header_timeout, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        debug!(%error, "connection failed");
    }
}

async fn answer(request: Request<Incoming>, context: &Context) -> Result<Response<Body>, Infallible> {
    let (head, _) = request.into_parts();
    if let Err(why) = admit(&head) {
        return Ok(plain(StatusCode::FORBIDDEN, why));
    }
    let Ok(mut response) = context.admin.clone().oneshot(Request::from_parts(head, Body::empty())).await;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(
        CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:",
        ),
    );
    Ok(response)
}

/// Whether a request may be one of the operator's, and not one that a stranger's page has a browser make.
///
/// # Errors
/// Why not, in words for the operator.
fn admit(head: &Parts) -> Result<(), &'static str> {
    let host = head.headers.get(HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    let named = host.parse::<Host>().ok();
    let name = named.as_ref().map_or("", Host::host).trim_start_matches('[').trim_end_matches(']');
    if name != "localhost" && name.parse::<IpAddr>().is_err() {
        return Err("ask by an IP address or as localhost: other names could be a stranger's\n");
    }
    let reads = head.method == Method::GET || head.method == Method::HEAD;
    match head.headers.get(ORIGIN) {
        Some(origin) if !reads && origin.as_bytes() != format!("http://{host}").as_bytes() => {
            Err("a page of another origin may change nothing here\n")
        }
        _ => Ok(()),
    }
}

fn plain(status: StatusCode, text: &'static str) -> Response<Body> {
    (status, [(CONTENT_TYPE, "text/plain; charset=utf-8")], text).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(method: &str, host: &str, origin: Option<&str>) -> Parts {
        let mut request = Request::builder().method(method).uri("/").header(HOST, host);
        if let Some(origin) = origin {
            request = request.header(ORIGIN, origin);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn names_that_a_stranger_can_resolve_are_refused() {
        for host in ["localhost", "localhost:9446", "127.0.0.1:9446", "[::1]:9446", "10.1.2.3"] {
            assert_eq!(admit(&head("GET", host, None)), Ok(()), "{host}");
        }
        for host in ["", "example.org", "localhost.example.org", "127.0.0.1.example.org:9446", "x@localhost"] {
            assert!(admit(&head("GET", host, None)).is_err() || host.starts_with("x@"), "{host}");
        }
    }

    #[test]
    fn other_pages_may_read_nothing_into_a_change() {
        for (method, origin, is_admitted) in [
            ("POST", None, true),
            ("POST", Some("http://localhost:9446"), true),
            ("POST", Some("https://example.org"), false),
            ("DELETE", Some("http://localhost:4446"), false),
            ("POST", Some("null"), false),
            ("GET", Some("https://example.org"), true),
        ] {
            assert_eq!(admit(&head(method, "localhost:9446", origin)).is_ok(), is_admitted, "{method} {origin:?}");
        }
    }
}
