//! Asks other servers: one POST over a connection of its own, in the clear or inside TLS.
//!
//! | what | where |
//! |---|---|
//! | requests and answers | RFC 9112 |
//!
//! A server is believed by the certificates that this system trusts, or those of `SSL_CERT_FILE` and `SSL_CERT_DIR` in the
//! environment. Redirections are answers like others: what is posted may be secret, and is for one server alone.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::{CONTENT_TYPE, HOST};
use axum::http::{Request, StatusCode};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, crypto};
use serde::Serialize;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::wire::url::Url;

/// Longest answer that is read: those that are asked for are a few words. Stops a server that never ends its answer.
const MAX_ANSWER: usize = 4096;

/// Asks other servers. A clone is the same client.
#[derive(Debug, Clone, Default)]
pub struct Client {
    tls: Arc<OnceCell<Arc<ClientConfig>>>,
}

/// What a server has said.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    /// None when it is longer than is read, or was broken off.
    pub(super) body: Option<Bytes>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub(super) enum NoAnswer {
    #[error("no answer within {0:?}")]
    Silent(Duration),
    #[error("can't connect: {0}")]
    Unreachable(#[source] io::Error),
    #[error("no TLS with it: {0}")]
    Tls(#[source] io::Error),
    #[error("this system trusts no certificate: install ca-certificates, or set SSL_CERT_FILE")]
    NoRoots,
    #[error("it does not speak HTTP/1.1, or has hung up: {0}")]
    Http(#[from] hyper::Error),
    /// A mistake of ours.
    #[error("the question can't be asked: {0}")]
    Question(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl Client {
    /// Posts `question` as JSON and waits for the answer, no longer than `patience` in all. Cancel safe.
    ///
    /// # Errors
    /// [`NoAnswer`]. A status of any kind is an answer.
    pub(super) async fn post(
        &self,
        url: &Url,
        question: &impl Serialize,
        patience: Duration,
    ) -> Result<Answer, NoAnswer> {
        let body = serde_json::to_vec(question).map_err(|error| NoAnswer::Question(error.into()))?;
        timeout(patience, self.connect_and_post(url, body)).await.unwrap_or(Err(NoAnswer::Silent(patience)))
    }

    async fn connect_and_post(&self, url: &Url, body: Vec<u8>) -> Result<Answer, NoAnswer> {
        let socket = TcpStream::connect((&*url.host, url.port)).await.map_err(NoAnswer::Unreachable)?;
        if !url.is_https {
            return post(socket, url, body).await;
        }
        let tls = self.tls.get_or_try_init(trusted).await?;
        let name = ServerName::try_from(url.host.clone()).map_err(|error| NoAnswer::Tls(io::Error::other(error)))?;
        let socket = TlsConnector::from(Arc::clone(tls)).connect(name, socket).await.map_err(NoAnswer::Tls)?;
        post(socket, url, body).await
    }
}

async fn post<S>(socket: S, url: &Url, body: Vec<u8>) -> Result<Answer, NoAnswer>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let request = Request::post(&url.target)
        .header(HOST, &url.authority)
        .header(CONTENT_TYPE, "application/json")
        .body(Body::from(body))
        .map_err(|error| NoAnswer::Question(error.into()))?;
    let answering = async {
        let response = sender.send_request(request).await?;
        let status = response.status();
        Ok(Answer { status, body: to_bytes(Body::new(response.into_body()), MAX_ANSWER).await.ok() })
    };
    tokio::select! {
        biased;
        answer = answering => answer,
        Err(error) = connection => Err(error.into()),
    }
}

/// What this system trusts: files, read when they are first needed.
async fn trusted() -> Result<Arc<ClientConfig>, NoAnswer> {
    let found = spawn_blocking(rustls_native_certs::load_native_certs).await;
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.map(|found| found.certs).unwrap_or_default());
    if roots.is_empty() { Err(NoAnswer::NoRoots) } else { trusting(roots) }
}

fn trusting(roots: RootCertStore) -> Result<Arc<ClientConfig>, NoAnswer> {
    let provider = Arc::new(crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| NoAnswer::Tls(io::Error::other(error)))?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}

#[cfg(test)]
mod tests {
    use rustls::ServerConfig;
    use rustls::pki_types::PrivateKeyDer;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio_rustls::TlsAcceptor;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// A server that says the same to everybody, and where it is.
    async fn server(scheme: &str, tls: Option<TlsAcceptor>, answer: &'static [u8]) -> Url {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                match &tls {
                    // Who does not trust it hangs up.
                    Some(tls) => match tls.accept(socket).await {
                        Ok(socket) => say(socket, answer).await,
                        Err(_) => continue,
                    },
                    None => say(socket, answer).await,
                }
            }
        });
        format!("{scheme}://localhost:{port}/may?x").parse().unwrap()
    }

    async fn say(mut socket: impl AsyncRead + AsyncWrite + Unpin, answer: &[u8]) {
        let mut request = Vec::new();
        while !request.ends_with(b"\"?\"") {
            socket.read_buf(&mut request).await.unwrap();
        }
        let request = String::from_utf8(request).unwrap();
        assert!(request.starts_with("POST /may?x HTTP/1.1\r\nhost: localhost:"), "{request}");
        // Who has read enough is gone.
        let _ = socket.write_all(answer).await;
        let _ = socket.shutdown().await;
    }

    async fn ask(client: &Client, url: &Url) -> Result<Answer, NoAnswer> {
        client.post(url, &"?", PATIENCE).await
    }

    #[tokio::test]
    async fn a_status_and_a_short_body_are_an_answer() {
        let url = server("http", None, b"HTTP/1.1 302 Found\r\nlocation: /\r\ncontent-length: 2\r\n\r\nno").await;
        let answer = ask(&Client::default(), &url).await.unwrap();
        assert_eq!((answer.status, answer.body.as_deref()), (StatusCode::FOUND, Some(&b"no"[..])));
    }

    #[tokio::test]
    async fn a_body_that_is_too_long_or_broken_off_is_none() {
        const LONG: [u8; 9000] = [b' '; 9000];
        let head = b"HTTP/1.1 200 OK\r\n\r\n";
        let long: &[u8] = [head.as_slice(), &LONG].concat().leak();
        let broken = b"HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{\"expires_in\": 3600}";
        for answer in [long, broken] {
            let url = server("http", None, answer).await;
            let answer = ask(&Client::default(), &url).await.unwrap();
            assert_eq!((answer.status, answer.body), (StatusCode::OK, None));
        }
    }

    #[tokio::test]
    async fn noise_is_no_answer() {
        let url = server("http", None, b"RTMP, please\r\n\r\n").await;
        assert!(matches!(ask(&Client::default(), &url).await, Err(NoAnswer::Http(_))));
    }

    #[tokio::test]
    async fn a_server_that_says_nothing_is_not_waited_for() {
        // The kernel takes the connection and the question.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
        let answer = Client::default().post(&url, &"?", Duration::from_millis(20)).await;
        assert!(matches!(answer, Err(NoAnswer::Silent(_))), "{answer:?}");
    }

    #[tokio::test]
    async fn inside_tls_only_a_server_that_is_trusted_is_asked() {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(crypto::ring::default_provider());
        let versions = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = versions.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
        let url = server("https", Some(Arc::new(config).into()), b"HTTP/1.1 204 No Content\r\n\r\n").await;
        let mut roots = RootCertStore::empty();
        roots.add(made.cert.into()).unwrap();
        let client = |roots| Client { tls: Arc::new(OnceCell::new_with(trusting(roots).ok())) };
        let believer = client(roots);
        assert_eq!(ask(&believer, &url).await.unwrap().status, StatusCode::NO_CONTENT);
        let wrong_name = format!("https://127.0.0.1:{}/may?x", url.port).parse().unwrap();
        assert!(matches!(ask(&believer, &wrong_name).await, Err(NoAnswer::Tls(_))));
        let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(other.cert.into()).unwrap();
        assert!(matches!(ask(&client(roots), &url).await, Err(NoAnswer::Tls(_))));
    }
}
