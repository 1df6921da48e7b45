//! All names in Redis: keys and channels, in one place.
//!
//! Braces are literal bytes: all keys of a room and its channel share a cluster slot. NODE is an
//! instance id and a generation, so that a node that lost its lease is another one.

use chat_core::{InstanceId, RateKey, RoomId, Topic, UserId};

/// Makes names below one prefix.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: String,
}

/// The keys of a room's log.
#[derive(Debug, Clone)]
pub(crate) struct LogKeys {
    pub(crate) log: String,
    pub(crate) head: String,
    pub(crate) changed: String,
    pub(crate) keys_cur: String,
    pub(crate) keys_prev: String,
}

/// The keys of one node's presence in a room.
#[derive(Debug, Clone)]
pub(crate) struct PresenceKeys {
    pub(crate) users: String,
    /// User -> on how many nodes, of those on more than one.
    pub(crate) more: String,
    pub(crate) occ: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
        }
    }

    fn room(&self, room: &RoomId, what: &str) -> String {
        format!("{}{{{room}}}:{what}", self.prefix)
    }

    pub(crate) fn log(&self, room: &RoomId) -> LogKeys {
        LogKeys {
            log: self.room(room, "log"),
            head: self.head(room),
            changed: self.room(room, "changed"),
            keys_cur: self.room(room, "keys:cur"),
            keys_prev: self.room(room, "keys:prev"),
        }
    }

    pub(crate) fn head(&self, room: &RoomId) -> String {
        self.room(room, "head")
    }

    /// User -> since when, in microseconds that are unique in the room: the order of the pages.
    pub(crate) fn users(&self, room: &RoomId) -> String {
        self.room(room, "users")
    }

    pub(crate) fn presence(&self, room: &RoomId, node: &str) -> PresenceKeys {
        PresenceKeys {
            users: self.users(room),
            more: self.room(room, "more"),
            occ: self.room(room, &format!("occ:{node}")),
        }
    }

    pub(crate) fn facts(&self, room: &RoomId) -> String {
        self.room(room, "room")
    }

    pub(crate) fn members(&self, room: &RoomId) -> String {
        self.room(room, "members")
    }

    /// User -> how far he has read.
    pub(crate) fn markers(&self, room: &RoomId) -> String {
        self.room(room, "markers")
    }

    /// All rooms.
    pub(crate) fn rooms(&self) -> String {
        format!("{}rooms", self.prefix)
    }

    fn user(&self, user: &UserId, what: &str) -> String {
        format!("{}user:{{{user}}}:{what}", self.prefix)
    }

    /// Memberships version, last seen.
    pub(crate) fn about(&self, user: &UserId) -> String {
        self.user(user, "about")
    }

    /// The pattern of [`Self::about`] of all users.
    pub(crate) fn about_everybody(&self) -> String {
        format!("{}user:{{*}}:about", self.prefix)
    }

    /// Whose [`Self::about`] a key is, if it is one.
    pub(crate) fn whose_about<'a>(&self, key: &'a str) -> Option<&'a str> {
        let name = key.strip_prefix(&self.prefix)?.strip_prefix("user:{")?;
        name.strip_suffix("}:about")
    }

    /// Changes of his memberships that are under way -> their deadline.
    pub(crate) fn changing(&self, user: &UserId) -> String {
        self.user(user, "changing")
    }

    /// The rooms of which he may be a member, and the other two.
    pub(crate) fn of_user(&self, user: &UserId) -> [String; 3] {
        [
            self.user(user, "rooms"),
            self.about(user),
            self.changing(user),
        ]
    }

    /// What was used of a limit.
    pub(crate) fn rate(&self, key: &RateKey) -> String {
        format!("{}rate:{{{key}}}", self.prefix)
    }

    /// Node -> what the user's devices on it say.
    pub(crate) fn user_presence(&self, user: &UserId) -> String {
        format!("{}user:{{{user}}}:presence", self.prefix)
    }

    /// Users who are online -> since when, as in [`Self::users`].
    pub(crate) fn online(&self) -> String {
        format!("{}online", self.prefix)
    }

    /// The node's lease.
    pub(crate) fn lease(&self, node: &str) -> String {
        format!("{}node:{node}", self.prefix)
    }

    /// The rooms in which the node may have people.
    pub(crate) fn node_rooms(&self, node: &str) -> String {
        format!("{}node:{node}:rooms", self.prefix)
    }

    /// The users who may be on the node.
    pub(crate) fn node_users(&self, node: &str) -> String {
        format!("{}node:{node}:users", self.prefix)
    }

    /// Nodes that may have something to sweep.
    pub(crate) fn nodes(&self) -> String {
        format!("{}nodes", self.prefix)
    }

    /// User or token -> until when nobody lets them in.
    pub(crate) fn revoked(&self) -> String {
        format!("{}revoked", self.prefix)
    }

    /// The channel of a topic.
    pub(crate) fn channel(&self, topic: &Topic) -> String {
        match topic {
            Topic::Room(room) => format!("{}{{{room}}}", self.prefix),
            other => format!("{}{other}", self.prefix),
        }
    }

    /// The topic of a channel, if it is one of ours.
    pub(crate) fn topic(&self, channel: &str) -> Option<Topic> {
        let name = channel.strip_prefix(&self.prefix)?;
        if let Some(room) = name
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'))
        {
            return RoomId::new(room).ok().map(Topic::Room);
        }
        match name.parse() {
            Ok(Topic::Room(_)) | Err(_) => None,
            Ok(topic) => Some(topic),
        }
    }

    /// The pattern of all channels.
    pub(crate) fn every_channel(&self) -> String {
        format!("{}*", self.prefix)
    }
}

/// The name of a generation of a node.
pub(crate) fn node_name(instance: InstanceId, generation: u64) -> String {
    format!("{instance}.{generation}")
}

/// Whose name that is.
pub(crate) fn instance_of(name: &str) -> Option<InstanceId> {
    let (instance, _) = name.split_once('.')?;
    instance.parse().ok().map(InstanceId)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_and_topics_are_the_same_names() {
        let keys = Keys::new("chat:");
        for topic in [
            Topic::Room(RoomId::new("user:x").unwrap()),
            Topic::Room(RoomId::new("control").unwrap()),
            Topic::User(UserId::new("u@x").unwrap()),
            Topic::Node(InstanceId::random()),
            Topic::Control,
        ] {
            assert_eq!(keys.topic(&keys.channel(&topic)), Some(topic));
        }
        for foreign in ["chat:room:x", "other:{x}", "chat:{}", "chat:{a b}", "chat:"] {
            assert_eq!(keys.topic(foreign), None, "{foreign}");
        }
    }

    #[test]
    fn it_is_known_whose_key_one_is() {
        let keys = Keys::new("chat:");
        let odd = UserId::new("user:x@y").unwrap();
        assert_eq!(keys.whose_about(&keys.about(&odd)), Some(odd.as_str()));
        assert_eq!(keys.whose_about(&keys.changing(&odd)), None);
        assert_eq!(keys.whose_about("other:user:{x}:about"), None);
    }

    #[test]
    fn all_keys_of_a_room_share_the_slot_of_its_channel() {
        let keys = Keys::new("chat:");
        let room = RoomId::new("r").unwrap();
        let log = keys.log(&room);
        let presence = keys.presence(&room, "node");
        for key in [
            log.log,
            log.head,
            log.changed,
            log.keys_cur,
            log.keys_prev,
            presence.users,
            presence.more,
            presence.occ,
            keys.facts(&room),
            keys.members(&room),
            keys.markers(&room),
        ] {
            assert!(key.starts_with("chat:{r}:"), "{key}");
        }
    }
}
