//! Clauses of [`chat_core::DirectoryTransfer`].

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chat_core::{
    Authority, DirectoryError, Epoch, Marker, Member, MemberRecord, NewRoom, PersonRecord, Role,
    Room, RoomEdit, RoomId, RoomKind, RoomRecord, UserId,
};

use super::{Handles, TransferHarness, all};
use crate::make::{room, user};

fn member(name: &str, role: Role) -> Member {
    Member {
        user: user(name),
        role,
    }
}

fn marker(seq: u64) -> Marker {
    Marker {
        epoch: Epoch(77),
        seq,
    }
}

/// A private room of these people.
fn team(members: Vec<Member>) -> NewRoom {
    NewRoom {
        id: room("team"),
        kind: RoomKind::Private,
        name: Some(String::new()),
        topic: Some("=\u{0}".to_owned()),
        slow_mode_s: 9,
        members,
        fingerprint: [0x0a; 16],
    }
}

async fn edit(store: &Handles, room: &RoomId, add: Vec<Member>, remove: &[&str]) {
    let vouched = Authority {
        actor: user("the-operator"),
        role: None,
        above: true,
    };
    let edit = RoomEdit {
        add,
        remove: remove.iter().map(|name| user(name)).collect(),
        ..RoomEdit::default()
    };
    let edited = store.directory.edit(room, &vouched, edit).await;
    edited.expect("it may");
}

async fn members(store: &Handles, room: &RoomId, max: usize) -> Vec<MemberRecord> {
    all(|cursor| store.rooms.member_records(room, cursor, max)).await
}

async fn facts(store: &Handles, room: &RoomId) -> Option<Room> {
    let access = store.directory.access(room, &user("somebody")).await;
    access.unwrap().map(|access| access.room)
}

/// Clause 6.
pub async fn lists_members_as_they_came(harness: &dyn TransferHarness) {
    let store = harness.handles().await;
    let team_room = room("team");
    assert_eq!(members(&store, &team_room, 3).await, []);
    let first = vec![member("olga", Role::Owner)];
    store.directory.create(team(first)).await.unwrap();
    let names = ["zoe", "bob", "mary", "anna", "carl", "dora"];
    for name in names {
        harness.pass(Duration::from_millis(5)).await;
        edit(&store, &team_room, vec![member(name, Role::Member)], &[]).await;
    }
    // Whoever is promoted keeps his place.
    edit(&store, &team_room, vec![member("zoe", Role::Admin)], &[]).await;
    for max in [2, 100] {
        let found = members(&store, &team_room, max).await;
        let came = found.iter().map(|it| it.member.user.as_str());
        assert_eq!(
            came.collect::<Vec<_>>(),
            ["olga", "zoe", "bob", "mary", "anna", "carl", "dora"]
        );
        assert!(found.windows(2).all(|it| it[0].since_ms < it[1].since_ms));
        assert_eq!(found[1].member.role, Role::Admin);
    }
    let created = facts(&store, &team_room).await.unwrap().created_at_ms;
    let found = members(&store, &team_room, 100).await;
    assert!(found[0].since_ms >= created);
    stays_are_listed_once(&store, &team_room).await;
    for bad in ["no cursor", ""] {
        let bad = Some(bad.to_owned());
        let page = store.rooms.member_records(&team_room, bad, 3).await;
        assert_eq!(page, Err(DirectoryError::BadCursor));
    }
}

async fn stays_are_listed_once(store: &Handles, team_room: &RoomId) {
    let (mut seen, mut cursor) = (Vec::new(), None);
    for round in 0..20 {
        let page = store.rooms.member_records(team_room, cursor, 2).await;
        let page = page.unwrap();
        seen.extend(page.items.into_iter().map(|it| it.member.user));
        edit(
            store,
            team_room,
            vec![member("zoe", Role::Owner)],
            &["olga"],
        )
        .await;
        let comes = format!("new-{round}");
        if round < 3 {
            edit(store, team_room, vec![member(&comes, Role::Member)], &[]).await;
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    for stays in ["zoe", "bob", "mary", "anna", "carl", "dora"] {
        let times = seen.iter().filter(|it| it.as_str() == stays).count();
        assert_eq!(times, 1, "{stays}");
    }
}

/// Clause 7.
pub async fn lists_all_markers(harness: &dyn TransferHarness) {
    let store = harness.handles().await;
    let general = room("general");
    let listed = || all(|cursor| store.rooms.marker_records(&general, cursor, 2));
    assert_eq!(listed().await, []);
    let mut expected = BTreeMap::new();
    for number in 0..7 {
        let name = user(&format!("user-{number}"));
        store.directory.enter(&general, &name).await.unwrap();
        let set = store.directory.mark(&general, &name, marker(number), 1);
        assert_eq!(set.await, Ok(marker(number)));
        expected.insert(name, marker(number));
    }
    edit(&store, &general, Vec::new(), &["user-3"]).await;
    let found: BTreeMap<UserId, Marker> = listed().await.into_iter().collect();
    assert_eq!(found, expected);
}

/// Clause 8.
pub async fn lists_everybody_once_known(harness: &dyn TransferHarness) {
    let store = harness.handles().await;
    let general = room("general");
    for name in ["anna", "bob", "carl"] {
        store.directory.enter(&general, &user(name)).await.unwrap();
    }
    edit(&store, &general, Vec::new(), &["bob"]).await;
    let seen = [(user("bob"), 50), (user("visitor"), 60)];
    store.directory.seen(&seen).await.unwrap();
    let found = all(|cursor| store.rooms.people(cursor, 2)).await;
    let names: BTreeSet<&str> = found.iter().map(|it| it.user.as_str()).collect();
    assert_eq!(names, BTreeSet::from(["anna", "bob", "carl", "visitor"]));
    for person in found {
        let users = std::slice::from_ref(&person.user);
        let versions = store.directory.membership_versions(users).await.unwrap();
        let seen = store.directory.last_seen(users).await.unwrap();
        assert_eq!((person.version, person.seen_at_ms), (versions[0], seen[0]));
    }
}

fn record() -> RoomRecord {
    let came = [
        ("olga", Role::Owner, 1_000),
        ("zoe", Role::Member, 2_000),
        ("anna", Role::Admin, 3_000),
    ];
    let members = came.map(|(name, role, since_ms)| MemberRecord {
        member: member(name, role),
        since_ms,
    });
    let NewRoom {
        id,
        kind,
        name,
        topic,
        slow_mode_s,
        fingerprint,
        ..
    } = team(Vec::new());
    RoomRecord {
        room: Room {
            id,
            kind,
            name,
            topic,
            slow_mode_s,
            created_at_ms: 1_000,
            version: 12,
            member_count: 3,
        },
        fingerprint: Some(fingerprint),
        members: members.to_vec(),
    }
}

/// Clause 9.
pub async fn restores_a_room_as_it_was(harness: &dyn TransferHarness) {
    let store = harness.handles().await;
    let record = record();
    store.rooms.restore_room(record.clone()).await.unwrap();
    let other = harness.handles().await;
    let id = record.room.id.clone();
    assert_eq!(facts(&other, &id).await.as_ref(), Some(&record.room));
    assert_eq!(members(&other, &id, 100).await, record.members);
    let ids = [id.clone(), room("unknown")];
    let fingerprints = other.rooms.fingerprints(&ids).await;
    assert_eq!(fingerprints, Ok(vec![record.fingerprint, None]));
    let rooms = other.directory.rooms(None, 10).await.unwrap().rooms;
    assert_eq!(rooms, std::slice::from_ref(&record.room));
    let memberships = other.directory.memberships(&user("anna"), 10).await;
    let memberships = memberships.unwrap();
    assert_eq!(memberships.rooms.len(), 1);
    assert_eq!(memberships.rooms[0].role, Role::Admin);
    assert!(memberships.version > 0);

    // Who created it finds it again; nobody else gets its id.
    let again = other.directory.create(team(Vec::new())).await.unwrap();
    assert!(again.existed);
    let mut changed = record.clone();
    changed.room.version = 99;
    changed.members.truncate(1);
    let taken = store.rooms.restore_room(changed).await;
    assert_eq!(taken, Err(DirectoryError::Taken));
    assert_eq!(facts(&other, &id).await.as_ref(), Some(&record.room));
    assert_eq!(members(&other, &id, 100).await, record.members);
    edit(&store, &id, vec![member("new", Role::Member)], &["zoe"]).await;
    let now = facts(&other, &id).await.unwrap();
    assert_eq!((now.version, now.member_count), (13, 3));
    restores_what_nobody_created(&store).await;
}

async fn restores_what_nobody_created(store: &Handles) {
    let general = room("general");
    let opened = RoomRecord {
        room: Room {
            id: general.clone(),
            kind: RoomKind::Open,
            name: None,
            topic: None,
            slow_mode_s: 0,
            created_at_ms: 5,
            version: 4,
            member_count: 0,
        },
        fingerprint: None,
        members: Vec::new(),
    };
    store.rooms.restore_room(opened.clone()).await.unwrap();
    assert_eq!(facts(store, &general).await, Some(opened.room));
    let ids = std::slice::from_ref(&general);
    assert_eq!(store.rooms.fingerprints(ids).await, Ok(vec![None]));
    let entered = store.directory.enter(&general, &user("anna")).await;
    assert_eq!(entered.unwrap().room.version, 5);
}

/// Clause 10.
pub async fn restores_markers_and_people(harness: &dyn TransferHarness) {
    let store = harness.handles().await;
    let id = record().room.id;
    let markers = [(user("anna"), marker(9)), (user("gone"), marker(3))];
    store.rooms.restore_markers(&id, &markers).await.unwrap();
    // What an import that was cut off has left is replaced.
    let markers = [(user("anna"), marker(4)), (user("gone"), marker(3))];
    store.rooms.restore_markers(&id, &markers).await.unwrap();
    store.rooms.restore_room(record()).await.unwrap();
    let found = store.directory.markers(&id, 10).await;
    assert_eq!(found, Ok(vec![(user("anna"), marker(4))]));
    let gone = store.directory.marker(&id, &user("gone")).await;
    assert_eq!(gone, Ok(Some(marker(3))));

    let person = |name: &str, version, seen_at_ms| PersonRecord {
        user: user(name),
        version,
        seen_at_ms,
    };
    let people = [
        person("anna", 40, Some(500)),
        person("zoe", 0, None),
        person("visitor", 7, Some(600)),
    ];
    store.rooms.restore_people(&people).await.unwrap();
    let older = [person("anna", 39, Some(499)), person("visitor", 8, None)];
    store.rooms.restore_people(&older).await.unwrap();
    let users = ["anna", "zoe", "visitor"].map(user);
    let seen = store.directory.last_seen(&users).await;
    assert_eq!(seen, Ok(vec![Some(500), None, Some(600)]));
    let versions = store.directory.membership_versions(&users).await.unwrap();
    assert_eq!((versions[0], versions[2]), (40, 8));
    assert!(versions[1] > 0, "he is a member of something");
}
