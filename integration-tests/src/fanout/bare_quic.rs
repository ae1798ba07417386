//! The least a server can do over QUIC.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use headwater::media::Track;
use quinn::crypto::rustls::QuicServerConfig;
use quinn::{Endpoint, Incoming, SendStream, ServerConfig};
use tokio::io::{AsyncReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use crate::viewer::{Kind, kind_of};

/// More frames than any viewer may lag behind.
const LAG: usize = 256;

/// Serves one publisher until it leaves, on as many threads as the gateway has.
pub(super) fn serve(has_groups: bool, announce: impl FnOnce(SocketAddr, SocketAddr)) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut tls = Arc::unwrap_or_clone(crate::tls::server()?);
        tls.alpn_protocols = vec![crate::bundle::ALPN.to_vec()];
        let config = ServerConfig::with_crypto(Arc::new(QuicServerConfig::try_from(tls)?));
        let endpoint = Endpoint::server(config, (Ipv4Addr::LOCALHOST, 0).into())?;
        let ingest = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        announce(ingest.local_addr()?, endpoint.local_addr()?);
        let (sender, _) = broadcast::channel(LAG);
        let frames = sender.clone();
        tokio::spawn(async move {
            while let Some(viewer) = endpoint.accept().await {
                tokio::spawn(send(viewer, frames.subscribe(), has_groups));
            }
        });
        let mut publisher = BufReader::new(ingest.accept().await?.0);
        while let Ok(len) = publisher.read_u32().await {
            let mut frame = len.to_be_bytes().to_vec();
            frame.resize(4 + len as usize, 0);
            publisher.read_exact(&mut frame[4..]).await?;
            // Nobody may be there.
            sender.send(Bytes::from(frame)).ok();
        }
        Ok(())
    })
}

async fn send(viewer: Incoming, mut frames: broadcast::Receiver<Bytes>, has_groups: bool) -> Result<()> {
    let connection = viewer.await?;
    let mut audio: Option<SendStream> = None;
    let mut video: Option<SendStream> = None;
    loop {
        let frame = frames.recv().await.context("a viewer lags")?;
        let is_audio = frame.get(4) == Some(&8);
        let is_key = !is_audio && kind_of(Track::Video, frame.get(9..).unwrap_or_default()) == Kind::Key;
        let stream = if is_audio && has_groups { &mut audio } else { &mut video };
        if has_groups
            && is_key
            && let Some(mut group) = stream.take()
        {
            group.finish()?;
        }
        if stream.is_none() {
            *stream = Some(connection.open_uni().await?);
        }
        if let Some(stream) = stream {
            stream.write_chunk(frame).await?;
        }
    }
}
