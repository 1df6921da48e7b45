//! A broker in one process: which nodes hear a topic.
//!
//! Knows nothing of logs. Everything happens inside the caller's own call; no task, no waiting.
//!
//! Invariant: while a node's link is up it is in the table under exactly its wanted topics; while
//! it is cut, under none. Both change, and `Lost` and `Restored` are queued, under the table's
//! write lock, so that no envelope of one life of the link is queued in another.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use bytes::Bytes;
use chat_core::{
    EventSender, EventStream, PubSub, PubSubError, PubSubEvent, Publication, Reach, Topic,
    event_queue,
};
use parking_lot::{Mutex, RwLock};

use crate::config::MemoryConfig;

/// The broker that all nodes of this process share. Clones are the same broker.
#[derive(Debug, Clone)]
pub struct MemoryBroker {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    event_queue: usize,
    topics_max: usize,
    nodes: AtomicU64,
    table: RwLock<HashMap<Topic, Vec<Subscriber>>>,
}

#[derive(Debug)]
struct Subscriber {
    node: u64,
    events: EventSender,
}

impl MemoryBroker {
    /// A broker without nodes.
    #[must_use]
    pub fn new(config: MemoryConfig) -> Self {
        Self {
            shared: Arc::new(Shared {
                event_queue: config.event_queue,
                topics_max: config.topics_per_node_max,
                nodes: AtomicU64::new(0),
                table: RwLock::default(),
            }),
        }
    }

    /// One more node's link to this broker.
    #[must_use]
    pub fn node(&self) -> MemoryPubSub {
        let (events, stream) = event_queue(self.shared.event_queue);
        MemoryPubSub {
            shared: Arc::clone(&self.shared),
            node: self.shared.nodes.fetch_add(1, Ordering::Relaxed),
            events,
            stream: Mutex::new(Some(stream)),
            link: Mutex::new(Link {
                up: true,
                wanted: HashSet::new(),
            }),
        }
    }

    /// Queues one envelope at every subscriber; for logs that announce.
    pub(crate) fn announce(&self, topic: &Topic, envelope: Bytes) {
        self.shared.publish([Publication {
            topic: topic.clone(),
            envelope,
        }]);
    }
}

impl Shared {
    fn publish(&self, batch: impl IntoIterator<Item = Publication>) {
        let table = self.table.read();
        for publication in batch {
            let Some(subscribers) = table.get(&publication.topic) else {
                continue;
            };
            for subscriber in subscribers {
                // What finds no place is told as a gap by the queue itself.
                subscriber
                    .events
                    .send(PubSubEvent::Envelope(publication.clone()));
            }
        }
    }
}

/// One node's link to a [`MemoryBroker`]. Dropping it ends the node's subscriptions.
#[derive(Debug)]
pub struct MemoryPubSub {
    shared: Arc<Shared>,
    node: u64,
    events: EventSender,
    stream: Mutex<Option<EventStream>>,
    /// Locked before the table, never after it.
    link: Mutex<Link>,
}

#[derive(Debug)]
struct Link {
    up: bool,
    wanted: HashSet<Topic>,
}

impl MemoryPubSub {
    /// Cuts this node's link, for tests and fault drills: it hears `Lost` and then nothing, and its
    /// calls answer `Unavailable`. Nothing if it is cut already.
    pub fn cut(&self) {
        let mut link = self.link.lock();
        if !link.up {
            return;
        }
        link.up = false;
        let mut table = self.shared.table.write();
        for topic in &link.wanted {
            remove(&mut table, topic, self.node);
        }
        self.events.send(PubSubEvent::Lost);
    }

    /// Restores this node's link after [`Self::cut`]: all wanted topics are subscribed again, then
    /// it hears `Restored`. Nothing if it is up.
    pub fn restore(&self) {
        let mut link = self.link.lock();
        if link.up {
            return;
        }
        link.up = true;
        let mut table = self.shared.table.write();
        for topic in &link.wanted {
            self.insert(&mut table, topic);
        }
        self.events.send(PubSubEvent::Restored);
    }

    fn insert(&self, table: &mut HashMap<Topic, Vec<Subscriber>>, topic: &Topic) {
        table.entry(topic.clone()).or_default().push(Subscriber {
            node: self.node,
            events: self.events.clone(),
        });
    }
}

fn remove(table: &mut HashMap<Topic, Vec<Subscriber>>, topic: &Topic, node: u64) {
    if let Some(subscribers) = table.get_mut(topic) {
        subscribers.retain(|subscriber| subscriber.node != node);
        if subscribers.is_empty() {
            table.remove(topic);
        }
    }
}

fn link_is_cut() -> PubSubError {
    PubSubError::Unavailable("link is cut".to_owned())
}

#[async_trait]
impl PubSub for MemoryPubSub {
    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn publish(&self, batch: Vec<Publication>) -> Result<(), PubSubError> {
        if !self.link.lock().up {
            return Err(link_is_cut());
        }
        self.shared.publish(batch);
        Ok(())
    }

    async fn subscribe(&self, topics: &[Topic]) -> Result<(), PubSubError> {
        let mut link = self.link.lock();
        let mut table = self.shared.table.write();
        for topic in topics {
            if link.wanted.contains(topic) {
                continue;
            }
            if link.wanted.len() >= self.shared.topics_max {
                let limit = self.shared.topics_max;
                return Err(PubSubError::Refused(format!(
                    "node has {limit} topics, the limit"
                )));
            }
            link.wanted.insert(topic.clone());
            if link.up {
                self.insert(&mut table, topic);
            }
        }
        if link.up { Ok(()) } else { Err(link_is_cut()) }
    }

    async fn unsubscribe(&self, topics: &[Topic]) -> Result<(), PubSubError> {
        let mut link = self.link.lock();
        let mut table = self.shared.table.write();
        for topic in topics {
            if link.wanted.remove(topic) {
                remove(&mut table, topic, self.node);
            }
        }
        if link.up { Ok(()) } else { Err(link_is_cut()) }
    }

    fn events(&self) -> Option<EventStream> {
        self.stream.lock().take()
    }
}

impl Drop for MemoryPubSub {
    fn drop(&mut self) {
        let wanted = std::mem::take(&mut self.link.get_mut().wanted);
        let mut table = self.shared.table.write();
        for topic in wanted {
            remove(&mut table, &topic, self.node);
        }
    }
}
