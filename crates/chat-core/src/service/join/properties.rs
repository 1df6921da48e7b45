//! Joins at every point while messages flow: what a connection is told, what was held for it and
//! what it gets live is one unbroken piece of the log, whatever overflows or is reset between.

use futures_util::FutureExt;
use proptest::collection::vec;
use proptest::prelude::*;

use super::above;
use crate::entry::Entry;
use crate::event::{Delivery, Event};
use crate::identity::Identity;
use crate::ids::UserId;
use crate::limits::Limits;
use crate::model::ModelLog;
use crate::outbox::Outgoing;
use crate::position::Position;
use crate::service::connection::Connection;
use crate::service::members::Members;
use std::sync::Arc;

const CONNECTIONS: usize = 3;
/// Small, so that holds overflow.
const HOLD_MAX: usize = 3;

#[derive(Debug, Clone, Copy)]
enum Op {
    /// The log takes entries.
    Append(u8),
    /// The feed hands over what is next, as one batch.
    Deliver(u8),
    /// A connection registers; it knows nothing, or comes back with where it stood.
    Join(usize, bool),
    /// A connection that catches up reads on.
    Read(usize, u8),
    /// It has read to the head: what was held is looked at.
    Finish(usize),
    Leave(usize),
    /// The log was found to be lost: everybody goes on from its head.
    Reset,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let who = || 0..CONNECTIONS;
    let op = prop_oneof![
        6 => (1..4_u8).prop_map(Op::Append),
        6 => (1..5_u8).prop_map(Op::Deliver),
        4 => (who(), any::<bool>()).prop_map(|(who, back)| Op::Join(who, back)),
        6 => (who(), 1..6_u8).prop_map(|(who, max)| Op::Read(who, max)),
        4 => who().prop_map(Op::Finish),
        1 => who().prop_map(Op::Leave),
        1 => Just(Op::Reset),
    ];
    vec(op, 1..120)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Stage {
    Away,
    /// `reached`: he has everything up to a head that was read after he was registered.
    CatchingUp {
        resets: u32,
        reached: bool,
    },
    Live,
}

struct Client {
    connection: Arc<Connection>,
    stage: Stage,
    /// The last entry that it was told.
    at: Option<Position>,
}

struct Room {
    log: ModelLog,
    members: Members,
    /// What the feed delivered last.
    last: Position,
    resets: u32,
    clients: Vec<Client>,
}

impl Room {
    fn new() -> Self {
        let mut log = ModelLog::default();
        let last = log.open().position;
        let user = || Identity::of(UserId::new("u").unwrap());
        let client = |_| Client {
            connection: Arc::new(Connection::new(user(), &Limits::default())),
            stage: Stage::Away,
            at: None,
        };
        Self {
            log,
            members: Members::default(),
            last,
            resets: 0,
            clients: (0..CONNECTIONS).map(client).collect(),
        }
    }

    fn happen(&mut self, op: Op) {
        match op {
            Op::Append(count) => (0..count).for_each(|_| drop(self.log.append())),
            Op::Deliver(count) => self.deliver(count.into()),
            Op::Join(who, back) => self.join(who, back),
            Op::Read(who, max) => self.read(who, max.into()),
            Op::Finish(who) => self.finish(who),
            Op::Leave(who) => {
                self.hear(who);
                let client = &mut self.clients[who];
                let counted = self.members.remove(client.connection.id);
                assert_eq!(counted.is_some(), client.stage != Stage::Away);
                client.stage = Stage::Away;
            }
            Op::Reset => self.reset(),
        }
    }

    fn deliver(&mut self, count: usize) {
        let news = self.log.read_after(self.last.seq, count).entries;
        let news: Vec<_> = news
            .into_iter()
            .map(|entry| Delivery::new(Event::Entry(Arc::new(entry))))
            .collect();
        if let Some(last) = news.last().and_then(|last| last.entry()) {
            self.last = last.position;
        }
        self.members.deliver(&news, HOLD_MAX);
    }

    fn join(&mut self, who: usize, back: bool) {
        self.hear(who);
        let client = &mut self.clients[who];
        self.members.hold(&client.connection);
        // A position may be ahead of this node: another one has told him more.
        let known = client.at.filter(|at| back && self.log.has(at));
        let at = known.unwrap_or(self.last);
        client.at = Some(at);
        let resets = self.resets;
        // A fresh page stands for what the feed had delivered in the step that registered him.
        let reached = known.is_none();
        client.stage = Stage::CatchingUp { resets, reached };
    }

    fn read(&mut self, who: usize, max: usize) {
        if let Stage::CatchingUp { resets, .. } = self.clients[who].stage
            && resets == self.resets
        {
            let at = self.clients[who].at.unwrap();
            let read = self.log.read_after(at.seq, max);
            assert_eq!(read.anchor, Some(at.id));
            for entry in &read.entries {
                self.told(who, entry);
            }
            let at = self.clients[who].at.unwrap();
            let reached = at.seq == read.head.unwrap().position.seq;
            self.clients[who].stage = Stage::CatchingUp { resets, reached };
        }
    }

    fn finish(&mut self, who: usize) {
        let Stage::CatchingUp { resets, reached } = self.clients[who].stage else {
            return;
        };
        if !reached && resets == self.resets {
            return;
        }
        let (id, at) = (
            self.clients[who].connection.id,
            self.clients[who].at.unwrap(),
        );
        let hold = self.members.take_hold(id).expect("it is held for");
        assert!(hold.deliveries.len() <= HOLD_MAX);
        if resets != self.resets {
            // The engine begins anew, and so does he.
            return self.join(who, false);
        }
        let Some(above) = above(hold, at) else {
            // Nothing is held beyond the hole: the log is read on from where he is.
            let reached = false;
            self.clients[who].stage = Stage::CatchingUp { resets, reached };
            return;
        };
        for held in &above {
            self.told(who, held.entry().unwrap());
        }
        let at = self.clients[who].at.unwrap();
        let in_step = (at.seq, at.id) == (self.last.seq, self.last.id);
        self.members.go_live(id, (!in_step).then_some(at));
        assert!(self.members.is_live(id));
        self.clients[who].stage = Stage::Live;
    }

    fn reset(&mut self) {
        (0..CONNECTIONS).for_each(|who| self.hear(who));
        self.last = self.log.open().position;
        self.resets += 1;
        self.members.reset();
        for client in &mut self.clients {
            if client.stage == Stage::Live {
                client.at = Some(self.last);
            }
        }
    }

    /// Takes what waits in a connection's outbox.
    fn hear(&mut self, who: usize) {
        let mut frames = Vec::new();
        let outbox = &self.clients[who].connection.outbox;
        let waits = outbox.next_batch(&mut frames, usize::MAX).now_or_never();
        assert!(waits.is_none_or(|taken| taken.is_ok()));
        for frame in frames {
            let Outgoing::Event(delivery) = frame else {
                panic!("not an event")
            };
            self.told(who, delivery.entry().unwrap());
        }
    }

    fn told(&mut self, who: usize, entry: &Entry) {
        let at = self.clients[who].at.expect("joined");
        assert_eq!(entry.position.seq, at.seq + 1, "a hole or a double");
        assert_eq!(entry.prev, at.id);
        self.clients[who].at = Some(entry.position);
    }

    /// All that is in the log is delivered, and whoever catches up does.
    fn settle(&mut self) {
        while self.last.seq < self.log.open().position.seq {
            self.deliver(2);
        }
        for who in 0..CONNECTIONS {
            for _ in 0..5 {
                self.read(who, 100);
                self.finish(who);
            }
            self.hear(who);
            let client = &self.clients[who];
            if client.stage != Stage::Away {
                assert_eq!(client.stage, Stage::Live);
                let at = client.at.unwrap();
                assert_eq!((at.seq, at.id), (self.last.seq, self.last.id));
            }
        }
    }
}

proptest! {
    #[test]
    fn a_join_at_any_point_gets_everything_once_in_order(ops in ops()) {
        let mut room = Room::new();
        ops.into_iter().for_each(|op| room.happen(op));
        room.settle();
    }
}
