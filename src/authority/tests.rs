//! Who is here, and how they go.

use std::net::SocketAddr;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytesize::ByteSize;

use super::*;

const KEY: &str = "0123456789abcdef0123456789abcdef";
/// Some time, of which who has just come has not had a part.
const SWEEP: Duration = Duration::from_millis(250);

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn peer() -> SocketAddr {
    "192.0.2.7:1000".parse().unwrap()
}

fn closed() -> Config {
    let key = TokenKey { name: "shop".into(), algorithm: Algorithm::Hs256, key: Secret::new(KEY.into()) };
    Config { publish: Rule::Closed, view: Rule::Closed, tokens: vec![key], ..Config::default() }
}

fn authority(config: &Config) -> Authority {
    Authority::new(config, Limits::default()).unwrap()
}

fn token(id: &str, exp: u64) -> Secret {
    let claims = Claims {
        paths: vec!["live/**".parse().unwrap()],
        actions: vec![Action::View],
        exp,
        jti: Some(id.into()),
        ..Claims::default()
    };
    Signer::new(Algorithm::Hs256, &Secret::new(KEY.into())).unwrap().sign(&claims)
}

fn ask(visitor: &Visitor, credential: Option<Secret>) -> Asking {
    visitor.ask(wish("live/film", credential), at(0))
}

fn wish(path: &str, credential: Option<Secret>) -> Wish<'_> {
    Wish { action: Action::View, path, credential, rate: 0 }
}

fn now<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}

/// Somebody who views by this token.
fn view(authority: &Authority, token: Secret) -> (Visitor, Leash, Grant) {
    let (visitor, leash) = visit(authority);
    let grant = now(ask(&visitor, Some(token))).unwrap().unwrap();
    (visitor, leash, grant)
}

fn visit(authority: &Authority) -> (Visitor, Leash) {
    authority.visit(peer(), Entrance::Quic, None, at(0))
}

#[test]
fn whoever_is_there_is_told_with_what_it_does_until_it_goes() {
    let authority = Authority::default();
    let (visitor, _leash) = visit(&authority);
    let grant = now(ask(&visitor, None)).unwrap().unwrap();
    let told = authority.sessions();
    assert_eq!((told[0].id, told[0].address, told[0].entrance), (visitor.id(), peer(), Entrance::Quic));
    assert_eq!(told[0].uses, [Use { action: Action::View, path: "live/film".into(), by: "open".into() }]);
    drop(grant);
    assert_eq!(authority.sessions()[0].uses, []);
    drop(visitor);
    assert_eq!(authority.sessions(), []);
}

#[test]
fn whoever_does_nothing_for_long_is_cut_and_nobody_who_does_or_has_just_stopped() {
    let second = Duration::from_secs(1);
    let limits = Limits { idle_timeout: 2 * second, ..Limits::default() };
    let authority = Authority::new(&Config::default(), limits).unwrap();
    let sweep = |elapsed| authority.sweep(0, elapsed, at(0));
    let ((_idle, mut idle), (busy, mut leash)) = (visit(&authority), visit(&authority));
    let grant = now(ask(&busy, None)).unwrap().unwrap();
    // Who comes behind a long pause has not been idle in it.
    sweep(9 * second);
    sweep(second);
    assert_eq!(now(&mut idle), None);
    sweep(second);
    assert_eq!((now(&mut idle), now(&mut leash)), (Some(Cut::Idle), None));
    drop(grant);
    sweep(second);
    sweep(second);
    drop(now(ask(&busy, None)).unwrap().unwrap());
    sweep(second);
    sweep(second);
    assert_eq!(now(&mut leash), None);
    sweep(second);
    assert_eq!(now(&mut leash), Some(Cut::Idle));
}

#[test]
fn whoever_is_kicked_is_cut_and_nobody_else() {
    let authority = Authority::default();
    let (first, mut first_leash) = visit(&authority);
    let (_second, mut second_leash) = visit(&authority);
    assert!(authority.kick(first.id()));
    assert!(!authority.kick(first.id()));
    assert_eq!(now(&mut first_leash), Some(Cut::Kicked));
    assert_eq!(now(&mut second_leash), None);
}

#[test]
fn all_viewers_of_a_stream_are_kicked_together() {
    let authority = Authority::default();
    let (visitor, mut leash) = visit(&authority);
    let _grant = now(ask(&visitor, None)).unwrap().unwrap();
    assert_eq!(authority.kick_from("live/film", Action::Publish), 0);
    assert_eq!(authority.kick_from("live/film", Action::View), 1);
    assert_eq!(now(&mut leash), Some(Cut::Kicked));
}

#[test]
fn whoever_guesses_over_one_connection_is_not_listened_to_for_a_while() {
    let authority = Authority::new(&closed(), Limits::default()).unwrap();
    let _arrival = authority.arrive(peer().ip(), at(0)).unwrap();
    let (visitor, _leash) = visit(&authority);
    for number in 0..600 {
        let guess = Secret::new(format!("guess-{number}"));
        assert_eq!(now(ask(&visitor, Some(guess))).unwrap().unwrap_err(), Denial::Wrong);
    }
    assert_eq!(now(ask(&visitor, Some(token("a", 1000)))).unwrap().unwrap_err(), Denial::Wrong);
    let credential = token("a", 1000);
    let claim = Claim { action: Action::View, path: "live/film", address: peer().ip(), credential: Some(&credential) };
    assert!(authority.decide(&claim, at(0)).is_err());
    assert!(authority.decide(&claim, at(2)).is_ok());
}

#[test]
fn an_expired_token_cuts_what_it_has_granted() {
    let authority = authority(&closed());
    let (_visitor, mut leash, _grant) = view(&authority, token("a", 100));
    authority.sweep(0, SWEEP, at(0));
    authority.sweep(0, seconds(99), at(99));
    assert_eq!(now(&mut leash), None);
    authority.sweep(0, seconds(1), at(100));
    assert_eq!(now(&mut leash), Some(Cut::Expired));
}

#[test]
fn a_clock_that_is_set_neither_ends_a_session_nor_makes_it_longer() {
    let authority = authority(&closed());
    let (_visitor, mut leash, _grant) = view(&authority, token("a", 100));
    let (_other, mut open, _open) = view(&authority, token("b", 1_000_000));
    authority.sweep(0, SWEEP, at(0));
    for day in [at(3600), UNIX_EPOCH - seconds(3600), at(60)] {
        authority.sweep(0, seconds(25), day);
        assert!(authority.arrive([192, 0, 2, 7].into(), day).is_some());
        assert_eq!(now(&mut leash), None);
    }
    authority.sweep(0, seconds(25), at(1));
    assert_eq!((now(&mut leash), now(&mut open)), (Some(Cut::Expired), None));
}

#[test]
fn a_revoked_token_cuts_and_grants_no_more() {
    let authority = authority(&closed());
    let (_visitor, mut leash, _grant) = view(&authority, token("a", 100));
    let (other, mut other_leash, _other) = view(&authority, token("b", 100));
    assert_eq!(authority.revoke("a"), 1);
    assert_eq!(now(&mut leash), Some(Cut::Revoked));
    assert_eq!(now(&mut other_leash), None);
    assert_eq!(now(ask(&other, Some(token("a", 100)))).unwrap().unwrap_err(), Denial::Revoked);
}

#[test]
fn another_policy_cuts_those_that_it_does_not_allow() {
    let authority = Authority::default();
    let (stranger, mut strangers) = visit(&authority);
    let (friend, mut friends) = visit(&authority);
    let _stranger = now(ask(&stranger, None)).unwrap().unwrap();
    let _friend = now(ask(&friend, Some(token("a", 100)))).unwrap().unwrap();
    authority.replace(&closed(), Limits::default(), at(1)).unwrap();
    assert_eq!(now(&mut strangers), Some(Cut::Revoked));
    assert_eq!(now(&mut friends), None);
}

#[test]
fn what_is_revoked_before_it_is_held_is_not_granted() {
    let authority = authority(&closed());
    let (visitor, _leash) = visit(&authority);
    let (revoked, other) = (ask(&visitor, Some(token("a", 100))), ask(&visitor, Some(token("b", 100))));
    authority.revoke("a");
    assert_eq!(now(revoked).unwrap().unwrap_err(), Denial::Revoked);
    assert!(now(other).unwrap().is_ok());
}

#[test]
fn what_another_policy_denies_before_it_is_held_is_not_granted() {
    let authority = Authority::default();
    let (visitor, _leash) = visit(&authority);
    let (stranger, friend) = (ask(&visitor, None), ask(&visitor, Some(token("a", 100))));
    authority.replace(&closed(), Limits::default(), at(1)).unwrap();
    assert_eq!(now(stranger).unwrap().unwrap_err(), Denial::Missing);
    assert!(now(friend).unwrap().is_ok());
}

#[test]
fn a_policy_that_can_t_be_used_changes_nothing() {
    let authority = Authority::default();
    let mut broken = closed();
    broken.tokens[0].key = Secret::new("short".into());
    assert!(authority.replace(&broken, Limits::default(), at(1)).is_err());
    assert!(authority.is_open(Action::View));
}

#[test]
fn what_the_connection_brought_is_taken_where_nothing_else_comes() {
    let authority = authority(&closed());
    let (visitor, _leash) = authority.visit(peer(), Entrance::WebTransport, Some(token("a", 100)), at(0));
    assert!(now(ask(&visitor, None)).unwrap().is_ok());
    assert_eq!(now(ask(&visitor, Some(Secret::new("x".into())))).unwrap().unwrap_err(), Denial::Wrong);
}

fn hooked() -> Authority {
    authority(&Config { hook: Hook { url: "http://h/".parse().ok(), ..Hook::default() }, ..closed() })
}

#[test]
fn a_connection_that_does_not_wait_for_the_hook_s_answers_leaves_room_for_others() {
    let authority = hooked();
    let mut questions = authority.questions().unwrap();
    let (stranger, _leash) = visit(&authority);
    for n in 0..2000 {
        drop(stranger.ask(wish(&format!("live/{n}"), None), at(0)));
    }
    let (visitor, _leash) = visit(&authority);
    assert!(now(ask(&visitor, None)).is_none());
    while let Ok(question) = questions.try_recv() {
        authority.answer(&question, Verdict::Refused, at(0));
    }
    assert!(now(stranger.ask(wish("live/last", None), at(0))).is_none());
}

#[test]
fn what_the_hook_grants_lasts_from_its_answer_on_whatever_was_done_to_the_clock_meanwhile() {
    for (asked, answered) in [(0, 0), (0, 5), (0, 3600), (3600, 0)] {
        let authority = hooked();
        let mut questions = authority.questions().unwrap();
        let (visitor, mut leash) = visit(&authority);
        let mut asking = visitor.ask(wish("live/film", None), at(asked));
        assert!(now(&mut asking).is_none());
        let verdict = Verdict::Allowed { lifetime: Some(seconds(60)) };
        authority.answer(&questions.try_recv().unwrap(), verdict, at(answered));
        let _grant = now(&mut asking).unwrap().unwrap();
        authority.sweep(0, SWEEP, at(answered));
        authority.sweep(0, seconds(59), at(answered + 59));
        assert_eq!(now(&mut leash), None, "{asked} {answered}");
        authority.sweep(0, seconds(1), at(answered + 60));
        assert_eq!(now(&mut leash), Some(Cut::Expired), "{asked} {answered}");
    }
}

#[test]
fn the_hook_is_waited_for() {
    let authority = hooked();
    let mut questions = authority.questions().unwrap();
    let (visitor, mut leash) = visit(&authority);
    let mut asking = ask(&visitor, Some(Secret::new("x".into())));
    assert!(now(&mut asking).is_none());
    let question = questions.try_recv().unwrap();
    assert_eq!((question.action, &*question.path, question.address), (Action::View, "live/film", peer().ip()));
    authority.answer(&question, Verdict::Allowed { lifetime: Some(Duration::from_secs(60)) }, at(0));
    let _grant = now(&mut asking).unwrap().unwrap();
    authority.sweep(0, SWEEP, at(0));
    authority.sweep(0, seconds(60), at(60));
    assert_eq!(now(&mut leash), Some(Cut::Expired));
}

#[test]
fn room_is_given_back_with_the_grant_and_with_the_visitor() {
    let mut limits = Limits::default();
    limits.node.viewers = Some(1);
    let authority = Authority::new(&Config::default(), limits).unwrap();
    let (first, _first_leash) = visit(&authority);
    let (second, _second_leash) = visit(&authority);
    let grant = now(ask(&first, None)).unwrap().unwrap();
    let denial = now(ask(&second, None)).unwrap().unwrap_err();
    assert!(denial.retry_after().is_some(), "{denial}");
    assert!(authority.check_room().is_err());
    drop(grant);
    let grant = now(ask(&second, None)).unwrap().unwrap();
    drop(second);
    assert!(authority.check_room().is_ok());
    drop(grant);
    assert!(now(ask(&first, None)).unwrap().is_ok());
}

#[test]
fn whoever_came_last_goes_when_its_tenant_takes_too_much() {
    let mut limits = Limits::default();
    limits.tenant.egress = Some(ByteSize(1000));
    let authority = Authority::new(&Config::default(), limits).unwrap();
    let mut viewers: Vec<_> = (0..3).map(|_| visit(&authority)).collect();
    let view = |visitor| now(ask(visitor, None)).unwrap().unwrap();
    // Of six views, three have to go; the one that came last has two of them.
    let _grants = [0, 0, 1, 1, 2, 2].map(|viewer: usize| view(&viewers[viewer].0));
    let (publisher, mut leash) = visit(&authority);
    let wish = |action| Wish { action, path: "live/a", credential: None, rate: 0 };
    let _published = now(publisher.ask(wish(Action::Publish), at(0))).unwrap().unwrap();
    for second in 0..11 {
        assert!(viewers.iter_mut().all(|(_, leash)| now(leash).is_none()), "second {second}");
        viewers.iter().for_each(|(visitor, _)| visitor.spend(600));
        authority.sweep(0, seconds(1), at(second));
    }
    let cut: Vec<_> = viewers.iter_mut().map(|(_, leash)| now(leash)).collect();
    assert_eq!(cut, [None, Some(Cut::NoRoom), Some(Cut::NoRoom)]);
    assert_eq!(now(&mut leash), None);
}

#[test]
fn what_was_sent_counts_for_the_tenant_also_when_nothing_is_played_any_more() {
    let mut limits = Limits::default();
    limits.tenant.egress = Some(ByteSize(1000));
    let authority = Authority::new(&Config::default(), limits).unwrap();
    let (stays, mut leash) = visit(&authority);
    let _grant = now(ask(&stays, None)).unwrap().unwrap();
    let (stops, _leash) = visit(&authority);
    drop(now(ask(&stops, None)).unwrap().unwrap());
    // What it sends itself is not what it is sent.
    let wish = Wish { action: Action::Publish, path: "other/a", credential: None, rate: 0 };
    let _published = now(stops.ask(wish, at(0))).unwrap().unwrap();
    for second in 0..11 {
        stops.spend(2000);
        authority.sweep(0, seconds(1), at(second));
    }
    assert_eq!(now(&mut leash), Some(Cut::NoRoom));
}

#[test]
fn refusals_are_counted_by_their_reasons() {
    let authority = authority(&closed());
    let (visitor, _leash) = visit(&authority);
    assert!(now(ask(&visitor, None)).unwrap().is_err());
    assert!(now(ask(&visitor, Some(Secret::new("x".into())))).unwrap().is_err());
    let counted: Vec<_> = authority.denials().filter(|(_, count)| *count > 0).collect();
    assert_eq!(counted, [("missing", 1), ("wrong", 1)]);
}

#[test]
fn nothing_that_is_told_shows_a_credential() {
    let authority = authority(&closed());
    let (visitor, _leash) = authority.visit(peer(), Entrance::Quic, Some(Secret::new("hunter2".into())), at(0));
    let asking = ask(&visitor, Some(token("a", 100)));
    let shown = format!("{authority:?} {visitor:?} {asking:?} {:?} {:?}", closed(), authority.sessions());
    let token = token("a", 100);
    for secret in ["hunter2", KEY, token.reveal()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
