//! One connection of a person: commands with their answers, and what he is told, in short.

use std::time::Duration;

use chat_core::{
    Answer, Command, Event, Hello, JoinResult, MessageId, MessageKey, Outgoing, RoomId,
    SendMessage, ServiceError, Session, Text,
};
use chat_testkit::make;
use tokio::time::timeout;

use crate::cluster::Cluster;

/// Longer than anything takes that is not lost without a word.
const SOON: Duration = Duration::from_secs(3);

pub(crate) struct Person {
    session: Session,
    commands: u64,
    told: Vec<String>,
    /// Unread and mentions, as he was told last, by an answer or an event.
    pub(crate) counts: Option<(u32, u32)>,
}

impl Person {
    pub(crate) async fn connect(cluster: &Cluster, node: usize, name: &str) -> Self {
        Self::connect_with(cluster, node, name, Hello::default()).await
    }

    pub(crate) async fn connect_with(
        cluster: &Cluster,
        node: usize,
        name: &str,
        hello: Hello,
    ) -> Self {
        let session = cluster.connect_with(node, name, hello).await;
        let mut person = Self {
            session,
            commands: 0,
            told: Vec::new(),
            counts: None,
        };
        // By then he watches what he is to watch.
        person.told().await;
        person
    }

    pub(crate) async fn ask(&mut self, command: Command) -> Result<Answer, ServiceError> {
        self.commands += 1;
        self.session.command(Some(self.commands), command).await;
        loop {
            let mut frames = Vec::new();
            self.session.next_batch(&mut frames, 100).await.unwrap();
            let mut found = None;
            for frame in frames {
                self.counts = counts(&frame).or(self.counts);
                match frame {
                    Outgoing::Answer { id, result } if id == Some(self.commands) => {
                        found = Some(*result);
                    }
                    other => self.told.extend(short(&other)),
                }
            }
            if let Some(found) = found {
                return found;
            }
        }
    }

    pub(crate) async fn join(&mut self, room: &RoomId) -> JoinResult {
        let join = Command::Join {
            room: room.clone(),
            position: None,
            history: None,
        };
        match self.ask(join).await {
            Ok(Answer::Joined(result)) => *result,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn leave(&mut self, room: &RoomId) {
        let room = room.clone();
        self.ask(Command::Leave { room }).await.unwrap();
    }

    pub(crate) async fn say(&mut self, room: &RoomId, text: &str) -> MessageId {
        let message = SendMessage {
            room: room.clone(),
            key: MessageKey::new(format!("key{}-{text}", self.commands)).unwrap(),
            text: Text::new(text).unwrap(),
            reply_to: None,
            meta: None,
        };
        match self.ask(Command::Send(message)).await {
            Ok(Answer::Sent(sent)) => sent.message,
            other => panic!("{other:?}"),
        }
    }

    /// Unread and mentions after it.
    pub(crate) async fn read(&mut self, room: &RoomId, seq: u64) -> (u32, u32) {
        let room = room.clone();
        match self.ask(Command::Read { room, seq }).await {
            Ok(Answer::Read { unread, mentions }) => (unread, mentions),
            other => panic!("{other:?}"),
        }
    }

    /// What he was told since he was asked last, when nothing more comes.
    pub(crate) async fn told(&mut self) -> Vec<String> {
        let mut frames = Vec::new();
        while let Ok(taken) = timeout(SOON, self.session.next_batch(&mut frames, 100)).await {
            taken.unwrap();
        }
        for frame in &frames {
            self.counts = counts(frame).or(self.counts);
            self.told.extend(short(frame));
        }
        std::mem::take(&mut self.told)
    }
}

/// A member of a room that nobody has spoken in is made one by joining it once.
pub(crate) async fn make_members(cluster: &Cluster, room: &RoomId, names: &[&str]) {
    use chat_core::Directory as _;
    for name in names {
        let user = make::user(name);
        cluster.directory.enter(room, &user).await.unwrap();
    }
}

fn counts(frame: &Outgoing) -> Option<(u32, u32)> {
    match frame {
        Outgoing::Event(delivery) => match delivery.event() {
            Event::Notification(it) => Some((it.unread, it.mentions)),
            Event::UnreadCount {
                unread, mentions, ..
            } => Some((*unread, *mentions)),
            _ => None,
        },
        Outgoing::Answer { result, .. } => match result.as_ref() {
            Ok(Answer::Read { unread, mentions }) => Some((*unread, *mentions)),
            _ => None,
        },
        _ => None,
    }
}

/// What concerns unread messages, in a few words; the rest is not told here.
fn short(frame: &Outgoing) -> Option<String> {
    let Outgoing::Event(delivery) = frame else {
        return None;
    };
    Some(match delivery.event() {
        Event::Entry(entry) => format!("entry {}", entry.position.seq),
        Event::Notification(it) => {
            let text = it.message.text.as_deref().unwrap_or("(deleted)");
            let mentioned = if it.mentioned { ", you" } else { "" };
            let updated = if it.updated { "updated " } else { "" };
            format!("{updated}{text}: {}/{}{mentioned}", it.unread, it.mentions)
        }
        Event::UnreadCount {
            unread, mentions, ..
        } => format!("{unread}/{mentions}"),
        Event::MessageRead { user, seq, .. } => format!("{user} read {seq}"),
        _ => return None,
    })
}
