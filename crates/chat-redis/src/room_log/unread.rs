//! What is unread in many rooms: counted where the log is, because only the newest message and those
//! that may mention somebody have to travel.

use chat_core::limits::{READ_BYTES_MAX, UNREAD_MAX};
use chat_core::{Message, ReadError, RoomId, Unread, UserId};
use redis::{Cmd, Value};

use super::overlay;
use super::read::decode;
use super::value::{array, bytes, damaged, number};
use crate::limits::{PAGE_SCAN_MAX, UNREAD_STEP};
use crate::script;
use crate::shared::Shared;

/// One room's count in the making.
#[derive(Debug)]
pub(super) struct Count<'a> {
    pub(super) room: &'a RoomId,
    user: &'a UserId,
    read: u64,
    /// Only messages below are still to be counted; nothing at the beginning.
    below: Option<u64>,
    found: Unread,
    pub(super) done: bool,
    head_was_lost: bool,
}

impl<'a> Count<'a> {
    pub(super) fn new(user: &'a UserId, (room, read): &'a (RoomId, u64)) -> Self {
        Self {
            room,
            user,
            read: *read,
            below: None,
            found: Unread::default(),
            done: false,
            head_was_lost: false,
        }
    }

    pub(super) fn next_call(&self, shared: &Shared) -> Cmd {
        let keys = shared.keys.log(self.room);
        let mut call = script::UNREAD.call(&[keys.log, keys.head, keys.changed]);
        call.arg(self.user.as_str())
            // Lua counts in doubles; no log is anywhere near this long.
            .arg(self.read.min(1 << 52))
            .arg(self.below.map_or_else(String::new, |seq| seq.to_string()))
            .arg(UNREAD_MAX - self.found.unread)
            .arg(shared.config.log_max)
            .arg(READ_BYTES_MAX)
            .arg(UNREAD_STEP)
            .arg(PAGE_SCAN_MAX)
            .arg(u8::from(self.found.last.is_some()));
        call
    }

    pub(super) fn take(&mut self, values: Vec<Value>) -> Result<(), ReadError> {
        let mut values = values.into_iter();
        self.below = match values.next() {
            Some(Value::Int(next)) => Some(u64::try_from(next).unwrap_or(0)),
            _ => None,
        };
        self.done = self.below.is_none();
        let counted = number(values.next())?;
        self.found.unread += u32::try_from(counted).map_err(|_| damaged("a count is none"))?;
        match values.next() {
            Some(Value::Array(newest)) => self.found.last = Some(self.message(newest)?),
            Some(Value::Nil) => {}
            _ => return Err(damaged("an answer lacks a message")),
        }
        for named in values {
            let message = self.message(array(named)?)?;
            self.found.mentions += u32::from(message.mentions.contains(self.user));
        }
        Ok(())
    }

    /// There is a stream without a head, which is about to be set up again: once.
    pub(super) fn lose_head(&mut self) -> Result<(), ReadError> {
        if std::mem::replace(&mut self.head_was_lost, true) {
            return Err(ReadError::Unavailable("the head is lost".to_owned()));
        }
        Ok(())
    }

    pub(super) fn finish(self) -> Unread {
        self.found
    }

    fn message(&self, parts: Vec<Value>) -> Result<Message, ReadError> {
        let mut parts = parts.into_iter();
        let added = decode(self.room, &bytes(parts.next())?)?;
        let (state, text) = (bytes(parts.next())?, bytes(parts.next())?);
        let reactions = parts.next().unwrap_or(Value::Array(Vec::new()));
        overlay::message(&added, &state, &text, reactions)
    }
}
