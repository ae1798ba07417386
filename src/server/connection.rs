//! One HTTP/1.1 connection, plain or TLS: pages until a request upgrades it to WebSocket, a viewer from then on.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1::{self, Parts};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tracing::{Span, debug, field};

use super::dialect::Dialect;
use super::http::{self, Via};
use super::upgrade::{self, Answer};
use super::viewer::{self, Guest};
use super::{Context, Shutdown, admission};
use crate::authority::{Entrance, Secret};
use crate::delivery::Format;
use crate::session::Session;
use crate::transport::pipe_link::PipeLink;
use crate::transport::websocket::WebSocket;

/// Most header fields of a request: browsers send about twenty.
const MAX_HEADERS: usize = 64;

/// Most bytes of a request's head, and of an answer that is buffered.
const MAX_BUFFER: usize = 32 * 1024;

/// How long a connection may be used for pages. A stranger that reads its answer a byte at a time is gone after this.
pub(super) const MAX_PAGES: Duration = Duration::from_secs(600);

/// How long the end of a connection that served pages may take.
const GOODBYE: Duration = Duration::from_millis(250);

/// What a request for WebSocket has come to.
#[derive(Debug)]
struct Upgraded {
    dialect: Dialect,
    credential: Option<Secret>,
}

/// Serves one connection until its end.
pub(super) async fn serve<S>(socket: S, peer: SocketAddr, via: Via, context: &Context, shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let upgraded = Box::pin(serve_pages(socket, peer, via, context, shutdown.clone())).await;
    if let Some((socket, leftover, Upgraded { dialect, credential })) = upgraded {
        Span::current().record("transport", field::display(&dialect));
        let guest = |entrance, format| Guest { peer, entrance, credential, format };
        let pipe = WebSocket::new(socket, &context.websocket, &leftover);
        drop(leftover);
        match dialect {
            Dialect::RtWebSocket { .. } => {
                let guest = guest(Entrance::RtWebSocket, Format::Raw);
                let link = PipeLink::new(pipe, context.session.clone(), context.clock);
                Box::pin(viewer::serve(link, guest, context, shutdown)).await;
            }
            Dialect::WebSocketStream(request) | Dialect::WebSocket(request) => {
                let entrance = if request.acknowledged { Entrance::WebSocket } else { Entrance::WebSocketStream };
                let guest = guest(entrance, Format::Fmp4);
                let session = Session::playing(context.session.clone(), request);
                let link = PipeLink::with(session, pipe, context.clock);
                Box::pin(viewer::serve(link, guest, context, shutdown)).await;
            }
        }
    }
}

/// Serves pages. When the connection has become WebSocket's, gives its socket, what was read behind the request, and what is
/// to be spoken.
async fn serve_pages<S>(
    socket: S,
    peer: SocketAddr,
    via: Via,
    context: &Context,
    mut shutdown: Shutdown,
) -> Option<(S, Vec<u8>, Upgraded)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let upgraded = OnceLock::new();
    let service = service_fn(|request| answer(request, peer, via, context, &upgraded));
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(context.limits.header_timeout)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_BUFFER)
        .serve_connection(TokioIo::new(socket), service);
    let served = tokio::select! {
        result = poll_fn(|task| connection.poll_without_shutdown(task)) => Ok(result),
        () = shutdown.begun() => Err(()),
        () = sleep(MAX_PAGES) => Err(()),
    };
    let served = match served {
        Ok(result) => result,
        Err(()) => {
            Pin::new(&mut connection).graceful_shutdown();
            let last = poll_fn(|task| connection.poll_without_shutdown(task));
            timeout(context.limits.header_timeout, last).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = served {
        debug!(%error, "connection failed");
        return None;
    }
    let Parts { io, read_buf, .. } = connection.into_parts();
    let mut socket = io.into_inner();
    if let Some(upgraded) = upgraded.into_inner() {
        // A copy, mostly of nothing: the buffer it lies in would live as long as the viewer.
        return Some((socket, read_buf.to_vec(), upgraded));
    }
    // TLS says goodbye; a peer that doesn't take it is not waited for.
    let _ = timeout(GOODBYE, socket.shutdown()).await;
    None
}

fn answer<'a>(
    request: Request<Incoming>,
    peer: SocketAddr,
    via: Via,
    context: &'a Context,
    upgraded: &OnceLock<Upgraded>,
) -> Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send + 'a>> {
    let (head, body) = request.into_parts();
    if http::is_served(&head, via)
        && let Some(answer) = upgrade::answer(&head)
    {
        let response = match answer {
            Answer::Refused(response) => response,
            Answer::Accepted(response, dialect) => {
                let refusal = admission::refusal(context, &head, peer, dialect.stream().as_ref());
                refusal.unwrap_or_else(|| {
                    // The last answer of this connection, and the only one of its kind.
                    let _ = upgraded.set(Upgraded { dialect, credential: admission::credential(&head) });
                    response
                })
            }
        };
        return Box::pin(async { Ok(response) });
    }
    let request = Request::from_parts(head, body);
    Box::pin(async move { Ok(http::answer(context, request, peer, via).await) })
}
