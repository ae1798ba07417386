//! What strangers say to the port for viewers: HTTP, WebSocket frames, RTWebSocket's messages.

use anyhow::{Context, Result, ensure};

use super::{Amf0Value, Stranger, app, command, find, string};
use crate::rtws::push_vlu;
use crate::stage::Target;

/// A request for WebSocket as it should be.
pub const UPGRADE: &str = "GET /live HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                           Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

const FINAL: u8 = 0x80;
/// Opcodes.
pub const CONTINUATION: u8 = 0;
/// Text.
pub const TEXT: u8 = FINAL | 1;
/// A whole binary message.
pub const BINARY: u8 = FINAL | 2;
/// A Close frame.
pub const CLOSE: u8 = FINAL | 8;
/// A Ping frame.
pub const PING: u8 = FINAL | 9;

/// A frame with this first byte, masked with zeros.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        len @ 0..126 => frame.push(0x80 | len as u8),
        len @ 126..0x1_0000 => frame.extend([&[0xfe][..], &(len as u16).to_be_bytes()].concat()),
        len => frame.extend([&[0xff][..], &(len as u64).to_be_bytes()].concat()),
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

/// An RTWebSocket message: its type, its numbers, its payload.
pub fn message(kind: u8, numbers: &[u64], payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![kind];
    for &number in numbers {
        push_vlu(&mut bytes, number);
    }
    bytes.extend(payload);
    frame(BINARY, &bytes)
}

/// A TC command on `flow`.
///
/// # Errors
/// As [`command`].
pub fn call(flow: u64, name: &str, transaction: u32, rest: Vec<Amf0Value>) -> Result<Vec<u8>> {
    Ok(message(0x1d, &[flow], &[&[20, 0, 0, 0, 0][..], &command(name, transaction, rest)?].concat()))
}

/// Opens the control flow, 0.
pub fn open_control() -> Vec<u8> {
    message(0x10, &[0], b"TC\x04\0")
}

/// All that a viewer says until it is connected.
///
/// # Errors
/// As [`command`].
pub fn connect() -> Result<Vec<u8>> {
    Ok([open_control(), call(0, "connect", 1, vec![app("live")])?].concat())
}

/// The same, and a stream 1 whose commands go on flow 1.
///
/// # Errors
/// As [`command`].
pub fn create_stream() -> Result<Vec<u8>> {
    let create = call(0, "createStream", 2, vec![Amf0Value::Null])?;
    // The gateway's control flow is its first: 0.
    Ok([connect()?, create, message(0x30, &[1, 0], b"TC\x04\x01")].concat())
}

/// `play` on flow 1.
///
/// # Errors
/// As [`command`].
pub fn play(name: &str) -> Result<Vec<u8>> {
    call(1, "play", 0, vec![Amf0Value::Null, string(name)])
}

/// A peer whose connection is WebSocket's.
///
/// # Errors
/// When it is refused.
pub async fn upgraded(target: &Target) -> Result<Stranger> {
    upgrade(Stranger::connect(target.websocket, &target.log).await?).await
}

/// The same with hardly any room for what it will not read.
///
/// # Errors
/// When it is refused.
pub async fn upgraded_deaf(target: &Target) -> Result<Stranger> {
    upgrade(Stranger::connect_deaf(target.websocket, &target.log).await?).await
}

async fn upgrade(mut stranger: Stranger) -> Result<Stranger> {
    stranger.send(UPGRADE.as_bytes()).await?;
    stranger.is_told("\r\n\r\n").await?;
    Ok(stranger)
}

/// A viewer that is connected.
///
/// # Errors
/// When it is refused.
pub async fn connected(target: &Target) -> Result<Stranger> {
    let mut stranger = upgraded(target).await?;
    stranger.send(&connect()?).await?;
    stranger.is_told("NetConnection.Connect.Success").await?;
    Ok(stranger)
}

/// A viewer with a stream that plays nothing yet.
///
/// # Errors
/// When it is refused.
pub async fn with_stream(target: &Target) -> Result<Stranger> {
    let mut stranger = upgraded(target).await?;
    stranger.send(&create_stream()?).await?;
    stranger.is_told("NetConnection.Connect.Success").await?;
    Ok(stranger)
}

/// Checks that it is still served: a ping gets its answer.
///
/// # Errors
/// When it does not.
pub async fn is_served(stranger: &mut Stranger) -> Result<()> {
    stranger.send(&message(0x01, &[], b"are you there?")).await?;
    stranger.is_told(b"\x41are you there?").await
}

/// Reads until it is let go with `code` in the Close frame, and `reason` in the gateway's log.
///
/// # Errors
/// When it is not.
pub async fn is_closed_for(stranger: &mut Stranger, code: u16, reason: &str) -> Result<()> {
    let told = close_code(stranger.is_cut().await?).with_context(|| format!("for {reason:?}"))?;
    stranger.is_logged(reason).await?;
    ensure!(told == code, "closed with {told}");
    Ok(())
}

/// The code in the Close frame that ends what came.
fn close_code(mut frames: &[u8]) -> Result<u16> {
    // What was read before may end inside a frame, so the Close frame is looked for from the end.
    while let Some(at) = find(frames, &[CLOSE]) {
        frames = &frames[at..];
        if let &[_, len, high, low, ..] = frames
            && usize::from(len) + 2 == frames.len()
        {
            return Ok(u16::from_be_bytes([high, low]));
        }
        frames = &frames[1..];
    }
    Err(anyhow::anyhow!("cut without a Close frame"))
}
