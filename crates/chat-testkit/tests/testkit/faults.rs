//! The fault wrappers do what they say: nothing when told nothing, and each fault when told.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    AppendCall, AppendError, EventStream, PubSub, PubSubEvent, Publication, RoomLog, SystemClock,
    Topic,
};
use chat_memory::{MemoryBroker, MemoryConfig, MemoryRoomLog};
use chat_testkit::contract::pubsub::PubSubHarness;
use chat_testkit::faults::{EnvelopeFaults, FaultyPubSub, FaultyRoomLog, LogFaults};
use chat_testkit::{make, run, within};
use parking_lot::Mutex;

chat_testkit::pubsub_contract!(pubsub_without_faults, FaultyHarness::start);

const PATIENCE: Duration = Duration::from_secs(10);

/// Nodes that hear through a wrapper that is told to do nothing but cut.
struct FaultyHarness {
    broker: MemoryBroker,
    nodes: Mutex<Vec<Arc<FaultyPubSub>>>,
}

impl FaultyHarness {
    async fn start() -> Self {
        let config = MemoryConfig {
            event_queue: 16,
            ..MemoryConfig::default()
        };
        Self {
            broker: MemoryBroker::new(config),
            nodes: Mutex::default(),
        }
    }
}

#[async_trait]
impl PubSubHarness for FaultyHarness {
    async fn node(&self) -> Arc<dyn PubSub> {
        let node = Arc::new(FaultyPubSub::new(Arc::new(self.broker.node()), 1));
        self.nodes.lock().push(Arc::clone(&node));
        node
    }

    async fn cut(&self, index: usize) {
        self.nodes.lock()[index].cut();
    }

    async fn restore(&self, index: usize) {
        self.nodes.lock()[index].restore();
    }

    /// The wrapper's own: it takes what the wrapped queue holds at once.
    fn queue_capacity(&self) -> usize {
        16_384
    }
}

/// One node that hears badly, on a topic of its own.
struct Node {
    pubsub: FaultyPubSub,
    events: EventStream,
    topic: Topic,
}

impl Node {
    async fn start(seed: u64) -> Self {
        let broker = MemoryBroker::new(MemoryConfig::default());
        let pubsub = FaultyPubSub::new(Arc::new(broker.node()), seed);
        let events = pubsub.events().unwrap();
        let topic = Topic::Room(make::room("general"));
        pubsub
            .subscribe(std::slice::from_ref(&topic))
            .await
            .unwrap();
        Self {
            pubsub,
            events,
            topic,
        }
    }

    fn publication(&self, number: usize) -> Publication {
        Publication {
            topic: self.topic.clone(),
            envelope: number.to_string().into(),
        }
    }

    /// Publishes the numbers below `count` and then, without faults, a marker; answers what is heard.
    async fn hear(&mut self, faults: EnvelopeFaults, count: usize) -> Vec<PubSubEvent> {
        self.pubsub.set(faults);
        let batch = (0..count).map(|number| self.publication(number)).collect();
        self.pubsub.publish(batch).await.unwrap();
        let mut heard = Vec::new();
        // Held ones are let go when nothing comes for a while; then all has been heard.
        let pause = Duration::from_millis(200);
        while let Ok(event) = tokio::time::timeout(pause, self.events.next()).await {
            heard.push(event.unwrap());
        }
        heard
    }
}

fn numbers(heard: &[PubSubEvent]) -> Vec<usize> {
    let envelopes = heard.iter().filter_map(|event| match event {
        PubSubEvent::Envelope(found) => Some(&found.envelope),
        _ => None,
    });
    let texts = envelopes.map(|envelope| std::str::from_utf8(envelope).unwrap());
    texts.map(|text| text.parse().unwrap()).collect()
}

fn sorted(mut numbers: Vec<usize>) -> Vec<usize> {
    numbers.sort_unstable();
    numbers
}

#[test]
fn each_envelope_fault_happens_when_it_is_told_to() {
    run(async {
        let all: Vec<usize> = (0..200).collect();
        let none = EnvelopeFaults::default();
        let mut node = Node::start(3).await;
        assert_eq!(numbers(&node.hear(none, 200).await), all);

        let lossy = node.hear(EnvelopeFaults { lose: 100, ..none }, 200).await;
        let lost = 200 - numbers(&lossy).len();
        assert!((5..60).contains(&lost), "{lost} of 200 lost");
        assert_eq!(numbers(&lossy).len(), lossy.len(), "not a word about it");

        let told = EnvelopeFaults {
            overflow: 100,
            ..none
        };
        let told = node.hear(told, 200).await;
        let gaps = told
            .iter()
            .filter(|event| matches!(event, PubSubEvent::Gap { .. }));
        assert_eq!(gaps.count(), 200 - numbers(&told).len());

        let duplicate = EnvelopeFaults {
            duplicate: 100,
            ..none
        };
        let doubled = numbers(&node.hear(duplicate, 200).await);
        assert!(doubled.len() > 205);
        let mut once = sorted(doubled);
        once.dedup();
        assert_eq!(once, all);

        for (reorder, delay) in [(100, 0), (0, 100)] {
            let late = EnvelopeFaults {
                reorder,
                delay,
                ..none
            };
            let late = numbers(&node.hear(late, 200).await);
            assert_ne!(late, all, "{reorder} {delay}");
            assert_eq!(sorted(late), all, "{reorder} {delay}");
        }
    });
}

#[test]
fn the_same_seed_makes_the_same_faults() {
    run(async {
        let faults = EnvelopeFaults {
            lose: 50,
            overflow: 50,
            duplicate: 50,
            reorder: 50,
            delay: 50,
        };
        let mut heard = Vec::new();
        for seed in [5, 5, 6] {
            heard.push(Node::start(seed).await.hear(faults, 300).await);
        }
        assert_eq!(heard[0], heard[1]);
        assert_ne!(heard[0], heard[2]);
    });
}

#[test]
fn a_full_queue_is_told_while_it_is_full_and_when_it_drains() {
    run(async {
        let mut node = Node::start(1).await;
        node.pubsub.fill();
        let heard = node.hear(EnvelopeFaults::default(), 3).await;
        let gap = PubSubEvent::Gap {
            topic: node.topic.clone(),
        };
        assert_eq!(heard, vec![gap.clone(); 3]);
        node.pubsub.drain();
        let next = within(PATIENCE, "the last gap", node.events.next()).await;
        assert_eq!(next, Some(gap));
        assert_eq!(numbers(&node.hear(EnvelopeFaults::default(), 1).await), [0]);
    });
}

fn call(text: &str) -> Vec<AppendCall> {
    let room = make::room("general");
    let said = make::say(&room, &make::user("alice"), text);
    vec![AppendCall {
        room,
        entries: vec![said],
    }]
}

#[test]
fn each_log_fault_happens_when_it_is_told_to() {
    run(async {
        let log = MemoryRoomLog::new(MemoryConfig::default(), Arc::new(SystemClock));
        let faulty = FaultyRoomLog::new(Arc::new(log.clone()), 1);
        let room = make::room("general");
        let none = LogFaults::default();
        let always = 1_000;
        let timeout = Duration::from_millis(50);
        let fails = LogFaults {
            append_fails: always,
            ..none
        };
        let refused = LogFaults {
            append_refused: always,
            ..none
        };
        let silent = LogFaults {
            outcome_lost: always,
            ..none
        };
        let slow = LogFaults {
            slow: Duration::from_secs(3_600),
            ..none
        };
        for (faults, done, refuses) in [
            (none, true, false),
            (fails, false, false),
            (refused, false, true),
            (silent, true, false),
            (slow, false, false),
        ] {
            let before = log.open(&room).await.unwrap().position.seq;
            faulty.set(faults);
            let answer = within(PATIENCE, "an answer", faulty.append(call("hello"), timeout));
            let outcome = answer.await.remove(0).remove(0);
            match outcome {
                Ok(_) => assert_eq!(faults, none),
                Err(AppendError::Refused(_)) => assert!(refuses, "{faults:?}"),
                Err(AppendError::Unavailable(_)) => assert!(!refuses, "{faults:?}"),
                Err(error) => panic!("{error}"),
            }
            let after = log.open(&room).await.unwrap().position.seq;
            assert_eq!(after - before, u64::from(done), "{faults:?}");
        }
        faulty.set(LogFaults {
            read_fails: always,
            ..none
        });
        assert!(faulty.read_after(&room, 0, 1).await.is_err());
        assert!(faulty.heads(&[room]).await.is_err());
    });
}
