//! How a viewer is reached: what carries the stream, encrypted or not, in which format, on which port.

use std::fmt;
use std::str::FromStr;

use crate::tlv::Dialect;
use crate::transport::Transport;

/// What carries the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Flows, raw.
    Flows(Transport),
    /// Flows, fragmented MP4.
    Packaged(Transport),
    /// Fragmented MP4 without flows, over TLS or not.
    Tlv(Dialect, bool),
}

/// A way to the viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// What carries the stream.
    pub carrier: Carrier,
    /// On the port of everything, not on the transport's own.
    pub unified: bool,
}

/// Names on the command line, and in the results.
const NAMES: [(&str, Carrier); 12] = [
    ("ws", Carrier::Flows(Transport::Ws)),
    ("wss", Carrier::Flows(Transport::Wss)),
    ("quic", Carrier::Flows(Transport::Quic)),
    ("wt", Carrier::Flows(Transport::WebTransport)),
    ("ws-fmp4", Carrier::Packaged(Transport::Ws)),
    ("wss-fmp4", Carrier::Packaged(Transport::Wss)),
    ("quic-fmp4", Carrier::Packaged(Transport::Quic)),
    ("wt-fmp4", Carrier::Packaged(Transport::WebTransport)),
    ("websocket", Carrier::Tlv(Dialect::Acknowledged, false)),
    ("websocket-tls", Carrier::Tlv(Dialect::Acknowledged, true)),
    ("websocketstream", Carrier::Tlv(Dialect::Stream, false)),
    ("websocketstream-tls", Carrier::Tlv(Dialect::Stream, true)),
];
/// Behind a name: on the port of everything.
const UNIFIED: &str = "@unified";

impl Way {
    /// Every carrier.
    pub fn all(unified: bool) -> Vec<Self> {
        NAMES.map(|(_, carrier)| Self { carrier, unified }).to_vec()
    }

    /// The name of what the stream is carried by, in the transports' table.
    pub fn transport(self) -> &'static str {
        match self.carrier {
            Carrier::Flows(transport) | Carrier::Packaged(transport) => match transport {
                Transport::Ws | Transport::Wss => "rtwebsocket",
                Transport::Quic => "quic",
                Transport::WebTransport => "webtransport",
            },
            Carrier::Tlv(Dialect::Stream, _) => "websocketstream",
            Carrier::Tlv(Dialect::Acknowledged | Dialect::Silent, _) => "websocket",
        }
    }

    /// Whether it is encrypted.
    pub fn is_encrypted(self) -> bool {
        match self.carrier {
            Carrier::Flows(transport) | Carrier::Packaged(transport) => transport != Transport::Ws,
            Carrier::Tlv(_, is_encrypted) => is_encrypted,
        }
    }

    /// The format in which the stream comes.
    pub fn format(self) -> &'static str {
        match self.carrier {
            Carrier::Flows(_) => "raw",
            Carrier::Packaged(_) | Carrier::Tlv(..) => "fmp4",
        }
    }

    /// Whether it runs over UDP.
    pub fn is_udp(self) -> bool {
        matches!(self.transport(), "quic" | "webtransport")
    }

    /// Whether it works between two machines: the port of everything speaks in the clear with its own alone.
    pub fn leaves_the_machine(self) -> bool {
        self.is_encrypted() || !self.unified
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, carrier)| *carrier == self.carrier).map_or("websocket", |(name, _)| name);
        f.pad(&format!("{name}{}", if self.unified { UNIFIED } else { "" }))
    }
}

impl FromStr for Way {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, unified) = text.strip_suffix(UNIFIED).map_or((text, false), |name| (name, true));
        let known = NAMES.into_iter().find(|(known, _)| *known == name);
        let names = NAMES.map(|(name, _)| name).join(", ");
        known.map(|(_, carrier)| Self { carrier, unified }).ok_or_else(|| format!("{text} is none of {names}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_has_a_name_of_its_own() {
        for way in [Way::all(false), Way::all(true)].concat() {
            assert_eq!(way.to_string().parse(), Ok(way));
        }
        assert!("carrier pigeon".parse::<Way>().is_err());
    }
}
