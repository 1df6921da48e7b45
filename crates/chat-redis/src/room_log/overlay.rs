//! What has become of a message, as the append script keeps it, laid over the entry that added it.

use chat_core::envelope::{EnvelopeError, decode_entry};
use chat_core::{
    Emoji, Entry, EntryBody, EntryHeader, EntryId, Message, Millis, ReadError, UserId,
};
use redis::Value;

use super::value::{array, bytes, damaged, word};

const DELETED: u8 = b'd';
/// Id, flag and seq of the last change.
const STATE_BYTES: usize = 17;

/// The message that an entry added, as it stands now. `state` and `text` are empty, and
/// `reactions` has nothing, where nothing of that kind has happened to it.
pub(super) fn message(
    added: &Entry,
    state: &[u8],
    text: &[u8],
    reactions: Value,
) -> Result<Message, ReadError> {
    let mut message = Message::added_by(added).ok_or_else(|| damaged("an entry is no message"))?;
    if state.is_empty() {
        return Ok(message);
    }
    let fixed = state
        .get(..STATE_BYTES)
        .ok_or_else(|| damaged("the state of a message is cut off"))?;
    if EntryId::from_bytes(word(&fixed[..8])?) != message.id.entry {
        // Left over from another message at this seq.
        return Ok(message);
    }
    if fixed[8] == DELETED {
        message.erase();
    } else {
        if !text.is_empty() {
            edit(&mut message, added, text)?;
        }
        react(&mut message, reactions)?;
    }
    message.changed_seq = Some(u64::from_be_bytes(word(&fixed[9..])?));
    Ok(message)
}

/// When, and the tail of the entry that changed the text.
fn edit(message: &mut Message, added: &Entry, stored: &[u8]) -> Result<(), ReadError> {
    let (at, tail) = stored
        .split_at_checked(8)
        .ok_or_else(|| damaged("the new text of a message is cut off"))?;
    let edited_at_ms: Millis = u64::from_be_bytes(word(at)?);
    let header = EntryHeader {
        at_ms: edited_at_ms,
        ..added.header()
    };
    let entry = decode_entry(&added.room, &header, tail)
        .map_err(|error: EnvelopeError| ReadError::Damaged(error.to_string()))?;
    let EntryBody::MessageUpdated { text, mentions, .. } = entry.body else {
        return Err(damaged("the new text of a message is none"));
    };
    message.text = text;
    message.mentions = mentions;
    message.edited_at_ms = Some(edited_at_ms);
    Ok(())
}

fn react(message: &mut Message, reactions: Value) -> Result<(), ReadError> {
    let mut reactions = array(reactions)?.into_iter();
    while let Some(emoji) = reactions.next() {
        let emoji = String::from_utf8(bytes(Some(emoji))?).ok();
        let emoji = emoji.and_then(|emoji| Emoji::new(emoji).ok());
        let users = String::from_utf8(bytes(reactions.next())?).unwrap_or_default();
        let users: Vec<UserId> = users
            .split_ascii_whitespace()
            .filter_map(|user| UserId::new(user).ok())
            .collect();
        let emoji = emoji.ok_or_else(|| damaged("a reaction is no emoji"))?;
        if !users.is_empty() {
            message.reactions.insert(emoji, users);
        }
    }
    Ok(())
}
