//! The contract of [`Directory`].

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    Access, Authority, Directory, DirectoryError, Edited, Member, Memberships, NewRoom, Role, Room,
    RoomEdit, RoomId, RoomKind, UserId,
};

use crate::make::{room, user};

mod authority;
mod changes;
mod lists;
mod marks;

pub use authority::checks_the_authority_in_the_step;
pub use changes::{
    a_private_room_takes_nobody_in, creates_a_room_once, edits_only_what_is_present,
    every_change_counts_the_version_up,
};
pub use lists::{a_removed_member_is_in_no_list, lists_a_users_rooms, pages_members_and_rooms};
pub use marks::{markers_only_go_forward, remembers_when_people_were_seen};

/// What an implementation offers so that its contract can be tested: handles of one directory.
#[async_trait]
pub trait DirectoryHarness: Send + Sync {
    /// One more handle of the same directory, as another node would have it.
    async fn handle(&self) -> Arc<dyn Directory>;

    /// Lets time pass in the store: moves its clock, or waits.
    async fn pass(&self, time: Duration);
}

/// Makes one test of each clause: `directory_contract!(name, start)`.
#[macro_export]
macro_rules! directory_contract {
    ($name:ident, $start:expr) => {
        $crate::contract_tests!(
            $name,
            $start,
            directory,
            an_unknown_room_has_no_access,
            entering_an_unknown_room_opens_it,
            entering_makes_a_member,
            facts_survive_everybody_leaving,
            concurrent_enters_agree,
            creates_a_room_once,
            a_private_room_takes_nobody_in,
            edits_only_what_is_present,
            checks_the_authority_in_the_step,
            every_change_counts_the_version_up,
            lists_a_users_rooms,
            a_removed_member_is_in_no_list,
            markers_only_go_forward,
            pages_members_and_rooms,
            remembers_when_people_were_seen,
        );
    };
}

/// Short words for what these tests do to one handle.
struct Handle(Arc<dyn Directory>);

impl Handle {
    async fn of(harness: &dyn DirectoryHarness) -> Self {
        Self(harness.handle().await)
    }

    async fn create(&self, room: NewRoom) -> Room {
        let created = self.0.create(room).await.expect("it is new");
        assert!(!created.existed);
        created.room
    }

    /// An edit for which the engine vouches.
    async fn edit(&self, room: &RoomId, edit: RoomEdit) -> Edited {
        self.0.edit(room, &vouched(), edit).await.expect("it may")
    }

    async fn edit_as(
        &self,
        room: &RoomId,
        authority: Authority,
        edit: RoomEdit,
    ) -> Result<Edited, DirectoryError> {
        self.0.edit(room, &authority, edit).await
    }

    async fn room(&self, room: &RoomId) -> Room {
        let seen = self.0.access(room, &user("somebody")).await.unwrap();
        seen.expect("there is such a room").room
    }

    async fn role(&self, room: &RoomId, user: &UserId) -> Option<Role> {
        let users = std::slice::from_ref(user);
        let roles = self.0.roles(room, users).await.unwrap();
        assert_eq!(roles.len(), 1);
        let access = self.0.access(room, user).await.unwrap();
        assert_eq!(access.and_then(|access| access.role), roles[0]);
        roles[0]
    }

    async fn memberships(&self, user: &UserId) -> Memberships {
        self.0.memberships(user, 1_000).await.unwrap()
    }

    async fn version_of(&self, user: &UserId) -> u64 {
        let versions = self.0.membership_versions(std::slice::from_ref(user));
        let versions = versions.await.unwrap();
        assert_eq!(versions.len(), 1);
        versions[0]
    }
}

fn member(name: &str, role: Role) -> Member {
    Member {
        user: user(name),
        role,
    }
}

/// A private room of these people.
fn private(name: &str, members: Vec<Member>) -> NewRoom {
    NewRoom {
        id: room(name),
        kind: RoomKind::Private,
        name: Some("A name".to_owned()),
        topic: None,
        slow_mode_s: 0,
        members,
        fingerprint: [7; 16],
    }
}

/// In the name of somebody for whom the engine vouches, whoever is touched.
fn vouched() -> Authority {
    Authority {
        actor: user("the-operator"),
        role: None,
        above: true,
    }
}

fn adds(members: Vec<Member>) -> RoomEdit {
    RoomEdit {
        add: members,
        ..RoomEdit::default()
    }
}

fn removes(names: &[&str]) -> RoomEdit {
    RoomEdit {
        remove: names.iter().map(|name| user(name)).collect(),
        ..RoomEdit::default()
    }
}

/// Clause 1.
pub async fn an_unknown_room_has_no_access(harness: &dyn DirectoryHarness) {
    let directory = harness.handle().await;
    let (known, unknown, alice) = (room("known"), room("unknown"), user("alice"));
    directory.enter(&known, &alice).await.unwrap();
    assert_eq!(directory.access(&unknown, &alice).await, Ok(None));
    // To ask is not to enter.
    assert_eq!(directory.access(&unknown, &alice).await, Ok(None));
}

/// Clause 2.
pub async fn entering_an_unknown_room_opens_it(harness: &dyn DirectoryHarness) {
    let directory = harness.handle().await;
    let (general, alice, bob) = (room("general"), user("alice"), user("bob"));
    let entered = directory.enter(&general, &alice).await.unwrap();
    assert_eq!(entered.room.id, general);
    assert_eq!(entered.room.kind, RoomKind::Open);
    // Nobody owns it, whoever came first.
    assert_eq!(entered.role, Some(Role::Member));
    let other = harness.handle().await;
    let seen: Access = other.access(&general, &bob).await.unwrap().unwrap();
    assert_eq!(seen.room.created_at_ms, entered.room.created_at_ms);
    assert_eq!(seen.role, None);
}

/// Clause 3.
pub async fn entering_makes_a_member(harness: &dyn DirectoryHarness) {
    let directory = harness.handle().await;
    let (general, alice, bob) = (room("general"), user("alice"), user("bob"));
    directory.enter(&general, &alice).await.unwrap();
    let first = directory.enter(&general, &bob).await.unwrap();
    assert_eq!(first.role, Some(Role::Member));
    let second = directory.enter(&general, &bob).await.unwrap();
    assert_eq!(second, first, "entering again changes nothing");
    let seen = directory.access(&general, &bob).await.unwrap().unwrap();
    assert_eq!(seen.role, Some(Role::Member));
}

/// Clause 4.
pub async fn facts_survive_everybody_leaving(harness: &dyn DirectoryHarness) {
    let (general, alice) = (room("general"), user("alice"));
    let entered = {
        let directory = harness.handle().await;
        directory.enter(&general, &alice).await.unwrap()
    };
    harness.pass(Duration::from_secs(1)).await;
    let directory = harness.handle().await;
    let seen = directory.access(&general, &alice).await.unwrap();
    assert_eq!(seen, Some(entered));
}

/// Clause 5.
pub async fn concurrent_enters_agree(harness: &dyn DirectoryHarness) {
    for round in 0..20 {
        let general = room(&format!("general-{round}"));
        let mut enters = Vec::new();
        for number in 0..4 {
            let directory = harness.handle().await;
            let (general, somebody) = (general.clone(), user(&format!("user-{number}")));
            enters.push(tokio::spawn(async move {
                directory.enter(&general, &somebody).await.unwrap()
            }));
        }
        harness.pass(Duration::from_millis(1)).await;
        let mut created = Vec::new();
        for enter in enters {
            let access = enter.await.unwrap();
            assert_eq!(access.role, Some(Role::Member));
            created.push(access.room.created_at_ms);
        }
        created.dedup();
        assert_eq!(created.len(), 1, "one room has one beginning");
    }
}
