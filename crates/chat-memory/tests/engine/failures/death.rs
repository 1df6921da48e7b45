//! A node that dies: the others find in the log what it told nobody, and its people leave.

use std::time::Duration;

use chat_core::{Command, EntryBody, Event, Limits};
use chat_testkit::make;
use tokio::time::sleep;

use crate::cluster::{Cluster, ROOM, run};
use crate::person::Person;

/// Time goes on for leases too, which are counted by the store's clock.
async fn pass(cluster: &Cluster, time: Duration) {
    const STEP: Duration = Duration::from_millis(50);
    let mut passed = Duration::ZERO;
    while passed < time {
        cluster.clock.advance(50);
        sleep(STEP).await;
        passed += STEP;
    }
}

/// Some die with the writer still in the room, so that there is somebody to count out; others with
/// nobody in it.
async fn die_before_publishing(phase: Duration, is_empty: bool, seed: u64) {
    let mut limits = Limits::default();
    limits.head_check_interval = Duration::from_secs(3_600);
    let mut cluster = Cluster::start(1, false, &limits, seed);
    // Nodes that began at other moments renew and look at other moments.
    for _ in 0..2 {
        pass(&cluster, phase / 2).await;
        cluster.add();
    }
    let room = make::room(ROOM);
    let mut writer = Person::on(&cluster, 0, "writer").await;
    writer.join(&room, None).await.unwrap();
    if is_empty {
        let leave = Command::Leave { room: room.clone() };
        writer.ask(leave).await.unwrap();
    }
    let mut readers = Vec::new();
    for (node, name) in [(1, "bob"), (2, "carol")] {
        let mut reader = Person::on(&cluster, node, name).await;
        reader.join(&room, None).await.unwrap();
        readers.push(reader);
    }
    // Whoever is to sweep must have held its own lease for as long as one lasts.
    pass(&cluster, limits.node_ttl * 2 + phase).await;
    cluster.nodes[0].link.cut();
    writer.send(&room, "committed").await.unwrap();
    drop(cluster.nodes.remove(0));
    drop(writer);
    for reader in &mut readers {
        let told = reader.told_within(Duration::ZERO).await;
        assert_eq!(texts(&told), [""; 0], "nobody was told");
    }
    pass(&cluster, limits.node_ttl + Duration::from_secs(2)).await;
    for reader in &mut readers {
        let told = reader.told_within(Duration::ZERO).await;
        assert_eq!(texts(&told), ["committed"], "{phase:?}, {is_empty}");
        let left = told.iter().filter(|event| is_end_of_writer(event)).count();
        assert_eq!(left, usize::from(!is_empty), "{phase:?}");
    }
    readers[0].send(&room, "after").await.unwrap();
    for reader in &mut readers {
        let told = reader.told_within(Duration::from_secs(1)).await;
        assert_eq!(texts(&told), ["after"]);
    }
}

fn is_end_of_writer(event: &Event) -> bool {
    matches!(event, Event::UserLeft { user, .. } if *user == make::user("writer"))
}

fn texts(told: &[Event]) -> Vec<&str> {
    told.iter().filter_map(text).collect()
}

fn text(event: &Event) -> Option<&str> {
    let Event::Entry(entry) = event else {
        return None;
    };
    match &entry.body {
        EntryBody::MessageAdded { text, .. } => text.as_deref(),
        _ => None,
    }
}

#[test]
fn within_its_lease_and_two_seconds_what_it_did_not_publish_is_delivered_and_its_people_leave() {
    // At any moment between two renewals of the lease, which come every third of it.
    for step in 0..12_u64 {
        for is_empty in [true, false] {
            let phase = Duration::from_millis(300 * step);
            run(die_before_publishing(phase, is_empty, step));
        }
    }
}
