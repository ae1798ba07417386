//! Requests: their heads, and the answers to them.
//!
//! | what | specification |
//! |---|---|
//! | frames of a request, malformed ones | RFC 9114 §4.1 |
//! | pseudo-header fields | RFC 9114 §4.3, RFC 9220 §3 |
//! | CONNECT for a session | draft-ietf-webtrans-http3-02 §3.3 |

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use quinn::{RecvStream, SendStream, VarInt};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::timeout;
use tracing::debug;

use super::super::admission;
use super::super::http::{self, Via};
use super::streams::{MIN_HEADER, read_varint};
use super::{Context, Fault};
use crate::authority::Secret;
use crate::delivery::Format;
use crate::transport::webtransport;
use crate::wire::http3::code::{self, Code};
use crate::wire::http3::qpack::{self, Field, QpackError};
use crate::wire::http3::{FrameType, MAX_FIELD_SECTION, data_frame, headers_frame};
use crate::wire::lane::LaneCode;

/// How long an answer may take to be taken: the player's files on a slow line.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest answer. Files and lists are far shorter.
const MAX_ANSWER: usize = 4 << 20;

/// Paths of sessions, in front of the application's name, and what is delivered there unless a play asks for something else.
const SESSIONS: [(&str, Format); 2] = [("/wt/", Format::Raw), ("/wt-fmp4/", Format::Fmp4)];

/// Fields about a connection of HTTP/1.1, which no request has here. Defined by: RFC 9114 §4.2.
const OF_CONNECTIONS: [&[u8]; 5] =
    [b"connection", b"keep-alive", b"proxy-connection", b"transfer-encoding", b"upgrade"];

/// Says which draft is spoken; Chromium and Firefox ask for it. Defined by: draft-ietf-webtrans-http3-02 §3.3.
const DRAFT: (&str, &str) = ("sec-webtransport-http3-draft", "draft02");

/// Whoever has come here needs not be told the way.
const VIA: Via = Via::Tls { http3: None };

/// What a request has come to.
#[derive(Debug)]
pub(super) enum Answered {
    /// It is over.
    Page,
    /// It asks for a session.
    Connect(Connect),
}

/// A request for a session, where there may be one.
#[derive(Debug)]
pub(super) struct Connect {
    /// What is delivered unless a play asks for something else.
    pub(super) format: Format,
    /// By what right.
    pub(super) credential: Option<Secret>,
    send: SendStream,
    recv: RecvStream,
}

/// What a request's stream begins with.
#[derive(Debug, PartialEq, Eq)]
enum Head {
    Fields(Vec<Field>),
    TooLong,
    /// A stream of a session: lanes are one way.
    WebTransport,
    /// Nothing, or not all of it in time.
    None,
}

/// A request as HTTP has it, and for which protocol (RFC 9220).
#[derive(Debug)]
struct Asked {
    parts: Parts,
    protocol: Option<Vec<u8>>,
}

impl Connect {
    /// Agrees to the session.
    ///
    /// # Errors
    /// The client is gone, or wants no answer.
    pub(super) async fn accept(mut self) -> io::Result<webtransport::Request> {
        let fields = [(DRAFT.0.as_bytes(), DRAFT.1.as_bytes())];
        self.send.write_all(&head(StatusCode::OK, fields)).await?;
        Ok(webtransport::Request::new(self.send, self.recv))
    }

    /// Refuses it because there is one already; the connection goes on.
    pub(super) fn refuse(&mut self) {
        give_up(&mut self.send, &mut self.recv, Code::RequestRejected.number().into());
    }
}

/// Serves one request.
///
/// # Errors
/// [`Fault`]: the connection is to be closed.
pub(super) async fn serve(
    mut send: SendStream,
    mut recv: RecvStream,
    peer: SocketAddr,
    context: &Context,
) -> Result<Answered, Fault> {
    let asked = match timeout(context.limits.header_timeout, read_head(&mut recv)).await {
        Ok(head) => head?,
        Err(_) => Head::None,
    };
    let response = match asked {
        Head::Fields(fields) => match Asked::try_from(fields) {
            Ok(asked) if asked.parts.method == Method::CONNECT => match connect(&asked) {
                Ok(format) => match admission::refusal(context, &asked.parts, peer, None) {
                    Some(refusal) => refusal,
                    None => {
                        let credential = admission::credential(&asked.parts);
                        return Ok(Answered::Connect(Connect { format, credential, send, recv }));
                    }
                },
                Err(status) => empty(status),
            },
            Ok(asked) => http::answer(context, Request::from_parts(asked.parts, ()), peer, VIA).await,
            Err(Malformed) => {
                give_up(&mut send, &mut recv, Code::MessageError.number().into());
                return Ok(Answered::Page);
            }
        },
        Head::TooLong => empty(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
        Head::WebTransport => {
            let code = code::from_webtransport(LaneCode::Rejected.number());
            give_up(&mut send, &mut recv, VarInt::from_u64(code).unwrap_or_default());
            return Ok(Answered::Page);
        }
        Head::None => {
            give_up(&mut send, &mut recv, Code::RequestIncomplete.number().into());
            return Ok(Answered::Page);
        }
    };
    // The rest of the request is of no interest. An error is a stream that has ended already.
    let _ = recv.stop(Code::NoError.number().into());
    if !matches!(timeout(ANSWER_TIMEOUT, answer(&mut send, response)).await, Ok(Ok(()))) {
        debug!("answer not taken");
        let _ = send.reset(Code::RequestRejected.number().into());
    }
    Ok(Answered::Page)
}

/// Reads up to the end of the header section.
async fn read_head(stream: &mut (impl AsyncRead + Unpin + Send)) -> Result<Head, Fault> {
    let mut skipped = 0;
    loop {
        let Ok(kind) = read_varint(stream).await else { return Ok(Head::None) };
        let kind = FrameType::from(kind);
        if kind == FrameType::WebTransport {
            return Ok(Head::WebTransport);
        }
        let Ok(len) = read_varint(stream).await else { return Ok(Head::None) };
        match kind {
            FrameType::Headers if len > MAX_FIELD_SECTION as u64 => return Ok(Head::TooLong),
            FrameType::Unknown if len + skipped > MAX_FIELD_SECTION as u64 => return Ok(Head::TooLong),
            FrameType::Headers | FrameType::Unknown => {}
            FrameType::Data
            | FrameType::Settings
            | FrameType::Control
            | FrameType::Forbidden
            | FrameType::WebTransport => {
                return Err(Fault::peer(Code::FrameUnexpected, "a frame that no request begins with"));
            }
        }
        skipped += MIN_HEADER + len;
        let mut frame = vec![0; usize::try_from(len).unwrap_or_default()];
        if stream.read_exact(&mut frame).await.is_err() {
            return Ok(Head::None);
        }
        if kind == FrameType::Headers {
            return match qpack::decode(&frame) {
                Ok(fields) => Ok(Head::Fields(fields)),
                Err(QpackError::TooLong) => Ok(Head::TooLong),
                Err(QpackError::Truncated | QpackError::Reference | QpackError::Malformed) => {
                    Err(Fault::peer(Code::DecompressionFailed, "a header section that can't be read"))
                }
            };
        }
    }
}

/// What is delivered in a session where it is asked for, or the answer if there may be none.
fn connect(asked: &Asked) -> Result<Format, StatusCode> {
    if asked.protocol.as_deref() != Some(b"webtransport") {
        return Err(StatusCode::NOT_IMPLEMENTED);
    }
    let path = asked.parts.uri.path();
    let app_at = |prefix: &str| path.strip_prefix(prefix).is_some_and(|app| !app.is_empty());
    let session = SESSIONS.into_iter().find(|(prefix, _)| app_at(prefix));
    session.map(|(_, format)| format).ok_or(StatusCode::NOT_FOUND)
}

fn empty(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// Sends an answer. Does not wait until the client has it.
async fn answer(send: &mut SendStream, response: Response<Body>) -> io::Result<()> {
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, MAX_ANSWER).await.map_err(io::Error::other)?;
    let fields = parts.headers.iter().map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes()));
    let mut head = head(parts.status, fields);
    if !body.is_empty() {
        data_frame(body.len(), &mut head);
    }
    send.write_all_chunks(&mut [Bytes::from(head), body]).await?;
    // An error is a stream that has ended already.
    let _ = send.finish();
    Ok(())
}

/// A header section in its frame.
fn head<'a>(status: StatusCode, fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut section = Vec::new();
    qpack::encode_start(&mut section);
    qpack::encode_field(b":status", status.as_str().as_bytes(), &mut section);
    fields.into_iter().for_each(|(name, value)| qpack::encode_field(name, value, &mut section));
    let mut frame = Vec::new();
    headers_frame(section.len(), &mut frame);
    frame.extend(section);
    frame
}

fn give_up(send: &mut SendStream, recv: &mut RecvStream, code: VarInt) {
    // Errors are streams that have ended already.
    let _ = send.reset(code);
    let _ = recv.stop(code);
}

/// A header section that is none of a request's.
#[derive(Debug, PartialEq, Eq)]
struct Malformed;

impl TryFrom<Vec<Field>> for Asked {
    type Error = Malformed;

    fn try_from(fields: Vec<Field>) -> Result<Self, Malformed> {
        let mut request = Request::new(());
        *request.version_mut() = Version::HTTP_3;
        let (mut method, mut path, mut authority, mut scheme, mut protocol) = (None, None, None, None, None);
        for (name, value) in fields {
            if let Some(pseudo) = name.strip_prefix(b":") {
                let slot = match pseudo {
                    b"method" => &mut method,
                    b"path" => &mut path,
                    b"authority" => &mut authority,
                    b"scheme" => &mut scheme,
                    b"protocol" => &mut protocol,
                    _ => return Err(Malformed),
                };
                // Once, and before all other fields.
                if !request.headers().is_empty() || slot.replace(value).is_some() {
                    return Err(Malformed);
                }
                continue;
            }
            if name.iter().any(u8::is_ascii_uppercase) || OF_CONNECTIONS.contains(&&*name) {
                return Err(Malformed);
            }
            let name = HeaderName::from_bytes(&name).map_err(|_| Malformed)?;
            let value = HeaderValue::from_maybe_shared(Bytes::from(value)).map_err(|_| Malformed)?;
            request.headers_mut().append(name, value);
        }
        *request.method_mut() = Method::from_bytes(&method.ok_or(Malformed)?).map_err(|_| Malformed)?;
        *request.uri_mut() = match path {
            Some(path) if scheme.is_some() && path.starts_with(b"/") => Uri::try_from(path).map_err(|_| Malformed)?,
            // CONNECT to a host has neither.
            None if request.method() == Method::CONNECT && protocol.is_none() => Uri::default(),
            _ => return Err(Malformed),
        };
        if let Some(authority) = authority
            && !request.headers().contains_key(HOST)
        {
            let host = HeaderValue::from_maybe_shared(Bytes::from(authority)).map_err(|_| Malformed)?;
            request.headers_mut().insert(HOST, host);
        }
        Ok(Self { parts: request.into_parts().0, protocol })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::http3::varint;

    fn fields(fields: &[(&str, &str)]) -> Vec<Field> {
        fields.iter().map(|&(name, value)| (name.into(), value.into())).collect()
    }

    fn frame(kind: u64, payload: &[u8]) -> Vec<u8> {
        let mut frame = Vec::new();
        varint::encode(kind, &mut frame);
        varint::encode(payload.len() as u64, &mut frame);
        frame.extend(payload);
        frame
    }

    fn headers(fields: &[Field]) -> Vec<u8> {
        let mut section = Vec::new();
        qpack::encode_start(&mut section);
        fields.iter().for_each(|(name, value)| qpack::encode_field(name, value, &mut section));
        frame(0x01, &section)
    }

    const GET: [(&str, &str); 4] =
        [(":method", "GET"), (":scheme", "https"), (":authority", "example.org:4443"), (":path", "/watch/live/a?b")];

    fn connecting(path: &str) -> Vec<Field> {
        fields(&[
            (":method", "CONNECT"),
            (":scheme", "https"),
            (":authority", "localhost"),
            (":path", path),
            (":protocol", "webtransport"),
            ("sec-webtransport-http3-draft02", "1"),
        ])
    }

    #[tokio::test]
    async fn every_prefix_of_a_head_is_none_and_the_whole_is_one() {
        let fields = fields(&GET);
        let bytes = [frame(0x21, b"grease"), headers(&fields)].concat();
        for end in 0..bytes.len() {
            assert_eq!(read_head(&mut &bytes[..end]).await.unwrap(), Head::None, "{end}");
        }
        assert_eq!(read_head(&mut &bytes[..]).await.unwrap(), Head::Fields(fields));
    }

    #[tokio::test]
    async fn a_head_of_a_megabyte_is_refused_at_its_length() {
        for kind in [0x01, 0x21] {
            let mut claim = vec![kind];
            varint::encode(1 << 20, &mut claim);
            assert_eq!(read_head(&mut &claim[..]).await.unwrap(), Head::TooLong);
        }
        for unknown in [frame(0x21, &[0; 1000]).repeat(20), frame(0x21, &[]).repeat(20_000)] {
            assert_eq!(read_head(&mut &unknown[..]).await.unwrap(), Head::TooLong);
        }
    }

    #[tokio::test]
    async fn a_stream_of_a_session_is_known_by_its_first_bytes() {
        assert_eq!(read_head(&mut &[0x40, 0x41, 0x00][..]).await.unwrap(), Head::WebTransport);
    }

    #[tokio::test]
    async fn frames_that_no_request_begins_with_are_refused() {
        for kind in [0x00, 0x03, 0x04, 0x05, 0x07] {
            let Err(Fault::Peer { code, .. }) = read_head(&mut &frame(kind, b"?")[..]).await else { panic!("{kind}") };
            assert_eq!(code, Code::FrameUnexpected);
        }
    }

    #[test]
    fn a_request_is_what_its_fields_say() {
        let asked = Asked::try_from([fields(&GET), fields(&[("accept", "*/*")])].concat()).unwrap();
        assert_eq!((asked.parts.method, asked.parts.uri.to_string()), (Method::GET, "/watch/live/a?b".to_owned()));
        assert_eq!(
            (&asked.parts.headers[HOST], &asked.parts.headers["accept"]),
            (&HeaderValue::from_static("example.org:4443"), &HeaderValue::from_static("*/*"))
        );
    }

    #[test]
    fn malformed_requests_are_refused() {
        let with = |more: &[(&str, &str)]| [fields(&GET), fields(more)].concat();
        for malformed in [
            fields(&GET[1..]),
            fields(&GET[..3]),
            with(&[(":path", "/twice")]),
            with(&[(":status", "200")]),
            with(&[("a", "b"), (":protocol", "late")]),
            with(&[("Upper", "case")]),
            with(&[("new", "li\nne")]),
            with(&[("", "nameless")]),
            with(&[("connection", "close")]),
            with(&[("transfer-encoding", "chunked")]),
            fields(&[GET[0], GET[2], GET[3]]),
            fields(&[GET[0], GET[1], (":path", "nowhere")]),
            fields(&[(":method", "G E T"), GET[1], GET[3]]),
        ] {
            assert_eq!(Asked::try_from(malformed.clone()).unwrap_err(), Malformed, "{malformed:?}");
        }
    }

    #[test]
    fn sessions_are_to_be_had_at_their_paths_alone() {
        let answer = |fields| connect(&Asked::try_from(fields).unwrap());
        for (path, format) in [("/wt/live", Format::Raw), ("/wt-fmp4/live", Format::Fmp4), ("/wt/a/b?c", Format::Raw)] {
            assert_eq!(answer(connecting(path)), Ok(format), "{path}");
        }
        for path in ["/", "/wt", "/wt/", "/wt-fmp4/", "/live", "/ws/live"] {
            assert_eq!(answer(connecting(path)), Err(StatusCode::NOT_FOUND), "{path}");
        }
        assert_eq!(answer(fields(&[(":method", "CONNECT"), (":authority", "a:1")])), Err(StatusCode::NOT_IMPLEMENTED));
        let mut other = connecting("/wt/live");
        other[4].1 = b"connect-udp".to_vec();
        assert_eq!(answer(other), Err(StatusCode::NOT_IMPLEMENTED));
    }
}
