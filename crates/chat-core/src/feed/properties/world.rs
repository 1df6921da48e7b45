//! Nodes, the log, and what is between them.

use std::sync::Arc;

use super::Op;
use super::node::Node;
use crate::entry::{Entry, EntryHeader};
use crate::ids::EntryId;
use crate::model::ModelLog;

pub(super) const NODES: usize = 2;

#[derive(Debug)]
pub(super) struct World {
    log: ModelLog,
    nodes: [Node; NODES],
    /// Everything that was ever announced.
    announced: Vec<Arc<Entry>>,
    /// How often the log lost something.
    losses: usize,
}

impl World {
    pub(super) fn new() -> Self {
        Self {
            log: ModelLog::default(),
            nodes: std::array::from_fn(|_| Node::new()),
            announced: Vec::new(),
            losses: 0,
        }
    }

    pub(super) fn resets(&self) -> usize {
        self.nodes.iter().map(|node| node.resets).sum()
    }

    pub(super) fn happen(&mut self, op: Op) {
        match op {
            Op::Append(count) => (0..count).for_each(|_| self.append()),
            Op::Arrive(node, pick) => {
                if let Some(entry) = self.take_from_wire(node, pick) {
                    self.nodes[node].arrive(entry);
                }
            }
            Op::ArriveAll(node) => {
                let wire = std::mem::take(&mut self.nodes[node].wire);
                wire.into_iter()
                    .for_each(|entry| self.nodes[node].arrive(entry));
            }
            Op::Lose(node, pick) => drop(self.take_from_wire(node, pick)),
            Op::Repeat(node, pick) => {
                if let Some(entry) = self.ever(pick) {
                    self.nodes[node].arrive(entry);
                }
            }
            Op::Tempt(node) => self.tempt(node),
            Op::CatchUp(node) => {
                self.nodes[node].compare(&self.log);
                self.calm(node);
            }
            Op::BareHead(node, pick) => self.bare_head(node, pick),
            Op::Cut(node) => {
                self.nodes[node].cut = true;
                self.nodes[node].wire.clear();
            }
            Op::Restore(node) => {
                self.nodes[node].cut = false;
                self.nodes[node].ask_head();
            }
            Op::AskHead(node) => self.nodes[node].ask_head(),
            Op::ServeHead(node, pick) => self.nodes[node].serve_head(pick.into(), &self.log),
            Op::HeadArrives(node, pick) => self.nodes[node].head_arrives(pick.into()),
            Op::Doubt(node) => {
                if let Some(feed) = self.nodes[node].feed() {
                    feed.on_doubt();
                }
            }
            Op::Drive(node, max) => self.nodes[node].drive(&mut self.log, max.into()),
            Op::Fail(node) => self.nodes[node].fail(),
            Op::Begin(node, recent) => self.nodes[node].begin(recent.into()),
            op => self.damage(op),
        }
        for node in &self.nodes {
            assert!(
                node.resets <= self.losses,
                "{} resets, {} losses",
                node.resets,
                self.losses
            );
        }
    }

    fn damage(&mut self, op: Op) {
        let head = self.log.head().map_or(0, |head| head.position.seq);
        let oldest = self.log.entries().next();
        let oldest = oldest.map_or(0, |entry| entry.position.seq);
        let lost = match op {
            Op::Trim(count) => self.log.trim(oldest + u64::from(count)),
            Op::RollBack(count) => self.log.roll_back(head.saturating_sub(count.into())),
            Op::FailOver => self.fail_over(),
            Op::LoseAll => self.log.lose_all(),
            Op::LoseHead => self.log.lose_head(),
            Op::NewEpoch => {
                let known = self.log.open().position.epoch;
                self.log.set_epoch(known, 1);
                false
            }
            _ => {
                self.log.replicate();
                false
            }
        };
        self.losses += usize::from(lost);
    }

    fn fail_over(&mut self) -> bool {
        let epoch = |log: &ModelLog| log.head().map(|head| head.position.epoch);
        let before = epoch(&self.log);
        let lost = self.log.fail_over();
        if lost && before != epoch(&self.log) {
            // Such a node cannot know an envelope of the lost life, which costs it one reset more.
            self.losses += 1;
            for node in &mut self.nodes {
                node.epochs_lie = true;
            }
        }
        lost
    }

    fn append(&mut self) {
        let entry = self.log.append();
        self.announced.push(Arc::clone(&entry));
        for node in self.nodes.iter_mut().filter(|node| !node.cut) {
            node.wire.push(Arc::clone(&entry));
        }
    }

    fn take_from_wire(&mut self, node: usize, pick: u16) -> Option<Arc<Entry>> {
        let wire = &mut self.nodes[node].wire;
        (!wire.is_empty()).then(|| wire.remove(usize::from(pick) % wire.len()))
    }

    fn ever(&self, pick: u16) -> Option<Arc<Entry>> {
        let count = self.announced.len().max(1);
        self.announced.get(usize::from(pick) % count).cloned()
    }

    fn tempt(&mut self, node: usize) {
        let last = self.nodes[node].feed().map(|feed| feed.last());
        let behind = |entry: &&Arc<Entry>| last.is_some_and(|last| entry.prev == last.id);
        if let Some(entry) = self.announced.iter().find(behind).cloned() {
            self.nodes[node].arrive(entry);
        }
    }

    fn bare_head(&mut self, node: usize, pick: u16) {
        let Some(entry) = self.ever(pick) else { return };
        let header = EntryHeader {
            prev: EntryId(0),
            ..entry.header()
        };
        if let Some(feed) = self.nodes[node].feed() {
            feed.on_bare_head(&header);
        }
    }

    /// Everything that is on its way arrives in the given order, and the drivers do what is
    /// wanted.
    pub(super) fn let_arrive(&mut self, order: &[u16]) {
        for node in 0..NODES {
            self.calm(node);
            for pick in order.iter().cycle() {
                let Some(entry) = self.take_from_wire(node, *pick) else {
                    break;
                };
                self.nodes[node].arrive(entry);
            }
            self.calm(node);
        }
    }

    /// The world goes quiet: links are up, heads are compared once, wants are served.
    pub(super) fn settle(&mut self) {
        for node in 0..NODES {
            self.nodes[node].cut = false;
            self.calm(node);
            self.nodes[node].compare(&self.log);
            self.calm(node);
            assert!(self.nodes[node].resets <= self.losses);
        }
        // The last one may have started an epoch that the others do not know yet.
        for node in &mut self.nodes {
            node.compare(&self.log);
        }
        self.assert_in_step();
    }

    fn calm(&mut self, node: usize) {
        // Each read brings something on, and each doubt is over after two reads and a reset.
        let steps = 100 + 3 * self.announced.len();
        for _ in 0..steps {
            if self.nodes[node].is_idle() {
                return;
            }
            self.nodes[node].drive(&mut self.log, 4);
        }
        panic!("the feed never comes to rest: {:?}", self.nodes[node]);
    }

    pub(super) fn assert_in_step(&mut self) {
        let head = self.log.open().position;
        for node in &mut self.nodes {
            let feed = node.feed().expect("is served by now");
            let last = feed.last();
            assert_eq!((last.seq, last.id), (head.seq, head.id), "in step");
            // A log that was rolled back unnoticed may be in an epoch of before.
            assert!(last.epoch == head.epoch || feed.has_left(head.epoch));
            assert!(feed.is_calm());
        }
    }
}
