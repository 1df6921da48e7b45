//! The seam between nodes: carry envelopes to whoever subscribed to their topic.
//!
//! Deliberately weaker than a log: a `PubSub` may lose, but says so; it may double and reorder,
//! and need not say so. Order, completeness and recovery are the feed's, from the room's log.

use std::fmt::Debug;

use async_trait::async_trait;
use bytes::Bytes;

use crate::reach::Reach;
use crate::topic::Topic;

mod queue;

pub use queue::{EventSender, EventStream, event_queue};

/// One envelope on its way to a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// Where to.
    pub topic: Topic,
    /// What, encoded.
    pub envelope: Bytes,
}

/// What a node hears from the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum PubSubEvent {
    /// An envelope on a subscribed topic.
    Envelope(Publication),
    /// Envelopes of this topic were lost on this node: compare with the log.
    Gap {
        /// Which topic.
        topic: Topic,
    },
    /// The link is gone. Whatever is published from now on may be missed.
    Lost,
    /// The link is back and every wanted topic is subscribed again. What was published since
    /// `Lost` may have been missed.
    Restored,
}

/// Why the broker did not take something.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PubSubError {
    /// The broker cannot be reached, or did not answer in time. What was to be published may or
    /// may not have been; a topic stays wanted. Try again later.
    #[error("broker is not available: {0}")]
    Unavailable(String),
    /// The broker refused. The configuration or its rights are wrong: tell the operator.
    #[error("broker refused: {0}")]
    Refused(String),
}

/// Carries envelopes between nodes.
///
/// # Contract
/// 1. `delivers_to_every_subscriber_of_the_topic`: an envelope that `publish` answered `Ok` for
///    reaches every node whose `subscribe` of its topic had returned before, the publisher's own
///    node included, while that node's link is up and its queue not full.
/// 2. `keeps_the_order_of_one_publisher`: envelopes of one topic, published one after the other by
///    one node (or in one batch), arrive in that order, apart from loss.
/// 3. `does_not_deliver_other_topics`: nothing arrives on a topic that was never subscribed.
/// 4. `subscribe_returns_only_when_confirmed`: by a subscription made after the last unsubscribe
///    of the topic, in the present life of the link.
/// 5. `unsubscribed_topics_fall_silent`: some time after `unsubscribe` returned nothing arrives.
/// 6. `subscribing_twice_delivers_once`: topics are a set, not a count.
/// 7. `says_gap_when_its_queue_is_full`: `Gap` for each topic that lost something, then and once
///    more when the queue has drained; publishers are never held up by a slow subscriber.
/// 8. `says_lost_and_restored`: `Lost` when the link goes, `Restored` once all wanted topics are
///    subscribed again, alternately; nothing that was published in between is promised.
/// 9. `wanted_topics_survive_a_lost_link`: also those whose `subscribe` failed with `Unavailable`.
/// 10. `events_can_be_taken_once`: a second call answers `None`.
///
/// # Not promised
/// That nothing arrives twice, or that envelopes of different publishers or topics keep an order.
///
/// # Cancel safety
/// A dropped `publish` may or may not have published. A dropped `subscribe` leaves the topic
/// wanted.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait PubSub: Debug + Send + Sync + 'static {
    /// How far it reaches.
    fn reach(&self) -> Reach;

    /// Publishes all of a batch, in its order.
    ///
    /// # Errors
    /// [`PubSubError`]: any part of the batch may have been published.
    async fn publish(&self, batch: Vec<Publication>) -> Result<(), PubSubError>;

    /// Wants topics and waits until they are subscribed.
    ///
    /// # Errors
    /// [`PubSubError::Unavailable`]: not now; they stay wanted and are subscribed when the link
    /// is back.
    async fn subscribe(&self, topics: &[Topic]) -> Result<(), PubSubError>;

    /// No longer wants topics.
    ///
    /// # Errors
    /// [`PubSubError::Unavailable`]: envelopes may arrive until the link is back.
    async fn unsubscribe(&self, topics: &[Topic]) -> Result<(), PubSubError>;

    /// The node's one stream of events; `None` once it was taken.
    fn events(&self) -> Option<EventStream>;
}
