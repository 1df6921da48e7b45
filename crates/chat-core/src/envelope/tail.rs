//! The tail of an envelope: a MessagePack map with one-letter keys.
//!
//! `k` kind, `o` origin, `t` topic, `u` actor, `b` body (a map of its own, as bytes, so that an
//! unknown kind needs no schema).

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{EnvelopeError, from_map, to_map};
use crate::entry::EntryBody;
use crate::ids::{EntryId, InstanceId, MessageId, RoomId, UserId};
use crate::message::{Emoji, Meta, Text};
use crate::room::RoomChange;
use crate::signal::Signal;
use crate::topic::Topic;

mod kind {
    pub(super) const MESSAGE_ADDED: u8 = 1;
    pub(super) const MESSAGE_UPDATED: u8 = 2;
    pub(super) const MESSAGE_DELETED: u8 = 3;
    pub(super) const MESSAGE_REACTED: u8 = 4;
    pub(super) const ROOM_UPDATED: u8 = 5;
    pub(super) const USER_JOINED: u8 = 64;
    pub(super) const USER_LEFT: u8 = 65;
    pub(super) const TYPING: u8 = 66;
    pub(super) const PROBE: u8 = 67;
    pub(super) const REVOCATIONS: u8 = 96;
    pub(super) const MEMBERSHIP: u8 = 68;
    pub(super) const MARKED: u8 = 69;
    pub(super) const READ: u8 = 70;
    pub(super) const PRESENCE: u8 = 71;
}

/// The tail as it is on the wire.
#[derive(Serialize, Deserialize)]
pub(crate) struct Tail<'a> {
    #[serde(rename = "k")]
    kind: u8,
    #[serde(rename = "o")]
    origin: Uuid,
    #[serde(rename = "t", borrow)]
    topic: Cow<'a, str>,
    #[serde(rename = "u", borrow, default, skip_serializing_if = "Option::is_none")]
    actor: Option<Cow<'a, str>>,
    #[serde(rename = "b", with = "serde_bytes", borrow)]
    body: Cow<'a, [u8]>,
}

#[derive(Serialize, Deserialize)]
struct Said {
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    text: Option<Text>,
    #[serde(rename = "r", default, skip_serializing_if = "Option::is_none")]
    reply_to: Option<(u64, u64)>,
    #[serde(rename = "@", default, skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<UserId>,
    #[serde(rename = "m", default, skip_serializing_if = "Option::is_none")]
    meta: Option<Meta>,
}

#[derive(Serialize, Deserialize)]
struct Changed {
    #[serde(rename = "i")]
    message: (u64, u64),
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    text: Option<Text>,
    #[serde(rename = "@", default, skip_serializing_if = "Vec::is_empty")]
    mentions: Vec<UserId>,
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    emoji: Option<Emoji>,
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    removed: bool,
}

impl Changed {
    fn of(message: MessageId) -> Self {
        Self {
            message: pair(message),
            text: None,
            mentions: Vec::new(),
            emoji: None,
            removed: false,
        }
    }
}

fn pair(id: MessageId) -> (u64, u64) {
    (id.seq, id.entry.0)
}

fn message_id((seq, entry): (u64, u64)) -> MessageId {
    MessageId {
        seq,
        entry: EntryId(entry),
    }
}

impl Tail<'_> {
    pub(super) fn of_entry(
        origin: InstanceId,
        room: &RoomId,
        actor: &UserId,
        body: &EntryBody,
    ) -> Tail<'static> {
        let (kind, body) = encode_body(body);
        Tail {
            kind,
            origin: origin.0,
            topic: Topic::Room(room.clone()).to_string().into(),
            actor: Some(actor.as_str().to_owned().into()),
            body: body.into(),
        }
    }

    pub(super) fn of_signal(origin: InstanceId, topic: &Topic, signal: &Signal) -> Tail<'static> {
        let (kind, body) = match signal {
            Signal::UserJoined(arrival) => (kind::USER_JOINED, to_map(arrival)),
            Signal::UserLeft(arrival) => (kind::USER_LEFT, to_map(arrival)),
            Signal::Typing(typing) => (kind::TYPING, to_map(typing)),
            Signal::Revocations => (kind::REVOCATIONS, Vec::new()),
            Signal::Probe(nonce) => (kind::PROBE, to_map(nonce)),
            Signal::Membership(room) => (kind::MEMBERSHIP, to_map(room)),
            Signal::Marked(marked) => (kind::MARKED, to_map(marked)),
            Signal::Read(read) => (kind::READ, to_map(read)),
            Signal::Presence(seen) => (kind::PRESENCE, to_map(seen)),
            Signal::Unknown(kind) => (*kind, Vec::new()),
        };
        let topic = topic.to_string().into();
        Tail {
            kind,
            origin: origin.0,
            topic,
            actor: None,
            body: body.into(),
        }
    }

    pub(super) fn encode(&self) -> Bytes {
        to_map(self).into()
    }

    pub(super) fn decode(bytes: &[u8]) -> Result<Tail<'_>, EnvelopeError> {
        from_map(bytes)
    }

    pub(super) fn origin(&self) -> InstanceId {
        InstanceId(self.origin)
    }

    pub(super) fn actor(&self) -> Result<UserId, EnvelopeError> {
        let actor = self
            .actor
            .as_deref()
            .ok_or(EnvelopeError::Malformed("entry has no actor"))?;
        UserId::new(actor).map_err(|_| EnvelopeError::Malformed("actor is not a user id"))
    }

    /// The entry's body; of a kind that this version does not know, `Unknown`.
    pub(super) fn entry_body(&self) -> Result<EntryBody, EnvelopeError> {
        Ok(match self.kind {
            kind::MESSAGE_ADDED => {
                let said: Said = from_map(&self.body)?;
                EntryBody::MessageAdded {
                    text: said.text,
                    reply_to: said.reply_to.map(message_id),
                    mentions: said.mentions,
                    meta: said.meta,
                }
            }
            kind::MESSAGE_UPDATED => {
                let changed: Changed = from_map(&self.body)?;
                let message = message_id(changed.message);
                EntryBody::MessageUpdated {
                    message,
                    text: changed.text,
                    mentions: changed.mentions,
                }
            }
            kind::MESSAGE_DELETED => {
                let changed: Changed = from_map(&self.body)?;
                EntryBody::MessageDeleted {
                    message: message_id(changed.message),
                }
            }
            kind::MESSAGE_REACTED => {
                let changed: Changed = from_map(&self.body)?;
                EntryBody::MessageReacted {
                    message: message_id(changed.message),
                    emoji: changed.emoji.ok_or(EnvelopeError::Malformed("no emoji"))?,
                    removed: changed.removed,
                }
            }
            kind::ROOM_UPDATED => EntryBody::RoomUpdated(from_map::<RoomChange>(&self.body)?),
            kind => EntryBody::Unknown { kind },
        })
    }

    /// The signal; one that does not decode is as unknown as one of a newer kind.
    pub(super) fn signal(&self) -> Signal {
        let known = match self.kind {
            kind::USER_JOINED => from_map(&self.body).map(Signal::UserJoined),
            kind::USER_LEFT => from_map(&self.body).map(Signal::UserLeft),
            kind::TYPING => from_map(&self.body).map(Signal::Typing),
            kind::REVOCATIONS => Ok(Signal::Revocations),
            kind::PROBE => from_map(&self.body).map(Signal::Probe),
            kind::MEMBERSHIP => from_map(&self.body).map(Signal::Membership),
            kind::MARKED => from_map(&self.body).map(Signal::Marked),
            kind::READ => from_map(&self.body).map(Signal::Read),
            kind::PRESENCE => from_map(&self.body).map(Signal::Presence),
            kind => Ok(Signal::Unknown(kind)),
        };
        known.unwrap_or(Signal::Unknown(self.kind))
    }
}

fn encode_body(body: &EntryBody) -> (u8, Vec<u8>) {
    match body {
        EntryBody::MessageAdded {
            text,
            reply_to,
            mentions,
            meta,
        } => {
            let said = Said {
                text: text.clone(),
                reply_to: reply_to.map(pair),
                mentions: mentions.clone(),
                meta: meta.clone(),
            };
            (kind::MESSAGE_ADDED, to_map(&said))
        }
        EntryBody::MessageUpdated {
            message,
            text,
            mentions,
        } => {
            let mut changed = Changed::of(*message);
            changed.text.clone_from(text);
            changed.mentions.clone_from(mentions);
            (kind::MESSAGE_UPDATED, to_map(&changed))
        }
        EntryBody::MessageDeleted { message } => {
            (kind::MESSAGE_DELETED, to_map(&Changed::of(*message)))
        }
        EntryBody::MessageReacted {
            message,
            emoji,
            removed,
        } => {
            let mut changed = Changed::of(*message);
            changed.emoji = Some(emoji.clone());
            changed.removed = *removed;
            (kind::MESSAGE_REACTED, to_map(&changed))
        }
        EntryBody::RoomUpdated(change) => (kind::ROOM_UPDATED, to_map(change)),
        EntryBody::Unknown { kind } => (*kind, Vec::new()),
    }
}
