//! Random histories of a room on two nodes: with retries, doubles, crashes, lost and rolled back logs,
//! members who come and go, and somebody who is away now and then. Whatever happened, everybody ends
//! with what a model of the protocol says: counts, lists, and what the room shows.

use chat_core::{
    Answer, Command, Emoji, Event, Head, Limits, MessageId, MessageKey, Outgoing, Position,
    RoomKind, RoomLog, SendMessage, Session, Text, UserId,
};
use chat_testkit::faults::{EnvelopeFaults, LogFaults};
use chat_testkit::make;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::sleep;

use super::{config, frames};
use crate::cluster::{Cluster, ROOM, UNNOTICED, run};
use crate::watcher::Person;

mod model;

use model::{Deed, Model, Screen, Shown, texts};

const PEOPLE: [&str; 3] = ["ann", "ben", "cat"];

/// Doubled and late, never lost without a word: that is found at intervals only.
const FAULTS: EnvelopeFaults = EnvelopeFaults {
    lose: 0,
    overflow: 50,
    duplicate: 200,
    reorder: 150,
    delay: 150,
};

#[derive(Debug, Clone)]
enum Do {
    Say {
        by: usize,
        mention: Option<usize>,
        at: usize,
        retried: bool,
    },
    Edit {
        which: usize,
        mention: Option<usize>,
    },
    Delete(usize),
    React {
        which: usize,
        by: usize,
        removed: bool,
    },
    Read {
        by: usize,
        seq: u64,
    },
    /// Eve becomes a member, or ceases to be one.
    Member,
    Rename,
    /// A node dies, and another one begins in its place with nothing but what the stores have.
    Crash(usize),
    RollBack(u64),
    Lose,
    Leave,
    ComeBack(usize),
    Check,
}

fn steps() -> impl Strategy<Value = Vec<Do>> {
    let who = 0..PEOPLE.len();
    let mention = proptest::option::of(0..PEOPLE.len());
    let (which, at) = (0..20_usize, 0..2_usize);
    let say = (who.clone(), mention.clone(), at.clone(), any::<bool>());
    let react = (which.clone(), who.clone(), any::<bool>());
    let step = prop_oneof![
        12 => say.prop_map(|(by, mention, at, retried)| Do::Say { by, mention, at, retried }),
        3 => (which.clone(), mention).prop_map(|(which, mention)| Do::Edit { which, mention }),
        3 => which.clone().prop_map(Do::Delete),
        3 => react.prop_map(|(which, by, removed)| Do::React { which, by, removed }),
        4 => (who, 0..30_u64).prop_map(|(by, seq)| Do::Read { by, seq }),
        1 => Just(Do::Member),
        1 => Just(Do::Rename),
        1 => at.clone().prop_map(Do::Crash),
        1 => (0..30_u64).prop_map(Do::RollBack),
        1 => Just(Do::Lose),
        2 => Just(Do::Leave),
        2 => at.prop_map(Do::ComeBack),
        1 => Just(Do::Check),
    ];
    vec(step, 1..50)
}

/// Small, so that every limit on the way back is met.
fn tiny() -> Limits {
    let mut limits = Limits::default();
    (limits.tail_max, limits.hold_max, limits.resume_max) = (4, 4, 3);
    limits
}

/// Somebody who shows the room while he is there, and comes back from where he was.
#[derive(Default)]
struct Reader {
    session: Option<Session>,
    at: Option<Position>,
    screen: Screen,
    was_reset: bool,
}

impl Reader {
    async fn come(&mut self, world: (&Cluster, &Model), node: usize) {
        self.session = Some(world.0.connect(node, "dan").await);
        self.join(world.1, 0).await;
    }

    /// `heard` is how much of the room his node has surely heard of: more may have been acked by the
    /// other one.
    async fn join(&mut self, model: &Model, heard: u64) {
        let mut is_in = false;
        while !is_in {
            let join = Command::Join {
                room: make::room(ROOM),
                position: self.at,
                history: Some(200),
            };
            let session = self.session.as_ref().unwrap();
            session.command(Some(1), join).await;
            for frame in frames(session).await {
                match frame {
                    Outgoing::Answer { result, .. } => match *result {
                        Ok(Answer::Joined(result)) => {
                            let gone = model.gone(result.position.seq.max(heard));
                            let back: Vec<_> =
                                texts(&result).intersection(&gone).cloned().collect();
                            assert!(back.is_empty(), "was deleted: {back:?}");
                            self.screen.joined(&result);
                            self.at = Some(result.position);
                            is_in = !result.more;
                        }
                        Ok(_) => {}
                        Err(error) => panic!("{error:?}"),
                    },
                    other => self.hear(&other),
                }
            }
        }
    }

    fn hear(&mut self, frame: &Outgoing) {
        let Outgoing::Event(delivery) = frame else {
            return;
        };
        match delivery.event() {
            Event::Entry(entry) => {
                self.at = Some(entry.position);
                self.screen.take(entry);
            }
            Event::Reset { .. } => self.was_reset = true,
            _ => {}
        }
    }

    /// Takes what he was told; whoever is told that the log was lost asks for a page.
    async fn listen(&mut self, model: &Model) {
        let Some(session) = &self.session else { return };
        for frame in frames(session).await {
            self.hear(&frame);
        }
        if std::mem::take(&mut self.was_reset) {
            self.at = None;
            self.join(model, 0).await;
        }
    }
}

struct World {
    cluster: Cluster,
    model: Model,
    /// Members who have not joined, each with the node that he is connected to.
    people: Vec<(usize, Person)>,
    /// One who is always there, unless his node dies, and one who comes and goes.
    readers: [Reader; 2],
    /// Where they began, and what they showed then.
    began: (Option<Position>, Screen),
    said: u64,
    name: Option<String>,
    has_eve: bool,
}

impl World {
    async fn start(seed: u64) -> Self {
        let cluster = Cluster::start(2, seed.is_multiple_of(2), &tiny(), seed);
        let mut people = Vec::new();
        for (number, name) in PEOPLE.into_iter().enumerate() {
            let person = Person::connect(&cluster, number % 2, name).await;
            people.push((number % 2, person));
        }
        let create = Command::CreateRoom {
            room: Some(make::room(ROOM)),
            kind: RoomKind::Open,
            name: None,
            members: ["ben", "cat", "dan"].map(make::user).to_vec(),
            key: None,
        };
        people[0].1.ask(create).await.unwrap();
        let mut world = Self {
            cluster,
            model: Model::default(),
            people,
            readers: Default::default(),
            began: Default::default(),
            said: 0,
            name: None,
            has_eve: false,
        };
        for (node, reader) in world.readers.iter_mut().enumerate() {
            reader.come((&world.cluster, &world.model), node).await;
        }
        let first = &world.readers[0];
        world.began = (first.at, first.screen.clone());
        world.cluster.set(FAULTS, LogFaults::default());
        world
    }

    async fn head(&self) -> Head {
        self.cluster.log.open(&make::room(ROOM)).await.unwrap()
    }

    fn message(&self, which: usize) -> Option<(MessageId, usize)> {
        let messages = self.model.messages();
        let which = which.checked_rem(messages.len())?;
        let (id, shown) = messages.into_iter().nth(which)?;
        let by = PEOPLE.iter().position(|name| *name == shown.from)?;
        shown.text.is_some().then_some((id, by))
    }

    fn text(&mut self, mention: Option<usize>) -> (Text, Vec<UserId>) {
        self.said += 1;
        let mentions: Vec<_> = mention.into_iter().map(|it| PEOPLE[it]).collect();
        let to: String = mentions.iter().map(|name| format!(" @{name}")).collect();
        let text = Text::new(format!("text {}{to}", self.said)).unwrap();
        (text, mentions.into_iter().map(make::user).collect())
    }

    async fn happen(&mut self, step: Do) {
        match step {
            Do::Say {
                by,
                mention,
                at,
                retried,
            } => self.say(by, mention, at, retried).await,
            Do::Edit { which, mention } => self.edit(which, mention).await,
            Do::Delete(which) => self.delete(which).await,
            Do::React { which, by, removed } => self.react(which, by, removed).await,
            Do::Read { by, seq } => {
                let head = self.head().await;
                self.model.read(PEOPLE[by], seq, &head);
                self.people[by].1.read(&make::room(ROOM), seq).await;
            }
            Do::Member | Do::Rename => self.change(matches!(step, Do::Member)).await,
            Do::Crash(node) => self.crash(node).await,
            Do::RollBack(to) => {
                self.cluster.log.roll_back(&make::room(ROOM), to);
                self.forget(to).await;
            }
            Do::Lose => {
                self.cluster.log.drop_log(&make::room(ROOM));
                self.forget(0).await;
            }
            Do::Leave => {
                self.readers[1].listen(&self.model).await;
                self.readers[1].session = None;
            }
            Do::ComeBack(node) => {
                let world = (&self.cluster, &self.model);
                self.readers[1].come(world, node).await;
            }
            Do::Check => self.check().await,
        }
        for reader in &mut self.readers {
            reader.listen(&self.model).await;
        }
    }

    async fn say(&mut self, by: usize, mention: Option<usize>, at: usize, retried: bool) {
        let (text, mentions) = self.text(mention);
        let message = SendMessage {
            room: make::room(ROOM),
            key: MessageKey::new(format!("key {}", self.said).replace(' ', "-")).unwrap(),
            text: text.clone(),
            reply_to: None,
            meta: None,
        };
        let user = make::user(PEOPLE[by]);
        let node = &self.cluster.nodes[at].service;
        let sent = node.send(&user, message.clone()).await.unwrap();
        if retried {
            let other = &self.cluster.nodes[1 - at].service;
            let again = other.send(&user, message).await.unwrap();
            assert!(again.duplicate && again.seq == sent.seq, "{again:?}");
        }
        let shown = Shown {
            from: PEOPLE[by].to_owned(),
            text: Some(text.to_string()),
            mentions,
            ..Shown::default()
        };
        self.model.done(sent.seq, Deed::Said(sent.message, shown));
    }

    async fn edit(&mut self, which: usize, mention: Option<usize>) {
        let Some((message, by)) = self.message(which) else {
            return;
        };
        let (text, mentions) = self.text(mention);
        let edit = Command::Edit {
            room: make::room(ROOM),
            message,
            text: text.clone(),
            key: None,
        };
        let seq = self.seq_of(by, edit).await;
        self.model.done(seq, Deed::Edited(message, text, mentions));
    }

    async fn delete(&mut self, which: usize) {
        if let Some((message, by)) = self.message(which) {
            let delete = Command::Delete {
                room: make::room(ROOM),
                message,
                key: None,
            };
            let seq = self.seq_of(by, delete).await;
            self.model.done(seq, Deed::Deleted(message));
        }
    }

    async fn react(&mut self, which: usize, by: usize, removed: bool) {
        if let Some((message, _)) = self.message(which) {
            let emoji = Emoji::new("+").unwrap();
            let react = Command::React {
                room: make::room(ROOM),
                message,
                emoji: emoji.clone(),
                remove: removed,
                key: None,
            };
            let seq = self.seq_of(by, react).await;
            let deed = Deed::Reacted(message, emoji, make::user(PEOPLE[by]), removed);
            self.model.done(seq, deed);
        }
    }

    async fn seq_of(&mut self, by: usize, command: Command) -> u64 {
        match self.people[by].1.ask(command).await {
            Ok(Answer::Edited { seq, .. } | Answer::Changed { seq }) => seq,
            other => panic!("{other:?}"),
        }
    }

    async fn change(&mut self, members: bool) {
        let (room, users) = (make::room(ROOM), vec![make::user("eve")]);
        let command = if !members {
            self.said += 1;
            self.name = Some(format!("name {}", self.said));
            Command::UpdateRoom {
                room,
                name: self.name.clone(),
                topic: None,
                slow_mode_s: None,
            }
        } else {
            self.has_eve = !self.has_eve;
            let role = None;
            match self.has_eve {
                true => Command::AddMembers { room, users, role },
                false => Command::RemoveMembers { room, users },
            }
        };
        self.people[0].1.ask(command).await.unwrap();
    }

    /// The log has nothing above that seq any more, which nodes find out by comparing heads.
    async fn forget(&mut self, to: u64) {
        self.model.roll_back(to);
        sleep(UNNOTICED).await;
    }

    async fn crash(&mut self, node: usize) {
        for (_, reader) in (0..).zip(&mut self.readers) {
            reader.listen(&self.model).await;
        }
        let was_away = self.readers[1].session.is_none();
        for reader in &mut self.readers {
            reader.session = None;
        }
        self.cluster.restart(node);
        self.cluster.set(FAULTS, LogFaults::default());
        for (number, (at, person)) in self.people.iter_mut().enumerate() {
            if *at == node {
                *person = Person::connect(&self.cluster, node, PEOPLE[number]).await;
            }
        }
        let back = if was_away { 1 } else { 2 };
        for reader in &mut self.readers[..back] {
            reader.come((&self.cluster, &self.model), node).await;
        }
    }

    async fn check(&mut self) {
        self.cluster.heal();
        sleep(UNNOTICED).await;
        let head = self.head().await;
        let newest = self.model.messages().into_values().next_back();
        for (number, name) in PEOPLE.into_iter().enumerate() {
            let expected = self.model.counts(name, &head);
            let person = &mut self.people[number].1;
            person.told().await;
            let told = person.counts;
            assert!(
                told.is_none_or(|told| told == expected),
                "{name} was told {told:?}, not {expected:?}"
            );
            let Ok(Answer::Rooms(list)) = person
                .ask(Command::Rooms {
                    cursor: None,
                    limit: None,
                })
                .await
            else {
                panic!("no list");
            };
            let [listed] = &list.rooms[..] else {
                panic!("{list:?}");
            };
            assert_eq!(
                (listed.unread, listed.mentions),
                expected,
                "listed for {name}"
            );
            assert_eq!(listed.last_message.as_ref().map(Shown::from), newest);
            let counted = person.read(&make::room(ROOM), 0).await;
            assert_eq!(counted, expected, "answered to {name}");
            self.model.read(name, 0, &head);
        }
        for reader in &mut self.readers {
            reader.listen(&self.model).await;
            if reader.session.is_some() {
                assert_eq!(reader.screen.messages(), self.model.messages());
                assert_eq!(reader.screen.name, self.name);
                assert_eq!(reader.screen.members, 4 + u64::from(self.has_eve));
            }
        }
        for node in 0..2 {
            // Recovers all that happened, in as many pieces as it takes.
            let mut late = Reader {
                session: Some(self.cluster.connect(node, "dan").await),
                at: self.began.0,
                screen: self.began.1.clone(),
                was_reset: false,
            };
            late.join(&self.model, head.position.seq).await;
            assert_eq!(late.screen.messages(), self.model.messages());
        }
        self.cluster.set(FAULTS, LogFaults::default());
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn whatever_happens_all_end_with_what_the_model_says(steps in steps(), seed in 0..1_000_u64) {
        run(async {
            let mut world = World::start(seed).await;
            for step in steps {
                world.happen(step).await;
            }
            world.happen(Do::ComeBack(0)).await;
            world.check().await;
        });
    }
}
