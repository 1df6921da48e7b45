//! The statements of appends, in the order in which a transaction runs them.

use std::sync::LazyLock;

use crate::db::{Column, Statement, blob, int, text};

/// A statement over rows, and the columns of these.
pub(super) struct Batch {
    pub(super) columns: &'static [Column],
    pub(super) statement: Statement,
}

type Lazy = LazyLock<Batch>;

macro_rules! over {
    ([$($column:expr),+ $(,)?], $text:expr) => {
        LazyLock::new(|| {
            static COLUMNS: &[Column] = &[$($column),+];
            Batch { columns: COLUMNS, statement: Statement::over(COLUMNS, $text) }
        })
    };
}

/// Takes the locks of rooms, in the order of their names, so that two batches never wait for each
/// other, and reads their heads. `now` is the store's time once it has the lock.
///
/// SQLite has locked everything already, when the transaction began.
pub(super) static LOCK: LazyLock<(Batch, Statement)> = LazyLock::new(|| {
    static COLUMNS: &[Column] = &[text("room")];
    let columns = "l.room, l.epoch, l.seq, l.id, l.at_ms, l.epoch_start";
    let sqlite = Statement::over(
        COLUMNS,
        &format!(
            "SELECT {columns}, {{now 0}} FROM given g CROSS JOIN logs l WHERE l.room = g.room"
        ),
    );
    let postgres = Statement::new(&format!(
        "WITH locked AS MATERIALIZED (
             SELECT {columns} FROM logs l WHERE l.room = ANY({{0}}::text[]) ORDER BY l.room FOR UPDATE
         ) SELECT *, {{now 1}} FROM locked"
    ));
    let batch = Batch {
        columns: COLUMNS,
        statement: sqlite,
    };
    (batch, postgres)
});

/// Makes heads of rooms that have none. What is left of a log whose head was lost is gone on from.
/// Answers those that it made; another node may be making the others.
pub(super) static CREATE: Lazy = over!(
    [text("room"), int("epoch")],
    "INSERT INTO logs (room, epoch, seq, id, at_ms, epoch_start, used_ms)
     SELECT g.room, g.epoch,
            coalesce(e.seq, m.seq, 0), coalesce(e.id, g.epoch),
            coalesce(e.at_ms, {now 0}), coalesce(e.seq, m.seq, 0) + 1, {now 0}
     FROM given g
     LEFT JOIN entries e ON e.room = g.room
         AND e.seq = (SELECT max(seq) FROM entries x WHERE x.room = g.room)
     LEFT JOIN messages m ON m.room = g.room
         AND m.seq = (SELECT max(seq) FROM messages x WHERE x.room = g.room)
     WHERE true
     ORDER BY g.room
     ON CONFLICT (room) DO NOTHING
     RETURNING room, epoch, seq, id, at_ms, epoch_start, used_ms"
);

/// Which keys were used before, in this window or the one before it.
pub(super) static KEYS: Lazy = over!(
    [int("window_ms"), text("room"), text("user_id"), text("key")],
    "SELECT k.room, k.user_id, k.key, k.content, k.epoch, k.seq, k.id, k.at_ms
     FROM given g CROSS JOIN keys k
     WHERE k.window_ms = g.window_ms AND k.room = g.room
         AND k.user_id = g.user_id AND k.key = g.key"
);

/// The messages that entries change.
pub(super) static TARGETS: Lazy = over!(
    [text("room"), int("seq")],
    "SELECT m.room, m.seq, m.entry, m.author, CAST(CASE WHEN m.text IS NULL THEN 1 ELSE 0 END AS bigint)
     FROM given g CROSS JOIN messages m WHERE m.room = g.room AND m.seq = g.seq"
);

/// How many users each emoji of these messages has.
pub(super) static EMOJI: Lazy = over!(
    [text("room"), int("seq")],
    "SELECT r.room, r.seq, r.emoji, count(*)
     FROM given g CROSS JOIN reactions r WHERE r.room = g.room AND r.seq = g.seq
     GROUP BY r.room, r.seq, r.emoji"
);

/// Which of these reactions are there.
pub(super) static PRESENT: Lazy = over!(
    [text("room"), int("seq"), text("emoji"), text("user_id")],
    "SELECT r.room, r.seq, r.emoji, r.user_id
     FROM given g CROSS JOIN reactions r
     WHERE r.room = g.room AND r.seq = g.seq AND r.emoji = g.emoji AND r.user_id = g.user_id"
);

/// The entries that hold text of these messages.
pub(super) static TEXTS: Lazy = over!(
    [text("room"), int("seq")],
    "SELECT e.room, e.seq, g.seq, e.tail
     FROM given g CROSS JOIN entries e WHERE e.room = g.room AND e.seq = g.seq
     UNION ALL
     SELECT e.room, e.seq, g.seq, e.tail
     FROM given g CROSS JOIN entries e WHERE e.room = g.room AND e.edits = g.seq"
);

pub(super) static ENTRIES: Lazy = over!(
    [
        text("room"),
        int("seq"),
        int("epoch"),
        int("id"),
        int("prev"),
        int("at_ms"),
        int("edits"),
        blob("tail"),
    ],
    "INSERT INTO entries (room, seq, epoch, id, prev, at_ms, edits, tail) SELECT * FROM given"
);

pub(super) static MESSAGES: Lazy = over!(
    [
        text("room"),
        int("seq"),
        int("entry"),
        text("author"),
        text("text"),
        int("sent_ms"),
        int("reply_seq"),
        int("reply_entry"),
        text("mentions"),
        text("meta"),
    ],
    "INSERT INTO messages
         (room, seq, entry, author, text, sent_ms, reply_seq, reply_entry, mentions, meta)
     SELECT * FROM given"
);

pub(super) static KEYS_USED: Lazy = over!(
    [
        int("window_ms"),
        text("room"),
        text("user_id"),
        text("key"),
        blob("content"),
        int("epoch"),
        int("seq"),
        int("id"),
        int("at_ms"),
    ],
    "INSERT INTO keys (window_ms, room, user_id, key, content, epoch, seq, id, at_ms)
     SELECT * FROM given"
);

pub(super) static TOUCHED: Lazy = over!(
    [text("room"), int("seq"), int("changed_seq")],
    "UPDATE messages AS m SET changed_seq = g.changed_seq
     FROM given g WHERE m.room = g.room AND m.seq = g.seq"
);

pub(super) static EDITED: Lazy = over!(
    [
        text("room"),
        int("seq"),
        text("text"),
        text("mentions"),
        int("edited_ms"),
    ],
    "UPDATE messages AS m SET text = g.text, mentions = g.mentions, edited_ms = g.edited_ms
     FROM given g WHERE m.room = g.room AND m.seq = g.seq"
);

pub(super) static ERASED: Lazy = over!(
    [text("room"), int("seq")],
    "UPDATE messages AS m SET text = NULL, mentions = NULL, meta = NULL, edited_ms = NULL
     FROM given g WHERE m.room = g.room AND m.seq = g.seq"
);

/// All reactions to messages that were deleted.
pub(super) static REACTIONS_ERASED: Lazy = over!(
    [text("room"), int("seq")],
    "DELETE FROM reactions WHERE (room, seq) IN (SELECT room, seq FROM given)"
);

pub(super) static REACTIONS_REMOVED: Lazy = over!(
    [text("room"), int("seq"), text("emoji"), text("user_id")],
    "DELETE FROM reactions WHERE (room, seq, emoji, user_id) IN (SELECT * FROM given)"
);

pub(super) static REACTIONS_ADDED: Lazy = over!(
    [
        text("room"),
        int("seq"),
        text("emoji"),
        text("user_id"),
        int("since"),
    ],
    "INSERT INTO reactions (room, seq, emoji, user_id, since) SELECT * FROM given WHERE true
     ON CONFLICT DO NOTHING"
);

pub(super) static BLANKED: Lazy = over!(
    [text("room"), int("seq"), blob("tail")],
    "UPDATE entries AS e SET tail = g.tail FROM given g WHERE e.room = g.room AND e.seq = g.seq"
);

/// Where rooms stand now. Their rows are there and ours.
pub(super) static HEADS: Lazy = over!(
    [
        text("room"),
        int("epoch"),
        int("seq"),
        int("id"),
        int("at_ms"),
        int("epoch_start"),
        int("used_ms"),
    ],
    "INSERT INTO logs (room, epoch, seq, id, at_ms, epoch_start, used_ms)
     SELECT * FROM given WHERE true
     ON CONFLICT (room) DO UPDATE SET
         seq = excluded.seq, id = excluded.id, at_ms = excluded.at_ms, used_ms = excluded.used_ms"
);

/// Entries that no read answers any more.
pub(super) static TRIM: Lazy = over!(
    [text("room"), int("below")],
    "DELETE FROM entries WHERE (room, seq) IN (
         SELECT e.room, e.seq FROM given g CROSS JOIN entries e
         WHERE e.room = g.room AND e.seq < g.below
     )"
);
