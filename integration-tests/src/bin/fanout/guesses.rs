//! Somebody who guesses tokens, with thousands of machines: no address is ever refused for having guessed too often.

use std::io::BufRead;
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::time::Duration;
use std::{cell::Cell, thread};

use anyhow::{Context, Result, ensure};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::sync::mpsc;
use tokio::task::LocalSet;
use tokio::time::{MissedTickBehavior, interval};

/// Between two bursts of guesses.
const BURST: Duration = Duration::from_millis(10);
/// Guesses under way beyond which no more are begun: the machine can't do more.
const MOST: usize = 1000;
/// Addresses to guess from: enough that none comes to `limits.address.denials_per_minute`.
const ADDRESSES: u32 = 60_000;

/// Guesses so often, and says how many guesses have been refused so far for each line of standard input, until that ends.
pub(crate) async fn guess(server: SocketAddr, per_second: u32) -> Result<()> {
    let (asked, mut asks) = mpsc::unbounded_channel();
    thread::spawn(move || std::io::stdin().lock().lines().map_while(Result::ok).try_for_each(|_| asked.send(())));
    let (refused, under_way) = (Rc::new(Cell::new(0_u64)), Rc::new(Cell::new(0_usize)));
    let guessing = async {
        let mut bursts = interval(BURST);
        bursts.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let mut number = 0;
        loop {
            tokio::select! {
                _ = bursts.tick() => {}
                ask = asks.recv() => match ask {
                    Some(()) => println!("{}", refused.get()),
                    None => return Ok(()),
                },
            }
            for _ in 0..per_second / 100 {
                if under_way.get() >= MOST {
                    break;
                }
                under_way.update(|count| count + 1);
                number += 1;
                let (refused, under_way) = (Rc::clone(&refused), Rc::clone(&under_way));
                tokio::task::spawn_local(async move {
                    if one(server, number).await.is_ok() {
                        refused.update(|count| count + 1);
                    }
                    under_way.update(|count| count - 1);
                });
            }
        }
    };
    LocalSet::new().run_until(guessing).await
}

/// One guess, over a connection of its own.
async fn one(server: SocketAddr, number: u32) -> Result<()> {
    let socket = TcpSocket::new_v4()?;
    let from = u32::from(Ipv4Addr::new(127, 1, 0, 0)) + number % ADDRESSES;
    socket.bind((Ipv4Addr::from(from), 0).into())?;
    // No port is kept for it afterwards.
    SockRef::from(&socket).set_linger(Some(Duration::ZERO))?;
    let mut socket = socket.connect(server).await?;
    let request = format!(
        "GET /ws/live/fanout?token=guess-{number} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\n\
         Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    socket.write_all(request.as_bytes()).await?;
    let mut answer = [0; 512];
    let read = socket.read(&mut answer).await?;
    let answer = answer.get(..read).context("more than was read")?;
    ensure!(answer.starts_with(b"HTTP/1.1 403 "), "{}", String::from_utf8_lossy(answer));
    Ok(())
}
