//! What presence costs Redis, for docs/presence.md.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chat_core::{Device, Lease, Presence, RoomId, Said, Status, UserId};
use chat_redis::{RedisPresence, RedisPubSub};
use chat_testkit::make::{room, user};

use super::{cpu, memory};
use crate::support::{self, Server};

const NODES: usize = 3;
/// How long quiet people are watched: more than a third of the time in which all is renewed once.
const QUIET: Duration = Duration::from_secs(40);

async fn node(server: &Server) -> Arc<RedisPresence> {
    let mut config = support::config(&server.url());
    // Defaults otherwise. A machine that is busy must not cost anybody his lease.
    config.command_timeout = Duration::from_secs(5);
    let pubsub = RedisPubSub::connect(config, support::instance()).await;
    let presence = RedisPresence::announcing_on(&pubsub.unwrap());
    assert_eq!(presence.renew().await, Ok(Lease::Renewed));
    Arc::new(presence)
}

fn said(user: &UserId) -> Said {
    let device = Device {
        name: None,
        status: Status::Online,
        text: None,
    };
    Said {
        user: user.clone(),
        devices: vec![device],
    }
}

/// People with one connection each come online and join one room each.
async fn populate(node: Arc<RedisPresence>, people: Vec<(UserId, RoomId)>) {
    for some in people.chunks(128) {
        let batch = some.iter().map(|(user, _)| said(user)).collect();
        node.say(batch).await.unwrap();
        for (user, room) in some {
            node.join(room, user).await.unwrap();
        }
        node.renew().await.unwrap();
    }
}

async fn populate_all(nodes: &[Arc<RedisPresence>], count: usize, room_of: fn(usize) -> RoomId) {
    let mut tasks = Vec::new();
    for (number, node) in nodes.iter().enumerate() {
        let mine = (0..count).filter(|n| n % nodes.len() == number);
        let people = mine.map(|n| (user(&format!("user-{n}")), room_of(n)));
        tasks.push(tokio::spawn(populate(Arc::clone(node), people.collect())));
    }
    for task in tasks {
        task.await.unwrap();
    }
}

/// What a node does while nobody comes or goes.
async fn keep(node: Arc<RedisPresence>, until: Instant) {
    let mut renewals = tokio::time::interval(Duration::from_secs(10) / 3);
    let mut looks = tokio::time::interval(Duration::from_secs(1));
    while Instant::now() < until {
        tokio::select! {
            _ = renewals.tick() => {
                assert_eq!(node.renew().await, Ok(Lease::Held));
                node.keep().await.unwrap();
            }
            _ = looks.tick() => {
                node.sweep_users().await.unwrap();
                node.sweep().await.unwrap();
            }
        }
    }
}

fn print_commands(server: &Server, seconds: f64) {
    let mut all = 0.0;
    for line in server.run(&["INFO", "commandstats"]).lines() {
        let Some((name, rest)) = line.split_once(":calls=") else {
            continue;
        };
        let calls: f64 = rest.split(',').next().unwrap().parse().unwrap();
        all += calls;
        println!("  {}: {:.1}/s", &name["cmdstat_".len()..], calls / seconds);
    }
    println!(
        "  together, those inside of scripts too: {:.1}/s",
        all / seconds
    );
}

#[test]
#[ignore = "a measurement of a minute"]
fn what_ten_thousand_quiet_people_on_three_nodes_cost() {
    chat_testkit::run(async {
        let server = Server::start().await;
        let mut nodes = Vec::new();
        for _ in 0..NODES {
            nodes.push(node(&server).await);
        }
        let (before, since) = (memory(&server), Instant::now());
        populate_all(&nodes, 10_000, |n| room(&format!("room-{}", n % 1_000))).await;
        println!(
            "10,000 people came and joined a room of ten each in {:?}, {} bytes of Redis each",
            since.elapsed(),
            (memory(&server) - before) / 10_000
        );
        server.run(&["CONFIG", "RESETSTAT"]);
        let (cpu_before, since) = (cpu(&server), Instant::now());
        let tasks: Vec<_> = nodes
            .iter()
            .map(|node| tokio::spawn(keep(Arc::clone(node), since + QUIET)))
            .collect();
        for task in tasks {
            task.await.unwrap();
        }
        let seconds = since.elapsed().as_secs_f64();
        print_commands(&server, seconds);
        let busy = (cpu(&server) - cpu_before) / seconds;
        println!("  {:.3} % of a core of Redis", busy * 100.0);
    });
}

#[test]
#[ignore = "a measurement of a minute"]
fn what_a_join_of_a_room_of_a_hundred_thousand_takes() {
    chat_testkit::run(async {
        let server = Server::start().await;
        let mut nodes = Vec::new();
        for _ in 0..4 {
            nodes.push(node(&server).await);
        }
        let big = || room("big");
        populate_all(&nodes, 100_000, |_| room("big")).await;
        for (name, room) in [
            ("a room of 100,000", big()),
            ("an empty room", room("empty")),
        ] {
            let mut times = Vec::new();
            for n in 0..1_000 {
                let somebody = user(&format!("new-{n}"));
                let since = Instant::now();
                nodes[0].join(&room, &somebody).await.unwrap();
                times.push(since.elapsed());
                nodes[0].leave(&room, &somebody).await.unwrap();
            }
            times.sort();
            let (half, most) = (times[500], times[990]);
            println!("join of {name}: p50 {half:?}, p99 {most:?}");
        }
        let since = Instant::now();
        let first = nodes[0].occupants(&big(), None, 50).await.unwrap();
        println!("its first 50 of {}: {:?}", first.count, since.elapsed());
        let since = Instant::now();
        let newest = nodes[0].online(None, None, 50).await.unwrap();
        println!(
            "the newest 50 of {} online: {:?}",
            newest.count,
            since.elapsed()
        );
    });
}
