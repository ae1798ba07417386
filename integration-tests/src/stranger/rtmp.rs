//! What strangers say to the port for publishers.

use anyhow::Result;

use super::{Amf0Value, Stranger, app, command, string};
use crate::stage::Target;

/// Message types.
pub const SET_CHUNK_SIZE: u8 = 1;
/// Gives up a message.
pub const ABORT: u8 = 2;
/// Ping and the like.
pub const USER_CONTROL: u8 = 4;
/// How often to acknowledge.
pub const WINDOW_SIZE: u8 = 5;
/// An FLV audio tag body.
pub const AUDIO: u8 = 8;
/// An FLV video tag body.
pub const VIDEO: u8 = 9;
/// AMF0 data.
pub const DATA: u8 = 18;
/// An AMF0 command.
pub const COMMAND: u8 = 20;
/// Messages in a message.
pub const AGGREGATE: u8 = 22;

/// Chunk size of whoever has [shaken hands](shaken).
const CHUNK_SIZE: u32 = 0x10_0000;
const SIGNATURE_LEN: usize = 1536;

/// C0 and C1.
pub fn hello() -> Vec<u8> {
    [&[3][..], &[0; SIGNATURE_LEN]].concat()
}

/// The header of a chunk that starts a message of `len` bytes on chunk stream `chunks` (2 to 63).
pub fn header(chunks: u8, kind: u8, stream: u32, len: u32) -> Vec<u8> {
    let len = len.to_be_bytes();
    [&[chunks, 0, 0, 0][..], &len[1..], &[kind], &stream.to_le_bytes()].concat()
}

/// A whole message in one chunk.
pub fn message(kind: u8, stream: u32, body: &[u8]) -> Vec<u8> {
    [&header(3, kind, stream, body.len() as u32)[..], body].concat()
}

/// A command on message stream `stream`.
///
/// # Errors
/// As [`command`].
pub fn call(stream: u32, name: &str, transaction: u32, rest: Vec<Amf0Value>) -> Result<Vec<u8>> {
    Ok(message(COMMAND, stream, &command(name, transaction, rest)?))
}

/// A peer that has shaken hands and sends long chunks.
///
/// # Errors
/// When it is cut before.
pub async fn shaken(target: &Target) -> Result<Stranger> {
    let mut stranger = Stranger::connect(target.rtmp, &target.log).await?;
    shake(&mut stranger).await?;
    Ok(stranger)
}

/// Shakes hands.
///
/// # Errors
/// When it is cut.
pub async fn shake(stranger: &mut Stranger) -> Result<()> {
    stranger.send(&hello()).await?;
    // S2 repeats our C1.
    stranger.is_told([0; SIGNATURE_LEN]).await?;
    stranger.send(&[0; SIGNATURE_LEN]).await?;
    stranger.send(&message(SET_CHUNK_SIZE, 0, &CHUNK_SIZE.to_be_bytes())).await
}

/// A peer that is connected.
///
/// # Errors
/// When it is refused.
pub async fn connected(target: &Target) -> Result<Stranger> {
    let mut stranger = shaken(target).await?;
    stranger.send(&call(0, "connect", 1, vec![app("live")])?).await?;
    stranger.is_told("NetConnection.Connect.Success").await?;
    Ok(stranger)
}

/// A peer that publishes on message stream 1.
///
/// # Errors
/// When it is refused.
pub async fn publishing(target: &Target, name: &str) -> Result<Stranger> {
    let mut stranger = connected(target).await?;
    stranger.send(&call(0, "createStream", 2, vec![Amf0Value::Null])?).await?;
    stranger.send(&publish(name)?).await?;
    stranger.is_told("NetStream.Publish.Start").await?;
    Ok(stranger)
}

/// `publish` on message stream 1.
///
/// # Errors
/// As [`command`].
pub fn publish(name: &str) -> Result<Vec<u8>> {
    call(1, "publish", 3, vec![Amf0Value::Null, string(name), string("live")])
}

/// Checks that it is still served: a call gets its answer.
///
/// # Errors
/// When it does not.
pub async fn is_served(stranger: &mut Stranger) -> Result<()> {
    const NUMBER: u32 = 7_654_321;
    stranger.send(&call(0, "_checkbw", NUMBER, vec![Amf0Value::Null])?).await?;
    stranger.is_told(f64::from(NUMBER).to_be_bytes()).await
}
