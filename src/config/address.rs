//! Where a port listens.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// Where a port listens: `[::]:4446`, `127.0.0.1:4446`, `:4446` or `4446` (both: all addresses, IPv4 too), `off`.
/// Port 0 takes any free one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Address {
    /// Not at all.
    Off,
    /// On this address.
    On(SocketAddr),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no address: write host:port such as \"[::]:4446\" or 127.0.0.1:4446, a port alone, or off")]
pub struct InvalidAddress(String);

impl Address {
    /// This port on every address of the machine, IPv6 and IPv4.
    pub fn everywhere(port: u16) -> Self {
        Self::On(SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port))
    }

    /// This port on 127.0.0.1, out of reach of other machines.
    pub fn local(port: u16) -> Self {
        Self::On(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port))
    }

    /// The address to bind, `None` for `off`.
    pub fn socket(self) -> Option<SocketAddr> {
        match self {
            Self::Off => None,
            Self::On(address) => Some(address),
        }
    }
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        if text == "off" {
            return Ok(Self::Off);
        }
        if let Ok(port) = text.strip_prefix(':').unwrap_or(text).parse() {
            return Ok(Self::everywhere(port));
        }
        text.parse().map(Self::On).map_err(|_| InvalidAddress(text.into()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("off"),
            Self::On(address) => address.fmt(f),
        }
    }
}

impl Serialize for Address {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Address {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AddressVisitor)
    }
}

struct AddressVisitor;

impl de::Visitor<'_> for AddressVisitor {
    type Value = Address;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address: host:port such as \"[::]:4446\" or 127.0.0.1:4446, a port alone, or off")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Address, E> {
        text.parse().map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, port: u64) -> Result<Address, E> {
        let port = u16::try_from(port).map_err(|_| E::custom(format_args!("{port} is no port: 0 to 65535")))?;
        Ok(Address::everywhere(port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_is_read() {
        let v4 = "127.0.0.1:80".parse().unwrap();
        for (text, address) in [
            ("off", Address::Off),
            ("4446", Address::everywhere(4446)),
            (":4446", Address::everywhere(4446)),
            ("[::]:4446", Address::everywhere(4446)),
            ("127.0.0.1:80", Address::On(v4)),
        ] {
            assert_eq!(text.parse(), Ok(address), "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_with_examples() {
        for text in ["", "no", "localhost", "1.2.3.4", "65536", "::"] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("127.0.0.1:4446"), "{error}");
        }
    }

    #[test]
    fn an_address_is_written_as_it_is_read() {
        for address in [Address::Off, Address::everywhere(0), Address::local(80)] {
            assert_eq!(address.to_string().parse(), Ok(address));
        }
    }
}
