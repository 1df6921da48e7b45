//! A member who is removed gets nothing behind the entry that removes him.

use std::sync::Arc;
use std::time::Duration;

use chat_core::{Entry, EntryBody, Event, JoinResult, Limits, RoomId, RoomKind};
use chat_testkit::faults::{EnvelopeFaults, LogFaults};
use chat_testkit::make;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::no_room;
use crate::cluster::{Cluster, run};
use crate::person::Person;

fn removes(entry: &Entry, name: &str) -> bool {
    matches!(&entry.body, EntryBody::RoomUpdated(change)
        if change.members_removed.contains(&make::user(name)))
}

/// Says something again and again.
fn chatter(
    mut who: Person,
    room: RoomId,
    stop: CancellationToken,
) -> tokio::task::JoinHandle<Person> {
    tokio::spawn(async move {
        for number in 0.. {
            if stop.is_cancelled() {
                break;
            }
            // The log may be away for a moment: he says the next thing.
            let _said = who.send(&room, &number.to_string()).await;
            sleep(Duration::from_millis(fastrand::u64(0..4))).await;
        }
        who
    })
}

/// The last entry of the room is the one that removed him, then he is told, and that is all.
fn check_end(told: &[Event]) {
    let entries = told.iter().filter_map(|event| match event {
        Event::Entry(entry) => Some(entry),
        _ => None,
    });
    let last = entries.into_iter().next_back().expect("he heard something");
    assert!(removes(last, "bob"), "{last:?}");
    let removal = told
        .iter()
        .position(|event| matches!(event, Event::Entry(entry) if removes(entry, "bob")));
    let behind = &told[removal.unwrap() + 1..];
    let is_told = |event: &&Event| matches!(event, Event::RoomRemoved { .. });
    assert_eq!(behind.iter().filter(is_told).count(), 1, "{behind:?}");
}

async fn remove_while_people_talk(faults: EnvelopeFaults, announcing: bool, seed: u64) {
    let cluster = Cluster::start(3, announcing, &Limits::default(), seed);
    let mut alice = Person::on(&cluster, 0, "alice").await;
    let (room, _) = alice
        .create(Some("plans"), RoomKind::Private, &["bob", "carol"])
        .await
        .unwrap();
    let carol = Person::on(&cluster, 2, "carol").await;
    let mut bobs = Vec::new();
    for node in 0..3 {
        let mut bob = Person::on(&cluster, node, "bob").await;
        bob.join(&room.id, None).await.unwrap();
        bobs.push(bob);
    }
    let stop = CancellationToken::new();
    let talk = chatter(carol, room.id.clone(), stop.clone());
    cluster.set(faults, LogFaults::default());
    sleep(Duration::from_millis(100)).await;
    alice.remove(&room.id, &["bob"]).await.unwrap();
    sleep(Duration::from_millis(300)).await;
    cluster.heal();
    sleep(Duration::from_secs(1)).await;
    stop.cancel();
    talk.await.unwrap();
    for bob in &mut bobs {
        check_end(&bob.told_within(Duration::from_secs(60)).await);
        assert_eq!(bob.join(&room.id, None).await, no_room());
        assert_eq!(bob.send(&room.id, "still here?").await, no_room());
    }
}

#[test]
fn on_every_node_while_messages_flow() {
    for seed in 0..6_u64 {
        run(remove_while_people_talk(
            EnvelopeFaults::default(),
            seed.is_multiple_of(2),
            seed,
        ));
    }
}

#[test]
fn also_where_the_entry_comes_late_or_has_to_be_read() {
    let faults = EnvelopeFaults {
        lose: 150,
        reorder: 200,
        duplicate: 100,
        delay: 200,
        overflow: 50,
    };
    for seed in 10..16_u64 {
        run(remove_while_people_talk(
            faults,
            seed.is_multiple_of(2),
            seed,
        ));
    }
}

/// The seqs that a join tells of.
fn told_by(result: &JoinResult) -> Vec<u64> {
    let entries = result.missed().map(|entry| entry.position.seq);
    let messages = result.messages.iter().map(|message| message.id.seq);
    entries.chain(messages).collect()
}

/// Bob joins just before, while and after he is removed; answers whether he got in.
async fn join_around(delay: Duration, with_position: bool, seed: u64) -> bool {
    let mut limits = Limits::default();
    if seed.is_multiple_of(3) {
        // Nobody is left in the room there: it begins to be served while he comes.
        limits.unsubscribe_delay = Duration::from_millis(1);
    }
    let cluster = Cluster::start(2, seed.is_multiple_of(2), &limits, seed);
    let mut alice = Person::on(&cluster, 0, "alice").await;
    let (room, _) = alice
        .create(Some("plans"), RoomKind::Private, &["bob", "carol"])
        .await
        .unwrap();
    let id = room.id;
    let mut bob = Person::on(&cluster, 1, "bob").await;
    let at = bob.join(&id, None).await.unwrap().position;
    drop(bob);
    let mut bob = Person::on(&cluster, 1, "bob").await;
    let stop = CancellationToken::new();
    let talk = chatter(
        Person::on(&cluster, 0, "carol").await,
        id.clone(),
        stop.clone(),
    );
    alice.join(&id, None).await.unwrap();
    // Much happens while he is on his way in.
    cluster.nodes[1].log.set(LogFaults {
        slow: Duration::from_millis(20),
        ..LogFaults::default()
    });
    sleep(Duration::from_millis(50)).await;
    let position = with_position.then_some(at);
    let comes = tokio::spawn({
        let id = id.clone();
        async move {
            sleep(delay).await;
            let joined = bob.join(&id, position).await;
            (bob, joined)
        }
    });
    sleep(Duration::from_millis(30)).await;
    alice.remove(&id, &["bob"]).await.unwrap();
    let removal: Arc<Entry> = loop {
        let entry = alice.entry().await;
        if removes(&entry, "bob") {
            break entry;
        }
    };
    let (mut bob, joined) = comes.await.unwrap();
    let told = bob.told_within(Duration::from_millis(400)).await;
    stop.cancel();
    talk.await.unwrap();
    let mut seqs = joined.as_ref().map(told_by).unwrap_or_default();
    seqs.extend(told.iter().filter_map(|event| match event {
        Event::Entry(entry) => Some(entry.position.seq),
        _ => None,
    }));
    let newest = seqs.into_iter().max().unwrap_or(0);
    assert!(
        newest <= removal.position.seq,
        "seed {seed} {delay:?}: {newest} behind {removal:?}"
    );
    let is_in = joined.is_ok();
    if is_in {
        check_end(&told);
    } else {
        assert_eq!(joined, no_room(), "seed {seed} {delay:?}");
    }
    is_in
}

#[test]
fn whoever_comes_while_he_is_removed_learns_nothing_of_what_is_behind() {
    for with_position in [false, true] {
        let mut outcomes = Vec::new();
        for step in 0..24 {
            let delay = Duration::from_millis(2 * step);
            outcomes.push(run(join_around(delay, with_position, step)));
        }
        assert!(
            outcomes.contains(&true) && outcomes.contains(&false),
            "{outcomes:?}"
        );
    }
}

#[test]
fn a_position_opens_no_door_to_somebody_who_was_removed() {
    run(async {
        let cluster = super::cluster();
        let mut alice = Person::on(&cluster, 0, "alice").await;
        let (room, _) = alice
            .create(Some("plans"), RoomKind::Private, &["bob"])
            .await
            .unwrap();
        let mut bob = Person::on(&cluster, 1, "bob").await;
        let at = bob.join(&room.id, None).await.unwrap().position;
        drop(bob);
        alice.remove(&room.id, &["bob"]).await.unwrap();
        alice.send(&room.id, "he is gone").await.unwrap();
        let mut bob = Person::on(&cluster, 1, "bob").await;
        assert_eq!(bob.join(&room.id, Some(at)).await, no_room());
        alice.add(&room.id, &["bob"], None).await.unwrap();
        assert_eq!(bob.added_to().await.id, room.id);
        let back = bob.join(&room.id, Some(at)).await.unwrap();
        assert_eq!(back.missed().count(), 3, "members see the whole history");
    });
}
