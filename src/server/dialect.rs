//! Which protocol a WebSocket is to speak, by its path and the subprotocols offered. Pure.
//!
//! | path | offered | spoken |
//! |---|---|---|
//! | `/ws/<app>/<name>` | none | standard WebSocket: the stream as fragmented MP4, acknowledged |
//! | `/ws/<app>/<name>` | `websocketstream` | the same, paced by the transport |
//! | any | `rtwebsocket` | RTWebSocket |
//! | any other | none | RTWebSocket: genuine clients offer none |
//!
//! A query behind the name is that of a `play` command. Either of app and name may have more than one part: what is played is
//! all of them joined, wherever the one ends and the other begins.

use std::fmt;

use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::request::Parts;
use axum::http::{HeaderName, StatusCode};

use crate::broadcast::StreamPath;
use crate::session::tlv::Request;
use crate::wire::query::{self, percent_decode};

/// The subprotocol of RTWebSocket.
const RTWEBSOCKET: &str = "rtwebsocket";

/// The subprotocol of fragmented MP4 that is paced by the transport.
const WEBSOCKETSTREAM: &str = "websocketstream";

/// Where streams are that a WebSocket without flows plays.
const STREAMS: &str = "/ws/";

/// A protocol over WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dialect {
    /// Flows.
    RtWebSocket {
        /// The client has offered it by name.
        offered: bool,
    },
    /// One stream as fragmented MP4, paced by the transport.
    WebSocketStream(Request),
    /// The same, acknowledged.
    WebSocket(Request),
}

/// Why there is no WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// The answer's status.
    pub status: StatusCode,
    /// The answer's words.
    pub reason: &'static str,
}

impl Dialect {
    /// What a WebSocket handshake asks for.
    ///
    /// # Errors
    /// [`Refusal`] to answer with.
    pub fn of(request: &Parts) -> Result<Self, Refusal> {
        let path = request.uri.path();
        let offered = tokens(request, &SEC_WEBSOCKET_PROTOCOL);
        // In the client's order of preference.
        let known = offered.iter().find(|protocol| [RTWEBSOCKET, WEBSOCKETSTREAM].contains(&protocol.as_str()));
        match (known.map(String::as_str), path.strip_prefix(STREAMS)) {
            (Some(RTWEBSOCKET), _) => Ok(Self::RtWebSocket { offered: true }),
            (Some(_), Some(stream)) => Ok(Self::WebSocketStream(playing(request, stream, false)?)),
            (Some(_), None) => Err(bad_request("websocketstream is spoken at /ws/<app>/<name>")),
            (None, _) if !offered.is_empty() => {
                Err(bad_request("the only subprotocols here are rtwebsocket and websocketstream"))
            }
            (None, Some(stream)) => Ok(Self::WebSocket(playing(request, stream, true)?)),
            (None, None) => Ok(Self::RtWebSocket { offered: false }),
        }
    }

    /// What is played, where the path says so.
    pub fn stream(&self) -> Option<StreamPath> {
        match self {
            Self::RtWebSocket { .. } => None,
            Self::WebSocketStream(request) | Self::WebSocket(request) => {
                StreamPath::new(&request.app, query::split(&request.name).0).ok()
            }
        }
    }

    /// The subprotocol to answer with: one only if it was offered.
    pub fn subprotocol(&self) -> Option<&'static str> {
        match self {
            Self::RtWebSocket { offered: true } => Some(RTWEBSOCKET),
            Self::WebSocketStream(_) => Some(WEBSOCKETSTREAM),
            Self::RtWebSocket { offered: false } | Self::WebSocket(_) => None,
        }
    }
}

/// The name of the transport.
impl fmt::Display for Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RtWebSocket { .. } => "rtwebsocket",
            Self::WebSocketStream(_) => "websocketstream",
            Self::WebSocket(_) => "websocket",
        })
    }
}

/// What is played at the path `/ws/` and `stream`.
fn playing(request: &Parts, stream: &str, acknowledged: bool) -> Result<Request, Refusal> {
    let parts = stream.split_once('/').filter(|(app, name)| !app.is_empty() && !name.is_empty());
    let (app, name) =
        parts.ok_or(Refusal { status: StatusCode::NOT_FOUND, reason: "a stream is at /ws/<app>/<name>" })?;
    // The later of two wishes wins.
    let query = request.uri.query().unwrap_or_default();
    let name = format!("{}?{query}&format=fmp4", percent_decode(name));
    Ok(Request { app: percent_decode(app).into_owned(), name, acknowledged })
}

fn bad_request(reason: &'static str) -> Refusal {
    Refusal { status: StatusCode::BAD_REQUEST, reason }
}

/// The tokens of a field that is a list of them, in lower case.
pub(super) fn tokens(request: &Parts, field: &HeaderName) -> Vec<String> {
    let values = request.headers.get_all(field).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(|token| token.trim().to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderValue, Request as HttpRequest};

    use super::*;

    fn dialect(path: &str, offered: Option<&'static str>) -> Result<Dialect, StatusCode> {
        let mut request = HttpRequest::get(path).body(()).unwrap().into_parts().0;
        if let Some(offered) = offered {
            request.headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(offered));
        }
        Dialect::of(&request).map_err(|refusal| refusal.status)
    }

    fn request(app: &str, name: &str, acknowledged: bool) -> Request {
        Request { app: app.into(), name: name.into(), acknowledged }
    }

    #[test]
    fn path_and_subprotocol_decide() {
        let name = "demo?&format=fmp4";
        for (path, offered, expected) in [
            ("/live", None, Ok(Dialect::RtWebSocket { offered: false })),
            ("/", None, Ok(Dialect::RtWebSocket { offered: false })),
            ("/live", Some("chat, RTWebSocket"), Ok(Dialect::RtWebSocket { offered: true })),
            ("/ws/live/demo", Some("rtwebsocket"), Ok(Dialect::RtWebSocket { offered: true })),
            ("/ws/live/demo", None, Ok(Dialect::WebSocket(request("live", name, true)))),
            ("/ws/live/demo", Some("websocketstream"), Ok(Dialect::WebSocketStream(request("live", name, false)))),
            ("/ws/live/demo", Some("rtwebsocket,websocketstream"), Ok(Dialect::RtWebSocket { offered: true })),
            ("/live", Some("websocketstream"), Err(StatusCode::BAD_REQUEST)),
            ("/ws/live/demo", Some("chat"), Err(StatusCode::BAD_REQUEST)),
            ("/live", Some(""), Err(StatusCode::BAD_REQUEST)),
            ("/ws/live", None, Err(StatusCode::NOT_FOUND)),
            ("/ws/live/", None, Err(StatusCode::NOT_FOUND)),
            ("/ws//demo", None, Err(StatusCode::NOT_FOUND)),
            ("/ws/", None, Err(StatusCode::NOT_FOUND)),
        ] {
            assert_eq!(dialect(path, offered), expected, "{path} {offered:?}");
        }
    }

    #[test]
    fn the_paths_query_is_the_plays_but_for_the_format() {
        let Ok(Dialect::WebSocket(request)) = dialect("/ws/live/a/b%20c?videoLifetime=1&format=raw", None) else {
            panic!("another dialect");
        };
        assert_eq!((&*request.app, &*request.name), ("live", "a/b c?videoLifetime=1&format=raw&format=fmp4"));
    }

    #[test]
    fn an_app_of_several_parts_is_found_and_both_may_be_encoded() {
        for path in ["/ws/live/inst/a/b", "/ws/l%69ve/inst/%61/b", "/ws/live%2finst/a/b"] {
            let stream = dialect(path, None).unwrap().stream();
            assert_eq!(stream, StreamPath::new("live/inst", "a/b").ok(), "{path}");
        }
    }

    #[test]
    fn only_what_was_offered_is_answered() {
        for (path, offered, answered) in [
            ("/live", None, None),
            ("/live", Some("rtwebsocket"), Some("rtwebsocket")),
            ("/ws/live/demo", None, None),
            ("/ws/live/demo", Some("x, websocketstream"), Some("websocketstream")),
        ] {
            assert_eq!(dialect(path, offered).unwrap().subprotocol(), answered, "{path} {offered:?}");
        }
    }
}
