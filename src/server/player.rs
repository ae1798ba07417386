//! The player's files and pages as answers: with type, tag, compression, and what a page may do.

mod assets;
mod bundle;

use std::panic::resume_unwind;

use axum::body::Body;
use axum::http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY,
    CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};

use self::assets::{Asset, Coding};

/// Everything comes from this origin. Media may come from any gateway and port that the page is told of; what Media Source
/// Extensions are given, and a fetched key frame, play as blobs.
macro_rules! policy {
    ($ancestors:literal) => {
        HeaderValue::from_static(concat!(
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; media-src 'self' blob:; ",
            "worker-src 'self'; connect-src 'self' ws: wss: https:; base-uri 'none'; form-action 'none'; ",
            "frame-ancestors ",
            $ancestors
        ))
    };
}

/// Of pages: nobody may put them into a frame, and what is clicked there be something else than it seems.
const POLICY: HeaderValue = policy!("'none'");

/// Of the page that is made for frames of others.
const EMBED_POLICY: HeaderValue = policy!("*");

/// Lets pages of any origin use the player.
pub(super) const ANY_ORIGIN: (HeaderName, HeaderValue) = (ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));

/// The same for pages that are isolated from all that does not agree to be embedded. Defined by: Fetch, §3.7.
const CROSS_ORIGIN: (HeaderName, HeaderValue) =
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("cross-origin"));

/// The file for frames of others.
const EMBED: &str = "embed.html";

/// The answer for the file at `path`, relative to `player/`.
///
/// A browser asks every time whether what it has is still right (it is cheap, and a page's parts must fit each other), and
/// is told so by status 304.
pub async fn answer(path: String, request: HeaderMap) -> Response<Body> {
    if assets::is_ready(&path, coding(&request)) {
        return answer_now(&path, &request);
    }
    // Bundling and compressing take longer than the streams on this thread can wait.
    let made = tokio::task::spawn_blocking(move || answer_now(&path, &request));
    made.await.unwrap_or_else(|error| match error.try_into_panic() {
        Ok(panic) => resume_unwind(panic),
        // The gateway ends.
        Err(_) => not_found(),
    })
}

fn answer_now(path: &str, request: &HeaderMap) -> Response<Body> {
    let Some(asset) = assets::find(path) else { return not_found() };
    let mut response = answer_with(asset, request);
    let headers = response.headers_mut();
    if path.ends_with(".html") {
        headers.insert(CONTENT_SECURITY_POLICY, if path == EMBED { EMBED_POLICY } else { POLICY });
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    } else {
        headers.extend([ANY_ORIGIN, CROSS_ORIGIN]);
    }
    response
}

/// The answer for what is not there.
pub fn not_found() -> Response<Body> {
    let mut response = Response::new(Body::from("not found\n"));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn answer_with(asset: &'static Asset, request: &HeaderMap) -> Response<Body> {
    let coding = coding(request);
    // What differs in its bytes has another tag: RFC 9110 §8.8.3.3.
    let tag = format!("\"{}{}\"", asset.tag, coding.map_or("", Coding::name));
    let is_known = request.get_all(IF_NONE_MATCH).iter().any(|value| names(value, &tag));
    let content = || coding.map_or_else(|| asset.plain.clone(), |coding| asset.compressed(coding));
    let mut response = Response::new(if is_known { Body::empty() } else { Body::from(content()) });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    if let Some(coding) = coding.filter(|_| !is_known) {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.name()));
    }
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.mime));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// The best that a request takes.
fn coding(request: &HeaderMap) -> Option<Coding> {
    Coding::ALL.into_iter().find(|coding| takes(request, *coding))
}

/// Whether an `If-None-Match` field names this tag. Weak tags match too: RFC 9110 §13.1.2.
fn names(field: &HeaderValue, tag: &str) -> bool {
    let is_it = |item: &str| item == "*" || item.strip_prefix("W/").unwrap_or(item) == tag;
    field.to_str().is_ok_and(|items| items.split(',').any(|item| is_it(item.trim())))
}

/// Whether an answer may come compressed so: RFC 9110 §12.5.3.
fn takes(request: &HeaderMap, coding: Coding) -> bool {
    let fields = request.get_all(ACCEPT_ENCODING).iter().filter_map(|field| field.to_str().ok());
    let mut codings = fields.flat_map(|field| field.split(','));
    codings.any(|item| {
        let (name, weight) = item.split_once(';').unwrap_or((item, ""));
        let is_refused = weight.split_once('=').is_some_and(|(_, weight)| weight.trim().parse() == Ok(0.0));
        name.trim().eq_ignore_ascii_case(coding.name()) && !is_refused
    })
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures_util::FutureExt;

    use super::*;

    fn get(path: &str) -> Response<Body> {
        answer_now(path, &HeaderMap::new())
    }

    fn get_with(path: &str, field: HeaderName, value: &str) -> Response<Body> {
        answer_now(path, &HeaderMap::from_iter([(field, value.parse().unwrap())]))
    }

    #[test]
    fn a_page_comes_with_its_type_its_tag_and_the_policy() {
        let response = get("index.html");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html; charset=utf-8");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(response.headers()[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(response.headers()[ETAG].len(), 34);
        assert!(!response.headers().contains_key(ACCESS_CONTROL_ALLOW_ORIGIN));
    }

    #[test]
    fn nothing_inline_is_allowed_and_one_page_alone_is_for_frames() {
        for (page, ancestors) in [("index.html", "'none'"), ("watch.html", "'none'"), ("embed.html", "*")] {
            let policy = get(page).headers()[CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
            assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
            assert!(!policy.contains("unsafe"), "{policy}");
            assert!(policy.ends_with(&format!("frame-ancestors {ancestors}")), "{policy}");
        }
    }

    #[test]
    fn other_origins_may_use_the_player() {
        let response = get("element.js");
        assert_eq!(response.headers()[ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(response.headers()["cross-origin-resource-policy"], "cross-origin");
    }

    #[test]
    fn what_is_compressed_says_so_and_has_another_tag() {
        let plain = get("element.js");
        assert!(!plain.headers().contains_key(CONTENT_ENCODING));
        assert_eq!(plain.headers()[VARY], "accept-encoding");
        for (codings, coding) in [
            ("gzip", "gzip"),
            ("gzip, deflate, br, zstd", "br"),
            ("br;q=0, GZIP;q=0.5", "gzip"),
            ("deflate, gzip;q=1.0, *;q=0.5", "gzip"),
        ] {
            let response = get_with("element.js", ACCEPT_ENCODING, codings);
            assert_eq!(response.headers()[CONTENT_ENCODING], coding, "{codings}");
            assert_ne!(response.headers()[ETAG], plain.headers()[ETAG]);
        }
        for codings in ["", "zstd", "gzip;q=0", "gzip; q=0.000, br; q=0", "xgzip"] {
            let response = get_with("element.js", ACCEPT_ENCODING, codings);
            assert!(!response.headers().contains_key(CONTENT_ENCODING), "{codings}");
        }
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let tag = get("index.html").headers()[ETAG].to_str().unwrap().to_owned();
        for field in [&tag, "*", &format!("\"x\", W/{tag}")] {
            assert_eq!(get_with("index.html", IF_NONE_MATCH, field).status(), StatusCode::NOT_MODIFIED);
        }
        assert_eq!(get_with("index.html", IF_NONE_MATCH, "\"other\"").status(), StatusCode::OK);
    }

    #[tokio::test]
    async fn a_file_is_made_ready_beside_the_streams_and_once() {
        let ask = || {
            let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
            answer("example.js".into(), headers)
        };
        let mut first = pin!(ask());
        assert!(first.as_mut().now_or_never().is_none(), "the runtime's thread was held up");
        assert_eq!(first.await.headers()[CONTENT_ENCODING], "gzip");
        assert!(ask().now_or_never().is_some());
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(get("no.js").status(), StatusCode::NOT_FOUND);
    }
}
