//! The detector: whatever comes first, and whatever TLS or QUIC has agreed upon, gets one verdict, and the same whether it
//! comes in the clear or inside.

#![no_main]

use headwater::server::detect::{First, Protocol, Verdict, first_byte, inside, negotiated, quic};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((&first, name)) = input.split_first() else { return };
    let expected = match first_byte(first) {
        First::Rtmp => Verdict::Rtmps,
        First::Http => Verdict::Https,
        First::Tls | First::Unknown => Verdict::Unknown,
    };
    assert_eq!(inside(first), expected);
    let known = Protocol::ALL.into_iter().find(|protocol| protocol.name() == name);
    let over_tcp = match known {
        Some(Protocol::Http1) => Verdict::Https,
        Some(Protocol::Http2) => Verdict::Http2,
        Some(Protocol::Rtmp) => Verdict::Rtmps,
        Some(Protocol::Acme) => Verdict::Challenge,
        Some(Protocol::Http3 | Protocol::Native) | None => Verdict::Unknown,
    };
    assert_eq!(negotiated(Some(name)), Some(over_tcp));
    let over_udp = match known {
        Some(Protocol::Http3) => Verdict::Http3,
        Some(Protocol::Native) => Verdict::Native,
        Some(Protocol::Http1 | Protocol::Http2 | Protocol::Rtmp | Protocol::Acme) | None => Verdict::Unknown,
    };
    assert_eq!(quic(Some(name)), over_udp);
});
