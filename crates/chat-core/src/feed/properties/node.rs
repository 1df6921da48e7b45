//! One node: its feed, its driver in single steps, and the judge of what the feed lets through.

use std::collections::HashSet;
use std::sync::Arc;

use crate::entry::Entry;
use crate::feed::{Feed, Loss, Want};
use crate::ids::EntryId;
use crate::model::ModelLog;
use crate::position::Position;
use crate::room_log::{Head, ReadAfter};

/// Where the driver is. Between any two stages everything else may happen.
#[derive(Debug)]
enum Stage {
    Idle,
    /// A read was begun, and has not reached the log yet.
    Asked(Position),
    /// The log has answered, and the answer has not arrived yet.
    Answered {
        from: Position,
        read: ReadAfter,
        had: bool,
        disproved: bool,
    },
    /// A loss is being settled: what comes next is not known yet, then is.
    Settling(Loss),
    Settled(Head),
}

/// A question for the log's head, under way.
#[derive(Debug)]
struct HeadAsked {
    asked: Position,
    answer: Option<Option<Head>>,
}

/// Beginning to serve a room: subscribed, then the head, then what is before it.
#[derive(Debug)]
enum Serving {
    Subscribed(Vec<Arc<Entry>>),
    Yes(Feed),
}

#[derive(Debug)]
pub(super) struct Node {
    serving: Serving,
    stage: Stage,
    heads: Vec<HeadAsked>,
    pub(super) wire: Vec<Arc<Entry>>,
    pub(super) cut: bool,
    pub(super) resets: usize,
    /// The log went back to an epoch of before: nothing tells its lost life from its new one.
    pub(super) epochs_lie: bool,
    recent: usize,
    /// What the next delivered entry must follow.
    expected: Option<Position>,
    seen: HashSet<EntryId>,
}

impl Node {
    pub(super) fn new() -> Self {
        Self {
            serving: Serving::Subscribed(Vec::new()),
            stage: Stage::Idle,
            heads: Vec::new(),
            wire: Vec::new(),
            cut: false,
            resets: 0,
            epochs_lie: false,
            recent: 0,
            expected: None,
            seen: HashSet::new(),
        }
    }

    /// Serves the room anew, like a node that has just started.
    pub(super) fn begin(&mut self, recent: usize) {
        *self = Self {
            recent,
            ..Self::new()
        };
    }

    pub(super) fn feed(&mut self) -> Option<&mut Feed> {
        match &mut self.serving {
            Serving::Subscribed(_) => None,
            Serving::Yes(feed) => Some(feed),
        }
    }

    pub(super) fn arrive(&mut self, entry: Arc<Entry>) {
        let mut out = Vec::new();
        match &mut self.serving {
            Serving::Subscribed(early) => early.push(entry),
            Serving::Yes(feed) => {
                feed.on_entry(entry, &mut out);
            }
        }
        self.judge(&out, false);
    }

    pub(super) fn ask_head(&mut self) {
        if let Some(asked) = self.feed().map(|feed| feed.last()) {
            let answer = None;
            self.heads.push(HeadAsked { asked, answer });
        }
    }

    pub(super) fn serve_head(&mut self, pick: usize, log: &ModelLog) {
        let count = self.heads.len().max(1);
        if let Some(head) = self.heads.get_mut(pick % count) {
            head.answer.get_or_insert(log.head());
        }
    }

    pub(super) fn head_arrives(&mut self, pick: usize) {
        let count = self.heads.len().max(1);
        if self
            .heads
            .get(pick % count)
            .is_some_and(|head| head.answer.is_some())
        {
            let HeadAsked { asked, answer } = self.heads.remove(pick % count);
            if let (Some(feed), Some(answer)) = (self.feed(), answer) {
                feed.on_head(answer.as_ref(), asked);
            }
        }
    }

    /// A comparison of heads without anything in between.
    pub(super) fn compare(&mut self, log: &ModelLog) {
        self.heads.clear();
        self.ask_head();
        self.serve_head(0, log);
        self.head_arrives(0);
    }

    /// Whether nothing is under way or wanted.
    pub(super) fn is_idle(&self) -> bool {
        match &self.serving {
            Serving::Subscribed(_) => false,
            Serving::Yes(feed) => matches!(self.stage, Stage::Idle) && feed.want() == Want::Nothing,
        }
    }

    pub(super) fn fail(&mut self) {
        if matches!(self.stage, Stage::Asked(_) | Stage::Answered { .. }) {
            self.stage = Stage::Idle;
            if let Some(feed) = self.feed() {
                feed.fail_read();
            }
        }
    }

    /// The driver's next step.
    pub(super) fn drive(&mut self, log: &mut ModelLog, max: usize) {
        let Serving::Yes(feed) = &mut self.serving else {
            return self.serve(log);
        };
        let mut out = Vec::new();
        let stage = std::mem::replace(&mut self.stage, Stage::Idle);
        self.stage = match stage {
            Stage::Idle => match feed.want() {
                Want::Nothing => Stage::Idle,
                Want::ReadSoon | Want::ReadNow | Want::Verify => Stage::Asked(feed.begin_read()),
                Want::Reset(loss) => Stage::Settling(loss),
            },
            Stage::Asked(from) => Stage::Answered {
                read: log.read_after(from.seq, max),
                from,
                had: log.has(&from),
                disproved: log.disproves(&from),
            },
            Stage::Answered {
                from,
                read,
                had,
                disproved,
            } => {
                feed.on_read(read, &mut out);
                if let Want::Reset(loss) = feed.want() {
                    assert!(
                        disproved || from == feed.last(),
                        "what it stands at was not asked for"
                    );
                    assert!(!had, "a reset although the log had what was delivered");
                    assert_eq!(loss.proved_rollback, disproved, "what the log proves");
                }
                Stage::Idle
            }
            Stage::Settling(loss) if loss.proved_rollback => {
                let start = shared_end(feed, log);
                let head = log.set_epoch(feed.last().epoch, start);
                Stage::Settled(if feed.has_left(head.position.epoch) {
                    log.set_epoch(head.position.epoch, start)
                } else {
                    head
                })
            }
            Stage::Settling(loss) => {
                let head = log.open();
                if feed.is_disproved_by(&head) {
                    let proved_rollback = true;
                    Stage::Settling(Loss {
                        proved_rollback,
                        ..loss
                    })
                } else {
                    Stage::Settled(head)
                }
            }
            Stage::Settled(head) => {
                feed.reset(head.position, &mut out);
                self.resets += 1;
                self.expected = Some(head.position);
                Stage::Idle
            }
        };
        self.judge(&out, true);
    }

    /// Goes on to serve the room: takes the head with what is before it, then what came early.
    fn serve(&mut self, log: &mut ModelLog) {
        let head = log.open().position;
        let newest = log.entries().skip_while(|entry| {
            let distance = head.seq.saturating_sub(entry.position.seq);
            distance >= self.recent as u64
        });
        let newest: Vec<_> = newest.cloned().collect();
        let mut feed = Feed::new(head, &newest);
        let mut out = Vec::new();
        if let Serving::Subscribed(early) = &mut self.serving {
            for entry in early.drain(..).filter(|e| e.position.seq > head.seq) {
                feed.on_entry(entry, &mut out);
            }
        }
        self.expected = Some(head);
        self.serving = Serving::Yes(feed);
        self.judge(&out, false);
    }

    /// Whatever the feed lets through follows what it let through before. Only the log itself may
    /// bring something once more: it may have got back what it had lost.
    fn judge(&mut self, out: &[Arc<Entry>], log_was_read: bool) {
        for entry in out {
            let expected = self.expected.expect("delivers only while it serves");
            assert_eq!(entry.position.seq, expected.seq + 1, "a hole or a double");
            assert_eq!(entry.prev, expected.id, "not what it follows");
            let new = self.seen.insert(entry.position.id);
            assert!(
                new || log_was_read || self.epochs_lie,
                "delivered twice: {:?}",
                entry.position
            );
            self.expected = Some(entry.position);
        }
        if let Serving::Yes(feed) = &self.serving {
            let (last, expected) = (feed.last(), self.expected.expect("serves"));
            assert_eq!((last.seq, last.id), (expected.seq, expected.id));
        }
    }
}

/// The first seq that readers of the old epoch cannot have seen, as the driver finds it.
fn shared_end(feed: &Feed, log: &ModelLog) -> u64 {
    let shared = log
        .entries()
        .filter(|entry| feed.has_delivered(&entry.position));
    let last = shared.map(|entry| entry.position.seq).max();
    last.map_or(feed.oldest_known(), |seq| seq + 1)
}
