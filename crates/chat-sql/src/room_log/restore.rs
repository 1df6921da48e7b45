//! Logs that come from elsewhere: their messages alone, below a head in a new epoch. That is what a log
//! looks like whose entries were trimmed.

use std::sync::LazyLock;

use async_trait::async_trait;
use chat_core::{
    EntryId, Epoch, Head, LogTransfer, Message, Millis, Position, RestoreError, RoomId,
};

use super::statements::{Batch, REACTIONS_ADDED};
use super::transaction::{head_at, mentions_json, signed, stored};
use super::{SqlRoomLog, read};
use crate::db::{Arg, Column, Failure, Rows, Statement, int, text};
use crate::limits::SWEEP_ROWS;

static START: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "INSERT INTO logs (room, epoch, seq, id, at_ms, epoch_start, used_ms)
         VALUES ({0}, {1}, {2}, {3}, {4}, {5}, {now 6})
         ON CONFLICT (room) DO UPDATE SET
             epoch = excluded.epoch, seq = excluded.seq, id = excluded.id, at_ms = excluded.at_ms,
             epoch_start = excluded.epoch_start, used_ms = excluded.used_ms
         RETURNING epoch, seq, id, at_ms, epoch_start",
    )
});

/// The oldest seq at which there is anything.
static OLDEST: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "SELECT min(seq) FROM (
             SELECT min(seq) AS seq FROM entries WHERE room = {0}
             UNION ALL SELECT min(seq) FROM messages WHERE room = {0}
             UNION ALL SELECT min(seq) FROM reactions WHERE room = {0}
         ) AS oldest",
    )
});

/// What is removed below a seq, a piece at a time.
static REMOVE: LazyLock<[Statement; 3]> = LazyLock::new(|| {
    ["entries", "messages", "reactions"].map(|from| {
        Statement::new(&format!(
            "DELETE FROM {from} WHERE room = {{0}} AND seq < {{1}}"
        ))
    })
});

static KEYS: LazyLock<Statement> =
    LazyLock::new(|| Statement::new("DELETE FROM keys WHERE room = {0}"));

static MESSAGES: LazyLock<Batch> = LazyLock::new(|| {
    static COLUMNS: &[Column] = &[
        text("room"),
        int("seq"),
        int("entry"),
        text("author"),
        text("text"),
        int("sent_ms"),
        int("edited_ms"),
        int("reply_seq"),
        int("reply_entry"),
        text("mentions"),
        text("meta"),
        int("changed_seq"),
    ];
    let statement = Statement::over(
        COLUMNS,
        "INSERT INTO messages (room, seq, entry, author, text, sent_ms, edited_ms, reply_seq,
             reply_entry, mentions, meta, changed_seq)
         SELECT * FROM given WHERE true ON CONFLICT (room, seq) DO NOTHING",
    );
    Batch {
        columns: COLUMNS,
        statement,
    }
});

#[async_trait]
impl LogTransfer for SqlRoomLog {
    async fn start_over(
        &self,
        room: &RoomId,
        seq: u64,
        at_ms: Millis,
    ) -> Result<Head, RestoreError> {
        self.clear(room).await?;
        let epoch = Epoch::random();
        let start = Position::start(epoch);
        let id = if seq == 0 {
            start.id
        } else {
            EntryId::random()
        };
        let args = vec![
            Arg::from(room.as_str()),
            epoch.0.cast_signed().into(),
            signed(seq).into(),
            id.0.cast_signed().into(),
            signed(at_ms).into(),
            signed(seq + 1).into(),
            Arg::Now,
        ];
        let rows = self.db.write(&START, args).await?;
        let head = rows.first().map(|row| head_at(row, 0));
        Ok(head.ok_or_else(|| Failure::damaged("a log was not started"))??)
    }

    async fn put_messages(
        &self,
        room: &RoomId,
        messages: Vec<Message>,
    ) -> Result<usize, RestoreError> {
        let heads = read::heads(&self.db, std::slice::from_ref(room)).await;
        let heads = heads.map_err(|error| RestoreError::Unavailable(error.to_string()))?;
        let last = heads.first().copied().flatten();
        let last = last.map_or(0, |head| head.position.seq);
        let mut rows = Rows::new(MESSAGES.columns);
        let mut reactions = Rows::new(REACTIONS_ADDED.columns);
        let mut kept = 0;
        for message in messages.iter().filter(|it| it.id.seq <= last) {
            put_message(message, &mut rows);
            put_reactions(message, &mut reactions);
            kept += 1;
        }
        // First: a message that is there has all its reactions.
        if !reactions.is_empty() {
            let args = self.db.args(reactions);
            self.db.write(&REACTIONS_ADDED.statement, args).await?;
        }
        if !rows.is_empty() {
            let args = self.db.args(rows);
            self.db.write(&MESSAGES.statement, args).await?;
        }
        Ok(kept)
    }
}

impl SqlRoomLog {
    /// Removes all that a room's log has, in pieces.
    async fn clear(&self, room: &RoomId) -> Result<(), Failure> {
        let of_room = || vec![Arg::from(room.as_str())];
        loop {
            let rows = self.db.read(&OLDEST, of_room()).await?;
            let oldest = rows.first().map(|row| row.optional_int(0)).transpose()?;
            let Some(oldest) = oldest.flatten() else {
                break;
            };
            for remove in &*REMOVE {
                let mut args = of_room();
                args.push((oldest + SWEEP_ROWS).into());
                self.db.write(remove, args).await?;
            }
        }
        self.db.write(&KEYS, of_room()).await.map(drop)
    }
}

fn put_message(message: &Message, rows: &mut Rows) {
    rows.name(message.room.as_str())
        .int(signed(message.id.seq))
        .int(message.id.entry.0.cast_signed())
        .name(message.from.as_str())
        .text(message.text.as_deref().map(stored))
        .int(signed(message.sent_at_ms))
        .int(message.edited_at_ms.map(signed))
        .int(message.reply_to.map(|id| signed(id.seq)))
        .int(message.reply_to.map(|id| id.entry.0.cast_signed()))
        .text(mentions_json(&message.mentions))
        .text(message.meta.as_deref().map(stored))
        .int(message.changed_seq.map(signed));
}

fn put_reactions(message: &Message, rows: &mut Rows) {
    // Below every seq, so that who reacts from now on comes behind.
    let mut since = i64::MIN / 2;
    for (emoji, users) in &message.reactions {
        for user in users {
            rows.name(message.room.as_str())
                .int(signed(message.id.seq))
                .name(&stored(emoji))
                .name(user.as_str())
                .int(since);
            since += 1;
        }
    }
}

impl From<Failure> for RestoreError {
    fn from(failure: Failure) -> Self {
        Self::Unavailable(failure.to_string())
    }
}
