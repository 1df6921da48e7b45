//! Steps of presence that were stalled on their way, given up, and then arrive.

use chat_core::{Device, DeviceId, Presence, PresenceError, Said, Status};
use chat_testkit::make::{room, user};

use super::presence::{Node, node};
use super::room_log::calls;
use crate::support::{Kind, Proxy, Server, eventually};

/// Gives up a step that is stalled where `word` is on its way to the server, and lets it arrive.
async fn late<T>(
    server: &Server,
    proxy: &Proxy,
    word: &'static [u8],
    step: impl Future<Output = Result<T, PresenceError>>,
) -> Result<T, PresenceError> {
    proxy.stall_at(word);
    let outcome = step.await;
    let arrived = calls(server, "evalsha");
    proxy.stall(Kind::Pool, false);
    eventually("it arrives", || async {
        calls(server, "evalsha") > arrived
    })
    .await;
    outcome
}

async fn patient_node(proxy: &Proxy) -> Node {
    let node = node(&proxy.url()).await;
    // The connection is there, and the server knows the scripts: it is the step that is stalled.
    node.presence.occupants(&room("r"), None, 1).await.unwrap();
    node
}

async fn say(node: &Node, devices: &[&str]) -> Result<(), PresenceError> {
    let device = |name: &&str| Device {
        name: Some(DeviceId::new(*name).unwrap()),
        status: Status::Online,
        text: None,
    };
    let said = Said {
        user: user("alice"),
        devices: devices.iter().map(device).collect(),
    };
    node.presence.say(vec![said]).await.map(drop)
}

#[tokio::test]
async fn a_join_or_leave_that_was_given_up_does_not_act_late() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let node = patient_node(&proxy).await;
    let (r, alice) = (room("r"), user("alice"));
    let step = node.presence.join(&r, &alice);
    assert!(late(&server, &proxy, b"EVALSHA", step).await.is_err());
    assert_eq!(node.presence.is_active(&r).await, Ok(false));
    assert!(node.presence.join(&r, &alice).await.unwrap().edge);
    let step = node.presence.fade(&r, &alice);
    assert!(late(&server, &proxy, b"EVALSHA", step).await.is_err());
    let step = node.presence.leave(&r, &alice);
    assert!(late(&server, &proxy, b"EVALSHA", step).await.is_err());
    assert_eq!(node.presence.is_active(&r).await, Ok(true));
    let occ = server.keys().into_iter().find(|key| key.contains(":occ:"));
    let since = server.run(&["HGET", &occ.unwrap(), "alice"]).lines();
    assert!(!since[0].contains(':'), "no grace runs: {since:?}");
}

/// The room stays in the set of which a dead node is swept, whoever has come since.
#[tokio::test]
async fn a_room_that_somebody_entered_again_is_not_taken_off_late() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let node = patient_node(&proxy).await;
    let (r, alice) = (room("r"), user("alice"));
    node.presence.join(&r, &alice).await.unwrap();
    let entered = server
        .keys()
        .into_iter()
        .find(|key| key.ends_with(":rooms"));
    let step = node.presence.leave(&r, &alice);
    // The count goes down in time; it is the room that is taken off late.
    let left = late(&server, &proxy, b"SREM", step).await.unwrap();
    assert!(left.edge);
    let there = ["SISMEMBER", &entered.unwrap(), "r"];
    assert_eq!(server.run(&there).number(), 1);
}

#[tokio::test]
async fn what_was_said_of_a_user_and_given_up_does_not_act_late() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let node = patient_node(&proxy).await;
    let key = "chat:user:{alice}:presence";
    let step = say(&node, &["phone"]);
    assert!(late(&server, &proxy, b"EVALSHA", step).await.is_err());
    assert_eq!(server.run(&["EXISTS", key]).number(), 0);
    say(&node, &["phone"]).await.unwrap();
    let step = say(&node, &[]);
    assert!(late(&server, &proxy, b"EVALSHA", step).await.is_err());
    assert_eq!(server.run(&["EXISTS", key]).number(), 1);
    // He is gone, and his place in the lists is to be taken from him, late.
    let step = say(&node, &[]);
    assert!(late(&server, &proxy, b"ZREM", step).await.is_err());
    assert_eq!(server.run(&["ZCARD", "chat:online"]).number(), 1);
}
