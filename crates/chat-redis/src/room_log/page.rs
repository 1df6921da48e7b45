//! Pages of messages: a search that looks at a bounded number of entries per call.

use chat_core::limits::READ_BYTES_MAX;
use chat_core::{Message, MessageId, Page, PageFrom, ReadError, RoomId};
use redis::{Cmd, Value};

use super::overlay;
use super::read::decode;
use super::value::{array, bytes, number};
use crate::limits::{PAGE_SCAN_MAX, READ_STEP};
use crate::script;
use crate::shared::Shared;

/// A page in the making.
#[derive(Debug)]
pub(super) struct Search {
    from: PageFrom,
    max: usize,
    bytes_left: u64,
    page: Page,
    done: bool,
}

/// What one call found.
#[derive(Debug)]
pub(super) struct Found {
    /// Where to go on; nothing at the end.
    next: Option<u64>,
    more: bool,
    bytes: u64,
    pub(super) messages: Vec<Message>,
}

impl Search {
    pub(super) fn new(from: PageFrom, max: usize) -> Self {
        Self {
            from,
            max,
            bytes_left: READ_BYTES_MAX as u64,
            page: Page::default(),
            done: false,
        }
    }

    pub(super) fn next_call(&self, shared: &Shared, room: &RoomId) -> Option<Cmd> {
        if self.done {
            return None;
        }
        let (direction, seq) = match self.from {
            PageFrom::Before(seq) => ("b", seq),
            PageFrom::After(seq) => ("a", seq),
        };
        let have = self.page.messages.len();
        Some(call(
            shared,
            room,
            direction,
            seq,
            (self.max, self.bytes_left, have),
        ))
    }

    pub(super) fn take(&mut self, room: &RoomId, values: Vec<Value>) -> Result<(), ReadError> {
        let found = messages(room, values)?;
        self.page.messages.extend(found.messages);
        self.page.more = found.more;
        self.bytes_left = self.bytes_left.saturating_sub(found.bytes);
        match (found.next, &mut self.from) {
            (Some(next), PageFrom::Before(seq) | PageFrom::After(seq)) => *seq = next,
            (None, _) => self.done = true,
        }
        Ok(())
    }

    pub(super) fn finish(mut self) -> Page {
        if matches!(self.from, PageFrom::Before(_)) {
            self.page.messages.reverse();
        }
        self.page
    }
}

/// Asks for one message.
pub(super) fn message_call(shared: &Shared, room: &RoomId, id: MessageId) -> Cmd {
    call(shared, room, "m", id.seq, (1, READ_BYTES_MAX as u64, 0))
}

fn call(
    shared: &Shared,
    room: &RoomId,
    direction: &str,
    seq: u64,
    (max, bytes_max, have): (usize, u64, usize),
) -> Cmd {
    let keys = shared.keys.log(room);
    let mut call = script::PAGE.call(&[keys.log, keys.head, keys.changed]);
    call.arg(direction)
        // Lua counts in doubles; no log is anywhere near this long.
        .arg(seq.min(1 << 52))
        .arg(max)
        .arg(shared.config.log_max)
        .arg(bytes_max)
        .arg(READ_STEP)
        .arg(PAGE_SCAN_MAX)
        .arg(have);
    call
}

pub(super) fn messages(room: &RoomId, values: Vec<Value>) -> Result<Found, ReadError> {
    let mut values = values.into_iter();
    let next = match values.next() {
        Some(Value::Int(next)) => Some(u64::try_from(next).unwrap_or(0)),
        _ => None,
    };
    let more = number(values.next())? == 1;
    let taken = number(values.next())?;
    let mut messages = Vec::with_capacity(values.len());
    for found in values {
        let mut found = array(found)?.into_iter();
        let added = decode(room, &bytes(found.next())?)?;
        let (state, text) = (bytes(found.next())?, bytes(found.next())?);
        let reactions = found.next().unwrap_or(Value::Array(Vec::new()));
        messages.push(overlay::message(&added, &state, &text, reactions)?);
    }
    Ok(Found {
        next,
        more,
        bytes: taken,
        messages,
    })
}
