//! Makes entries of commands and hands them to their lanes.

use std::sync::Arc;

use sha2::{Digest, Sha256};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::answer::{Answer, Sent};
use crate::command::SendMessage;
use crate::entry::EntryBody;
use crate::envelope;
use crate::error::ServiceError;
use crate::ids::{EntryId, MessageId, MessageKey, RoomId, UserId};
use crate::message::{Emoji, Text};
use crate::room_log::{Appended, Idempotency, NewEntry, Precondition};
use crate::service::allowance::{Allowance, Attempt};
use crate::service::connection::Connection;
use crate::service::lanes::{Done, Item};
use crate::service::permission::{self, Action};
use crate::service::{ChatService, Inner};

/// A connection's place in a lane: answers exactly once.
#[derive(Debug)]
pub(super) struct Ticket {
    connection: Arc<Connection>,
    id: Option<u64>,
    kind: Kind,
    allowance: Option<Box<Allowance>>,
}

/// How an outcome is told.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Sent,
    Edited,
    Changed,
}

impl Ticket {
    pub(super) fn new(
        connection: &Arc<Connection>,
        id: Option<u64>,
        kind: Kind,
        allowance: Option<Box<Allowance>>,
    ) -> Self {
        connection.began();
        Self {
            connection: Arc::clone(connection),
            id,
            kind,
            allowance,
        }
    }

    pub(super) fn answer(self, outcome: Result<Appended, ServiceError>) {
        let allowance = self.allowance.as_deref();
        if let Ok(Appended {
            duplicate: true, ..
        }) = outcome
            && let Some(allowance) = allowance
        {
            allowance.take_back();
        }
        let answer = outcome.map(|appended| match self.kind {
            Kind::Sent => Answer::Sent(sent(&appended, allowance)),
            Kind::Edited => Answer::Edited {
                seq: appended.position.seq,
                edited_at_ms: appended.at_ms,
            },
            Kind::Changed => Answer::Changed {
                seq: appended.position.seq,
            },
        });
        self.connection.answer(self.id, answer);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.connection.finished();
    }
}

fn sent(appended: &Appended, allowance: Option<&Allowance>) -> Sent {
    // An answer to an earlier attempt says nothing of now.
    let allowance = allowance.filter(|_| !appended.duplicate);
    let Appended {
        position,
        at_ms,
        stored,
        duplicate,
        ..
    } = *appended;
    let message = MessageId {
        seq: position.seq,
        entry: position.id,
    };
    Sent {
        message,
        seq: position.seq,
        sent_at_ms: at_ms,
        stored,
        duplicate,
        remaining: allowance.map(Allowance::remaining),
        reset_at_ms: allowance.map(|allowance| allowance.reset_at(at_ms)),
    }
}

/// What a command wants to happen in a room's log.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) room: RoomId,
    pub(super) key: Option<MessageKey>,
    pub(super) body: EntryBody,
    pub(super) precondition: Option<Precondition>,
}

impl Change {
    pub(super) fn send(message: SendMessage) -> Self {
        let SendMessage {
            room,
            key,
            text,
            reply_to,
            meta,
        } = message;
        let body = EntryBody::MessageAdded {
            text: Some(text),
            reply_to,
            mentions: Vec::new(),
            meta,
        };
        Self {
            room,
            key: Some(key),
            body,
            precondition: None,
        }
    }

    pub(super) fn edit(
        room: RoomId,
        message: MessageId,
        text: Text,
        key: Option<MessageKey>,
    ) -> Self {
        let body = EntryBody::MessageUpdated {
            message,
            text: Some(text),
            mentions: Vec::new(),
        };
        Self {
            room,
            key,
            body,
            precondition: Some(Precondition {
                message,
                author_only: true,
            }),
        }
    }

    pub(super) fn delete(
        room: RoomId,
        message: MessageId,
        key: Option<MessageKey>,
        may_moderate: bool,
    ) -> Self {
        let precondition = Some(Precondition {
            message,
            author_only: !may_moderate,
        });
        Self {
            room,
            key,
            body: EntryBody::MessageDeleted { message },
            precondition,
        }
    }

    pub(super) fn react(
        room: RoomId,
        message: MessageId,
        emoji: Emoji,
        removed: bool,
        key: Option<MessageKey>,
    ) -> Self {
        let precondition = Some(Precondition {
            message,
            author_only: false,
        });
        Self {
            room,
            key,
            body: EntryBody::MessageReacted {
                message,
                emoji,
                removed,
            },
            precondition,
        }
    }

    /// Half of a SHA-256 over what the command would change, each piece behind its length.
    fn content(&self) -> [u8; 16] {
        let mut hash = Sha256::new();
        let mut piece = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_be_bytes());
            hash.update(bytes);
        };
        let id = |id: &MessageId| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&id.seq.to_be_bytes());
            bytes[8..].copy_from_slice(&id.entry.to_bytes());
            bytes
        };
        match &self.body {
            EntryBody::MessageAdded {
                text,
                reply_to,
                meta,
                ..
            } => {
                piece(b"send");
                piece(text.as_deref().unwrap_or_default().as_bytes());
                piece(
                    reply_to
                        .as_ref()
                        .map(id)
                        .as_ref()
                        .map_or(&[], |id| id.as_slice()),
                );
                piece(meta.as_deref().unwrap_or_default().as_bytes());
            }
            EntryBody::MessageUpdated { message, text, .. } => {
                piece(b"edit");
                piece(&id(message));
                piece(text.as_deref().unwrap_or_default().as_bytes());
            }
            EntryBody::MessageDeleted { message } => {
                piece(b"delete");
                piece(&id(message));
            }
            EntryBody::MessageReacted {
                message,
                emoji,
                removed,
            } => {
                piece(b"react");
                piece(&id(message));
                piece(emoji.as_bytes());
                piece(&[u8::from(*removed)]);
            }
            EntryBody::RoomUpdated(_) | EntryBody::Unknown { .. } => {}
        }
        let mut half = [0; 16];
        half.copy_from_slice(&hash.finalize()[..16]);
        half
    }
}

impl Inner {
    /// Hands a change to its lane; the outcome goes where `done` says.
    pub(super) async fn append(&self, user: &UserId, change: Change, done: Done) {
        let content = change.key.is_some().then(|| change.content());
        let Change {
            room,
            key,
            body,
            precondition,
        } = change;
        let key = key
            .zip(content)
            .map(|(key, content)| Idempotency { key, content });
        let tail = envelope::encode_entry_tail(self.instance, &room, user, &body);
        let actor = user.clone();
        let entry = NewEntry {
            id: EntryId::random(),
            actor,
            key,
            body,
            precondition,
            tail,
        };
        self.submit(Item {
            room,
            entry,
            done,
            since: Instant::now(),
        })
        .await;
    }
}

impl ChatService {
    /// Sends a message for a user without a connection: for an HTTP interface, a bot, a bridge.
    ///
    /// # Errors
    /// [`ServiceError`], like the command.
    pub async fn send(&self, user: &UserId, message: SendMessage) -> Result<Sent, ServiceError> {
        let access = self.inner.ask_access(&message.room, user).await?;
        let access = access.ok_or_else(permission::no_room)?;
        permission::check(Action::Say, access.room.kind, access.role, false)?;
        let attempt = Attempt {
            user,
            access: &access,
            key: Some(&message.key),
            moderates: access.may_moderate(),
            is_message: true,
        };
        let allowance = self.inner.check_change(attempt).await?;
        let mut change = Change::send(message);
        self.inner.find_mentions(&mut change).await;
        let (done, outcome) = oneshot::channel();
        self.inner.append(user, change, Done::Caller(done)).await;
        let outcome = outcome
            .await
            .map_err(|_| ServiceError::unavailable("this node"))?;
        let appended = outcome?;
        if let Some(allowance) = allowance.as_deref().filter(|_| appended.duplicate) {
            allowance.take_back();
        }
        Ok(sent(&appended, allowance.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Meta;

    fn change(text: &str, meta: Option<&str>) -> Change {
        Change::send(SendMessage {
            room: RoomId::new("r").unwrap(),
            key: MessageKey::new("k").unwrap(),
            text: Text::new(text).unwrap(),
            reply_to: None,
            meta: meta.map(|meta| Meta::new(meta).unwrap()),
        })
    }

    #[test]
    fn the_same_content_has_the_same_hash_and_no_other() {
        assert_eq!(change("a", None).content(), change("a", None).content());
        assert_ne!(change("a", None).content(), change("b", None).content());
        assert_ne!(
            change("a", None).content(),
            change("a", Some("{}")).content()
        );
        let message = MessageId {
            seq: 1,
            entry: EntryId(1),
        };
        let room = || RoomId::new("r").unwrap();
        let emoji = || Emoji::new("x").unwrap();
        let add = Change::react(room(), message, emoji(), false, None);
        let remove = Change::react(room(), message, emoji(), true, None);
        assert_ne!(add.content(), remove.content());
    }
}
