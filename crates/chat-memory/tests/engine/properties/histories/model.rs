//! What a room is, by the list of all that was done in it, and what somebody shows of it who was told
//! pages and entries. Neither asks the engine anything.

use std::collections::{BTreeMap, BTreeSet};

use chat_core::{
    Emoji, Entry, EntryBody, Head, JoinResult, Marker, Message, MessageId, Text, UserId,
};

/// A message as everybody should see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) from: String,
    pub(super) text: Option<String>,
    pub(super) mentions: Vec<UserId>,
    pub(super) reactions: BTreeMap<Emoji, BTreeSet<UserId>>,
}

impl From<&Message> for Shown {
    fn from(message: &Message) -> Self {
        let users = |users: &Vec<UserId>| users.iter().cloned().collect();
        let reactions = message.reactions.iter();
        Self {
            from: message.from.to_string(),
            text: message.text.as_deref().map(str::to_owned),
            mentions: message.mentions.clone(),
            reactions: reactions
                .map(|(emoji, by)| (emoji.clone(), users(by)))
                .collect(),
        }
    }
}

/// Something that was acked.
#[derive(Debug, Clone)]
pub(super) enum Deed {
    Said(MessageId, Shown),
    Edited(MessageId, Text, Vec<UserId>),
    Deleted(MessageId),
    Reacted(MessageId, Emoji, UserId, bool),
}

/// All that was acked, each with its seq, in order.
#[derive(Debug, Default)]
pub(super) struct Model {
    deeds: Vec<(u64, Deed)>,
    markers: BTreeMap<String, Marker>,
}

impl Model {
    pub(super) fn done(&mut self, seq: u64, deed: Deed) {
        self.deeds.push((seq, deed));
    }

    /// The log forgot what came behind that seq.
    pub(super) fn roll_back(&mut self, to: u64) {
        self.deeds.retain(|(seq, _)| *seq <= to);
    }

    pub(super) fn read(&mut self, user: &str, seq: u64, head: &Head) {
        let epoch = head.position.epoch;
        let seq = seq.min(head.position.seq);
        let set = Marker { epoch, seq };
        let worth = self.worth(user, head).max(seq);
        self.markers
            .insert(user.to_owned(), Marker { seq: worth, ..set });
    }

    /// How far a user has read by his marker: in another epoch, what both share.
    fn worth(&self, user: &str, head: &Head) -> u64 {
        match self.markers.get(user) {
            None => 0,
            Some(marker) if marker.epoch == head.position.epoch => marker.seq,
            Some(marker) => marker.seq.min(head.epoch_start.saturating_sub(1)),
        }
    }

    fn until(&self, seq: u64) -> impl Iterator<Item = &Deed> {
        let until = self.deeds.iter().filter(move |(at, _)| *at <= seq);
        until.map(|(_, deed)| deed)
    }

    pub(super) fn messages(&self) -> BTreeMap<MessageId, Shown> {
        self.messages_at(u64::MAX)
    }

    fn messages_at(&self, seq: u64) -> BTreeMap<MessageId, Shown> {
        let mut messages: BTreeMap<MessageId, Shown> = BTreeMap::new();
        for deed in self.until(seq) {
            match deed {
                Deed::Said(id, shown) => drop(messages.insert(*id, shown.clone())),
                Deed::Edited(id, text, mentions) => {
                    let message = messages.get_mut(id).expect("it was said");
                    message.text = Some(text.to_string());
                    message.mentions.clone_from(mentions);
                }
                Deed::Deleted(id) => {
                    let message = messages.get_mut(id).expect("it was said");
                    let from = std::mem::take(&mut message.from);
                    *message = Shown {
                        from,
                        ..Shown::default()
                    };
                }
                Deed::Reacted(id, emoji, by, removed) => {
                    let message = messages.get_mut(id).expect("it was said");
                    let users = message.reactions.entry(emoji.clone()).or_default();
                    if *removed {
                        users.remove(by);
                    } else {
                        users.insert(by.clone());
                    }
                    message.reactions.retain(|_, users| !users.is_empty());
                }
            }
        }
        messages
    }

    /// Unread messages of a user and those of them that mention him, as the protocol says.
    pub(super) fn counts(&self, user: &str, head: &Head) -> (u32, u32) {
        let messages = self.messages();
        let own = messages.iter().filter(|(_, shown)| shown.from == user);
        let own = own.map(|(id, _)| id.seq).max().unwrap_or(0);
        let read = own.max(self.worth(user, head));
        let unread: Vec<_> = messages
            .iter()
            .filter(|(id, shown)| id.seq > read && shown.from != user && shown.text.is_some())
            .collect();
        let mentions = unread
            .iter()
            .filter(|(_, shown)| shown.mentions.iter().any(|it| it.as_str() == user));
        (unread.len() as u32, mentions.count() as u32)
    }

    /// Every text that was said by the entry of that seq and was in no message then.
    pub(super) fn gone(&self, seq: u64) -> BTreeSet<String> {
        let messages = self.messages_at(seq);
        let now: BTreeSet<&str> = messages
            .values()
            .filter_map(|it| it.text.as_deref())
            .collect();
        let ever = self.until(seq).filter_map(|deed| match deed {
            Deed::Said(id, shown) if messages[id].text.is_none() => shown.text.clone(),
            Deed::Edited(id, text, _) if messages[id].text.is_none() => Some(text.to_string()),
            _ => None,
        });
        ever.filter(|text| !now.contains(text.as_str())).collect()
    }
}

/// What somebody shows of the room.
#[derive(Debug, Clone, Default)]
pub(super) struct Screen {
    messages: BTreeMap<MessageId, Message>,
    pub(super) name: Option<String>,
    pub(super) members: u64,
    version: u64,
}

impl Screen {
    pub(super) fn joined(&mut self, result: &JoinResult) {
        if result.recovered {
            result.missed().for_each(|entry| self.take(entry));
        } else {
            let messages = result.messages.iter();
            self.messages = messages.map(|it| (it.id, it.clone())).collect();
        }
        if result.room.version >= self.version {
            self.version = result.room.version;
            self.name.clone_from(&result.room.name);
            self.members = result.room.member_count;
        }
    }

    pub(super) fn take(&mut self, entry: &Entry) {
        if let Some(message) = Message::added_by(entry) {
            let before = self.messages.insert(message.id, message);
            assert!(before.is_none(), "twice: {before:?}");
        } else if let EntryBody::RoomUpdated(change) = &entry.body {
            if change.version > self.version {
                self.version = change.version;
                self.name = change.name.clone().or(self.name.take());
                self.members += change.members_added.len() as u64;
                self.members -= change.members_removed.len() as u64;
            }
        } else if let Some(target) = entry.body.target()
            && let Some(message) = self.messages.get_mut(&target)
        {
            message.apply(entry);
        }
    }

    pub(super) fn messages(&self) -> BTreeMap<MessageId, Shown> {
        let messages = self.messages.iter();
        messages
            .map(|(id, message)| (*id, Shown::from(message)))
            .collect()
    }
}

/// Every text in a join result.
pub(super) fn texts(result: &JoinResult) -> BTreeSet<String> {
    let entries = result.missed().filter_map(|entry| match &entry.body {
        EntryBody::MessageAdded { text, .. } | EntryBody::MessageUpdated { text, .. } => {
            text.as_deref()
        }
        _ => None,
    });
    let messages = result.messages.iter();
    let messages = messages.filter_map(|message| message.text.as_deref());
    entries.chain(messages).map(str::to_owned).collect()
}
