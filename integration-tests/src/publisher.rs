//! Our own RTMP publisher, over TLS if need be: a clip, looped, each frame written when it is due.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use headwater::media::Track;
use rml_rtmp::sessions::{ClientSessionEvent, PublishRequestType, StreamMetadata};
use rml_rtmp::time::RtmpTimestamp;
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::clip::{Live, SentLog, Tag};
use crate::rtmp::Connection;
use crate::viewer::PATIENCE;
use crate::websocket::{Stream, dial};

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
        Self::start_on(dial(server, false).await?, "rtmp", server, stream, live).await
    }

    /// The same over a connection that is there already.
    ///
    /// # Errors
    /// As [`Publisher::start`].
    pub async fn start_over(socket: TcpStream, server: SocketAddr, stream: &str, live: Live) -> Result<Self> {
        Self::start_on(Box::new(socket), "rtmp", server, stream, live).await
    }

    /// The same as RTMPS, any certificate believed.
    ///
    /// # Errors
    /// As [`Publisher::start`].
    pub async fn start_encrypted(server: SocketAddr, stream: &str, live: Live) -> Result<Self> {
        Self::start_on(dial(server, true).await?, "rtmps", server, stream, live).await
    }

    async fn start_on(
        socket: Box<dyn Stream>,
        scheme: &str,
        server: SocketAddr,
        stream: &str,
        live: Live,
    ) -> Result<Self> {
        let log = live.log();
        let server = format!("{scheme}://{server}");
        let publish = publish(socket, &server, stream);
        let connection = timeout(PATIENCE, publish).await.context("no answer to publish")??;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(run(connection, live, stopped));
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

/// Asks to publish, and waits until it may.
async fn publish(socket: Box<dyn Stream>, server: &str, stream: &str) -> Result<Connection> {
    let (app, name) = stream.split_once('/').context("a stream is app/name")?;
    let mut connection = Connection::open(socket, server, app).await?;
    let publish = connection.session.request_publishing(name.to_owned(), PublishRequestType::Live)?;
    connection.write(vec![publish]).await?;
    connection.wait(&ClientSessionEvent::PublishRequestAccepted).await?;
    let metadata = connection.session.publish_metadata(&StreamMetadata::new())?;
    connection.write(vec![metadata]).await?;
    Ok(connection)
}

/// Publishes until it is told to stop.
async fn run(mut connection: Connection, mut live: Live, mut stop: oneshot::Receiver<()>) -> Result<()> {
    for tag in live.configurations() {
        send(&mut connection, tag).await?;
    }
    loop {
        tokio::select! {
            () = live.due() => send(&mut connection, live.take()).await?,
            read = connection.read() => {
                connection.handle(read?).await?;
                connection.events.clear();
            }
            Ok(()) = &mut stop => {
                let stopping = connection.session.stop_publishing()?;
                connection.write(stopping).await?;
                return connection.end().await;
            }
        }
    }
}

async fn send(connection: &mut Connection, tag: Tag) -> Result<()> {
    let timestamp = RtmpTimestamp::new(tag.timestamp);
    let result = match tag.track {
        Track::Audio => connection.session.publish_audio_data(tag.body, timestamp, false)?,
        Track::Video => connection.session.publish_video_data(tag.body, timestamp, false)?,
        Track::Data => return Ok(()),
    };
    connection.write(vec![result]).await
}
