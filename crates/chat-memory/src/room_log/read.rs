//! What a read takes out of a room under its lock, and how it is decoded outside of it.

use chat_core::{Entry, Message, MessageId, PageFrom, ReadError, RoomId};

use super::room::{Kept, RoomState};

/// One entry of a read.
pub(super) struct EntryRow {
    kept: Kept,
    erased: bool,
}

impl EntryRow {
    pub(super) fn entry(self, room: &RoomId) -> Result<Entry, ReadError> {
        let mut entry = decode(room, &self.kept)?;
        if self.erased {
            entry.body.erase();
        }
        Ok(entry)
    }
}

/// One message of a page.
pub(super) enum MessageRow {
    /// As its entry added it.
    Added(Kept),
    /// As it was changed.
    Changed(Box<Message>),
}

impl MessageRow {
    pub(super) fn message(self, room: &RoomId) -> Result<Message, ReadError> {
        match self {
            Self::Changed(message) => Ok(*message),
            Self::Added(kept) => Message::added_by(&decode(room, &kept)?)
                .ok_or_else(|| ReadError::Damaged("entry is no message".to_owned())),
        }
    }

    fn of(state: &RoomState, kept: &Kept) -> Self {
        match state.changed.get(&kept.header.position.seq) {
            Some(message) => Self::Changed(Box::new(message.clone())),
            None => Self::Added(kept.clone()),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Self::Added(kept) => kept.stored_bytes(),
            Self::Changed(message) => message.size_hint(),
        }
    }
}

fn decode(room: &RoomId, kept: &Kept) -> Result<Entry, ReadError> {
    kept.decode(room)
        .map_err(|error| ReadError::Damaged(error.to_string()))
}

/// Entries above `seq`, at most `max` and `bytes_max`, at least one if there is one.
pub(super) fn rows_after(
    state: &RoomState,
    seq: u64,
    max: usize,
    bytes_max: usize,
) -> Vec<EntryRow> {
    let mut bytes = 0;
    entries_after(state, seq.max(state.floor))
        .take(max)
        .take_while(|kept| {
            let first = bytes == 0;
            bytes += kept.stored_bytes();
            first || bytes <= bytes_max
        })
        .map(|kept| EntryRow {
            erased: state.is_erased(kept),
            kept: kept.clone(),
        })
        .collect()
}

/// Messages of a page in seq order, and whether there are more in its direction.
pub(super) fn page_rows(
    state: &RoomState,
    from: PageFrom,
    max: usize,
    bytes_max: usize,
) -> (Vec<MessageRow>, bool) {
    match from {
        PageFrom::After(seq) => limited(state, entries_after(state, seq), max, bytes_max),
        PageFrom::Before(seq) => {
            let below = seq.saturating_sub(state.oldest_seq().unwrap_or(seq));
            let below = usize::try_from(below).unwrap_or(usize::MAX);
            let newest_first = state.entries.range(..below.min(state.entries.len())).rev();
            let (mut rows, more) = limited(state, newest_first, max, bytes_max);
            rows.reverse();
            (rows, more)
        }
    }
}

/// One message as it stands now.
pub(super) fn message_row(state: &RoomState, id: MessageId) -> Option<MessageRow> {
    state.added(id).map(|kept| MessageRow::of(state, kept))
}

fn entries_after(state: &RoomState, seq: u64) -> impl Iterator<Item = &Kept> {
    let oldest = state.oldest_seq().unwrap_or(u64::MAX);
    let skip = seq.saturating_add(1).saturating_sub(oldest);
    let skip = usize::try_from(skip).unwrap_or(usize::MAX);
    state.entries.range(skip.min(state.entries.len())..)
}

fn limited<'a>(
    state: &RoomState,
    entries: impl Iterator<Item = &'a Kept>,
    max: usize,
    bytes_max: usize,
) -> (Vec<MessageRow>, bool) {
    let mut rows = Vec::new();
    let mut bytes = 0;
    for kept in entries.filter(|kept| kept.adds) {
        let row = MessageRow::of(state, kept);
        bytes += row.bytes();
        if rows.len() == max || (bytes > bytes_max && !rows.is_empty()) {
            return (rows, true);
        }
        rows.push(row);
    }
    (rows, false)
}
