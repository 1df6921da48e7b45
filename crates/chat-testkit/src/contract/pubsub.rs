//! The contract of [`PubSub`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{EventStream, PubSub, PubSubError, PubSubEvent, Publication, Topic};
use tokio::time::timeout;

use crate::make::room;
use crate::wait::within;

/// What an implementation offers so that its contract can be tested: nodes on one broker.
#[async_trait]
pub trait PubSubHarness: Send + Sync {
    /// One more node on the same broker, its link up.
    async fn node(&self) -> Arc<dyn PubSub>;

    /// Cuts the link of the node that was made `index`-th, counted from 0. It stays cut until
    /// [`Self::restore`].
    async fn cut(&self, index: usize);

    /// Lets the link of that node come back.
    async fn restore(&self, index: usize);

    /// How many events the queue of a node takes: 16 at least, and few enough to be filled.
    fn queue_capacity(&self) -> usize;

    /// How long anything may take.
    fn patience(&self) -> Duration {
        Duration::from_secs(10)
    }

    /// How long what must not arrive is waited for, after something that was published later has
    /// arrived.
    fn settle(&self) -> Duration {
        Duration::from_millis(100)
    }
}

/// Makes one test of each clause: `pubsub_contract!(name, start)`.
#[macro_export]
macro_rules! pubsub_contract {
    ($name:ident, $start:expr) => {
        $crate::contract_tests!(
            $name,
            $start,
            pubsub,
            delivers_to_every_subscriber_of_the_topic,
            keeps_the_order_of_one_publisher,
            does_not_deliver_other_topics,
            subscribe_returns_only_when_confirmed,
            unsubscribed_topics_fall_silent,
            subscribing_twice_delivers_once,
            says_gap_when_its_queue_is_full,
            says_lost_and_restored,
            wanted_topics_survive_a_lost_link,
            events_can_be_taken_once,
        );
    };
}

/// A node and what it hears.
struct Node {
    pubsub: Arc<dyn PubSub>,
    events: EventStream,
    patience: Duration,
    settle: Duration,
}

impl Node {
    async fn start(harness: &dyn PubSubHarness) -> Self {
        let pubsub = harness.node().await;
        let events = pubsub.events().expect("a new node has its events");
        Self {
            pubsub,
            events,
            patience: harness.patience(),
            settle: harness.settle(),
        }
    }

    async fn subscribe(&self, topics: &[Topic]) {
        let subscribed = self.pubsub.subscribe(topics);
        let subscribed = within(self.patience, "subscribe", subscribed).await;
        assert_eq!(subscribed, Ok(()));
    }

    async fn unsubscribe(&self, topics: &[Topic]) {
        let unsubscribed = self.pubsub.unsubscribe(topics);
        let unsubscribed = within(self.patience, "unsubscribe", unsubscribed).await;
        assert_eq!(unsubscribed, Ok(()));
    }

    async fn publish(&self, batch: Vec<Publication>) {
        let published = self.pubsub.publish(batch);
        assert_eq!(within(self.patience, "publish", published).await, Ok(()));
    }

    async fn next(&mut self) -> PubSubEvent {
        let next = within(self.patience, "an event", self.events.next()).await;
        next.expect("the broker is there as long as the node")
    }

    async fn expect(&mut self, publication: &Publication) {
        assert_eq!(
            self.next().await,
            PubSubEvent::Envelope(publication.clone())
        );
    }

    async fn expect_silence(&mut self) {
        if let Ok(event) = timeout(self.settle, self.events.next()).await {
            panic!("this should not have arrived: {event:?}");
        }
    }

    /// All that is heard until nothing comes for a while.
    async fn drain(&mut self) -> Vec<PubSubEvent> {
        let mut all = vec![self.next().await];
        let pause = self.settle.max(Duration::from_millis(20));
        while let Ok(Some(event)) = timeout(pause, self.events.next()).await {
            all.push(event);
        }
        all
    }
}

fn topic(name: &str) -> Topic {
    Topic::Room(room(name))
}

fn publication(topic: &Topic, text: impl Into<String>) -> Publication {
    Publication {
        topic: topic.clone(),
        envelope: text.into().into(),
    }
}

fn is_gap_of(event: &PubSubEvent, lost: &Topic) -> bool {
    matches!(event, PubSubEvent::Gap { topic } if topic == lost)
}

/// Clause 1.
pub async fn delivers_to_every_subscriber_of_the_topic(harness: &dyn PubSubHarness) {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(Node::start(harness).await);
    }
    let general = topic("general");
    for node in &nodes {
        node.subscribe(std::slice::from_ref(&general)).await;
    }
    let sent = publication(&general, "hello");
    nodes[0].publish(vec![sent.clone()]).await;
    for node in &mut nodes {
        node.expect(&sent).await;
    }
}

/// Clause 2.
pub async fn keeps_the_order_of_one_publisher(harness: &dyn PubSubHarness) {
    let publisher = Node::start(harness).await;
    let mut subscriber = Node::start(harness).await;
    let general = topic("general");
    subscriber.subscribe(std::slice::from_ref(&general)).await;
    let sent: Vec<_> = (0..160)
        .map(|number| publication(&general, number.to_string()))
        .collect();
    // By turns one by one and in a batch, never more than the queue takes.
    for (turn, batch) in sent.chunks(8).enumerate() {
        if turn % 2 == 0 {
            publisher.publish(batch.to_vec()).await;
        } else {
            for one in batch {
                publisher.publish(vec![one.clone()]).await;
            }
        }
        for one in batch {
            subscriber.expect(one).await;
        }
    }
}

/// Clause 3.
pub async fn does_not_deliver_other_topics(harness: &dyn PubSubHarness) {
    let publisher = Node::start(harness).await;
    let mut subscriber = Node::start(harness).await;
    let (wanted, others) = (
        topic("general"),
        ["genera", "general2", "other", "gen:eral"],
    );
    subscriber.subscribe(std::slice::from_ref(&wanted)).await;
    for other in others {
        publisher
            .publish(vec![publication(&topic(other), "not for you")])
            .await;
    }
    publisher
        .publish(vec![publication(&Topic::Control, "not for you")])
        .await;
    let marker = publication(&wanted, "marker");
    publisher.publish(vec![marker.clone()]).await;
    subscriber.expect(&marker).await;
    subscriber.expect_silence().await;
}

/// Clause 4.
pub async fn subscribe_returns_only_when_confirmed(harness: &dyn PubSubHarness) {
    let publisher = Node::start(harness).await;
    let mut subscriber = Node::start(harness).await;
    let general = topic("general");
    for round in 0..50 {
        subscriber.subscribe(std::slice::from_ref(&general)).await;
        let sent = publication(&general, round.to_string());
        publisher.publish(vec![sent.clone()]).await;
        subscriber.expect(&sent).await;
        subscriber.unsubscribe(std::slice::from_ref(&general)).await;
    }
}

/// Clause 5.
pub async fn unsubscribed_topics_fall_silent(harness: &dyn PubSubHarness) {
    let publisher = Node::start(harness).await;
    let mut subscriber = Node::start(harness).await;
    let (general, marked) = (topic("general"), topic("marked"));
    subscriber
        .subscribe(&[general.clone(), marked.clone()])
        .await;
    subscriber.unsubscribe(std::slice::from_ref(&general)).await;
    // "Some time after": until a marker comes back alone.
    let sounds = async {
        for round in 0.. {
            let marker = publication(&marked, round.to_string());
            let batch = vec![publication(&general, "late"), marker.clone()];
            publisher.publish(batch).await;
            let first = subscriber.next().await;
            if first == PubSubEvent::Envelope(marker.clone()) {
                break;
            }
            subscriber.expect(&marker).await;
            // So that the limit is looked at, even if nothing here ever waits.
            tokio::task::yield_now().await;
        }
    };
    within(harness.patience(), "silence", sounds).await;
    subscriber.expect_silence().await;
}

/// Clause 6.
pub async fn subscribing_twice_delivers_once(harness: &dyn PubSubHarness) {
    let publisher = Node::start(harness).await;
    let mut subscriber = Node::start(harness).await;
    let (general, marked) = (topic("general"), topic("marked"));
    subscriber
        .subscribe(&[general.clone(), general.clone(), marked.clone()])
        .await;
    subscriber.subscribe(std::slice::from_ref(&general)).await;
    let sent = [publication(&general, "once"), publication(&general, "next")];
    for one in &sent {
        publisher.publish(vec![one.clone()]).await;
    }
    for one in &sent {
        subscriber.expect(one).await;
    }
    // A set, not a count: one unsubscribe ends it.
    subscriber.unsubscribe(std::slice::from_ref(&general)).await;
    publisher.publish(vec![publication(&general, "late")]).await;
    let marker = publication(&marked, "marker");
    publisher.publish(vec![marker.clone()]).await;
    subscriber.expect(&marker).await;
    subscriber.expect_silence().await;
}

/// Clause 7.
pub async fn says_gap_when_its_queue_is_full(harness: &dyn PubSubHarness) {
    let publisher = Node::start(harness).await;
    let mut slow = Node::start(harness).await;
    let mut fast = Node::start(harness).await;
    let (first, second, quiet) = (topic("first"), topic("second"), topic("quiet"));
    slow.subscribe(&[first.clone(), second.clone(), quiet.clone()])
        .await;
    fast.subscribe(std::slice::from_ref(&first)).await;
    let published = harness.queue_capacity() * 3;
    for number in 0..published {
        // Nobody reads at `slow`; were the publisher held up, this would not return.
        let sent = publication(&first, number.to_string());
        publisher.publish(vec![sent.clone()]).await;
        fast.expect(&sent).await;
        publisher
            .publish(vec![publication(&second, "another")])
            .await;
    }
    // That `fast` has heard all does not mean that the link of `slow` has carried all.
    tokio::time::sleep(harness.settle()).await;
    let heard = slow.drain().await;
    for lost in [&first, &second] {
        let arrived = heard
            .iter()
            .filter(|event| matches!(event, PubSubEvent::Envelope(found) if found.topic == *lost));
        assert!(arrived.count() < published, "the queue has no limit");
        let gaps = heard.iter().filter(|event| is_gap_of(event, lost));
        assert!(gaps.count() >= 2, "gap then, and once more when drained");
        let last_gap = heard.iter().rposition(|event| is_gap_of(event, lost));
        let last_envelope = heard
            .iter()
            .rposition(|event| matches!(event, PubSubEvent::Envelope(_)));
        assert!(last_gap > last_envelope, "the last gap comes when drained");
    }
    assert!(!heard.iter().any(|event| is_gap_of(event, &quiet)));
    let after = publication(&first, "after");
    publisher.publish(vec![after.clone()]).await;
    slow.expect(&after).await;
}

/// Clause 8.
pub async fn says_lost_and_restored(harness: &dyn PubSubHarness) {
    let publisher = Node::start(harness).await;
    let mut cut = Node::start(harness).await;
    let general = topic("general");
    cut.subscribe(std::slice::from_ref(&general)).await;
    let missed = publication(&general, "missed, perhaps");
    for round in 0..3 {
        harness.cut(1).await;
        assert_eq!(cut.next().await, PubSubEvent::Lost);
        publisher.publish(vec![missed.clone()]).await;
        harness.restore(1).await;
        assert_eq!(cut.next().await, PubSubEvent::Restored);
        let sent = publication(&general, round.to_string());
        publisher.publish(vec![sent.clone()]).await;
        // What was published in between may still come; what comes now must.
        let mut heard = cut.next().await;
        if heard == PubSubEvent::Envelope(missed.clone()) {
            heard = cut.next().await;
        }
        assert_eq!(heard, PubSubEvent::Envelope(sent));
    }
    cut.expect_silence().await;
}

/// Clause 9.
pub async fn wanted_topics_survive_a_lost_link(harness: &dyn PubSubHarness) {
    let publisher = Node::start(harness).await;
    let mut cut = Node::start(harness).await;
    let (before, during, dropped) = (topic("before"), topic("during"), topic("dropped"));
    cut.subscribe(&[before.clone(), dropped.clone()]).await;
    harness.cut(1).await;
    assert_eq!(cut.next().await, PubSubEvent::Lost);
    let refused = cut.pubsub.subscribe(std::slice::from_ref(&during));
    let refused = within(harness.patience(), "an answer while cut", refused).await;
    assert!(matches!(refused, Err(PubSubError::Unavailable(_))));
    // It may say that it could not tell the broker; the topic is unwanted all the same.
    let _ = cut.pubsub.unsubscribe(std::slice::from_ref(&dropped)).await;
    harness.restore(1).await;
    assert_eq!(cut.next().await, PubSubEvent::Restored);
    let sent = [&dropped, &before, &during].map(|topic| publication(topic, "hello"));
    for one in &sent {
        publisher.publish(vec![one.clone()]).await;
    }
    let heard = [cut.next().await, cut.next().await];
    let heard: BTreeSet<Topic> = heard
        .into_iter()
        .map(|event| match event {
            PubSubEvent::Envelope(found) => found.topic,
            other => panic!("{other:?} instead of an envelope"),
        })
        .collect();
    assert_eq!(heard, BTreeSet::from([before, during]));
    cut.expect_silence().await;
}

/// Clause 10.
pub async fn events_can_be_taken_once(harness: &dyn PubSubHarness) {
    let node = harness.node().await;
    assert!(node.events().is_some());
    assert!(node.events().is_none());
}
