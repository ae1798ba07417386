//! A peer that means no good: raw bytes, and the answer to them.

pub mod http2;
pub mod http3;
pub mod quic;
pub mod rtmp;
pub mod websocket;

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::ServerName;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::stage::{LIMIT, Log};
use crate::websocket::Stream;

pub use rml_amf0::Amf0Value;

/// What a peer that does not read has room for; the kernel doubles it.
const DEAF_BUFFER: u32 = 4 << 10;
/// A write that waits this long is one that nobody reads.
const STUCK: Duration = Duration::from_millis(500);

/// A connection to the gateway.
pub struct Stranger {
    socket: Box<dyn Stream>,
    address: SocketAddr,
    log: Log,
    received: Vec<u8>,
    count: usize,
}

/// How a flood ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flood {
    /// All of it was taken.
    Taken,
    /// The gateway reads no more.
    Stuck,
    /// It has been cut.
    Cut,
}

impl Stranger {
    /// Connects.
    ///
    /// # Errors
    /// When it can't.
    pub async fn connect(server: SocketAddr, log: &Log) -> Result<Self> {
        Self::over(TcpStream::connect(server).await?, log)
    }

    /// Connects, with hardly any room for what it will not read.
    ///
    /// # Errors
    /// When it can't.
    pub async fn connect_deaf(server: SocketAddr, log: &Log) -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(DEAF_BUFFER)?;
        Self::over(socket.connect(server).await?, log)
    }

    /// Connects over TLS.
    ///
    /// # Errors
    /// When it can't.
    pub async fn connect_tls(server: SocketAddr, log: &Log) -> Result<Self> {
        Self::connect_tls_offering(server, &[], log).await
    }

    /// Connects over TLS, offering these application protocols.
    ///
    /// # Errors
    /// When it can't.
    pub async fn connect_tls_offering(server: SocketAddr, protocols: &[&[u8]], log: &Log) -> Result<Self> {
        let tcp = TcpStream::connect(server).await?;
        let address = tcp.local_addr()?;
        let connector = TlsConnector::from(crate::tls::client_offering(protocols)?);
        let socket = connector.connect(ServerName::try_from("localhost")?, tcp).await?;
        Ok(Self { socket: Box::new(socket), address, log: log.clone(), received: Vec::new(), count: 0 })
    }

    fn over(socket: TcpStream, log: &Log) -> Result<Self> {
        socket.set_nodelay(true)?;
        // What it has not sent yet is soon enough for the gateway to feel.
        SockRef::from(&socket).set_send_buffer_size(64 << 10)?;
        let address = socket.local_addr()?;
        Ok(Self { socket: Box::new(socket), address, log: log.clone(), received: Vec::new(), count: 0 })
    }

    /// Sends. That it was cut in the middle of it is no fault: what it was told is still to be read.
    ///
    /// # Errors
    /// When nobody takes it.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        let written = async {
            self.socket.write_all(bytes).await?;
            self.socket.flush().await
        };
        timeout(LIMIT, written).await.context("nobody takes what it sends")?.ok();
        Ok(())
    }

    /// Sends `piece` this often, as fast as it is taken, and reads nothing.
    pub async fn flood(&mut self, piece: &[u8], times: usize) -> Flood {
        let batch = piece.repeat((16 << 10) / piece.len().max(1) + 1);
        let mut left = piece.len() * times;
        while left > 0 {
            match timeout(STUCK, self.socket.write_all(&batch[..left.min(batch.len())])).await {
                Ok(Ok(())) => left -= left.min(batch.len()),
                Ok(Err(_)) => return Flood::Cut,
                Err(_) => return Flood::Stuck,
            }
        }
        Flood::Taken
    }

    /// Sends `piece` this often, and reads all the while.
    ///
    /// # Errors
    /// When it is cut.
    pub async fn flood_and_read(&mut self, piece: &[u8], times: usize) -> Result<()> {
        let bytes = piece.repeat(times);
        let mut unsent = &bytes[..];
        let mut space = vec![0; 64 << 10];
        let (mut reader, mut writer) = tokio::io::split(&mut self.socket);
        let flood = async {
            while !unsent.is_empty() {
                tokio::select! {
                    written = writer.write(unsent) => unsent = &unsent[written?..],
                    read = reader.read(&mut space) => {
                        let len = read?;
                        ensure!(len > 0, "cut in the flood");
                        self.received.extend_from_slice(&space[..len]);
                    }
                }
            }
            Ok(())
        };
        timeout(LIMIT, flood).await.context("the flood is not taken")?
    }

    /// Reads until `answer` has come, and forgets what came until then.
    ///
    /// # Errors
    /// When something else comes, or the end.
    pub async fn is_told(&mut self, answer: impl AsRef<[u8]>) -> Result<()> {
        let answer = answer.as_ref();
        loop {
            if let Some(at) = find(&self.received, answer) {
                self.received.drain(..at + answer.len());
                return Ok(());
            }
            let more = self.read().await;
            let told = || format!("not told {:?}, but {:?}", text(answer), text(&self.received));
            ensure!(more.with_context(told)? > 0, "{}", told());
        }
    }

    /// Reads until it is let go; gives out all that came.
    ///
    /// # Errors
    /// When it is not.
    pub async fn is_cut(&mut self) -> Result<&[u8]> {
        while self.read().await.with_context(|| format!("not cut, but told {:?}", text(&self.received)))? > 0 {}
        Ok(&self.received)
    }

    /// Reads until it is let go, and finds `reason` in the gateway's log.
    ///
    /// # Errors
    /// When it is not, or for another reason.
    pub async fn is_cut_for(&mut self, reason: &str) -> Result<()> {
        self.is_cut().await?;
        self.log.says(self.address, reason).await
    }

    /// Finds `words` in what the gateway's log says of it.
    ///
    /// # Errors
    /// When they are not there.
    pub async fn is_logged(&mut self, words: &str) -> Result<()> {
        self.log.says(self.address, words).await
    }

    /// Where it connects from.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many bytes it has waited for and read.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Forgets what has been read.
    pub fn forget(&mut self) {
        self.received.clear();
    }

    /// Reads one byte. `None`: there are no more.
    ///
    /// # Errors
    /// When none comes.
    pub async fn read_one(&mut self) -> Result<Option<u8>> {
        let mut byte = [0];
        let read = timeout(LIMIT, self.socket.read(&mut byte)).await.context("nothing comes")?;
        Ok((read.unwrap_or(0) > 0).then_some(byte[0]))
    }

    /// Says that nothing more will come.
    ///
    /// # Errors
    /// When it has been cut already.
    pub async fn finish(&mut self) -> Result<()> {
        Ok(self.socket.shutdown().await?)
    }

    /// Reads once. 0: the end, in order or not.
    async fn read(&mut self) -> Result<usize> {
        let mut space = vec![0; 64 << 10];
        let len = timeout(LIMIT, self.socket.read(&mut space)).await.context("nothing comes")?.unwrap_or(0);
        self.received.extend_from_slice(&space[..len]);
        self.count += len;
        Ok(len)
    }
}

/// AMF0 values, encoded.
///
/// # Errors
/// None for what tests send.
pub fn amf(values: &[Amf0Value]) -> Result<Vec<u8>> {
    rml_amf0::serialize(&values.to_vec()).context("AMF0")
}

/// A command's body: its name, its number, its object and its arguments.
///
/// # Errors
/// As [`amf`].
pub fn command(name: &str, transaction: u32, rest: Vec<Amf0Value>) -> Result<Vec<u8>> {
    amf(&[vec![string(name), Amf0Value::Number(transaction.into())], rest].concat())
}

/// The object of a `connect` to `app`.
pub fn app(app: &str) -> Amf0Value {
    Amf0Value::Object([("app".to_owned(), string(app))].into())
}

/// Text.
pub fn string(text: &str) -> Amf0Value {
    Amf0Value::Utf8String(text.to_owned())
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len().max(1)).position(|window| window == what)
}

/// The end of what came, for a person to read.
fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(300)..]).into_owned()
}
