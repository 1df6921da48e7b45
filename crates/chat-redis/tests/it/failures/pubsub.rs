//! The broker over real sockets, and what becomes of it when they fail.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use chat_core::{EventStream, PubSub, PubSubEvent, Publication, Topic};
use chat_redis::{RedisConfig, RedisPubSub, SubscribeMode};

use crate::support::{self, Kind, Proxy, Server, next, topic, until};

const MODES: [SubscribeMode; 2] = [SubscribeMode::Rooms, SubscribeMode::All];

fn publication(name: &str, text: &str) -> Publication {
    Publication {
        topic: topic(name),
        envelope: Bytes::copy_from_slice(text.as_bytes()),
    }
}

async fn node(config: RedisConfig) -> (Arc<RedisPubSub>, EventStream) {
    let node = RedisPubSub::connect(config, support::instance())
        .await
        .unwrap();
    let events = node.events().unwrap();
    (node, events)
}

fn mode(url: &str, mode: SubscribeMode) -> RedisConfig {
    let mut config = support::config(url);
    config.subscribe = mode;
    config.probe_interval = Duration::from_millis(800);
    config
}

/// Publishes until something arrives, and answers what arrived first.
async fn speak_until_heard(
    node: &RedisPubSub,
    events: &mut EventStream,
    name: &str,
) -> PubSubEvent {
    let speak = async {
        loop {
            // A publisher that is not back yet is part of what is being waited for.
            let _ = node.publish(vec![publication(name, "hello")]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        event = next(events) => event,
        () = speak => unreachable!(),
    }
}

#[tokio::test]
async fn nodes_hear_each_other_and_themselves_in_the_order_of_the_publisher() {
    let server = Server::start().await;
    for kind in MODES {
        let (one, mut heard_by_one) = node(mode(&server.url(), kind)).await;
        let (two, mut heard_by_two) = node(mode(&server.url(), kind)).await;
        one.subscribe(&[topic("r"), Topic::Control]).await.unwrap();
        two.subscribe(&[topic("r")]).await.unwrap();
        let batch: Vec<_> = (0..100).map(|n| publication("r", &n.to_string())).collect();
        two.publish(batch.clone()).await.unwrap();
        for expected in batch {
            let expected = PubSubEvent::Envelope(expected);
            assert_eq!(next(&mut heard_by_one).await, expected);
            assert_eq!(next(&mut heard_by_two).await, expected);
        }
    }
}

#[tokio::test]
async fn topics_that_were_given_up_fall_silent_and_can_be_wanted_again() {
    let server = Server::start().await;
    for kind in MODES {
        let (node, mut events) = node(mode(&server.url(), kind)).await;
        for round in 0..50 {
            node.subscribe(&[topic("a"), topic("b")]).await.unwrap();
            node.unsubscribe(&[topic("a")]).await.unwrap();
            if round % 2 == 0 {
                node.subscribe(&[topic("a")]).await.unwrap();
                node.publish(vec![publication("a", "wanted")])
                    .await
                    .unwrap();
                let event = next(&mut events).await;
                assert_eq!(event, PubSubEvent::Envelope(publication("a", "wanted")));
            } else {
                let both = vec![publication("a", "silent"), publication("b", "end")];
                node.publish(both).await.unwrap();
                let event = next(&mut events).await;
                assert_eq!(event, PubSubEvent::Envelope(publication("b", "end")));
            }
        }
    }
}

#[tokio::test]
async fn a_killed_subscriber_is_told_as_lost_and_restored_with_all_its_topics() {
    let server = Server::start().await;
    for kind in MODES {
        let (node, mut events) = node(mode(&server.url(), kind)).await;
        let many: Vec<Topic> = (0..2_500).map(|n| topic(&format!("r{n}"))).collect();
        node.subscribe(&many).await.unwrap();
        for _ in 0..3 {
            server.run(&["CLIENT", "KILL", "TYPE", "pubsub"]);
            assert_eq!(next(&mut events).await, PubSubEvent::Lost);
            assert_eq!(next(&mut events).await, PubSubEvent::Restored);
            let batch: Vec<_> = (0..2_500)
                .map(|n| publication(&format!("r{n}"), "still here"))
                .collect();
            node.publish(batch.clone()).await.unwrap();
            for expected in batch {
                assert_eq!(next(&mut events).await, PubSubEvent::Envelope(expected));
            }
        }
    }
}

#[tokio::test]
async fn a_node_that_starts_without_redis_is_lost_first_and_restored_later() {
    let mut server = Server::start().await;
    server.stop();
    for kind in MODES {
        let (node, mut events) = node(mode(&server.url(), kind)).await;
        assert_eq!(next(&mut events).await, PubSubEvent::Lost);
        assert!(!node.is_up());
        assert!(node.subscribe(&[topic("r")]).await.is_err());
        assert!(node.publish(vec![publication("r", "x")]).await.is_err());
        server.restart().await;
        assert_eq!(next(&mut events).await, PubSubEvent::Restored);
        assert!(node.is_up());
        node.publish(vec![publication("r", "back")]).await.unwrap();
        let heard = next(&mut events).await;
        assert_eq!(heard, PubSubEvent::Envelope(publication("r", "back")));
        server.stop();
    }
}

#[tokio::test]
async fn a_dead_or_deaf_connection_is_replaced_within_the_probe_interval() {
    let server = Server::start().await;
    for kind in MODES {
        for deaf in [true, false] {
            let proxy = Proxy::start(server.port()).await;
            let (node, mut events) = node(mode(&proxy.url(), kind)).await;
            node.subscribe(&[topic("r")]).await.unwrap();
            let since = Instant::now();
            if deaf {
                proxy.deafen(Kind::Subscriber, true);
            } else {
                proxy.stall(Kind::Subscriber, true);
            }
            assert_eq!(next(&mut events).await, PubSubEvent::Lost);
            // Twice what is promised: this machine may be busy with other tests.
            assert!(since.elapsed() < 2 * Duration::from_millis(800));
            proxy.deafen(Kind::Subscriber, false);
            proxy.stall(Kind::Subscriber, false);
            until(&mut events, |event| *event == PubSubEvent::Restored).await;
            let heard = speak_until_heard(&node, &mut events, "r").await;
            assert_eq!(heard, PubSubEvent::Envelope(publication("r", "hello")));
        }
    }
}

#[tokio::test]
async fn a_connection_that_answers_pings_but_hears_nothing_is_replaced() {
    let server = Server::start().await;
    for kind in MODES {
        let proxy = Proxy::start(server.port()).await;
        let (node, mut events) = node(mode(&proxy.url(), kind)).await;
        node.subscribe(&[topic("r")]).await.unwrap();
        proxy.mute(true);
        assert_eq!(next(&mut events).await, PubSubEvent::Lost);
        proxy.mute(false);
        until(&mut events, |event| *event == PubSubEvent::Restored).await;
        let heard = speak_until_heard(&node, &mut events, "r").await;
        assert_eq!(heard, PubSubEvent::Envelope(publication("r", "hello")));
    }
}

#[tokio::test]
async fn a_connection_that_answers_pings_but_lost_its_subscriptions_is_replaced() {
    let server = Server::start().await;
    let (node, mut events) = node(mode(&server.url(), SubscribeMode::Rooms)).await;
    node.subscribe(&[topic("r")]).await.unwrap();
    // Rights that were taken away end the subscription of a channel, not the connection.
    server.run(&["ACL", "SETUSER", "default", "resetchannels", "&chat:{*"]);
    until(&mut events, |event| *event == PubSubEvent::Lost).await;
    server.run(&["ACL", "SETUSER", "default", "allchannels"]);
    until(&mut events, |event| *event == PubSubEvent::Restored).await;
}

#[tokio::test]
async fn a_stopped_server_blocks_nobody_for_ever() {
    let server = Server::start().await;
    for kind in MODES {
        let (node, mut events) = node(mode(&server.url(), kind)).await;
        node.subscribe(&[topic("r")]).await.unwrap();
        server.pause();
        let limit = Duration::from_secs(10);
        let publish = tokio::time::timeout(limit, node.publish(vec![publication("r", "x")]));
        assert!(publish.await.unwrap().is_err());
        until(&mut events, |event| *event == PubSubEvent::Lost).await;
        let wanted = [topic("s")];
        let subscribe = tokio::time::timeout(limit, node.subscribe(&wanted));
        assert!(subscribe.await.unwrap().is_err());
        server.resume();
        until(&mut events, |event| *event == PubSubEvent::Restored).await;
        node.subscribe(&[topic("s")]).await.unwrap();
        let heard = speak_until_heard(&node, &mut events, "s").await;
        assert!(matches!(heard, PubSubEvent::Envelope(_)), "{heard:?}");
    }
}

#[tokio::test]
async fn a_stalled_publisher_does_not_make_the_node_deaf() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let (node, mut heard) = node(mode(&proxy.url(), SubscribeMode::Rooms)).await;
    let (other, _events) = self::node(mode(&server.url(), SubscribeMode::Rooms)).await;
    node.subscribe(&[topic("r")]).await.unwrap();
    proxy.stall(Kind::Pool, true);
    assert!(node.publish(vec![publication("r", "x")]).await.is_err());
    other.publish(vec![publication("r", "y")]).await.unwrap();
    let event = next(&mut heard).await;
    assert_eq!(event, PubSubEvent::Envelope(publication("r", "y")));
}

#[tokio::test]
async fn a_full_queue_says_gap_and_publishers_are_not_held_up() {
    let server = Server::start().await;
    let mut small = mode(&server.url(), SubscribeMode::Rooms);
    small.event_queue = 4;
    let (node, mut events) = node(small).await;
    node.subscribe(&[topic("r")]).await.unwrap();
    let batch: Vec<_> = (0..1_000)
        .map(|n| publication("r", &n.to_string()))
        .collect();
    node.publish(batch).await.unwrap();
    let gap = PubSubEvent::Gap { topic: topic("r") };
    until(&mut events, |event| *event == gap).await;
    let heard = speak_until_heard(&node, &mut events, "r").await;
    assert!(matches!(
        heard,
        PubSubEvent::Envelope(_) | PubSubEvent::Gap { .. }
    ));
}

#[tokio::test]
async fn the_own_topic_can_be_given_up_without_making_the_probe_deaf() {
    let server = Server::start().await;
    let config = mode(&server.url(), SubscribeMode::Rooms);
    let id = support::instance();
    let node = RedisPubSub::connect(config, id).await.unwrap();
    let mut events = node.events().unwrap();
    assert!(node.events().is_none());
    let own = Topic::Node(id);
    node.subscribe(std::slice::from_ref(&own)).await.unwrap();
    node.unsubscribe(std::slice::from_ref(&own)).await.unwrap();
    node.subscribe(&[own.clone(), topic("r")]).await.unwrap();
    // Two rounds of probes, each of which would have replaced a connection that is deaf for it.
    tokio::time::sleep(Duration::from_millis(1_000)).await;
    let mine = Publication {
        topic: own,
        envelope: Bytes::from_static(b"for you"),
    };
    node.publish(vec![mine.clone()]).await.unwrap();
    assert_eq!(next(&mut events).await, PubSubEvent::Envelope(mine));
}
