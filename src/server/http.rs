//! HTTP: one pure function from request to response, whatever carries it. Upgrades are taken before it is asked.
//!
//! | path | answer |
//! |---|---|
//! | `/` | the list of live streams |
//! | `/watch/<app>/<name>` | the player, for one stream |
//! | `/player/…` | the player's files |
//! | `/api/v1/streams` | the live streams, in JSON |

use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, HeaderValue};
use axum::http::{HeaderMap, Response};
use axum::response::IntoResponse;
use axum::routing::get;
use axum::{Json, Router};
use serde::Serialize;

use super::player;
use crate::broadcast::{Registry, StreamSummary};
use crate::clock::Clock;
use crate::media::codec::{AudioInfo, VideoInfo};

/// The answer of `/api/v1/streams`.
#[derive(Debug, Serialize)]
struct Streams {
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

/// Everything that is served over HTTP.
pub fn router(registry: Registry, clock: Clock) -> Router {
    Router::new()
        .route("/", get(|headers: HeaderMap| async move { player::answer("index.html", &headers) }))
        .route("/watch/{app}/{*name}", get(|headers: HeaderMap| async move { player::answer("watch.html", &headers) }))
        .route("/player/{*path}", get(file))
        .route("/api/v1/streams", get(streams))
        .fallback(|| async { player::not_found() })
        .with_state((registry, clock))
}

async fn file(Path(path): Path<String>, headers: HeaderMap) -> Response<Body> {
    player::answer(&path, &headers)
}

async fn streams(State((registry, clock)): State<(Registry, Clock)>) -> impl IntoResponse {
    let streams = registry.streams(clock.now()).into_iter().map(Stream::from).collect();
    ([(CACHE_CONTROL, HeaderValue::from_static("no-store"))], Json(Streams { streams }))
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
    use axum::http::{Method, Request, StatusCode};
    use tower::ServiceExt;

    use super::*;
    use crate::broadcast::{Config, StreamPath};

    async fn ask(registry: &Registry, method: Method, path: &str) -> (StatusCode, String) {
        let request = Request::builder().method(method).uri(path).body(Body::empty()).unwrap();
        let response = router(registry.clone(), Clock).oneshot(request).await.unwrap();
        let status = response.status();
        let body = to_bytes(response.into_body(), 1 << 20).await.unwrap();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }

    async fn get_status(path: &str) -> StatusCode {
        ask(&Registry::new(Config::default()), Method::GET, path).await.0
    }

    #[tokio::test]
    async fn pages_and_files_are_found() {
        for path in ["/", "/watch/live/demo", "/watch/live/a/b", "/player/index.html"] {
            assert_eq!(get_status(path).await, StatusCode::OK, "{path}");
        }
    }

    #[tokio::test]
    async fn anything_else_is_not_found() {
        for path in ["/no", "/watch/live", "/player/", "/player/../Cargo.toml", "/api/v1/", "/api/v2/streams"] {
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
}
