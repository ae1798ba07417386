//! Error codes of HTTP/3, and how WebTransport's lie among them.
//!
//! | specification | section |
//! |---|---|
//! | RFC 9114 | §8.1 |
//! | RFC 9204 | §6 |
//! | draft-ietf-webtrans-http3-02 | §4.3, §8.4 |

/// Why a stream or a connection is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// Nothing is wrong.
    NoError,
    /// A stream that must not be opened, or not twice.
    StreamCreationError,
    /// A stream that must stay open has ended.
    ClosedCriticalStream,
    /// A frame where it must not be.
    FrameUnexpected,
    /// A frame that can't be read.
    FrameError,
    /// More than is taken of anyone.
    ExcessiveLoad,
    /// A number of a stream that can't be.
    IdError,
    /// Settings that can't be read.
    SettingsError,
    /// Something else before the settings.
    MissingSettings,
    /// Not looked at.
    RequestRejected,
    /// Looked at, and ended before its end.
    RequestIncomplete,
    /// A message that can't be read.
    MessageError,
    /// A header section that can't be read.
    DecompressionFailed,
    /// A session's stream that nobody has room for.
    BufferedStreamRejected,
    /// The session is over, and so are its streams.
    SessionGone,
}

impl Code {
    /// Its number.
    pub fn number(self) -> u32 {
        match self {
            Self::NoError => 0x100,
            Self::StreamCreationError => 0x103,
            Self::ClosedCriticalStream => 0x104,
            Self::FrameUnexpected => 0x105,
            Self::FrameError => 0x106,
            Self::ExcessiveLoad => 0x107,
            Self::IdError => 0x108,
            Self::SettingsError => 0x109,
            Self::MissingSettings => 0x10a,
            Self::RequestRejected => 0x10b,
            Self::RequestIncomplete => 0x10d,
            Self::MessageError => 0x10e,
            Self::DecompressionFailed => 0x200,
            Self::BufferedStreamRejected => 0x3994_bd84,
            Self::SessionGone => 0x170d_7b68,
        }
    }
}

const FIRST: u64 = 0x52e4_a40f_a8db;
const LAST: u64 = 0x52e5_ac98_3162;

/// The HTTP/3 code for a session's own: what a page sees as `streamErrorCode`. Defined by: draft-ietf-webtrans-http3-02 §4.3.
pub fn from_webtransport(code: u32) -> u64 {
    let code = u64::from(code);
    // Each 31st number is kept for codes that mean nothing.
    FIRST + code + code / 0x1e
}

/// The session's own code for one of HTTP/3's. `None`: it is none.
pub fn to_webtransport(code: u64) -> Option<u32> {
    if !(FIRST..=LAST).contains(&code) || (code - 0x21).is_multiple_of(0x1f) {
        return None;
    }
    let shifted = code - FIRST;
    u32::try_from(shifted - shifted / 0x1f).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_ends_of_the_range_are_where_the_specification_puts_them() {
        assert_eq!(from_webtransport(0), FIRST);
        assert_eq!(from_webtransport(u32::MAX), LAST);
        assert_eq!(from_webtransport(0x1d), FIRST + 0x1d);
        assert_eq!(from_webtransport(0x1e), FIRST + 0x1f);
    }

    #[test]
    fn codes_outside_and_those_that_mean_nothing_are_none_of_a_sessions() {
        for code in [0, FIRST - 1, LAST + 1, u64::MAX, FIRST + 0x1e, FIRST + 0x3d] {
            assert_eq!(to_webtransport(code), None, "{code:x}");
        }
    }

    proptest! {
        #[test]
        fn every_code_survives(code: u32) {
            let mapped = from_webtransport(code);
            prop_assert_ne!((mapped - 0x21) % 0x1f, 0);
            prop_assert_eq!(to_webtransport(mapped), Some(code));
        }

        #[test]
        fn no_two_codes_are_one(code in FIRST..=LAST) {
            if let Some(of_session) = to_webtransport(code) {
                prop_assert_eq!(from_webtransport(of_session), code);
            }
        }
    }
}
