//! Logs that come from elsewhere: messages in the stream, below the first entry that is read as one.

use async_trait::async_trait;
use chat_core::envelope::{encode_entry, encode_entry_tail};
use chat_core::{
    EntryBody, EntryHeader, EntryId, Epoch, Head, InstanceId, LogTransfer, Message, Millis,
    Position, ReadError, RestoreError, RoomId,
};
use redis::{Cmd, Value};

use super::read::head_of;
use super::{RedisRoomLog, millis};
use crate::script;

#[async_trait]
impl LogTransfer for RedisRoomLog {
    async fn start_over(
        &self,
        room: &RoomId,
        seq: u64,
        at_ms: Millis,
    ) -> Result<Head, RestoreError> {
        let keys = self.shared.keys.log(room);
        let start = Position::start(Epoch::random());
        let id = if seq == 0 {
            start.id
        } else {
            EntryId::random()
        };
        let mut call = script::START_OVER.call(&[
            keys.log,
            keys.head,
            keys.changed,
            keys.keys_cur,
            keys.keys_prev,
        ]);
        call.arg(seq)
            .arg(at_ms)
            .arg(&start.epoch.to_bytes())
            .arg(&id.to_bytes())
            .arg(millis(self.shared.config.log_ttl));
        let head = head_of(self.ask(call).await.map_err(failed)?).map_err(failed)?;
        head.ok_or_else(|| unavailable("a log was not started"))
    }

    async fn put_messages(
        &self,
        room: &RoomId,
        messages: Vec<Message>,
    ) -> Result<usize, RestoreError> {
        let keys = self.shared.keys.log(room);
        let mut call = script::PUT.call(&[keys.log, keys.head, keys.changed]);
        call.arg(self.shared.config.log_max)
            .arg(millis(self.shared.config.log_ttl));
        for message in &messages {
            put(&mut call, self.shared.instance, message);
        }
        match self.ask(call).await.map_err(failed)? {
            Value::Int(kept) => Ok(usize::try_from(kept).unwrap_or(0)),
            _ => Err(unavailable("its head is lost")),
        }
    }
}

fn put(call: &mut Cmd, origin: InstanceId, message: &Message) {
    let header = EntryHeader {
        // No entry of a log has this epoch: see the script.
        position: Position {
            epoch: Epoch(0),
            seq: message.id.seq,
            id: message.id.entry,
        },
        prev: EntryId(0),
        at_ms: message.sent_at_ms,
    };
    let tail = |body: &EntryBody| encode_entry_tail(origin, &message.room, &message.from, body);
    let envelope = encode_entry(&header, &tail(&message.as_added()));
    call.arg(message.id.seq)
        .arg(envelope.as_ref())
        .arg(message.from.as_str())
        .arg(state(message));
    let deleted_by = message.changed_seq.filter(|_| message.is_deleted());
    call.arg(deleted_by.map_or_else(String::new, |seq| seq.to_string()));
    let newest_text = message.edited_at_ms.map(|at_ms| {
        let body = EntryBody::MessageUpdated {
            message: message.id,
            text: message.text.clone(),
            mentions: message.mentions.clone(),
        };
        [&at_ms.to_be_bytes()[..], &tail(&body)].concat()
    });
    call.arg(newest_text.unwrap_or_default());
    call.arg(message.reactions.len());
    for (emoji, users) in &message.reactions {
        let names = users.iter().flat_map(|user| [user.as_str(), " "]);
        let names: String = std::iter::once(" ").chain(names).collect();
        call.arg(emoji.as_bytes()).arg(names);
    }
}

/// What has become of a message, as the append script writes it; empty if nothing.
fn state(message: &Message) -> Vec<u8> {
    let Some(changed_seq) = message.changed_seq else {
        return Vec::new();
    };
    let flag = match (message.is_deleted(), message.edited_at_ms) {
        (true, _) => b'd',
        (false, Some(_)) => b'e',
        (false, None) => b'-',
    };
    let mut state = message.id.entry.to_bytes().to_vec();
    state.push(flag);
    state.extend(changed_seq.to_be_bytes());
    for emoji in message.reactions.keys() {
        // An emoji has at most 64 bytes.
        state.push(u8::try_from(emoji.len()).unwrap_or(u8::MAX));
        state.extend(emoji.as_bytes());
    }
    state
}

fn failed(error: ReadError) -> RestoreError {
    RestoreError::Unavailable(error.to_string())
}

fn unavailable(why: &str) -> RestoreError {
    RestoreError::Unavailable(why.to_owned())
}
