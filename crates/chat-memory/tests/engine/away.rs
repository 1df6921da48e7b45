//! What members read of live rooms while directory and log are away.

use std::time::Duration;

use chat_core::{
    Answer, Command, JoinResult, Limits, Message, PageFrom, Position, RoomId, RoomKind,
    ServiceError,
};
use chat_testkit::faults::LogFaults;
use chat_testkit::make;
use tokio::time::sleep;

use crate::cluster::{Cluster, run};
use crate::person::Person;

/// Longer than what a directory said counts while the link is cut.
const LONG: Duration = Duration::from_secs(10);

struct Scene {
    cluster: Cluster,
    room: RoomId,
    /// She stays in the room on the first node; bob was there too.
    alice: Person,
    bob: Person,
    /// Where he stood before anything was said.
    start: Position,
}

/// A room of alice's and bob's, in which two things were said.
async fn scene(kind: RoomKind) -> Scene {
    let cluster = Cluster::start(2, true, &Limits::default(), 5);
    let mut alice = Person::on(&cluster, 0, "alice").await;
    let created = alice.create(Some("plans"), kind, &["bob"]).await;
    let room = created.unwrap().0.id;
    alice.join(&room, None).await.unwrap();
    let mut bob = Person::on(&cluster, 0, "bob").await;
    let start = bob.join(&room, None).await.unwrap().position;
    for text in ["one", "two"] {
        alice.send(&room, text).await.unwrap();
        bob.entry().await;
    }
    Scene {
        cluster,
        room,
        alice,
        bob,
        start,
    }
}

impl Scene {
    async fn come_back(&self, user: &str) -> Person {
        Person::on(&self.cluster, 0, user).await
    }
}

/// The store is away from the first node.
fn lose_store(cluster: &Cluster) {
    let node = &cluster.nodes[0];
    node.directory.set_away(true);
    node.log.set(LogFaults {
        append_fails: 1_000,
        read_fails: 1_000,
        ..LogFaults::default()
    });
}

/// Bob is removed by way of the other node, which has the store.
async fn remove_bob(cluster: &Cluster, room: &RoomId) {
    let mut other = Person::on(cluster, 1, "alice").await;
    other.remove(room, &["bob"]).await.unwrap();
    sleep(Duration::from_millis(100)).await;
}

fn texts(messages: &[Message]) -> Vec<&str> {
    let texts = messages
        .iter()
        .filter_map(|message| message.text.as_deref());
    texts.collect()
}

async fn history(person: &mut Person, room: &RoomId) -> Result<Vec<Message>, ServiceError> {
    let history = Command::History {
        room: room.clone(),
        from: Some(PageFrom::Before(u64::MAX)),
        limit: None,
    };
    match person.ask(history).await? {
        Answer::History(page) => Ok(page.messages),
        other => panic!("{other:?}"),
    }
}

fn is_unavailable<T: std::fmt::Debug>(answer: Result<T, ServiceError>) {
    assert!(
        matches!(answer, Err(ServiceError::Unavailable { .. })),
        "{answer:?}"
    );
}

fn resumed(result: &JoinResult) -> usize {
    assert!(result.recovered, "{result:?}");
    result.entries.len()
}

#[test]
fn a_member_of_a_live_room_reads_on_and_comes_back_while_the_store_is_away() {
    for kind in [RoomKind::Private, RoomKind::Open] {
        run(async {
            let scene = scene(kind).await;
            let room = &scene.room;
            lose_store(&scene.cluster);
            drop(scene.bob);
            let mut bob = Person::on(&scene.cluster, 0, "bob").await;
            let page = history(&mut bob, room).await.unwrap();
            assert_eq!(texts(&page), ["one", "two"]);
            let back = bob.join(room, Some(scene.start)).await.unwrap();
            assert_eq!(resumed(&back), 2);
            let fresh = bob.join(room, None).await.unwrap();
            assert_eq!(texts(&fresh.messages), ["one", "two"]);
            scene.cluster.heal();
            let mut alice = scene.alice;
            alice.send(room, "three").await.unwrap();
            assert_eq!(bob.entry().await.position.seq, fresh.position.seq + 1);
        });
    }
}

#[test]
fn whoever_the_node_does_not_know_waits_for_the_store() {
    run(async {
        let scene = scene(RoomKind::Private).await;
        lose_store(&scene.cluster);
        let mut eve = scene.come_back("eve").await;
        is_unavailable(history(&mut eve, &scene.room).await);
        is_unavailable(eve.join(&scene.room, None).await);
        let unheard_of = make::room("unheard-of");
        is_unavailable(eve.join(&unheard_of, None).await);
        is_unavailable(history(&mut eve, &unheard_of).await);
    });
}

#[test]
fn a_removed_member_does_not_come_back_while_the_store_is_away() {
    run(async {
        let mut scene = scene(RoomKind::Private).await;
        lose_store(&scene.cluster);
        remove_bob(&scene.cluster, &scene.room).await;
        assert_eq!(scene.bob.removed_from().await, scene.room);
        let mut bob = scene.come_back("bob").await;
        is_unavailable(bob.join(&scene.room, Some(scene.start)).await);
        is_unavailable(history(&mut bob, &scene.room).await);
        drop(scene.alice);
    });
}

/// What may hide a removal from a node.
#[derive(Debug, Clone, Copy)]
enum Hidden {
    Cut,
    CutAndRestored,
    Overflow,
}

async fn try_to_come_back(hidden: Hidden) {
    let scene = scene(RoomKind::Private).await;
    let link = &scene.cluster.nodes[0].link;
    lose_store(&scene.cluster);
    match hidden {
        Hidden::Cut | Hidden::CutAndRestored => link.cut(),
        Hidden::Overflow => link.fill(),
    }
    remove_bob(&scene.cluster, &scene.room).await;
    sleep(LONG).await;
    if matches!(hidden, Hidden::CutAndRestored) {
        link.restore();
    }
    drop(scene.bob);
    let mut bob = Person::on(&scene.cluster, 0, "bob").await;
    is_unavailable(bob.join(&scene.room, Some(scene.start)).await);
    is_unavailable(history(&mut bob, &scene.room).await);
}

#[test]
fn nobody_comes_back_to_a_private_room_if_his_removal_may_have_been_overlooked() {
    for hidden in [Hidden::Cut, Hidden::CutAndRestored, Hidden::Overflow] {
        run(try_to_come_back(hidden));
    }
}

#[test]
fn an_open_room_is_read_on_though_the_link_is_cut_too() {
    run(async {
        let scene = scene(RoomKind::Open).await;
        lose_store(&scene.cluster);
        scene.cluster.nodes[0].link.cut();
        sleep(LONG).await;
        let mut bob = scene.bob;
        let back = bob.join(&scene.room, Some(scene.start)).await.unwrap();
        assert_eq!(resumed(&back), 2);
        let page = history(&mut bob, &scene.room).await.unwrap();
        assert_eq!(texts(&page), ["one", "two"]);
    });
}

#[test]
fn whoever_was_removed_while_he_was_on_another_node_does_not_come_back() {
    run(async {
        let scene = scene(RoomKind::Private).await;
        drop(scene.bob);
        remove_bob(&scene.cluster, &scene.room).await;
        lose_store(&scene.cluster);
        let mut bob = Person::on(&scene.cluster, 0, "bob").await;
        is_unavailable(bob.join(&scene.room, Some(scene.start)).await);
    });
}

#[test]
fn whoever_a_change_is_told_of_does_not_come_back_before_the_store_has_said_what_it_is() {
    run(async {
        let scene = scene(RoomKind::Private).await;
        lose_store(&scene.cluster);
        // The directory removes bob, and no entry says so.
        scene.cluster.nodes[1].log.set(LogFaults {
            append_fails: 1_000,
            ..LogFaults::default()
        });
        remove_bob(&scene.cluster, &scene.room).await;
        drop(scene.bob);
        let mut bob = Person::on(&scene.cluster, 0, "bob").await;
        is_unavailable(bob.join(&scene.room, Some(scene.start)).await);
        is_unavailable(history(&mut bob, &scene.room).await);
        drop(scene.alice);
    });
}
