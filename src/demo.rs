//! The demo: a gateway on whatever ports are free, and a bundled clip that is published to it through real RTMP.

mod clip;
mod publisher;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::sleep;
use tracing::warn;

use self::clip::Clip;
use crate::config::{Address, Config};
use crate::gateway::{Gateway, StartError};

/// The port that the demo's pages are on unless another is asked for.
const PORT: u16 = 443;

/// The port instead of [`PORT`] where that needs a privilege or is taken.
const PORT_WITHOUT_PRIVILEGE: u16 = 8443;

/// The application and the name that the clip is published as.
const STREAM: (&str, &str) = ("live", "demo");

/// The pause before the clip is published again when its connection was lost.
const RETRY: Duration = Duration::from_secs(1);

/// Takes ports for the demo: `port` for the pages if one is asked for, the configured ones for the rest, and any free ones
/// in place of those that can't be had.
///
/// # Errors
/// [`StartError`] for whatever another port doesn't mend.
pub fn bind(mut config: Config, port: Option<u16>) -> Result<Gateway, StartError> {
    config.unified.address = Address::everywhere(port.unwrap_or(PORT));
    loop {
        let error = match Gateway::bind(config.clone()) {
            Ok(gateway) => return Ok(gateway),
            Err(error) => error,
        };
        let Some(next) = next_port(&error, port.is_some()) else { return Err(error) };
        let address = match error.key() {
            "rtmp.address" => &mut config.rtmp.address,
            "websocket.address" => &mut config.websocket.address,
            "quic.address" => &mut config.quic.address,
            "webtransport.address" => &mut config.webtransport.address,
            "admin.address" => &mut config.admin.address,
            "webtransport.fmp4_address" => &mut config.webtransport.fmp4_address,
            _ => &mut config.unified.address,
        };
        match next {
            0 => warn!(setting = error.key(), refused = %address, "taking any free port"),
            port => warn!(setting = error.key(), refused = %address, "taking port {port}"),
        }
        *address = Address::everywhere(next);
    }
}

/// The page that plays the demo's stream.
pub fn url(gateway: &Gateway) -> String {
    let port = gateway.addresses().unified.map_or(PORT, |address| address.port());
    format!("http://localhost:{port}/watch/{}/{}", STREAM.0, STREAM.1)
}

/// Publishes the clip to `rtmp`, a bound address, for ever.
pub async fn publish(rtmp: SocketAddr) {
    let clip = match Clip::bundled() {
        Ok(clip) => clip,
        Err(error) => {
            warn!(%error, "no clip to publish");
            return std::future::pending().await;
        }
    };
    loop {
        if let Err(error) = publisher::publish(reachable(rtmp), STREAM, &clip).await {
            warn!(%error, "the demo's stream was interrupted");
        }
        sleep(RETRY).await;
    }
}

/// The port to try after this failure; 0 for any free one.
fn next_port(error: &StartError, port_was_chosen: bool) -> Option<u16> {
    let StartError::Bind { key, address, source } = error else { return None };
    let is_refused = matches!(source.kind(), io::ErrorKind::AddrInUse | io::ErrorKind::PermissionDenied);
    match (*key, address.port()) {
        _ if !is_refused => None,
        ("unified.address", _) if port_was_chosen => None,
        ("unified.address", PORT) => Some(PORT_WITHOUT_PRIVILEGE),
        (_, 0) => None,
        (_, _) => Some(0),
    }
}

/// An address at which one that stands for all addresses can be reached.
fn reachable(bound: SocketAddr) -> SocketAddr {
    let ip = match bound.ip() {
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) | IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, bound.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> Config {
        let mut config = Config::default();
        config.rtmp.address = Address::local(0);
        config.websocket.address = Address::local(0);
        config.quic.address = Address::local(0);
        config.webtransport.address = Address::local(0);
        config.webtransport.fmp4_address = Address::local(0);
        config
    }

    fn refusal(key: &'static str, port: u16, kind: io::ErrorKind) -> StartError {
        StartError::Bind { key, address: ([127, 0, 0, 1], port).into(), source: kind.into() }
    }

    #[test]
    fn the_pages_go_from_443_to_8443_to_any_port() {
        for kind in [io::ErrorKind::PermissionDenied, io::ErrorKind::AddrInUse] {
            assert_eq!(next_port(&refusal("unified.address", 443, kind), false), Some(8443));
            assert_eq!(next_port(&refusal("unified.address", 8443, kind), false), Some(0));
            assert_eq!(next_port(&refusal("unified.address", 0, kind), false), None);
        }
    }

    #[test]
    fn a_port_that_was_asked_for_is_not_replaced() {
        assert_eq!(next_port(&refusal("unified.address", 443, io::ErrorKind::AddrInUse), true), None);
    }

    #[test]
    fn another_address_s_fault_is_not_mended_by_another_port() {
        assert_eq!(next_port(&refusal("rtmp.address", 1935, io::ErrorKind::AddrNotAvailable), false), None);
    }

    #[tokio::test]
    async fn other_ports_that_are_taken_are_replaced_by_free_ones() {
        let taken = Gateway::bind(config()).unwrap();
        let mut config = config();
        config.rtmp.address = Address::On(taken.addresses().rtmp.unwrap());
        let gateway = bind(config, Some(0)).unwrap();
        assert_ne!(gateway.addresses().rtmp.unwrap().port(), taken.addresses().rtmp.unwrap().port());
        let port = gateway.addresses().unified.unwrap().port();
        assert_eq!(url(&gateway), format!("http://localhost:{port}/watch/live/demo"));
    }
}
