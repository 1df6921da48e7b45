//! Positions of any age and kind: what was missed comes exactly, or it is said that it cannot.

use chat_core::{Entry, EntryId, Epoch, Event, Limits, Outgoing, Position, RoomLog, Session};
use chat_testkit::make;
use proptest::collection::vec;
use proptest::prelude::*;
use tokio::time::sleep;

use super::{config, frames, join, message};
use crate::cluster::{Cluster, ROOM, UNNOTICED, run};

/// What happens to a room's log between two resumes.
#[derive(Debug, Clone, Copy)]
enum Op {
    Send(u8),
    RollBack(u8),
    Trim(u8),
    Lose,
    /// With which of the positions that ever were, how changed, at which node.
    Resume(u16, Change, usize),
}

#[derive(Debug, Clone, Copy)]
enum Change {
    Nothing,
    Seq(u64),
    Id(u64),
    Epoch(u64),
    Start,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let change = prop_oneof![
        6 => Just(Change::Nothing),
        1 => prop_oneof![0..40_u64, Just(u64::MAX)].prop_map(Change::Seq),
        1 => any::<u64>().prop_map(Change::Id),
        1 => any::<u64>().prop_map(Change::Epoch),
        1 => Just(Change::Start),
    ];
    let op = prop_oneof![
        8 => (1..6_u8).prop_map(Op::Send),
        2 => (1..8_u8).prop_map(Op::RollBack),
        2 => (0..6_u8).prop_map(Op::Trim),
        1 => Just(Op::Lose),
        8 => (any::<u16>(), change, 0..2_usize).prop_map(|(pick, how, at)| Op::Resume(pick, how, at)),
    ];
    vec(op, 1..24)
}

fn changed(position: Position, change: Change) -> Position {
    match change {
        Change::Nothing => position,
        Change::Seq(seq) => Position { seq, ..position },
        Change::Id(id) => Position {
            id: EntryId(id),
            ..position
        },
        Change::Epoch(epoch) => Position {
            epoch: Epoch(epoch),
            ..position
        },
        Change::Start => Position::start(position.epoch),
    }
}

/// Small, so that every limit is met.
fn tiny() -> Limits {
    let mut limits = Limits::default();
    (limits.log_max, limits.tail_max, limits.hold_max) = (20, 4, 4);
    (limits.resume_max, limits.resume_distance_max) = (3, 12);
    limits
}

struct Resumes {
    cluster: Cluster,
    /// Keeps the room served at both nodes.
    readers: Vec<Session>,
    positions: Vec<Position>,
    /// Everything that was appended in the present life of the log and not rolled back. A node may
    /// still remember what the log has trimmed.
    truth: Vec<Entry>,
    sent: u64,
}

impl Resumes {
    async fn start(seed: u64) -> Self {
        let cluster = Cluster::start(2, seed.is_multiple_of(2), &tiny(), seed);
        let mut readers = Vec::new();
        for node in 0..2 {
            let reader = cluster.connect(node, "reader").await;
            join(&reader, None).await;
            readers.push(reader);
        }
        let positions = vec![cluster.head().await];
        Self {
            cluster,
            readers,
            positions,
            truth: Vec::new(),
            sent: 0,
        }
    }

    async fn happen(&mut self, op: Op) {
        let (room, log) = (make::room(ROOM), self.cluster.log.clone());
        let head = self.cluster.head().await.seq;
        match op {
            Op::Send(count) => {
                for _ in 0..count {
                    self.send().await;
                }
                return;
            }
            Op::RollBack(count) => log.roll_back(&room, head.saturating_sub(count.into())),
            Op::Trim(kept) => log.trim(&room, head.saturating_sub(kept.into())),
            Op::Lose => log.drop_log(&room),
            Op::Resume(pick, change, node) => {
                let position = self.positions[usize::from(pick) % self.positions.len()];
                return self.resume(changed(position, change), node).await;
            }
        }
        // What a node has not noticed yet is reset later, which is tested elsewhere.
        sleep(UNNOTICED).await;
        for reader in &self.readers {
            frames(reader).await;
        }
        let head = self.cluster.head().await;
        self.truth.retain(|entry| entry.position.seq <= head.seq);
        self.positions.push(head);
    }

    async fn send(&mut self) {
        self.sent += 1;
        let node = &self.cluster.nodes[usize::from(self.sent.is_multiple_of(2))];
        node.service
            .send(&make::user("writer"), message(self.sent, self.sent))
            .await
            .unwrap();
        let head = self.cluster.head().await;
        let log = &self.cluster.log;
        let read = log.read_after(&make::room(ROOM), head.seq - 1, 1).await;
        self.truth.extend(read.unwrap().entries);
        self.positions.push(head);
    }

    /// What came behind a position, if that is one of the present life.
    fn behind(&self, from: Position, head: Position) -> Option<Vec<Entry>> {
        let first = self.truth.first().map_or(head.id, |first| first.prev);
        let seq = usize::try_from(from.seq).ok()?;
        let id = match seq.checked_sub(1) {
            None => first,
            Some(at) => self.truth.get(at)?.position.id,
        };
        (id == from.id).then(|| self.truth[seq..].to_vec())
    }

    /// Whoever resumes gets exactly what the log has behind his position, if it has that, and what
    /// comes then.
    async fn resume(&mut self, from: Position, node: usize) {
        for reader in &self.readers {
            frames(reader).await;
        }
        let read = self
            .cluster
            .log
            .read_after(&make::room(ROOM), from.seq, 500)
            .await
            .unwrap();
        let head = read.head.unwrap().position;
        let is_there = head.seq >= from.seq && read.anchor == Some(from.id);
        let session = self.cluster.connect(node, "client").await;
        let mut result = join(&session, Some(from)).await;
        let near = is_there && head.seq - from.seq <= tiny().resume_distance_max;
        let behind = self.behind(from, head);
        assert!(
            !result.recovered || behind.is_some(),
            "recovered over what was lost"
        );
        // From memory a node may give more than it would read.
        assert!(
            result.recovered || !near,
            "not recovered although it could be"
        );
        let mut got: Vec<Entry> = Vec::new();
        loop {
            got.extend(result.missed().map(|entry| Entry::clone(entry)));
            assert!(result.entries.len() <= tiny().resume_max);
            if !result.more {
                break;
            }
            assert!(result.recovered);
            result = join(&session, Some(result.position)).await;
        }
        if result.recovered {
            assert_eq!(Some(got), behind);
        } else {
            assert!(got.is_empty());
        }
        assert_eq!(
            (result.position.seq, result.position.id),
            (head.seq, head.id)
        );
        self.send().await;
        let live = frames(&session)
            .await
            .into_iter()
            .filter_map(|frame| entry(&frame));
        let live: Vec<_> = live.map(|entry| (entry.position.seq, entry.prev)).collect();
        assert_eq!(live, [(head.seq + 1, head.id)]);
    }
}

fn entry(frame: &Outgoing) -> Option<Entry> {
    let Outgoing::Event(delivery) = frame else {
        return None;
    };
    match delivery.event() {
        Event::Entry(entry) => Some(Entry::clone(entry)),
        Event::Reset { .. } => panic!("{delivery:?}"),
        _ => None,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_resume_brings_exactly_what_was_missed_or_says_that_it_cannot(
        ops in ops(),
        seed in 0..1_000_u64,
    ) {
        run(async {
            let mut resumes = Resumes::start(seed).await;
            for op in ops {
                resumes.happen(op).await;
            }
        });
    }
}
