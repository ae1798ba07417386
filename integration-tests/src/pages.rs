//! Pages fetched over each version of HTTP.

use std::future::poll_fn;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use quinn::crypto::rustls::QuicClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::tls;

/// An answer: status, version and body.
pub type Page = (StatusCode, Version, Bytes);

/// A name that a client makes up to keep servers tolerant (RFC 8701).
pub const GREASE: &[u8] = &[0x5a, 0x5a];

/// Begins TLS, offering these application protocols.
///
/// # Errors
/// When they are refused.
pub async fn connect(server: SocketAddr, protocols: &[&[u8]]) -> Result<TlsStream<TcpStream>> {
    let connector = TlsConnector::from(tls::client_offering(protocols)?);
    Ok(connector.connect(ServerName::try_from("localhost")?, TcpStream::connect(server).await?).await?)
}

fn request(uri: &str) -> Result<Request<Empty<Bytes>>> {
    Ok(Request::get(uri).header("host", "example.org").body(Empty::new())?)
}

async fn whole<B: hyper::body::Body<Error = hyper::Error>>(response: Response<B>) -> Result<Page> {
    let (head, body) = response.into_parts();
    Ok((head.status, head.version, body.collect().await?.to_bytes()))
}

/// Fetches a page over TLS and HTTP/1.1.
///
/// # Errors
/// When there is no answer.
pub async fn over_http1(server: SocketAddr, path: &str) -> Result<Page> {
    let socket = connect(server, &[b"http/1.1"]).await?;
    let (mut client, connection) = http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    whole(client.send_request(request(path)?).await?).await
}

/// Fetches a page over TLS and HTTP/2.
///
/// # Errors
/// When there is no answer, or HTTP/2 is not agreed upon.
pub async fn over_http2(server: SocketAddr, path: &str) -> Result<Page> {
    let socket = connect(server, &[GREASE, b"h2", b"http/1.1"]).await?;
    ensure!(socket.get_ref().1.alpn_protocol() == Some(b"h2"), "h2 is not agreed upon");
    let (mut client, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let request = Request::get(format!("https://example.org{path}")).body(Empty::<Bytes>::new())?;
    whole(client.send_request(request).await?).await
}

/// Fetches a page over QUIC and HTTP/3.
///
/// # Errors
/// When there is no answer.
pub async fn over_http3(server: SocketAddr, path: &str) -> Result<Page> {
    let tls = Arc::unwrap_or_clone(tls::client_offering(&[b"h3"])?);
    let mut endpoint = quinn::Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(tls)?)));
    let connection = endpoint.connect(server, "localhost")?.await?;
    let (mut connection, mut client) = h3::client::new(h3_quinn::Connection::new(connection)).await?;
    let driving = tokio::spawn(async move { poll_fn(|cx| connection.poll_close(cx)).await });
    let mut stream = client.send_request(Request::get(format!("https://example.org{path}")).body(())?).await?;
    stream.finish().await?;
    let head = stream.recv_response().await.context("no answer over HTTP/3")?;
    let mut body = BytesMut::new();
    while let Some(chunk) = stream.recv_data().await? {
        body.put(chunk);
    }
    driving.abort();
    Ok((head.status(), head.version(), body.freeze()))
}
