//! What is unread, counted from pages: for logs that have no quicker way.

use crate::ids::{MessageId, UserId};
use crate::limits::{PAGE_MAX, UNREAD_MAX};
use crate::message::Message;
use crate::room_log::{Page, ReadError};

/// What counting needs of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Digest {
    /// Which, and at which seq.
    pub id: MessageId,
    /// Who said it.
    pub from: UserId,
    /// Who is mentioned in it.
    pub mentions: Vec<UserId>,
    /// Whether its text was deleted.
    pub deleted: bool,
}

impl From<&Message> for Digest {
    fn from(message: &Message) -> Self {
        Self {
            id: message.id,
            from: message.from.clone(),
            mentions: message.mentions.clone(),
            deleted: message.is_deleted(),
        }
    }
}

/// What a user has not read of a room.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unread {
    /// Messages by others, not deleted, above the marker; up to [`UNREAD_MAX`].
    pub unread: u32,
    /// Of these, those that mention him.
    pub mentions: u32,
    /// The room's newest message.
    pub last: Option<Message>,
}

impl Unread {
    /// Counts one more message, from the newest on. Answers whether older ones can still count:
    /// one's own message has been read, and all before it.
    pub fn count(&mut self, user: &UserId, read: u64, message: &Digest) -> bool {
        if message.id.seq <= read || message.from == *user || self.unread >= UNREAD_MAX {
            return false;
        }
        if !message.deleted {
            self.unread += 1;
            self.mentions += u32::from(message.mentions.contains(user));
        }
        true
    }
}

/// The newest `max` messages, by pages from the newest on.
pub(super) async fn digests<F>(
    mut page: impl FnMut(u64, usize) -> F + Send,
    max: usize,
) -> Result<Vec<Digest>, ReadError>
where
    F: Future<Output = Result<Page, ReadError>> + Send,
{
    let mut newest_first: Vec<Digest> = Vec::new();
    let mut before = u64::MAX;
    while newest_first.len() < max {
        let wanted = (max - newest_first.len()).min(PAGE_MAX);
        let Page { messages, more } = page(before, wanted).await?;
        newest_first.extend(messages.iter().rev().map(Digest::from));
        match messages.first() {
            Some(oldest) if more => before = oldest.id.seq,
            _ => break,
        }
    }
    newest_first.reverse();
    Ok(newest_first)
}

/// What a user has not read above `read`, by pages from the newest on.
pub(super) async fn unread<F>(
    mut page: impl FnMut(u64, usize) -> F + Send,
    user: &UserId,
    read: u64,
) -> Result<Unread, ReadError>
where
    F: Future<Output = Result<Page, ReadError>> + Send,
{
    let mut found = Unread::default();
    let mut before = u64::MAX;
    loop {
        let Page { messages, more } = page(before, PAGE_MAX).await?;
        if found.last.is_none() {
            found.last = messages.last().cloned();
        }
        let newest_first = messages.iter().rev().map(Digest::from);
        for message in newest_first {
            if !found.count(user, read, &message) {
                return Ok(found);
            }
        }
        match messages.first() {
            Some(oldest) if more => before = oldest.id.seq,
            _ => return Ok(found),
        }
    }
}
