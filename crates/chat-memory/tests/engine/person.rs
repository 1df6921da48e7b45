//! Somebody who asks, waits for the answer, and remembers what he was told meanwhile.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use chat_core::{
    Answer, Command, Entry, Event, JoinResult, MessageKey, Outgoing, Position, Role, Room, RoomId,
    RoomKind, SendMessage, Sent, ServiceError, Session, Text, UserId,
};
use chat_testkit::make;
use tokio::time::{sleep, timeout};

use crate::cluster::Cluster;

/// Longer than anything that is waited for takes, with time that runs ahead.
const AT_LAST: Duration = Duration::from_secs(300);

pub(crate) struct Person {
    session: Session,
    commands: u64,
    told: VecDeque<Event>,
}

impl Person {
    pub(crate) async fn on(cluster: &Cluster, node: usize, user: &str) -> Self {
        let session = cluster.connect(node, user).await;
        // The user's topic is subscribed, and his rooms are read.
        sleep(Duration::from_millis(100)).await;
        Self {
            session,
            commands: 0,
            told: VecDeque::new(),
        }
    }

    pub(crate) async fn ask(&mut self, command: Command) -> Result<Answer, ServiceError> {
        self.commands += 1;
        let asked = self.commands;
        self.session.command(Some(asked), command).await;
        loop {
            for frame in self.take().await {
                match frame {
                    Outgoing::Answer { id, result } if id == Some(asked) => return *result,
                    Outgoing::Event(delivery) => self.told.push_back(delivery.event().clone()),
                    _ => {}
                }
            }
        }
    }

    async fn take(&self) -> Vec<Outgoing> {
        let mut frames = Vec::new();
        let taken = timeout(AT_LAST, self.session.next_batch(&mut frames, 1)).await;
        taken.expect("something is told").expect("still connected");
        frames
    }

    /// What he is told next of what `wanted` picks out.
    pub(crate) async fn told<T>(&mut self, wanted: impl Fn(&Event) -> Option<T>) -> T {
        loop {
            while let Some(event) = self.told.pop_front() {
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
            for frame in self.take().await {
                if let Outgoing::Event(delivery) = frame {
                    self.told.push_back(delivery.event().clone());
                }
            }
        }
    }

    /// All that he has been told after a while, and not looked at.
    pub(crate) async fn told_within(&mut self, while_: Duration) -> Vec<Event> {
        sleep(while_).await;
        loop {
            let mut frames = Vec::new();
            let taken = self.session.next_batch(&mut frames, 1_000);
            if timeout(Duration::from_millis(1), taken).await.is_err() {
                break;
            }
            for frame in frames {
                if let Outgoing::Event(delivery) = frame {
                    self.told.push_back(delivery.event().clone());
                }
            }
        }
        self.told.drain(..).collect()
    }

    pub(crate) async fn added_to(&mut self) -> Room {
        let added = |event: &Event| match event {
            Event::RoomAdded(room) => Some(Room::clone(room)),
            _ => None,
        };
        self.told(added).await
    }

    pub(crate) async fn removed_from(&mut self) -> RoomId {
        let removed = |event: &Event| match event {
            Event::RoomRemoved { room } => Some(room.clone()),
            _ => None,
        };
        self.told(removed).await
    }

    pub(crate) async fn entry(&mut self) -> Arc<Entry> {
        let entry = |event: &Event| match event {
            Event::Entry(entry) => Some(Arc::clone(entry)),
            _ => None,
        };
        self.told(entry).await
    }

    pub(crate) async fn create(
        &mut self,
        room: Option<&str>,
        kind: RoomKind,
        members: &[&str],
    ) -> Result<(Room, Option<Role>), ServiceError> {
        let command = Command::CreateRoom {
            room: room.map(make::room),
            kind,
            name: None,
            members: users(members),
            key: None,
        };
        self.ask(command).await.map(of_room)
    }

    pub(crate) async fn add(
        &mut self,
        room: &RoomId,
        whom: &[&str],
        role: Option<Role>,
    ) -> Result<(Room, Option<Role>), ServiceError> {
        let (room, users) = (room.clone(), users(whom));
        let add = Command::AddMembers { room, users, role };
        self.ask(add).await.map(of_room)
    }

    pub(crate) async fn remove(
        &mut self,
        room: &RoomId,
        whom: &[&str],
    ) -> Result<(Room, Option<Role>), ServiceError> {
        let (room, users) = (room.clone(), users(whom));
        let remove = Command::RemoveMembers { room, users };
        self.ask(remove).await.map(of_room)
    }

    pub(crate) async fn rename(
        &mut self,
        room: &RoomId,
        name: &str,
    ) -> Result<(Room, Option<Role>), ServiceError> {
        let update = Command::UpdateRoom {
            room: room.clone(),
            name: Some(name.to_owned()),
            topic: None,
            slow_mode_s: None,
        };
        self.ask(update).await.map(of_room)
    }

    pub(crate) async fn join(
        &mut self,
        room: &RoomId,
        position: Option<Position>,
    ) -> Result<JoinResult, ServiceError> {
        let join = Command::Join {
            room: room.clone(),
            position,
            history: None,
        };
        match self.ask(join).await? {
            Answer::Joined(result) => Ok(*result),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, room: &RoomId, text: &str) -> Result<Sent, ServiceError> {
        let send = SendMessage {
            room: room.clone(),
            key: MessageKey::new(uuid()).unwrap(),
            text: Text::new(text).unwrap(),
            reply_to: None,
            meta: None,
        };
        match self.ask(Command::Send(send)).await? {
            Answer::Sent(sent) => Ok(sent),
            other => panic!("{other:?}"),
        }
    }
}

fn of_room(answer: Answer) -> (Room, Option<Role>) {
    match answer {
        Answer::Room(access) => (access.room, access.role),
        other => panic!("{other:?}"),
    }
}

pub(crate) fn users(names: &[&str]) -> Vec<UserId> {
    names.iter().map(|name| make::user(name)).collect()
}

fn uuid() -> String {
    format!("{:032x}", fastrand::u128(..))
}
