//! One HTTP/2 connection: pages, and nothing else.
//!
//! WebSocket over HTTP/2 (RFC 8441) is not offered: a viewer has a TCP connection of its own, whose buffers are kept shallow.
//!
//! | what strangers do | what holds them |
//! |---|---|
//! | requests that are taken back at once (CVE-2023-44487) | [`MAX_ABANDONED`], and the library's own limit for those not begun |
//! | many requests at once | [`MAX_STREAMS`] |
//! | long heads, heads without end (CVE-2024-27316) | [`MAX_HEAD`] |
//! | a head byte by byte, or no request at all | the connection is idle until a whole head is there: `limits.header_timeout` |
//! | an answer read byte by byte | [`MAX_PAGES`] |
//! | bodies | none is read; [`WINDOW`] |

use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context as Task, Poll};

use axum::body::{Body, Bytes};
use hyper::body::{Body as _, Frame, SizeHint};
use hyper::rt::Executor;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, interval_at, sleep, timeout};
use tracing::{Span, debug};

use super::connection::MAX_PAGES;
use super::connections::Connections;
use super::http::{self, Via};
use super::{Context, Shutdown};

/// Most requests that are answered at once: a page of the player asks for some twenty files.
const MAX_STREAMS: u32 = 32;

/// Most bytes of a request's head, decoded.
const MAX_HEAD: u32 = 16 * 1024;

/// Most bytes of an answer that wait for the peer, for each request.
const MAX_SEND_BUFFER: usize = 32 * 1024;

/// What a peer may send of a request's body: the least that is no special case, since nobody reads it.
const WINDOW: u32 = 64 * 1024 - 1;

/// Most answers in a connection's life that a peer takes back. A page that is left takes back what it has not got yet.
const MAX_ABANDONED: usize = 200;

/// Serves one connection until its end.
pub(super) async fn serve<S>(socket: S, peer: SocketAddr, via: Via, context: Arc<Context>, mut shutdown: Shutdown)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    Span::current().record("transport", "http2");
    let patience = context.limits.header_timeout;
    let answers = Answers(Arc::new(Mutex::new(Connections::new(context.panics.clone()))));
    let activity = Arc::new(Activity::default());
    let asked = Arc::clone(&activity);
    let service = service_fn(move |request| {
        let answering = Answering::begin(&asked);
        let context = Arc::clone(&context);
        async move {
            let response = http::answer(&context, request, peer, via).await;
            Ok::<_, Infallible>(response.map(|body| Counted::new(body, answering)))
        }
    });
    let connection = http2::Builder::new(answers)
        .timer(TokioTimer::new())
        .max_concurrent_streams(MAX_STREAMS)
        .max_header_list_size(MAX_HEAD)
        .max_send_buf_size(MAX_SEND_BUFFER)
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .serve_connection(TokioIo::new(socket), service);
    let mut connection = pin!(connection);
    let mut checks = interval_at(Instant::now() + patience, patience);
    let mut end = pin!(sleep(MAX_PAGES));
    let mut seen = 0;
    loop {
        // Whoever floods is cut between two of its packets, not when it is done.
        let served = poll_fn(|task| match activity.abandoned.load(Ordering::Relaxed) {
            0..=MAX_ABANDONED => connection.as_mut().poll(task).map(Some),
            _ => Poll::Ready(None),
        });
        tokio::select! {
            served = served => {
                match served {
                    Some(Ok(())) => {}
                    Some(Err(error)) => debug!(%error, "connection failed"),
                    None => debug!("too many requests taken back"),
                }
                return;
            }
            _ = checks.tick() => {
                let begun = activity.begun.load(Ordering::Relaxed);
                let is_idle = activity.open.load(Ordering::Relaxed) == 0 && begun == seen;
                seen = begun;
                if !is_idle {
                    continue;
                }
            }
            () = shutdown.begun() => {}
            () = &mut end => {}
        }
        break;
    }
    connection.as_mut().graceful_shutdown();
    if timeout(patience, connection).await.is_err() {
        debug!("cut off after its time");
    }
}

/// What becomes of a connection's requests.
#[derive(Debug, Default)]
struct Activity {
    begun: AtomicUsize,
    open: AtomicUsize,
    abandoned: AtomicUsize,
}

/// A request that is being answered.
#[derive(Debug)]
struct Answering {
    activity: Arc<Activity>,
    is_done: bool,
}

impl Answering {
    fn begin(activity: &Arc<Activity>) -> Self {
        activity.begun.fetch_add(1, Ordering::Relaxed);
        activity.open.fetch_add(1, Ordering::Relaxed);
        Self { activity: Arc::clone(activity), is_done: false }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.activity.open.fetch_sub(1, Ordering::Relaxed);
        if !self.is_done {
            self.activity.abandoned.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// An answer's body that knows whether it was taken to its end.
#[derive(Debug)]
struct Counted {
    body: Body,
    answering: Answering,
}

impl Counted {
    fn new(body: Body, mut answering: Answering) -> Self {
        // Nothing of an empty one is ever asked for.
        answering.is_done = body.is_end_stream();
        Self { body, answering }
    }
}

impl hyper::body::Body for Counted {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, task: &mut Task<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(task);
        self.answering.is_done |= matches!(polled, Poll::Ready(None)) || self.body.is_end_stream();
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The tasks of a connection's answers. They end with it.
#[derive(Debug, Clone)]
struct Answers(Arc<Mutex<Connections>>);

impl<F> Executor<F> for Answers
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, answer: F) {
        let mut tasks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tasks.forget_ended();
        tasks.spawn(answer);
    }
}
