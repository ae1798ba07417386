//! A certificate from an authority: Pebble gives it, and looks at the one port whether the names are the gateway's.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use headwater::config::Address;
use headwater::server::detect::Verdict;
use headwater::server::tls;
use headwater::server::tls::acme;
use integration_tests::gateway::{Running, gateway_with};
use integration_tests::operator::figures_when;
use integration_tests::pages;
use integration_tests::pebble::Pebble;
use integration_tests::process::free_port;
use integration_tests::tls::client;
use integration_tests::viewer::PATIENCE;
use quinn::Endpoint;
use quinn::crypto::rustls::QuicClientConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tempfile::tempdir;
use tokio::net::TcpStream;
use tokio::task::yield_now;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// What the certificate is for.
const NAMES: [&str; 2] = ["live.example.org", "www.example.org"];

/// What a client believes that takes certificates of these roots alone.
fn believing(roots: RootCertStore) -> Result<ClientConfig> {
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()));
    Ok(config.with_safe_default_protocol_versions()?.with_root_certificates(roots).with_no_client_auth())
}

/// The certificate that a newcomer over TCP is shown, and believes.
async fn over_tcp(server: SocketAddr, config: ClientConfig) -> Result<CertificateDer<'static>> {
    let connector = TlsConnector::from(Arc::new(config));
    let socket = connector.connect(ServerName::try_from(NAMES[1])?, TcpStream::connect(server).await?).await?;
    let chain = socket.get_ref().1.peer_certificates().unwrap_or_default();
    Ok(chain.first().context("no certificate")?.clone().into_owned())
}

/// The same over QUIC.
async fn over_quic(server: SocketAddr, mut config: ClientConfig) -> Result<CertificateDer<'static>> {
    config.alpn_protocols = vec![b"headwater/1".to_vec()];
    let mut endpoint = Endpoint::client((Ipv4Addr::UNSPECIFIED, 0).into())?;
    endpoint.set_default_client_config(quinn::ClientConfig::new(Arc::new(QuicClientConfig::try_from(config)?)));
    let identity = endpoint.connect(server, NAMES[0])?.await?.peer_identity().context("no identity")?;
    let chain = identity.downcast::<Vec<CertificateDer<'static>>>().ok().context("no chain")?;
    chain.into_iter().next().context("no certificate")
}

/// Waits until a newcomer is shown another certificate than `before`, which it believes.
async fn next(
    server: SocketAddr,
    roots: &RootCertStore,
    before: Option<&CertificateDer<'_>>,
) -> Result<CertificateDer<'static>> {
    let waiting = async {
        loop {
            match over_tcp(server, believing(roots.clone())?).await {
                Ok(shown) if Some(&shown) != before => return Ok(shown),
                _ => yield_now().await,
            }
        }
    };
    timeout(PATIENCE, waiting).await.context("no other certificate comes")?
}

async fn gateway(port: u16, pebble: &Pebble, folder: &Path) -> Result<Running> {
    gateway_with(|config| {
        config.unified.address = Address::On(local(port));
        config.tls = tls::Config::Acme(acme::Config {
            domains: NAMES.map(Into::into).to_vec(),
            contact: Some("operator@example.org".into()),
            directory: pebble.directory.clone(),
            directory_root: Some(pebble.directory_root.clone()),
            folder: folder.into(),
        });
    })
    .await
}

async fn an_order_fails(gateway: &Running) -> Result<()> {
    let failed = "headwater_certificate_orders_total{outcome=\"failed\"} 1";
    let figures = figures_when(gateway.admin, |figures| figures.contains(failed)).await?;
    ensure!(figures.contains(failed), "no order fails: {figures}");
    Ok(())
}

fn local(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}

#[tokio::test]
async fn a_certificate_comes_and_is_renewed_without_a_restart_and_stays_when_the_authority_is_gone() -> Result<()> {
    let (folder, port) = (tempdir()?, free_port()?.port());
    // Renewed after ten seconds, again and again: it is the last that stays, whichever that is.
    let pebble = Pebble::start(port, 15).await?;
    let gateway = gateway(port, &pebble, folder.path()).await?;
    let roots = pebble.roots().await?;
    // The one for development, until the other one is there.
    let development = over_tcp(local(port), Arc::unwrap_or_clone(client()?)).await?;
    let first = next(local(port), &roots, None).await?;
    ensure!(development != first);
    next(local(port), &roots, Some(&first)).await?;
    pebble.stop().await?;
    an_order_fails(&gateway).await?;
    let last = over_tcp(local(port), Arc::unwrap_or_clone(client()?)).await?;
    ensure!(last != development && last != first);
    assert_eq!(over_quic(local(port), Arc::unwrap_or_clone(client()?)).await?, last);
    gateway.stop().await
}

#[tokio::test]
async fn a_certificate_is_shown_on_every_port_and_by_a_gateway_that_is_started_again() -> Result<()> {
    let (folder, port) = (tempdir()?, free_port()?.port());
    let pebble = Pebble::start(port, 3600).await?;
    let roots = pebble.roots().await?;
    let first = gateway(port, &pebble, folder.path()).await?;
    let shown = next(local(port), &roots, None).await?;
    assert_eq!(over_quic(local(port), believing(roots.clone())?).await?, shown);
    assert_eq!(over_quic(first.quic, believing(roots.clone())?).await?, shown);
    assert_eq!(over_tcp(first.websocket, believing(roots.clone())?).await?, shown);
    ensure!(first.verdicts.of(Verdict::Challenge) > 0, "{}", first.verdicts);
    first.stop().await?;
    // The authority would not find this one.
    let second = gateway(0, &pebble, folder.path()).await?;
    assert_eq!(over_tcp(second.unified, believing(roots)?).await?, shown);
    second.stop().await?;
    pebble.stop().await
}

#[tokio::test]
async fn where_the_authority_does_not_find_the_gateway_the_development_certificate_stays() -> Result<()> {
    let folder = tempdir()?;
    let pebble = Pebble::start(free_port()?.port(), 3600).await?;
    let gateway = gateway(0, &pebble, folder.path()).await?;
    let development = over_tcp(gateway.unified, Arc::unwrap_or_clone(client()?)).await?;
    an_order_fails(&gateway).await?;
    assert_eq!(over_tcp(gateway.unified, Arc::unwrap_or_clone(client()?)).await?, development);
    gateway.stop().await?;
    pebble.stop().await
}

#[tokio::test]
async fn who_comes_for_a_challenge_when_there_is_none_is_refused() -> Result<()> {
    let gateway = gateway_with(|_| ()).await?;
    for server in [gateway.unified, gateway.websocket] {
        let error = pages::connect(server, &[b"acme-tls/1"]).await.err().context("it was answered")?;
        assert!(error.to_string().contains("NoApplicationProtocol"), "{error}");
    }
    gateway.has_counted(Verdict::NoTls, 2).await?;
    gateway.stop().await
}
