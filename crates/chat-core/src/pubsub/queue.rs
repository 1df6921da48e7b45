//! The bounded queue between a broker and the dispatcher of its node.
//!
//! The sender never waits: a slow node must not hold up the broker. What does not fit is dropped
//! and remembered as a gap of its topic, told at once ahead of what is queued and once more when
//! the queue has drained, because more may have been dropped in between. `Lost` and `Restored` are
//! never dropped and keep their order: one that finds no place is told behind all that is queued.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc};

use super::PubSubEvent;
use crate::topic::Topic;

/// Makes a queue of `capacity` events.
#[must_use]
pub fn event_queue(capacity: usize) -> (EventSender, EventStream) {
    let (events, queued) = mpsc::channel(capacity.max(1));
    let overflow = Arc::new(Overflow::default());
    let stream = EventStream {
        queued,
        overflow: Arc::clone(&overflow),
        gaps: BTreeSet::new(),
        held: VecDeque::new(),
    };
    (EventSender { events, overflow }, stream)
}

/// What did not fit.
#[derive(Debug, Default)]
struct Overflow {
    state: Mutex<Overflowed>,
    changed: Notify,
}

#[derive(Debug, Default)]
struct Overflowed {
    topics: BTreeSet<Topic>,
    /// The newest `Lost` or `Restored` that found no place: it must not be lost itself.
    link: Option<PubSubEvent>,
}

/// The broker's end.
#[derive(Debug, Clone)]
pub struct EventSender {
    events: mpsc::Sender<PubSubEvent>,
    overflow: Arc<Overflow>,
}

impl EventSender {
    /// Hands an event over, without ever waiting. Answers whether it found a place: what did not
    /// is told as a gap of its topic instead.
    pub fn send(&self, event: PubSubEvent) -> bool {
        // While something waits in the overflow, nothing may overtake a link event in it.
        if self.has_overflowed_link() {
            self.overflow(event);
            return false;
        }
        match self.events.try_send(event) {
            Ok(()) => true,
            Err(mpsc::error::TrySendError::Full(event)) => {
                self.overflow(event);
                false
            }
            // The node is shutting down: nobody is left to tell.
            Err(mpsc::error::TrySendError::Closed(_)) => true,
        }
    }

    /// Whether the node still listens.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.events.is_closed()
    }

    fn has_overflowed_link(&self) -> bool {
        self.overflow.state.lock().link.is_some()
    }

    fn overflow(&self, event: PubSubEvent) {
        let mut state = self.overflow.state.lock();
        match event {
            PubSubEvent::Envelope(publication) => {
                state.topics.insert(publication.topic);
            }
            PubSubEvent::Gap { topic } => {
                state.topics.insert(topic);
            }
            link @ (PubSubEvent::Lost | PubSubEvent::Restored) => state.link = Some(link),
        }
        drop(state);
        self.overflow.changed.notify_one();
    }
}

/// The dispatcher's end: the node's one stream of events.
#[derive(Debug)]
pub struct EventStream {
    queued: mpsc::Receiver<PubSubEvent>,
    overflow: Arc<Overflow>,
    /// Topics whose gap was told while the queue was full, to be told once more.
    gaps: BTreeSet<Topic>,
    /// Events that came together with the one that [`Self::next`] answered.
    held: VecDeque<PubSubEvent>,
}

impl EventStream {
    /// Waits for events and moves up to `max` that are there into `into`. Answers `false` when the
    /// broker is gone and everything was handed over.
    ///
    /// # Cancel safety
    /// Nothing is lost if the future is dropped.
    pub async fn next_batch(&mut self, into: &mut Vec<PubSubEvent>, max: usize) -> bool {
        let mut taken = self.held.len();
        into.extend(self.held.drain(..));
        loop {
            self.take_gaps(into);
            while taken < max {
                let Ok(event) = self.queued.try_recv() else {
                    break;
                };
                into.push(event);
                taken += 1;
            }
            if taken < max {
                self.drained(into);
            }
            if !into.is_empty() {
                return true;
            }
            let overflow = Arc::clone(&self.overflow);
            tokio::select! {
                event = self.queued.recv() => match event {
                    Some(event) => {
                        into.push(event);
                        taken = 1;
                    }
                    None => {
                        self.take_gaps(into);
                        self.drained(into);
                        return !into.is_empty();
                    }
                },
                // The notification is only a reason to look again.
                () = overflow.changed.notified() => {}
            }
        }
    }

    /// Waits for one event; `None` when the broker is gone.
    pub async fn next(&mut self) -> Option<PubSubEvent> {
        if let Some(event) = self.held.pop_front() {
            return Some(event);
        }
        let mut batch = Vec::with_capacity(1);
        if !self.next_batch(&mut batch, 1).await {
            return None;
        }
        // More than one are gaps and the link: they are kept for the next call.
        self.held.extend(batch);
        self.held.pop_front()
    }

    fn take_gaps(&mut self, into: &mut Vec<PubSubEvent>) {
        let topics = std::mem::take(&mut self.overflow.state.lock().topics);
        for topic in topics {
            into.push(PubSubEvent::Gap {
                topic: topic.clone(),
            });
            self.gaps.insert(topic);
        }
    }

    /// Nothing is queued: what had to wait for that is told.
    fn drained(&mut self, into: &mut Vec<PubSubEvent>) {
        // While the link waits, nothing is queued behind it.
        into.extend(self.overflow.state.lock().link.take());
        let again = std::mem::take(&mut self.gaps).into_iter();
        into.extend(again.map(|topic| PubSubEvent::Gap { topic }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pubsub::Publication;
    use bytes::Bytes;

    fn envelope(byte: u8) -> PubSubEvent {
        PubSubEvent::Envelope(Publication {
            topic: Topic::Control,
            envelope: Bytes::copy_from_slice(&[byte]),
        })
    }

    #[tokio::test]
    async fn whoever_takes_one_at_a_time_gets_all_that_came_while_he_waited() {
        let (events, mut stream) = event_queue(10);
        // The first one wakes the waiter; the second one is there when he looks again.
        let (first, ()) = tokio::join!(stream.next(), async {
            events.send(envelope(1));
            events.send(envelope(2));
        });
        assert_eq!(first, Some(envelope(1)));
        assert_eq!(stream.next().await, Some(envelope(2)));
    }

    #[tokio::test]
    async fn a_lost_link_behind_a_gap_is_told_to_whoever_takes_one_at_a_time() {
        let (events, mut stream) = event_queue(1);
        events.send(envelope(1));
        events.send(envelope(2));
        events.send(PubSubEvent::Lost);
        let mut told = Vec::new();
        for _ in 0..3 {
            told.extend(stream.next().await);
        }
        assert!(told.contains(&PubSubEvent::Lost), "{told:?}");
        assert!(told.contains(&envelope(1)), "{told:?}");
    }

    #[tokio::test]
    async fn a_link_that_is_back_is_not_told_before_the_loss_that_is_still_queued() {
        let (events, mut stream) = event_queue(2);
        events.send(envelope(1));
        events.send(PubSubEvent::Lost);
        assert!(!events.send(PubSubEvent::Restored), "no place for it");
        let mut told = Vec::new();
        // One at a time, like a dispatcher whose batches are smaller than the queue.
        for _ in 0..3 {
            stream.next_batch(&mut told, 1).await;
        }
        let restored = PubSubEvent::Restored;
        assert_eq!(told, vec![envelope(1), PubSubEvent::Lost, restored]);
    }

    #[tokio::test]
    async fn topics_that_lose_something_again_and_again_are_remembered_once() {
        let (events, mut stream) = event_queue(2);
        for _ in 0..100 {
            while events.send(envelope(1)) {}
            stream.next_batch(&mut Vec::new(), 1).await;
        }
        assert_eq!(stream.gaps.len(), 1);
    }
}
