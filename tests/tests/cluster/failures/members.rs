//! Members of rooms over nodes: who is removed on one gets nothing more on any other, at full speed and
//! over a cut, and what was lost on the way is found when the link is back.

use std::collections::VecDeque;
use std::time::Duration;

use chat_core::{
    Answer, Command, EntryBody, Event, MessageKey, Outgoing, Role, RoomId, RoomKind, SendMessage,
    ServiceError, Session, Text,
};
use chat_testkit::servers::RedisServer;
use chat_testkit::{make, run, within};
use tokio_util::sync::CancellationToken;

use crate::cluster::{Node, Settings, connect};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

pub(super) struct Member {
    session: Session,
    commands: u64,
    told: VecDeque<Event>,
}

impl Member {
    pub(super) async fn on(node: &Node, user: &str) -> Self {
        Self {
            session: connect(&node.service, user).await,
            commands: 0,
            told: VecDeque::new(),
        }
    }

    async fn take(&mut self) -> Vec<(Option<u64>, Result<Answer, ServiceError>)> {
        let mut frames = Vec::new();
        let taken = self.session.next_batch(&mut frames, 256);
        within(PATIENCE, "something is told", taken).await.unwrap();
        let mut answers = Vec::new();
        for frame in frames {
            match frame {
                Outgoing::Answer { id, result } => answers.push((id, *result)),
                Outgoing::Event(delivery) => self.told.push_back(delivery.event().clone()),
                _ => {}
            }
        }
        answers
    }

    pub(super) async fn ask(&mut self, command: Command) -> Result<Answer, ServiceError> {
        self.commands += 1;
        let asked = Some(self.commands);
        self.session.command(asked, command).await;
        loop {
            let mut answers = self.take().await.into_iter();
            if let Some((_, answer)) = answers.find(|(id, _)| *id == asked) {
                return answer;
            }
        }
    }

    /// What he is told up to the event that `ends` it.
    pub(super) async fn told_until(&mut self, ends: impl Fn(&Event) -> bool) -> Vec<Event> {
        let mut told = Vec::new();
        loop {
            while let Some(event) = self.told.pop_front() {
                let is_last = ends(&event);
                told.push(event);
                if is_last {
                    return told;
                }
            }
            let _answers_of_nobody = self.take().await;
        }
    }

    async fn create(&mut self, members: &[&str]) -> RoomId {
        let create = Command::CreateRoom {
            room: None,
            kind: RoomKind::Private,
            name: None,
            members: members.iter().map(|name| make::user(name)).collect(),
            key: None,
        };
        match self.ask(create).await.unwrap() {
            Answer::Room(access) => access.room.id,
            other => panic!("{other:?}"),
        }
    }

    async fn add(&mut self, room: &RoomId, user: &str, role: Option<Role>) {
        let (room, users) = (room.clone(), vec![make::user(user)]);
        let add = Command::AddMembers { room, users, role };
        self.ask(add).await.unwrap();
    }

    async fn remove(&mut self, room: &RoomId, user: &str) {
        let (room, users) = (room.clone(), vec![make::user(user)]);
        let remove = Command::RemoveMembers { room, users };
        self.ask(remove).await.unwrap();
    }

    pub(super) async fn join(&mut self, room: &RoomId) -> Result<Answer, ServiceError> {
        let join = Command::Join {
            room: room.clone(),
            position: None,
            history: None,
        };
        self.ask(join).await
    }

    pub(super) async fn say(&mut self, room: &RoomId, text: &str) -> Result<Answer, ServiceError> {
        let key = format!("{}-{}", self.session.connection(), self.commands);
        let send = SendMessage {
            room: room.clone(),
            key: MessageKey::new(key).unwrap(),
            text: Text::new(text).unwrap(),
            reply_to: None,
            meta: None,
        };
        self.ask(Command::Send(send)).await
    }
}

fn is_removal(event: &Event) -> bool {
    matches!(event, Event::RoomRemoved { .. })
}

/// The entry that removes him is the last one, and he is told behind it.
fn check_end(told: &[Event]) {
    let [.., Event::Entry(entry), Event::RoomRemoved { .. }] = told else {
        panic!("{:?}", told.last());
    };
    assert!(
        matches!(&entry.body, EntryBody::RoomUpdated(change)
            if change.members_removed == [make::user("bob")]),
        "{entry:?}"
    );
}

async fn is_out(bob: &mut Member, room: &RoomId) {
    let gone = Err(ServiceError::NotFound("room"));
    assert_eq!(bob.join(room).await.map(drop), gone);
    assert_eq!(bob.say(room, "still here?").await.map(drop), gone);
    let heard = bob
        .told
        .iter()
        .any(|event| matches!(event, Event::Entry(_)));
    assert!(!heard, "{:?}", bob.told);
}

#[test]
fn a_removed_member_gets_nothing_more_on_any_node_while_messages_flow() {
    run(async {
        let redis = RedisServer::start().await;
        let settings = Settings::default();
        let (one, two) = (
            Node::start(&redis, &settings, 0).await,
            Node::start(&redis, &settings, 1).await,
        );
        let mut alice = Member::on(&one, "alice").await;
        let room = alice.create(&["bob", "carol"]).await;
        let mut bobs = [Member::on(&one, "bob").await, Member::on(&two, "bob").await];
        for bob in &mut bobs {
            bob.join(&room).await.unwrap();
        }
        let stop = CancellationToken::new();
        let mut carol = Member::on(&two, "carol").await;
        let talk = tokio::spawn({
            let (room, stop) = (room.clone(), stop.clone());
            async move {
                while !stop.is_cancelled() {
                    carol.say(&room, "and so on").await.unwrap();
                }
            }
        });
        let is_said = |event: &Event| matches!(event, Event::Entry(_));
        for bob in &mut bobs {
            bob.told_until(is_said).await;
        }
        alice.remove(&room, "bob").await;
        for bob in &mut bobs {
            check_end(&bob.told_until(is_removal).await);
            is_out(bob, &room).await;
        }
        stop.cancel();
        talk.await.unwrap();
    });
}

#[test]
fn what_became_of_members_during_a_cut_is_found_when_the_link_is_back() {
    run(async {
        let redis = RedisServer::start().await;
        let settings = Settings::default();
        let (one, two) = (
            Node::start(&redis, &settings, 0).await,
            Node::start(&redis, &settings, 1).await,
        );
        let mut alice = Member::on(&one, "alice").await;
        let old = alice.create(&["bob"]).await;
        let mut phone = Member::on(&two, "bob").await;
        phone.join(&old).await.unwrap();
        let mut laptop = Member::on(&two, "bob").await;
        // Whoever has heard of a room of his own is followed by his node.
        let known = alice.create(&["bob"]).await;
        let added = |id: &RoomId| {
            let id = id.clone();
            move |event: &Event| matches!(event, Event::RoomAdded(room) if room.id == id)
        };
        laptop.told_until(added(&known)).await;
        two.link.ear.refuse(true);
        two.link.ear.cut_all();
        alice.say(&old, "while he is still in it").await.unwrap();
        alice.remove(&old, "bob").await;
        alice.say(&old, "he is gone").await.unwrap();
        let new = alice.create(&[]).await;
        alice.add(&new, "bob", Some(Role::Admin)).await;
        two.link.ear.refuse(false);
        check_end(&phone.told_until(is_removal).await);
        is_out(&mut phone, &old).await;
        laptop.told_until(added(&new)).await;
        let update = Command::UpdateRoom {
            room: new,
            name: Some("ours".into()),
            topic: None,
            slow_mode_s: None,
        };
        assert!(laptop.ask(update).await.is_ok(), "an admin there");
    });
}
