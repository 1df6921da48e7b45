//! What is full says so, and nothing grows without bound.

use std::sync::Arc;
use std::time::Duration;

use chat_core::{
    AppendCall, AppendError, Appended, Authority, Clock, Directory, DirectoryError, Epoch,
    InstanceId, ManualClock, Marker, Member, NewEntry, NewRoom, Presence, PresenceError, PubSub,
    PubSubError, Role, RoomEdit, RoomId, RoomKind, RoomLog, Topic,
};
use chat_memory::{MemoryBroker, MemoryConfig, MemoryDirectory, MemoryPresence, MemoryRoomLog};
use chat_testkit::make::{again, keyed, room, say, user};
use chat_testkit::run;

const MINUTE_MS: u64 = 60_000;

/// A log on a clock that stands still.
struct Log {
    log: MemoryRoomLog,
    clock: Arc<ManualClock>,
}

impl Log {
    fn new(config: MemoryConfig) -> Self {
        let clock = Arc::new(ManualClock::new(1_000_000));
        let log = MemoryRoomLog::new(config, Arc::clone(&clock) as Arc<dyn Clock>);
        Self { log, clock }
    }

    async fn append(&self, room: &RoomId, entry: NewEntry) -> Result<Appended, AppendError> {
        let call = AppendCall {
            room: room.clone(),
            entries: vec![entry],
        };
        let timeout = Duration::from_secs(5);
        self.log
            .append(vec![call], timeout)
            .await
            .remove(0)
            .remove(0)
    }

    async fn fill(&self, room: &RoomId, count: usize) {
        for _ in 0..count {
            let said = say(room, &user("alice"), &"x".repeat(800));
            assert!(self.append(room, said).await.is_ok());
        }
    }

    async fn kept(&self, room: &RoomId) -> usize {
        let read = self.log.read_after(room, 0, 500).await;
        read.map_or(0, |read| read.entries.len())
    }
}

#[test]
fn the_room_that_was_idle_longest_forgets_its_oldest_entries_and_keeps_its_head() {
    run(async {
        let log = Log::new(MemoryConfig {
            log_bytes_max: 64 * 1024,
            ..MemoryConfig::default()
        });
        let (idle, busy) = (room("idle"), room("busy"));
        log.fill(&idle, 30).await;
        let before = log.log.open(&idle).await.unwrap_or_else(|_| unreachable!());
        log.clock.advance(MINUTE_MS);
        log.fill(&busy, 40).await;
        assert!(log.kept(&idle).await < 30, "it gave something back");
        assert_eq!(log.kept(&busy).await, 40, "whoever is there loses nothing");
        // A reader at its head has missed nothing; one behind it is told that he has.
        let read = log.log.read_after(&idle, 30, 10).await;
        let read = read.unwrap_or_else(|_| unreachable!());
        assert_eq!(read.head, Some(before));
        assert_eq!(read.anchor, Some(before.position.id));
        let behind = log.log.read_after(&idle, 0, 10).await;
        assert_eq!(behind.map(|read| read.anchor), Ok(None));
        // Alone, a room gives back its own.
        log.fill(&busy, 400).await;
        let kept = log.kept(&busy).await;
        assert!(
            (20..80).contains(&kept),
            "{kept} entries of about a kilobyte"
        );
    });
}

#[test]
fn an_idle_room_forgets_its_entries_and_later_itself() {
    run(async {
        let log = Log::new(MemoryConfig {
            log_ttl: Duration::from_secs(600),
            ..MemoryConfig::default()
        });
        let general = room("general");
        let rooms = std::slice::from_ref(&general);
        log.fill(&general, 3).await;
        log.clock.advance(9 * MINUTE_MS);
        assert!(log.log.open(&general).await.is_ok(), "which is a use");
        log.clock.advance(9 * MINUTE_MS);
        assert_eq!(log.kept(&general).await, 3);
        log.clock.advance(MINUTE_MS);
        assert_eq!(log.kept(&general).await, 0);
        let heads = log.log.heads(rooms).await.unwrap_or_default();
        let old = heads[0].map(|head| head.position);
        assert_eq!(old.map(|position| position.seq), Some(3));
        log.clock.advance(10 * MINUTE_MS);
        assert_eq!(log.log.heads(rooms).await, Ok(vec![None]));
        let said = say(&general, &user("alice"), "again");
        let position = log.append(&general, said).await.map(|new| new.position);
        assert_eq!(position.as_ref().map(|position| position.seq), Ok(1));
        assert_ne!(position.ok().map(|new| new.epoch), old.map(|old| old.epoch));
    });
}

#[test]
fn rooms_beyond_the_limit_are_refused_until_old_ones_have_expired() {
    run(async {
        let log = Log::new(MemoryConfig {
            rooms_max: 2,
            log_ttl: Duration::from_secs(60),
            ..MemoryConfig::default()
        });
        for name in ["one", "two"] {
            log.fill(&room(name), 1).await;
        }
        let three = room("three");
        let said = say(&three, &user("alice"), "hello");
        let refused = log.append(&three, said.clone()).await;
        assert!(matches!(refused, Err(AppendError::Refused(_))));
        assert!(log.log.open(&three).await.is_err());
        log.clock.advance(MINUTE_MS);
        log.fill(&room("one"), 1).await;
        log.clock.advance(MINUTE_MS);
        assert!(log.append(&three, again(&said)).await.is_ok());
        assert_eq!(log.kept(&room("one")).await, 0, "it is idle, and no more");
    });
}

#[test]
fn keys_beyond_the_limit_are_refused_and_known_ones_still_answered() {
    run(async {
        let log = Log::new(MemoryConfig {
            keys_max: 2,
            key_window: Duration::from_secs(60),
            ..MemoryConfig::default()
        });
        let general = room("general");
        let said = |name: &str| keyed(say(&general, &user("alice"), "hello"), name, 1);
        let first = said("one");
        assert!(log.append(&general, first.clone()).await.is_ok());
        assert!(log.append(&general, said("two")).await.is_ok());
        let refused = log.append(&general, said("three")).await;
        assert!(matches!(refused, Err(AppendError::Refused(_))));
        let retried = log.append(&general, again(&first)).await;
        assert_eq!(retried.map(|appended| appended.duplicate), Ok(true));
        let keyless = say(&general, &user("alice"), "hello");
        assert!(log.append(&general, keyless).await.is_ok());
        // Another room's keys count too, and all of them until their windows are over.
        let other = room("other");
        let elsewhere = keyed(say(&other, &user("alice"), "hello"), "one", 1);
        assert!(log.append(&other, elsewhere.clone()).await.is_err());
        log.clock.advance(2 * MINUTE_MS);
        assert!(log.append(&general, said("three")).await.is_ok());
        assert!(log.append(&other, again(&elsewhere)).await.is_ok());
    });
}

#[test]
fn a_log_that_is_dropped_under_its_writers_stays_chained() {
    run(async {
        let log = Arc::new(Log::new(MemoryConfig::default()));
        let general = room("general");
        let mut writers = Vec::new();
        for _ in 0..2 {
            let (log, general) = (Arc::clone(&log), general.clone());
            writers.push(tokio::spawn(async move {
                for number in 0..2_000 {
                    if number % 50 == 0 {
                        log.log.drop_log(&general);
                    }
                    let said = say(&general, &user("alice"), "hello");
                    assert!(log.append(&general, said).await.is_ok());
                }
            }));
        }
        for writer in writers {
            assert!(writer.await.is_ok());
        }
        let read = log.log.read_after(&general, 0, 500).await;
        let read = read.unwrap_or_else(|_| unreachable!());
        let mut prev = read.entries[0].position.epoch.0;
        for (seq, entry) in (1..).zip(&read.entries) {
            assert_eq!((entry.position.seq, entry.prev.0), (seq, prev));
            prev = entry.position.id.0;
        }
        assert_eq!(read.head.map(|head| head.position.id.0), Some(prev));
    });
}

#[test]
fn topics_beyond_the_limit_are_refused() {
    run(async {
        let broker = MemoryBroker::new(MemoryConfig {
            topics_per_node_max: 2,
            ..MemoryConfig::default()
        });
        let node = broker.node();
        let topics = ["one", "two", "three"].map(|name| Topic::Room(room(name)));
        assert_eq!(node.subscribe(&topics[..2]).await, Ok(()));
        let refused = node.subscribe(&topics).await;
        assert!(matches!(refused, Err(PubSubError::Refused(_))));
        assert_eq!(node.unsubscribe(&topics[..1]).await, Ok(()));
        assert_eq!(node.subscribe(&topics[2..]).await, Ok(()));
    });
}

#[test]
fn the_events_of_a_dropped_node_end() {
    run(async {
        let broker = MemoryBroker::new(MemoryConfig::default());
        let node = broker.node();
        let topic = Topic::Room(room("general"));
        assert_eq!(node.subscribe(&[topic]).await, Ok(()));
        let events = node.events();
        drop(node);
        // It would go on if the broker still held the node's end of the queue.
        let ended = match events {
            Some(mut events) => events.next().await.is_none(),
            None => false,
        };
        assert!(ended);
    });
}

#[test]
fn presence_and_directory_refuse_what_they_cannot_remember() {
    run(async {
        let config = MemoryConfig {
            occupancies_max: 1,
            rooms_max: 1,
            memberships_max: 1,
            ..MemoryConfig::default()
        };
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(1_000));
        let presence = MemoryPresence::new(config.clone(), Arc::clone(&clock));
        let node = presence.node(InstanceId::random());
        let (general, alice, bob) = (room("general"), user("alice"), user("bob"));
        assert!(node.join(&general, &alice).await.is_ok());
        let refused = node.join(&general, &bob).await;
        assert!(matches!(refused, Err(PresenceError::Unavailable(_))));
        assert!(
            node.join(&general, &alice).await.is_ok(),
            "he is here already"
        );
        assert!(node.leave(&general, &alice).await.is_ok());
        assert!(node.join(&general, &bob).await.is_ok());

        let directory = MemoryDirectory::new(config, clock);
        assert!(directory.enter(&general, &alice).await.is_ok());
        let full = directory.enter(&room("other"), &alice).await;
        assert_eq!(full, Err(DirectoryError::Full(1)));
        let refused = directory.enter(&general, &bob).await;
        assert!(matches!(refused, Err(DirectoryError::Unavailable(_))));
        assert!(directory.enter(&general, &alice).await.is_ok());
    });
}

fn members(names: &[&str]) -> Vec<Member> {
    let member = |name: &&str| Member {
        user: user(name),
        role: Role::Member,
    };
    names.iter().map(member).collect()
}

fn new_room(name: &str, names: &[&str]) -> NewRoom {
    NewRoom {
        id: room(name),
        kind: RoomKind::Private,
        name: None,
        topic: None,
        slow_mode_s: 0,
        members: members(names),
        fingerprint: [0; 16],
    }
}

/// Adds and removes in the engine's own name.
async fn change(
    directory: &MemoryDirectory,
    name: &str,
    add: &[&str],
    remove: &[&str],
) -> Result<u64, DirectoryError> {
    let authority = Authority {
        actor: user("operator"),
        role: None,
        above: true,
    };
    let edit = RoomEdit {
        add: members(add),
        remove: remove.iter().map(|name| user(name)).collect(),
        ..RoomEdit::default()
    };
    let edited = directory.edit(&room(name), &authority, edit).await?;
    Ok(edited.room.member_count)
}

#[test]
fn full_lists_of_members_and_of_rooms_refuse_a_whole_edit() {
    run(async {
        let config = MemoryConfig {
            room_members_max: 2,
            user_rooms_max: 2,
            ..MemoryConfig::default()
        };
        let directory = MemoryDirectory::new(config, Arc::new(ManualClock::new(1_000)));
        let too_many = |result: Result<u64, DirectoryError>| {
            assert!(matches!(
                result,
                Err(DirectoryError::TooMany { limit: 2, .. })
            ));
        };
        let created = directory.create(new_room("a", &["x", "y", "z"])).await;
        too_many(created.map(|created| created.room.version));
        assert_eq!(directory.access(&room("a"), &user("x")).await, Ok(None));
        assert!(directory.create(new_room("a", &["x", "y"])).await.is_ok());
        too_many(change(&directory, "a", &["z"], &[]).await);
        too_many(change(&directory, "a", &["v", "w"], &["x"]).await);
        assert_eq!(change(&directory, "a", &["z"], &["x"]).await, Ok(2));
        let none = directory.memberships(&user("x"), 9).await;
        assert_eq!(none.map(|found| found.rooms.len()), Ok(0));

        assert!(directory.create(new_room("b", &["y"])).await.is_ok());
        let created = directory.create(new_room("c", &["v", "y"])).await;
        too_many(created.map(|created| created.room.version));
        let entered = directory.enter(&room("open"), &user("y")).await;
        too_many(entered.map(|access| access.room.version));
        assert_eq!(directory.access(&room("open"), &user("y")).await, Ok(None));
        assert!(directory.create(new_room("c", &["v"])).await.is_ok());
        too_many(change(&directory, "c", &["y"], &[]).await);
        assert_eq!(change(&directory, "b", &[], &["y"]).await, Ok(0));
        assert_eq!(change(&directory, "c", &["y"], &[]).await, Ok(2));
        let full = directory.enter(&room("c"), &user("x")).await;
        assert!(
            full.is_ok(),
            "of a private room only his access is answered"
        );
    });
}

#[test]
fn people_and_read_markers_beyond_the_limit_are_refused() {
    run(async {
        let config = MemoryConfig {
            people_max: 2,
            markers_max: 1,
            ..MemoryConfig::default()
        };
        let directory = MemoryDirectory::new(config, Arc::new(ManualClock::new(1_000)));
        let (general, alice, bob) = (room("general"), user("alice"), user("bob"));
        assert!(directory.enter(&general, &alice).await.is_ok());
        assert!(directory.seen(&[(bob.clone(), 5)]).await.is_ok());
        let refused = directory.seen(&[(user("carol"), 5)]).await;
        assert!(matches!(refused, Err(DirectoryError::Unavailable(_))));
        let refused = directory.enter(&general, &user("carol")).await;
        assert!(matches!(refused, Err(DirectoryError::Unavailable(_))));
        assert!(directory.enter(&general, &bob).await.is_ok());
        let marker = Marker {
            epoch: Epoch(1),
            seq: 3,
        };
        assert_eq!(
            directory.mark(&general, &alice, marker, 1).await,
            Ok(marker)
        );
        let refused = directory.mark(&general, &bob, marker, 1).await;
        assert!(matches!(refused, Err(DirectoryError::Unavailable(_))));
        assert_eq!(
            directory.mark(&general, &alice, marker, 1).await,
            Ok(marker)
        );
    });
}
