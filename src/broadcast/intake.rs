use bytes::BytesMut;
use thiserror::Error;
use tracing::debug;

use crate::media::flv::{self, FlvError};
use crate::media::time::Unwrapper;
use crate::media::{Track, Unit, UnitKind};
use crate::wire::amf0;

/// Longest data message that is passed on. Stops metadata, repeated to every viewer that joins, from being a flood.
const MAX_DATA: usize = 64 * 1024;

/// What one publisher sends → units for its stream. The same rules for every way in.
///
/// Messages may come over flows that overtake each other: tracks may be apart in time, each is in order.
#[derive(Debug, Default)]
pub struct Intake {
    time: Unwrapper,
    /// Video is missing: what needs it is left out until the next key frame.
    awaits_key: bool,
}

/// The publisher sends what this gateway can't carry. Tell it so, and end it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{codec} can't be carried")]
pub struct UnsupportedCodec {
    /// Its name.
    pub codec: String,
}

impl Intake {
    /// Reads an RTMP message of type 8, 9, 15 or 18, its body behind [`MESSAGE_HEADER_LEN`](crate::media::MESSAGE_HEADER_LEN)
    /// spare bytes. `None`: nothing for viewers, or nothing that is sound.
    ///
    /// # Errors
    /// [`UnsupportedCodec`].
    pub fn read(
        &mut self,
        message_type: u8,
        timestamp: u32,
        message: BytesMut,
    ) -> Result<Option<Unit>, UnsupportedCodec> {
        match flv::read(message_type, self.time.unwrap(timestamp), message) {
            Ok(unit) => Ok(unit.filter(|unit| self.wants(unit))),
            Err(FlvError::UnsupportedCodec { codec }) => Err(UnsupportedCodec { codec }),
            Err(error @ (FlvError::Truncated { .. } | FlvError::Reserved { .. })) => {
                debug!(%error, "message dropped");
                Ok(None)
            }
        }
    }

    /// Takes in that messages of a track will never come.
    pub fn handle_gap(&mut self, track: Track) {
        self.awaits_key |= track == Track::Video;
    }

    fn wants(&mut self, unit: &Unit) -> bool {
        match unit.kind {
            UnitKind::Key => {
                self.awaits_key = false;
                true
            }
            UnitKind::Delta => !self.awaits_key,
            UnitKind::Metadata | UnitKind::Data if unit.track == Track::Data => is_sound(unit.body()),
            UnitKind::Configuration
            | UnitKind::Audio
            | UnitKind::EndOfSequence
            | UnitKind::Metadata
            | UnitKind::Data => true,
        }
    }
}

/// Whether every viewer may be given this data message.
fn is_sound(body: &[u8]) -> bool {
    let is_sound = body.len() <= MAX_DATA && amf0::decode_all(body).is_ok();
    if !is_sound {
        debug!(length = body.len(), "data message dropped");
    }
    is_sound
}
