//! One HTTP connection, plain or TLS: pages until a request upgrades it to WebSocket, a viewer from then on.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::{sleep, timeout};
use tower::ServiceExt;
use tracing::{Span, debug};

use super::{Context, Shutdown, upgrade};
use crate::delivery;
use crate::session::link::LinkError;
use crate::transport::pipe_link::PipeLink;
use crate::transport::websocket::WebSocket;

/// Most header fields of a request: browsers send about twenty.
const MAX_HEADERS: usize = 64;

/// Most bytes of a request's head, and of an answer that is buffered.
const MAX_BUFFER: usize = 32 * 1024;

/// How long a connection may be used for pages. A stranger that reads its answer a byte at a time is gone after this.
const MAX_PAGES: Duration = Duration::from_secs(600);

/// How long a viewer's connection goes on at shutdown, so that it hears that its stream has ended.
const GOODBYE: Duration = Duration::from_millis(250);

/// Serves one connection until its end.
pub(super) async fn serve<S>(socket: S, context: &Context, mut shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let is_upgraded = AtomicBool::new(false);
    let service = service_fn(|request| answer(request, context, &is_upgraded));
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
        return;
    }
    let parts = connection.into_parts();
    let mut socket = parts.io.into_inner();
    if is_upgraded.load(Ordering::Relaxed) {
        Span::current().record("transport", "rtwebsocket");
        let viewer = serve_viewer(socket, &parts.read_buf, context);
        tokio::select! {
            () = viewer => {}
            () = async { shutdown.begun().await; sleep(GOODBYE).await } => {}
        }
    } else {
        // TLS says goodbye; a peer that doesn't take it is not waited for.
        let _ = timeout(GOODBYE, socket.shutdown()).await;
    }
}

async fn serve_viewer<S>(socket: S, leftover: &[u8], context: &Context)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let pipe = WebSocket::new(socket, &context.websocket, leftover);
    let link = PipeLink::new(pipe, context.session.clone(), context.clock);
    match delivery::serve(link, &context.registry, &context.delivery, context.clock).await {
        Ok(()) | Err(LinkError::Closed) => debug!("viewer left"),
        Err(error) => debug!(%error, "viewer lost"),
    }
}

fn answer(
    request: Request<Incoming>,
    context: &Context,
    is_upgraded: &AtomicBool,
) -> Pin<Box<dyn Future<Output = Result<Response<Body>, Infallible>> + Send>> {
    let (head, body) = request.into_parts();
    if let Some(response) = upgrade::answer(&head) {
        is_upgraded.store(response.status() == StatusCode::SWITCHING_PROTOCOLS, Ordering::Relaxed);
        return Box::pin(async { Ok(response) });
    }
    let request = Request::from_parts(head, Body::new(body));
    Box::pin(context.http.clone().oneshot(request))
}
