//! The contract of [`Presence`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{Departure, InstanceId, Lease, Presence, PresenceError, RoomId, Swept, UserId};

use crate::make::{room, user};

mod people;

pub use people::{
    a_sweep_that_is_no_news_ends_too, keep_counts_what_the_store_has,
    lists_who_is_online_newest_first, said_users_answers_whom_the_store_believes_here,
    saying_the_same_again_changes_nothing, the_first_device_in_and_the_last_one_out_are_edges,
    the_most_present_device_wins, the_users_of_a_dead_node_end_once,
    whoever_is_on_a_living_node_stays_online,
};

/// What an implementation offers so that its contract can be tested: nodes on one store. A node
/// dies by being renewed no longer.
#[async_trait]
pub trait PresenceHarness: Send + Sync {
    /// One more node, its lease not begun.
    async fn node(&self) -> Arc<dyn Presence>;

    /// How long a lease lasts.
    fn node_ttl(&self) -> Duration;

    /// To what a retiring node's lease shrinks: at most half of `node_ttl`.
    fn leave_grace(&self) -> Duration;

    /// Lets time pass in the store: moves its clock, or waits.
    async fn pass(&self, time: Duration);
}

/// Makes one test of each clause: `presence_contract!(name, start)`.
#[macro_export]
macro_rules! presence_contract {
    ($name:ident, $start:expr) => {
        $crate::contract_tests!(
            $name,
            $start,
            presence,
            first_in_and_last_out_are_edges,
            joining_twice_counts_once,
            a_room_is_active_while_somebody_is_in_it,
            pages_occupants,
            a_dead_node_is_swept_once,
            a_node_that_was_away_does_not_sweep,
            a_lost_lease_is_renewed_as_a_new_generation,
            registered_answers_what_the_store_believes,
            a_retired_node_is_swept_after_its_grace,
            grace_is_ended_by_the_sweep,
            the_first_device_in_and_the_last_one_out_are_edges,
            the_most_present_device_wins,
            saying_the_same_again_changes_nothing,
            lists_who_is_online_newest_first,
            the_users_of_a_dead_node_end_once,
            whoever_is_on_a_living_node_stays_online,
            said_users_answers_whom_the_store_believes_here,
            keep_counts_what_the_store_has,
            nodes_answers_whose_lease_holds,
            a_sweep_that_is_no_news_ends_too,
        );
    };
}

async fn live_node(harness: &dyn PresenceHarness) -> Arc<dyn Presence> {
    let node = harness.node().await;
    assert_eq!(node.renew().await, Ok(Lease::Renewed));
    node
}

/// Lets time pass while `alive` renew as nodes do.
async fn pass(harness: &dyn PresenceHarness, alive: &[&Arc<dyn Presence>], time: Duration) {
    let step = harness.node_ttl() / 4;
    let mut left = time;
    while !left.is_zero() {
        let now = left.min(step);
        harness.pass(now).await;
        left -= now;
        for node in alive {
            assert_eq!(node.renew().await, Ok(Lease::Held));
        }
    }
}

/// A little longer than a lease lasts.
fn past_ttl(harness: &dyn PresenceHarness) -> Duration {
    harness.node_ttl() + harness.node_ttl() / 4
}

/// Sweeps until there is nothing to sweep.
async fn sweep_all(node: &dyn Presence) -> Vec<Departure> {
    let mut all = Vec::new();
    loop {
        let Swept { news, more } = node.sweep().await.unwrap();
        all.extend(news);
        if !more {
            return all;
        }
    }
}

fn sorted(mut users: Vec<UserId>) -> Vec<UserId> {
    users.sort();
    users
}

fn left(departures: &[Departure], room: &RoomId) -> Vec<UserId> {
    let here = departures.iter().filter(|gone| gone.room == *room);
    sorted(here.map(|gone| gone.user.clone()).collect())
}

/// Clause 1.
pub async fn first_in_and_last_out_are_edges(harness: &dyn PresenceHarness) {
    let (a, b) = (live_node(harness).await, live_node(harness).await);
    let (general, other) = (room("general"), room("other"));
    let (alice, bob) = (user("alice"), user("bob"));
    let steps = [
        (&a, true, &general, &alice, true, 1),
        (&b, true, &general, &alice, false, 1),
        (&b, true, &general, &bob, true, 2),
        (&b, true, &other, &alice, true, 1),
        (&a, false, &general, &alice, false, 2),
        (&b, false, &general, &alice, true, 1),
        (&b, false, &general, &bob, true, 0),
        (&a, true, &general, &alice, true, 1),
    ];
    for (number, (node, joins, room, user, edge, count)) in steps.into_iter().enumerate() {
        let change = if joins {
            node.join(room, user).await.unwrap()
        } else {
            node.leave(room, user).await.unwrap()
        };
        assert_eq!((change.edge, change.count), (edge, count), "step {number}");
    }
}

/// Clause 2.
pub async fn joining_twice_counts_once(harness: &dyn PresenceHarness) {
    let node = live_node(harness).await;
    let (general, alice) = (room("general"), user("alice"));
    assert!(node.join(&general, &alice).await.unwrap().edge);
    let again = node.join(&general, &alice).await.unwrap();
    assert_eq!((again.edge, again.count), (false, 1));
    assert!(node.leave(&general, &alice).await.unwrap().edge);
    let again = node.leave(&general, &alice).await.unwrap();
    assert_eq!((again.edge, again.count), (false, 0));
    assert_eq!(node.is_active(&general).await, Ok(false));
}

/// Clause 3.
pub async fn a_room_is_active_while_somebody_is_in_it(harness: &dyn PresenceHarness) {
    let (a, b) = (live_node(harness).await, live_node(harness).await);
    let (general, alice) = (room("general"), user("alice"));
    assert_eq!(a.is_active(&general).await, Ok(false));
    a.join(&general, &alice).await.unwrap();
    b.join(&general, &alice).await.unwrap();
    a.leave(&general, &alice).await.unwrap();
    assert_eq!(a.is_active(&general).await, Ok(true));
    b.leave(&general, &alice).await.unwrap();
    for node in [&a, &b] {
        assert_eq!(node.is_active(&general).await, Ok(false));
        let page = node.occupants(&general, None, 10).await.unwrap();
        assert_eq!((page.count, page.occupants.len()), (0, 0));
        assert_eq!(node.registered(&general).await, Ok(Vec::new()));
    }
}

/// Clause 4.
pub async fn pages_occupants(harness: &dyn PresenceHarness) {
    let (a, b) = (live_node(harness).await, live_node(harness).await);
    let general = room("general");
    let stays: Vec<UserId> = (0..95).map(|n| user(&format!("stays-{n:02}"))).collect();
    let goes: Vec<UserId> = (0..5)
        .map(|n| user(&format!("stays-{n:02}-goes")))
        .collect();
    for (number, somebody) in stays.iter().chain(&goes).enumerate() {
        let node = if number % 2 == 0 { &a } else { &b };
        node.join(&general, somebody).await.unwrap();
    }
    // On both nodes, and still one person.
    b.join(&general, &stays[0]).await.unwrap();
    let mut seen = Vec::new();
    let mut cursor = None;
    let mut goes = goes.into_iter();
    loop {
        let page = a.occupants(&general, cursor, 10).await.unwrap();
        seen.extend(page.occupants.into_iter().map(|occupant| occupant.user));
        if let Some(gone) = goes.next() {
            a.leave(&general, &gone).await.unwrap();
            b.leave(&general, &gone).await.unwrap();
        }
        cursor = page.cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert!(goes.next().is_none(), "more than one page");
    seen.retain(|user| !user.as_str().ends_with("-goes"));
    assert_eq!(sorted(seen), stays);
    assert_eq!(a.occupants(&general, None, 1).await.unwrap().count, 95);
    let nonsense = a.occupants(&general, Some("\u{1f4a9}".to_owned()), 10);
    assert_eq!(nonsense.await, Err(PresenceError::BadCursor));
}

/// Clause 5.
pub async fn a_dead_node_is_swept_once(harness: &dyn PresenceHarness) {
    let dead = live_node(harness).await;
    let (b, c) = (live_node(harness).await, live_node(harness).await);
    let (general, other) = (room("general"), room("other"));
    // More than any one sweep counts out at a time.
    let crowd: Vec<UserId> = (0..1_200).map(|n| user(&format!("crowd-{n:04}"))).collect();
    for some in crowd.chunks(100) {
        for somebody in some {
            dead.join(&general, somebody).await.unwrap();
        }
        // A machine that is slow must not cost anybody his lease.
        for node in [&dead, &b, &c] {
            assert_eq!(node.renew().await, Ok(Lease::Held));
        }
    }
    let (alice, bob) = (user("alice"), user("bob"));
    dead.join(&other, &alice).await.unwrap();
    dead.join(&other, &bob).await.unwrap();
    b.join(&other, &bob).await.unwrap();
    assert_eq!(b.sweep().await, Ok(Swept::default()), "nobody is dead yet");

    pass(harness, &[&b, &c], past_ttl(harness)).await;
    let (from_b, from_c) = tokio::join!(sweep_all(b.as_ref()), sweep_all(c.as_ref()));
    let departures = [from_b, from_c].concat();
    assert!(departures.iter().all(|gone| gone.change.edge));
    assert_eq!(left(&departures, &general), crowd);
    assert_eq!(left(&departures, &other), [alice]);
    assert_eq!(b.is_active(&general).await, Ok(false));
    let page = c.occupants(&other, None, 10).await.unwrap();
    assert_eq!((page.count, &page.occupants[0].user), (1, &bob));
    assert_eq!(c.sweep().await, Ok(Swept::default()));
}

/// Clause 6.
pub async fn a_node_that_was_away_does_not_sweep(harness: &dyn PresenceHarness) {
    let (dead, away) = (live_node(harness).await, live_node(harness).await);
    let (general, alice) = (room("general"), user("alice"));
    dead.join(&general, &alice).await.unwrap();
    harness.pass(past_ttl(harness)).await;
    assert_eq!(
        away.sweep().await,
        Ok(Swept::default()),
        "it has no lease itself"
    );
    assert_eq!(away.renew().await, Ok(Lease::Renewed));
    let fresh = live_node(harness).await;
    for node in [&away, &fresh] {
        assert_eq!(
            node.sweep().await,
            Ok(Swept::default()),
            "its lease is too young"
        );
    }
    pass(harness, &[&away, &fresh], past_ttl(harness)).await;
    assert_eq!(left(&sweep_all(fresh.as_ref()).await, &general), [alice]);
}

/// Clause 7.
pub async fn a_lost_lease_is_renewed_as_a_new_generation(harness: &dyn PresenceHarness) {
    let node = live_node(harness).await;
    let (general, alice) = (room("general"), user("alice"));
    node.join(&general, &alice).await.unwrap();
    pass(harness, &[&node], past_ttl(harness)).await;
    harness.pass(past_ttl(harness)).await;
    assert_eq!(node.renew().await, Ok(Lease::Renewed));
    assert_eq!(node.renew().await, Ok(Lease::Held));
    assert_eq!(node.registered(&general).await, Ok(Vec::new()));
    // He is still here by the old generation, so that joining again is no edge, nor is its sweep.
    assert!(!node.join(&general, &alice).await.unwrap().edge);
    pass(harness, &[&node], past_ttl(harness)).await;
    assert_eq!(sweep_all(node.as_ref()).await, Vec::new());
    let gone = node.leave(&general, &alice).await.unwrap();
    assert_eq!((gone.edge, gone.count), (true, 0));
}

/// Clause 8.
pub async fn registered_answers_what_the_store_believes(harness: &dyn PresenceHarness) {
    let (a, b) = (live_node(harness).await, live_node(harness).await);
    let (general, other) = (room("general"), room("other"));
    let (alice, bob, carol) = (user("alice"), user("bob"), user("carol"));
    for somebody in [&alice, &bob] {
        a.join(&general, somebody).await.unwrap();
    }
    b.join(&general, &carol).await.unwrap();
    a.join(&other, &carol).await.unwrap();
    a.leave(&general, &bob).await.unwrap();
    a.fade(&general, &alice).await.unwrap();
    let here = a.registered(&general).await.unwrap();
    assert_eq!(
        here,
        std::slice::from_ref(&alice),
        "in its grace he is here"
    );
    assert_eq!(b.registered(&general).await.unwrap(), [carol]);
}

/// Clause 9.
pub async fn a_retired_node_is_swept_after_its_grace(harness: &dyn PresenceHarness) {
    let other = live_node(harness).await;
    pass(harness, &[&other], past_ttl(harness)).await;
    let retired = live_node(harness).await;
    let (general, alice) = (room("general"), user("alice"));
    retired.join(&general, &alice).await.unwrap();
    retired.retire().await.unwrap();
    assert_eq!(
        other.sweep().await,
        Ok(Swept::default()),
        "it has its grace"
    );
    // Not renewed again, whoever asks for it.
    retired.renew().await.unwrap();
    let grace = harness.leave_grace() + harness.leave_grace() / 4;
    assert!(grace < harness.node_ttl(), "see the harness");
    pass(harness, &[&other], grace).await;
    assert_eq!(left(&sweep_all(other.as_ref()).await, &general), [alice]);
}

/// Clause 10.
pub async fn grace_is_ended_by_the_sweep(harness: &dyn PresenceHarness) {
    let (dead, other) = (live_node(harness).await, live_node(harness).await);
    let (general, alice, bob) = (room("general"), user("alice"), user("bob"));
    for somebody in [&alice, &bob] {
        dead.join(&general, somebody).await.unwrap();
        dead.fade(&general, somebody).await.unwrap();
    }
    assert_eq!(other.is_active(&general).await, Ok(true));
    assert_eq!(other.occupants(&general, None, 9).await.unwrap().count, 2);
    // Bob has come back elsewhere.
    assert!(!other.join(&general, &bob).await.unwrap().edge);
    pass(harness, &[&other], past_ttl(harness)).await;
    assert_eq!(left(&sweep_all(other.as_ref()).await, &general), [alice]);
    let back: BTreeSet<_> = other
        .registered(&general)
        .await
        .unwrap()
        .into_iter()
        .collect();
    assert_eq!(back, BTreeSet::from([bob]));
}

/// Clause 19.
pub async fn nodes_answers_whose_lease_holds(harness: &dyn PresenceHarness) {
    let (dead, other) = (live_node(harness).await, live_node(harness).await);
    let third = live_node(harness).await;
    let all = nodes_of(third.as_ref()).await;
    assert_eq!(all.len(), 3, "with nobody on them");
    dead.join(&room("general"), &user("alice")).await.unwrap();
    pass(harness, &[&other, &third], past_ttl(harness)).await;
    let left = nodes_of(other.as_ref()).await;
    assert_eq!(left, nodes_of(third.as_ref()).await);
    assert!(left.len() == 2 && left.is_subset(&all), "{left:?}");
    sweep_all(other.as_ref()).await;
    assert_eq!(nodes_of(third.as_ref()).await, left, "whoever sweeps");
    // Who comes back has a lease again, under the same name.
    assert_eq!(dead.renew().await, Ok(Lease::Renewed));
    assert_eq!(nodes_of(other.as_ref()).await, all);
}

async fn nodes_of(node: &dyn Presence) -> BTreeSet<InstanceId> {
    let nodes = node.nodes().await.unwrap();
    let unique: BTreeSet<_> = nodes.iter().copied().collect();
    assert_eq!(unique.len(), nodes.len(), "each once: {nodes:?}");
    unique
}
