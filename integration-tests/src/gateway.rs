//! A gateway in this process, on free ports.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use headwater::authority::Authority;
use headwater::config::{Address, Config};
use headwater::gateway::Gateway;
use headwater::server::detect::Verdict;
use headwater::server::verdicts::Verdicts;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::timeout;

use crate::certificate::CertificateFiles;
use crate::pages::over_http1;
use crate::said;
use crate::transport::Transport;
use crate::viewer::PATIENCE;

/// A gateway at work. Dropping it lets it end by itself; [`Running::stop`] waits for that.
pub struct Running {
    /// Where publishers go.
    pub rtmp: SocketAddr,
    /// Where viewers go.
    pub websocket: SocketAddr,
    /// Where everybody goes.
    pub unified: SocketAddr,
    /// Where its operator goes.
    pub admin: SocketAddr,
    /// Who may do what, and who is there.
    pub authority: Authority,
    /// What its connections turn out to be.
    pub verdicts: Arc<Verdicts>,
    /// Where viewers over native QUIC go.
    pub quic: SocketAddr,
    /// Where viewers over WebTransport go.
    pub webtransport: SocketAddr,
    /// Where those go that want fragmented MP4.
    pub webtransport_fmp4: SocketAddr,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
    _certificates: TempDir,
}

/// A gateway at its defaults.
///
/// # Errors
/// When it does not start.
pub async fn gateway() -> Result<Running> {
    gateway_with(|_| ()).await
}

/// A gateway with some of its configuration changed.
///
/// # Errors
/// When it does not start.
pub async fn gateway_with(change: impl FnOnce(&mut Config)) -> Result<Running> {
    said::keep()?;
    let local = Address::On((Ipv4Addr::LOCALHOST, 0).into());
    // Instead of the development certificate, which would be kept in the folder that the tests happen to run in.
    let certificates = TempDir::new()?;
    let mut config = Config::default();
    config.rtmp.address = local;
    config.admin.address = local;
    config.websocket.address = local;
    config.unified.address = local;
    config.quic.address = local;
    config.webtransport.address = local;
    config.webtransport.fmp4_address = local;
    config.tls = CertificateFiles::make(certificates.path())?.config();
    config.quic.reset_key = certificates.path().join("quic-reset.key");
    change(&mut config);
    let gateway = Gateway::bind(config)?;
    let addresses = gateway.addresses();
    let (rtmp, websocket) = (addresses.rtmp.context("rtmp is off")?, addresses.websocket.context("websocket is off")?);
    let admin = addresses.admin.context("admin is off")?;
    let quic = addresses.quic.context("quic is off")?;
    let webtransport = addresses.webtransport.context("webtransport is off")?;
    let webtransport_fmp4 = addresses.webtransport_fmp4.context("webtransport is off")?;
    let authority = gateway.authority();
    let (unified, verdicts) = (addresses.unified.context("unified is off")?, gateway.verdicts());
    let (stop, stopped) = oneshot::channel();
    let task = tokio::spawn(gateway.run(async move { stopped.await.unwrap_or_default() }));
    Ok(Running {
        rtmp,
        websocket,
        quic,
        webtransport,
        webtransport_fmp4,
        unified,
        admin,
        authority,
        verdicts,
        stop,
        task,
        _certificates: certificates,
    })
}

impl Running {
    /// Where viewers over a transport go.
    pub fn address(&self, transport: Transport) -> SocketAddr {
        match transport {
            Transport::Ws | Transport::Wss => self.websocket,
            Transport::Quic => self.quic,
            Transport::WebTransport => self.webtransport,
        }
    }

    /// Waits until its only stream has this many viewers, as its pages say.
    ///
    /// # Errors
    /// When it has not within [`PATIENCE`].
    pub async fn has_viewers(&self, count: u64) -> Result<()> {
        let waiting = async {
            loop {
                let (_, _, body) = over_http1(self.unified, "/api/v1/streams").await?;
                let streams: Value = serde_json::from_slice(&body)?;
                if streams["streams"][0]["viewers"] == count {
                    return Ok(());
                }
            }
        };
        timeout(PATIENCE, waiting).await.with_context(|| format!("it does not come to {count} viewers"))?
    }

    /// Waits until this many connections have turned out to be so. A peer has its answer before it is counted.
    ///
    /// # Errors
    /// When they have not within [`PATIENCE`].
    pub async fn has_counted(&self, verdict: Verdict, count: u64) -> Result<()> {
        let waiting = async {
            while self.verdicts.of(verdict) < count {
                yield_now().await;
            }
        };
        timeout(PATIENCE, waiting).await.with_context(|| format!("{}", self.verdicts))
    }

    /// Stops it and waits until it has let everybody go.
    ///
    /// # Errors
    /// When it takes longer than [`PATIENCE`].
    pub async fn stop(self) -> Result<()> {
        self.stop.send(()).ok();
        Ok(timeout(PATIENCE, self.task).await.context("the gateway does not end")??)
    }
}
