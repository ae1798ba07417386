use std::mem;
use std::time::Instant;

use bytes::BytesMut;
use tracing::debug;

use super::cache::Cache;
use crate::media::codec::picture_order::{Declared, declare};
use crate::media::flv::{self, Configuration};
use crate::media::{MESSAGE_HEADER_LEN, Track, Unit, UnitKind};

/// So many frames without another order are taken for a stream that has none: two seconds, at least, and more than any
/// encoder's first frames that need no other.
const OBSERVED_FRAMES: u32 = 120;

/// Says for one publisher that its pictures are shown in the order in which they come, where its encoder left that out: then
/// decoders need not keep any back.
///
/// Whoever joins after that is known is told. Who was there before keeps what it has: another configuration would cost it its
/// decoder.
#[derive(Debug, Default)]
pub(super) struct Order {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// There is nothing to say, or no longer.
    #[default]
    Settled,
    /// What could be said, and how many frames have not contradicted it. Bodies of messages.
    Watched { original: Vec<u8>, declared: Vec<u8>, frames: u32 },
    /// It was said.
    Declared { original: Vec<u8> },
    /// And was wrong: what came is to be said again before the next key frame.
    Revoked { original: Vec<u8> },
}

impl Order {
    /// Appends a unit, with what is to be said.
    pub(super) fn append(&mut self, unit: Unit, cache: &mut Cache, now: Instant) {
        let unit = match (unit.track, unit.kind) {
            (Track::Video, UnitKind::Configuration) => match self.configure(unit) {
                Some(unit) => unit,
                None => return,
            },
            (Track::Video, UnitKind::Key | UnitKind::Delta) => {
                self.observe(&unit, cache, now);
                unit
            }
            _ => unit,
        };
        cache.append(unit, now);
    }

    /// `None`: it says again what has been said better.
    fn configure(&mut self, unit: Unit) -> Option<Unit> {
        match &self.state {
            State::Declared { original } if unit.body() == original => return None,
            State::Watched { original, .. } | State::Revoked { original } if unit.body() == original => {
                return Some(unit);
            }
            _ => {}
        }
        self.state = State::Settled;
        let Some(Configuration::Avc(record)) = flv::configuration(&unit) else { return Some(unit) };
        let Some(Declared { record: declared, is_certain }) = declare(record) else { return Some(unit) };
        let header = unit.body().len() - record.len();
        let declared = [&unit.body()[..header], &declared].concat();
        let original = unit.body().to_vec();
        if is_certain {
            self.state = State::Declared { original };
            return Some(configuration(&declared, &unit));
        }
        self.state = State::Watched { original, declared, frames: 0 };
        Some(unit)
    }

    fn observe(&mut self, unit: &Unit, cache: &mut Cache, now: Instant) {
        let is_in_order = unit.composition_ms == 0;
        self.state = match mem::take(&mut self.state) {
            State::Watched { original, declared, frames } if is_in_order => {
                if unit.kind == UnitKind::Key && frames >= OBSERVED_FRAMES {
                    debug!("no picture is out of order: decoders are told");
                    cache.replace_video_configuration(&declared);
                    State::Declared { original }
                } else {
                    State::Watched { original, declared, frames: frames.saturating_add(1) }
                }
            }
            State::Declared { original } if !is_in_order => State::Revoked { original },
            State::Watched { .. } => State::Settled,
            other => other,
        };
        if unit.kind == UnitKind::Key
            && let State::Revoked { original } = &self.state
        {
            cache.append(configuration(original, unit), now);
            self.state = State::Settled;
        }
    }
}

/// A configuration that stands where `at` does.
fn configuration(body: &[u8], at: &Unit) -> Unit {
    let mut message = BytesMut::zeroed(MESSAGE_HEADER_LEN);
    message.extend_from_slice(body);
    Unit::new(Track::Video, UnitKind::Configuration, at.timestamp, 0, message)
}
