//! Publishes a clip over RTMP, over and over, each message when it is due.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rml_rtmp::handshake::{Handshake, HandshakeError, HandshakeProcessResult, PeerType};
use rml_rtmp::sessions::{
    ClientSession, ClientSessionConfig, ClientSessionError, ClientSessionEvent, ClientSessionResult,
    PublishRequestType, StreamMetadata,
};
use rml_rtmp::time::RtmpTimestamp;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use super::clip::{Clip, Tag};
use crate::media::Track;

/// Within this the gateway, which is this process, accepts the stream.
const PATIENCE: Duration = Duration::from_secs(10);

/// Lateness from which on what was missed is not made up for: the machine was suspended.
const MAX_LATENESS: Duration = Duration::from_secs(1);

/// Bytes read at a time: the gateway says little to a publisher.
const READ_LEN: usize = 4096;

/// Why publishing ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum PublishError {
    #[error("connection failed: {0}")]
    Io(#[from] io::Error),
    #[error("handshake failed: {0:?}")]
    Handshake(HandshakeError),
    #[error("rtmp failed: {0}")]
    Session(#[from] ClientSessionError),
    #[error("refused: {0}")]
    Refused(String),
    #[error("no answer")]
    TimedOut,
}

/// Publishes until the connection ends.
pub(super) async fn publish(server: SocketAddr, stream: (&str, &str), clip: &Clip) -> Result<(), PublishError> {
    let connection = Connection::open(server, stream);
    timeout(PATIENCE, connection).await.map_err(|_| PublishError::TimedOut)??.play(clip).await
}

struct Connection {
    socket: TcpStream,
    session: ClientSession,
}

impl Connection {
    async fn open(server: SocketAddr, (app, name): (&str, &str)) -> Result<Self, PublishError> {
        let mut socket = TcpStream::connect(server).await?;
        socket.set_nodelay(true)?;
        let early = handshake(&mut socket).await?;
        let mut config = ClientSessionConfig::new();
        config.tc_url = Some(format!("rtmp://{server}/{app}"));
        let (session, first) = ClientSession::new(config)?;
        let mut this = Self { socket, session };
        this.write(first).await?;
        this.read(&early).await?;

        let connect = this.session.request_connection(app.into())?;
        this.ask(connect, &ClientSessionEvent::ConnectionRequestAccepted).await?;
        let publish = this.session.request_publishing(name.into(), PublishRequestType::Live)?;
        this.ask(publish, &ClientSessionEvent::PublishRequestAccepted).await?;
        let mut metadata = StreamMetadata::new();
        metadata.video_width = Some(640);
        metadata.video_height = Some(360);
        metadata.video_frame_rate = Some(30.0);
        metadata.encoder = Some("headwater demo".into());
        let metadata = this.session.publish_metadata(&metadata)?;
        this.write(vec![metadata]).await?;
        Ok(this)
    }

    async fn play(mut self, clip: &Clip) -> Result<(), PublishError> {
        for tag in &clip.configurations {
            self.send(tag, 0).await?;
        }
        let mut start = Instant::now();
        let mut buffer = [0; READ_LEN];
        for turn in 0_u32.. {
            for tag in &clip.frames {
                let due = start + Duration::from_millis(tag.timestamp.into());
                loop {
                    tokio::select! {
                        () = sleep_until(due) => break,
                        read = self.socket.read(&mut buffer) => {
                            let len = not_ended(read?)?;
                            self.read(&buffer[..len]).await?;
                        }
                    }
                }
                let lateness = due.elapsed();
                if lateness > MAX_LATENESS {
                    start += lateness;
                }
                // RTMP's time wraps around after 49 days.
                self.send(tag, turn.wrapping_mul(Clip::TURN)).await?;
            }
            start += Duration::from_millis(Clip::TURN.into());
        }
        Ok(())
    }

    async fn send(&mut self, tag: &Tag, turn_start: u32) -> Result<(), PublishError> {
        let timestamp = RtmpTimestamp::new(turn_start.wrapping_add(tag.timestamp));
        let message = match tag.track {
            Track::Audio => self.session.publish_audio_data(tag.body.clone(), timestamp, false)?,
            Track::Video => self.session.publish_video_data(tag.body.clone(), timestamp, false)?,
            Track::Data => return Ok(()),
        };
        self.write(vec![message]).await?;
        Ok(())
    }

    /// Sends a request and waits until it is granted.
    async fn ask(&mut self, request: ClientSessionResult, granted: &ClientSessionEvent) -> Result<(), PublishError> {
        self.write(vec![request]).await?;
        let mut buffer = [0; READ_LEN];
        loop {
            let len = not_ended(self.socket.read(&mut buffer).await?)?;
            for event in self.read(&buffer[..len]).await? {
                match event {
                    event if event == *granted => return Ok(()),
                    ClientSessionEvent::ConnectionRequestRejected { description } => {
                        return Err(PublishError::Refused(description));
                    }
                    ClientSessionEvent::UnhandleableOnStatusCode { code } => return Err(PublishError::Refused(code)),
                    _ => {}
                }
            }
        }
    }

    async fn read(&mut self, bytes: &[u8]) -> Result<Vec<ClientSessionEvent>, PublishError> {
        let results = self.session.handle_input(bytes)?;
        self.write(results).await
    }

    /// Sends what is to be sent and gives back what has happened.
    async fn write(&mut self, results: Vec<ClientSessionResult>) -> Result<Vec<ClientSessionEvent>, PublishError> {
        let mut events = Vec::new();
        for result in results {
            match result {
                ClientSessionResult::OutboundResponse(packet) => self.socket.write_all(&packet.bytes).await?,
                ClientSessionResult::RaisedEvent(event) => events.push(event),
                ClientSessionResult::UnhandleableMessageReceived(_) => {}
            }
        }
        Ok(events)
    }
}

/// Shakes hands; gives back what came behind the handshake.
async fn handshake(socket: &mut TcpStream) -> Result<Vec<u8>, PublishError> {
    let mut handshake = Handshake::new(PeerType::Client);
    socket.write_all(&handshake.generate_outbound_p0_and_p1().map_err(PublishError::Handshake)?).await?;
    let mut buffer = [0; READ_LEN];
    loop {
        let len = not_ended(socket.read(&mut buffer).await?)?;
        match handshake.process_bytes(&buffer[..len]).map_err(PublishError::Handshake)? {
            HandshakeProcessResult::InProgress { response_bytes } => socket.write_all(&response_bytes).await?,
            HandshakeProcessResult::Completed { response_bytes, remaining_bytes } => {
                socket.write_all(&response_bytes).await?;
                return Ok(remaining_bytes);
            }
        }
    }
}

fn not_ended(len: usize) -> io::Result<usize> {
    if len == 0 { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(len) }
}
