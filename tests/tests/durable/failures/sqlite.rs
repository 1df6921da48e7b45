//! One server on a file.

use std::path::Path;

use chat_client::{Client, CommandError, ErrorCode};
use chat_core::{Position, Role, RoomId, RoomKind, Text, UserId};
use chat_proto::ServerEvent;
use chat_proto::received::JoinResult;
use chat_tests::ServerProcess;

use super::{BESIDE, KILLS, connected, server_on};
use crate::crowd::Crowd;
use crate::kept::{self, all_messages};
use crate::person::{Person, message, room, soon, text_of};
use crate::small_disk::SmallDisk;

fn server_in(directory: &Path) -> ServerProcess {
    server_on(&format!("sqlite:{}", directory.join("chat.db").display()))
}

async fn ended(server: ServerProcess) {
    server.terminate();
    let ended = tokio::task::spawn_blocking(move || server.wait_exit());
    let ended = ended.await.unwrap();
    assert!(ended.status.success(), "{}", ended.output);
}

async fn joined(client: &Client, room: &RoomId, position: Position) -> JoinResult {
    let joined = soon("a join", client.join(room, Some(position))).await;
    joined.unwrap()
}

fn texts_of(joined: &JoinResult) -> Vec<&str> {
    let entries = joined.entries.iter();
    entries.filter_map(|entry| text_of(&entry.change)).collect()
}

/// Waits until somebody sees a message: its position.
async fn position_of(person: &mut Person, text: &str) -> Position {
    loop {
        if let ServerEvent::Entry(entry) = person.event().await
            && text_of(&entry.change) == Some(text)
        {
            return entry.position;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_killed_again_and_again_keeps_every_acked_message_once_in_order() {
    let directory = tempfile::tempdir().unwrap();
    let mut servers = [server_in(directory.path())];
    let mut crowd = Crowd::enter(&servers, 12).await;
    for _ in 0..KILLS {
        servers[0].kill();
        servers = [server_in(directory.path())];
        crowd.set_nodes(&servers);
        crowd.until_more_was_said(5).await;
    }
    kept::finish(crowd, &servers[0]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_keeps_rooms_members_and_history_and_who_was_away_resumes() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_in(directory.path());
    let (team, bob) = (RoomId::new("team").unwrap(), UserId::new("bob").unwrap());
    let alice = connected(&server, "alice").await;
    let named = Some("The team".to_owned());
    let made = alice.create_room(Some(team.clone()), RoomKind::Private, named, vec![bob]);
    let room = soon("a room", made).await.unwrap().room;
    let position = alice.join(&team, None).await.unwrap().position;
    for text in ["one", "two"] {
        alice.send(&team, Text::new(text).unwrap()).await.unwrap();
    }
    ended(server).await;

    let server = server_in(directory.path());
    let bob = connected(&server, "bob").await;
    let resumed = joined(&bob, &team, position).await;
    assert!(resumed.recovered, "{resumed:?}");
    assert_eq!(texts_of(&resumed), ["one", "two"]);
    assert_eq!(resumed.room, room);
    let page = bob.history(&team, None, None).await.unwrap();
    let kept: Vec<_> = page.messages.iter().map(kept::text_of).collect();
    assert_eq!(kept, ["one", "two"]);
    let eve = connected(&server, "eve").await;
    assert!(eve.join(&team, None).await.is_err(), "she is no member");
    let alice = connected(&server, "alice").await;
    let changed = alice.update_room(&team, None, Some("a topic".to_owned()), None);
    let changed = soon("a change", changed).await.unwrap();
    assert_eq!(changed.role, Some(Role::Owner));
    assert_eq!(changed.room.name, room.name);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_was_ahead_of_an_older_copy_is_told_that_he_cannot_be_given_everything() {
    let directory = tempfile::tempdir().unwrap();
    let [file, copy] = ["chat.db", "copy.db"].map(|name| directory.path().join(name));
    let server = server_in(directory.path());
    let mut alice = Person::enter(&server, "alice").await;
    alice.say("one").await;
    let before = position_of(&mut alice, "one").await;
    ended(server).await;
    std::fs::copy(&file, &copy).unwrap();

    let server = server_in(directory.path());
    let mut alice = Person::enter(&server, "alice").await;
    let mut ahead = Vec::new();
    for text in ["two", "three", "four"] {
        alice.say(text).await;
        ahead.push(position_of(&mut alice, text).await);
    }
    ended(server).await;
    std::fs::copy(&copy, &file).unwrap();

    let server = server_in(directory.path());
    let client = connected(&server, "bob").await;
    let told = joined(&client, &room(), ahead[2]).await;
    assert!(!told.recovered, "ahead of the copy: {told:?}");
    let alice = Person::enter(&server, "alice").await;
    for text in ["another two", "another three", "another four"] {
        alice.say(text).await;
    }
    // The same seqs are there again, and hold something else.
    for position in &ahead {
        let client = connected(&server, "bob").await;
        let told = joined(&client, &room(), *position).await;
        assert!(!told.recovered, "from {position}: {told:?}");
    }
    let client = connected(&server, "carol").await;
    let resumed = joined(&client, &room(), before).await;
    assert!(resumed.recovered, "what the copy has is known: {resumed:?}");
    let added = ["another two", "another three", "another four"];
    assert_eq!(texts_of(&resumed), added);
    let kept: Vec<_> = all_messages(&server).await;
    let kept: Vec<_> = kept.iter().map(kept::text_of).collect();
    assert_eq!(kept, [&["one"], &added[..]].concat());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_sends_and_is_read_on_and_when_there_is_room_nothing_is_lost() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let servers = [server_in(disk.path())];
    let mut crowd = Crowd::enter(&servers, 8).await;
    let alice = connected(&servers[0], "alice").await;
    let start = alice.join(&room(), None).await.unwrap().position;
    disk.fill();
    refused(&alice).await;
    let page = soon("a page", alice.history(&room(), None, None)).await;
    assert!(!page.unwrap().messages.is_empty());
    let again = connected(&servers[0], "alice").await;
    assert!(joined(&again, &room(), start).await.recovered);
    disk.free();
    crowd.until_more_was_said(5).await;
    kept::finish(crowd, &servers[0]).await;
}

/// Sends until that is refused: what is full may still have room in what was written before.
async fn refused(client: &Client) {
    let refused = async {
        for number in 0.. {
            let text = (BESIDE + number).to_string();
            match client.send_message(message(&text)).await {
                Ok(_) => {}
                Err(error) => return error,
            }
        }
        unreachable!("numbers do not end")
    };
    let CommandError::Refused(error) = soon("a refusal", refused).await else {
        panic!("not refused");
    };
    assert_eq!(error.code, ErrorCode::Unavailable, "{error:?}");
}
