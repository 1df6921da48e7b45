//! Clauses of [`chat_core::Directory`] about rooms that are created and changed.

use std::collections::BTreeSet;

use chat_core::{DirectoryError, NewRoom, Role, Room, RoomChange, RoomEdit, RoomId, RoomKind};

use super::{DirectoryHarness, Handle, adds, member, private, removes};
use crate::make::{room, user};

/// Clause 6.
pub async fn creates_a_room_once(harness: &dyn DirectoryHarness) {
    let directory = Handle::of(harness).await;
    let people = vec![member("olga", Role::Owner), member("mary", Role::Member)];
    let new = NewRoom {
        topic: Some("Things".to_owned()),
        slow_mode_s: 5,
        ..private("team", people)
    };
    let created = directory.create(new.clone()).await;
    assert_eq!(created.id, room("team"));
    assert_eq!(created.kind, RoomKind::Private);
    assert_eq!(created.name.as_deref(), Some("A name"));
    assert_eq!(created.topic.as_deref(), Some("Things"));
    assert_eq!((created.slow_mode_s, created.member_count), (5, 2));
    assert_eq!(directory.room(&created.id).await, created);
    let roles = directory
        .0
        .roles(&created.id, &["mary", "nobody", "olga"].map(user))
        .await;
    assert_eq!(roles, Ok(vec![Some(Role::Member), None, Some(Role::Owner)]));

    // A retry answers the room as it stands, which somebody may have changed meanwhile.
    let edited = directory.edit(&created.id, removes(&["mary"])).await;
    let other = Handle::of(harness).await;
    let retried = other.0.create(new.clone()).await.unwrap();
    assert!(retried.existed);
    assert_eq!(retried.room, edited.room);
    assert_eq!(other.role(&created.id, &user("mary")).await, None);
    let different = NewRoom {
        fingerprint: [8; 16],
        ..new.clone()
    };
    let taken = other.0.create(different).await;
    assert_eq!(taken, Err(DirectoryError::Taken));
    // So is one that came into being because somebody entered it.
    let (open, alice) = (room("open"), user("alice"));
    other.0.enter(&open, &alice).await.unwrap();
    let taken = other.0.create(NewRoom { id: open, ..new }).await;
    assert_eq!(taken, Err(DirectoryError::Taken));
    concurrent_creations_agree(harness).await;
}

async fn concurrent_creations_agree(harness: &dyn DirectoryHarness) {
    for round in 0..10 {
        let new = private(&format!("r{round}"), vec![member("olga", Role::Owner)]);
        let mut attempts = Vec::new();
        for _ in 0..4 {
            let (directory, new) = (harness.handle().await, new.clone());
            attempts.push(tokio::spawn(
                async move { directory.create(new).await.unwrap() },
            ));
        }
        let mut created = Vec::new();
        for attempt in attempts {
            created.push(attempt.await.unwrap());
        }
        let new = created.iter().filter(|created| !created.existed).count();
        assert_eq!(new, 1, "one attempt created it");
        assert!(created.iter().all(|it| it.room == created[0].room));
    }
}

/// Clause 7.
pub async fn a_private_room_takes_nobody_in(harness: &dyn DirectoryHarness) {
    let directory = Handle::of(harness).await;
    let mallory = user("mallory");
    for (name, kind) in [("team", RoomKind::Private), ("pair", RoomKind::Direct)] {
        let new = NewRoom {
            kind,
            ..private(name, vec![member("olga", Role::Owner)])
        };
        let created = directory.create(new).await;
        let entered = directory.0.enter(&created.id, &mallory).await.unwrap();
        assert_eq!((&entered.room, entered.role), (&created, None));
        assert!(!entered.is_visible());
        assert_eq!(directory.room(&created.id).await, created);
        let member = directory.0.enter(&created.id, &user("olga")).await.unwrap();
        assert_eq!((member.room, member.role), (created, Some(Role::Owner)));
    }
    assert_eq!(directory.memberships(&mallory).await.rooms, []);
}

/// Clause 8.
pub async fn edits_only_what_is_present(harness: &dyn DirectoryHarness) {
    let directory = Handle::of(harness).await;
    let people = vec![member("olga", Role::Owner), member("mary", Role::Member)];
    let before = directory.create(private("team", people)).await;
    let team = before.id.clone();

    let topic = RoomEdit {
        name: before.name.clone(),
        topic: Some("Things".to_owned()),
        ..RoomEdit::default()
    };
    let edited = directory.edit(&team, topic.clone()).await;
    let expected = Room {
        topic: Some("Things".to_owned()),
        version: edited.room.version,
        ..before.clone()
    };
    assert_eq!(edited.room, expected);
    assert!(edited.room.version > before.version);
    let change = RoomChange {
        version: edited.room.version,
        topic: Some("Things".to_owned()),
        ..RoomChange::default()
    };
    assert_eq!(edited.change, change, "only what is different");
    assert_eq!(directory.room(&team).await, edited.room);
    nothing_different(&directory, &team, topic).await;
    edits_members(&directory, &team).await;
    invites_members(&directory, &team).await;

    let slow = RoomEdit {
        slow_mode_s: Some(9),
        ..RoomEdit::default()
    };
    let edited = directory.edit(&team, slow).await;
    assert_eq!(edited.change.slow_mode_s, Some(9));
    assert_eq!((edited.room.slow_mode_s, edited.room.member_count), (9, 4));
}

async fn edits_members(directory: &Handle, team: &RoomId) {
    let people = RoomEdit {
        add: vec![
            member("anna", Role::Admin),
            member("mike", Role::Member),
            member("olga", Role::Owner),
            member("paul", Role::Member),
        ],
        ..removes(&["mary", "nobody"])
    };
    let mut edited = directory.edit(team, people.clone()).await;
    edited.change.members_added.sort();
    assert_eq!(
        edited.change.members_added,
        ["anna", "mike", "paul"].map(user)
    );
    assert_eq!(edited.change.members_removed, [user("mary")]);
    // That somebody new is a plain member needs no word.
    assert_eq!(edited.change.roles, [member("anna", Role::Admin)]);
    assert_eq!(edited.room.member_count, 4);
    nothing_different(directory, team, people).await;
    let demoted = adds(vec![member("anna", Role::Member)]);
    let edited = directory.edit(team, demoted.clone()).await;
    let change = RoomChange {
        version: edited.room.version,
        roles: vec![member("anna", Role::Member)],
        ..RoomChange::default()
    };
    assert_eq!(edited.change, change);
    nothing_different(directory, team, demoted).await;
}

async fn invites_members(directory: &Handle, team: &RoomId) {
    let invited = |names: &[&str]| RoomEdit {
        invite: names.iter().map(|name| user(name)).collect(),
        ..RoomEdit::default()
    };
    let edited = directory.edit(team, invited(&["olga", "zoe"])).await;
    let change = RoomChange {
        version: edited.room.version,
        members_added: vec![user("zoe")],
        ..RoomChange::default()
    };
    assert_eq!(edited.change, change, "the owner stays what she is");
    assert_eq!(directory.role(team, &user("olga")).await, Some(Role::Owner));
    assert_eq!(directory.role(team, &user("zoe")).await, Some(Role::Member));
    nothing_different(directory, team, invited(&["zoe", "olga"])).await;
    let both = RoomEdit {
        add: vec![member("zoe", Role::Admin)],
        ..invited(&["yves"])
    };
    let edited = directory.edit(team, both).await;
    assert_eq!(edited.change.members_added, [user("yves")]);
    assert_eq!(edited.change.roles, [member("zoe", Role::Admin)]);
    directory.edit(team, removes(&["yves", "zoe"])).await;
}

async fn nothing_different(directory: &Handle, team: &RoomId, edit: RoomEdit) {
    let before = directory.room(team).await;
    let edited = directory.edit(team, edit).await;
    assert!(edited.change.is_empty(), "{:?}", edited.change);
    assert_eq!(edited.room, before, "the version too");
}

/// Clause 10.
pub async fn every_change_counts_the_version_up(harness: &dyn DirectoryHarness) {
    let directory = Handle::of(harness).await;
    let (open, alice, bob) = (room("open"), user("alice"), user("bob"));
    assert_eq!(directory.version_of(&alice).await, 0);
    let first = directory.0.enter(&open, &alice).await.unwrap().room;
    let alone = directory.version_of(&alice).await;
    assert!(alone > 0);
    let second = directory.0.enter(&open, &bob).await.unwrap().room;
    assert!(second.version > first.version);
    assert_eq!(
        directory.version_of(&alice).await,
        alone,
        "not his own doing"
    );

    let people = vec![member("alice", Role::Owner), member("carol", Role::Member)];
    let mut last = directory.create(private("team", people)).await;
    assert!(directory.version_of(&alice).await > alone);
    assert!(directory.version_of(&user("carol")).await > 0);
    let renamed = RoomEdit {
        name: Some("Another".to_owned()),
        ..RoomEdit::default()
    };
    let promoted = adds(vec![member("carol", Role::Admin)]);
    for (edit, concerned) in [
        (renamed, None),
        (adds(vec![member("bob", Role::Member)]), Some("bob")),
        (promoted, None),
        (removes(&["carol"]), Some("carol")),
    ] {
        let users = ["alice", "bob", "carol"].map(user);
        let before = directory.0.membership_versions(&users).await.unwrap();
        let edited = directory.edit(&last.id, edit.clone()).await;
        assert!(edited.room.version > last.version, "{edit:?}");
        last = edited.room;
        let after = directory.0.membership_versions(&users).await.unwrap();
        for ((user, before), after) in users.iter().zip(before).zip(after) {
            if Some(user.as_str()) == concerned {
                assert!(after > before, "{user} by {edit:?}");
            } else if concerned.is_some() {
                assert_eq!(after, before, "{user} by {edit:?}");
            }
            assert_eq!(directory.memberships(user).await.version, after);
        }
    }
    concurrent_changes_have_versions_of_their_own(harness, &last.id).await;
}

async fn concurrent_changes_have_versions_of_their_own(
    harness: &dyn DirectoryHarness,
    team: &RoomId,
) {
    let before = Handle::of(harness).await.room(team).await;
    let mut edits = Vec::new();
    for number in 0..8 {
        let (directory, team) = (Handle::of(harness).await, team.clone());
        edits.push(tokio::spawn(async move {
            let somebody = member(&format!("new-{number}"), Role::Member);
            directory.edit(&team, adds(vec![somebody])).await.room
        }));
    }
    let mut versions = BTreeSet::new();
    for edit in edits {
        let room = edit.await.unwrap();
        assert!(room.version > before.version);
        versions.insert(room.version);
    }
    assert_eq!(versions.len(), 8);
    let after = Handle::of(harness).await.room(team).await;
    assert_eq!(after.member_count, before.member_count + 8);
}
