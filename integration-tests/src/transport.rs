//! How a viewer is connected.

use std::fmt;
use std::str::FromStr;

/// One of the ways to the gateway's viewers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// RTWebSocket.
    Ws,
    /// RTWebSocket over TLS, any certificate believed.
    Wss,
    /// Lanes over native QUIC.
    Quic,
    /// Lanes over WebTransport.
    WebTransport,
}

impl Transport {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ws, Self::Wss, Self::Quic, Self::WebTransport];

    /// The name on command lines.
    pub fn name(self) -> &'static str {
        match self {
            Transport::Ws => "ws",
            Transport::Wss => "wss",
            Transport::Quic => "quic",
            Transport::WebTransport => "wt",
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Transport {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|transport| transport.name() == text);
        known.ok_or_else(|| format!("{text} is none of ws, wss, quic, wt"))
    }
}

/// Makes tests of functions that take a [`Transport`]: `name::ws`, `name::quic` and `name::webtransport`.
#[macro_export]
macro_rules! over_each_transport {
    ($($name:ident),+ $(,)?) => {$(
        mod $name {
            use $crate::transport::Transport;

            #[tokio::test]
            async fn ws() -> anyhow::Result<()> {
                super::$name(Transport::Ws).await
            }

            #[tokio::test]
            async fn quic() -> anyhow::Result<()> {
                super::$name(Transport::Quic).await
            }

            #[tokio::test]
            async fn webtransport() -> anyhow::Result<()> {
                super::$name(Transport::WebTransport).await
            }
        }
    )+};
}
