//! Whom memberships are told to, and when they are read again.

use super::*;
use crate::room::RoomKind;

fn id(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

fn member(name: &str, role: Role, topic: &str) -> Membership {
    let room = Room {
        id: id(name),
        kind: RoomKind::Private,
        name: None,
        topic: Some(topic.to_owned()),
        slow_mode_s: 0,
        created_at_ms: 1,
        version: 1,
        member_count: 1,
    };
    Membership {
        room,
        role,
        marker: None,
    }
}

fn plain(name: &str) -> Membership {
    member(name, Role::Member, "")
}

fn read(version: u64, rooms: &[Membership]) -> Memberships {
    Memberships {
        version,
        rooms: rooms.to_vec(),
    }
}

#[test]
fn says_what_came_what_went_and_what_is_different() {
    let mut own = OwnRooms::default();
    let first = own.take_all(read(3, &[plain("b"), plain("a"), plain("c")]), 10);
    assert_eq!(first.len(), 3, "{first:?}");
    let again = own.take_all(read(3, &[plain("c"), plain("a"), plain("b")]), 10);
    assert_eq!(again, []);
    let boss = member("c", Role::Admin, "");
    let renamed = member("b", Role::Member, "new");
    let rooms = [boss.clone(), renamed.clone(), plain("d")];
    let news = own.take_all(read(5, &rooms), 10);
    let expected = [
        RoomNews::Removed(id("a")),
        RoomNews::Changed(renamed),
        RoomNews::Changed(boss),
        RoomNews::Added(plain("d")),
    ];
    assert_eq!(news, expected);
    assert_eq!(own.find(&id("c")).map(|own| own.role), Some(Role::Admin));
}

#[test]
fn one_room_is_taken_over_only_if_nothing_else_has_changed() {
    let mut own = OwnRooms::default();
    let unread = own.take_one(&id("a"), Some(plain("a")), 1, 10);
    assert_eq!(unread, (None, true));
    own.take_all(read(1, &[plain("a")]), 10);
    let added = own.take_one(&id("b"), Some(plain("b")), 2, 10);
    assert_eq!(added, (Some(RoomNews::Added(plain("b"))), false));
    let removed = own.take_one(&id("a"), None, 3, 10);
    assert_eq!(removed, (Some(RoomNews::Removed(id("a"))), false));
    assert_eq!(own.take_one(&id("a"), None, 3, 10), (None, false));
    for version in [2, 4, 5] {
        let other = own.take_one(&id("c"), None, version, 10);
        assert_eq!(other, (None, true), "something else has changed");
    }
    assert_eq!(own.version(), Some(3));
}

#[test]
fn of_more_rooms_than_are_followed_none_is_said_to_be_lost() {
    let mut own = OwnRooms::default();
    own.take_all(read(1, &[plain("b"), plain("c")]), 2);
    let news = own.take_all(read(2, &[plain("a"), plain("b")]), 2);
    let expected = [RoomNews::Forgotten(id("c")), RoomNews::Added(plain("a"))];
    assert_eq!(news, expected);
    assert_eq!(
        own.take_one(&id("d"), Some(plain("d")), 2, 2),
        (None, false)
    );
}

#[test]
fn a_room_that_he_came_to_is_known_without_asking() {
    let mut own = OwnRooms::default();
    assert_eq!(own.learn(plain("a"), 10), None, "the first read has it");
    assert_eq!(own.learned(), 1, "a read under way may be of before it");
    own.take_all(read(3, &[plain("a")]), 10);
    assert_eq!(own.learn(plain("b"), 10), Some(RoomNews::Added(plain("b"))));
    assert_eq!(own.learn(plain("b"), 10), None);
    assert_eq!(own.version(), Some(4));
    assert_eq!(own.take_all(read(4, &[plain("a"), plain("b")]), 10), []);
}

#[test]
fn whom_a_rooms_log_has_removed_hears_nothing_of_it_until_the_directory_was_asked() {
    let mut own = OwnRooms::default();
    own.take_all(read(1, &[plain("a")]), 10);
    let learned = own.learned();
    own.suspend(&id("a"));
    assert_ne!(own.learned(), learned, "a read under way may be of before");
    assert!(!own.may_hear(&id("a")) && !own.may_hear(&id("b")));
    let renamed = member("a", Role::Member, "new");
    assert!(!own.take_facts(&renamed.room));
    // He was added again.
    let (news, _) = own.take_one(&id("a"), Some(renamed.clone()), 1, 10);
    assert_eq!(news, Some(RoomNews::Changed(renamed)));
    assert!(own.may_hear(&id("a")));
}

#[test]
fn facts_of_a_room_are_news_once() {
    let mut own = OwnRooms::default();
    own.take_all(read(1, &[plain("a")]), 10);
    let renamed = member("a", Role::Member, "new").room;
    assert!(own.take_facts(&renamed));
    assert!(!own.take_facts(&renamed));
    assert!(!own.take_facts(&plain("b").room));
    assert_eq!(own.learned(), 3, "a read under way may be of before");
}
