//! What happens to people when a node dies, stands still, comes too early or is replaced.

mod crowd;
mod people;
mod revocation;
mod sweeper;

use std::collections::BTreeSet;

use chat_core::UserId;
use chat_testkit::servers::{RedisServer, TcpProxy};
use chat_tests::ServerProcess;

use crate::person::{PATIENCE, Person, Wanderer, message, node, soon};

/// Waits until a node answers a probe with a status.
fn wait_for_readiness(node: &ServerProcess, status: u16) {
    let deadline = std::time::Instant::now() + PATIENCE;
    while node.get("/readyz").status != status {
        assert!(std::time::Instant::now() < deadline, "not {status} in time");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_people_of_a_killed_node_leave_everywhere_once_and_nobody_else_flickers() {
    let redis = RedisServer::start().await;
    let (one, two, mut three) = (node(&redis), node(&redis), node(&redis));
    let mut alice = Person::enter(&one, "alice").await;
    let mut bob = Person::enter(&two, "bob").await;
    let mut doomed = Vec::new();
    for number in 0..10 {
        doomed.push(Person::enter(&three, &format!("doomed-{number}")).await);
    }
    for person in [&alice, &bob] {
        person.sees(12).await;
    }
    alice.say("before").await;
    alice.until_said("before").await;
    bob.until_said("before").await;
    three.kill();
    for person in [&alice, &bob] {
        person.sees(2).await;
    }
    // Whatever the sweep told of was published before this.
    alice.say("after").await;
    for person in [&mut alice, &mut bob] {
        let mut told = person.comings_and_goings_until("after").await;
        // That somebody came may be told behind what was said later; nobody who flickers only comes.
        told.retain(|(_, joined)| !joined);
        let left: BTreeSet<UserId> = told.iter().map(|(user, _)| user.clone()).collect();
        assert_eq!(told.len(), 10, "each once: {told:?}");
        assert_eq!(left.len(), 10, "{told:?}");
        assert!(left.iter().all(|user| user.as_str().starts_with("doomed")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stood_still_longer_than_its_lease_is_back_with_its_people() {
    let redis = RedisServer::start().await;
    let (one, two) = (node(&redis), node(&redis));
    let mut alice = Person::enter(&one, "alice").await;
    let mut sleeper = Person::enter(&two, "sleeper").await;
    alice.sees(2).await;
    two.pause();
    alice.until_left("sleeper").await;
    alice.say("while you slept").await;
    two.resume();
    alice.until_joined("sleeper").await;
    sleeper.until_said("while you slept").await;
    sleeper.say("awake").await;
    alice.until_said("awake").await;
    alice.sees(2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_starts_before_its_redis_waits_for_it_and_says_so() {
    let mut redis = RedisServer::start().await;
    redis.stop().await;
    let server = node(&redis);
    assert_eq!(server.get("/healthz").status, 200);
    wait_for_readiness(&server, 503);
    server.wait_for_line("waiting for Redis");
    redis.start_again().await;
    wait_for_readiness(&server, 200);
    let mut alice = Person::enter(&server, "alice").await;
    alice.say("at last").await;
    alice.until_said("at last").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_while_people_chat_loses_and_doubles_nothing() {
    let redis = RedisServer::start().await;
    let mut nodes = vec![node(&redis), node(&redis)];
    let mut writer = Wanderer::enter(&nodes[0], "writer").await;
    let mut reader = Wanderer::enter(&nodes[1], "reader").await;
    let mut sent = Vec::new();
    for round in 0..4 {
        let next = node(&redis);
        // The older one of the two goes while messages flow: the writer's, then the reader's.
        let old = nodes.remove(0);
        for number in 0..25 {
            if number == 10 {
                old.terminate();
            }
            let text = format!("{round}-{number}");
            writer.send(&text, &next).await;
            sent.push(text);
        }
        reader.read_until(&format!("{round}-24"), &next).await;
        let ended = tokio::task::spawn_blocking(move || old.wait_exit());
        let ended = soon("the old node to go", ended).await.unwrap();
        assert!(ended.status.success(), "{:?}", ended.status);
        nodes.push(next);
    }
    let texts: Vec<_> = reader.seen.iter().map(|(_, text)| text.clone()).collect();
    assert_eq!(texts, sent, "each acked message once, in order");
    let first = reader.seen[0].0;
    assert!(
        reader
            .seen
            .iter()
            .zip(first..)
            .all(|((seq, _), wanted)| *seq == wanted)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_clusters_on_one_redis_do_not_hear_each_other() {
    let redis = RedisServer::start().await;
    let url = redis.url();
    let start = |prefix| {
        let mode = ["--redis-subscribe", "all", "--redis-prefix", prefix];
        ServerProcess::start(&[&["--redis", url.as_str()], mode.as_slice()].concat())
    };
    let (ours, too, theirs) = (start("ours:"), start("ours:"), start("theirs:"));
    let mut alice = Person::enter(&ours, "alice").await;
    let mut bob = Person::enter(&too, "bob").await;
    let mut eve = Person::enter(&theirs, "eve").await;
    alice.sees(2).await;
    eve.sees(1).await;
    assert_eq!(alice.say("for us").await.seq, 1);
    bob.until_said("for us").await;
    alice.until_said("for us").await;
    assert_eq!(eve.say("for them").await.seq, 1, "a room of its own");
    eve.until_said("for them").await;
}

/// Redis keeps the log there and tells of an entry in the step that appends it, so that nothing is
/// between: whoever dies without having heard of it changes nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_node_appended_and_did_not_live_to_ack_is_heard_once_and_a_retry_is_a_duplicate() {
    let redis = RedisServer::start().await;
    let proxy = TcpProxy::start(redis.address()).await;
    let behind = ["--redis", &format!("redis://{}", proxy.address())];
    let limits = ["--limit", "node_ttl=2s", "--limit", "append_timeout=20s"];
    let mut dying = ServerProcess::start(&[behind.as_slice(), limits.as_slice()].concat());
    let two = node(&redis);
    let mut bob = Person::enter(&two, "bob").await;
    let writer = Person::enter(&dying, "writer").await;
    bob.sees(2).await;
    proxy.slow_down_answers(PATIENCE);
    let sends = writer.client.clone();
    let sent = tokio::spawn(async move { sends.send_message(message("unheard")).await });
    assert_eq!(bob.texts_until("unheard").await, ["unheard"]);
    dying.kill();
    let sent = soon("an outcome", sent).await.unwrap();
    assert!(sent.is_err(), "nobody said so: {sent:?}");
    let writer = Person::enter(&two, "writer").await;
    assert!(writer.say("unheard").await.duplicate);
    writer.say("after").await;
    assert_eq!(bob.texts_until("after").await, ["after"]);
}

/// A count out of a node's metrics.
fn metric(node: &ServerProcess, name: &str) -> usize {
    let metrics = node.get("/metrics").body;
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    value.map_or(0, |value| value.trim().parse().expect("a count"))
}
