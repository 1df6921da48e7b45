//! What is unread, counted where the messages are: no message leaves the database for it but the
//! newest of each room.

use std::sync::LazyLock;

use chat_core::limits::UNREAD_MAX;
use chat_core::{Digest, EntryId, MessageId, ReadError, RoomId, Unread, UserId};

use super::read::{self, REACTIONS_POSTGRES, REACTIONS_SQLITE, message_columns};
use super::transaction::{name, signed};
use crate::db::{Arg, Column, Db, Failure, Row, Rows, Statement, int, text};
use crate::limits::UNREAD_ROOMS;

static DIGESTS: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "SELECT seq, entry, author, mentions, CAST(CASE WHEN text IS NULL THEN 1 ELSE 0 END AS bigint)
         FROM messages WHERE room = {0} ORDER BY seq DESC LIMIT {1}",
    )
});

const COLUMNS: &[Column] = &[int("place"), text("room"), int("read_seq")];
/// What a mention counts in the sum below, in which a message counts 1.
const MENTION: i64 = 1_000;

/// `{0}` the user, `{1}` as mentions have him, `{2}` the most that is counted.
///
/// From the newest message down to the marker, as long as none is the user's own: he has read all
/// before that. Messages and mentions are told apart in one sum, because a subquery answers one
/// value; the limit keeps them apart.
static UNREAD: LazyLock<Statement> = LazyLock::new(|| {
    let of = |reactions: &str| {
        format!(
            "SELECT g.place, coalesce((
                 SELECT sum(1 + {MENTION} * w.mentioned) FROM (
                     SELECT CASE WHEN replace(m.mentions, {{1}}, '') <> m.mentions
                                 THEN 1 ELSE 0 END AS mentioned,
                            sum(CASE WHEN m.author = {{0}} THEN 1 ELSE 0 END)
                                OVER (ORDER BY m.seq DESC) AS own
                     FROM messages m
                     WHERE m.room = g.room AND m.seq > g.read_seq
                         AND (m.text IS NOT NULL OR m.author = {{0}})
                     ORDER BY m.seq DESC LIMIT {{2}}
                 ) AS w WHERE w.own = 0
             ), 0), {}
             FROM given g
             LEFT JOIN messages m ON m.room = g.room
                 AND m.seq = (SELECT max(x.seq) FROM messages x WHERE x.room = g.room)",
            message_columns(reactions)
        )
    };
    Statement::over_differing(COLUMNS, &of(REACTIONS_SQLITE), &of(REACTIONS_POSTGRES))
});

pub(super) async fn digests(db: &Db, room: &RoomId, max: usize) -> Result<Vec<Digest>, ReadError> {
    let args = vec![room.as_str().into(), signed(max as u64).into()];
    let rows = db.read(&DIGESTS, args).await?;
    let newest_first = rows.iter().rev().map(digest);
    Ok(newest_first.collect::<Result<_, _>>()?)
}

fn digest(row: &Row) -> Result<Digest, Failure> {
    Ok(Digest {
        id: MessageId {
            seq: row.count(0)?,
            entry: EntryId(row.word(1)?),
        },
        from: name(row, 2, UserId::new)?,
        mentions: read::mentions(row.optional_text(3)?)?,
        deleted: row.int(4)? != 0,
    })
}

pub(super) async fn unread(
    db: &Db,
    user: &UserId,
    rooms: &[(RoomId, u64)],
) -> Result<Vec<Unread>, ReadError> {
    let mut all = vec![Unread::default(); rooms.len()];
    for (chunk, found) in rooms.chunks(UNREAD_ROOMS).zip(all.chunks_mut(UNREAD_ROOMS)) {
        let mut wanted = Rows::new(COLUMNS);
        for (place, (room, read)) in chunk.iter().enumerate() {
            let place = i64::try_from(place).unwrap_or(i64::MAX);
            wanted.int(place).name(room.as_str()).int(signed(*read));
        }
        let mut args = db.args(wanted);
        // As a JSON array has a name: none has a character that would be written otherwise.
        args.extend([
            Arg::from(user.as_str()),
            Arg::Text(format!("\"{user}\"")),
            i64::from(UNREAD_MAX).into(),
        ]);
        for row in db.read(&UNREAD, args).await? {
            let place = usize::try_from(row.count(0)?).unwrap_or(usize::MAX);
            let Some(((room, _), found)) = chunk.get(place).zip(found.get_mut(place)) else {
                return Err(Failure::damaged("an answer is about no question").into());
            };
            let sum = row.int(1)?;
            found.unread = u32::try_from(sum % MENTION).unwrap_or(UNREAD_MAX);
            found.mentions = u32::try_from(sum / MENTION).unwrap_or(UNREAD_MAX);
            if row.optional_int(2)?.is_some() {
                found.last = Some(read::message_at(room, &row, 2)?);
            }
        }
    }
    Ok(all)
}
