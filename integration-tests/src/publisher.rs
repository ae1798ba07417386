//! Our own RTMP publisher, over TLS if need be: a clip, looped, each frame written when it is due.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use headwater::media::Track;
use rml_rtmp::handshake::{Handshake, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionEvent, ClientSessionResult, PublishRequestType, StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::clip::{Live, SentLog, Tag};
use crate::viewer::PATIENCE;
use crate::websocket::Stream;

/// A publisher at work. Dropping it kills its connection in the middle of the stream.
pub struct Publisher {
    task: JoinHandle<Result<()>>,
    stop: Option<oneshot::Sender<()>>,
    log: SentLog,
}

impl Publisher {
    /// Publishes `live` as `stream` (`app/name`) and returns once the server has accepted it.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn start(server: SocketAddr, stream: &str, live: Live) -> Result<Self> {
        Self::start_on(connect(server).await?, "rtmp", server, stream, live).await
    }

    /// The same over a connection that is there already.
    ///
    /// # Errors
    /// As [`Publisher::start`].
    pub async fn start_over(socket: TcpStream, server: SocketAddr, stream: &str, live: Live) -> Result<Self> {
        Self::start_on(socket, "rtmp", server, stream, live).await
    }

    /// The same as RTMPS, any certificate believed.
    ///
    /// # Errors
    /// As [`Publisher::start`].
    pub async fn start_encrypted(server: SocketAddr, stream: &str, live: Live) -> Result<Self> {
        let connector = TlsConnector::from(crate::tls::client()?);
        let socket = connector.connect(ServerName::try_from("localhost")?, connect(server).await?).await?;
        Self::start_on(socket, "rtmps", server, stream, live).await
    }

    async fn start_on(
        socket: impl Stream + 'static,
        scheme: &str,
        server: SocketAddr,
        stream: &str,
        live: Live,
    ) -> Result<Self> {
        let log = live.log();
        let server = format!("{scheme}://{server}");
        let publish = Connection::publish(Box::new(socket), &server, stream);
        let connection = timeout(PATIENCE, publish).await.context("no answer to publish")??;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(connection.run(live, stopped));
        Ok(Self { task, stop: Some(stop), log })
    }

    /// What it has sent.
    pub fn log(&self) -> SentLog {
        self.log.clone()
    }

    /// Ends the stream as a publisher should.
    ///
    /// # Errors
    /// When the connection failed before.
    pub async fn stop(mut self) -> Result<()> {
        if let Some(stop) = self.stop.take() {
            stop.send(()).ok();
        }
        (&mut self.task).await?
    }

    /// Waits until the server has ended it.
    ///
    /// # Errors
    /// When it ended otherwise.
    pub async fn ended(mut self) -> Result<()> {
        match (&mut self.task).await? {
            Ok(()) => bail!("it has stopped by itself"),
            Err(_) => Ok(()),
        }
    }

    /// Drops the connection in the middle of the stream and waits until it is gone.
    pub async fn kill(mut self) {
        self.task.abort();
        (&mut self.task).await.ok();
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Connection {
    socket: Box<dyn Stream>,
    session: ClientSession,
}

impl Connection {
    async fn publish(mut socket: Box<dyn Stream>, server: &str, stream: &str) -> Result<Self> {
        let (app, name) = stream.split_once('/').context("a stream is app/name")?;
        let rest = handshake(&mut socket).await?;
        let mut config = ClientSessionConfig::new();
        config.tc_url = Some(format!("{server}/{app}"));
        let (session, first) = ClientSession::new(config)?;
        let mut this = Self { socket, session };
        this.write(first).await?;
        let mut events = this.handle(&rest).await?;

        let connect = this.session.request_connection(app.to_owned())?;
        this.write(vec![connect]).await?;
        this.wait(&mut events, &ClientSessionEvent::ConnectionRequestAccepted).await?;
        let publish = this.session.request_publishing(name.to_owned(), PublishRequestType::Live)?;
        this.write(vec![publish]).await?;
        this.wait(&mut events, &ClientSessionEvent::PublishRequestAccepted).await?;
        let metadata = this.session.publish_metadata(&StreamMetadata::new())?;
        this.write(vec![metadata]).await?;
        Ok(this)
    }

    async fn run(mut self, mut live: Live, mut stop: oneshot::Receiver<()>) -> Result<()> {
        for tag in live.configurations() {
            self.send(tag).await?;
        }
        let mut buffer = vec![0; 4096];
        loop {
            tokio::select! {
                () = live.due() => self.send(live.take()).await?,
                read = self.socket.read(&mut buffer) => {
                    let len = read?;
                    if len == 0 {
                        bail!("the server hung up");
                    }
                    self.handle(&buffer[..len]).await?;
                }
                Ok(()) = &mut stop => {
                    let stopping = self.session.stop_publishing()?;
                    self.write(stopping).await?;
                    self.socket.shutdown().await?;
                    return Ok(());
                }
            }
        }
    }

    async fn send(&mut self, tag: Tag) -> Result<()> {
        let timestamp = RtmpTimestamp::new(tag.timestamp);
        let result = match tag.track {
            Track::Audio => self.session.publish_audio_data(tag.body, timestamp, false)?,
            Track::Video => self.session.publish_video_data(tag.body, timestamp, false)?,
            Track::Data => return Ok(()),
        };
        self.write(vec![result]).await?;
        Ok(())
    }

    async fn wait(&mut self, events: &mut Vec<ClientSessionEvent>, wanted: &ClientSessionEvent) -> Result<()> {
        let mut buffer = vec![0; 4096];
        while !events.contains(wanted) {
            let len = self.socket.read(&mut buffer).await?;
            if len == 0 {
                bail!("the server hung up before {wanted:?}; it said {events:?}");
            }
            events.extend(self.handle(&buffer[..len]).await?);
        }
        Ok(())
    }

    async fn handle(&mut self, bytes: &[u8]) -> Result<Vec<ClientSessionEvent>> {
        let results = self.session.handle_input(bytes)?;
        self.write(results).await
    }

    async fn write(&mut self, results: Vec<ClientSessionResult>) -> Result<Vec<ClientSessionEvent>> {
        let mut events = Vec::new();
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => self.socket.write_all(&packet.bytes).await?,
                ClientSessionResult::RaisedEvent(event) => events.push(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        // TLS keeps what the socket does not take at once.
        self.socket.flush().await?;
        Ok(events)
    }
}

async fn connect(server: SocketAddr) -> Result<TcpStream> {
    let socket = TcpStream::connect(server).await?;
    socket.set_nodelay(true)?;
    Ok(socket)
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
