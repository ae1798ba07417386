//! Queries, behind the names of streams and in addresses: `name?key=value&key=value`.
//!
//! `&`, `?` and `;` separate, since clients put what they are given behind what is there already.

use std::borrow::Cow;

/// Splits a name or an address from the query behind it.
pub fn split(name: &str) -> (&str, &str) {
    name.split_once('?').unwrap_or((name, ""))
}

/// The keys and values of a query, without the `?` before it, decoded.
pub fn pairs(query: &str) -> impl Iterator<Item = (Cow<'_, str>, Cow<'_, str>)> {
    let pairs = query.split(['&', '?', ';']).map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs.map(|(key, value)| (percent_decode(key), percent_decode(value)))
}

/// The value of a key; of several, the last.
pub fn value<'a>(query: &'a str, wanted: &str) -> Option<Cow<'a, str>> {
    pairs(query).filter(|(key, _)| key == wanted).last().map(|(_, value)| value)
}

/// Decodes `%xx`. A `%` without two digits stays; what is not UTF-8 then becomes U+FFFD.
pub fn percent_decode(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    let mut rest = text.as_bytes();
    let mut decoded = Vec::with_capacity(rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if let (b'%', [high, low, after @ ..]) = (byte, rest)
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
        {
            decoded.push(high << 4 | low);
            rest = after;
        } else {
            decoded.push(byte);
        }
    }
    Cow::Owned(String::from_utf8_lossy(&decoded).into_owned())
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_name_ends_at_the_first_question_mark() {
        assert_eq!(split("demo?a=b?c"), ("demo", "a=b?c"));
        assert_eq!(split("demo"), ("demo", ""));
    }

    #[test]
    fn the_last_of_several_values_counts() {
        assert_eq!(value("token=a&x=y?token=b%3d;z", "token").as_deref(), Some("b="));
        assert_eq!(value("tokens=a", "token"), None);
    }

    #[test]
    fn a_percent_sign_without_digits_stays() {
        for (text, decoded) in [("a%20b", "a b"), ("100%", "100%"), ("%4", "%4"), ("%zz", "%zz"), ("%ff", "\u{fffd}")] {
            assert_eq!(percent_decode(text), decoded, "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read(text in ".*") {
            pairs(&text).for_each(drop);
        }
    }
}
