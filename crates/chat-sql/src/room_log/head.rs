//! Opening a log, and giving it another epoch.

use std::sync::LazyLock;

use chat_core::{Epoch, Head, ReadError, RoomId};

use super::statements;
use super::transaction::{head_at, signed};
use crate::db::{Arg, Db, Failure, Rows, Statement};

/// The head, and how long ago the room was used.
static HEAD: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "SELECT epoch, seq, id, at_ms, epoch_start, {now 1} - used_ms FROM logs WHERE room = {0}",
    )
});

static USED: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "UPDATE logs SET used_ms = {now 1} WHERE room = {0}
         RETURNING epoch, seq, id, at_ms, epoch_start",
    )
});

static SET_EPOCH: LazyLock<Statement> = LazyLock::new(|| {
    Statement::new(
        "UPDATE logs SET epoch = {2}, epoch_start = {3} WHERE room = {0} AND epoch = {1}
         RETURNING epoch, seq, id, at_ms, epoch_start",
    )
});

/// The head of a room, made if there is none. Marks the room as used if that is `renew_ms` ago.
pub(super) async fn open(db: &Db, room: &RoomId, renew_ms: u64) -> Result<Head, ReadError> {
    let asked = || vec![Arg::from(room.as_str()), Arg::Now];
    // Whoever makes it may be somebody else, and then it is there.
    for _ in 0..2 {
        if let Some(row) = db.read(&HEAD, asked()).await?.first() {
            if row.int(5)? < signed(renew_ms) {
                return Ok(head_at(row, 0)?);
            }
            if let Some(row) = db.write(&USED, asked()).await?.first() {
                return Ok(head_at(row, 0)?);
            }
        }
        let mut rows = Rows::new(statements::CREATE.columns);
        rows.name(room.as_str())
            .int(Epoch::random().0.cast_signed());
        let mut args = db.args(rows);
        args.push(Arg::Now);
        if let Some(row) = db.write(&statements::CREATE.statement, args).await?.first() {
            return Ok(head_at(row, 1)?);
        }
    }
    Err(Failure::damaged("a log that was opened has no head").into())
}

pub(super) async fn set_epoch(
    db: &Db,
    room: &RoomId,
    known: Epoch,
    epoch_start: u64,
    renew_ms: u64,
) -> Result<Head, ReadError> {
    let args = vec![
        Arg::from(room.as_str()),
        known.0.cast_signed().into(),
        Epoch::random().0.cast_signed().into(),
        signed(epoch_start).into(),
    ];
    match db.write(&SET_EPOCH, args).await?.first() {
        Some(row) => Ok(head_at(row, 0)?),
        // Somebody else set it, or there is none: whatever comes up is another epoch.
        None => open(db, room, renew_ms).await,
    }
}
