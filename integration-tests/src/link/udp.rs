//! The line for datagrams.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{Conditions, Pace};

/// What a router on the way would hold, in packets: 150 ms at half of the test stream's rate.
const QUEUE: usize = 20;
const MAX_PACKET: usize = 65_536;

/// Carries the packets of any number of viewers until it is aborted.
pub(super) async fn carry(
    viewers: UdpSocket,
    server: SocketAddr,
    conditions: watch::Receiver<Conditions>,
    seed: u64,
) -> io::Result<()> {
    let viewers = Arc::new(viewers);
    let mut lines = HashMap::new();
    let mut tasks = JoinSet::new();
    let mut network = conditions.borrow().network;
    let mut packet = vec![0; MAX_PACKET];
    loop {
        let (len, viewer) = viewers.recv_from(&mut packet).await?;
        let Conditions { network: current, dead, .. } = *conditions.borrow();
        if dead {
            continue;
        }
        if network != current {
            network = current;
            tasks.abort_all();
            lines.clear();
        }
        if let std::collections::hash_map::Entry::Vacant(entry) = lines.entry(viewer) {
            let gateway = Arc::new(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?);
            gateway.connect(server).await?;
            tasks.spawn(towards_viewer(gateway.clone(), viewers.clone(), viewer, conditions.clone(), seed));
            entry.insert(gateway);
        }
        // Packets may be lost.
        lines[&viewer].send(&packet[..len]).await.ok();
    }
}

async fn towards_viewer(
    gateway: Arc<UdpSocket>,
    viewers: Arc<UdpSocket>,
    viewer: SocketAddr,
    conditions: watch::Receiver<Conditions>,
    seed: u64,
) {
    let (sender, mut receiver) = mpsc::channel::<(Instant, Vec<u8>)>(QUEUE);
    let enter = async {
        let mut packet = vec![0; MAX_PACKET];
        loop {
            // An error says that nobody listens there now.
            if let Ok(len) = gateway.recv(&mut packet).await {
                sender.try_send((Instant::now(), packet[..len].to_vec())).ok();
            }
        }
    };
    let leave = async {
        let mut pace = Pace::new(conditions, seed);
        while let Some((entered, packet)) = receiver.recv().await {
            if !pace.wait(entered, packet.len()).await {
                return;
            }
            viewers.send_to(&packet, viewer).await.ok();
        }
    };
    tokio::select! {
        () = enter => {}
        () = leave => {}
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::Link;
    use super::*;
    use crate::transport::Transport;

    #[tokio::test]
    async fn packets_beyond_the_rate_are_lost() {
        let gateway = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let conditions = Conditions { rate: Some(100_000), ..Conditions::default() };
        let link = Link::under(Transport::Quic, gateway.local_addr().unwrap(), conditions, 7).await.unwrap();
        let viewer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        viewer.send_to(b"hello", link.address()).await.unwrap();
        let (_, line) = gateway.recv_from(&mut [0; 8]).await.unwrap();
        for _ in 0..100 {
            gateway.send_to(&[1; 1000], line).await.unwrap();
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let mut received = 0;
        while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(200), viewer.recv_from(&mut [0; 1000])).await {
            received += 1;
        }
        assert!((QUEUE..=QUEUE + 30).contains(&received), "{received}");
    }
}
