//! The operator: asks a gateway on its port, in the clear.

use std::net::SocketAddr;

use anyhow::{Context, Result};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::viewer::PATIENCE;

/// Asks for `path`.
///
/// # Errors
/// When there is no answer.
pub async fn ask(admin: SocketAddr, method: &str, path: &str) -> Result<Response<Bytes>> {
    let asking = async {
        let (mut client, connection) = http1::handshake(TokioIo::new(TcpStream::connect(admin).await?)).await?;
        tokio::spawn(connection);
        let request = Request::builder().method(method).uri(path).header("host", admin.to_string());
        let (head, body) = client.send_request(request.body(Empty::<Bytes>::new())?).await?.into_parts();
        Ok(Response::from_parts(head, body.collect().await?.to_bytes()))
    };
    timeout(PATIENCE, asking).await.with_context(|| format!("no answer to {method} {path}"))?
}

/// The JSON at `path`.
///
/// # Errors
/// When there is none.
pub async fn get(admin: SocketAddr, path: &str) -> Result<Value> {
    let response = ask(admin, "GET", path).await?;
    serde_json::from_slice(response.body()).with_context(|| format!("{path}: {response:?}"))
}

/// Asks for `path` until `found` finds something in the JSON there.
///
/// # Errors
/// When it has not within [`PATIENCE`].
pub async fn until<T>(admin: SocketAddr, path: &str, found: impl Fn(&Value) -> Option<T>) -> Result<T> {
    let waiting = async {
        loop {
            if let Some(found) = found(&get(admin, path).await?) {
                return Ok(found);
            }
        }
    };
    timeout(PATIENCE, waiting).await.with_context(|| format!("{path} never says so"))?
}

/// Asks for the figures until they are as `wanted`, and gives them; after [`PATIENCE`] those that there are.
///
/// # Errors
/// When there are none.
pub async fn figures_when(admin: SocketAddr, wanted: impl Fn(&str) -> bool) -> Result<String> {
    let until = Instant::now() + PATIENCE;
    loop {
        let text = String::from_utf8(ask(admin, "GET", "/metrics").await?.into_body().to_vec())?;
        if wanted(&text) || Instant::now() > until {
            return Ok(text);
        }
    }
}
