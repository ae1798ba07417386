//! RTMP: all that a stranger can send behind the handshake.
//!
//! The input is how many bytes come at a time (u8, 0: all), then the bytes.

#![no_main]

use std::io;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use headwater::authority::{Authority, Entrance};
use headwater::broadcast::{self, Registry};
use headwater::clock::Clock;
use headwater::ingest;
use libfuzzer_sys::fuzz_target;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Builder, Runtime};

/// The client's side of the plain handshake: C0, and C1 and C2 of 1536 bytes each, which aren't looked at.
const HANDSHAKE_LEN: usize = 1 + 2 * 1536;

thread_local! {
    static RUNTIME: Runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
}

fuzz_target!(|input: &[u8]| {
    let Some((&piece, chunks)) = input.split_first() else { return };
    let mut bytes = BytesMut::zeroed(HANDSHAKE_LEN);
    bytes[0] = 3;
    bytes.extend_from_slice(chunks);
    let piece = if piece == 0 { usize::MAX } else { piece.into() };
    let socket = Socket { input: bytes.freeze(), handshake: HANDSHAKE_LEN, piece };
    let registry = Registry::new(broadcast::Config::default());
    let config = ingest::Config::default();
    let nowhere = (Ipv4Addr::UNSPECIFIED, 0).into();
    let (visitor, _leash) = Authority::default().visit(nowhere, Entrance::Rtmp, None, Clock.wall());
    let _ = RUNTIME.with(|runtime| runtime.block_on(ingest::serve(socket, &registry, &config, Clock, &visitor)));
    assert_eq!(registry.streams(Clock.now()), [], "a stream outlives its publisher");
});

/// A peer that sends without waiting for answers, then leaves.
struct Socket {
    input: Bytes,
    handshake: usize,
    piece: usize,
}

impl AsyncRead for Socket {
    fn poll_read(mut self: Pin<&mut Self>, _: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let most = if self.handshake > 0 { self.handshake } else { self.piece };
        let len = self.input.len().min(most).min(buf.remaining());
        buf.put_slice(&self.input[..len]);
        self.input.advance(len);
        self.handshake = self.handshake.saturating_sub(len);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
