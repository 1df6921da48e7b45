//! The feed, step by step; its properties are in `properties`.

use super::*;
use crate::entry::EntryBody;
use crate::event::ResetReason;
use crate::ids::{Epoch, InstanceId, RoomId, UserId};

/// A log that tests write by hand.
struct Log {
    epoch: Epoch,
    entries: Vec<Arc<Entry>>,
}

impl Log {
    fn new() -> Self {
        Self {
            epoch: Epoch(1),
            entries: Vec::new(),
        }
    }

    fn append(&mut self) -> Arc<Entry> {
        let (seq, prev) = match self.entries.last() {
            Some(last) => (last.position.seq + 1, last.position.id),
            None => (1, EntryId(self.epoch.0)),
        };
        let entry = Arc::new(Entry {
            room: RoomId::new("r").unwrap(),
            position: Position {
                epoch: self.epoch,
                seq,
                id: EntryId::random(),
            },
            prev,
            at_ms: seq,
            origin: InstanceId(uuid::Uuid::nil()),
            actor: UserId::new("u").unwrap(),
            body: EntryBody::Unknown { kind: 200 },
        });
        self.entries.push(Arc::clone(&entry));
        entry
    }

    fn position(&self) -> Position {
        self.entries
            .last()
            .map_or(Position::start(self.epoch), |last| last.position)
    }

    fn head(&self) -> Head {
        Head {
            position: Position {
                epoch: self.epoch,
                ..self.position()
            },
            at_ms: 0,
            epoch_start: 0,
        }
    }

    fn read(&self, from: Position) -> ReadAfter {
        let anchor = match from.seq {
            0 => Some(EntryId(1)),
            seq => self
                .entries
                .iter()
                .find(|e| e.position.seq == seq)
                .map(|e| e.position.id),
        };
        let above = self
            .entries
            .iter()
            .filter(|entry| entry.position.seq > from.seq);
        ReadAfter {
            anchor,
            entries: above.map(|entry| Entry::clone(entry)).collect(),
            head: Some(self.head()),
        }
    }
}

fn seqs(out: &[Arc<Entry>]) -> Vec<u64> {
    out.iter().map(|entry| entry.position.seq).collect()
}

fn read_wanted(feed: &mut Feed, log: &Log, out: &mut Vec<Arc<Entry>>) {
    let from = feed.begin_read();
    feed.on_read(log.read(from), out);
}

#[test]
fn delivers_in_order_and_drops_doubles() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    let first = log.append();
    assert_eq!(feed.on_entry(Arc::clone(&first), &mut out), Step::Delivered);
    assert_eq!(feed.on_entry(first, &mut out), Step::Duplicate);
    assert_eq!(feed.on_entry(log.append(), &mut out), Step::Delivered);
    assert_eq!((seqs(&out), feed.want()), (vec![1, 2], Want::Nothing));
}

#[test]
fn a_late_envelope_fills_its_gap_without_a_read() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    let (first, second) = (log.append(), log.append());
    assert_eq!(feed.on_entry(second, &mut out), Step::Gap);
    assert_eq!(feed.want(), Want::ReadSoon);
    feed.on_entry(first, &mut out);
    assert_eq!((seqs(&out), feed.want()), (vec![1, 2], Want::Nothing));
}

#[test]
fn a_gap_is_read_from_the_log() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    log.append();
    log.append();
    feed.on_entry(log.append(), &mut out);
    read_wanted(&mut feed, &log, &mut out);
    assert_eq!((seqs(&out), feed.want()), (vec![1, 2, 3], Want::Nothing));
    assert!(feed.is_calm());
}

#[test]
fn an_envelope_that_overtakes_a_read_is_not_doubled() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    let first = log.append();
    feed.on_entry(log.append(), &mut out);
    let from = feed.begin_read();
    let stale = log.read(from);
    feed.on_entry(first, &mut out);
    feed.on_entry(log.append(), &mut out);
    feed.on_read(stale, &mut out);
    assert_eq!((seqs(&out), feed.want()), (vec![1, 2, 3], Want::Nothing));
}

#[test]
fn an_old_double_beyond_the_ring_is_verified_and_resets_nothing() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let first = log.append();
    log.append();
    let mut feed = Feed::new(log.position(), &[]);
    assert_eq!(feed.on_entry(first, &mut out), Step::Suspicion);
    assert_eq!(feed.want(), Want::Verify);
    read_wanted(&mut feed, &log, &mut out);
    assert_eq!((out.len(), feed.want()), (0, Want::Nothing));
}

#[test]
fn a_stale_head_is_not_trusted_over_what_was_delivered_meanwhile() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    let (asked, stale) = (feed.last(), log.head());
    feed.on_entry(log.append(), &mut out);
    assert_eq!(feed.on_head(Some(&stale), asked), Step::Duplicate);
    assert_eq!(feed.want(), Want::Nothing);
}

#[test]
fn a_head_above_the_last_entry_finds_what_was_missed() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    log.append();
    assert_eq!(feed.on_head(Some(&log.head()), feed.last()), Step::Gap);
    assert_eq!(feed.want(), Want::ReadNow);
    read_wanted(&mut feed, &log, &mut out);
    assert_eq!(seqs(&out), vec![1]);
}

#[test]
fn a_rolled_back_log_is_proved_and_reset_once() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    for _ in 0..3 {
        feed.on_entry(log.append(), &mut out);
    }
    log.entries.truncate(1);
    let refilled = [log.append(), log.append(), log.append()];
    // The fourth follows a third that this feed never saw.
    assert_eq!(
        feed.on_entry(Arc::clone(&refilled[2]), &mut out),
        Step::Suspicion
    );
    read_wanted(&mut feed, &log, &mut out);
    let Want::Reset(loss) = feed.want() else {
        panic!("no reset")
    };
    assert!(loss.proved_rollback);
    assert_eq!(loss.reason, ResetReason::Lost);
    feed.reset(log.position(), &mut out);
    assert_eq!(feed.want(), Want::Nothing);
    feed.on_entry(log.append(), &mut out);
    assert_eq!(seqs(&out), vec![1, 2, 3, 5]);
}

#[test]
fn what_was_delivered_before_a_reset_is_not_delivered_again_by_a_late_envelope() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    let entries = [log.append(), log.append()];
    for entry in &entries {
        feed.on_entry(Arc::clone(entry), &mut out);
    }
    log.entries.truncate(1);
    feed.on_head(Some(&log.head()), feed.last());
    read_wanted(&mut feed, &log, &mut out);
    assert!(matches!(feed.want(), Want::Reset(_)));
    log.epoch = Epoch(2);
    feed.reset(log.head().position, &mut out);
    // It follows the first entry as well as what the log will have there.
    let late = Arc::clone(&entries[1]);
    assert_eq!(feed.on_entry(late, &mut out), Step::Suspicion);
    read_wanted(&mut feed, &log, &mut out);
    let second = log.append();
    assert_eq!(feed.on_entry(second, &mut out), Step::Delivered);
    assert_eq!((seqs(&out), feed.want()), (vec![1, 2, 2], Want::Nothing));
}

#[test]
fn a_trimmed_prefix_resets_but_proves_nothing() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    feed.on_entry(log.append(), &mut out);
    for _ in 0..5 {
        log.append();
    }
    log.entries.drain(..3);
    feed.on_head(Some(&log.head()), feed.last());
    read_wanted(&mut feed, &log, &mut out);
    assert_eq!(
        feed.want(),
        Want::Verify,
        "one read is never enough to reset"
    );
    read_wanted(&mut feed, &log, &mut out);
    let Want::Reset(loss) = feed.want() else {
        panic!("no reset")
    };
    assert_eq!(
        loss,
        Loss {
            reason: ResetReason::Trimmed,
            proved_rollback: false
        }
    );
}

#[test]
fn what_was_trimmed_behind_a_feed_that_moved_on_is_verified_again() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let old = log.append();
    log.append();
    let mut feed = Feed::new(log.position(), &[]);
    assert_eq!(feed.on_entry(old, &mut out), Step::Suspicion);
    let from = feed.begin_read();
    let news = [log.append(), log.append()];
    log.entries.drain(..3);
    let answer = log.read(from);
    for entry in news {
        feed.on_entry(entry, &mut out);
    }
    feed.on_read(answer, &mut out);
    assert_eq!(feed.want(), Want::Verify, "not a reset");
    read_wanted(&mut feed, &log, &mut out);
    assert_eq!((seqs(&out), feed.want()), (vec![3, 4], Want::Nothing));
}

#[test]
fn another_nodes_new_epoch_is_taken_over_without_a_reset() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    feed.on_entry(log.append(), &mut out);
    log.epoch = Epoch(2);
    assert_eq!(
        feed.on_head(Some(&log.head()), feed.last()),
        Step::Duplicate
    );
    assert_eq!(feed.last().epoch, Epoch(2));
    assert_eq!(feed.on_entry(log.append(), &mut out), Step::Delivered);
    assert_eq!(feed.want(), Want::Nothing);
}

#[test]
fn an_entry_of_a_life_that_the_log_no_longer_has_is_not_waited_for() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    log.append();
    let gone = log.append();
    log.entries.truncate(0);
    feed.on_entry(gone, &mut out);
    read_wanted(&mut feed, &log, &mut out);
    assert_eq!(feed.want(), Want::Nothing);
    feed.on_entry(log.append(), &mut out);
    assert_eq!(seqs(&out), vec![1]);
}

#[test]
fn a_full_hold_reads_at_once() {
    let (mut log, mut out) = (Log::new(), Vec::new());
    let mut feed = Feed::new(log.position(), &[]);
    log.append();
    for _ in 0..=FEED_PENDING_MAX {
        feed.on_entry(log.append(), &mut out);
    }
    assert_eq!(feed.want(), Want::ReadNow);
    read_wanted(&mut feed, &log, &mut out);
    assert_eq!(out.len(), FEED_PENDING_MAX + 2);
    assert_eq!(feed.want(), Want::Nothing);
}
