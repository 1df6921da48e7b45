//! Moving between stores in memory, and what must not be imported.

use std::sync::Arc;
use std::time::Duration;

use chat_core::envelope::encode_entry_tail;
use chat_core::{
    AppendCall, Emoji, EntryBody, EntryId, InstanceId, ManualClock, Marker, Member, MessageId,
    Meta, NewEntry, NewRoom, Role, RoomId, RoomKind, Text, UserId,
};
use chat_memory::{MemoryConfig, MemoryDirectory, MemoryRoomLog};

use super::export::Exporter;
use super::import::{Done, Importer};
use super::progress::Progress;
use super::store::Handles;
use super::{TransferError, import_from};

mod failures;
mod files;
mod told;

fn room(name: &str) -> RoomId {
    RoomId::new(name).unwrap()
}

fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// A store in memory that keeps `log_max` entries of each room.
fn keeping(log_max: u64) -> Handles {
    let config = MemoryConfig {
        log_max,
        ..MemoryConfig::default()
    };
    let clock = Arc::new(ManualClock::new(1_000_000));
    let log = MemoryRoomLog::new(config.clone(), clock.clone());
    Handles::of(log, MemoryDirectory::new(config, clock))
}

fn empty() -> Handles {
    keeping(10_000)
}

async fn append(store: &Handles, room: &RoomId, actor: &str, body: EntryBody) -> MessageId {
    let actor = user(actor);
    let entry = NewEntry {
        id: EntryId::random(),
        tail: encode_entry_tail(InstanceId::random(), room, &actor, &body),
        actor,
        key: None,
        body,
        precondition: None,
    };
    let id = entry.id;
    let call = AppendCall {
        room: room.clone(),
        entries: vec![entry],
    };
    let outcomes = store.log.append(vec![call], Duration::from_secs(5)).await;
    let seq = outcomes[0][0].as_ref().unwrap().position.seq;
    MessageId { seq, entry: id }
}

async fn say(store: &Handles, room: &RoomId, actor: &str, text: &str) -> MessageId {
    let body = EntryBody::MessageAdded {
        text: Some(Text::new(text).unwrap()),
        reply_to: None,
        mentions: Vec::new(),
        meta: None,
    };
    append(store, room, actor, body).await
}

/// Rooms of every kind, with whatever can become of messages.
async fn filled() -> Handles {
    let store = empty();
    fill_team(&store).await;
    let general = room("general");
    store
        .directory
        .enter(&general, &user("visitor"))
        .await
        .unwrap();
    for number in 0..1_200 {
        say(&store, &general, "visitor", &format!("number {number}")).await;
    }
    // Nobody has ever been in it.
    store
        .directory
        .enter(&room("quiet"), &user("olga"))
        .await
        .unwrap();
    store
        .directory
        .seen(&[(user("visitor"), 77)])
        .await
        .unwrap();
    store
}

async fn fill_team(store: &Handles) {
    let team = room("team");
    let member = |name, role| Member {
        user: user(name),
        role,
    };
    let new = NewRoom {
        id: team.clone(),
        kind: RoomKind::Private,
        name: Some("The \"team\"\n".to_owned()),
        topic: None,
        slow_mode_s: 3,
        members: vec![member("olga", Role::Owner), member("mary", Role::Member)],
        fingerprint: [9; 16],
    };
    store.directory.create(new).await.unwrap();
    let first = say(store, &team, "olga", "one \u{0}\u{2028} 👍").await;
    let reply = EntryBody::MessageAdded {
        text: Some(Text::new("@olga two").unwrap()),
        reply_to: Some(first),
        mentions: vec![user("olga")],
        meta: Some(Meta::new(r#"{"n": 1.0}"#).unwrap()),
    };
    let second = append(store, &team, "mary", reply).await;
    let gone = say(store, &team, "mary", "not this").await;
    let edit = EntryBody::MessageUpdated {
        message: second,
        text: Some(Text::new("two, corrected").unwrap()),
        mentions: Vec::new(),
    };
    append(store, &team, "mary", edit).await;
    append(
        store,
        &team,
        "mary",
        EntryBody::MessageDeleted { message: gone },
    )
    .await;
    for name in ["zoe", "mary"] {
        let reaction = EntryBody::MessageReacted {
            message: first,
            emoji: Emoji::new("👍").unwrap(),
            removed: false,
        };
        append(store, &team, name, reaction).await;
    }
    let head = store.log.open(&team).await.unwrap();
    let read = Marker {
        epoch: head.position.epoch,
        seq: second.seq,
    };
    store
        .directory
        .mark(&team, &user("olga"), read, 1)
        .await
        .unwrap();
}

/// All lines, and the same without what differs each time.
async fn exported(store: &Handles) -> Vec<String> {
    let mut bytes = Vec::new();
    let mut exporter = Exporter::new(store, &mut bytes);
    exporter.run(Progress::silent()).await.unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with('\n'));
    text.lines().map(str::to_owned).collect()
}

/// What an import made of lines.
async fn imported(
    store: &Handles,
    lines: &[String],
    skip_existing: bool,
) -> Result<Done, TransferError> {
    let text = lines.iter().flat_map(|line| [line.as_str(), "\n"]);
    let text: String = text.collect();
    import_from(store, text.as_bytes(), skip_existing, Progress::silent()).await
}

fn without_header(lines: &[String]) -> &[String] {
    &lines[1..]
}

#[tokio::test]
async fn what_was_imported_is_exported_as_it_came() {
    let lines = exported(&filled().await).await;
    let store = empty();
    let done = imported(&store, &lines, false).await.unwrap();
    assert_eq!((done.counts.rooms, done.counts.messages), (3, 1_203));
    assert_eq!((done.skipped, done.not_kept), (0, 0));
    let again = exported(&store).await;
    assert_eq!(without_header(&again), without_header(&lines));
}

#[tokio::test]
async fn a_log_that_was_imported_begins_an_epoch_in_which_markers_count_on() {
    let source = filled().await;
    let lines = exported(&source).await;
    let target = empty();
    imported(&target, &lines, false).await.unwrap();
    let team = room("team");
    let (before, after) = (
        source.log.open(&team).await.unwrap(),
        target.log.open(&team).await.unwrap(),
    );
    assert_ne!(before.position.epoch, after.position.epoch);
    assert_eq!(before.position.seq, after.position.seq);
    let marker = target.directory.marker(&team, &user("olga")).await;
    let marker = marker.unwrap().unwrap();
    assert_eq!(marker.seq_in(after.position.epoch, after.epoch_start), 2);
    // Of the ids of the life before none is a position.
    let read = target.log.read_after(&team, 1, 10).await.unwrap();
    assert_eq!((read.anchor, read.entries), (None, Vec::new()));
}

#[tokio::test]
async fn a_message_that_is_changed_while_its_room_is_exported_is_changed_by_its_last_entry() {
    let lines = exported(&filled().await).await;
    let changed = lines.iter().find(|line| line.contains("two, corrected"));
    let line: super::lines::Line = serde_json::from_str(changed.unwrap()).unwrap();
    let super::lines::Line::Message(message) = line else {
        panic!("a message");
    };
    let message = message.in_room(&room("team"), 0, 100).unwrap();
    assert_eq!(message.changed_seq, Some(4));
    let exported = super::lines::MessageLine::of(message, 3);
    assert_eq!(exported.changed_seq, Some(3));
}

#[tokio::test]
async fn messages_that_are_too_old_for_a_store_are_counted() {
    let lines = exported(&filled().await).await;
    let store = keeping(100);
    let done = imported(&store, &lines, false).await.unwrap();
    assert_eq!(done.not_kept, 1_100);
    assert_eq!(done.counts.messages, 103);
    let page = store.log.digests(&room("general"), 1_000).await.unwrap();
    assert_eq!(page.len(), 100);
}

#[tokio::test]
async fn rooms_of_which_a_store_shows_only_the_newest_seqs_are_counted() {
    let store = filled().await;
    for (window, clipped) in [(None, 0), (Some(1_200), 0), (Some(1_199), 1), (Some(1), 2)] {
        let store = Handles {
            window,
            log: store.log.clone(),
            logs: store.logs.clone(),
            directory: store.directory.clone(),
            rooms: store.rooms.clone(),
            sql: None,
        };
        let mut exporter = Exporter::new(&store, std::io::sink());
        exporter.run(Progress::silent()).await.unwrap();
        assert_eq!(exporter.clipped, clipped, "{window:?}");
    }
}

#[tokio::test]
async fn rooms_that_are_there_stay_as_they_are_if_they_may_be_skipped() {
    let lines = exported(&filled().await).await;
    let store = empty();
    let general = room("general");
    store
        .directory
        .enter(&general, &user("anna"))
        .await
        .unwrap();
    say(&store, &general, "anna", "mine").await;
    let refused = imported(&store, &lines, false).await.unwrap_err();
    assert!(matches!(refused, TransferError::NotEmpty(room) if room == general));
    let done = imported(&store, &lines, true).await.unwrap();
    assert_eq!((done.counts.rooms, done.skipped), (2, 1));
    let kept = store.log.digests(&general, 10).await.unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(kept[0].from, user("anna"));
}

#[tokio::test]
async fn an_importer_says_how_many_rooms_are_whole() {
    let lines = exported(&filled().await).await;
    let store = empty();
    let text = lines.join("\n");
    let mut importer = Importer::new(&store, text.as_bytes(), false);
    importer.run(Progress::silent()).await.unwrap();
    assert_eq!(importer.rooms(), 3);
}
