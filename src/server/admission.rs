//! What a request for a session has to show before there is one: where its page is from, by what right it comes, and that there
//! is room. What is played inside a session is asked for when it is named.
//!
//! | answer | when |
//! |---|---|
//! | 401 | a credential is needed |
//! | 403 | it does not do, or the page is none of those that may play |
//! | 503 with `Retry-After` | no room |

use std::net::SocketAddr;

use axum::body::Body;
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Response, StatusCode};

use super::Context;
use crate::authority::{Action, Claim, Denial, Secret};
use crate::broadcast::StreamPath;
use crate::wire::query;

/// Scheme of a credential in a header. Defined by: RFC 6750, §2.1.
const BEARER: &str = "bearer ";

/// The answer to a request for a session that may not be; `stream` is what it will play, if its path says that.
pub(super) fn refusal(
    context: &Context,
    request: &Parts,
    peer: SocketAddr,
    stream: Option<&StreamPath>,
) -> Option<Response<Body>> {
    if !is_from_friends(context, request) {
        return Some(response(StatusCode::FORBIDDEN, "pages of this origin may not play here".into()));
    }
    let denial = check(context, request, peer, stream).err()?;
    let status = match denial {
        Denial::Missing => StatusCode::UNAUTHORIZED,
        Denial::Full { .. } => StatusCode::SERVICE_UNAVAILABLE,
        // The hook knows, and is asked when the session asks for its stream.
        Denial::Unanswered => return None,
        _ => StatusCode::FORBIDDEN,
    };
    let mut response = response(status, denial.told());
    if let Some(after) = denial.retry_after() {
        response.headers_mut().insert(RETRY_AFTER, after.as_secs().max(1).into());
    }
    if status == StatusCode::UNAUTHORIZED {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    Some(response)
}

/// What a request brings: in its `Authorization`, else behind its path, since browsers can't set headers here.
pub(super) fn credential(request: &Parts) -> Option<Secret> {
    let header = request.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = header.and_then(|value| {
        let (scheme, token) = value.split_at_checked(BEARER.len())?;
        scheme.eq_ignore_ascii_case(BEARER).then(|| token.trim())
    });
    match bearer {
        Some(token) => Secret::brought(token),
        None => query::value(request.uri.query()?, "token").and_then(|token| Secret::brought(&token)),
    }
}

fn check(context: &Context, request: &Parts, peer: SocketAddr, stream: Option<&StreamPath>) -> Result<(), Denial> {
    let Some(stream) = stream else { return context.authority.check_room() };
    let credential = credential(request);
    let path = stream.as_str();
    let claim = Claim { action: Action::View, path, address: peer.ip(), credential: credential.as_ref() };
    context.authority.decide(&claim, context.clock.wall())?;
    context.authority.check_room()
}

/// Whoever is no browser says nothing of an origin, and could say anything.
fn is_from_friends(context: &Context, request: &Parts) -> bool {
    let Some(origin) = request.headers.get(ORIGIN) else { return true };
    let host = request.headers.get(HOST).and_then(|host| host.to_str().ok());
    origin.to_str().is_ok_and(|origin| context.authority.admits(origin, host))
}

fn response(status: StatusCode, reason: String) -> Response<Body> {
    let mut response = Response::new(Body::from(reason + "\n"));
    *response.status_mut() = status;
    response
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn brought(uri: &str, header: Option<&str>) -> Option<String> {
        let mut request = Request::get(uri);
        if let Some(header) = header {
            request = request.header(AUTHORIZATION, header);
        }
        credential(&request.body(()).unwrap().into_parts().0).map(|secret| secret.reveal().to_owned())
    }

    #[test]
    fn a_credential_is_in_the_header_or_behind_the_path() {
        for (uri, header, expected) in [
            ("/live", None, None),
            ("/live?token=a%2fb", None, Some("a/b")),
            ("/live?token=a", Some("Bearer b"), Some("b")),
            ("/live", Some("bearer  b "), Some("b")),
            ("/live?token=a", Some("Basic b"), Some("a")),
            ("/live?token=", Some("Be"), None),
        ] {
            assert_eq!(brought(uri, header).as_deref(), expected, "{uri} {header:?}");
        }
    }
}
