//! Clauses of [`chat_core::Presence`] about users as such, wherever they are.

use chat_core::{
    Device, DeviceId, Ended, Lease, Presence, RoomId, Said, Shift, Status, Swept, UserId,
};

use super::{PresenceHarness, live_node, pass, past_ttl, sorted, sweep_all};
use crate::make::{room, user};

fn device(name: &str, status: Status, text: Option<&str>) -> Device {
    Device {
        name: Some(DeviceId::new(name).unwrap()),
        status,
        text: text.map(str::to_owned),
    }
}

fn phone() -> Vec<Device> {
    vec![device("phone", Status::Online, None)]
}

/// Says something of one user.
async fn say(node: &dyn Presence, user: &UserId, devices: Vec<Device>) -> Shift {
    let said = Said {
        user: user.clone(),
        devices,
    };
    let mut shifts = node.say(vec![said]).await.unwrap();
    assert_eq!(shifts.len(), 1);
    shifts.remove(0)
}

async fn is_online(node: &dyn Presence, user: &UserId) -> bool {
    let standings = node.standings(std::slice::from_ref(user)).await.unwrap();
    standings[0].is_online()
}

/// Everybody who is online, or in a room, newest first.
async fn online(node: &dyn Presence, room: Option<&RoomId>) -> Vec<UserId> {
    let mut all = Vec::new();
    let mut cursor = None;
    loop {
        let page = node.online(room.cloned(), cursor, 10).await.unwrap();
        all.extend(page.occupants.into_iter().map(|one| one.user));
        cursor = page.cursor;
        if cursor.is_none() {
            return all;
        }
    }
}

/// Takes all users off dead nodes.
async fn end_all(node: &dyn Presence) -> Vec<Ended> {
    let mut all = Vec::new();
    loop {
        let Swept { news, more } = node.sweep_users().await.unwrap();
        all.extend(news);
        if !more {
            return all;
        }
    }
}

fn names(ended: &[Ended]) -> Vec<UserId> {
    sorted(ended.iter().map(|one| one.user.clone()).collect())
}

/// Clause 11.
pub async fn the_first_device_in_and_the_last_one_out_are_edges(harness: &dyn PresenceHarness) {
    let (a, b) = (live_node(harness).await, live_node(harness).await);
    let alice = user("alice");
    let two = vec![
        device("phone", Status::Online, None),
        device("laptop", Status::Away, None),
    ];
    let steps = [
        (&a, phone(), (true, false, false)),
        (&a, two, (false, false, false)),
        (&b, phone(), (false, false, true)),
        (&a, Vec::new(), (false, false, true)),
        (&a, Vec::new(), (false, false, true)),
        (&b, Vec::new(), (false, true, false)),
        (&b, Vec::new(), (false, false, false)),
        (&a, phone(), (true, false, false)),
    ];
    let mut last = 0;
    for (number, (node, devices, expected)) in steps.into_iter().enumerate() {
        let shift = say(node.as_ref(), &alice, devices).await;
        let seen = (shift.came(), shift.went(), shift.elsewhere);
        assert_eq!(seen, expected, "step {number}: {shift:?}");
        assert!(shift.at_ms >= last, "the store's time");
        last = shift.at_ms;
    }
    // Many at once, in order.
    let crowd: Vec<UserId> = (0..150).map(|n| user(&format!("u{n:03}"))).collect();
    let said = |user: &UserId| Said {
        user: user.clone(),
        devices: phone(),
    };
    a.say(vec![said(&crowd[3])]).await.unwrap();
    let shifts = b.say(crowd.iter().map(said).collect()).await.unwrap();
    assert_eq!(shifts.len(), crowd.len());
    for (number, shift) in shifts.iter().enumerate() {
        assert_eq!(shift.came(), number != 3, "{number}");
    }
}

/// Clause 12.
pub async fn the_most_present_device_wins(harness: &dyn PresenceHarness) {
    let (a, b) = (live_node(harness).await, live_node(harness).await);
    let (alice, bob) = (user("alice"), user("bob"));
    let away = vec![device("phone", Status::Away, Some("on the train"))];
    let busy = vec![
        device("laptop", Status::Busy, Some("Größe: ⅔ 🦀")),
        Device {
            name: None,
            ..device("x", Status::Away, None)
        },
        device("phone", Status::Away, None),
    ];
    say(a.as_ref(), &alice, away).await;
    let shift = say(b.as_ref(), &alice, busy).await;
    assert_eq!(shift.before.status, Status::Away);
    assert_eq!(shift.after.text.as_deref(), Some("Größe: ⅔ 🦀"));
    assert!(shift.is_news());
    let standings = a.standings(&[bob, alice.clone()]).await.unwrap();
    assert_eq!(standings.len(), 2);
    assert_eq!(standings[0], chat_core::Standing::default());
    assert_eq!(standings[1], shift.after);
    let devices: Vec<_> = standings[1].devices.iter().map(DeviceId::as_str).collect();
    assert_eq!(devices, ["laptop", "phone"], "each once");
    let shift = say(b.as_ref(), &alice, Vec::new()).await;
    let (status, text) = (shift.after.status, shift.after.text.as_deref());
    assert_eq!((status, text), (Status::Away, Some("on the train")));
    // Of equals the one that spoke last.
    harness.pass(std::time::Duration::from_millis(20)).await;
    let later = vec![device("tablet", Status::Away, Some("in a café"))];
    let shift = say(b.as_ref(), &alice, later).await;
    assert_eq!(shift.after.text.as_deref(), Some("in a café"));
}

/// Clause 13.
pub async fn saying_the_same_again_changes_nothing(harness: &dyn PresenceHarness) {
    let (a, b) = (live_node(harness).await, live_node(harness).await);
    let (alice, bob) = (user("alice"), user("bob"));
    let away = |text| vec![device("phone", Status::Away, Some(text))];
    say(a.as_ref(), &alice, away("first")).await;
    harness.pass(std::time::Duration::from_millis(20)).await;
    say(b.as_ref(), &alice, away("second")).await;
    say(b.as_ref(), &bob, phone()).await;
    harness.pass(std::time::Duration::from_millis(20)).await;
    let shift = say(a.as_ref(), &alice, away("first")).await;
    assert_eq!(shift.before, shift.after);
    assert_eq!(shift.after.text.as_deref(), Some("second"));
    assert_eq!(online(a.as_ref(), None).await, [bob, alice]);
    let page = a.online(None, None, 10).await.unwrap();
    assert_eq!(page.count, 2);
}

/// Clause 14.
pub async fn lists_who_is_online_newest_first(harness: &dyn PresenceHarness) {
    let (a, b) = (live_node(harness).await, live_node(harness).await);
    let general = room("general");
    let crowd: Vec<UserId> = (0..95).map(|n| user(&format!("stays-{n:02}"))).collect();
    for (number, somebody) in crowd.iter().enumerate() {
        let node = if number % 2 == 0 { &a } else { &b };
        say(node.as_ref(), somebody, phone()).await;
        node.join(&general, somebody).await.unwrap();
    }
    // On both nodes, and still one person, who keeps his place.
    say(b.as_ref(), &crowd[0], phone()).await;
    b.join(&general, &crowd[0]).await.unwrap();
    let mut newest = crowd.clone();
    newest.reverse();
    for place in [None, Some(&general)] {
        assert_eq!(online(a.as_ref(), place).await, newest);
        let page = b.online(place.cloned(), None, 7).await.unwrap();
        assert_eq!((page.count, page.occupants.len()), (95, 7));
        assert!(page.occupants.iter().all(|one| one.since_ms > 0));
        // Somebody goes while the pages are read, and somebody comes: the others are seen once.
        let gone = newest[3].clone();
        let rest = b.online(place.cloned(), page.cursor, 10).await.unwrap();
        assert_eq!(rest.occupants[0].user, newest[7]);
        say(b.as_ref(), &gone, Vec::new()).await;
        b.leave(&general, &gone).await.unwrap();
        a.leave(&general, &gone).await.unwrap();
        let rest = b.online(place.cloned(), rest.cursor, 10).await.unwrap();
        assert_eq!(rest.occupants[0].user, newest[17]);
        say(b.as_ref(), &gone, phone()).await;
        b.join(&general, &gone).await.unwrap();
        newest.retain(|user| *user != gone);
        newest.insert(0, gone);
        let nonsense = b.online(place.cloned(), Some("\u{1f4a9}".to_owned()), 10);
        assert_eq!(
            nonsense.await,
            Err(chat_core::PresenceError::BadCursor),
            "{place:?}"
        );
    }
    let nobody = a.online(Some(room("nowhere")), None, 10).await.unwrap();
    assert_eq!((nobody.count, nobody.occupants.len()), (0, 0));
}

/// Clause 15.
pub async fn the_users_of_a_dead_node_end_once(harness: &dyn PresenceHarness) {
    let dead = live_node(harness).await;
    let (b, c) = (live_node(harness).await, live_node(harness).await);
    // More than any one sweep takes off at a time.
    let crowd: Vec<UserId> = (0..1_200).map(|n| user(&format!("crowd-{n:04}"))).collect();
    for some in crowd.chunks(100) {
        let said = some.iter().map(|user| Said {
            user: user.clone(),
            devices: phone(),
        });
        dead.say(said.collect()).await.unwrap();
    }
    assert_eq!(
        b.sweep_users().await,
        Ok(Swept::default()),
        "nobody is dead yet"
    );
    pass(harness, &[&b, &c], past_ttl(harness)).await;
    let (from_b, from_c) = tokio::join!(end_all(b.as_ref()), end_all(c.as_ref()));
    let ended = [from_b, from_c].concat();
    assert!(ended.iter().all(|one| one.shift.went()));
    assert_eq!(names(&ended), crowd);
    assert!(!is_online(b.as_ref(), &crowd[0]).await);
    let page = c.online(None, None, 10).await.unwrap();
    assert_eq!((page.count, page.occupants.len()), (0, 0));
    assert_eq!(c.sweep_users().await, Ok(Swept::default()));
}

/// Clause 16.
pub async fn whoever_is_on_a_living_node_stays_online(harness: &dyn PresenceHarness) {
    let dead = live_node(harness).await;
    let (b, general) = (live_node(harness).await, room("general"));
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(user);
    let away = vec![device("phone", Status::Away, None)];
    for somebody in [&alice, &bob, &carol] {
        say(dead.as_ref(), somebody, phone()).await;
        dead.join(&general, somebody).await.unwrap();
    }
    say(b.as_ref(), &alice, phone()).await;
    say(b.as_ref(), &bob, away).await;
    pass(harness, &[&b], past_ttl(harness)).await;
    let ended = end_all(b.as_ref()).await;
    assert_eq!(names(&ended), [bob.clone(), carol.clone()]);
    for one in &ended {
        assert_eq!(one.shift.went(), one.user == carol, "{one:?}");
        assert_eq!(one.shift.elsewhere, one.user == bob, "{one:?}");
    }
    assert_eq!(online(b.as_ref(), None).await, [bob, alice]);
    // The rest of the dead node is still there to be swept.
    assert_eq!(sweep_all(b.as_ref()).await.len(), 3);
    assert_eq!(b.sweep().await, Ok(Swept::default()));
}

/// Clause 17.
pub async fn said_users_answers_whom_the_store_believes_here(harness: &dyn PresenceHarness) {
    let (a, b) = (live_node(harness).await, live_node(harness).await);
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(user);
    for somebody in [&alice, &bob] {
        say(a.as_ref(), somebody, phone()).await;
    }
    say(b.as_ref(), &carol, phone()).await;
    say(a.as_ref(), &bob, Vec::new()).await;
    assert_eq!(a.said_users().await, Ok(vec![alice.clone()]));
    assert_eq!(b.said_users().await, Ok(vec![carol]));
    harness.pass(past_ttl(harness)).await;
    assert_eq!(a.renew().await, Ok(Lease::Renewed));
    assert_eq!(a.said_users().await, Ok(Vec::new()), "a new generation");
    assert!(!say(a.as_ref(), &alice, phone()).await.came());
}

/// Clause 18.
pub async fn keep_counts_what_the_store_has(harness: &dyn PresenceHarness) {
    let (a, b) = (live_node(harness).await, live_node(harness).await);
    let (general, other) = (room("general"), room("other"));
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(user);
    for (node, room, somebody) in [
        (&a, &general, &alice),
        (&a, &general, &bob),
        (&a, &other, &carol),
        (&b, &general, &carol),
    ] {
        node.join(room, somebody).await.unwrap();
        say(node.as_ref(), somebody, phone()).await;
    }
    a.leave(&general, &bob).await.unwrap();
    let mut kept = Vec::new();
    for _ in 0..1_000 {
        let more = a.keep().await.unwrap();
        assert_eq!(more.forgotten, Vec::new());
        kept.extend(more.rooms);
        if kept.contains(&(general.clone(), 1)) && kept.contains(&(other.clone(), 1)) {
            break;
        }
    }
    kept.sort();
    kept.dedup();
    assert_eq!(kept, [(general, 1), (other, 1)]);
}

/// Clause 20.
pub async fn a_sweep_that_is_no_news_ends_too(harness: &dyn PresenceHarness) {
    let (dead, b) = (live_node(harness).await, live_node(harness).await);
    let general = room("general");
    let crowd: Vec<UserId> = (0..600).map(|n| user(&format!("crowd-{n:03}"))).collect();
    for some in crowd.chunks(50) {
        for node in [&dead, &b] {
            let said = some.iter().map(|user| Said {
                user: user.clone(),
                devices: phone(),
            });
            node.say(said.collect()).await.unwrap();
            for somebody in some {
                node.join(&general, somebody).await.unwrap();
            }
        }
        for node in [&dead, &b] {
            assert_eq!(node.renew().await, Ok(Lease::Held));
        }
    }
    pass(harness, &[&b], past_ttl(harness)).await;
    assert_eq!(end_all(b.as_ref()).await, []);
    assert_eq!(sweep_all(b.as_ref()).await, []);
    // Nothing of the dead node is left behind it.
    for somebody in [&crowd[0], &crowd[599]] {
        assert!(say(b.as_ref(), somebody, Vec::new()).await.went());
        assert!(b.leave(&general, somebody).await.unwrap().edge);
    }
}
