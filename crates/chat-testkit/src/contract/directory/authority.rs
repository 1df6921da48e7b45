//! The clause of [`chat_core::Directory`] about who may change what.

use chat_core::{Authority, DirectoryError, Role, RoomEdit, RoomId};

use super::{DirectoryHarness, Handle, adds, member, private, removes};
use crate::make::{room, user};

/// Clause 9.
pub async fn checks_the_authority_in_the_step(harness: &dyn DirectoryHarness) {
    let directory = Handle::of(harness).await;
    let team = room("team");
    let people = [
        member("olga", Role::Owner),
        member("otto", Role::Owner),
        member("anna", Role::Admin),
        member("adam", Role::Admin),
        member("mary", Role::Member),
        member("mike", Role::Member),
    ];
    directory.create(private("team", people.to_vec())).await;
    nobody_below_the_role(&directory, &team).await;
    nobody_above_the_actor_is_touched(&directory, &team).await;
    no_role_above_the_actors_is_given(&directory, &team).await;
    anybody_may_remove_himself_alone(&directory, &team).await;
    let unknown = room("unknown");
    let edit = directory.edit_as(&unknown, by("olga", true), renamed("x"));
    assert_eq!(edit.await, Err(DirectoryError::NotFound));
    two_who_remove_each_other(harness).await;
}

fn by(name: &str, above: bool) -> Authority {
    Authority {
        actor: user(name),
        role: Some(Role::Admin),
        above,
    }
}

fn renamed(name: &str) -> RoomEdit {
    RoomEdit {
        name: Some(name.to_owned()),
        ..RoomEdit::default()
    }
}

async fn refused(directory: &Handle, room: &RoomId, authority: Authority, edit: RoomEdit) {
    let before = directory.room(room).await;
    let who = authority.actor.clone();
    let answer = directory.edit_as(room, authority, edit.clone()).await;
    assert_eq!(
        answer,
        Err(DirectoryError::Forbidden),
        "{who} with {edit:?}"
    );
    assert_eq!(directory.room(room).await, before, "the whole edit");
}

async fn nobody_below_the_role(directory: &Handle, team: &RoomId) {
    for (name, above) in [("mary", false), ("nobody", false), ("nobody", true)] {
        refused(directory, team, by(name, above), renamed("Mine")).await;
        let invited = adds(vec![member("friend", Role::Member)]);
        refused(directory, team, by(name, above), invited).await;
    }
    for (number, name) in ["anna", "olga"].into_iter().enumerate() {
        let edit = renamed(&format!("Ours {number}"));
        assert!(directory.edit_as(team, by(name, false), edit).await.is_ok());
    }
    // What it was when somebody looked does not count, only what it is.
    let demoted = adds(vec![member("adam", Role::Member)]);
    directory.edit(team, demoted).await;
    refused(directory, team, by("adam", false), renamed("Mine")).await;
    let promoted = adds(vec![member("adam", Role::Admin)]);
    directory.edit(team, promoted).await;
    let edit = directory.edit_as(team, by("adam", false), renamed("Adam's"));
    assert!(edit.await.is_ok());
}

async fn nobody_above_the_actor_is_touched(directory: &Handle, team: &RoomId) {
    let anna = || by("anna", false);
    refused(directory, team, anna(), removes(&["olga"])).await;
    refused(directory, team, anna(), removes(&["mike", "olga"])).await;
    let demoting = adds(vec![
        member("mike", Role::Admin),
        member("olga", Role::Member),
    ]);
    refused(directory, team, anna(), demoting).await;
    assert_eq!(
        directory.role(team, &user("mike")).await,
        Some(Role::Member)
    );
    // His equals he may, and with the claim anybody.
    let edit = directory.edit_as(team, anna(), removes(&["adam"])).await;
    assert!(edit.is_ok(), "{edit:?}");
    let edit = directory.edit_as(team, by("anna", true), removes(&["otto"]));
    assert!(edit.await.is_ok());
    assert_eq!(directory.role(team, &user("otto")).await, None);
}

async fn no_role_above_the_actors_is_given(directory: &Handle, team: &RoomId) {
    let owner = |name| adds(vec![member(name, Role::Owner)]);
    for name in ["anna", "mike", "friend"] {
        refused(directory, team, by("anna", false), owner(name)).await;
    }
    let both = adds(vec![
        member("friend", Role::Admin),
        member("mike", Role::Owner),
    ]);
    refused(directory, team, by("anna", false), both).await;
    assert_eq!(directory.role(team, &user("friend")).await, None);
    let equal = adds(vec![member("mike", Role::Admin)]);
    let edit = directory.edit_as(team, by("anna", false), equal).await;
    assert!(edit.is_ok(), "{edit:?}");
    let edit = directory.edit_as(team, by("olga", false), owner("mike"));
    assert!(edit.await.is_ok());
    let edit = directory.edit_as(team, by("anna", true), owner("friend"));
    assert!(edit.await.is_ok());
    // Whoever has no role in the room has none to give, even if none is asked of him.
    let stranger = || Authority {
        role: None,
        ..by("nobody", false)
    };
    let invited = adds(vec![member("nobody", Role::Member)]);
    refused(directory, team, stranger(), invited).await;
    let invites = |names: &[&str]| RoomEdit {
        invite: names.iter().map(|name| user(name)).collect(),
        ..RoomEdit::default()
    };
    refused(directory, team, stranger(), invites(&["nobody"])).await;
    // To invite those who are above him touches nobody.
    let edit = directory.edit_as(team, by("anna", false), invites(&["olga"]));
    assert!(edit.await.is_ok_and(|edited| edited.change.is_empty()));
}

async fn anybody_may_remove_himself_alone(directory: &Handle, team: &RoomId) {
    let mary = || by("mary", false);
    refused(directory, team, mary(), removes(&["mary", "anna"])).await;
    let parting = RoomEdit {
        name: Some("Farewell".to_owned()),
        ..removes(&["mary"])
    };
    refused(directory, team, mary(), parting).await;
    let edited = directory.edit_as(team, mary(), removes(&["mary"])).await;
    let removed = edited.map(|edited| edited.change.members_removed);
    assert_eq!(removed, Ok(vec![user("mary")]));
    let again = directory.edit_as(team, mary(), removes(&["mary"])).await;
    assert!(again.is_ok_and(|edited| edited.change.is_empty()));
}

async fn two_who_remove_each_other(harness: &dyn DirectoryHarness) {
    for round in 0..10 {
        let name = format!("duel-{round}");
        let directory = Handle::of(harness).await;
        let rivals = vec![member("anna", Role::Admin), member("adam", Role::Admin)];
        directory.create(private(&name, rivals)).await;
        let mut edits = Vec::new();
        for (actor, other) in [("anna", "adam"), ("adam", "anna")] {
            let (handle, duel) = (Handle::of(harness).await, room(&name));
            edits.push(tokio::spawn(async move {
                let edit = handle.edit_as(&duel, by(actor, false), removes(&[other]));
                edit.await
            }));
        }
        let mut won = 0;
        for edit in edits {
            match edit.await.unwrap() {
                Ok(_) => won += 1,
                Err(error) => assert_eq!(error, DirectoryError::Forbidden),
            }
        }
        assert_eq!(won, 1, "whoever was removed may remove nobody any more");
    }
}
