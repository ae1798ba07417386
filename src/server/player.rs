//! The player's files, embedded: path → bytes, content type, ETag.

use axum::body::Body;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode};
use rust_embed::{Embed, EmbeddedFile};

/// Everything comes from this origin; media may come from any gateway that the page is told of. The player's worker may be
/// made from a blob where a page of another origin embeds it, and what Media Source Extensions are given plays as one.
const POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self'; connect-src 'self' ws: wss: https:; worker-src 'self' blob:; media-src 'self' blob:; \
     style-src 'self' 'unsafe-inline'",
);

/// What of `player/` is for browsers; the rest is for those who work on it.
const PUBLIC: [&str; 5] = [".css", ".html", ".ico", ".js", ".svg"];

/// What the tests of the player are called.
const TEST: &str = ".test.js";

#[derive(Embed)]
#[folder = "player/"]
struct Files;

/// The answer for the file at `path`, relative to `player/`.
///
/// A browser asks every time whether what it has is still right (it is cheap, and a page's parts must fit each other), and
/// is told so by status 304.
pub fn answer(path: &str, request: &HeaderMap) -> Response<Body> {
    let is_public = PUBLIC.iter().any(|end| path.ends_with(end)) && !path.ends_with(TEST);
    match Files::get(path).filter(|_| is_public) {
        Some(file) => answer_with(file, request),
        None => not_found(),
    }
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

fn answer_with(file: EmbeddedFile, request: &HeaderMap) -> Response<Body> {
    let tag = etag(&file);
    let is_known = request.get_all(IF_NONE_MATCH).iter().any(|value| names(value, &tag));
    let mime = HeaderValue::from_str(file.metadata.mimetype());
    let mut response = Response::new(if is_known { Body::empty() } else { Body::from(file.data) });
    if is_known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, mime.unwrap_or(HeaderValue::from_static("application/octet-stream")));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, POLICY);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        headers.insert(ETAG, tag);
    }
    response
}

/// Sixteen bytes of the content's hash tell two versions apart.
fn etag(file: &EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    let digits: String = hash.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
    format!("\"{digits}\"")
}

/// Whether an `If-None-Match` field names this tag. Weak tags match too: RFC 9110 §13.1.2.
fn names(field: &HeaderValue, tag: &str) -> bool {
    let is_it = |item: &str| item == "*" || item.strip_prefix("W/").unwrap_or(item) == tag;
    field.to_str().is_ok_and(|items| items.split(',').any(|item| is_it(item.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str) -> Response<Body> {
        answer(path, &HeaderMap::new())
    }

    #[test]
    fn a_file_comes_with_its_type_its_tag_and_the_policy() {
        let response = get("index.html");
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()[CONTENT_TYPE], "text/html");
        assert_eq!(response.headers()[CACHE_CONTROL], "no-cache");
        assert_eq!(response.headers()[CONTENT_SECURITY_POLICY], POLICY);
        assert_eq!(response.headers()[ETAG].len(), 34);
    }

    #[test]
    fn a_file_that_is_known_is_not_sent_again() {
        let tag = get("index.html").headers()[ETAG].clone();
        let weak = format!("\"x\", W/{}", tag.to_str().unwrap());
        for field in [tag, HeaderValue::from_static("*"), weak.parse().unwrap()] {
            let request = HeaderMap::from_iter([(IF_NONE_MATCH, field)]);
            assert_eq!(answer("index.html", &request).status(), StatusCode::NOT_MODIFIED);
        }
        let request = HeaderMap::from_iter([(IF_NONE_MATCH, HeaderValue::from_static("\"other\""))]);
        assert_eq!(answer("index.html", &request).status(), StatusCode::OK);
    }

    #[test]
    fn what_is_not_for_browsers_is_not_there() {
        for path in ["", "no.js", "package.json", "tsconfig.json", "wire/vlu.test.js", "../Cargo.toml", "/etc/hosts"] {
            assert_eq!(get(path).status(), StatusCode::NOT_FOUND, "{path}");
        }
    }
}
