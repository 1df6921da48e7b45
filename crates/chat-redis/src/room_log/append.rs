//! Appending: one script call per room, one pipeline per batch, a deadline in the store's own time.
//!
//! The deadline is what makes a timeout certain: once it has passed the store refuses, so that a
//! call that was stalled on its way cannot act behind its caller's back. A refusal carries the
//! store's time; if ours was wrong (a fail-over to a machine with another clock) the refused calls
//! are tried once more.

use std::time::{Duration, Instant};

use chat_core::limits::{
    APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, EMOJI_PER_MESSAGE_MAX, USERS_PER_EMOJI_MAX,
};
use chat_core::{
    AppendCall, AppendError, Appended, EntryBody, EntryId, Epoch, NewEntry, Position, Stored, Topic,
};
use redis::{Cmd, Pipeline, RedisResult, Value};

use super::millis;
use crate::error::{LinkError, is_refusal};
use crate::limits::APPEND_MARGIN;
use crate::script;
use crate::shared::Shared;

type Outcomes = Vec<Result<Appended, AppendError>>;

/// A code and five words.
const RECORD_BYTES: usize = 41;
/// The store's time and the verdict.
const ANSWER_BYTES: usize = 9;

/// What the script said of one call.
enum Verdict {
    Done(Outcomes),
    /// The deadline had passed in the store's time: nothing was done.
    Late,
}

pub(super) async fn append(
    shared: &Shared,
    announcing: bool,
    calls: &[AppendCall],
    timeout: Duration,
) -> Vec<Outcomes> {
    let batch = Batch {
        shared,
        announcing,
        deadline: Instant::now() + timeout,
    };
    let mut outcomes: Vec<Option<Outcomes>> = calls.iter().map(too_large).collect();
    // The second attempt is for those that were late by a wrong estimate of the store's clock.
    for _ in 0..2 {
        let due: Vec<usize> = (0..calls.len())
            .filter(|&place| outcomes[place].is_none())
            .collect();
        if due.is_empty() || Instant::now() >= batch.deadline {
            break;
        }
        batch.attempt(calls, &due, &mut outcomes).await;
    }
    let late = || AppendError::Refused("its deadline had passed".to_owned());
    outcomes
        .into_iter()
        .zip(calls)
        .map(|(outcome, call)| outcome.unwrap_or_else(|| all(call, &late())))
        .collect()
}

struct Batch<'a> {
    shared: &'a Shared,
    announcing: bool,
    deadline: Instant,
}

impl Batch<'_> {
    /// Runs the calls at `due`; those that were late stay without an outcome.
    async fn attempt(
        &self,
        calls: &[AppendCall],
        due: &[usize],
        outcomes: &mut [Option<Outcomes>],
    ) {
        let answers = match self.run(calls, due).await {
            Ok(answers) => answers,
            Err(error) => {
                let error = AppendError::Unavailable(error.into_why());
                for &place in due {
                    outcomes[place] = Some(all(&calls[place], &error));
                }
                return;
            }
        };
        for (&place, answer) in due.iter().zip(answers) {
            outcomes[place] = match self.verdict(&calls[place], answer) {
                Verdict::Done(outcome) => Some(outcome),
                Verdict::Late => None,
            };
        }
    }

    async fn run(
        &self,
        calls: &[AppendCall],
        due: &[usize],
    ) -> Result<Vec<RedisResult<Value>>, LinkError> {
        let writers = &self.shared.writers;
        let mut connection = writers.checkout(self.deadline).await?;
        let store_deadline = writers.clock().at(self.deadline);
        let mut pipe = Pipeline::with_capacity(due.len());
        for &place in due {
            pipe.add_command(self.command(&calls[place], store_deadline));
        }
        let sent = Instant::now();
        // What the store did in time may be answered a little later.
        let patience = self.deadline + APPEND_MARGIN;
        let outcome = writers.pipeline(&mut connection, &mut pipe, patience).await;
        let answered = Instant::now();
        writers.give_back(connection, &outcome);
        let answers = outcome?;
        for answer in &answers {
            if let Ok(Value::BulkString(bytes)) = answer
                && let Some(now) = bytes.first_chunk::<8>()
            {
                writers
                    .clock()
                    .observe(sent, answered, u64::from_be_bytes(*now));
            }
        }
        Ok(answers)
    }

    fn command(&self, call: &AppendCall, store_deadline: u64) -> Cmd {
        let config = &self.shared.config;
        let keys = self.shared.keys.log(&call.room);
        let mut command = script::APPEND.call(&[
            keys.log,
            keys.head,
            keys.changed,
            keys.keys_cur,
            keys.keys_prev,
        ]);
        let channel = if self.announcing {
            self.shared.keys.channel(&Topic::Room(call.room.clone()))
        } else {
            String::new()
        };
        command
            .arg(store_deadline)
            .arg(config.log_max)
            .arg(millis(config.log_ttl))
            .arg(millis(config.key_window))
            .arg(channel)
            .arg(&Epoch::random().to_bytes())
            .arg(EMOJI_PER_MESSAGE_MAX)
            .arg(USERS_PER_EMOJI_MAX);
        for entry in &call.entries {
            put_entry(&mut command, entry);
        }
        command
    }

    fn verdict(&self, call: &AppendCall, answer: RedisResult<Value>) -> Verdict {
        let unknown = |why: &str| {
            let error = AppendError::Unavailable(why.to_owned());
            Verdict::Done(all(call, &error))
        };
        let bytes = match answer {
            Ok(Value::BulkString(bytes)) => bytes,
            Ok(_) => return unknown("the log's answer is no string"),
            Err(error) if is_refusal(&error) => {
                let error = AppendError::Refused(error.to_string());
                return Verdict::Done(all(call, &error));
            }
            Err(error) => return unknown(&error.to_string()),
        };
        let Some((start, records)) = bytes.split_at_checked(ANSWER_BYTES) else {
            return unknown("the log's answer is cut off");
        };
        if start[8] == b'L' {
            return Verdict::Late;
        }
        if records.len() != call.entries.len() * RECORD_BYTES {
            return unknown("the log's answer is cut off");
        }
        let outcome = |record| self.outcome(record);
        Verdict::Done(records.chunks_exact(RECORD_BYTES).map(outcome).collect())
    }

    fn outcome(&self, record: &[u8]) -> Result<Appended, AppendError> {
        let code = record[0];
        let mut words = record[1..].chunks_exact(8).map(|word| {
            let mut bytes = [0; 8];
            bytes.copy_from_slice(word);
            u64::from_be_bytes(bytes)
        });
        let mut next = || words.next().unwrap_or_default();
        match code {
            b'A' | b'D' => {
                let (seq, at_ms) = (next(), next());
                let epoch = Epoch(next());
                let id = EntryId(next());
                Ok(Appended {
                    position: Position { epoch, seq, id },
                    prev: EntryId(next()),
                    at_ms,
                    stored: Stored::Redis,
                    duplicate: code == b'D',
                    announced: self.announcing,
                })
            }
            b'C' => Err(AppendError::Conflict),
            b'N' => Err(AppendError::NotFound),
            b'F' => Err(AppendError::Forbidden),
            b'E' => Err(AppendError::Full("32 different emoji")),
            b'U' => Err(AppendError::Full("1000 users with this emoji")),
            _ => Err(AppendError::Unavailable(
                "the log's answer is of another version".to_owned(),
            )),
        }
    }
}

fn put_entry(command: &mut Cmd, entry: &NewEntry) {
    let op = match &entry.body {
        EntryBody::MessageAdded { .. } => "a",
        EntryBody::MessageUpdated { .. } => "u",
        EntryBody::MessageDeleted { .. } => "d",
        EntryBody::MessageReacted { removed: false, .. } => "r",
        EntryBody::MessageReacted { removed: true, .. } => "x",
        _ => "o",
    };
    command
        .arg(op)
        .arg(&entry.id.to_bytes())
        .arg(entry.actor.as_str());
    match &entry.key {
        // Neither name has a byte 0.
        Some(idempotency) => command
            .arg(format!("{}\0{}", entry.actor, idempotency.key))
            .arg(&idempotency.content),
        None => command.arg("").arg(""),
    };
    command.arg(entry.tail.as_ref());
    let Some(target) = entry.body.target() else {
        return;
    };
    let check = match &entry.precondition {
        None => 0,
        Some(precondition) if precondition.author_only => 2,
        Some(_) => 1,
    };
    command
        .arg(target.seq)
        .arg(&target.entry.to_bytes())
        .arg(check);
    if let EntryBody::MessageReacted { emoji, .. } = &entry.body {
        command.arg(emoji.as_bytes());
    }
}

/// The outcome of a call that must not be sent; `None` if it may be.
fn too_large(call: &AppendCall) -> Option<Outcomes> {
    let bytes: usize = call.entries.iter().map(|entry| entry.tail.len()).sum();
    let what = if call.entries.len() > APPEND_ENTRIES_MAX {
        "too many entries in one call"
    } else if bytes > APPEND_BYTES_MAX {
        "too many bytes in one call"
    } else {
        return call.entries.is_empty().then(Vec::new);
    };
    Some(all(call, &AppendError::Refused(what.to_owned())))
}

fn all(call: &AppendCall, error: &AppendError) -> Outcomes {
    call.entries.iter().map(|_| Err(error.clone())).collect()
}
