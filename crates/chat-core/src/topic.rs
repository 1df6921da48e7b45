//! Topics: the names that nodes subscribe to at the broker.

use std::fmt;
use std::str::FromStr;

use crate::ids::{InstanceId, RoomId, UserId};

/// A name that a node subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Everything about one room.
    Room(RoomId),
    /// What concerns one user, wherever he is connected.
    User(UserId),
    /// What concerns one node.
    Node(InstanceId),
    /// What concerns every node. Always a hint: the truth is in a record that nodes read.
    Control,
}

/// The text is no topic: the envelope came from something that is not a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a topic")]
pub struct TopicError;

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(room) => write!(f, "room:{room}"),
            Self::User(user) => write!(f, "user:{user}"),
            Self::Node(node) => write!(f, "node:{node}"),
            Self::Control => f.write_str("control"),
        }
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(text: &str) -> Result<Self, TopicError> {
        if text == "control" {
            return Ok(Self::Control);
        }
        let (kind, name) = text.split_once(':').ok_or(TopicError)?;
        match kind {
            "room" => RoomId::new(name).map(Self::Room).map_err(|_| TopicError),
            "user" => UserId::new(name).map(Self::User).map_err(|_| TopicError),
            "node" => uuid::Uuid::try_parse(name)
                .map(|id| Self::Node(InstanceId(id)))
                .map_err(|_| TopicError),
            _ => Err(TopicError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_survive_their_text_form() {
        for topic in [
            Topic::Room(RoomId::new("a:b").unwrap()),
            Topic::User(UserId::new("u@x").unwrap()),
            Topic::Node(InstanceId::random()),
            Topic::Control,
        ] {
            assert_eq!(topic.to_string().parse(), Ok(topic));
        }
        for bad in ["", "room", "room:", "node:x", "queue:x"] {
            assert_eq!(bad.parse::<Topic>(), Err(TopicError), "{bad}");
        }
    }
}
