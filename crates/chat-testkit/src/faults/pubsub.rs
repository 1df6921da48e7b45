//! A `PubSub` whose node hears badly.
//!
//! Faults are on the receiving side of one node: what it publishes reaches others as ever. While the
//! link is cut its calls answer `Unavailable`, as a lost broker's do.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    EventSender, EventStream, PubSub, PubSubError, PubSubEvent, Publication, Reach, Topic,
    event_queue,
};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::{PerMille, happens};

/// Events that wait for the node behind the faults.
const QUEUE: usize = 16_384;
/// How long a held envelope waits when nothing passes it.
const HELD_FOR: Duration = Duration::from_millis(20);
/// Envelopes that are held at once; the oldest goes when there is one more.
const HELD_MAX: usize = 256;

/// What happens to envelopes on their way to the node, each out of a thousand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct EnvelopeFaults {
    /// Lost without a word, which no broker may do, and some do.
    pub lose: PerMille,
    /// Lost, and told as a gap.
    pub overflow: PerMille,
    /// Arrives twice, the second time as late as a delayed one.
    pub duplicate: PerMille,
    /// Changes places with the next one.
    pub reorder: PerMille,
    /// Arrives behind up to 64 later ones, or 20 ms later if there are none.
    pub delay: PerMille,
}

/// Any [`PubSub`], with switches for faults. Needs a runtime from the first call of `events` on.
#[derive(Debug)]
pub struct FaultyPubSub {
    inner: Arc<dyn PubSub>,
    ear: Arc<Mutex<Ear>>,
    stream: Mutex<Option<EventStream>>,
    /// Ends with the wrapper.
    pump: Mutex<JoinSet<()>>,
}

/// What decides what the node hears. Events are queued under its lock, so that nothing of before a
/// cut comes behind its `Lost`.
#[derive(Debug)]
struct Ear {
    events: EventSender,
    random: fastrand::Rng,
    faults: EnvelopeFaults,
    up: bool,
    full: bool,
    /// Topics that lost something while the queue was full.
    overflowed: BTreeSet<Topic>,
    held: Vec<Held>,
}

#[derive(Debug)]
struct Held {
    publication: Publication,
    /// How many others pass it.
    behind: u8,
}

impl FaultyPubSub {
    /// Wraps a node's `PubSub`; no faults yet.
    #[must_use]
    pub fn new(inner: Arc<dyn PubSub>, seed: u64) -> Self {
        let (events, stream) = event_queue(QUEUE);
        Self {
            inner,
            ear: Arc::new(Mutex::new(Ear {
                events,
                random: fastrand::Rng::with_seed(seed),
                faults: EnvelopeFaults::default(),
                up: true,
                full: false,
                overflowed: BTreeSet::new(),
                held: Vec::new(),
            })),
            stream: Mutex::new(Some(stream)),
            pump: Mutex::new(JoinSet::new()),
        }
    }

    /// From now on these faults.
    pub fn set(&self, faults: EnvelopeFaults) {
        self.ear.lock().faults = faults;
    }

    /// Cuts the link: `Lost`, and nothing arrives. Nothing if it is cut.
    pub fn cut(&self) {
        let mut ear = self.ear.lock();
        if std::mem::replace(&mut ear.up, false) {
            ear.held.clear();
            ear.events.send(PubSubEvent::Lost);
        }
    }

    /// Restores the link: `Restored`. Nothing if it is up.
    pub fn restore(&self) {
        let mut ear = self.ear.lock();
        if !std::mem::replace(&mut ear.up, true) {
            ear.events.send(PubSubEvent::Restored);
        }
    }

    /// Fills the node's queue: whatever comes is lost and told as a gap, until [`Self::drain`].
    pub fn fill(&self) {
        self.ear.lock().full = true;
    }

    /// Drains the queue: each topic that lost something is told once more.
    pub fn drain(&self) {
        let mut ear = self.ear.lock();
        ear.full = false;
        for topic in std::mem::take(&mut ear.overflowed) {
            ear.events.send(PubSubEvent::Gap { topic });
        }
    }

    fn check_link(&self) -> Result<(), PubSubError> {
        if self.ear.lock().up {
            return Ok(());
        }
        Err(PubSubError::Unavailable("link is cut".to_owned()))
    }
}

impl Ear {
    fn hear(&mut self, event: PubSubEvent) {
        let PubSubEvent::Envelope(publication) = event else {
            // What the wrapped link says of itself is always passed on.
            self.events.send(event);
            return;
        };
        if !self.up {
            return;
        }
        if self.full || happens(&mut self.random, self.faults.overflow) {
            let topic = publication.topic;
            self.overflowed.insert(topic.clone());
            self.events.send(PubSubEvent::Gap { topic });
            return;
        }
        self.pass_held();
        if happens(&mut self.random, self.faults.lose) {
            return;
        }
        if happens(&mut self.random, self.faults.duplicate) {
            let behind = self.random.u8(0..64);
            self.hold(publication.clone(), behind);
        }
        if happens(&mut self.random, self.faults.reorder) {
            self.hold(publication, 0);
        } else if happens(&mut self.random, self.faults.delay) {
            let behind = self.random.u8(1..64);
            self.hold(publication, behind);
        } else {
            self.events.send(PubSubEvent::Envelope(publication));
            self.release(|held| held.behind == 0);
        }
    }

    fn hold(&mut self, publication: Publication, behind: u8) {
        if self.held.len() == HELD_MAX {
            let oldest = self.held.remove(0);
            self.events.send(PubSubEvent::Envelope(oldest.publication));
        }
        self.held.push(Held {
            publication,
            behind,
        });
    }

    /// One more passes all that are held; those whose turn it is go in front of it.
    fn pass_held(&mut self) {
        self.release(|held| held.behind == 1);
        for held in &mut self.held {
            held.behind = held.behind.saturating_sub(1);
        }
    }

    fn release(&mut self, is_due: impl Fn(&Held) -> bool) {
        for held in self.held.extract_if(.., |held| is_due(held)) {
            self.events.send(PubSubEvent::Envelope(held.publication));
        }
    }
}

async fn pump(mut from: EventStream, ear: Arc<Mutex<Ear>>) {
    let mut batch = Vec::new();
    loop {
        let holds = !ear.lock().held.is_empty();
        let more = tokio::select! {
            more = from.next_batch(&mut batch, 256) => more,
            () = tokio::time::sleep(HELD_FOR), if holds => true,
        };
        if !more {
            return;
        }
        let mut ear = ear.lock();
        if batch.is_empty() {
            // Nothing came to pass them.
            ear.release(|_| true);
        }
        for event in batch.drain(..) {
            ear.hear(event);
        }
    }
}

#[async_trait]
impl PubSub for FaultyPubSub {
    fn reach(&self) -> Reach {
        self.inner.reach()
    }

    async fn publish(&self, batch: Vec<Publication>) -> Result<(), PubSubError> {
        self.check_link()?;
        self.inner.publish(batch).await
    }

    async fn subscribe(&self, topics: &[Topic]) -> Result<(), PubSubError> {
        // They are wanted all the same, and heard once the link is back.
        self.inner.subscribe(topics).await?;
        self.check_link()
    }

    async fn unsubscribe(&self, topics: &[Topic]) -> Result<(), PubSubError> {
        self.inner.unsubscribe(topics).await?;
        self.check_link()
    }

    fn events(&self) -> Option<EventStream> {
        let stream = self.stream.lock().take()?;
        let inner = self.inner.events()?;
        self.pump.lock().spawn(pump(inner, Arc::clone(&self.ear)));
        Some(stream)
    }
}
