//! Facts end as the directory has them, in whatever order its changes are logged and whenever it is
//! asked.

use proptest::prelude::*;

use super::*;
use crate::ids::{RoomId, UserId};
use crate::room::RoomKind;

#[derive(Debug, Clone)]
enum Edit {
    Name(String),
    Topic(String),
    SlowMode(u32),
    Add,
    Remove,
}

fn edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        "[a-c]{0,1}".prop_map(Edit::Name),
        "[a-c]{0,1}".prop_map(Edit::Topic),
        (0..4_u32).prop_map(Edit::SlowMode),
        Just(Edit::Add),
        Just(Edit::Remove),
    ]
}

fn opened() -> Room {
    Room {
        id: RoomId::new("r").unwrap(),
        kind: RoomKind::Private,
        name: None,
        topic: None,
        slow_mode_s: 0,
        created_at_ms: 1,
        version: 1,
        member_count: 50,
    }
}

/// What the directory makes of an edit, and what it answers is different.
fn make(room: &mut Room, edit: Edit) -> RoomChange {
    room.version += 1;
    let mut change = RoomChange {
        version: room.version,
        ..RoomChange::default()
    };
    let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    match edit {
        Edit::Name(name) => {
            room.name = text(&name);
            change.name = Some(name);
        }
        Edit::Topic(topic) => {
            room.topic = text(&topic);
            change.topic = Some(topic);
        }
        Edit::SlowMode(seconds) => {
            room.slow_mode_s = seconds;
            change.slow_mode_s = Some(seconds);
        }
        Edit::Add => {
            room.member_count += 1;
            change.members_added.push(UserId::new("u").unwrap());
        }
        Edit::Remove => {
            room.member_count -= 1;
            change.members_removed.push(UserId::new("u").unwrap());
        }
    }
    change
}

/// Edits, the places at which each is logged, and when the directory is asked, at which version.
type Plan = (Vec<(Edit, u8)>, Vec<(u8, u8)>);

fn plan() -> impl Strategy<Value = Plan> {
    let edits = prop::collection::vec((edit(), any::<u8>()), 1..20);
    let reads = prop::collection::vec((any::<u8>(), any::<u8>()), 0..4);
    (edits, reads)
}

proptest! {
    #[test]
    fn whatever_the_order_the_facts_end_as_the_directory_has_them((edits, reads) in plan()) {
        let mut room = opened();
        let mut versions = vec![room.clone()];
        let mut logged = Vec::new();
        for (edit, place) in edits {
            let change = make(&mut room, edit);
            versions.push(room.clone());
            logged.push((place, change));
        }
        logged.sort_by_key(|(place, _)| *place);
        let mut facts = Facts::new(versions[0].clone());
        for (at, (place, change)) in logged.iter().enumerate() {
            let due = |&&(when, _): &&(u8, u8)| when <= *place && (at == 0 || when > logged[at - 1].0);
            for (_, which) in reads.iter().filter(due) {
                facts.read(&versions[usize::from(*which) % versions.len()]);
            }
            facts.apply(change);
        }
        prop_assert_eq!(&**facts.room(), &room);
    }
}
