//! Reading entries: what the script answers, made into what the seam promises.

use chat_core::envelope::{self, Envelope};
use chat_core::limits::READ_BYTES_MAX;
use chat_core::{Entry, EntryId, Epoch, Head, Position, ReadAfter, ReadError, RoomId, Topic};
use redis::{Cmd, Value};

use super::value::{array, bytes, damaged, number, word};
use crate::limits::READ_STEP;
use crate::script;
use crate::shared::Shared;

/// What a read script says first.
pub(super) enum HeadAnswer {
    Found(Vec<Value>),
    NoLog,
    /// There is a stream, and no head.
    HeadLost,
}

pub(super) fn head_answer(answer: Value) -> Result<HeadAnswer, ReadError> {
    let values = array(answer)?;
    Ok(match values.as_slice() {
        [Value::Int(0)] => HeadAnswer::NoLog,
        [Value::Int(1)] => HeadAnswer::HeadLost,
        _ => HeadAnswer::Found(values),
    })
}

/// A head out of its five fields; `None` if there is none.
pub(super) fn head_of(answer: Value) -> Result<Option<Head>, ReadError> {
    if answer == Value::Nil {
        return Ok(None);
    }
    let mut fields = array(answer)?.into_iter();
    if fields.as_slice().first() == Some(&Value::Nil) {
        return Ok(None);
    }
    head(&mut fields).map(Some)
}

fn head(fields: &mut impl Iterator<Item = Value>) -> Result<Head, ReadError> {
    let epoch = Epoch::from_bytes(word(&bytes(fields.next())?)?);
    let seq = number(fields.next())?;
    let id = EntryId::from_bytes(word(&bytes(fields.next())?)?);
    Ok(Head {
        position: Position { epoch, seq, id },
        at_ms: number(fields.next())?,
        epoch_start: number(fields.next())?,
    })
}

pub(super) fn read_call(shared: &Shared, room: &RoomId, seq: u64, max: usize) -> Cmd {
    let keys = shared.keys.log(room);
    let mut call = script::READ.call(&[keys.log, keys.head, keys.changed]);
    call.arg(seq)
        .arg(max)
        .arg(shared.config.log_max)
        .arg(READ_BYTES_MAX)
        .arg(READ_STEP.min(max + 1));
    call
}

pub(super) fn read_after(
    room: &RoomId,
    seq: u64,
    values: Vec<Value>,
) -> Result<ReadAfter, ReadError> {
    let mut values = values.into_iter();
    let head = head(&mut values)?;
    let at_seq = bytes(values.next())?;
    let erased = bytes(values.next())?;
    let mut entries = Vec::with_capacity(erased.len());
    for flag in erased {
        let mut entry = decode(room, &bytes(values.next())?)?;
        if flag == b'1' {
            entry.body.erase();
        }
        entries.push(entry);
    }
    let anchor = if at_seq.is_empty() {
        let next = entries
            .first()
            .filter(|entry| entry.position.seq == seq + 1);
        let of_head = (head.position.seq == seq).then_some(head.position.id);
        of_head.or(next.map(|entry| entry.prev))
    } else {
        Some(EntryId::from_bytes(word(&at_seq)?))
    };
    Ok(ReadAfter {
        anchor,
        entries,
        head: Some(head),
    })
}

pub(super) fn decode(room: &RoomId, stored: &[u8]) -> Result<Entry, ReadError> {
    match envelope::decode(&Topic::Room(room.clone()), stored) {
        Ok(Envelope::Entry(entry)) => Ok(entry),
        Ok(_) => Err(damaged("a stored envelope is no entry")),
        Err(error) => Err(ReadError::Damaged(error.to_string())),
    }
}
