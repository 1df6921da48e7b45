//! Rooms, members, counts and recovery over two nodes, on each store that nodes can share.

use std::collections::BTreeMap;

use chat_client::received::{Change, JoinResult, Message, ServerEvent};
use chat_client::{Client, CommandError, ErrorCode, Events, Options};
use chat_core::{Emoji, MessageId, Position, RoomId, RoomKind, Text, UserId};
use chat_testkit::servers::{PostgresDatabase, RedisServer};
use chat_tests::ServerProcess;

use crate::person::soon;

/// What nodes share, and two of them.
struct Cluster {
    _redis: RedisServer,
    _database: Option<PostgresDatabase>,
    nodes: [ServerProcess; 2],
}

impl Cluster {
    async fn on_redis() -> Self {
        Self::start(RedisServer::start().await, None)
    }

    async fn on_postgres() -> Self {
        let database = PostgresDatabase::create().await;
        Self::start(RedisServer::start().await, Some(database))
    }

    fn start(redis: RedisServer, database: Option<PostgresDatabase>) -> Self {
        let url = redis.url();
        let store = database.as_ref().map(PostgresDatabase::url);
        let store = store.as_deref().unwrap_or("redis");
        let node = || ServerProcess::start(&["--redis", &url, "--store", store]);
        Self {
            nodes: [node(), node()],
            _redis: redis,
            _database: database,
        }
    }
}

struct Device {
    client: Client,
    events: Events,
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

impl Device {
    async fn on(node: &ServerProcess, name: &str) -> Self {
        let options = Options::with_user(user(name));
        let connected = soon("hello", Client::connect(&node.ws_url(), options)).await;
        let (client, events) = connected.unwrap();
        // By then his node knows his rooms, and is told of new ones.
        client.rooms(None, None).await.unwrap();
        Self { client, events }
    }

    /// What he is told next of what `wanted` picks out.
    async fn told<T>(&mut self, wanted: impl Fn(&ServerEvent) -> Option<T>) -> T {
        let told = async {
            loop {
                let event = self.events.next().await.expect("connected");
                if let Some(found) = wanted(&event) {
                    return found;
                }
            }
        };
        soon("an event", told).await
    }

    async fn added(&mut self) -> RoomId {
        let added = |event: &ServerEvent| match event {
            ServerEvent::RoomAdded { room } => Some(room.id.clone()),
            _ => None,
        };
        self.told(added).await
    }

    /// Text, unread and mentions.
    async fn notified(&mut self) -> (String, u32, u32) {
        let notified = |event: &ServerEvent| match event {
            ServerEvent::Notification(it) => {
                let text = it.message.text.clone().unwrap_or_default();
                Some((text, it.unread, it.mentions))
            }
            _ => None,
        };
        self.told(notified).await
    }

    async fn counts(&mut self) -> (u32, u32) {
        let counts = |event: &ServerEvent| match event {
            ServerEvent::UnreadCount {
                unread, mentions, ..
            } => Some((*unread, *mentions)),
            _ => None,
        };
        self.told(counts).await
    }

    async fn say(&self, room: &RoomId, text: &str) -> (MessageId, u64) {
        let sent = self.client.send(room, Text::new(text).unwrap());
        let sent = soon("an ack", sent).await.unwrap();
        (sent.message_id, sent.seq)
    }
}

async fn members_and_counts(cluster: &Cluster) {
    let [one, two] = &cluster.nodes;
    let mut alice = Device::on(one, "alice").await;
    let mut phone = Device::on(one, "bob").await;
    let mut laptop = Device::on(two, "bob").await;
    let mut carol = Device::on(two, "carol").await;
    let made = alice
        .client
        .create_room(None, RoomKind::Private, None, vec![user("bob")]);
    let room = made.await.unwrap().room.id;
    for device in [&mut phone, &mut laptop] {
        assert_eq!(device.added().await, room);
    }
    alice.client.join(&room, None).await.unwrap();
    let (_, first) = alice.say(&room, "are you there, @bob?").await;
    for device in [&mut phone, &mut laptop] {
        let expected = ("are you there, @bob?".to_owned(), 1, 1);
        assert_eq!(device.notified().await, expected);
    }
    // Read on one node, told on the other.
    let read = phone.client.read(&room, first).await.unwrap();
    assert_eq!((read.unread, read.mentions), (0, 0));
    assert_eq!(laptop.counts().await, (0, 0));
    let read = |name: &str| {
        let name = user(name);
        move |event: &ServerEvent| match event {
            ServerEvent::MessageRead { user, seq, .. } if *user == name => Some(*seq),
            _ => None,
        }
    };
    assert_eq!(alice.told(read("bob")).await, first);

    let adds = alice.client.add_members(&room, vec![user("carol")], None);
    assert_eq!(adds.await.unwrap().room.member_count, 3);
    assert_eq!(carol.added().await, room);
    let joined = carol.client.join(&room, None).await.unwrap();
    assert_eq!((joined.unread, joined.mentions), (Some(1), Some(0)));
    carol.client.read(&room, first).await.unwrap();
    assert_eq!(alice.told(read("carol")).await, first);

    let removes = alice.client.remove_members(&room, vec![user("carol")]);
    removes.await.unwrap();
    let (_, behind) = alice.say(&room, "she is gone").await;
    let last = carol.told(last_entry()).await;
    assert_eq!(last, vec![user("carol")], "the entry that removes her");
    let ended = |event: &ServerEvent| match event {
        ServerEvent::RoomRemoved { room } => Some(room.clone()),
        ServerEvent::Entry(entry) => panic!("behind her removal: {entry:?}"),
        _ => None,
    };
    assert_eq!(carol.told(ended).await, room);
    let Err(CommandError::Refused(refused)) = carol.client.join(&room, None).await else {
        panic!("she is in");
    };
    assert_eq!(refused.code, ErrorCode::NotFound);
    let expected = ("she is gone".to_owned(), 1, 0);
    assert_eq!(laptop.notified().await, expected);
    let list = laptop.client.rooms(None, None).await.unwrap();
    let listed = &list.rooms[0];
    assert_eq!((listed.unread, listed.mentions), (Some(1), Some(0)));
    assert_eq!(listed.last_message.as_ref().map(|it| it.seq), Some(behind));
    assert_eq!(listed.room.member_count, 2);
}

/// The first entry that says who was removed.
fn last_entry() -> impl Fn(&ServerEvent) -> Option<Vec<UserId>> {
    |event| match event {
        ServerEvent::Entry(entry) => match &entry.change {
            Change::RoomUpdated {
                members_removed, ..
            } if !members_removed.is_empty() => Some(members_removed.clone()),
            _ => None,
        },
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_counts_and_receipts_are_the_same_on_two_nodes_that_share_redis() {
    members_and_counts(&Cluster::on_redis().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_counts_and_receipts_are_the_same_on_two_nodes_that_share_postgres() {
    members_and_counts(&Cluster::on_postgres().await).await;
}

/// What somebody shows of a room, by the rules that the protocol has for clients.
#[derive(Debug, Default, PartialEq)]
struct Screen {
    messages: BTreeMap<MessageId, Message>,
    name: Option<String>,
    members: Vec<UserId>,
}

impl Screen {
    fn joined(&mut self, result: &JoinResult) {
        assert!(!result.more);
        for entry in &result.entries {
            self.take(entry.seq, &entry.change);
        }
        if !result.recovered {
            let messages = result.messages.iter();
            self.messages = messages.map(|it| (it.id, it.clone())).collect();
        }
    }

    /// What is left to see: a deleted message keeps its place and its author.
    fn shown(mut self) -> Self {
        for message in self.messages.values_mut().filter(|it| it.text.is_none()) {
            message.deleted = true;
            (message.edited_at_ms, message.changed_seq) = (None, None);
            message.mentions.clear();
            message.reactions.clear();
        }
        self
    }

    fn take(&mut self, seq: u64, change: &Change) {
        let target = match change {
            Change::MessageAdded { message } => {
                self.messages.insert(message.id, Message::clone(message));
                return;
            }
            Change::RoomUpdated {
                name,
                members_added,
                members_removed,
                ..
            } => {
                self.name = name.clone().or(self.name.take());
                self.members.extend(members_added.iter().cloned());
                self.members.retain(|it| !members_removed.contains(it));
                return;
            }
            Change::MessageUpdated { message_id, .. }
            | Change::MessageDeleted { message_id, .. }
            | Change::MessageReacted { message_id, .. } => message_id,
            _ => return,
        };
        let Some(message) = self.messages.get_mut(target) else {
            return;
        };
        if seq <= message.changed_seq.unwrap_or(message.seq) || message.text.is_none() {
            return;
        }
        message.changed_seq = Some(seq);
        apply(message, change);
    }
}

fn apply(message: &mut Message, change: &Change) {
    match change {
        Change::MessageUpdated {
            text,
            mentions,
            edited_at_ms,
            ..
        } => {
            message.text.clone_from(text);
            message.mentions.clone_from(mentions);
            message.edited_at_ms = Some(*edited_at_ms);
        }
        Change::MessageDeleted { .. } => {
            message.text = None;
        }
        Change::MessageReacted {
            user,
            emoji,
            removed,
            ..
        } => {
            let mut by = message
                .reactions
                .remove(emoji)
                .map_or(Vec::new(), |it| it.users);
            by.retain(|other| other != user);
            if !removed {
                by.push(user.clone());
            }
            if !by.is_empty() {
                message.reactions.insert(emoji.clone(), reaction(by));
            }
        }
        _ => {}
    }
}

fn reaction(users: Vec<UserId>) -> chat_client::received::Reaction {
    let json = serde_json::json!({"count": users.len(), "users": users});
    serde_json::from_value(json).unwrap()
}

async fn everything_happens(alice: &Device, room: &RoomId, messages: &[MessageId]) {
    let client = &alice.client;
    let text = |text: &str| Text::new(text).unwrap();
    client
        .edit(room, messages[0], text("edited"))
        .await
        .unwrap();
    client
        .edit(room, messages[1], text("secret too"))
        .await
        .unwrap();
    client.delete(room, messages[1]).await.unwrap();
    let plus = || Emoji::new("+").unwrap();
    client
        .react(room, messages[2], plus(), false)
        .await
        .unwrap();
    client
        .react(room, messages[3], plus(), false)
        .await
        .unwrap();
    client.react(room, messages[3], plus(), true).await.unwrap();
    let (short, _) = alice.say(room, "secret of a moment").await;
    client.delete(room, short).await.unwrap();
    let add = client.add_members(room, vec![user("eve"), user("frank")], None);
    add.await.unwrap();
    let remove = client.remove_members(room, vec![user("eve")]);
    remove.await.unwrap();
    let renamed = Some("Plans".to_owned());
    client.update_room(room, renamed, None, None).await.unwrap();
    alice.say(room, "the end").await;
}

/// Bob is away while all that can happen does, and his node dies too: he comes back on another.
async fn recovery(mut cluster: Cluster) {
    let alice = Device::on(&cluster.nodes[1], "alice").await;
    let members = vec![user("bob"), user("dave")];
    let made = alice
        .client
        .create_room(None, RoomKind::Private, None, members);
    let room = made.await.unwrap().room.id;
    let mut messages = Vec::new();
    for text in ["one", "secret", "three", "four"] {
        messages.push(alice.say(&room, text).await.0);
    }
    let mut dave = Device::on(&cluster.nodes[1], "dave").await;
    let (mut his, mut away) = (Screen::default(), Screen::default());
    his.joined(&dave.client.join(&room, None).await.unwrap());
    let bob = Device::on(&cluster.nodes[0], "bob").await;
    let before = bob.client.join(&room, None).await.unwrap();
    away.joined(&before);
    cluster.nodes[0].kill();
    drop(bob);
    everything_happens(&alice, &room, &messages).await;
    let mut at: Option<Position> = None;
    while !his
        .messages
        .values()
        .any(|it| it.text.as_deref() == Some("the end"))
    {
        let entry = |event: &ServerEvent| match event {
            ServerEvent::Entry(entry) => Some((entry.seq, entry.position, entry.change.clone())),
            _ => None,
        };
        let (seq, position, change) = dave.told(entry).await;
        his.take(seq, &change);
        at = Some(position);
    }
    let bob = Device::on(&cluster.nodes[1], "bob").await;
    let back = bob.client.join(&room, Some(before.position)).await.unwrap();
    assert!(back.recovered, "{back:?}");
    assert!(!format!("{back:?}").contains("secret"), "{back:?}");
    away.joined(&back);
    let (away, his) = (away.shown(), his.shown());
    assert_eq!(away, his);
    assert_eq!(Some(back.position), at);
    assert_eq!(back.room.name.as_deref(), Some("Plans"));
    assert_eq!(
        (&away.name, &away.members),
        (&back.room.name, &vec![user("frank")])
    );
    // And whoever comes without a position is shown the same.
    let page = bob.client.join(&room, None).await.unwrap();
    let mut fresh = Screen::default();
    fresh.joined(&page);
    assert_eq!(fresh.shown().messages, his.messages);
    assert!(!format!("{page:?}").contains("secret"), "{page:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_ends_with_what_all_others_see_on_nodes_that_share_redis() {
    recovery(Cluster::on_redis().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_away_ends_with_what_all_others_see_on_nodes_that_share_postgres() {
    recovery(Cluster::on_postgres().await).await;
}
