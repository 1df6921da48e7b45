//! What is unread in a room, for each user who asks: counted from its newest messages, which are
//! read once and then kept up by the entries that are delivered. Pure.
//!
//! A message costs 24 bytes here, whatever was said in it: a node keeps a thousand of each room
//! that somebody watches. A reader's counts follow each step without looking at the messages
//! again, so that one message in a room with a thousand readers costs a thousand additions.
//!
//! Invariant: a reader's counts are what [`Backlog::reader`] would count anew.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use crate::directory::Marker;
use crate::entry::{Entry, EntryBody};
use crate::ids::{Epoch, UserId};
use crate::limits::UNREAD_MAX;
use crate::message::Message;
use crate::room_log::{Digest, Head};

/// A user, as counting tells users apart. The key is this process's own, so that nobody can choose
/// a name that is taken for another's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Who(u64);

static WHO_KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

impl From<&UserId> for Who {
    fn from(user: &UserId) -> Self {
        Self(WHO_KEY.hash_one(user))
    }
}

/// In which life of its log a room is, as far as markers are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Life {
    pub(super) epoch: Epoch,
    /// The first seq for which markers of older epochs do not count.
    pub(super) epoch_start: u64,
}

impl Life {
    /// What a marker is worth in it.
    pub(super) fn read_by(self, marker: Option<Marker>) -> u64 {
        marker.map_or(0, |marker| marker.seq_in(self.epoch, self.epoch_start))
    }
}

impl From<&Head> for Life {
    fn from(head: &Head) -> Self {
        Self {
            epoch: head.position.epoch,
            epoch_start: head.epoch_start,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Said {
    seq: u64,
    from: Who,
    deleted: bool,
}

/// The newest messages of a room.
#[derive(Debug)]
pub(super) struct Backlog {
    life: Life,
    /// In seq order.
    messages: VecDeque<Said>,
    /// Who is mentioned, by seq; few messages mention anybody.
    mentions: BTreeMap<u64, Box<[Who]>>,
    max: usize,
}

/// A message as it counts, before or after a step.
#[derive(Debug, Clone)]
struct Counted {
    said: Said,
    mentions: Box<[Who]>,
}

/// What a step of the log changes for those who count.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// This one counts no longer: it is too old, or as it was before it changed.
    gone: Option<Counted>,
    /// This one does instead.
    come: Option<Counted>,
    /// It was not there before: whoever said it has read all before it.
    is_new: bool,
}

impl Step {
    /// Whether anybody's counts may be different after it.
    pub(super) fn is_nothing(&self) -> bool {
        self.gone.is_none() && self.come.is_none()
    }

    /// Whether a message was added.
    pub(super) fn is_new(&self) -> bool {
        self.is_new
    }
}

impl Backlog {
    /// From the newest messages as a log has them, in seq order; keeps up to `max`.
    pub(super) fn new(life: Life, digests: &[Digest], max: usize) -> Self {
        let mut backlog = Self {
            life,
            messages: VecDeque::new(),
            mentions: BTreeMap::new(),
            max,
        };
        for digest in digests {
            let said = Said {
                seq: digest.id.seq,
                from: Who::from(&digest.from),
                deleted: digest.deleted,
            };
            backlog.add(said, &digest.mentions);
        }
        backlog
    }

    pub(super) fn life(&self) -> Life {
        self.life
    }

    /// The seq of the newest message; 0 if there is none.
    pub(super) fn newest(&self) -> u64 {
        self.messages.back().map_or(0, |said| said.seq)
    }

    /// Takes a step of the log, in order. One that it knows already changes nothing: what was read
    /// from the log may be ahead of what is delivered.
    pub(super) fn take(&mut self, entry: &Entry) -> Step {
        match &entry.body {
            EntryBody::MessageAdded { text, mentions, .. } => {
                let said = Said {
                    seq: entry.position.seq,
                    from: Who::from(&entry.actor),
                    deleted: text.is_none(),
                };
                self.add(said, mentions)
            }
            EntryBody::MessageUpdated {
                message, mentions, ..
            } => self.mention(message.seq, mentions),
            EntryBody::MessageDeleted { message } => self.delete(message.seq),
            EntryBody::MessageReacted { .. }
            | EntryBody::RoomUpdated(_)
            | EntryBody::Unknown { .. } => Step::default(),
        }
    }

    /// A user's counts.
    pub(super) fn reader(&self, user: &UserId, marker: Option<Marker>) -> Reader {
        let me = Who::from(user);
        let mut reader = Reader {
            me,
            read: self.life.read_by(marker),
            unread: 0,
            mentions: 0,
        };
        for said in self.messages.iter().rev() {
            if said.from == me {
                reader.read = reader.read.max(said.seq);
            }
            if said.seq <= reader.read {
                break;
            }
            let mentions = self.mentions.get(&said.seq);
            reader.add(*said, mentions.map_or(&[], |mentions| mentions));
        }
        reader
    }

    fn add(&mut self, said: Said, mentions: &[UserId]) -> Step {
        if said.seq <= self.newest() {
            return Step::default();
        }
        let mut step = Step {
            is_new: true,
            ..Step::default()
        };
        self.messages.push_back(said);
        if !mentions.is_empty() && !said.deleted {
            self.mentions.insert(said.seq, whom(mentions));
        }
        step.come = Some(self.counted(said));
        if self.messages.len() > self.max
            && let Some(oldest) = self.messages.pop_front()
        {
            step.gone = Some(self.counted(oldest));
            self.mentions.remove(&oldest.seq);
        }
        step
    }

    fn mention(&mut self, seq: u64, mentions: &[UserId]) -> Step {
        let Some(said) = self.find(seq).filter(|said| !said.deleted).copied() else {
            return Step::default();
        };
        let before = self.counted(said);
        let mentions = whom(mentions);
        if before.mentions == mentions {
            return Step::default();
        }
        if mentions.is_empty() {
            self.mentions.remove(&seq);
        } else {
            self.mentions.insert(seq, mentions);
        }
        Step {
            gone: Some(before),
            come: Some(self.counted(said)),
            is_new: false,
        }
    }

    fn delete(&mut self, seq: u64) -> Step {
        let Some(said) = self.find(seq).filter(|said| !said.deleted).copied() else {
            return Step::default();
        };
        let before = self.counted(said);
        if let Some(said) = self.find(seq) {
            said.deleted = true;
        }
        self.mentions.remove(&seq);
        Step {
            gone: Some(before),
            ..Step::default()
        }
    }

    fn find(&mut self, seq: u64) -> Option<&mut Said> {
        let place = self.messages.binary_search_by_key(&seq, |said| said.seq);
        self.messages.get_mut(place.ok()?)
    }

    fn counted(&self, said: Said) -> Counted {
        let mentions = self.mentions.get(&said.seq).cloned().unwrap_or_default();
        Counted { said, mentions }
    }
}

fn whom(mentions: &[UserId]) -> Box<[Who]> {
    mentions.iter().map(Who::from).collect()
}

/// One user's counts in one room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reader {
    me: Who,
    read: u64,
    unread: u32,
    mentions: u32,
}

/// Whom a message mentions, to be asked for many readers.
#[derive(Debug)]
pub(super) struct Mentioned {
    by: Who,
    users: Box<[Who]>,
}

impl From<&Message> for Mentioned {
    fn from(message: &Message) -> Self {
        Self {
            by: Who::from(&message.from),
            users: whom(&message.mentions),
        }
    }
}

/// What a user is told of his counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Counts {
    /// Messages by others, not deleted, above the marker; up to [`UNREAD_MAX`].
    pub(super) unread: u32,
    /// Of these, those that mention him.
    pub(super) mentions: u32,
}

impl Reader {
    /// Up to where he has read: his marker, or what he said last.
    pub(super) fn read(&self) -> u64 {
        self.read
    }

    pub(super) fn counts(&self) -> Counts {
        let shown = |count: u32| count.min(UNREAD_MAX);
        Counts {
            unread: shown(self.unread),
            mentions: shown(self.mentions),
        }
    }

    /// Follows a step. Each step is to be followed, in order.
    pub(super) fn take(&mut self, step: &Step) {
        if let Some(gone) = &step.gone
            && self.is_unread(gone.said)
        {
            self.unread -= 1;
            self.mentions -= u32::from(gone.mentions.contains(&self.me));
        }
        let Some(come) = &step.come else { return };
        if step.is_new && come.said.from == self.me {
            self.read = self.read.max(come.said.seq);
            (self.unread, self.mentions) = (0, 0);
        }
        self.add(come.said, &come.mentions);
    }

    /// Whether a message mentions him: somebody else's.
    pub(super) fn is_in(&self, mentioned: &Mentioned) -> bool {
        mentioned.by != self.me && mentioned.users.contains(&self.me)
    }

    fn add(&mut self, said: Said, mentions: &[Who]) {
        if self.is_unread(said) {
            self.unread += 1;
            self.mentions += u32::from(mentions.contains(&self.me));
        }
    }

    fn is_unread(&self, said: Said) -> bool {
        said.seq > self.read && said.from != self.me && !said.deleted
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::{EntryId, InstanceId, MessageId, RoomId};
    use crate::message::Text;
    use crate::position::Position;

    const LIFE: Life = Life {
        epoch: Epoch(2),
        epoch_start: 5,
    };

    fn user(number: u8) -> UserId {
        UserId::new(format!("u{number}")).unwrap()
    }

    fn entry(seq: u64, by: u8, body: EntryBody) -> Entry {
        Entry {
            room: RoomId::new("r").unwrap(),
            position: Position {
                epoch: LIFE.epoch,
                seq,
                id: EntryId(seq),
            },
            prev: EntryId(seq - 1),
            at_ms: seq,
            origin: InstanceId(uuid::Uuid::nil()),
            actor: user(by),
            body,
        }
    }

    fn said(seq: u64, by: u8, mentions: Vec<UserId>) -> Entry {
        let body = EntryBody::MessageAdded {
            text: Some(Text::new("x").unwrap()),
            reply_to: None,
            mentions,
            meta: None,
        };
        entry(seq, by, body)
    }

    fn id(seq: u64) -> MessageId {
        MessageId {
            seq,
            entry: EntryId(seq),
        }
    }

    fn counts(backlog: &Backlog, by: u8, marker: Option<Marker>) -> (u32, u32) {
        let Counts { unread, mentions } = backlog.reader(&user(by), marker).counts();
        (unread, mentions)
    }

    fn marker(epoch: u64, seq: u64) -> Option<Marker> {
        let epoch = Epoch(epoch);
        Some(Marker { epoch, seq })
    }

    #[test]
    fn what_others_said_above_the_marker_is_unread_and_ones_own_message_reads_all_before_it() {
        let mut backlog = Backlog::new(LIFE, &[], 10);
        for seq in 1..=6 {
            backlog.take(&said(seq, u8::from(seq == 4), vec![user(2)]));
        }
        assert_eq!(counts(&backlog, 2, None), (6, 6));
        assert_eq!(counts(&backlog, 2, marker(2, 5)), (1, 1));
        assert_eq!(counts(&backlog, 1, None), (2, 0), "he said 4");
    }

    #[test]
    fn a_marker_of_an_older_epoch_counts_only_for_what_both_share() {
        let mut backlog = Backlog::new(LIFE, &[], 10);
        (1..=8).for_each(|seq| drop(backlog.take(&said(seq, 0, vec![]))));
        assert_eq!(counts(&backlog, 1, marker(1, 8)), (4, 0));
        assert_eq!(counts(&backlog, 1, marker(1, 2)), (6, 0));
        assert_eq!(counts(&backlog, 1, marker(2, 8)), (0, 0));
    }

    #[test]
    fn more_than_anybody_reads_is_counted_up_to_the_limit() {
        let mut backlog = Backlog::new(LIFE, &[], 1_000);
        (1..=1_500).for_each(|seq| drop(backlog.take(&said(seq, 0, vec![user(1)]))));
        assert_eq!(counts(&backlog, 1, None), (UNREAD_MAX, UNREAD_MAX));
    }

    #[test]
    fn nobody_mentions_himself() {
        let message = Message::added_by(&said(1, 1, vec![user(1), user(2)])).unwrap();
        let backlog = Backlog::new(LIFE, &[], 10);
        let mentioned = Mentioned::from(&message);
        let is_in = |by| backlog.reader(&user(by), None).is_in(&mentioned);
        assert_eq!([is_in(0), is_in(1), is_in(2)], [false, false, true]);
    }

    fn step() -> impl Strategy<Value = (u8, u8, u64, bool)> {
        (0..10_u8, 0..3_u8, 0..12_u64, any::<bool>())
    }

    proptest! {
        #[test]
        fn following_steps_comes_to_what_counting_anew_does(
            steps in proptest::collection::vec(step(), 0..60),
            marked in 0..40_u64,
        ) {
            let mut backlog = Backlog::new(LIFE, &[], 8);
            let mut readers: Vec<_> = (0..3)
                .map(|by| backlog.reader(&user(by), marker(2, marked)))
                .collect();
            for (number, (kind, by, back, mention)) in steps.into_iter().enumerate() {
                let seq = number as u64 + 1;
                let target = id(seq.saturating_sub(back));
                let mentions = if mention { vec![user((by + 1) % 3)] } else { vec![] };
                let entry = match kind {
                    0..=5 => said(seq, by, mentions),
                    6 | 7 => entry(seq, by, EntryBody::MessageUpdated { message: target, text: None, mentions }),
                    _ => entry(seq, by, EntryBody::MessageDeleted { message: target }),
                };
                let step = backlog.take(&entry);
                for (by, reader) in readers.iter_mut().enumerate() {
                    reader.take(&step);
                    let anew = backlog.reader(&user(by as u8), marker(2, marked));
                    prop_assert_eq!(reader.counts(), anew.counts(), "user {} after {:?}", by, &entry);
                }
                prop_assert!(backlog.take(&entry).is_nothing() || kind < 10);
            }
        }
    }
}
