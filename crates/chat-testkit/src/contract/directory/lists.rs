//! Clauses of [`chat_core::Directory`] about who is in which room.

use std::collections::BTreeMap;

use chat_core::{DirectoryError, Epoch, Marker, Membership, Role, RoomId, UserId};

use super::{DirectoryHarness, Handle, adds, member, private, removes};
use crate::make::{room, user};

const READ: Marker = Marker {
    epoch: Epoch(3),
    seq: 7,
};

/// Clause 11.
pub async fn lists_a_users_rooms(harness: &dyn DirectoryHarness) {
    let directory = Handle::of(harness).await;
    let alice = user("alice");
    assert_eq!(directory.memberships(&alice).await.rooms, []);
    for name in ["general", "Zoo"] {
        directory.0.enter(&room(name), &alice).await.unwrap();
    }
    let people = vec![member("alice", Role::Owner), member("bob", Role::Member)];
    directory.create(private("team", people)).await;
    directory
        .create(private("others", vec![member("bob", Role::Owner)]))
        .await;
    let marked = directory.0.mark(&room("team"), &alice, READ, 1).await;
    assert_eq!(marked, Ok(READ));

    let other = Handle::of(harness).await;
    let expected = [
        ("Zoo", Role::Member, None),
        ("general", Role::Member, None),
        ("team", Role::Owner, Some(READ)),
    ];
    listed(&other, &alice, &expected).await;
    let invited = adds(vec![member("alice", Role::Admin)]);
    directory.edit(&room("others"), invited).await;
    directory
        .edit(&room("team"), adds(vec![member("alice", Role::Member)]))
        .await;
    directory.edit(&room("Zoo"), removes(&["alice"])).await;
    let expected = [
        ("general", Role::Member, None),
        ("others", Role::Admin, None),
        ("team", Role::Member, Some(READ)),
    ];
    listed(&other, &alice, &expected).await;
    let some = other.0.memberships(&alice, 2).await.unwrap();
    let names: Vec<_> = some.rooms.iter().map(|one| one.room.id.as_str()).collect();
    assert_eq!(names, ["general", "others"]);
}

async fn listed(directory: &Handle, user: &UserId, expected: &[(&str, Role, Option<Marker>)]) {
    let found = directory.memberships(user).await.rooms;
    let mut rooms = Vec::new();
    for (name, role, marker) in expected {
        rooms.push(Membership {
            room: directory.room(&room(name)).await,
            role: *role,
            marker: *marker,
        });
    }
    assert_eq!(found, rooms);
}

/// Clause 12.
pub async fn a_removed_member_is_in_no_list(harness: &dyn DirectoryHarness) {
    let directory = Handle::of(harness).await;
    let (team, mary) = (room("team"), user("mary"));
    let people = vec![member("olga", Role::Owner), member("mary", Role::Member)];
    directory.create(private("team", people)).await;
    directory.0.mark(&team, &mary, READ, 1).await.unwrap();
    assert_eq!(
        directory.0.markers(&team, 10).await,
        Ok(vec![(mary.clone(), READ)])
    );
    directory.edit(&team, removes(&["mary"])).await;

    let other = Handle::of(harness).await;
    assert_eq!(other.role(&team, &mary).await, None);
    let access = other.0.access(&team, &mary).await.unwrap();
    assert!(!access.expect("the room is there").is_visible());
    assert_eq!(other.memberships(&mary).await.rooms, []);
    let page = other.0.members(&team, None, 10).await.unwrap();
    assert_eq!(page.members, [member("olga", Role::Owner)]);
    assert_eq!(other.0.markers(&team, 10).await, Ok(Vec::new()));
    // Whoever comes back has still read what he had read.
    assert_eq!(other.0.marker(&team, &mary).await, Ok(Some(READ)));
    let invited = adds(vec![member("mary", Role::Member)]);
    directory.edit(&team, invited).await;
    assert_eq!(other.memberships(&mary).await.rooms[0].marker, Some(READ));
}

/// Clause 14.
pub async fn pages_members_and_rooms(harness: &dyn DirectoryHarness) {
    let directory = Handle::of(harness).await;
    let nobody = directory.0.members(&room("unknown"), None, 10).await;
    assert_eq!(nobody, Ok(chat_core::MemberPage::default()));
    pages_members(&directory).await;
    pages_rooms(&directory).await;
    for bad in ["no cursor", "\u{1}", ""] {
        let (team, bad) = (room("team"), Some(bad.to_owned()));
        let members = directory.0.members(&team, bad.clone(), 10).await;
        assert_eq!(members, Err(DirectoryError::BadCursor), "{bad:?}");
        let rooms = directory.0.rooms(bad.clone(), 10).await;
        assert_eq!(rooms, Err(DirectoryError::BadCursor), "{bad:?}");
    }
}

async fn pages_members(directory: &Handle) {
    let team = room("team");
    let role = |number: usize| match number % 7 {
        0 => Role::Owner,
        1 => Role::Admin,
        _ => Role::Member,
    };
    let people = (0..25).map(|number| member(&format!("u{number}"), role(number)));
    let people: Vec<_> = people.collect();
    directory.create(private("team", people.clone())).await;
    let (mut seen, mut cursor, mut pages) = (BTreeMap::new(), None, 0);
    loop {
        let page = directory.0.members(&team, cursor, 6).await.unwrap();
        assert!(page.members.len() <= 6);
        for member in page.members {
            *seen.entry(member.user).or_insert(0) += 1;
        }
        pages += 1;
        assert!(pages < 20, "it ends");
        // Others come, leave and are promoted meanwhile.
        change_others(directory, &team, pages).await;
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    for stays in people.iter().filter(|member| !leaves(&member.user)) {
        assert_eq!(seen.get(&stays.user), Some(&1), "{} once", stays.user);
    }
    assert!(seen.values().all(|&times| times == 1));
}

/// Those whose number ends with 3.
fn leaves(user: &UserId) -> bool {
    user.as_str().ends_with('3')
}

async fn change_others(directory: &Handle, team: &RoomId, round: usize) {
    let left = format!("u{}3", ["", "1", "2"][round % 3]);
    directory.edit(team, removes(&[left.as_str()])).await;
    let promoted = adds(vec![
        member("u2", [Role::Owner, Role::Member][round % 2]),
        member("u24", [Role::Admin, Role::Owner][round % 2]),
    ]);
    directory.edit(team, promoted).await;
    for name in [format!("a{round}"), format!("z{round}")] {
        let came = adds(vec![member(&name, Role::Member)]);
        // Some are seen and some are not.
        directory.edit(team, came).await;
    }
}

async fn pages_rooms(directory: &Handle) {
    let alice = user("alice");
    let mut names: Vec<String> = (0..7).map(|number| format!("open-{number}")).collect();
    for name in &names {
        directory.0.enter(&room(name), &alice).await.unwrap();
    }
    for number in 0..6 {
        let name = format!("private-{number}");
        let owner = vec![member("olga", Role::Owner)];
        directory.create(private(&name, owner)).await;
        names.push(name);
    }
    let (mut seen, mut cursor, mut pages) = (BTreeMap::new(), None, 0);
    loop {
        let page = directory.0.rooms(cursor, 4).await.unwrap();
        assert!(page.rooms.len() <= 4);
        for found in page.rooms {
            assert_eq!(directory.room(&found.id).await, found);
            *seen.entry(found.id.as_str().to_owned()).or_insert(0) += 1;
        }
        pages += 1;
        assert!(pages < 20, "it ends");
        for name in [format!("a{pages}"), format!("z{pages}")] {
            if pages < 4 {
                directory.0.enter(&room(&name), &alice).await.unwrap();
            }
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    for name in names {
        assert_eq!(seen.get(&name), Some(&1), "{name} once");
    }
    assert!(seen.values().all(|&times| times == 1));
}
