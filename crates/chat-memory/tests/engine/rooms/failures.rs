//! Changes of members that are lost on the way.

use std::time::Duration;

use chat_core::{
    Answer, Authority, Command, Directory, EntryBody, Event, Limits, RoomEdit, RoomKind,
};
use chat_testkit::faults::{EnvelopeFaults, LogFaults};
use chat_testkit::make;

use super::{cluster, no_room};
use crate::cluster::{Cluster, run};
use crate::person::{Person, users};

const DEAF: EnvelopeFaults = EnvelopeFaults {
    lose: 1_000,
    overflow: 0,
    duplicate: 0,
    reorder: 0,
    delay: 0,
};

#[test]
fn a_membership_that_nobody_heard_of_is_found_by_its_version() {
    run(async {
        let cluster = cluster();
        let mut alice = Person::on(&cluster, 0, "alice").await;
        let mut bob = Person::on(&cluster, 1, "bob").await;
        let (room, _) = alice
            .create(Some("plans"), RoomKind::Private, &[])
            .await
            .unwrap();
        cluster.set(DEAF, LogFaults::default());
        alice.add(&room.id, &["bob"], None).await.unwrap();
        assert_eq!(bob.added_to().await.id, room.id);
        alice.remove(&room.id, &["bob"]).await.unwrap();
        assert_eq!(bob.removed_from().await, room.id);
    });
}

#[test]
fn a_removal_that_nobody_logged_ends_delivery_all_the_same() {
    run(async {
        let cluster = cluster();
        let mut alice = Person::on(&cluster, 0, "alice").await;
        let (room, _) = alice
            .create(Some("plans"), RoomKind::Private, &["bob"])
            .await
            .unwrap();
        let mut bob = Person::on(&cluster, 1, "bob").await;
        bob.join(&room.id, None).await.unwrap();
        // As by a node that dies as soon as the directory has answered.
        let authority = Authority {
            actor: make::user("alice"),
            role: None,
            above: true,
        };
        let edit = RoomEdit {
            remove: users(&["bob"]),
            ..RoomEdit::default()
        };
        cluster
            .directory
            .edit(&room.id, &authority, edit)
            .await
            .unwrap();
        assert_eq!(bob.removed_from().await, room.id);
        alice.send(&room.id, "he is gone").await.unwrap();
        let told = bob.told_within(Duration::from_secs(60)).await;
        let heard = told.iter().any(|event| matches!(event, Event::Entry(_)));
        assert!(!heard, "{told:?}");
        assert_eq!(bob.send(&room.id, "am I?").await, no_room());
    });
}

fn is_entry(event: &Event) -> bool {
    matches!(event, Event::Entry(_))
}

async fn rename_while_the_log_is(away: LogFaults, announcing: bool) {
    let cluster = Cluster::start(2, announcing, &Limits::default(), 3);
    let mut alice = Person::on(&cluster, 0, "alice").await;
    let created = alice
        .create(Some("plans"), RoomKind::Private, &["bob"])
        .await;
    let room = created.unwrap().0.id;
    let mut bob = Person::on(&cluster, 1, "bob").await;
    bob.join(&room, None).await.unwrap();
    cluster.nodes[0].log.set(away);
    let (renamed, _) = alice.rename(&room, "Plans").await.unwrap();
    assert_eq!(renamed.name.as_deref(), Some("Plans"));
    let mut told = bob.told_within(Duration::from_secs(20)).await;
    cluster.heal();
    told.extend(bob.told_within(Duration::from_secs(60)).await);
    let entries: Vec<_> = told.into_iter().filter(is_entry).collect();
    let [Event::Entry(entry)] = &entries[..] else {
        panic!("once: {entries:?}");
    };
    assert!(
        matches!(&entry.body, EntryBody::RoomUpdated(change) if change.name == renamed.name),
        "{entry:?}"
    );
}

#[test]
fn a_change_is_answered_and_logged_once_though_the_log_is_away() {
    let away = LogFaults {
        append_fails: 1_000,
        ..LogFaults::default()
    };
    let silent = LogFaults {
        outcome_lost: 1_000,
        ..LogFaults::default()
    };
    for faults in [away, silent] {
        for announcing in [true, false] {
            run(rename_while_the_log_is(faults, announcing));
        }
    }
}

#[test]
fn whoever_comes_while_the_link_is_cut_does_not_wait_for_the_list_of_his_rooms() {
    run(async {
        let cluster = cluster();
        let mut alice = Person::on(&cluster, 0, "alice").await;
        let created = alice
            .create(Some("plans"), RoomKind::Private, &["bob"])
            .await;
        let room = created.unwrap().0.id;
        cluster.nodes[1].link.cut();
        let mut bob = Person::on(&cluster, 1, "bob").await;
        let asked = tokio::time::Instant::now();
        let (cursor, limit) = (None, None);
        let answer = bob.ask(Command::Rooms { cursor, limit }).await.unwrap();
        assert!(asked.elapsed() < Duration::from_millis(100));
        assert!(matches!(&answer, Answer::Rooms(list) if list.rooms[0].room.id == room));
    });
}
