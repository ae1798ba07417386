//! Who wants in: what each is granted, by what policy and within what bounds.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use tokio::sync::mpsc;

use super::ask::{Asking, Grant, Wish};
use super::config::{Config, Hook};
use super::hook::{self, Heard, Question, Verdict};
use super::limits::{Counts, Limits};
use super::policy::{Basis, Claim, Decision, Denial, Policy, PolicyError};
use super::session::{Cut, Entrance, Held, Leash, Life, Session, SessionId, Summary};
use super::{Action, Secret};
use crate::wire::url::Url;

/// Most names that are revoked while the gateway runs; the oldest tokens among them have expired long since. Beyond, revoking
/// still cuts off, and says that it can't be remembered.
const MAX_REVOKED: usize = 100_000;

/// The gateway's authority. Cloning gives another handle to the same.
#[derive(Debug, Clone)]
pub struct Authority {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    rules: RwLock<Arc<Rules>>,
    table: Mutex<Table>,
    asked: Mutex<hook::Asked>,
    questions: Mutex<Option<mpsc::Receiver<Question>>>,
    last: AtomicU64,
    denials: [AtomicU64; Denial::NAMES.len()],
}

/// The configuration in force.
#[derive(Debug)]
struct Rules {
    policy: Policy,
    limits: Limits,
    hook: Hook,
}

/// Everybody who is here.
#[derive(Debug, Default)]
struct Table {
    sessions: HashMap<SessionId, Session>,
    counts: Counts,
    revoked: HashSet<String>,
    /// How often it was said that somebody may no longer do what they might.
    changes: u64,
}

/// From where and when something was asked for, or answered by the hook, and after how many changes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asked {
    address: IpAddr,
    pub(super) at: SystemTime,
    changes: u64,
}

/// A connection that asks for streams. Dropping it takes it off the list.
#[derive(Debug)]
pub struct Visitor {
    pub(super) authority: Authority,
    pub(super) id: SessionId,
    address: IpAddr,
    /// What it brought when it connected.
    credential: Option<Secret>,
    /// Its questions to the hook have one each, by which they are counted.
    asker: Arc<()>,
}

/// A connection's place among those of its address. Dropping it gives it back.
#[derive(Debug)]
pub struct Arrival {
    authority: Authority,
    address: IpAddr,
}

impl Default for Authority {
    /// One that lets everybody do everything.
    fn default() -> Self {
        Self::with(Rules { policy: Policy::open(), limits: Limits::default(), hook: Hook::default() })
    }
}

impl Authority {
    /// An authority by this configuration.
    ///
    /// # Errors
    /// [`PolicyError`].
    pub fn new(config: &Config, limits: Limits) -> Result<Self, PolicyError> {
        Ok(Self::with(Rules { policy: Policy::new(config)?, limits, hook: config.hook.clone() }))
    }

    fn with(rules: Rules) -> Self {
        let (asked, questions) = hook::Asked::new();
        Self {
            shared: Arc::new(Shared {
                rules: RwLock::new(Arc::new(rules)),
                table: Mutex::default(),
                asked: Mutex::new(asked),
                questions: Mutex::new(Some(questions)),
                last: AtomicU64::default(),
                denials: Default::default(),
            }),
        }
    }

    /// Takes another configuration, and cuts off whoever may no longer do by it what it does. What the hook has granted stays.
    ///
    /// # Errors
    /// [`PolicyError`]: all is as before.
    pub fn replace(&self, config: &Config, limits: Limits, now: SystemTime) -> Result<(), PolicyError> {
        let rules = Arc::new(Rules { policy: Policy::new(config)?, limits, hook: config.hook.clone() });
        *self.shared.rules.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&rules);
        lock(&self.shared.asked).forget();
        let mut table = self.table();
        table.changes += 1;
        let Table { sessions, revoked, .. } = &mut *table;
        for session in sessions.values_mut() {
            let address = session.address.ip();
            if session.uses.values().any(|held| held.denial(&rules.policy, revoked, address, now).is_some()) {
                session.cut(Cut::Revoked);
            }
        }
        Ok(())
    }

    /// Takes in a connection from `address`; `None`: it may not have another, and is to be closed.
    pub fn arrive(&self, address: IpAddr, now: SystemTime) -> Option<Arrival> {
        let rules = self.rules();
        let has_come = self.table().counts.arrive(&rules.limits.address, address, now);
        has_come.then(|| Arrival { authority: self.clone(), address })
    }

    /// Takes in a connection that may ask for streams. It is to be ended when the leash is done.
    pub fn visit(
        &self,
        address: SocketAddr,
        entrance: Entrance,
        credential: Option<Secret>,
        now: SystemTime,
    ) -> (Visitor, Leash) {
        let id = SessionId(self.number());
        let (session, leash) = Session::new(address, entrance, now);
        self.table().sessions.insert(id, session);
        let (authority, asker) = (self.clone(), Arc::default());
        (Visitor { authority, id, address: address.ip(), credential, asker }, leash)
    }

    /// Everybody who is here, in the order in which they came.
    pub fn sessions(&self) -> Vec<Summary> {
        let mut all: Vec<_> = self.table().sessions.iter().map(|(&id, session)| session.summary(id)).collect();
        all.sort_by_key(|session| session.id);
        all
    }

    /// Ends a session; whether there was one.
    pub fn kick(&self, id: SessionId) -> bool {
        self.cut(Cut::Kicked, |session, _| session == id) > 0
    }

    /// Ends all sessions that do this with the stream at `path`; how many.
    pub fn kick_from(&self, path: &str, action: Action) -> usize {
        self.cut(Cut::Kicked, |_, session| session.uses.values().any(|u| u.action == action && &*u.path == path))
    }

    /// Takes a token's `jti`, a person's `sub` or a key's name as revoked from now on, until the gateway is started anew (put it
    /// into the configuration too), and ends the sessions that are there by it; how many.
    pub fn revoke(&self, name: &str) -> usize {
        let mut table = self.table();
        table.changes += 1;
        if table.revoked.len() < MAX_REVOKED {
            table.revoked.insert(name.into());
        } else {
            tracing::warn!("too many names revoked while running; put them into authority.revoked");
        }
        drop(table);
        let is_it = |held: &Held| {
            held.credential.is_some() && (&*held.basis.name == name || held.basis.token.as_deref() == Some(name))
        };
        self.cut(Cut::Revoked, |_, session| session.uses.values().any(|held| is_it(held)))
    }

    /// Ends what has expired, is idle or is too much, and measures. To be called several times a second; `memory` is what the gateway
    /// has resident, and
    /// `elapsed` the time since the last call, whatever the time of day says.
    pub fn sweep(&self, memory: u64, elapsed: Duration, now: SystemTime) {
        let rules = self.rules();
        let mut table = self.table();
        for (tenant, too_many) in table.counts.measure(&rules.limits, elapsed, memory, now) {
            table.cut_newest(&tenant, too_many);
        }
        for session in table.sessions.values_mut() {
            let mut is_over = false;
            for held in session.uses.values_mut() {
                is_over |= held.life.is_over_after(elapsed);
            }
            if is_over {
                session.cut(Cut::Expired);
            }
            if session.is_idle_after(elapsed, rules.limits.idle_timeout) {
                session.cut(Cut::Idle);
            }
        }
    }

    /// Whether anybody may do it.
    pub fn is_open(&self, action: Action) -> bool {
        self.rules().policy.is_open(action)
    }

    /// Whether a page of `origin` may play, that asks for `host`.
    pub fn admits(&self, origin: &str, host: Option<&str>) -> bool {
        self.rules().policy.admits(origin, host)
    }

    /// Whether one more viewer would find no room, whatever it is to play.
    ///
    /// # Errors
    /// [`Denial::Full`].
    pub fn check_room(&self) -> Result<(), Denial> {
        let rules = self.rules();
        let is_full = self.table().counts.is_full(&rules.limits);
        if is_full { Err(self.counted(Denial::full("viewers"))) } else { Ok(()) }
    }

    /// How often something was denied, and why.
    pub fn denials(&self) -> impl Iterator<Item = (&'static str, u64)> + use<'_> {
        let counts = self.shared.denials.iter().map(|count| count.load(Ordering::Relaxed));
        Denial::NAMES.into_iter().zip(counts)
    }

    /// What the hook is to be asked; for the one who asks it.
    pub fn questions(&self) -> Option<mpsc::Receiver<Question>> {
        lock(&self.shared.questions).take()
    }

    /// Where the hook is, and how long it may take.
    pub fn hook(&self) -> (Option<Url>, Duration) {
        let rules = self.rules();
        (rules.hook.url.clone(), rules.hook.timeout)
    }

    /// Takes in what the hook has said.
    pub fn answer(&self, question: &Question, verdict: Verdict, now: SystemTime) {
        let cache = self.rules().hook.cache;
        let denied = lock(&self.shared.asked).answer(question, verdict, cache, now);
        if let Some((denial, count)) = denied {
            (0..count).for_each(|_| self.denied(question.address, &denial, now));
        }
    }

    /// Decides about a claim without taking room for it. What the hook alone knows is denied: [`Denial::Unanswered`].
    ///
    /// # Errors
    /// [`Denial`].
    pub fn decide(&self, claim: &Claim<'_>, now: SystemTime) -> Result<Basis, Denial> {
        match self.decision(claim, now) {
            Decision::Granted(basis) => Ok(basis),
            Decision::Denied(denial) => {
                self.denied(claim.address, &denial, now);
                Err(denial)
            }
            Decision::Unknown => Err(Denial::Unanswered),
        }
    }

    /// Whether somebody may be told that there is such a stream: whoever may view it. What the hook alone knows is told to nobody.
    ///
    /// # Errors
    /// [`Denial`], which is counted only as a guess.
    pub fn may_know(&self, claim: &Claim<'_>, now: SystemTime) -> Result<(), Denial> {
        match self.decision(claim, now) {
            Decision::Granted(_) => Ok(()),
            Decision::Denied(denial) => {
                if denial.is_guess() {
                    self.denied(claim.address, &denial, now);
                }
                Err(denial)
            }
            Decision::Unknown => Err(Denial::Unanswered),
        }
    }

    fn decision(&self, claim: &Claim<'_>, now: SystemTime) -> Decision {
        let rules = self.rules();
        let is_guessing = || self.table().counts.is_guessing(&rules.limits.address, claim.address, now);
        if claim.credential.is_some() && !rules.policy.is_open(claim.action) && is_guessing() {
            return Decision::Denied(Denial::Wrong);
        }
        let is_revoked = |name: &str| self.table().revoked.contains(name);
        rules.policy.decide(claim, &is_revoked, now)
    }

    fn cut(&self, why: Cut, which: impl Fn(SessionId, &Session) -> bool) -> usize {
        let mut table = self.table();
        let found = table.sessions.iter_mut().filter(|(id, session)| which(**id, session));
        found.map(|(_, session)| usize::from(session.cut(why))).sum()
    }

    /// Takes room for what is granted, unless it was taken back since `asked`.
    pub(super) fn hold(&self, session: SessionId, mut held: Held, asked: Asked) -> Result<Grant, Denial> {
        held.life = Life::new(&held.basis, asked.at);
        let number = self.number();
        let mut table = self.table();
        // What is written while the table is locked sees what is held in it.
        let rules = self.rules();
        let Table { sessions, counts, revoked, changes, .. } = &mut *table;
        if *changes != asked.changes
            && let Some(denial) = held.denial(&rules.policy, revoked, asked.address, asked.at)
        {
            return Err(self.counted(denial));
        }
        let taken = counts.take(&rules.limits, held.action, &held.path, held.rate);
        let meter = taken.map_err(|denial| self.counted(denial))?;
        match sessions.get_mut(&session) {
            Some(session) => session.hold(number, held, meter),
            // It has gone meanwhile.
            None => counts.give_back(held.action, &held.path, held.rate),
        }
        Ok(Grant { authority: self.clone(), session, number })
    }

    /// Gives the room back.
    pub(super) fn let_go(&self, session: SessionId, number: u64) {
        let mut table = self.table();
        let Table { sessions, counts, .. } = &mut *table;
        if let Some(held) = sessions.get_mut(&session).and_then(|session| session.uses.remove(&number)) {
            counts.give_back(held.action, &held.path, held.rate);
        }
    }

    /// Notes that somebody was denied something.
    fn denied(&self, address: IpAddr, denial: &Denial, now: SystemTime) {
        self.counted(*denial);
        if denial.is_guess() {
            let rules = self.rules();
            self.table().counts.denied(&rules.limits.address, address, now);
        }
    }

    fn counted(&self, denial: Denial) -> Denial {
        let number = Denial::NAMES.iter().position(|name| *name == denial.name());
        if let Some(count) = number.and_then(|number| self.shared.denials.get(number)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        denial
    }

    fn number(&self) -> u64 {
        self.shared.last.fetch_add(1, Ordering::Relaxed) + 1
    }

    fn rules(&self) -> Arc<Rules> {
        Arc::clone(&self.shared.rules.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        lock(&self.shared.table)
    }
}

/// Every critical section leaves what is behind the lock whole, also when it panics.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Visitor {
    /// Its name.
    pub fn id(&self) -> SessionId {
        self.id
    }

    /// Asks for a stream. Without a credential of its own, the wish has the one that the connection brought.
    pub fn ask(&self, wish: Wish<'_>, now: SystemTime) -> Asking {
        let Wish { action, path, credential, rate } = wish;
        let credential = credential.or_else(|| self.credential.clone());
        let claim = Claim { action, path, address: self.address, credential: credential.as_ref() };
        let asked = Asked { address: self.address, at: now, changes: self.authority.table().changes };
        let decided = match self.authority.decision(&claim, now) {
            Decision::Granted(basis) => Heard::Known(Ok(basis)),
            Decision::Denied(denial) => Heard::Known(Err(denial)),
            Decision::Unknown => {
                let (path, credential, asker) = (path.into(), credential.clone(), Arc::clone(&self.asker));
                let question = Question { action, path, address: self.address, credential, asker };
                lock(&self.authority.shared.asked).ask(question, now)
            }
        };
        let denied = match &decided {
            Heard::Known(Err(denial)) => Some(denial),
            Heard::Known(Ok(_)) | Heard::Waiting(_) => None,
        };
        if let Some(denial) = denied {
            self.authority.denied(self.address, denial, now);
        }
        Asking::new(self, asked, decided, action, path.into(), rate, credential)
    }

    /// Counts bytes that were sent to it, for the tenant that last let it view something.
    pub fn spend(&self, bytes: u64) {
        if let Some(meter) = self.authority.table().sessions.get(&self.id).and_then(|session| session.meter.as_ref()) {
            meter.add(bytes);
        }
    }
}

impl Drop for Visitor {
    fn drop(&mut self) {
        let mut table = self.authority.table();
        let Table { sessions, counts, .. } = &mut *table;
        if let Some(session) = sessions.remove(&self.id) {
            for held in session.uses.into_values() {
                counts.give_back(held.action, &held.path, held.rate);
            }
        }
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        self.authority.table().counts.leave(self.address);
    }
}

impl Table {
    /// Ends the sessions with so many views of the tenant's streams: those that came last. Who publishes stays.
    fn cut_newest(&mut self, of: &str, mut count: usize) {
        let viewing = self.sessions.iter_mut().map(|(id, session)| (id, session.views(of), session));
        let mut viewing: Vec<_> = viewing.filter(|(_, views, _)| *views > 0).collect();
        viewing.sort_by_key(|(id, ..)| Reverse(**id));
        for (_, views, session) in viewing {
            if count == 0 {
                break;
            }
            count = count.saturating_sub(views);
            session.cut(Cut::NoRoom);
        }
    }
}
