//! What the hook is asked, and what it has said. Asking is somebody else's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot};

use super::policy::{Basis, Denial};
use super::{Action, Secret};

/// Most answers that are remembered. Stops who asks for ever new things from filling memory; the oldest are forgotten together.
const MAX_REMEMBERED: usize = 10_000;

/// Most questions under way; whoever asks beyond is refused. Stops a hook that has died from gathering a crowd.
pub(super) const MAX_QUESTIONS: usize = 1000;

/// Most questions that one connection has under way: as many as it may play streams. Stops one that asks and asks without waiting
/// for answers from taking the hook from everybody else.
const MAX_OWN_QUESTIONS: usize = 8;

/// Most who wait for one answer: viewers of one address without credentials, as behind a proxy. Stops a silent hook from gathering
/// them without end.
const MAX_WAITING: usize = 10_000;

/// How long a hook that did not answer is left alone with the same question.
const SILENCE: Duration = Duration::from_secs(1);

/// A question to the hook.
#[derive(Debug, Clone)]
pub struct Question {
    /// What.
    pub action: Action,
    /// Of which stream: `app/name`.
    pub path: Arc<str>,
    /// From where.
    pub address: IpAddr,
    /// By what right. For the hook alone.
    pub credential: Option<Secret>,
    /// One of its connection's; there are as many as it has questions, and one more.
    pub(super) asker: Arc<()>,
}

/// What the hook says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes; for this long, if it says so.
    Allowed {
        /// Until the session is to be ended.
        lifetime: Option<Duration>,
    },
    /// No.
    Refused,
    /// Nothing in time, or nothing that can be understood.
    Unanswered,
}

type Answer = Result<Basis, Denial>;

/// An answer and the time of day at which it came: what it grants is counted from then on.
pub(super) type Dated = (Answer, SystemTime);

type Key = (Action, Arc<str>, IpAddr, Option<Secret>);

/// What has been asked.
#[derive(Debug)]
pub(super) struct Asked {
    questions: mpsc::Sender<Question>,
    answers: HashMap<Key, State>,
}

#[derive(Debug)]
enum State {
    Waiting {
        who: Vec<oneshot::Sender<Dated>>,
        /// Whether the one that has been asked may not be the hook any more.
        is_stale: bool,
    },
    Known {
        answer: Answer,
        since: SystemTime,
        until: SystemTime,
    },
}

/// What is known of a question.
#[derive(Debug)]
pub(super) enum Heard {
    Known(Answer),
    Waiting(oneshot::Receiver<Dated>),
}

impl Asked {
    pub(super) fn new() -> (Self, mpsc::Receiver<Question>) {
        let (questions, receiver) = mpsc::channel(MAX_QUESTIONS);
        (Self { questions, answers: HashMap::new() }, receiver)
    }

    /// Asks, unless it is known or asked already.
    pub(super) fn ask(&mut self, question: Question, now: SystemTime) -> Heard {
        let key = question.key();
        let (sender, receiver) = oneshot::channel();
        match self.answers.get_mut(&key) {
            // By a clock that was set back, it would be remembered for as long as that was.
            Some(State::Known { answer, since, until }) if (*since..*until).contains(&now) => {
                return Heard::Known(answer.clone());
            }
            Some(State::Waiting { who, .. }) => {
                if who.len() >= who.capacity().min(MAX_WAITING) {
                    who.retain(|one| !one.is_closed());
                }
                if who.len() >= MAX_WAITING {
                    return Heard::Known(Err(Denial::Unanswered));
                }
                who.push(sender);
                return Heard::Waiting(receiver);
            }
            Some(State::Known { .. }) | None => {}
        }
        if self.answers.len() >= MAX_REMEMBERED {
            self.answers.retain(|_, state| matches!(state, State::Waiting { .. }));
        }
        if question.others() >= MAX_OWN_QUESTIONS || self.questions.try_send(question).is_err() {
            return Heard::Known(Err(Denial::Unanswered));
        }
        self.answers.insert(key, State::Waiting { who: vec![sender], is_stale: false });
        Heard::Waiting(receiver)
    }

    /// Takes in an answer, to be remembered for `cache`; gives why and to how many it was a denial. One by the hook before is not
    /// taken: this one is asked.
    pub(super) fn answer(
        &mut self,
        question: &Question,
        mut verdict: Verdict,
        cache: Duration,
        now: SystemTime,
    ) -> Option<(Denial, usize)> {
        if let Some(State::Waiting { is_stale, .. }) = self.answers.get_mut(&question.key())
            && std::mem::take(is_stale)
        {
            if self.questions.try_send(question.clone()).is_ok() {
                return None;
            }
            verdict = Verdict::Unanswered;
        }
        let (answer, remembered) = match verdict {
            Verdict::Allowed { lifetime } => {
                let expires = lifetime.and_then(|lifetime| now.checked_add(lifetime));
                (Ok(Basis { name: "hook".into(), token: None, expires }), lifetime.unwrap_or(cache).min(cache))
            }
            Verdict::Refused => (Err(Denial::Hook), cache),
            Verdict::Unanswered => (Err(Denial::Unanswered), SILENCE.min(cache)),
        };
        let known =
            State::Known { answer: answer.clone(), since: now, until: now.checked_add(remembered).unwrap_or(now) };
        let Some(State::Waiting { who, .. }) = self.answers.insert(question.key(), known) else { return None };
        let count = who.len();
        for one in who {
            // An error is somebody who has left.
            let _ = one.send((answer.clone(), now));
        }
        answer.err().map(|denial| (denial, count))
    }

    /// Forgets what is known, since the hook may be another.
    pub(super) fn forget(&mut self) {
        self.answers.retain(|_, state| match state {
            State::Waiting { is_stale, .. } => {
                *is_stale = true;
                true
            }
            State::Known { .. } => false,
        });
    }
}

impl Question {
    fn key(&self) -> Key {
        (self.action, Arc::clone(&self.path), self.address, self.credential.clone())
    }

    /// How many its connection has under way beside it.
    fn others(&self) -> usize {
        // The connection itself has one, too.
        Arc::strong_count(&self.asker).saturating_sub(2)
    }
}

#[cfg(test)]
mod tests {
    use std::time::UNIX_EPOCH;

    use super::*;

    const CACHE: Duration = Duration::from_secs(10);

    fn question(credential: &str) -> Question {
        let credential = Secret::brought(credential);
        let (path, address, asker) = ("live/x".into(), [127, 0, 0, 1].into(), Arc::default());
        Question { action: Action::View, path, address, credential, asker }
    }

    fn at(seconds: u64) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn known(asked: &mut Asked, credential: &str, now: u64) -> Option<Answer> {
        match asked.ask(question(credential), at(now)) {
            Heard::Known(answer) => Some(answer),
            Heard::Waiting(_) => None,
        }
    }

    #[test]
    fn who_asks_the_same_at_once_waits_for_one_answer() {
        let (mut asked, mut questions) = Asked::new();
        let waiting: Vec<_> = (0..3)
            .map(|_| match asked.ask(question("a"), at(0)) {
                Heard::Waiting(receiver) => receiver,
                Heard::Known(_) => panic!("nobody has answered"),
            })
            .collect();
        let question = questions.try_recv().unwrap();
        assert!(questions.try_recv().is_err());
        asked.answer(&question, Verdict::Refused, CACHE, at(1));
        for mut one in waiting {
            assert_eq!(one.try_recv().unwrap(), (Err(Denial::Hook), at(1)));
        }
    }

    #[test]
    fn who_asks_the_same_again_and_again_without_waiting_takes_no_room() {
        let (mut asked, _questions) = Asked::new();
        for _ in 0..10_000 {
            drop(asked.ask(question("a"), at(0)));
        }
        let Some(State::Waiting { who, .. }) = asked.answers.values().next() else { panic!("nobody has answered") };
        assert!(who.len() < 10, "{}", who.len());
    }

    #[test]
    fn who_waits_for_one_answer_is_counted() {
        let (mut asked, _questions) = Asked::new();
        let waiting: Vec<_> = (0..MAX_WAITING).map(|_| asked.ask(question("a"), at(0))).collect();
        assert!(waiting.iter().all(|heard| matches!(heard, Heard::Waiting(_))));
        assert_eq!(known(&mut asked, "a", 0), Some(Err(Denial::Unanswered)));
        drop(waiting);
        assert_eq!(known(&mut asked, "a", 0), None);
    }

    #[test]
    fn what_the_hook_before_was_asked_the_next_is_asked_again() {
        let (mut asked, mut questions) = Asked::new();
        let Heard::Waiting(mut waiting) = asked.ask(question("a"), at(0)) else { panic!("nobody has answered") };
        let first = questions.try_recv().unwrap();
        asked.forget();
        asked.answer(&first, Verdict::Allowed { lifetime: None }, CACHE, at(0));
        assert!(waiting.try_recv().is_err());
        let second = questions.try_recv().unwrap();
        asked.answer(&second, Verdict::Refused, CACHE, at(0));
        assert_eq!(waiting.try_recv().unwrap(), (Err(Denial::Hook), at(0)));
        assert_eq!(known(&mut asked, "a", 0), Some(Err(Denial::Hook)));
    }

    #[test]
    fn an_answer_is_remembered_for_its_time_and_its_question() {
        let (mut asked, _questions) = Asked::new();
        assert_eq!(known(&mut asked, "a", 0), None);
        asked.answer(&question("a"), Verdict::Allowed { lifetime: Some(Duration::from_secs(60)) }, CACHE, at(0));
        let basis = known(&mut asked, "a", 9).unwrap().unwrap();
        assert_eq!(basis.expires, Some(at(60)));
        assert_eq!(known(&mut asked, "b", 9), None);
        assert_eq!(known(&mut asked, "a", 10), None);
    }

    #[test]
    fn an_answer_is_not_remembered_for_longer_than_it_holds() {
        let (mut asked, _questions) = Asked::new();
        assert_eq!(known(&mut asked, "a", 0), None);
        asked.answer(&question("a"), Verdict::Allowed { lifetime: Some(Duration::from_secs(3)) }, CACHE, at(0));
        assert!(known(&mut asked, "a", 2).is_some());
        assert_eq!(known(&mut asked, "a", 3), None);
    }

    #[test]
    fn a_clock_that_is_set_back_keeps_no_answer() {
        let (mut asked, _questions) = Asked::new();
        assert_eq!(known(&mut asked, "a", 3600), None);
        asked.answer(&question("a"), Verdict::Refused, CACHE, at(3600));
        assert!(known(&mut asked, "a", 3601).is_some());
        assert_eq!(known(&mut asked, "a", 5), None);
    }

    #[test]
    fn silence_refuses_and_is_asked_about_again_soon() {
        let (mut asked, _questions) = Asked::new();
        assert_eq!(known(&mut asked, "a", 0), None);
        asked.answer(&question("a"), Verdict::Unanswered, CACHE, at(0));
        assert_eq!(known(&mut asked, "a", 0), Some(Err(Denial::Unanswered)));
        assert_eq!(known(&mut asked, "a", 1), None);
    }

    #[test]
    fn a_crowd_of_questions_is_refused() {
        let (mut asked, _questions) = Asked::new();
        let refused = (0..MAX_QUESTIONS + 5).filter(|n| known(&mut asked, &n.to_string(), 0).is_some()).count();
        assert_eq!(refused, 5);
    }

    #[test]
    fn memory_for_answers_is_bounded() {
        let (mut asked, mut questions) = Asked::new();
        for n in 0..2 * MAX_REMEMBERED {
            let _ = asked.ask(question(&n.to_string()), at(0));
            let question = questions.try_recv().unwrap();
            asked.answer(&question, Verdict::Refused, CACHE, at(0));
        }
        assert!(asked.answers.len() <= MAX_REMEMBERED);
    }
}
