//! The writers: whatever appends wait are committed together, and answered after that.
//!
//! A commit costs the same sync whether it carries one entry or a thousand, so a writer that is
//! behind gets faster. Alone, an append waits for nobody.
//!
//! Invariant: nothing is committed after the deadline of anybody in the batch. Until the commit is
//! sent everything can be undone for certain; only a commit whose answer does not come is unknown.

use std::time::{Duration, Instant};

use chat_core::{AppendCall, AppendError};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::append::{Pending, refused, unknown};
use super::plan::Outcome;
use super::transaction::{Settings, Work};
use crate::db::{Connection, Db, Failure, FailureKind, Transaction};
use crate::limits::{BATCH_BYTES_MAX, BATCH_CALLS_MAX, COMMIT_PATIENCE, RETRY_PAUSES, WRITER_IDLE};

/// One writer.
#[derive(Debug)]
pub(super) struct Writer {
    db: Db,
    settings: Settings,
    /// Kept from batch to batch, for a while, where others need not wait for it.
    connection: Option<Connection>,
}

/// What became of one attempt at a batch.
enum Attempt {
    Committed(Vec<Vec<Outcome>>),
    /// Somebody's deadline passed on the way. Nothing was written.
    Late,
    /// Nothing was written.
    Failed(Failure),
    /// The commit was sent and not answered.
    Unknown(Failure),
}

impl Writer {
    pub(super) fn new(db: Db, settings: Settings) -> Self {
        Self {
            db,
            settings,
            connection: None,
        }
    }

    /// Works until nobody can send any more, or it is told to stop: then what waits is the last.
    pub(super) async fn run(mut self, mut queue: mpsc::Receiver<Pending>, stop: CancellationToken) {
        let mut waiting = Vec::new();
        loop {
            tokio::select! {
                // Both may be ready: what waits is then taken in the next round, or in this one.
                () = stop.cancelled(), if !queue.is_closed() => queue.close(),
                received = queue.recv_many(&mut waiting, BATCH_CALLS_MAX) => {
                    if received == 0 {
                        return;
                    }
                }
                () = sleep(WRITER_IDLE), if self.connection.is_some() => self.connection = None,
            }
            while !waiting.is_empty() {
                let rest = waiting.split_off(batch_len(&waiting));
                // One room may be at fault; the others shall not suffer for it.
                for one in self.commit(waiting).await {
                    self.commit(vec![one]).await;
                }
                waiting = rest;
            }
        }
    }

    /// Brings a batch to an end, one way or the other; but those of several that the database
    /// does not take together come back, to be tried one by one.
    async fn commit(&mut self, mut batch: Vec<Pending>) -> Vec<Pending> {
        let (mut pause, longest) = RETRY_PAUSES;
        loop {
            batch = refuse_late(batch);
            let Some(deadline) = batch.iter().map(|one| one.deadline).min() else {
                return Vec::new();
            };
            let calls: Vec<AppendCall> = batch.iter().map(|one| one.call.clone()).collect();
            let failure = match self.attempt(&calls, deadline).await {
                Attempt::Committed(outcomes) => {
                    for (one, outcomes) in batch.into_iter().zip(outcomes) {
                        one.answer(outcomes);
                    }
                    return Vec::new();
                }
                Attempt::Unknown(failure) => {
                    return answer_all(batch, &unknown(failure.to_string()));
                }
                Attempt::Late => continue,
                Attempt::Failed(failure) => failure,
            };
            if failure.is_passing() {
                tracing::debug!(%failure, "appends are tried again");
                sleep(jittered(pause)).await;
                pause = (pause * 2).min(longest);
            } else if failure.kind == FailureKind::Refusal || batch.len() == 1 {
                return answer_all(batch, &refused(failure.to_string()));
            } else {
                return batch;
            }
        }
    }

    async fn attempt(&mut self, calls: &[AppendCall], deadline: Instant) -> Attempt {
        let mut connection = match self.connection(deadline).await {
            Ok(connection) => connection,
            Err(failure) => return Attempt::Failed(failure),
        };
        let attempt = attempt_on(&self.db, self.settings, &mut connection, calls, deadline).await;
        // One that was given up on the way is still in its transaction: the next batch must not
        // commit what this one left there.
        if self.db.is_postgres() && connection.is_clean() {
            self.connection = Some(connection);
        }
        attempt
    }

    async fn connection(&mut self, deadline: Instant) -> Result<Connection, Failure> {
        if let Some(connection) = self.connection.take() {
            return Ok(connection);
        }
        let connection = timeout_at(deadline.into(), self.db.writer()).await;
        connection.unwrap_or_else(|_| Err(Failure::no_answer()))
    }
}

async fn attempt_on(
    db: &Db,
    settings: Settings,
    connection: &mut Connection,
    calls: &[AppendCall],
    deadline: Instant,
) -> Attempt {
    let begun = timeout_at(deadline.into(), connection.begin()).await;
    let mut transaction = match begun {
        Ok(Ok(transaction)) => transaction,
        Ok(Err(failure)) => return Attempt::Failed(failure),
        Err(_) => return Attempt::Late,
    };
    let prepared = prepare(db, settings, &mut transaction, calls);
    let outcomes = match timeout_at(deadline.into(), prepared).await {
        Ok(Ok(outcomes)) => outcomes,
        Ok(Err(failure)) => {
            transaction.roll_back().await;
            return Attempt::Failed(failure);
        }
        // Dropped with its connection: whatever is on its way there ends without a commit.
        Err(_) => return Attempt::Late,
    };
    // The locks are held: from here on only the commit itself can take time.
    if Instant::now() >= deadline {
        transaction.roll_back().await;
        return Attempt::Late;
    }
    match timeout(COMMIT_PATIENCE, transaction.commit()).await {
        Ok(Ok(())) => Attempt::Committed(outcomes),
        Ok(Err(failure)) => Attempt::Unknown(failure),
        Err(_) => Attempt::Unknown(Failure::no_answer()),
    }
}

/// All of it but the commit.
async fn prepare(
    db: &Db,
    settings: Settings,
    transaction: &mut Transaction<'_>,
    calls: &[AppendCall],
) -> Result<Vec<Vec<Outcome>>, Failure> {
    let mut work = Work::new(db, transaction, settings);
    work.lock(calls.iter().map(|call| call.room.clone()).collect())
        .await?;
    work.load(calls).await?;
    let outcomes = work.plan(calls);
    work.write().await?;
    Ok(outcomes)
}

/// How many of those that wait make one batch.
fn batch_len(waiting: &[Pending]) -> usize {
    let mut bytes = 0;
    let fits = |one: &&Pending| {
        let fits = bytes < BATCH_BYTES_MAX;
        bytes += one
            .call
            .entries
            .iter()
            .map(|it| it.tail.len())
            .sum::<usize>();
        fits
    };
    waiting.iter().take_while(fits).count().max(1)
}

/// Answers those whose time is over.
fn refuse_late(batch: Vec<Pending>) -> Vec<Pending> {
    let now = Instant::now();
    let (late, rest): (Vec<_>, Vec<_>) = batch.into_iter().partition(|it| it.deadline <= now);
    for one in late {
        one.answer_all(&refused("its deadline has passed"));
    }
    rest
}

fn answer_all(batch: Vec<Pending>, error: &AppendError) -> Vec<Pending> {
    batch.into_iter().for_each(|one| one.answer_all(error));
    Vec::new()
}

fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.5 + fastrand::f64() / 2.0)
}
