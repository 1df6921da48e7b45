//! The caller's side of an append: hands calls to the writers of their rooms and waits, but not
//! for ever.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::time::{Duration, Instant};

use chat_core::limits::{APPEND_BYTES_MAX, APPEND_ENTRIES_MAX};
use chat_core::{AppendCall, AppendError, RoomId};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout_at;

use super::plan::Outcome;
use crate::limits::APPEND_MARGIN;

/// One call on its way to a writer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) call: AppendCall,
    /// After it nothing may be done any more.
    pub(super) deadline: Instant,
    reply: oneshot::Sender<Vec<Outcome>>,
}

impl Pending {
    pub(super) fn answer(self, outcomes: Vec<Outcome>) {
        // Whoever no longer waits was told that the outcome is unknown.
        let _ = self.reply.send(outcomes);
    }

    pub(super) fn answer_all(self, error: &AppendError) {
        let outcomes = all(self.call.entries.len(), error);
        self.answer(outcomes);
    }
}

/// The queues of the writers. A room always has the same one, so that writers of one process do not
/// wait for each other's locks.
#[derive(Debug)]
pub(super) struct Queues(pub(super) Vec<mpsc::Sender<Pending>>);

impl Queues {
    fn of(&self, room: &RoomId) -> &mpsc::Sender<Pending> {
        // The same for every run; nobody gains anything by choosing rooms of one writer.
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(room);
        let writers = self.0.len() as u64;
        let at = usize::try_from(hash % writers).expect("a queue's number is small");
        &self.0[at]
    }

    /// Appends, or says why not, soon after `timeout` at the latest.
    pub(super) async fn append(
        &self,
        calls: Vec<AppendCall>,
        timeout: Duration,
    ) -> Vec<Vec<Outcome>> {
        let now = Instant::now();
        // A timeout that no clock can count never ends.
        let deadline = now
            .checked_add(timeout)
            .unwrap_or(now + Duration::from_secs(u64::from(u32::MAX)));
        let mut waiting = Vec::with_capacity(calls.len());
        for call in calls {
            waiting.push(self.hand_over(call, deadline).await);
        }
        let patience = tokio::time::Instant::from_std(deadline + APPEND_MARGIN);
        let mut answers = Vec::with_capacity(waiting.len());
        for one in waiting {
            answers.push(match one {
                Waiting::Answered(outcomes) => outcomes,
                Waiting::For { entries, reply } => match timeout_at(patience, reply).await {
                    Ok(Ok(outcomes)) => outcomes,
                    Ok(Err(_)) => all(entries, &closed()),
                    Err(_) => all(entries, &unknown("the store did not answer in time")),
                },
            });
        }
        answers
    }

    async fn hand_over(&self, call: AppendCall, deadline: Instant) -> Waiting {
        let entries = call.entries.len();
        if let Some(error) = check(&call) {
            return Waiting::Answered(all(entries, &error));
        }
        if entries == 0 {
            return Waiting::Answered(Vec::new());
        }
        let queue = self.of(&call.room);
        let place = timeout_at(tokio::time::Instant::from_std(deadline), queue.reserve());
        let place = match place.await {
            Ok(Ok(place)) => place,
            Ok(Err(_)) => return Waiting::Answered(all(entries, &closed())),
            Err(_) => return Waiting::Answered(all(entries, &refused("too many appends wait"))),
        };
        let (reply, answer) = oneshot::channel();
        place.send(Pending {
            call,
            deadline,
            reply,
        });
        Waiting::For {
            entries,
            reply: answer,
        }
    }
}

enum Waiting {
    Answered(Vec<Outcome>),
    For {
        entries: usize,
        reply: oneshot::Receiver<Vec<Outcome>>,
    },
}

/// Why a call must not be carried out; nothing if it may be.
fn check(call: &AppendCall) -> Option<AppendError> {
    let bytes: usize = call.entries.iter().map(|entry| entry.tail.len()).sum();
    if call.entries.len() > APPEND_ENTRIES_MAX {
        Some(refused("too many entries in one call"))
    } else if bytes > APPEND_BYTES_MAX {
        Some(refused("too many bytes in one call"))
    } else {
        None
    }
}

fn all(entries: usize, error: &AppendError) -> Vec<Outcome> {
    vec![Err(error.clone()); entries]
}

pub(super) fn refused(why: impl Into<String>) -> AppendError {
    AppendError::Refused(why.into())
}

pub(super) fn unknown(why: impl Into<String>) -> AppendError {
    AppendError::Unavailable(why.into())
}

fn closed() -> AppendError {
    unknown("the store is closed")
}
