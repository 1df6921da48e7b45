//! Nodes and their Redis fail while a crowd chats.

use std::time::Duration;

use chat_core::UserId;
use chat_testkit::eventually;
use chat_testkit::servers::{RedisOptions, RedisServer};
use chat_tests::ServerProcess;

use crate::crowd::{Crowd, Seen, name, until_ready};
use crate::person::{PATIENCE, Person, node};

/// Longer than the lease of `node`, its next renewal included.
const LONGER_THAN_A_LEASE: Duration = Duration::from_secs(4);

fn no_one_left(seen: &Seen) {
    assert!(seen.left.is_empty(), "{:?}", seen.left);
}

/// Lets somebody new in, and waits until everybody was told: whatever was told before has come.
async fn fence(crowd: &Crowd, node: &ServerProcess) -> Person {
    let person = Person::enter(node, "newcomer").await;
    let newcomer = UserId::new("newcomer").unwrap();
    for number in 0..crowd.people.len() {
        let told = |seen: &Seen| seen.here.contains(&newcomer);
        crowd.until(number, "a newcomer is seen", told).await;
    }
    person
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_nodes_one_stands_still_and_nothing_is_lost_and_its_people_are_back() {
    let redis = RedisServer::start().await;
    let nodes = [node(&redis), node(&redis), node(&redis)];
    let mut crowd = Crowd::enter(&nodes, 4).await;
    let (asleep, awake): (Vec<usize>, Vec<usize>) =
        (0..crowd.people.len()).partition(|number| number % 3 == 2);
    nodes[2].pause();
    for &person in &awake {
        for &other in &asleep {
            let left = |seen: &Seen| seen.left.contains_key(&name(other));
            crowd.until(person, "a sleeper left", left).await;
        }
    }
    let before = crowd.people[0].borrow().acked;
    let on = |seen: &Seen| seen.acked >= before + 5;
    crowd.until(0, "chat goes on", on).await;
    nodes[2].resume();
    crowd.until_more_was_said(5).await;
    for person in 0..crowd.people.len() {
        let all = |seen: &Seen| asleep.iter().all(|other| seen.here.contains(&name(*other)));
        crowd.until(person, "the sleepers are back", all).await;
    }
    let _newcomer = fence(&crowd, &nodes[0]).await;
    for &person in &awake {
        let seen = crowd.people[person].borrow().clone();
        let left: Vec<_> = asleep.iter().map(|other| (name(*other), 1)).collect();
        assert_eq!(seen.left.into_iter().collect::<Vec<_>>(), sorted(left));
    }
    crowd.finish().await;
}

fn sorted(mut left: Vec<(UserId, u32)>) -> Vec<(UserId, u32)> {
    left.sort();
    left
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_three_nodes_one_is_killed_and_its_people_go_on_elsewhere_without_a_loss() {
    let redis = RedisServer::start().await;
    let mut nodes = vec![node(&redis), node(&redis), node(&redis)];
    let mut crowd = Crowd::enter(&nodes, 4).await;
    let mut killed = nodes.remove(1);
    crowd.set_nodes(&nodes);
    killed.kill();
    crowd.until_more_was_said(10).await;
    crowd.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_node_is_replaced_while_a_crowd_chats_and_nobody_notices() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    // The usual grace: who comes back by another node meanwhile has not left.
    let start = || ServerProcess::start(&["--redis", &url, "--limit", "node_ttl=2s"]);
    let mut nodes = vec![start(), start(), start()];
    let mut crowd = Crowd::enter(&nodes, 4).await;
    for _ in 0..3 {
        let old = nodes.remove(0);
        nodes.push(start());
        crowd.set_nodes(&nodes);
        old.terminate();
        let ended = tokio::task::block_in_place(|| old.wait_exit());
        assert_eq!(ended.status.code(), Some(0), "{}", ended.output);
        crowd.until_more_was_said(5).await;
    }
    until_swept(&redis, 3).await;
    let _newcomer = fence(&crowd, &nodes[0]).await;
    for seen in &crowd.people {
        no_one_left(&seen.borrow());
        assert!(seen.borrow().connects > 1, "each had to go elsewhere");
    }
    crowd.finish().await;
}

/// Waits until nothing is left of earlier generations: who would be told to have left was.
async fn until_swept(redis: &RedisServer, alive: usize) {
    let alive = [alive.to_string()];
    eventually(PATIENCE, "a sweep", || async {
        let nodes = redis.query(&["ZCARD", "chat:nodes"]).await.texts();
        (nodes == alive).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_away_for_longer_than_leases_and_nobody_leaves_in_the_end() {
    let mut redis = RedisServer::start_with(RedisOptions {
        append_only: true,
        ..RedisOptions::default()
    })
    .await;
    let nodes = [node(&redis), node(&redis), node(&redis)];
    let mut crowd = Crowd::enter(&nodes, 3).await;
    redis.kill();
    for node in &nodes {
        let body = until_ready(node, 503).await;
        assert!(body.contains("\"degraded\""), "{body}");
        assert_eq!(node.get("/healthz").status, 200);
    }
    // What fails is that it is away for this long.
    tokio::time::sleep(LONGER_THAN_A_LEASE).await;
    redis.start_again().await;
    for node in &nodes {
        until_ready(node, 200).await;
    }
    crowd.until_more_was_said(5).await;
    until_swept(&redis, 3).await;
    let newcomer = fence(&crowd, &nodes[0]).await;
    newcomer.sees(10).await;
    for seen in &crowd.people {
        no_one_left(&seen.borrow());
        assert_eq!(seen.borrow().connects, 1, "connections live on");
    }
    crowd.finish().await;
}
