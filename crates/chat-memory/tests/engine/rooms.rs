//! Rooms, members and roles, over nodes that share a directory.

mod failures;
mod removal;

use std::time::Duration;

use chat_core::{Command, EntryBody, Event, Limits, Role, RoomKind, ServiceError};
use chat_testkit::make;

use crate::cluster::{Cluster, run};
use crate::person::{Person, users};

pub(crate) fn cluster() -> Cluster {
    Cluster::start(2, true, &Limits::default(), 1)
}

fn no_room<T>() -> Result<T, ServiceError> {
    Err(ServiceError::NotFound("room"))
}

#[test]
fn a_private_room_does_not_exist_for_others() {
    run(async {
        let cluster = cluster();
        let mut alice = Person::on(&cluster, 0, "alice").await;
        let mut eve = Person::on(&cluster, 1, "eve").await;
        let (room, role) = alice
            .create(Some("plans"), RoomKind::Private, &["bob"])
            .await
            .unwrap();
        assert_eq!((room.member_count, role), (2, Some(Role::Owner)));
        let said = alice.send(&room.id, "secret").await.unwrap();
        for id in [room.id.clone(), make::room("dm.nobody")] {
            assert_eq!(eve.join(&id, None).await, no_room());
            assert_eq!(eve.send(&id, "hi").await, no_room());
            assert_eq!(eve.rename(&id, "x").await, no_room());
            assert_eq!(eve.add(&id, &["eve"], None).await, no_room());
            assert_eq!(eve.remove(&id, &["alice"]).await, no_room());
            assert_eq!(eve.remove(&id, &["eve"]).await, no_room());
            let room = id.clone();
            let history = Command::History {
                room,
                from: None,
                limit: None,
            };
            assert_eq!(
                eve.ask(history).await.unwrap_err(),
                ServiceError::NotFound("room")
            );
            let delete = Command::Delete {
                room: id.clone(),
                message: said.message,
                key: None,
            };
            assert_eq!(
                eve.ask(delete).await.unwrap_err(),
                ServiceError::NotFound("room")
            );
        }
        let taken = eve.create(Some("plans"), RoomKind::Open, &[]).await;
        assert_eq!(taken, Err(ServiceError::Taken("room")));
    });
}

#[test]
fn two_users_have_one_direct_room() {
    run(async {
        let cluster = cluster();
        let mut alice = Person::on(&cluster, 0, "alice").await;
        let mut bob = Person::on(&cluster, 1, "bob").await;
        let (ours, role) = alice
            .create(None, RoomKind::Direct, &["bob"])
            .await
            .unwrap();
        assert_eq!(
            (ours.kind, ours.member_count, role),
            (RoomKind::Direct, 2, Some(Role::Member))
        );
        assert_eq!(bob.added_to().await, ours);
        assert_eq!(alice.added_to().await, ours);
        let again = bob
            .create(None, RoomKind::Direct, &["alice"])
            .await
            .unwrap();
        assert_eq!(again, (ours.clone(), Some(Role::Member)));
        bob.join(&ours.id, None).await.unwrap();
        alice.send(&ours.id, "hello you").await.unwrap();
        bob.entry().await;
        let nobody_leads = |result: Result<_, ServiceError>| {
            assert!(
                matches!(result, Err(ServiceError::Forbidden(_))),
                "{result:?}"
            );
        };
        nobody_leads(alice.add(&ours.id, &["eve"], None).await);
        nobody_leads(alice.remove(&ours.id, &["bob"]).await);
        nobody_leads(bob.remove(&ours.id, &["bob"]).await);
        nobody_leads(alice.rename(&ours.id, "us").await);
        let (notes, _) = alice
            .create(None, RoomKind::Direct, &["alice"])
            .await
            .unwrap();
        assert_eq!(notes.member_count, 1);
        let unheard_of = make::room("dm.aaaa");
        assert_eq!(alice.join(&unheard_of, None).await, no_room());
    });
}

#[test]
fn a_creation_that_is_tried_again_answers_the_room_as_it_stands() {
    run(async {
        let cluster = cluster();
        let mut alice = Person::on(&cluster, 0, "alice").await;
        let create = |key: &str| Command::CreateRoom {
            room: None,
            kind: RoomKind::Private,
            name: Some("Plans".into()),
            members: users(&["bob"]),
            key: chat_core::MessageKey::new(key).ok(),
        };
        let of = |answer: chat_core::Answer| match answer {
            chat_core::Answer::Room(access) => *access,
            other => panic!("{other:?}"),
        };
        let first = of(alice.ask(create("k")).await.unwrap());
        alice.rename(&first.room.id, "Deeds").await.unwrap();
        let again = of(alice.ask(create("k")).await.unwrap());
        assert_eq!(again.room.id, first.room.id);
        assert_eq!(
            (again.room.name.as_deref(), again.role),
            (Some("Deeds"), Some(Role::Owner))
        );
        let other = of(alice.ask(create("l")).await.unwrap());
        assert_ne!(other.room.id, first.room.id);
        let mut bob = Person::on(&cluster, 1, "bob").await;
        bob.join(&first.room.id, None).await.unwrap();
        alice.remove(&first.room.id, &["alice"]).await.unwrap();
        assert_eq!(
            alice.ask(create("k")).await.unwrap_err(),
            ServiceError::NotFound("room")
        );
    });
}

#[test]
fn members_added_and_promoted_on_one_node_may_act_on_another() {
    run(async {
        let cluster = cluster();
        let mut alice = Person::on(&cluster, 0, "alice").await;
        let mut bob = Person::on(&cluster, 1, "bob").await;
        let (room, _) = alice
            .create(Some("plans"), RoomKind::Private, &[])
            .await
            .unwrap();
        alice.add(&room.id, &["bob"], None).await.unwrap();
        assert_eq!(bob.added_to().await.id, room.id);
        bob.join(&room.id, None).await.unwrap();
        let forbidden = bob.rename(&room.id, "mine").await;
        assert!(
            matches!(forbidden, Err(ServiceError::Forbidden(_))),
            "{forbidden:?}"
        );
        alice
            .add(&room.id, &["bob"], Some(Role::Admin))
            .await
            .unwrap();
        let promoted = bob.entry().await;
        assert!(
            matches!(&promoted.body, EntryBody::RoomUpdated(change) if change.roles.len() == 1)
        );
        let (renamed, role) = bob.rename(&room.id, "ours").await.unwrap();
        assert_eq!(
            (renamed.name.as_deref(), role),
            (Some("ours"), Some(Role::Admin))
        );
        let demoted = bob.remove(&room.id, &["alice"]).await;
        assert!(
            matches!(demoted, Err(ServiceError::Forbidden(_))),
            "above him: {demoted:?}"
        );
        let unchanged = alice.add(&room.id, &["bob"], None).await.unwrap();
        assert_eq!(unchanged.0.version, renamed.version, "he stays an admin");
        let said = alice.send(&room.id, "hi").await.unwrap();
        let delete = Command::Delete {
            room: room.id.clone(),
            message: said.message,
            key: None,
        };
        assert!(bob.ask(delete).await.is_ok(), "an admin moderates");
    });
}

#[test]
fn coming_to_an_open_room_makes_a_member_and_tells_his_other_devices() {
    run(async {
        let cluster = cluster();
        let mut phone = Person::on(&cluster, 0, "bob").await;
        let mut laptop = Person::on(&cluster, 1, "bob").await;
        let joined = phone.join(&make::room("general"), None).await.unwrap();
        assert_eq!(laptop.added_to().await.id, joined.room.id);
        let told = phone.told_within(Duration::from_secs(1)).await;
        let added = told
            .iter()
            .any(|event| matches!(event, Event::RoomAdded(_)));
        assert!(!added, "whoever joined knows it: {told:?}");
        let again = laptop.join(&joined.room.id, None).await.unwrap();
        assert_eq!(again.room.member_count, 1);
        assert_eq!(again.position.seq, 0, "nothing of it is logged");
        let forbidden = phone.rename(&joined.room.id, "mine").await;
        assert!(
            matches!(forbidden, Err(ServiceError::Forbidden(_))),
            "{forbidden:?}"
        );
    });
}

#[test]
fn members_are_mentioned_and_nobody_else() {
    run(async {
        let cluster = cluster();
        let mut alice = Person::on(&cluster, 0, "alice").await;
        let (room, _) = alice
            .create(Some("plans"), RoomKind::Private, &["bob"])
            .await
            .unwrap();
        alice.join(&room.id, None).await.unwrap();
        let sent = alice
            .send(&room.id, "@bob, ask @eve and mail bob@x.org")
            .await
            .unwrap();
        let said = alice.entry().await;
        assert!(
            matches!(&said.body, EntryBody::MessageAdded { mentions, .. } if *mentions == users(&["bob"])),
            "{said:?}"
        );
        let edit = Command::Edit {
            room: room.id.clone(),
            message: sent.message,
            text: chat_core::Text::new("(@alice)").unwrap(),
            key: None,
        };
        alice.ask(edit).await.unwrap();
        let edited = alice.entry().await;
        assert!(
            matches!(&edited.body, EntryBody::MessageUpdated { mentions, .. } if *mentions == users(&["alice"])),
            "{edited:?}"
        );
    });
}

#[test]
fn whoever_was_away_gets_the_changes_that_he_missed() {
    run(async {
        let cluster = cluster();
        let mut alice = Person::on(&cluster, 0, "alice").await;
        let (room, _) = alice
            .create(Some("plans"), RoomKind::Private, &["bob", "carol"])
            .await
            .unwrap();
        let mut carol = Person::on(&cluster, 0, "carol").await;
        carol.join(&room.id, None).await.unwrap();
        let mut bob = Person::on(&cluster, 1, "bob").await;
        let at = bob.join(&room.id, None).await.unwrap().position;
        drop(bob);
        alice.rename(&room.id, "Plans").await.unwrap();
        alice.remove(&room.id, &["bob"]).await.unwrap();
        alice.send(&room.id, "he does not know yet").await.unwrap();
        alice
            .add(&room.id, &["bob", "dave"], Some(Role::Admin))
            .await
            .unwrap();
        alice.send(&room.id, "now he does").await.unwrap();
        let mut live = Vec::new();
        while live.len() < 5 {
            live.push(carol.entry().await);
        }
        let mut bob = Person::on(&cluster, 1, "bob").await;
        let back = bob.join(&room.id, Some(at)).await.unwrap();
        assert!(back.recovered);
        assert!(back.missed().eq(&live), "{back:?}");
        assert_eq!(back.room.name.as_deref(), Some("Plans"));
        assert!(bob.rename(&room.id, "again").await.is_ok(), "an admin now");
    });
}
