//! What watchers are told, against counting everything anew, over random histories: with doubles,
//! gaps, retries, edits, deletes, reads of the log at any moment, lost and rolled back logs, and
//! nodes that start again.

use std::collections::{BTreeMap, HashSet};

use proptest::prelude::*;

use super::tests::{connection, heard, said, user};
use super::*;
use crate::feed::{Feed, Want};
use crate::limits::UNREAD_MAX;
use crate::message::Text;
use crate::model::ModelLog;
use crate::room_log::Digest;
use crate::service::tally::Loaded;
use crate::service::unread::Life;

const PEOPLE: [&str; 3] = ["ann", "ben", "cat"];

#[derive(Debug, Clone)]
enum Do {
    Say {
        by: usize,
        mention: Option<usize>,
    },
    Edit {
        which: usize,
        mention: Option<usize>,
    },
    Delete {
        which: usize,
    },
    /// An envelope arrives: any one, once more or out of turn.
    Hear {
        which: usize,
    },
    CatchUp,
    Read {
        by: usize,
        which: usize,
    },
    GoIn {
        who: usize,
    },
    GoOut {
        who: usize,
    },
    /// A load of counts goes one step on: begun, read, taken.
    Load,
    RollBack {
        to: usize,
    },
    LoseAll,
    StartAgain,
}

fn steps() -> impl Strategy<Value = Vec<Do>> {
    let who = 0..PEOPLE.len();
    let mention = proptest::option::of(0..PEOPLE.len());
    let which = 0..20_usize;
    let step = prop_oneof![
        6 => (who.clone(), mention.clone()).prop_map(|(by, mention)| Do::Say { by, mention }),
        2 => (which.clone(), mention).prop_map(|(which, mention)| Do::Edit { which, mention }),
        2 => which.clone().prop_map(|which| Do::Delete { which }),
        6 => which.clone().prop_map(|which| Do::Hear { which }),
        2 => Just(Do::CatchUp),
        2 => (who.clone(), which.clone()).prop_map(|(by, which)| Do::Read { by, which }),
        1 => who.clone().prop_map(|who| Do::GoIn { who }),
        1 => who.prop_map(|who| Do::GoOut { who }),
        6 => Just(Do::Load),
        1 => which.prop_map(|to| Do::RollBack { to }),
        1 => Just(Do::LoseAll),
        1 => Just(Do::StartAgain),
    ];
    proptest::collection::vec(step, 0..80)
}

/// The messages of a log as they stand.
fn messages(log: &ModelLog) -> BTreeMap<u64, Message> {
    let mut messages: BTreeMap<u64, Message> = BTreeMap::new();
    for entry in log.entries() {
        if let Some(message) = Message::added_by(entry) {
            messages.insert(message.id.seq, message);
        } else if let Some(target) = entry.body.target()
            && let Some(message) = messages.get_mut(&target.seq)
        {
            message.apply(entry);
        }
    }
    messages
}

/// What a node reads of a log so that it can count.
pub(super) fn loaded(log: &ModelLog) -> Loaded {
    let messages = messages(log);
    Loaded {
        life: Life::from(&log.head().unwrap()),
        digests: messages.values().map(Digest::from).collect(),
        newest: messages.into_values().next_back(),
    }
}

/// A user's counts, as the protocol says what they are.
fn counted(log: &ModelLog, user: &UserId, marker: Option<Marker>) -> (u32, u32) {
    let head = log.head().unwrap();
    let marked = marker.map_or(0, |it| it.seq_in(head.position.epoch, head.epoch_start));
    let messages = messages(log);
    let own = messages.values().filter(|message| message.from == *user);
    let read = own
        .map(|message| message.id.seq)
        .max()
        .unwrap_or(0)
        .max(marked);
    let unread: Vec<_> = messages
        .values()
        .filter(|message| message.id.seq > read && message.from != *user && !message.is_deleted())
        .collect();
    let mentions = unread
        .iter()
        .filter(|message| message.mentions.contains(user));
    (
        (unread.len() as u32).min(UNREAD_MAX),
        mentions.count() as u32,
    )
}

/// A load of counts under way.
enum Load {
    None,
    Begun(u64),
    Read(u64, Box<Loaded>),
}

struct World {
    log: ModelLog,
    feed: Feed,
    watchers: Watchers,
    people: Vec<Arc<Connection>>,
    inside: HashSet<usize>,
    markers: BTreeMap<usize, Marker>,
    load: Load,
    /// What each was told last, unless it became out of date by what he did himself.
    told: BTreeMap<usize, (u32, u32)>,
}

impl World {
    fn new() -> Self {
        let mut log = ModelLog::default();
        let head = log.open();
        let mut world = Self {
            log,
            feed: Feed::new(head.position, &[]),
            watchers: Watchers::new(RoomId::new("r").unwrap()),
            people: PEOPLE.iter().map(|name| connection(name)).collect(),
            inside: HashSet::new(),
            markers: BTreeMap::new(),
            load: Load::None,
            told: BTreeMap::new(),
        };
        world.start_again();
        world
    }

    fn message(&self, which: usize) -> Option<Message> {
        let messages = messages(&self.log);
        let which = which.checked_rem(messages.len())?;
        messages.into_values().nth(which)
    }

    fn apply(&mut self, step: Do) {
        let mentions = |mention: Option<usize>| -> Vec<_> {
            mention.into_iter().map(|who| PEOPLE[who]).collect()
        };
        match step {
            Do::Say { by, mention } => {
                let body = said(&mentions(mention));
                self.log.append_by(user(PEOPLE[by]), body);
            }
            Do::Edit { which, mention } => {
                if let Some(message) = self.message(which).filter(|it| !it.is_deleted()) {
                    let body = EntryBody::MessageUpdated {
                        message: message.id,
                        text: Some(Text::new("y").unwrap()),
                        mentions: mentions(mention).into_iter().map(user).collect(),
                    };
                    self.log.append_by(message.from, body);
                }
            }
            Do::Delete { which } => {
                if let Some(message) = self.message(which).filter(|it| !it.is_deleted()) {
                    let body = EntryBody::MessageDeleted {
                        message: message.id,
                    };
                    self.log.append_by(message.from, body);
                }
            }
            Do::Hear { which } => {
                let entry = self.log.entries().nth(which).cloned();
                let mut out = Vec::new();
                if let Some(entry) = entry {
                    self.feed.on_entry(entry, &mut out);
                }
                self.deliver(&out);
            }
            Do::CatchUp => self.catch_up(),
            Do::Read { by, which } => self.read(by, which),
            Do::GoIn { who } => {
                self.inside.insert(who);
                self.told.remove(&who);
                self.watchers.comes_in(&self.people[who]);
            }
            Do::GoOut { who } => {
                self.inside.remove(&who);
                self.watchers.goes_out(&self.people[who]);
            }
            Do::Load => self.load(),
            Do::RollBack { to } => {
                if self.log.roll_back(to as u64) {
                    let known = self.log.open().position.epoch;
                    self.log.set_epoch(known, to as u64 + 1);
                    self.reset();
                }
            }
            Do::LoseAll => {
                self.log.lose_all();
                self.reset();
            }
            Do::StartAgain => self.start_again(),
        }
        self.listen();
    }

    fn deliver(&mut self, out: &[Arc<Entry>]) {
        for entry in out {
            self.watchers.deliver(entry);
        }
        self.watchers.tally.heard(self.feed.last().epoch);
    }

    fn catch_up(&mut self) {
        let head = self.log.open();
        let asked = self.feed.last();
        self.feed.on_head(Some(&head), asked);
        while self.feed.want() != Want::Nothing {
            let from = self.feed.begin_read();
            let mut out = Vec::new();
            self.feed
                .on_read(self.log.read_after(from.seq, 7), &mut out);
            self.deliver(&out);
        }
        self.watchers.tally.heard(self.feed.last().epoch);
    }

    fn read(&mut self, by: usize, which: usize) {
        let head = self.log.open();
        let epoch = head.position.epoch;
        let seq = (which as u64).min(head.position.seq);
        let set = Marker { epoch, seq };
        let before = self.markers.get(&by).copied();
        let marker = before.map_or(set, |before| before.advanced(set, head.epoch_start));
        self.markers.insert(by, marker);
        self.told.remove(&by);
        self.watchers.mark(&user(PEOPLE[by]), marker);
    }

    fn load(&mut self) {
        self.load = match std::mem::replace(&mut self.load, Load::None) {
            Load::None if self.watchers.tally.backlog().is_some() => Load::None,
            Load::None => Load::Begun(self.watchers.tally.ticket()),
            Load::Begun(ticket) => Load::Read(ticket, Box::new(loaded(&self.log))),
            Load::Read(ticket, read) => {
                let last = self.feed.last();
                if let Some(owed) = self.watchers.tally.know(ticket, *read, last) {
                    self.watchers.settle(&owed);
                }
                Load::None
            }
        };
    }

    fn reset(&mut self) {
        let head = self.log.open();
        self.watchers.tally.forget();
        let mut out = Vec::new();
        self.feed.reset(head.position, &mut out);
        self.deliver(&out);
    }

    /// A node that knows nothing but the markers begins to watch the room where its log stands.
    fn start_again(&mut self) {
        let head = self.log.open();
        self.feed = Feed::new(head.position, &[]);
        self.watchers = Watchers::new(RoomId::new("r").unwrap());
        self.load = Load::None;
        self.told.clear();
        for (who, connection) in self.people.iter().enumerate() {
            let inside = self.inside.contains(&who);
            let marker = self.markers.get(&who).copied();
            let connections = std::slice::from_ref(connection);
            self.watchers
                .watch((&connection.user, 0), marker, connections, |_| inside);
        }
    }

    fn listen(&mut self) {
        for (who, connection) in self.people.iter().enumerate() {
            for event in heard(connection) {
                assert!(!self.inside.contains(&who), "told inside: {event:?}");
                let counts = match event {
                    Event::Notification(it) => (it.unread, it.mentions),
                    Event::UnreadCount {
                        unread, mentions, ..
                    } => (unread, mentions),
                    other => panic!("{other:?}"),
                };
                self.told.insert(who, counts);
            }
        }
    }

    /// Everything arrives, and everything that is owed is read.
    fn settle(&mut self) {
        self.catch_up();
        while self.watchers.is_wanted() && self.watchers.tally.owes()
            || !matches!(self.load, Load::None)
        {
            self.load();
        }
        self.listen();
    }
}

proptest! {
    #[test]
    fn whatever_happens_watchers_end_with_the_counts_of_whoever_counts_anew(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.apply(step);
        }
        world.settle();
        for (who, name) in PEOPLE.iter().enumerate() {
            let (user, marker) = (user(name), world.markers.get(&who).copied());
            let expected = counted(&world.log, &user, marker);
            if let Some(backlog) = world.watchers.tally.backlog() {
                let Counts { unread, mentions } = backlog.reader(&user, marker).counts();
                prop_assert_eq!((unread, mentions), expected, "counted anew for {}", name);
            }
            if let Some(told) = world.told.get(&who) {
                prop_assert_eq!(*told, expected, "last told to {}", name);
            }
        }
    }
}
