//! The newest entries of a live room, kept encoded, so that a storm of reconnects reads each room
//! once.
//!
//! Invariant: contiguous in seq. Text that was deleted meanwhile is not in it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::entry::{Entry, EntryBody};
use crate::event::{Delivery, Event};
use crate::ids::MessageId;
use crate::message::Message;
use crate::room_log::{Page, PageFrom};

/// What all tails of a node may keep together.
#[derive(Debug)]
pub(super) struct TailBudget {
    used: AtomicUsize,
    bytes_max: usize,
    entries_max: usize,
}

impl TailBudget {
    pub(super) fn new(entries_max: usize, bytes_max: usize) -> Self {
        Self {
            used: AtomicUsize::new(0),
            bytes_max,
            entries_max,
        }
    }

    fn is_exceeded(&self) -> bool {
        self.used.load(Ordering::Relaxed) > self.bytes_max
    }
}

/// The newest entries of one room.
#[derive(Debug)]
pub(super) struct Tail {
    deliveries: VecDeque<Arc<Delivery>>,
    budget: Arc<TailBudget>,
}

/// What one kept entry costs beside what it says.
const OVERHEAD: usize = 256;

fn cost(delivery: &Delivery) -> usize {
    delivery.size_hint() + OVERHEAD
}

impl Tail {
    pub(super) fn new(budget: Arc<TailBudget>) -> Self {
        Self {
            deliveries: VecDeque::new(),
            budget,
        }
    }

    /// Takes an entry that was just delivered (or read, on activation).
    pub(super) fn push(&mut self, delivery: Arc<Delivery>) {
        if let Some(EntryBody::MessageDeleted { message }) = delivery.entry().map(|e| &e.body) {
            self.erase(*message);
        }
        self.budget
            .used
            .fetch_add(cost(&delivery), Ordering::Relaxed);
        self.deliveries.push_back(delivery);
        while self.deliveries.len() > self.budget.entries_max
            || (self.budget.is_exceeded() && self.deliveries.len() > 1)
        {
            self.pop();
        }
    }

    /// The entries above a seq, if the tail reaches back to it.
    pub(super) fn above(&self, seq: u64) -> Option<impl ExactSizeIterator<Item = &Arc<Delivery>>> {
        let oldest = self.deliveries.front()?.entry()?.position.seq;
        let skip = usize::try_from(seq.checked_add(1)?.checked_sub(oldest)?).ok()?;
        (skip <= self.deliveries.len()).then(|| self.deliveries.range(skip..))
    }

    /// A page of messages as they stand after all that is here; `None` if the tail has nothing of it.
    pub(super) fn page(&self, from: PageFrom, max: usize) -> Option<Page> {
        let oldest = self.deliveries.front()?.entry()?.position.seq;
        let mut messages = self.messages();
        let more = match from {
            PageFrom::Before(seq) => {
                messages.retain(|message| message.id.seq < seq);
                let surplus = messages.len().saturating_sub(max);
                messages.drain(..surplus);
                surplus > 0 || oldest > 1
            }
            PageFrom::After(seq) => {
                let _reaches_back = self.above(seq)?;
                messages.retain(|message| message.id.seq > seq);
                let more = messages.len() > max;
                messages.truncate(max);
                more
            }
        };
        // Below the tail there may be what was asked for.
        (!messages.is_empty() || !more).then_some(Page { messages, more })
    }

    /// The messages that were added here, in seq order. Whatever changed one since is here too.
    fn messages(&self) -> Vec<Message> {
        let mut messages: Vec<Message> = Vec::new();
        for entry in self.deliveries.iter().filter_map(|it| it.entry()) {
            if let Some(message) = Message::added_by(entry) {
                messages.push(message);
            } else if let Some(target) = entry.body.target() {
                let at = messages.binary_search_by_key(&target.seq, |message| message.id.seq);
                if let Ok(at) = at {
                    messages[at].apply(entry);
                }
            }
        }
        messages
    }

    /// The log was lost: nothing of it is left.
    pub(super) fn clear(&mut self) {
        while !self.deliveries.is_empty() {
            self.pop();
        }
    }

    fn pop(&mut self) {
        if let Some(oldest) = self.deliveries.pop_front() {
            self.budget.used.fetch_sub(cost(&oldest), Ordering::Relaxed);
        }
    }

    fn erase(&mut self, message: MessageId) {
        for delivery in &mut self.deliveries {
            let Some(entry) = delivery
                .entry()
                .filter(|entry| entry.subject() == Some(message))
            else {
                continue;
            };
            let mut erased = Entry::clone(entry);
            erased.body.erase();
            let erased = Delivery::new(Event::Entry(Arc::new(erased)));
            let (before, after) = (cost(delivery), cost(&erased));
            self.budget
                .used
                .fetch_sub(before - after.min(before), Ordering::Relaxed);
            *delivery = erased;
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{EntryId, Epoch, InstanceId, RoomId, UserId};
    use crate::message::Text;
    use crate::position::Position;

    fn entry(seq: u64, body: EntryBody) -> Arc<Delivery> {
        Delivery::new(Event::Entry(Arc::new(Entry {
            room: RoomId::new("r").unwrap(),
            position: Position {
                epoch: Epoch(1),
                seq,
                id: EntryId(seq),
            },
            prev: EntryId(seq - 1),
            at_ms: seq,
            origin: InstanceId(uuid::Uuid::nil()),
            actor: UserId::new("u").unwrap(),
            body,
        })))
    }

    fn said(seq: u64) -> Arc<Delivery> {
        let text = Some(Text::new("secret").unwrap());
        let body = EntryBody::MessageAdded {
            text,
            reply_to: None,
            mentions: vec![],
            meta: None,
        };
        entry(seq, body)
    }

    fn seqs(tail: &Tail, above: u64) -> Option<Vec<u64>> {
        let above = tail.above(above)?;
        Some(
            above
                .filter_map(|d| d.entry())
                .map(|e| e.position.seq)
                .collect(),
        )
    }

    #[test]
    fn answers_only_what_it_reaches_back_to() {
        let mut tail = Tail::new(Arc::new(TailBudget::new(3, usize::MAX)));
        (5..=9).for_each(|seq| tail.push(said(seq)));
        assert_eq!(seqs(&tail, 5), None);
        assert_eq!(seqs(&tail, 6), Some(vec![7, 8, 9]));
        assert_eq!(seqs(&tail, 9), Some(vec![]));
        assert_eq!(seqs(&tail, 10), None, "it does not know what comes later");
    }

    #[test]
    fn deleted_text_is_taken_out() {
        let mut tail = Tail::new(Arc::new(TailBudget::new(8, usize::MAX)));
        tail.push(said(1));
        let message = MessageId {
            seq: 1,
            entry: EntryId(1),
        };
        tail.push(entry(2, EntryBody::MessageDeleted { message }));
        let first = tail.above(0).unwrap().next().unwrap();
        let body = &first.entry().unwrap().body;
        assert!(matches!(body, EntryBody::MessageAdded { text: None, .. }));
    }

    fn page(tail: &Tail, from: PageFrom, max: usize) -> Option<(Vec<u64>, bool)> {
        let page = tail.page(from, max)?;
        let seqs = page.messages.iter().map(|message| message.id.seq);
        Some((seqs.collect(), page.more))
    }

    #[test]
    fn a_page_is_what_the_tail_has_of_it_and_says_whether_there_is_more() {
        let mut tail = Tail::new(Arc::new(TailBudget::new(4, usize::MAX)));
        (1..=3).for_each(|seq| tail.push(said(seq)));
        let newest = PageFrom::Before(u64::MAX);
        assert_eq!(page(&tail, newest, 9), Some((vec![1, 2, 3], false)));
        assert_eq!(page(&tail, newest, 2), Some((vec![2, 3], true)));
        assert_eq!(page(&tail, PageFrom::Before(1), 9), Some((vec![], false)));
        assert_eq!(page(&tail, PageFrom::After(1), 1), Some((vec![2], true)));
        (4..=9).for_each(|seq| tail.push(said(seq)));
        assert_eq!(page(&tail, newest, 9), Some((vec![6, 7, 8, 9], true)));
        assert_eq!(page(&tail, PageFrom::Before(6), 9), None, "it is below");
        assert_eq!(page(&tail, PageFrom::After(4), 9), None, "5 is not here");
        assert_eq!(
            page(&tail, PageFrom::After(5), 9),
            Some((vec![6, 7, 8, 9], false))
        );
    }

    #[test]
    fn a_page_shows_messages_as_they_stand() {
        let mut tail = Tail::new(Arc::new(TailBudget::new(8, usize::MAX)));
        let id = |seq| MessageId {
            seq,
            entry: EntryId(seq),
        };
        (1..=3).for_each(|seq| tail.push(said(seq)));
        let text = Some(Text::new("other").unwrap());
        let (message, mentions) = (id(1), vec![]);
        tail.push(entry(
            4,
            EntryBody::MessageUpdated {
                message,
                text: text.clone(),
                mentions,
            },
        ));
        tail.push(entry(5, EntryBody::MessageDeleted { message: id(2) }));
        let page = tail.page(PageFrom::Before(u64::MAX), 9).unwrap();
        let [one, two, three] = &page.messages[..] else {
            panic!("{page:?}");
        };
        assert_eq!((&one.text, one.changed_seq), (&text, Some(4)));
        assert_eq!((&two.text, two.changed_seq), (&None, Some(5)));
        assert_eq!(three.changed_seq, None);
    }

    #[test]
    fn tails_give_back_what_they_took_of_the_nodes_budget() {
        let budget = Arc::new(TailBudget::new(100, 2_000));
        let mut tail = Tail::new(Arc::clone(&budget));
        (1..=50).for_each(|seq| tail.push(said(seq)));
        assert!(budget.used.load(Ordering::Relaxed) <= 2_000);
        assert!(seqs(&tail, 49).is_some());
        drop(tail);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
