//! RTMP's 32-bit timestamps → time that doesn't wrap.

use super::Timestamp;

/// How near its end a 24-bit timestamp must be, and how near zero its successor, to be taken for one that wraps around.
const WRAP_MARGIN: u32 = 10_000;
const BITS_24: u32 = 1 << 24;

/// Where unwrapped time begins: room for the frames of an encoder that stamps its metadata with 0 and then counts from just
/// below the wrap-around.
const TURN: i64 = 1 << 32;

/// Follows one publisher's timestamps past their wrap-around.
///
/// One serves all tracks of a publisher, since they share its clock. Steps back, as between interleaved tracks, stay steps
/// back. Some encoders wrap at 24 bits (after 4 h 40 min), as those do that lack extended timestamps; that's followed too.
#[derive(Debug, Clone, Default)]
pub struct Unwrapper {
    /// The last timestamp, unwrapped. Its low bits are the raw one's.
    last: Option<i64>,
    /// The publisher has been seen to wrap at 24 bits.
    short: bool,
}

impl Unwrapper {
    /// The point in time that `raw` stands for: the one nearest the last timestamp's.
    pub fn unwrap(&mut self, raw: u32) -> Timestamp {
        let time = match self.last {
            None => i64::from(raw) + TURN,
            Some(last) => last.saturating_add(self.step(last, raw)),
        };
        self.last = Some(time);
        Timestamp::from_millis(u64::try_from(time).unwrap_or(0))
    }

    /// The signed distance from the last timestamp to `raw`.
    fn step(&mut self, last: i64, raw: u32) -> i64 {
        // Truncation to the low bits is meant.
        let last = last as u32;
        if raw >= BITS_24 {
            self.short = false;
        } else if (BITS_24 - WRAP_MARGIN..BITS_24).contains(&last) && raw < WRAP_MARGIN {
            self.short = true;
        }
        let distance = raw.wrapping_sub(last);
        // The shifts put the 24 bits at the top and back, which extends their sign.
        let distance = if self.short { (distance << 8) as i32 >> 8 } else { distance as i32 };
        distance.into()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn unwrapped(raw: impl IntoIterator<Item = u32>) -> Vec<u64> {
        let mut unwrapper = Unwrapper::default();
        raw.into_iter().map(|raw| unwrapper.unwrap(raw).millis() - TURN as u64).collect()
    }

    #[test]
    fn time_goes_on_past_32_bits() {
        assert_eq!(unwrapped([u32::MAX - 1, 3, u32::MAX, 5]), [0xffff_fffe, 0x1_0000_0003, 0xffff_ffff, 0x1_0000_0005]);
    }

    #[test]
    fn time_goes_on_past_24_bits_if_the_encoder_wraps_there() {
        let rounds = [0xff_fff0, 5, 0xff_fffa, 20, 0x80_0000, 0xff_ffff, 1];
        assert_eq!(
            unwrapped(rounds),
            [0xff_fff0, 0x100_0005, 0xff_fffa, 0x100_0014, 0x180_0000, 0x1ff_ffff, 0x200_0001]
        );
    }

    #[test]
    fn an_encoder_that_passes_24_bits_is_not_taken_for_one_that_wraps_there() {
        assert_eq!(unwrapped([0xff_ffff, 0x100_0000, 0x100_0010]), [0xff_ffff, 0x100_0000, 0x100_0010]);
    }

    #[test]
    fn a_step_back_stays_one() {
        assert_eq!(unwrapped([100, 80, 120, 0]), [100, 80, 120, 0]);
    }

    #[test]
    fn a_step_from_zero_to_before_the_wrap_keeps_later_steps() {
        let mut unwrapper = Unwrapper::default();
        let times = [0, u32::MAX - 40, u32::MAX - 7, 25].map(|raw| unwrapper.unwrap(raw).millis());
        assert_eq!([times[1], times[2], times[3]].map(|time| time - times[1]), [0, 33, 66]);
    }

    proptest! {
        #[test]
        fn small_steps_are_followed_exactly(start: u32, steps in prop::collection::vec(-1000i64..100_000, 0..200)) {
            let mut time = i64::from(start);
            let mut unwrapper = Unwrapper::default();
            unwrapper.unwrap(start);
            for step in steps {
                let next = time + step;
                // A wrap at 24 bits can't be told from a jump back over that distance.
                prop_assume!(next >= 0);
                time = next;
                prop_assert_eq!(unwrapper.unwrap(time as u32).millis(), (time + TURN) as u64);
            }
        }
    }
}
