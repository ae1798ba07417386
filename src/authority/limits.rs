//! How much there may be, and how much there is.
//!
//! | bound | of what |
//! |---|---|
//! | `node` | everything |
//! | `tenant` | all streams below one application: the path's first element |
//! | `path` | one stream |
//! | `address` | one address; of IPv6, one network of /64, which is what a subscriber has |
//!
//! Each is looked at when somebody wants in, so that those who are in keep what they have. A tenant whose viewers came within its
//! bytes a second may be beyond them later, when its streams have grown: its newest viewers have to go then, since what it takes
//! would be the other tenants'.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use bytesize::ByteSize;
use serde::{Deserialize, Serialize};

use super::{Action, Denial};

/// Most addresses that are remembered without being connected. Beyond, all of those are forgotten: a stranger that has that
/// many is not held by a bound for each.
const MAX_REMEMBERED: usize = 100_000;

/// By what part of itself the bound on memory may be exceeded for publishers whom somebody waits for: room for their streams'
/// newest pictures. Bounded, since a stranger may wait for many streams and then publish them.
const MEMORY_FOR_AWAITED: u64 = 4;

/// Over which time the bytes that go out are averaged: the length of a group of pictures.
const AVERAGED: f64 = 2.0;

/// How long a tenant may take more than it may: longer than a busy scene.
const OVERRUN: Duration = Duration::from_secs(10);

/// Bounds; `null` where there is none. All but the first are looked at when somebody wants in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// How long a connection that might may neither publish nor view. Default 2 min: time to choose another stream.
    #[serde(with = "humantime_serde")]
    pub idle_timeout: Duration,
    /// Of everything together.
    pub node: Node,
    /// Of each application.
    pub tenant: Tenant,
    /// Of each stream.
    pub path: Path,
    /// Of each address.
    pub address: Address,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            idle_timeout: Duration::from_secs(120),
            node: Node::default(),
            tenant: Tenant::default(),
            path: Path::default(),
            address: Address::default(),
        }
    }
}

/// Bounds of everything together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// Streams published at once. Default none: each is a connection, and those are bounded.
    pub publishers: Option<usize>,
    /// Streams viewed at once. Default none, as above.
    pub viewers: Option<usize>,
    /// Bytes a second to all viewers. Default none: what the line takes is not known here.
    pub egress: Option<ByteSize>,
    /// Memory of the whole gateway; a quarter more for publishers whom somebody waits for. Default none: what the machine has for it
    /// is not known here.
    pub memory: Option<ByteSize>,
}

/// Bounds of each application.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tenant {
    /// Streams published at once. Default none: one application is most gateways' only one.
    pub publishers: Option<usize>,
    /// Streams viewed at once. Default none, as above.
    pub viewers: Option<usize>,
    /// Bytes a second to its viewers. Its newest viewers go when they take more for 10 s. Default none, as above.
    pub egress: Option<ByteSize>,
}

/// Bounds of each stream.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Path {
    /// Viewers at once. Default none.
    pub viewers: Option<usize>,
}

/// Bounds of each address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Address {
    /// Connections at once. Default none: a whole office may have one address.
    pub connections: Option<usize>,
    /// Connections begun in a second, ten times as many at once. Default none, as above.
    pub connections_per_second: Option<u32>,
    /// Refused credentials in a minute, from which on connections and credentials are refused, whatever they are. Default 600: no
    /// office mistypes that often, and whoever guesses does not come far.
    pub denials_per_minute: Option<u32>,
}

impl Default for Address {
    fn default() -> Self {
        Self { connections: None, connections_per_second: None, denials_per_minute: Some(600) }
    }
}

/// What is in use.
#[derive(Debug, Default)]
pub(super) struct Counts {
    node: Used,
    tenants: HashMap<Arc<str>, Used>,
    paths: HashMap<Arc<str>, Used>,
    addresses: HashMap<IpAddr, Caller>,
    /// Bytes that the gateway has resident.
    memory: u64,
}

#[derive(Debug, Default)]
struct Used {
    publishers: usize,
    viewers: usize,
    /// What the viewers were expected to take when they came, bytes a second.
    expected: u64,
    meter: Arc<Meter>,
    /// What they have taken lately, bytes a second.
    measured: f64,
    seen: u64,
    /// How long they have been taking more than they may.
    over: Duration,
}

/// Bytes that went out.
#[derive(Debug, Default)]
pub(super) struct Meter(AtomicU64);

#[derive(Debug)]
struct Caller {
    connections: usize,
    /// Connections that may begin at once.
    allowance: f64,
    denials: f64,
    at: SystemTime,
}

impl Meter {
    pub(super) fn add(&self, bytes: u64) {
        self.0.fetch_add(bytes, Ordering::Relaxed);
    }
}

impl Counts {
    /// Makes room for one more, who will take `rate` bytes a second; gives what counts its bytes.
    pub(super) fn take(
        &mut self,
        limits: &Limits,
        action: Action,
        path: &Arc<str>,
        rate: u64,
    ) -> Result<Arc<Meter>, Denial> {
        let full = |what| Err(Denial::full(what));
        let tenant = tenant(path);
        let none = Used::default();
        let of_tenant = self.tenants.get(tenant).unwrap_or(&none);
        let of_path = self.paths.get(path).unwrap_or(&none);
        let (node, per_tenant) = (&limits.node, &limits.tenant);
        let memory = node.memory.map(|most| match action {
            // Who waits takes room already, and would for nothing.
            Action::Publish if of_path.viewers > 0 => most.as_u64().saturating_add(most.as_u64() / MEMORY_FOR_AWAITED),
            Action::Publish | Action::View => most.as_u64(),
        });
        if memory.is_some_and(|most| self.memory >= most) {
            return full("connections");
        }
        match action {
            Action::Publish => {
                if is_reached(node.publishers, self.node.publishers)
                    || is_reached(per_tenant.publishers, of_tenant.publishers)
                {
                    return full("publishers");
                }
            }
            Action::View => {
                if is_reached(node.viewers, self.node.viewers)
                    || is_reached(per_tenant.viewers, of_tenant.viewers)
                    || is_reached(limits.path.viewers, of_path.viewers)
                    || self.node.would_exceed(node.egress, rate)
                    || of_tenant.would_exceed(per_tenant.egress, rate)
                {
                    return full("viewers");
                }
            }
        }
        self.node.take(action, rate);
        self.paths.entry(Arc::clone(path)).or_default().take(action, rate);
        let of_tenant = self.tenants.entry(tenant.into()).or_default();
        of_tenant.take(action, rate);
        Ok(Arc::clone(&of_tenant.meter))
    }

    /// Gives the room back.
    pub(super) fn give_back(&mut self, action: Action, path: &Arc<str>, rate: u64) {
        self.node.give_back(action, rate);
        give_back(&mut self.paths, path, action, rate);
        give_back(&mut self.tenants, tenant(path), action, rate);
    }

    /// Whether a viewer of whatever stream would find no room.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        is_reached(limits.node.viewers, self.node.viewers)
            || self.node.would_exceed(limits.node.egress, 0)
            || limits.node.memory.is_some_and(|most| self.memory >= most.as_u64())
    }

    /// Takes in a connection from `address`, if it may have another.
    pub(super) fn arrive(&mut self, limits: &Address, address: IpAddr, now: SystemTime) -> bool {
        let group = group(address);
        if self.addresses.len() >= MAX_REMEMBERED && !self.addresses.contains_key(&group) {
            self.addresses.retain(|_, caller| caller.connections > 0);
        }
        let caller = self.addresses.entry(group).or_insert_with(|| Caller::new(limits, now));
        caller.refresh(limits, now);
        if is_reached(limits.connections, caller.connections) || caller.is_guessing(limits) {
            return false;
        }
        if limits.connections_per_second.is_some() {
            if caller.allowance < 1.0 {
                return false;
            }
            caller.allowance -= 1.0;
        }
        caller.connections += 1;
        true
    }

    /// Takes in that a connection has ended.
    pub(super) fn leave(&mut self, address: IpAddr) {
        if let Some(caller) = self.addresses.get_mut(&group(address)) {
            caller.connections = caller.connections.saturating_sub(1);
        }
    }

    /// Takes in that a credential was refused. Beyond what is bearable nothing more is counted: it is forgiven as soon.
    pub(super) fn denied(&mut self, limits: &Address, address: IpAddr, now: SystemTime) {
        if let Some(caller) = self.addresses.get_mut(&group(address)) {
            caller.refresh(limits, now);
            caller.denials += f64::from(u8::from(!caller.is_guessing(limits)));
        }
    }

    /// Whether so many credentials of `address` were refused that no other is looked at: one connection may bring any number.
    pub(super) fn is_guessing(&mut self, limits: &Address, address: IpAddr, now: SystemTime) -> bool {
        self.addresses.get_mut(&group(address)).is_some_and(|caller| {
            caller.refresh(limits, now);
            caller.is_guessing(limits)
        })
    }

    /// Measures what went out in `elapsed`, and forgets addresses about which there is nothing to remember. Gives the tenants that
    /// have been taking more than they may for too long, each with the number of its viewers that have to go.
    pub(super) fn measure(
        &mut self,
        limits: &Limits,
        elapsed: Duration,
        memory: u64,
        now: SystemTime,
    ) -> Vec<(Arc<str>, usize)> {
        self.memory = memory;
        let (mut total, mut overrun) = (0.0, Vec::new());
        for (tenant, used) in &mut self.tenants {
            used.measure(elapsed);
            total += used.measured;
            if let Some(most) = limits.tenant.egress
                && let too_many @ 1.. = used.overrun(most, elapsed)
            {
                overrun.push((Arc::clone(tenant), too_many));
            }
        }
        self.node.measured = total;
        let limits = &limits.address;
        self.addresses.retain(|_, caller| {
            caller.refresh(limits, now);
            caller.connections > 0 || !caller.is_fresh(limits)
        });
        overrun
    }
}

impl Used {
    fn take(&mut self, action: Action, rate: u64) {
        *self.count(action) += 1;
        self.expected += rate;
    }

    fn give_back(&mut self, action: Action, rate: u64) {
        let count = self.count(action);
        *count = count.saturating_sub(1);
        self.expected = self.expected.saturating_sub(rate);
    }

    fn count(&mut self, action: Action) -> &mut usize {
        match action {
            Action::Publish => &mut self.publishers,
            Action::View => &mut self.viewers,
        }
    }

    /// Viewers that came together have taken nothing yet, and those that are there may take more than they did.
    fn would_exceed(&self, most: Option<ByteSize>, rate: u64) -> bool {
        let used = self.expected.max(self.measured as u64);
        most.is_some_and(|most| used.saturating_add(rate) > most.as_u64())
    }

    fn measure(&mut self, elapsed: Duration) {
        let total = self.meter.0.load(Ordering::Relaxed);
        let seconds = elapsed.as_secs_f64().max(1e-3);
        let rate = (total - self.seen) as f64 / seconds;
        self.seen = total;
        self.measured += (rate - self.measured) * (seconds / AVERAGED).min(1.0);
    }

    /// How many viewers have to go for the others to find room in `most`; none before they have been over it for [`OVERRUN`].
    fn overrun(&mut self, most: ByteSize, elapsed: Duration) -> usize {
        let share = most.as_u64() as f64 / self.measured;
        self.over = if share < 1.0 { self.over + elapsed } else { Duration::ZERO };
        if self.over < OVERRUN {
            return 0;
        }
        // What that comes to is seen later.
        self.over = Duration::ZERO;
        self.viewers - (self.viewers as f64 * share) as usize
    }
}

impl Caller {
    fn new(limits: &Address, now: SystemTime) -> Self {
        Self { connections: 0, allowance: burst(limits), denials: 0.0, at: now }
    }

    /// A clock that was set back gives nothing.
    fn refresh(&mut self, limits: &Address, now: SystemTime) {
        let seconds = now.duration_since(self.at).unwrap_or_default().as_secs_f64();
        self.at = now;
        let per_second = f64::from(limits.connections_per_second.unwrap_or_default());
        self.allowance = (self.allowance + per_second * seconds).min(burst(limits));
        let forgiven = f64::from(limits.denials_per_minute.unwrap_or_default()) / 60.0;
        self.denials = (self.denials - forgiven * seconds).max(0.0);
    }

    fn is_guessing(&self, limits: &Address) -> bool {
        limits.denials_per_minute.is_some_and(|most| self.denials >= f64::from(most))
    }

    fn is_fresh(&self, limits: &Address) -> bool {
        self.allowance >= burst(limits) && self.denials <= 0.0
    }
}

/// Pages and players open several connections at once.
fn burst(limits: &Address) -> f64 {
    f64::from(limits.connections_per_second.unwrap_or_default()) * 10.0
}

fn is_reached(most: Option<usize>, count: usize) -> bool {
    most.is_some_and(|most| count >= most)
}

fn give_back<K>(all: &mut HashMap<Arc<str>, Used>, of: &K, action: Action, rate: u64)
where
    K: Hash + Eq + ?Sized,
    Arc<str>: std::borrow::Borrow<K>,
{
    if let Some(used) = all.get_mut(of) {
        used.give_back(action, rate);
        if used.publishers + used.viewers == 0 {
            all.remove(of);
        }
    }
}

/// The application's name up to its first `/`.
pub(super) fn tenant(path: &str) -> &str {
    path.split('/').next().unwrap_or_default()
}

/// Who counts as one.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & !u128::from(u64::MAX)).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn view(counts: &mut Counts, limits: &Limits, path: &str, rate: u64) -> bool {
        counts.take(limits, Action::View, &path.into(), rate).is_ok()
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn each_bound_is_for_what_it_is_of() {
        let mut limits = Limits::default();
        limits.node.viewers = Some(5);
        limits.tenant.viewers = Some(3);
        limits.path.viewers = Some(2);
        let mut counts = Counts::default();
        let taken: Vec<_> = ["a/x", "a/x", "a/x", "a/y", "a/y", "b/x", "b/x", "c/x"]
            .into_iter()
            .map(|path| view(&mut counts, &limits, path, 0))
            .collect();
        assert_eq!(taken, [true, true, false, true, false, true, true, false]);
        assert!(counts.is_full(&limits));
        counts.give_back(Action::View, &"a/x".into(), 0);
        assert!(view(&mut counts, &limits, "a/x", 0));
    }

    #[test]
    fn publishers_and_viewers_are_counted_apart() {
        let mut limits = Limits::default();
        limits.tenant.publishers = Some(1);
        let mut counts = Counts::default();
        assert!(counts.take(&limits, Action::Publish, &"a/x".into(), 0).is_ok());
        assert!(counts.take(&limits, Action::Publish, &"a/y".into(), 0).is_err());
        assert!(counts.take(&limits, Action::Publish, &"b/y".into(), 0).is_ok());
        assert!(view(&mut counts, &limits, "a/x", 0));
    }

    #[test]
    fn a_crowd_that_comes_at_once_is_held_to_what_it_will_take() {
        let mut limits = Limits::default();
        limits.tenant.egress = Some(ByteSize(1000));
        let mut counts = Counts::default();
        let taken = (0..100).filter(|_| view(&mut counts, &limits, "a/x", 100)).count();
        assert_eq!(taken, 10);
        assert!(view(&mut counts, &limits, "b/x", 100));
    }

    #[test]
    fn what_was_taken_counts_where_it_is_more_than_was_expected() {
        let mut limits = Limits::default();
        limits.node.egress = Some(ByteSize(1000));
        let mut counts = Counts::default();
        let meter = counts.take(&limits, Action::View, &"a/x".into(), 10).unwrap();
        for second in 1..10 {
            meter.add(2000);
            counts.measure(&limits, Duration::from_secs(1), 0, at(second));
        }
        assert!(!view(&mut counts, &limits, "b/x", 10));
        for second in 10..30 {
            counts.measure(&limits, Duration::from_secs(1), 0, at(second));
        }
        assert!(view(&mut counts, &limits, "b/x", 10));
    }

    #[test]
    fn a_tenant_that_has_grown_loses_as_many_viewers_as_it_has_too_many() {
        let mut limits = Limits::default();
        limits.tenant.egress = Some(ByteSize(1000));
        let mut counts = Counts::default();
        let meters: Vec<_> = (0..8).map(|_| counts.take(&limits, Action::View, &"a/x".into(), 100).unwrap()).collect();
        let other = counts.take(&limits, Action::View, &"b/x".into(), 100).unwrap();
        let mut second = 0;
        let mut take = |bytes| {
            second += 1;
            meters.iter().for_each(|meter| meter.add(bytes));
            other.add(900);
            counts.measure(&limits, Duration::from_secs(1), 0, at(second))
        };
        // A busy scene.
        assert!((0..3).all(|_| take(1000).is_empty()));
        assert!((0..20).all(|_| take(100).is_empty()));
        let overrun: Vec<_> = (0..10).flat_map(|_| take(250)).collect();
        assert_eq!(overrun, [("a".into(), 4)]);
    }

    #[test]
    fn memory_that_runs_out_is_nobody_s_more() {
        let mut limits = Limits::default();
        limits.node.memory = Some(ByteSize(1000));
        let mut counts = Counts::default();
        assert!(view(&mut counts, &limits, "a/x", 0));
        counts.measure(&limits, Duration::from_secs(1), 1000, at(1));
        assert!(!view(&mut counts, &limits, "a/x", 0));
        assert!(counts.take(&limits, Action::Publish, &"a/y".into(), 0).is_err());
    }

    #[test]
    fn a_publisher_whom_somebody_waits_for_may_have_a_little_more_memory() {
        let mut limits = Limits::default();
        limits.node.memory = Some(ByteSize(1000));
        let mut counts = Counts::default();
        assert!(view(&mut counts, &limits, "a/x", 0));
        counts.measure(&limits, Duration::from_secs(1), 1249, at(1));
        assert!(counts.take(&limits, Action::Publish, &"a/x".into(), 0).is_ok());
        assert!(counts.take(&limits, Action::Publish, &"a/y".into(), 0).is_err());
        counts.measure(&limits, Duration::from_secs(1), 1250, at(1));
        assert!(counts.take(&limits, Action::Publish, &"a/x".into(), 0).is_err());
    }

    #[test]
    fn an_address_has_so_many_connections_at_once() {
        let limits = Address { connections: Some(2), ..Address::default() };
        let mut counts = Counts::default();
        let one = |last: u16| IpAddr::from([0x2001, 0xdb8, 0, 1, 0, 0, 0, last]);
        assert!(counts.arrive(&limits, one(1), at(0)));
        assert!(counts.arrive(&limits, one(2), at(0)));
        assert!(!counts.arrive(&limits, one(3), at(0)));
        assert!(counts.arrive(&limits, HERE, at(0)));
        counts.leave(one(1));
        assert!(counts.arrive(&limits, one(3), at(0)));
    }

    #[test]
    fn an_address_begins_so_many_a_second() {
        let limits = Address { connections_per_second: Some(2), ..Address::default() };
        let mut counts = Counts::default();
        let count = |counts: &mut Counts, at| (0..100).filter(|_| counts.arrive(&limits, HERE, at)).count();
        assert_eq!(count(&mut counts, at(0)), 20);
        assert_eq!(count(&mut counts, at(3)), 6);
        assert_eq!(count(&mut counts, at(1)), 0);
    }

    #[test]
    fn who_guesses_is_kept_out_for_a_while() {
        let limits = Address { denials_per_minute: Some(60), ..Address::default() };
        let mut counts = Counts::default();
        assert!(counts.arrive(&limits, HERE, at(0)));
        (0..1000).for_each(|_| counts.denied(&limits, HERE, at(0)));
        assert!(counts.is_guessing(&limits, HERE, at(0)));
        assert!(!counts.arrive(&limits, HERE, at(0)));
        assert!(!counts.is_guessing(&limits, HERE, at(2)));
        assert!(counts.arrive(&limits, HERE, at(2)));
    }

    #[test]
    fn nothing_is_remembered_of_who_is_gone() {
        let mut limits = Limits::default();
        limits.address.connections_per_second = Some(1);
        let mut counts = Counts::default();
        assert!(counts.arrive(&limits.address, HERE, at(0)));
        counts.leave(HERE);
        counts.measure(&limits, Duration::from_secs(1), 0, at(0));
        assert_eq!(counts.addresses.len(), 1);
        counts.measure(&limits, Duration::from_secs(1), 0, at(2));
        assert_eq!(counts.addresses.len(), 0);
    }

    #[test]
    fn a_crowd_of_addresses_is_forgotten() {
        let limits = Address { connections_per_second: Some(1), ..Address::default() };
        let mut counts = Counts::default();
        for number in 0..=MAX_REMEMBERED as u32 {
            let address = IpAddr::from(number.to_be_bytes());
            assert!(counts.arrive(&limits, address, at(0)));
            counts.leave(address);
        }
        assert!(counts.addresses.len() < 10);
    }
}
