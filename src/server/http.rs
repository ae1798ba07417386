//! HTTP: one pure function from request to response, [`answer`], whatever carries it. Upgrades are taken before it is asked.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the list of live streams |
//! | `/watch/<app>/<name>` | the player, for one stream |
//! | `/embed/<app>/<name>` | the player and nothing else, for frames in pages of others |
//! | `/compare/<app>/<name>` | one stream over every transport, side by side |
//! | `/keyframe/<app>/<name>` | the newest key frame of a stream, as an MP4 file |
//! | `/player/…` | the player's files |
//! | `/player/transports.json` | what the player may connect with beside WebSocket on the page's own port |
//! | `/api/v1/streams` | the live streams, in JSON; where viewing needs a credential, those that the request's is for |
//!
//! # `/player/transports.json`
//!
//! ```json
//! {
//!   "certificate_hashes": ["9f86d081…"],
//!   "webtransport": [
//!     {"port": 443, "path": "/wt/", "format": "raw"},
//!     {"port": 4445, "path": "/wt-fmp4/", "format": "fmp4"}
//!   ]
//! }
//! ```
//!
//! - `certificate_hashes`: the SHA-256 hashes of the certificates in use, each 64 lower-case hexadecimal digits, for
//!   `serverCertificateHashes` of `new WebTransport(…)`; `null` where the browser is to trust the certificate by its chain.
//! - `webtransport`: the open ports, the one to try first in front; `[]` where there is none. The address of a session is
//!   `https://<host of the page>:<port><path><app>`.
//!
//! It is for pages of any origin, and never stored: the certificate is renewed while pages are open.
//!
//! # `/keyframe/<app>/<name>`
//!
//! What pages show of streams that they don't play. The gateway only cuts: a browser that plays the stream decodes this as well,
//! by the hardware, in pages without WebCodecs too, and nobody is counted as a viewer for it. 404 while there is none, and
//! where not everybody may view: a picture is a view, too.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{
    ALT_SVC, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HOST, LOCATION, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::uri::{Authority, PathAndQuery};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode};
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use serde::Serialize;
use tower::ServiceExt;

use super::player;
use super::tls::Certificates;
use super::{Context, admission};
use crate::authority::{self, Action, Claim};
use crate::broadcast::{Registry, StreamPath, StreamSummary};
use crate::clock::Clock;
use crate::media::codec::{AudioInfo, VideoInfo};

/// How long a browser may remember that there is HTTP/3: short enough for a gateway that is started again without it.
const ANNOUNCED: Duration = Duration::from_secs(3600);

/// For answers that are wrong a moment later.
const NO_STORE: [(HeaderName, HeaderValue); 1] = [(CACHE_CONTROL, HeaderValue::from_static("no-store"))];

/// The answer of `/api/v1/streams`.
#[derive(Debug, Serialize)]
pub(super) struct Streams {
    streams: Vec<Stream>,
}

/// One stream that is being published.
#[derive(Debug, Serialize)]
struct Stream {
    app: String,
    name: String,
    viewers: usize,
    bits_per_second: u64,
    online_seconds: u64,
    /// Messages of the present publisher so far.
    frames: u64,
    video: Option<Video>,
    audio: Option<Audio>,
}

/// Its picture; sizes in pixels, `null` where they can't be told.
#[derive(Debug, Serialize)]
struct Video {
    codec: String,
    width: Option<u32>,
    height: Option<u32>,
}

/// Its sound; the rate in samples a second.
#[derive(Debug, Serialize)]
struct Audio {
    codec: String,
    sample_rate: u32,
    channels: u8,
}

/// Whose request it is.
#[derive(Debug, Clone, Copy)]
struct Peer(IpAddr);

/// How a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Via {
    /// In the clear.
    Plain,
    /// In the clear, on a port where that is for this machine's own browsers: all others are sent to https. Which they are
    /// is told by the name they ask for, since what they connect through may have another address (a container's bridge).
    PlainLocal,
    /// Encrypted.
    Tls {
        /// The UDP port on which HTTP/3 is to be had too, if that is to be announced.
        http3: Option<u16>,
    },
}

/// The answer to a request. Nothing of a request's body is read, and the answer's body is
/// in memory as a whole: it has a length.
pub async fn answer<B>(context: &Context, request: Request<B>, peer: SocketAddr, via: Via) -> Response<Body> {
    let (mut head, _) = request.into_parts();
    if !is_served(&head, via) {
        return redirect(&head);
    }
    head.extensions.insert(Peer(peer.ip()));
    let request = Request::from_parts(head, Body::empty());
    let Ok(mut response) = context.http.clone().oneshot(request).await;
    if response.status() == StatusCode::NOT_MODIFIED {
        // The router's is that of the answer: it would have to be that of what is known. RFC 9110 §8.6.
        response.headers_mut().remove(CONTENT_LENGTH);
    }
    if let Via::Tls { http3: Some(port) } = via
        && let Ok(announcement) = HeaderValue::try_from(format!("h3=\":{port}\"; ma={}", ANNOUNCED.as_secs()))
    {
        response.headers_mut().insert(ALT_SVC, announcement);
    }
    response
}

/// Whether a request is served as it has come, and not sent to https.
pub(super) fn is_served(request: &Parts, via: Via) -> bool {
    match via {
        Via::Plain | Via::Tls { .. } => true,
        Via::PlainLocal => host(request).is_some_and(|host| is_local(host.host())),
    }
}

/// Sends a browser to the same page over https, on the same port.
fn redirect(request: &Parts) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    let page = request.uri.path_and_query().map_or("/", PathAndQuery::as_str);
    let page = if page.starts_with('/') { page } else { "/" };
    match host(request).and_then(|host| HeaderValue::try_from(format!("https://{host}{page}")).ok()) {
        Some(location) => {
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
        }
        None => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    response
}

/// Whom a request asks. Defined by: RFC 9112, §3.2 and §3.3.
fn host(request: &Parts) -> Option<Authority> {
    let field = || request.headers.get(HOST)?.to_str().ok()?.parse().ok();
    request.uri.authority().cloned().or_else(field).filter(|host| !host.as_str().contains('@'))
}

/// Whether browsers resolve a name to the machine they run on. Defined by: RFC 6761, §6.3.
fn is_local(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let name = host.strip_suffix('.').unwrap_or(&host);
    let address = name.trim_start_matches('[').trim_end_matches(']');
    name == "localhost" || name.ends_with(".localhost") || address.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// What the answers are made from.
#[derive(Debug, Clone)]
pub struct Site {
    /// The live streams.
    pub registry: Registry,
    /// Who may know of them.
    pub authority: authority::Authority,
    /// The certificate whose hash the player is told.
    pub certificates: Arc<Certificates>,
    /// The ports that the player is told of, the one to try first in front.
    pub webtransport: Arc<[WebTransport]>,
    /// Time.
    pub clock: Clock,
}

/// Where WebTransport is to be had, as the player is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct WebTransport {
    /// The UDP port.
    pub port: u16,
    /// The path in front of the application's name.
    pub path: &'static str,
    /// What is delivered there unless a play asks for something else: `raw` or `fmp4`.
    pub format: &'static str,
}

/// The answer of `/player/transports.json`.
#[derive(Debug, Serialize)]
struct Transports<'a> {
    certificate_hashes: Option<[String; 1]>,
    webtransport: &'a [WebTransport],
}

/// Everything that is served over HTTP.
pub fn router(site: Site) -> Router {
    Router::new()
        .route("/", page("index.html"))
        .route("/watch/{app}/{*name}", page("watch.html"))
        .route("/embed/{app}/{*name}", page("embed.html"))
        .route("/compare/{app}/{*name}", page("compare.html"))
        .route("/keyframe/{app}/{*name}", get(key_frame))
        .route("/player/transports.json", get(transports))
        .route("/player/{*path}", get(file))
        .route("/api/v1/streams", get(streams_page))
        .fallback(|| async { player::not_found() })
        .with_state(site)
}

fn page(file: &'static str) -> MethodRouter<Site> {
    get(move |headers: HeaderMap| player::answer(file.into(), headers))
}

async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response<Body> {
    player::answer(path, headers).await
}

async fn transports(State(site): State<Site>) -> impl IntoResponse {
    let hex = |hash: [u8; 32]| hash.iter().map(|byte| format!("{byte:02x}")).collect();
    let certificate_hashes = site.certificates.development_hash().map(|hash| [hex(hash)]);
    (NO_STORE, [player::ANY_ORIGIN], Json(Transports { certificate_hashes, webtransport: &site.webtransport }))
        .into_response()
}

async fn key_frame(State(site): State<Site>, Path((app, name)): Path<(String, String)>) -> Response<Body> {
    let path = StreamPath::new(&app, &name).ok().filter(|_| site.authority.is_open(Action::View));
    let Some(file) = path.and_then(|path| site.registry.key_frame(&path)) else { return player::not_found() };
    let kind = [
        (CONTENT_TYPE, HeaderValue::from_static("video/mp4")),
        (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    ];
    (NO_STORE, kind, file).into_response()
}

/// Of streams that are not for everybody, whoever asks is told those that its credential is for.
async fn streams_page(State(site): State<Site>, request: Parts) -> impl IntoResponse {
    let (credential, now) = (admission::credential(&request), site.clock.wall());
    let address = request.extensions.get().map_or(Ipv4Addr::UNSPECIFIED.into(), |Peer(address)| *address);
    let mut is_guess = false;
    let mut told = streams(&site.registry, site.clock);
    told.streams.retain(|stream| {
        let path = &format!("{}/{}", stream.app, stream.name);
        let claim = Claim { action: Action::View, path, address, credential: credential.as_ref() };
        // What is a guess for one stream is one for all, and counts once.
        let known = if is_guess { return false } else { site.authority.may_know(&claim, now) };
        is_guess = known.is_err_and(|denial| denial.is_guess());
        known.is_ok()
    });
    (NO_STORE, Json(told))
}

/// The live streams as they are told.
pub(super) fn streams(registry: &Registry, clock: Clock) -> Streams {
    Streams { streams: registry.streams(clock.now()).into_iter().map(Stream::from).collect() }
}

impl From<StreamSummary> for Stream {
    fn from(summary: StreamSummary) -> Self {
        // The name is the last part, as in the pages' paths.
        let (app, name) = summary.path.as_str().rsplit_once('/').unwrap_or_default();
        Self {
            app: app.into(),
            name: name.into(),
            viewers: summary.viewers,
            bits_per_second: summary.bits_per_second,
            online_seconds: summary.online_for.as_secs(),
            frames: summary.frames,
            video: summary.video.map(|VideoInfo { codec, width, height }| Video { codec, width, height }),
            audio: summary.audio.map(|AudioInfo { codec, sample_rate, channels }| Audio {
                codec,
                sample_rate,
                channels,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use axum::http::Method;

    use super::*;
    use crate::broadcast::{Config, StreamPath};

    const RAW: WebTransport = WebTransport { port: 4443, path: "/wt/", format: "raw" };

    fn site(registry: &Registry, certificates: Arc<Certificates>) -> Site {
        let authority = authority::Authority::default();
        Site { registry: registry.clone(), authority, certificates, webtransport: [RAW].into(), clock: Clock }
    }

    async fn ask(registry: &Registry, method: Method, path: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let site = site(registry, Certificates::in_memory());
        let response = router(site).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get_status(path: &str) -> StatusCode {
        ask(&Registry::new(Config::default()), Method::GET, path).await.0
    }

    #[tokio::test]
    async fn pages_and_files_are_found() {
        let pages = ["/", "/watch/live/demo", "/watch/live/a/b", "/embed/live/demo", "/compare/live/demo"];
        for path in pages.into_iter().chain(["/player/index.html", "/player/element.js"]) {
            assert_eq!(get_status(path).await, StatusCode::OK, "{path}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_not_found() {
        let paths = ["/no", "/watch/live", "/player/", "/player/../Cargo.toml", "/api/v1/", "/api/v2/streams"];
        for path in paths.into_iter().chain(["/keyframe/live/demo", "/keyframe/live/", "/keyframe/live/.."]) {
            assert_eq!(get_status(path).await, StatusCode::NOT_FOUND, "{path}");
        }
    }

    #[tokio::test]
    async fn only_reading_is_allowed() {
        let registry = Registry::new(Config::default());
        for path in ["/", "/api/v1/streams"] {
            assert_eq!(ask(&registry, Method::POST, path).await.0, StatusCode::METHOD_NOT_ALLOWED);
            assert_eq!(ask(&registry, Method::HEAD, path).await, (StatusCode::OK, String::new()));
        }
    }

    #[tokio::test]
    async fn the_streams_are_those_that_are_published() {
        let registry = Registry::new(Config::default());
        assert_eq!(ask(&registry, Method::GET, "/api/v1/streams").await.1, r#"{"streams":[]}"#);
        let path = StreamPath::new("live", "demo").unwrap();
        let _publisher = registry.publish(&path, Clock.now());
        let _viewer = registry.subscribe(&path);
        let expected = r#"{"streams":[{"app":"live","name":"demo","viewers":1,"bits_per_second":0,"online_seconds":0,"frames":0,"video":null,"audio":null}]}"#;
        assert_eq!(ask(&registry, Method::GET, "/api/v1/streams").await.1, expected);
    }

    fn request(uri: &str, host: &str) -> Parts {
        Request::get(uri).header(HOST, host).body(()).unwrap().into_parts().0
    }

    #[test]
    fn in_the_clear_this_machine_s_names_are_served_and_no_others() {
        for host in ["localhost", "LocalHost:8443", "a.localhost", "127.0.0.1:443", "[::1]:443", "localhost."] {
            assert!(is_served(&request("/", host), Via::PlainLocal), "{host}");
        }
        for host in ["", "example.org", "localhost.example.org", "notlocalhost", "10.0.0.1", "[::2]", "x@localhost"] {
            let request = request("/", host);
            assert!(!is_served(&request, Via::PlainLocal), "{host}");
            assert!(is_served(&request, Via::Plain) && is_served(&request, Via::Tls { http3: None }));
        }
        // Whom the request line names counts.
        assert!(!is_served(&request("http://example.org/", "localhost"), Via::PlainLocal));
    }

    #[test]
    fn the_way_to_https_keeps_host_port_path_and_query() {
        for (uri, host, location) in [
            ("/watch/live/a?b=c", "example.org:8443", "https://example.org:8443/watch/live/a?b=c"),
            ("http://example.org/x", "other", "https://example.org/x"),
            ("*", "[2001:db8::1]", "https://[2001:db8::1]/"),
        ] {
            let response = redirect(&request(uri, host));
            assert_eq!(response.status(), StatusCode::PERMANENT_REDIRECT);
            assert_eq!(response.headers()[LOCATION], location);
        }
    }

    #[test]
    fn there_is_no_way_to_https_for_nobody() {
        for host in ["", "a b", "you@example.org", "/"] {
            assert_eq!(redirect(&request("/", host)).status(), StatusCode::BAD_REQUEST, "{host}");
        }
    }

    #[tokio::test]
    async fn the_player_is_told_the_ports_and_what_to_trust() {
        let certificates = Certificates::in_memory();
        let hash = certificates.development_hash().unwrap();
        let request = Request::get("/player/transports.json").body(Body::empty()).unwrap();
        let response = router(site(&Registry::new(Config::default()), certificates)).oneshot(request).await.unwrap();
        assert_eq!(response.headers()[CACHE_CONTROL], "no-store");
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        let digits: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        let port = serde_json::json!({"port": 4443, "path": "/wt/", "format": "raw"});
        assert_eq!(told, serde_json::json!({"certificate_hashes": [digits], "webtransport": [port]}));
    }
}
