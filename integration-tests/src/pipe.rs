//! A connection over WebSocket, with flows on it.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Result;
use tokio::time::sleep_until;

use crate::rtws::{Event, Receiver, push_vlu};
use crate::viewer::End;
use crate::websocket::{self, Incoming, WebSocket};

/// Payload of a piece, as genuine clients send them.
const FRAGMENT: usize = 1400;

/// The WebSocket and what came on it.
pub(crate) struct Pipe {
    socket: WebSocket,
    /// What the server sends.
    pub(crate) flows: Receiver,
}

impl Pipe {
    pub(crate) async fn connect(server: SocketAddr, is_encrypted: bool, app: &str) -> Result<Self> {
        let socket = websocket::dial(server, is_encrypted).await?;
        let socket = WebSocket::connect(socket, &server.to_string(), &format!("/{app}")).await?;
        Ok(Self { socket, flows: Receiver::new() })
    }

    pub(crate) fn open(&mut self, flow: u64, answers: Option<u64>, metadata: &[u8]) {
        let mut open = vec![if answers.is_some() { 0x30 } else { 0x10 }];
        push_vlu(&mut open, flow);
        if let Some(answers) = answers {
            push_vlu(&mut open, answers);
        }
        self.socket.send(&[&open, metadata]);
    }

    pub(crate) fn send(&mut self, flow: u64, message: &[u8]) {
        let mut id = Vec::new();
        push_vlu(&mut id, flow);
        let mut pieces = message.chunks(FRAGMENT).peekable();
        while let Some(piece) = pieces.next() {
            let head = if pieces.peek().is_some() { 0x3d } else { 0x1d };
            self.socket.send(&[&[head], &id, piece]);
        }
    }

    pub(crate) async fn flush(&mut self) -> Result<()> {
        self.socket.flush().await
    }

    /// Drives the connection until something happens; writes whenever nothing more is to be read.
    pub(crate) async fn next_event(&mut self) -> Result<Result<Event, End>> {
        loop {
            let now = Instant::now();
            self.flows.acknowledge(now, |bytes| self.socket.send(&[bytes]));
            match self.socket.try_next()? {
                Some(Incoming::Binary(range)) => match self.flows.handle(now, self.socket.bytes(range))? {
                    Some(Event::Ping(payload)) => self.socket.send(&[&[0x41], &payload]),
                    Some(event) => return Ok(Ok(event)),
                    None => {}
                },
                Some(Incoming::Close(code)) => return Ok(Err(End::Closed(code))),
                None => {
                    self.socket.flush().await?;
                    let due = self.flows.ack_due();
                    tokio::select! {
                        filled = self.socket.fill() => if !filled? {
                            return Ok(Err(End::Dropped));
                        },
                        () = sleep_until(due.unwrap_or(now).into()), if due.is_some() => {}
                    }
                }
            }
        }
    }

    /// A Close frame, then the connection's end.
    pub(crate) async fn leave(mut self) -> Result<()> {
        self.socket.close();
        self.socket.flush().await
    }
}
