//! What a viewer asks for behind the stream's name: `play "name?videoLifetime=0.5&format=raw"`.
//!
//! | key | value | default |
//! |---|---|---|
//! | `audioLifetime` `videoLifetime` `finishByMargin` `previousGopStartByMargin` | seconds | [`Config`](super::Config) |
//! | `expirePreviousGop` | `0`, `no`, `false`: off | on |
//! | `asis` | | accepted; timestamps are the stream's own in any case |
//! | `format` | `raw`, `fmp4` | `raw` |
//! | `clock` | `1`, `yes`, `true`: the gateway's clock is told, see [`measure`](super::measure) | off |
//! | `token` | a credential, see [`authority`](crate::authority) | that of `connect`, or of the connection |
//!
//! Keys are those of tcserver (zenomt/rtmfp-cpp), `format`, `clock` and `token`. `&`, `?` and `;` separate; the later of two wins; what is
//! not understood is left out, as a viewer's wish is never a reason to refuse it.

use std::time::Duration;

use crate::authority::Secret;
use crate::wire::query;

/// The longest time that a viewer may ask for: what a queue is held for is memory. Defined by: tcserver.
const LONGEST: Duration = Duration::from_secs(10);

/// The wishes of one viewer. `None`: not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    /// `audioLifetime`.
    pub(super) audio_lifetime: Option<Duration>,
    /// `videoLifetime`.
    pub(super) video_lifetime: Option<Duration>,
    /// `finishByMargin`.
    pub(super) finish_by_margin: Option<Duration>,
    /// `previousGopStartByMargin`.
    pub(super) previous_group_start_by_margin: Option<Duration>,
    /// `expirePreviousGop`.
    pub(super) expire_previous_group: Option<bool>,
    /// `format`, as it was said.
    pub(super) format: Option<String>,
    /// `clock`.
    pub(super) clock: bool,
    /// `token`.
    pub(super) token: Option<Secret>,
}

impl Query {
    /// Reads a query, without the `?` before it.
    pub(super) fn parse(query: &str) -> Self {
        let mut wishes = Self::default();
        for (key, value) in query::pairs(query) {
            match &*key {
                "audioLifetime" => set(&mut wishes.audio_lifetime, seconds(&value)),
                "videoLifetime" => set(&mut wishes.video_lifetime, seconds(&value)),
                "finishByMargin" => set(&mut wishes.finish_by_margin, seconds(&value)),
                "previousGopStartByMargin" => set(&mut wishes.previous_group_start_by_margin, seconds(&value)),
                "expirePreviousGop" => {
                    wishes.expire_previous_group = Some(!matches!(&*value, "0" | "no" | "false"));
                }
                "clock" => wishes.clock = matches!(&*value, "1" | "yes" | "true"),
                "format" => wishes.format = Some(value.into_owned()),
                "token" => wishes.token = Secret::brought(&value),
                _ => {}
            }
        }
        wishes
    }
}

fn set<T>(wish: &mut Option<T>, value: Option<T>) {
    if value.is_some() {
        *wish = value;
    }
}

fn seconds(text: &str) -> Option<Duration> {
    let seconds: f64 = text.parse().ok()?;
    (seconds >= 0.0).then(|| Duration::from_secs_f64(seconds.min(LONGEST.as_secs_f64())))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_separator_separates_and_the_later_wins() {
        let query = Query::parse("audioLifetime=1&videoLifetime=0.25?audioLifetime=2;finishByMargin=0.5");
        assert_eq!(query.audio_lifetime, Some(Duration::from_secs(2)));
        assert_eq!(query.video_lifetime, Some(Duration::from_millis(250)));
        assert_eq!(query.finish_by_margin, Some(Duration::from_millis(500)));
        assert_eq!(query.previous_group_start_by_margin, None);
    }

    #[test]
    fn numbers_that_are_none_leave_the_default() {
        for value in ["-1", "", "soon", "NaN", "-inf"] {
            assert_eq!(Query::parse(&format!("videoLifetime={value}")), Query::default(), "{value}");
        }
    }

    #[test]
    fn times_are_capped() {
        for value in ["11", "1e300", "inf"] {
            assert_eq!(Query::parse(&format!("audioLifetime={value}")).audio_lifetime, Some(LONGEST), "{value}");
        }
    }

    #[test]
    fn expiry_of_the_older_group_is_switched_off_by_three_words() {
        for (value, on) in [("0", false), ("no", false), ("false", false), ("1", true), ("yes", true)] {
            let query = Query::parse(&format!("expirePreviousGop={value}"));
            assert_eq!(query.expire_previous_group, Some(on), "{value}");
        }
    }

    #[test]
    fn the_clock_is_told_for_three_words() {
        for (value, on) in [("1", true), ("yes", true), ("true", true), ("", false), ("no", false), ("soon", false)] {
            assert_eq!(Query::parse(&format!("clock={value}")).clock, on, "{value}");
        }
    }

    #[test]
    fn keys_and_values_are_percent_decoded() {
        assert_eq!(Query::parse("f%6frmat=%66mp4").format.as_deref(), Some("fmp4"));
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        assert_eq!(Query::parse("previousGopStartBy=0.1&asis&&=&x=y"), Query::default());
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".*") {
            Query::parse(&text);
        }
    }
}
