//! Which protocol a connection's first byte begins.
//!
//! | byte | protocol | specification |
//! |---|---|---|
//! | `0x16` | TLS: a record of type handshake | RFC 8446 §5.1 |
//! | a letter | HTTP/1.1: a method, which is a token | RFC 9112 §3, RFC 9110 §5.6.2 |

/// What a first byte begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// A TLS handshake.
    Tls,
    /// An HTTP request in the clear.
    Http,
    /// Nothing that is spoken here.
    Unknown,
}

/// One byte decides, so a connection never waits for a second one that may not come.
pub fn first_byte(byte: u8) -> Verdict {
    match byte {
        0x16 => Verdict::Tls,
        b'A'..=b'Z' | b'a'..=b'z' => Verdict::Http,
        _ => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on what has come so far, as a socket that is peeked at would see it.
    fn detect(prefix: &[u8]) -> Option<Verdict> {
        prefix.first().map(|&byte| first_byte(byte))
    }

    #[test]
    fn every_prefix_of_a_greeting_gets_the_same_verdict() {
        let greetings: [(&[u8], Verdict); 5] = [
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", Verdict::Http),
            (b"OPTIONS * HTTP/1.1\r\n\r\n", Verdict::Http),
            (&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], Verdict::Tls),
            (&[3, 0, 0, 0, 0, 0, 0, 0, 0], Verdict::Unknown),
            (b"\r\n\r\n", Verdict::Unknown),
        ];
        for (greeting, verdict) in greetings {
            assert_eq!(detect(&greeting[..0]), None);
            for length in 1..=greeting.len() {
                assert_eq!(detect(&greeting[..length]), Some(verdict), "{:?}", &greeting[..length]);
            }
        }
    }

    #[test]
    fn every_byte_has_a_verdict() {
        let tls = (0..=u8::MAX).filter(|&byte| first_byte(byte) == Verdict::Tls).count();
        let http = (0..=u8::MAX).filter(|&byte| first_byte(byte) == Verdict::Http).count();
        assert_eq!((tls, http), (1, 52));
    }
}
