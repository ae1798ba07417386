//! What is done several times a second whatever is connected: sessions whose right has ended are cut off, and what is in use is
//! measured.

use std::fs;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::authority::Authority;
use crate::clock::Clock;

/// How often. Whoever's right has ended is gone within a second.
const SWEEP: Duration = Duration::from_millis(250);

/// Does it for ever. Cancel safe.
pub async fn sweep(authority: Authority, clock: Clock) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last = clock.now();
    loop {
        ticks.tick().await;
        let now = clock.now();
        authority.sweep(resident_memory(), now - last, clock.wall());
        last = now;
    }
}

/// Bytes of this process that are in memory; 0 where the system does not tell.
fn resident_memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib: Option<u64> = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse().ok());
    kib.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn the_memory_in_use_is_told() {
        assert!(resident_memory() > 1 << 20);
    }
}
