//! The client's end of RTMP: what publishers and players of other servers share.

use std::collections::VecDeque;

use anyhow::{Result, bail};
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::websocket::Stream;

/// A connection to an app of a server.
pub(crate) struct Connection {
    socket: Box<dyn Stream>,
    pub(crate) session: ClientSession,
    buffer: Vec<u8>,
    /// What the server said that nobody has looked at.
    pub(crate) events: VecDeque<ClientSessionEvent>,
}

impl Connection {
    /// Says hello to `server` (`rtmp://host:port`) and connects to `app`.
    pub(crate) async fn open(mut socket: Box<dyn Stream>, server: &str, app: &str) -> Result<Self> {
        let rest = handshake(&mut socket).await?;
        let mut config = ClientSessionConfig::new();
        config.tc_url = Some(format!("{server}/{app}"));
        let (session, first) = ClientSession::new(config)?;
        let mut this = Self { socket, session, buffer: vec![0; 64 << 10], events: VecDeque::new() };
        this.write(first).await?;
        let results = this.session.handle_input(&rest)?;
        this.write(results).await?;
        let connect = this.session.request_connection(app.to_owned())?;
        this.write(vec![connect]).await?;
        this.wait(&ClientSessionEvent::ConnectionRequestAccepted).await?;
        Ok(this)
    }

    /// Waits until the server says so; what else it says is dropped.
    pub(crate) async fn wait(&mut self, wanted: &ClientSessionEvent) -> Result<()> {
        while self.next().await? != *wanted {}
        Ok(())
    }

    /// What the server says next.
    pub(crate) async fn next(&mut self) -> Result<ClientSessionEvent> {
        loop {
            if let Some(event) = self.events.pop_front() {
                return Ok(event);
            }
            let len = self.read().await?;
            self.handle(len).await?;
        }
    }

    /// Reads once from the socket; [`Connection::handle`] looks at it. Cancel safe.
    pub(crate) async fn read(&mut self) -> Result<usize> {
        let len = self.socket.read(&mut self.buffer).await?;
        if len == 0 {
            bail!("the server hung up");
        }
        Ok(len)
    }

    /// Takes in and answers what was read.
    pub(crate) async fn handle(&mut self, len: usize) -> Result<()> {
        let results = self.session.handle_input(&self.buffer[..len])?;
        self.write(results).await
    }

    /// Carries out what the session wants done.
    pub(crate) async fn write(&mut self, results: Vec<ClientSessionResult>) -> Result<()> {
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => self.socket.write_all(&packet.bytes).await?,
                ClientSessionResult::RaisedEvent(event) => self.events.push_back(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        // TLS keeps what the socket does not take at once.
        Ok(self.socket.flush().await?)
    }

    /// Hangs up in order.
    pub(crate) async fn end(mut self) -> Result<()> {
        Ok(self.socket.shutdown().await?)
    }
}

/// The handshake; what came after it is given out.
async fn handshake(socket: &mut Box<dyn Stream>) -> Result<Vec<u8>> {
    let mut handshake = Handshake::new(PeerType::Client);
    socket.write_all(&handshake.generate_outbound_p0_and_p1()?).await?;
    let mut buffer = vec![0; 4096];
    loop {
        let len = socket.read(&mut buffer).await?;
        if len == 0 {
            bail!("the server hung up during the handshake");
        }
        match handshake.process_bytes(&buffer[..len])? {
            HandshakeProcessResult::InProgress { response_bytes } => socket.write_all(&response_bytes).await?,
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                socket.write_all(&response_bytes).await?;
                return Ok(remaining_bytes);
            }
        }
    }
}
