//! What a user said, as it stands now, and the pieces that it is made of.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::entry::{Entry, EntryBody};
use crate::ids::{MessageId, RoomId, UserId};
use crate::limits::{EMOJI_BYTES_MAX, META_BYTES_MAX, TEXT_BYTES_MAX};
use crate::size;

/// Milliseconds since the Unix epoch.
pub type Millis = u64;

/// Why a piece of content was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ContentError {
    /// Nothing at all: say something.
    #[error("is empty")]
    Empty,
    /// Too large: shorten it.
    #[error("has {bytes} bytes, the limit is {limit}")]
    TooLarge {
        /// How large it is.
        bytes: usize,
        /// How large it may be.
        limit: usize,
    },
    /// Not the form that the field asks for.
    #[error("{0}")]
    Malformed(&'static str),
}

macro_rules! content {
    ($(#[$doc:meta])* $name:ident, $limit:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks the limits and takes the text over.
            ///
            /// # Errors
            /// [`ContentError`] says which rule the text breaks.
            pub fn new(text: impl AsRef<str>) -> Result<Self, ContentError> {
                let text = text.as_ref();
                match text.len() {
                    0 => Err(ContentError::Empty),
                    bytes if bytes > $limit => {
                        Err(ContentError::TooLarge { bytes, limit: $limit })
                    }
                    _ => Ok(Self(text.into())),
                }
            }
        }

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Debug for $name {
            /// Content is never logged: only its size.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({} bytes)", stringify!($name), self.0.len())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(from)?;
                Self::new(text).map_err(serde::de::Error::custom)
            }
        }
    };
}

content!(
    /// A message's text: 1 to 8192 bytes of UTF-8.
    Text, TEXT_BYTES_MAX
);
content!(
    /// A reaction's emoji: 1 to 64 bytes of UTF-8. What it shows is the client's business.
    Emoji, EMOJI_BYTES_MAX
);
content!(
    /// An application's own object beside the text: the JSON text of an object of up to 4 KiB.
    /// The transport that accepts it checks that it is one.
    Meta, META_BYTES_MAX
);

/// Who reacted with what: a set per emoji, in the order of the emoji's code points.
pub type Reactions = BTreeMap<Emoji, Vec<UserId>>;

/// A message as it stands now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Its id, which carries its seq.
    pub id: MessageId,
    /// Where it was said.
    pub room: RoomId,
    /// Who said it.
    pub from: UserId,
    /// What he said; nothing once it was deleted.
    pub text: Option<Text>,
    /// When the log accepted it.
    pub sent_at_ms: Millis,
    /// When its text was last changed.
    pub edited_at_ms: Option<Millis>,
    /// The message that it answers.
    pub reply_to: Option<MessageId>,
    /// Who is mentioned in it.
    pub mentions: Vec<UserId>,
    /// Who reacted to it.
    pub reactions: Reactions,
    /// The application's own object.
    pub meta: Option<Meta>,
    /// The last entry that changed it: a client applies a change only if its seq is higher.
    pub changed_seq: Option<u64>,
}

impl Message {
    /// Whether its text was deleted.
    #[must_use]
    pub fn is_deleted(&self) -> bool {
        self.text.is_none()
    }

    /// About how many bytes it takes on the wire, in the codec that needs most.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        let names = self.room.as_str().len() + self.from.as_str().len();
        let content = size::optional(self.text.as_deref()) + size::meta(self.meta.as_ref());
        let users = size::names(&self.mentions) + size::reactions(&self.reactions);
        size::FRAME + names + content + users
    }

    /// The message that a `message_added` entry adds, or nothing for any other entry.
    #[must_use]
    pub fn added_by(entry: &Entry) -> Option<Self> {
        let EntryBody::MessageAdded {
            text,
            reply_to,
            mentions,
            meta,
        } = &entry.body
        else {
            return None;
        };
        Some(Self {
            id: entry.message_id(),
            room: entry.room.clone(),
            from: entry.actor.clone(),
            text: text.clone(),
            sent_at_ms: entry.at_ms,
            edited_at_ms: None,
            reply_to: *reply_to,
            mentions: mentions.clone(),
            reactions: Reactions::new(),
            meta: meta.clone(),
            changed_seq: None,
        })
    }

    /// The body of an entry that would add it as it stands now, but for its reactions.
    #[must_use]
    pub fn as_added(&self) -> EntryBody {
        EntryBody::MessageAdded {
            text: self.text.clone(),
            reply_to: self.reply_to,
            mentions: self.mentions.clone(),
            meta: self.meta.clone(),
        }
    }

    /// Takes over what an entry changes in this message. An entry that is not newer than what
    /// the message already holds, or that concerns another one, changes nothing.
    pub fn apply(&mut self, entry: &Entry) {
        let newest = self.changed_seq.unwrap_or(self.id.seq);
        if entry.position.seq <= newest || entry.body.target() != Some(self.id) {
            return;
        }
        match &entry.body {
            EntryBody::MessageUpdated { text, mentions, .. } if !self.is_deleted() => {
                self.text.clone_from(text);
                self.mentions.clone_from(mentions);
                self.edited_at_ms = Some(entry.at_ms);
            }
            EntryBody::MessageDeleted { .. } => self.erase(),
            EntryBody::MessageReacted { emoji, removed, .. } if !self.is_deleted() => {
                self.react(emoji, &entry.actor, *removed);
            }
            _ => return,
        }
        self.changed_seq = Some(entry.position.seq);
    }

    /// Leaves id, seq and author only.
    pub fn erase(&mut self) {
        self.text = None;
        self.meta = None;
        self.edited_at_ms = None;
        self.mentions.clear();
        self.reactions.clear();
    }

    fn react(&mut self, emoji: &Emoji, user: &UserId, removed: bool) {
        if removed {
            if let Some(users) = self.reactions.get_mut(emoji) {
                users.retain(|other| other != user);
                if users.is_empty() {
                    self.reactions.remove(emoji);
                }
            }
            return;
        }
        let users = self.reactions.entry(emoji.clone()).or_default();
        if !users.contains(user) {
            users.push(user.clone());
        }
    }
}
