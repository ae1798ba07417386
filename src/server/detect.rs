//! What a connection speaks: first bytes and what TLS has agreed upon → [`Verdict`]. Nothing here reads a socket.
//!
//! ```text
//! TCP ─▶ first_byte ─┬▶ RTMP
//!                    ├▶ HTTP/1.1
//!                    └▶ TLS ─▶ negotiated ─┬▶ HTTP/1.1, HTTP/2, RTMPS, an authority's challenge
//!                                          └▶ nothing ─▶ inside, by the first byte again: HTTP/1.1, RTMPS
//! UDP ─▶ QUIC ─▶ quic ─▶ HTTP/3, native
//! ```
//!
//! | what | begins with | specification |
//! |---|---|---|
//! | TLS | `0x16`: a record of type handshake | RFC 8446 §5.1 |
//! | RTMP | `0x03`: the version, C0 | RTMP 1.0, §5.2.2 |
//! | HTTP/1.1 | a letter: a method, which is a token | RFC 9112 §3, RFC 9110 §5.6.2 |
//! | application protocols | their name | RFC 7301 §3 |

/// What a connection has turned out to be. Each connection of a port that detects gets exactly one, and is counted by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// RTMP in the clear.
    Rtmp,
    /// RTMP inside TLS.
    Rtmps,
    /// HTTP/1.1 in the clear.
    Http,
    /// HTTP/1.1 inside TLS.
    Https,
    /// HTTP/2, which comes inside TLS only.
    Http2,
    /// HTTP/3.
    Http3,
    /// Our own protocol over QUIC.
    Native,
    /// A certificate authority that looks whether it reaches us.
    Challenge,
    /// Nothing that is spoken here.
    Unknown,
    /// A TLS handshake that came to nothing.
    NoTls,
    /// Nothing in time, at any stage.
    Silent,
    /// It was gone before anything could be told.
    Gone,
    /// There was no room for it.
    Refused,
}

/// What a first byte begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum First {
    /// A TLS handshake.
    Tls,
    /// An RTMP handshake.
    Rtmp,
    /// An HTTP/1.1 request.
    Http,
    /// Nothing that is spoken here.
    Unknown,
}

/// What TLS can agree upon (ALPN).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// HTTP/3, and WebTransport over it.
    Http3,
    /// RTMP; encoders that name nothing are told by their first byte.
    Rtmp,
    /// Our own protocol over QUIC.
    Native,
    /// A certificate authority's challenge, `tls-alpn-01`: a handshake, and nothing behind it. No port offers it.
    Acme,
}

impl Verdict {
    /// Every one of them.
    pub const ALL: [Self; 13] = [
        Self::Rtmp,
        Self::Rtmps,
        Self::Http,
        Self::Https,
        Self::Http2,
        Self::Http3,
        Self::Native,
        Self::Challenge,
        Self::Unknown,
        Self::NoTls,
        Self::Silent,
        Self::Gone,
        Self::Refused,
    ];

    /// Its name, in logs and figures.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmps => "rtmps",
            Self::Http => "http",
            Self::Https => "https",
            Self::Http2 => "http2",
            Self::Http3 => "http3",
            Self::Native => "quic",
            Self::Challenge => "challenge",
            Self::Unknown => "unknown",
            Self::NoTls => "no_tls",
            Self::Silent => "silent",
            Self::Gone => "gone",
            Self::Refused => "refused",
        }
    }
}

impl Protocol {
    /// Every one of them.
    pub const ALL: [Self; 6] = [Self::Http1, Self::Http2, Self::Http3, Self::Rtmp, Self::Native, Self::Acme];

    /// Its name on the wire.
    pub fn name(self) -> &'static [u8] {
        match self {
            Self::Http1 => b"http/1.1",
            Self::Http2 => b"h2",
            Self::Http3 => b"h3",
            Self::Rtmp => b"rtmp",
            Self::Native => b"headwater/1",
            Self::Acme => b"acme-tls/1",
        }
    }

    fn named(name: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|protocol| protocol.name() == name)
    }
}

/// What the first byte of a TCP connection begins. One byte decides, so a connection never waits for a second one that may
/// not come.
pub fn first_byte(byte: u8) -> First {
    match byte {
        0x16 => First::Tls,
        0x03 => First::Rtmp,
        b'A'..=b'Z' | b'a'..=b'z' => First::Http,
        _ => First::Unknown,
    }
}

/// What TLS over TCP carries, by what it has agreed upon. `None`: it has not, and the first byte [`inside`] tells.
pub fn negotiated(protocol: Option<&[u8]>) -> Option<Verdict> {
    Some(match Protocol::named(protocol?) {
        Some(Protocol::Http1) => Verdict::Https,
        Some(Protocol::Http2) => Verdict::Http2,
        Some(Protocol::Rtmp) => Verdict::Rtmps,
        Some(Protocol::Acme) => Verdict::Challenge,
        Some(Protocol::Http3 | Protocol::Native) | None => Verdict::Unknown,
    })
}

/// What TLS over TCP carries, by the first byte inside it. TLS in TLS is nothing that is spoken here.
pub fn inside(byte: u8) -> Verdict {
    match first_byte(byte) {
        First::Rtmp => Verdict::Rtmps,
        First::Http => Verdict::Https,
        First::Tls | First::Unknown => Verdict::Unknown,
    }
}

/// What QUIC carries, by what it has agreed upon: without that there is no QUIC (RFC 9001 §8.1).
pub fn quic(protocol: Option<&[u8]>) -> Verdict {
    match protocol.and_then(Protocol::named) {
        Some(Protocol::Http3) => Verdict::Http3,
        Some(Protocol::Native) => Verdict::Native,
        Some(Protocol::Http1 | Protocol::Http2 | Protocol::Rtmp | Protocol::Acme) | None => Verdict::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The verdict on what has come so far, as a socket that is peeked at would see it.
    fn detect(prefix: &[u8]) -> Option<First> {
        prefix.first().map(|&byte| first_byte(byte))
    }

    #[test]
    fn every_prefix_of_a_greeting_gets_the_same_verdict() {
        let greetings: [(&[u8], First, Verdict); 6] = [
            (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", First::Http, Verdict::Https),
            (b"OPTIONS * HTTP/1.1\r\n\r\n", First::Http, Verdict::Https),
            (&[0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3], First::Tls, Verdict::Unknown),
            (&[3, 0, 0, 0, 0, 0, 0, 0, 0], First::Rtmp, Verdict::Rtmps),
            (&[6, 0, 0, 0, 0, 0, 0, 0, 0], First::Unknown, Verdict::Unknown),
            (b"\r\n\r\n", First::Unknown, Verdict::Unknown),
        ];
        for (greeting, first, within) in greetings {
            assert_eq!(detect(&greeting[..0]), None);
            for length in 1..=greeting.len() {
                assert_eq!(detect(&greeting[..length]), Some(first), "{:?}", &greeting[..length]);
                assert_eq!(inside(greeting[0]), within);
            }
        }
    }

    #[test]
    fn verdicts_are_listed_in_their_order() {
        for (index, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, index);
        }
    }

    #[test]
    fn every_byte_has_a_verdict() {
        let count = |first| (0..=u8::MAX).filter(|&byte| first_byte(byte) == first).count();
        assert_eq!([First::Tls, First::Rtmp, First::Http, First::Unknown].map(count), [1, 1, 52, 202]);
    }

    #[test]
    fn what_was_agreed_upon_decides_and_no_prefix_of_it_does() {
        for protocol in Protocol::ALL {
            let name = protocol.name();
            let over_tcp = match protocol {
                Protocol::Http1 => Verdict::Https,
                Protocol::Http2 => Verdict::Http2,
                Protocol::Rtmp => Verdict::Rtmps,
                Protocol::Acme => Verdict::Challenge,
                Protocol::Http3 | Protocol::Native => Verdict::Unknown,
            };
            let over_udp = match protocol {
                Protocol::Http3 => Verdict::Http3,
                Protocol::Native => Verdict::Native,
                Protocol::Http1 | Protocol::Http2 | Protocol::Rtmp | Protocol::Acme => Verdict::Unknown,
            };
            assert_eq!((negotiated(Some(name)), quic(Some(name))), (Some(over_tcp), over_udp));
            for length in 0..name.len() {
                assert_eq!(negotiated(Some(&name[..length])), Some(Verdict::Unknown));
                assert_eq!(quic(Some(&name[..length])), Verdict::Unknown);
            }
        }
    }

    #[test]
    fn nothing_agreed_upon_leaves_tcp_to_the_first_byte_and_is_the_end_of_quic() {
        assert_eq!((negotiated(None), quic(None)), (None, Verdict::Unknown));
    }
}
