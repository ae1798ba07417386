//! The WebSocket handshake, as a pure function from request to response.
//!
//! | what | specification |
//! |---|---|
//! | opening handshake, server's side | RFC 6455 §4.2 |
//! | subprotocols | RFC 6455 §11.3.4, and [`dialect`](super::dialect) |

use axum::body::Body;
use axum::http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, Version};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::dialect::{Dialect, Refusal, tokens};

/// Length of a `Sec-WebSocket-Key`: 16 bytes in base64.
const KEY_LEN: usize = 24;

/// What becomes of a request for WebSocket.
#[derive(Debug)]
pub enum Answer {
    /// 101, after which the connection speaks this.
    Accepted(Response<Body>, Dialect),
    /// Anything else.
    Refused(Response<Body>),
}

/// The answer to a request for WebSocket; `None` for any other request.
pub fn answer(request: &Parts) -> Option<Answer> {
    (request.method == Method::GET && lists(request, &UPGRADE, "websocket")).then(|| accept(request))
}

fn accept(request: &Parts) -> Answer {
    if request.version != Version::HTTP_11 || !lists(request, &CONNECTION, "upgrade") {
        return refuse(StatusCode::BAD_REQUEST, "a WebSocket handshake needs HTTP/1.1 and Connection: Upgrade");
    }
    if request.headers.get(SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        let mut response = refusal(StatusCode::UPGRADE_REQUIRED, "only WebSocket version 13 is spoken");
        response.headers_mut().insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
        return Answer::Refused(response);
    }
    let Some(key) = request.headers.get(SEC_WEBSOCKET_KEY).filter(|key| key.len() == KEY_LEN) else {
        return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing or too short");
    };
    let dialect = match Dialect::of(request) {
        Ok(dialect) => dialect,
        Err(Refusal { status, reason }) => return refuse(status, reason),
    };
    let Ok(accept) = HeaderValue::from_str(&derive_accept_key(key.as_bytes())) else {
        return refuse(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is not base64");
    };
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
    if let Some(subprotocol) = dialect.subprotocol() {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(subprotocol));
    }
    Answer::Accepted(response, dialect)
}

fn refuse(status: StatusCode, reason: &'static str) -> Answer {
    Answer::Refused(refusal(status, reason))
}

fn refusal(status: StatusCode, reason: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(reason));
    *response.status_mut() = status;
    response
}

/// Whether a field that is a list of tokens holds this one, whatever its case.
fn lists(request: &Parts, field: &HeaderName, token: &str) -> bool {
    tokens(request, field).iter().any(|item| item == token)
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    /// The handshake of RFC 6455 §1.3, without its subprotocols.
    fn handshake(path: &str) -> Parts {
        let request = Request::get(path)
            .header(UPGRADE, "websocket")
            .header(CONNECTION, "keep-alive, Upgrade")
            .header(SEC_WEBSOCKET_KEY, "dGhlIHNhbXBsZSBub25jZQ==")
            .header(SEC_WEBSOCKET_VERSION, "13");
        request.body(()).unwrap().into_parts().0
    }

    fn response(request: &Parts) -> Response<Body> {
        match answer(request).unwrap() {
            Answer::Accepted(response, _) | Answer::Refused(response) => response,
        }
    }

    fn offering(protocols: &'static str) -> Response<Body> {
        let mut request = handshake("/live");
        request.headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocols));
        response(&request)
    }

    #[test]
    fn the_specification_s_example_is_answered_as_it_says() {
        let response = response(&handshake("/live"));
        assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
        assert_eq!(response.headers()[SEC_WEBSOCKET_ACCEPT], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(!response.headers().contains_key(SEC_WEBSOCKET_PROTOCOL));
    }

    #[test]
    fn the_subprotocol_is_answered_only_when_offered() {
        assert_eq!(offering("chat, rtwebsocket").headers()[SEC_WEBSOCKET_PROTOCOL], "rtwebsocket");
    }

    #[test]
    fn another_subprotocol_is_refused() {
        assert_eq!(offering("chat").status(), StatusCode::BAD_REQUEST);
    }

    #[test]
    fn requests_for_pages_are_none_of_its_business() {
        let mut request = handshake("/");
        request.headers.remove(UPGRADE);
        assert!(answer(&request).is_none());
        let mut request = handshake("/");
        request.method = Method::POST;
        assert!(answer(&request).is_none());
    }

    #[test]
    fn a_handshake_without_one_of_its_parts_is_refused() {
        for (field, status) in [
            (CONNECTION, StatusCode::BAD_REQUEST),
            (SEC_WEBSOCKET_KEY, StatusCode::BAD_REQUEST),
            (SEC_WEBSOCKET_VERSION, StatusCode::UPGRADE_REQUIRED),
        ] {
            let mut request = handshake("/live");
            request.headers.remove(&field);
            assert_eq!(response(&request).status(), status, "{field}");
        }
    }

    #[test]
    fn a_stream_s_path_is_accepted_and_says_what_is_spoken() {
        let answer = answer(&handshake("/ws/live/demo")).unwrap();
        assert!(matches!(answer, Answer::Accepted(_, Dialect::WebSocket(_))), "{answer:?}");
        assert_eq!(response(&handshake("/ws/live")).status(), StatusCode::NOT_FOUND);
    }
}
