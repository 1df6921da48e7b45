//! Removes what is too old: used keys, entries that no read answers, messages beyond the retention.
//! In small steps beside everything else, so that no append waits long.
//!
//! Every node does it. What another one has removed is not there any more, which is no error.

use std::sync::LazyLock;
use std::time::Duration;

use chat_core::Millis;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::config::{SqlConfig, millis};
use crate::db::{Arg, Db, Failure, Row, Statement};
use crate::limits::{SWEEP_ROOMS, SWEEP_ROWS};
use crate::room_log::signed;

/// `{0}` the room behind which to go on, `{2}` how many.
static ROOMS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "SELECT l.room, l.seq, l.used_ms, {now 1},
                (SELECT min(e.seq) FROM entries e WHERE e.room = l.room),
                (SELECT min(m.seq) FROM messages m WHERE m.room = l.room),
                (SELECT m.sent_ms FROM messages m WHERE m.room = l.room ORDER BY m.seq LIMIT 1)
         FROM logs l WHERE l.room > {0} ORDER BY l.room LIMIT {2}",
    )
});

static ENTRIES: LazyLock<Statement> =
    LazyLock::new(|| Statement::new("DELETE FROM entries WHERE room = {0} AND seq < {1}"));

static MESSAGES: LazyLock<Statement> =
    LazyLock::new(|| Statement::new("DELETE FROM messages WHERE room = {0} AND seq < {1}"));

static REACTIONS: LazyLock<Statement> =
    LazyLock::new(|| Statement::new("DELETE FROM reactions WHERE room = {0} AND seq < {1}"));

/// The newest of the oldest `{2}` messages that is older than `{1}`.
static OLD: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "SELECT max(m.seq), count(*) FROM (
             SELECT seq, sent_ms FROM messages WHERE room = {0} ORDER BY seq LIMIT {2}
         ) AS m WHERE m.sent_ms < {1}",
    )
});

/// The newest message that has `{1}` newer ones.
static SURPLUS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new("SELECT seq FROM messages WHERE room = {0} ORDER BY seq DESC LIMIT 1 OFFSET {1}")
});

/// `{1}` rows at most.
static KEYS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "DELETE FROM keys WHERE (window_ms, room, user_id, key) IN (
             SELECT window_ms, room, user_id, key FROM keys WHERE window_ms < {0} LIMIT {1}
         ) RETURNING 1",
    )
});

static NOW: LazyLock<Statement> =
    LazyLock::new(|| Statement::new("SELECT CAST({now 0} AS bigint)"));

/// What is done, and how often.
#[derive(Debug)]
pub(crate) struct Housekeeping {
    db: Db,
    interval: Duration,
    log_max: u64,
    log_ttl_ms: u64,
    key_window_ms: u64,
    messages_ttl_ms: Option<u64>,
    messages_max: Option<u64>,
    /// When rooms were last counted: none that was not used since has more messages than then.
    counted_ms: Millis,
}

/// What is known of a room.
struct Facts {
    room: String,
    seq: u64,
    used_ms: Millis,
    now_ms: Millis,
    oldest_entry: Option<u64>,
    oldest_message: Option<(u64, Millis)>,
}

impl Facts {
    fn of(row: &Row) -> Result<Self, Failure> {
        let oldest_message = row.optional_count(5)?.zip(row.optional_count(6)?);
        Ok(Self {
            room: row.text(0)?,
            seq: row.count(1)?,
            used_ms: row.count(2)?,
            now_ms: row.count(3)?,
            oldest_entry: row.optional_count(4)?,
            oldest_message,
        })
    }
}

impl Housekeeping {
    pub(crate) fn new(db: Db, config: &SqlConfig) -> Self {
        Self {
            db,
            interval: config.sweep_interval,
            log_max: config.log_max,
            log_ttl_ms: millis(config.log_ttl),
            key_window_ms: millis(config.key_window),
            messages_ttl_ms: config.messages_ttl.map(millis),
            messages_max: config.messages_max,
            counted_ms: 0,
        }
    }

    /// Works until told to stop.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        loop {
            // Jittered, so that nodes that were started together do not sweep together.
            let pause = self.interval.mul_f64(0.75 + fastrand::f64() / 2.0);
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
            match stop.run_until_cancelled(self.sweep()).await {
                Some(Ok(())) => {}
                Some(Err(failure)) => tracing::warn!(%failure, "housekeeping is put off"),
                None => return,
            }
        }
    }

    async fn sweep(&mut self) -> Result<(), Failure> {
        let now_ms = self.now().await?;
        self.forget_keys(now_ms).await?;
        let mut behind = String::new();
        loop {
            let args = vec![behind.as_str().into(), Arg::Now, SWEEP_ROOMS.into()];
            let rooms = self.db.read(&ROOMS, args).await?;
            for row in &rooms {
                let facts = Facts::of(row)?;
                self.trim_entries(&facts).await?;
                self.forget_old(&facts).await?;
                self.forget_surplus(&facts).await?;
                behind = facts.room;
            }
            if rooms.len() < usize::try_from(SWEEP_ROOMS).unwrap_or_default() {
                break;
            }
        }
        self.counted_ms = now_ms;
        self.db.maintain().await
    }

    async fn now(&self) -> Result<Millis, Failure> {
        let rows = self.db.read(&NOW, vec![Arg::Now]).await?;
        rows.first().map_or(Ok(0), |row| row.count(0))
    }

    async fn forget_keys(&self, now_ms: Millis) -> Result<(), Failure> {
        let window = self.key_window_ms;
        let current = now_ms - now_ms % window;
        let args = || {
            vec![
                signed(current.saturating_sub(window)).into(),
                SWEEP_ROWS.into(),
            ]
        };
        while !self.db.write(&KEYS, args()).await?.is_empty() {}
        Ok(())
    }

    /// Those that no read answers, and all of a room without traffic.
    async fn trim_entries(&self, facts: &Facts) -> Result<(), Failure> {
        let idle = facts.now_ms.saturating_sub(facts.used_ms) >= self.log_ttl_ms;
        let kept = if idle { 0 } else { self.log_max };
        let below = (facts.seq + 1).saturating_sub(kept);
        let mut oldest = facts.oldest_entry.unwrap_or(below);
        while oldest < below {
            oldest = below.min(oldest + SWEEP_ROWS.unsigned_abs());
            self.remove(&ENTRIES, facts, oldest).await?;
        }
        Ok(())
    }

    async fn forget_old(&self, facts: &Facts) -> Result<(), Failure> {
        let Some(ttl_ms) = self.messages_ttl_ms else {
            return Ok(());
        };
        let before = facts.now_ms.saturating_sub(ttl_ms);
        if facts
            .oldest_message
            .is_none_or(|(_, at_ms)| at_ms >= before)
        {
            return Ok(());
        }
        loop {
            let args = vec![
                facts.room.as_str().into(),
                signed(before).into(),
                SWEEP_ROWS.into(),
            ];
            let rows = self.db.read(&OLD, args).await?;
            let Some(row) = rows.first() else {
                return Ok(());
            };
            let Some(newest) = row.optional_count(0)? else {
                return Ok(());
            };
            self.forget_messages(facts, newest + 1).await?;
            if row.int(1)? < SWEEP_ROWS {
                return Ok(());
            }
        }
    }

    async fn forget_surplus(&self, facts: &Facts) -> Result<(), Failure> {
        let (Some(max), Some((oldest, _))) = (self.messages_max, facts.oldest_message) else {
            return Ok(());
        };
        // At most as many as there are numbers.
        if facts.seq - oldest < max || facts.used_ms < self.counted_ms {
            return Ok(());
        }
        let args = vec![facts.room.as_str().into(), signed(max).into()];
        let rows = self.db.read(&SURPLUS, args).await?;
        let Some(row) = rows.first() else {
            return Ok(());
        };
        let below = row.count(0)? + 1;
        let mut oldest = oldest;
        while oldest < below {
            oldest = below.min(oldest + SWEEP_ROWS.unsigned_abs());
            self.forget_messages(facts, oldest).await?;
        }
        Ok(())
    }

    /// Messages with all that has their text.
    async fn forget_messages(&self, facts: &Facts, below: u64) -> Result<(), Failure> {
        self.remove(&ENTRIES, facts, below).await?;
        self.remove(&REACTIONS, facts, below).await?;
        self.remove(&MESSAGES, facts, below).await
    }

    async fn remove(&self, from: &Statement, facts: &Facts, below: u64) -> Result<(), Failure> {
        let args = vec![facts.room.as_str().into(), signed(below).into()];
        self.db.write(from, args).await.map(drop)
    }
}
