//! What carries flows: whatever the transport, a viewer sees the same.

use std::net::SocketAddr;

use anyhow::{Result, bail};
use headwater::delivery::Format;

use crate::bundle::{self, Bundle, Endpoint};
use crate::pipe::Pipe;
use crate::rtws::Event;
use crate::transport::Transport;
use crate::viewer::End;

/// A connection with flows on it.
pub(crate) enum Carrier {
    Pipe(Box<Pipe>),
    Lanes(Box<Bundle>),
}

/// Begins connections over one transport, those over QUIC all on one socket.
#[derive(Clone)]
pub struct Dialer {
    transport: Transport,
    endpoint: Option<Endpoint>,
}

impl Dialer {
    /// A dialer of the runtime that it is made in.
    ///
    /// # Errors
    /// When no socket can be had.
    pub fn new(transport: Transport) -> Result<Self> {
        Self::for_format(transport, Format::Raw)
    }

    /// The same for streams in a form that the path asks for, where there is one that does: over WebTransport.
    ///
    /// # Errors
    /// As [`Dialer::new`].
    pub fn for_format(transport: Transport, format: Format) -> Result<Self> {
        let endpoint = match transport {
            Transport::Ws | Transport::Wss => None,
            Transport::Quic => Some(Endpoint::quic()?),
            Transport::WebTransport => Some(Endpoint::web_transport(format)?),
        };
        Ok(Self { transport, endpoint })
    }

    /// Lets all that it has begun over native QUIC go on from another socket.
    ///
    /// # Errors
    /// When no socket can be had, or there are no such connections.
    pub fn rebind(&self) -> Result<()> {
        let Some(Endpoint::Quic(endpoint)) = &self.endpoint else { bail!("{} can't move", self.transport) };
        Ok(endpoint.rebind(bundle::socket()?)?)
    }

    pub(crate) async fn connect(&self, server: SocketAddr, app: &str) -> Result<Carrier> {
        Ok(match &self.endpoint {
            Some(endpoint) => Carrier::Lanes(Box::new(endpoint.connect(server, app).await?)),
            None => Carrier::Pipe(Box::new(Pipe::connect(server, self.transport == Transport::Wss, app).await?)),
        })
    }
}

impl Carrier {
    /// Opens a flow of ours.
    pub(crate) fn open(&mut self, flow: u64, answers: Option<u64>, metadata: &[u8]) {
        match self {
            Carrier::Pipe(pipe) => pipe.open(flow, answers, metadata),
            Carrier::Lanes(bundle) => bundle.open(flow, answers, metadata),
        }
    }

    /// Queues a message.
    pub(crate) fn send(&mut self, flow: u64, message: &[u8]) {
        match self {
            Carrier::Pipe(pipe) => pipe.send(flow, message),
            Carrier::Lanes(bundle) => bundle.send(flow, message),
        }
    }

    /// Writes what is queued.
    pub(crate) async fn flush(&mut self) -> Result<()> {
        match self {
            Carrier::Pipe(pipe) => pipe.flush().await,
            Carrier::Lanes(bundle) => bundle.flush().await,
        }
    }

    /// What happens next.
    pub(crate) async fn next_event(&mut self) -> Result<Result<Event, End>> {
        match self {
            Carrier::Pipe(pipe) => pipe.next_event().await,
            Carrier::Lanes(bundle) => bundle.next_event().await,
        }
    }

    /// The message that has just come on a flow.
    pub(crate) fn payload(&self, flow: u64) -> &[u8] {
        match self {
            Carrier::Pipe(pipe) => pipe.flows.payload(flow),
            Carrier::Lanes(bundle) => bundle.flows.payload(),
        }
    }

    /// What a flow of the server's was opened with.
    pub(crate) fn opened_with(&self, flow: u64) -> Option<(&[u8], Option<u64>)> {
        match self {
            Carrier::Pipe(pipe) => pipe.flows.opened_with(flow),
            Carrier::Lanes(bundle) => bundle.flows.opened_with(flow),
        }
    }

    /// How much may be in flight on a flow, in bytes, where that is not the transport's business.
    pub(crate) fn set_receive_buffer(&mut self, flow: u64, bytes: u64) {
        if let Carrier::Pipe(pipe) = self {
            pipe.flows.set_receive_buffer(flow, bytes);
        }
    }

    /// How many lanes each flow of the server's has had, if they have lanes.
    pub(crate) fn lanes_by_flow(&self) -> Vec<(u64, u64)> {
        match self {
            Carrier::Pipe(_) => Vec::new(),
            Carrier::Lanes(bundle) => bundle.flows.lanes_by_flow().collect(),
        }
    }

    /// Says goodbye.
    pub(crate) async fn leave(self) -> Result<()> {
        match self {
            Carrier::Pipe(pipe) => pipe.leave().await,
            Carrier::Lanes(bundle) => bundle.leave().await,
        }
    }
}
