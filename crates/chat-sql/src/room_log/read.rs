//! Reading: entries after a seq, pages of messages, heads. Each is one statement, which sees one state.

use std::sync::LazyLock;

use chat_core::envelope::decode_entry;
use chat_core::limits::READ_BYTES_MAX;
use chat_core::{
    Emoji, Entry, EntryHeader, EntryId, Head, Message, MessageId, Meta, Page, PageFrom, Reactions,
    ReadAfter, ReadError, RoomId, Text, UserId,
};

use super::transaction::{head_at, name, position_at, signed};
use crate::db::{Arg, Column, Db, Failure, Row, Rows, Statement, text};
use crate::limits::{HEADS_CHUNK, REACTION_BYTES};
use crate::text::loaded;

/// The head, and beside each entry of the answer the same head. `{1}` seq, `{2}` `log_max`, `{3}` count,
/// `{4}` bytes. Of the window of bytes at least one entry stays.
static AFTER: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "WITH head AS (
             SELECT epoch, seq, id, at_ms, epoch_start FROM logs WHERE room = {0}
         ), kept AS (
             SELECT e.seq, e.epoch, e.id, e.prev, e.at_ms, e.tail,
                    sum(length(e.tail)) OVER (ORDER BY e.seq) AS bytes,
                    row_number() OVER (ORDER BY e.seq) AS place
             FROM entries e, head
             WHERE e.room = {0} AND e.seq > {1} AND e.seq > head.seq - {2} AND e.seq <= head.seq
             ORDER BY e.seq LIMIT {3}
         )
         SELECT head.epoch, head.seq, head.id, head.at_ms, head.epoch_start,
                kept.epoch, kept.seq, kept.id, kept.prev, kept.at_ms, kept.tail
         FROM head LEFT JOIN kept ON kept.place = 1 OR kept.bytes <= {4}
         ORDER BY kept.seq",
    )
});

/// One message with its reactions, a JSON array of pairs.
pub(super) fn message_columns(reactions: &str) -> String {
    format!(
        "m.seq, m.entry, m.author, m.text, m.sent_ms, m.edited_ms, m.reply_seq, m.reply_entry,
         m.mentions, m.meta, m.changed_seq, ({reactions})"
    )
}

pub(super) const REACTIONS_SQLITE: &str = "SELECT json_group_array(json_array(r.emoji, r.user_id))
     FROM (SELECT emoji, user_id FROM reactions WHERE room = m.room AND seq = m.seq ORDER BY since) r";
pub(super) const REACTIONS_POSTGRES: &str =
    "SELECT json_agg(json_build_array(r.emoji, r.user_id) ORDER BY r.since)::text
     FROM reactions r WHERE r.room = m.room AND r.seq = m.seq";

/// `{1}` seq, `{2}` count, `{3}` bytes: the first message above them too, and the second whatever the
/// first has, so that it is known that there is more.
fn page_statement(compare: &str, order: &str) -> Statement {
    let of = |reactions: &str| {
        format!(
            "SELECT {} FROM (
                 SELECT *, sum(size) OVER (ORDER BY seq {order}) - size AS before,
                        row_number() OVER (ORDER BY seq {order}) AS place
                 FROM (
                     SELECT *, coalesce(length(text), 0) + coalesce(length(meta), 0)
                         + {REACTION_BYTES} * (SELECT count(*) FROM reactions r
                                               WHERE r.room = w.room AND r.seq = w.seq) AS size
                     FROM messages w WHERE room = {{0}} AND seq {compare} {{1}}
                     ORDER BY seq {order} LIMIT {{2}}
                 ) AS wanted
             ) AS m WHERE before <= {{3}} OR place = 2 ORDER BY seq {order}",
            message_columns(reactions)
        )
    };
    Statement::differing(&of(REACTIONS_SQLITE), &of(REACTIONS_POSTGRES))
}

static BEFORE: LazyLock<Statement> = LazyLock::new(|| page_statement("<", "DESC"));
static BEHIND: LazyLock<Statement> = LazyLock::new(|| page_statement(">", "ASC"));

static MESSAGE: LazyLock<Statement> = LazyLock::new(|| {
    let of = |reactions: &str| {
        format!(
            "SELECT {} FROM messages m WHERE m.room = {{0}} AND m.seq = {{1}} AND m.entry = {{2}}",
            message_columns(reactions)
        )
    };
    Statement::differing(&of(REACTIONS_SQLITE), &of(REACTIONS_POSTGRES))
});

const HEADS_COLUMNS: &[Column] = &[text("room")];
static HEADS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::over(
        HEADS_COLUMNS,
        "SELECT l.room, l.epoch, l.seq, l.id, l.at_ms, l.epoch_start
         FROM given g CROSS JOIN logs l WHERE l.room = g.room",
    )
});

pub(super) async fn after(
    db: &Db,
    room: &RoomId,
    seq: u64,
    max: usize,
    log_max: u64,
) -> Result<ReadAfter, ReadError> {
    let args = vec![
        Arg::from(room.as_str()),
        signed(seq).into(),
        signed(log_max).into(),
        count(max).into(),
        count(READ_BYTES_MAX).into(),
    ];
    let rows = db.read(&AFTER, args).await?;
    let Some(first) = rows.first() else {
        return Ok(ReadAfter {
            anchor: None,
            entries: Vec::new(),
            head: None,
        });
    };
    let head = head_at(first, 0)?;
    let mut entries = Vec::with_capacity(rows.len());
    if first.optional_int(6)?.is_some() {
        for row in &rows {
            entries.push(entry(room, row)?);
        }
    }
    Ok(ReadAfter {
        anchor: anchor(seq, &head, entries.first()),
        entries,
        head: Some(head),
    })
}

/// The id that the log has at a seq.
fn anchor(seq: u64, head: &Head, next: Option<&Entry>) -> Option<EntryId> {
    if seq == head.position.seq {
        return Some(head.position.id);
    }
    // Entries are contiguous and chained: what the next one follows is the one at `seq`.
    next.filter(|next| Some(next.position.seq) == seq.checked_add(1))
        .map(|next| next.prev)
}

fn entry(room: &RoomId, row: &Row) -> Result<Entry, ReadError> {
    let header = EntryHeader {
        position: position_at(row, 5)?,
        prev: EntryId(row.word(8)?),
        at_ms: row.count(9)?,
    };
    let tail = row.bytes(10)?;
    decode_entry(room, &header, &tail).map_err(|error| ReadError::Damaged(error.to_string()))
}

pub(super) async fn page(
    db: &Db,
    room: &RoomId,
    from: PageFrom,
    max: usize,
) -> Result<Page, ReadError> {
    let (statement, seq) = match from {
        PageFrom::Before(seq) => (&*BEFORE, seq),
        PageFrom::After(seq) => (&*BEHIND, seq),
    };
    let args = vec![
        Arg::from(room.as_str()),
        signed(seq).into(),
        count(max + 1).into(),
        count(READ_BYTES_MAX).into(),
    ];
    let rows = db.read(statement, args).await?;
    let mut page = Page::default();
    let mut bytes = 0;
    for row in &rows {
        let message = message_at(room, row, 0)?;
        // Not below what the statement counts, or what it leaves out would look like the end.
        let reactions: usize = message.reactions.values().map(Vec::len).sum();
        bytes += message.size_hint() + REACTION_BYTES * reactions;
        let full = page.messages.len() == max || bytes > READ_BYTES_MAX;
        if full && !page.messages.is_empty() {
            page.more = true;
            break;
        }
        page.messages.push(message);
    }
    if matches!(from, PageFrom::Before(_)) {
        page.messages.reverse();
    }
    Ok(page)
}

pub(super) async fn one(
    db: &Db,
    room: &RoomId,
    id: MessageId,
) -> Result<Option<Message>, ReadError> {
    let args = vec![
        Arg::from(room.as_str()),
        signed(id.seq).into(),
        id.entry.0.cast_signed().into(),
    ];
    let rows = db.read(&MESSAGE, args).await?;
    Ok(rows
        .first()
        .map(|row| message_at(room, row, 0))
        .transpose()?)
}

/// A message in the [`message_columns`] from `at` on.
pub(super) fn message_at(room: &RoomId, row: &Row, at: usize) -> Result<Message, Failure> {
    let reply_to = match (row.optional_count(at + 6)?, row.optional_int(at + 7)?) {
        (Some(seq), Some(entry)) => Some(MessageId {
            seq,
            entry: EntryId(entry.cast_unsigned()),
        }),
        _ => None,
    };
    Ok(Message {
        id: MessageId {
            seq: row.count(at)?,
            entry: EntryId(row.word(at + 1)?),
        },
        room: room.clone(),
        from: name(row, at + 2, UserId::new)?,
        text: content(row.optional_text(at + 3)?, Text::new)?,
        sent_at_ms: row.count(at + 4)?,
        edited_at_ms: row.optional_count(at + 5)?,
        reply_to,
        mentions: mentions(row.optional_text(at + 8)?)?,
        reactions: reactions(row.optional_text(at + 11)?)?,
        meta: content(row.optional_text(at + 9)?, Meta::new)?,
        changed_seq: row.optional_count(at + 10)?,
    })
}

pub(super) fn mentions(json: Option<String>) -> Result<Vec<UserId>, Failure> {
    json.map_or(Ok(Vec::new()), |json| parse(&json))
}

fn content<T, E>(
    stored: Option<String>,
    check: impl Fn(String) -> Result<T, E>,
) -> Result<Option<T>, Failure> {
    stored
        .map(|text| check(loaded(text)))
        .transpose()
        .map_err(|_| Failure::damaged("a text is none"))
}

fn reactions(json: Option<String>) -> Result<Reactions, Failure> {
    let mut reactions = Reactions::new();
    let pairs: Vec<(String, UserId)> = json.map_or(Ok(Vec::new()), |json| parse(&json))?;
    for (emoji, user) in pairs {
        let emoji = Emoji::new(loaded(emoji)).map_err(|_| Failure::damaged("an emoji is none"))?;
        reactions.entry(emoji).or_default().push(user);
    }
    Ok(reactions)
}

fn parse<T: serde::de::DeserializeOwned>(json: &str) -> Result<T, Failure> {
    serde_json::from_str(json).map_err(|error| Failure::damaged(error.to_string()))
}

pub(super) async fn heads(db: &Db, rooms: &[RoomId]) -> Result<Vec<Option<Head>>, ReadError> {
    let mut heads = vec![None; rooms.len()];
    for (chunk, heads) in rooms.chunks(HEADS_CHUNK).zip(heads.chunks_mut(HEADS_CHUNK)) {
        let mut wanted = Rows::new(HEADS_COLUMNS);
        for room in chunk {
            wanted.name(room.as_str());
        }
        let mut found = std::collections::HashMap::with_capacity(chunk.len());
        for row in db.read(&HEADS, db.args(wanted)).await? {
            found.insert(row.text(0)?, head_at(&row, 1)?);
        }
        for (room, head) in chunk.iter().zip(heads) {
            *head = found.get(room.as_str()).copied();
        }
    }
    Ok(heads)
}

fn count(of: usize) -> i64 {
    i64::try_from(of).unwrap_or(i64::MAX)
}
