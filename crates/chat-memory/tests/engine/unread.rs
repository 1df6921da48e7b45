//! Unread messages, read markers and notifications, over nodes that share nothing but the seams.

use std::time::Duration;

use chat_core::{
    Answer, Command, Hello, Limits, MessageId, Role, RoomId, RoomList, ServiceError, Text,
};
use chat_testkit::faults::LogFaults;
use chat_testkit::make;
use tokio::time::sleep;

use crate::cluster::{Cluster, ROOM, UNNOTICED, run};
use crate::watcher::{Person, make_members};

mod failures;

fn start(nodes: u64) -> Cluster {
    Cluster::start(nodes, true, &Limits::default(), 5)
}

fn room() -> RoomId {
    make::room(ROOM)
}

/// Two nodes; Ann and Ben are members, each on his own node, and have not joined.
async fn two() -> (Cluster, Person, Person) {
    let cluster = start(2);
    make_members(&cluster, &room(), &["ann", "ben"]).await;
    let ann = Person::connect(&cluster, 0, "ann").await;
    let ben = Person::connect(&cluster, 1, "ben").await;
    (cluster, ann, ben)
}

#[test]
fn members_who_have_not_joined_are_notified_on_every_node_with_their_own_counts() {
    run(async {
        let (cluster, mut ann, mut ben) = two().await;
        let mut tablet = Person::connect(&cluster, 1, "ann").await;
        ben.say(&room(), "hi").await;
        ben.say(&room(), "there").await;
        assert_eq!(ann.told().await, ["hi: 1/0", "there: 2/0"]);
        assert_eq!(tablet.told().await, ["hi: 1/0", "there: 2/0"]);
        assert_eq!(
            ben.told().await,
            ["hi: 0/0", "there: 0/0"],
            "he sent without joining"
        );
        ann.say(&room(), "yes").await;
        assert_eq!(
            tablet.told().await,
            ["yes: 0/0"],
            "she has read what she answers"
        );
        assert_eq!(ben.told().await, ["yes: 1/0"]);
    });
}

#[test]
fn who_has_joined_is_told_entries_and_who_has_left_is_notified_again() {
    run(async {
        let (_cluster, mut ann, mut ben) = two().await;
        ann.join(&room()).await;
        ben.say(&room(), "one").await;
        assert_eq!(ann.told().await, ["entry 1"]);
        ann.leave(&room()).await;
        ben.say(&room(), "two").await;
        assert_eq!(ann.told().await, ["two: 2/0"]);
    });
}

#[test]
fn a_connection_that_wants_no_notifications_gets_none() {
    run(async {
        let (cluster, _ann, mut ben) = two().await;
        let hello = Hello {
            notify: false,
            ..Hello::default()
        };
        let mut bot = Person::connect_with(&cluster, 0, "ann", hello).await;
        ben.say(&room(), "hi").await;
        assert_eq!(bot.told().await, [""; 0]);
        assert_eq!(bot.read(&room(), 1).await, (0, 0));
    });
}

#[test]
fn devices_share_a_marker_and_the_others_are_told_on_every_node() {
    run(async {
        let (cluster, mut phone, mut ben) = two().await;
        let mut laptop = Person::connect(&cluster, 1, "ann").await;
        let mut tablet = Person::connect(&cluster, 0, "ann").await;
        for text in ["1", "2", "3"] {
            ben.say(&room(), text).await;
        }
        for device in [&mut phone, &mut laptop, &mut tablet] {
            device.told().await;
        }
        assert_eq!(phone.read(&room(), 2).await, (1, 0));
        assert_eq!(phone.told().await, [""; 0], "its answer says so");
        assert_eq!(laptop.told().await, ["1/0"]);
        assert_eq!(tablet.told().await, ["1/0"]);
        let joined = laptop.join(&room()).await;
        let reading = joined.reading.unwrap();
        assert_eq!((reading.unread, reading.read_seq), (1, 2));
        assert_eq!(joined.reads.unwrap(), [(make::user("ann"), 2)]);
        assert_eq!(laptop.read(&room(), 1).await, (1, 0), "forward only");
        assert_eq!(laptop.read(&room(), 99).await, (0, 0));
        assert_eq!(
            laptop.join(&room()).await.reading.unwrap().read_seq,
            3,
            "clamped to the head"
        );
        ben.say(&room(), "4").await;
        assert_eq!(phone.told().await.last().unwrap(), "4: 1/0");
    });
}

#[test]
fn who_has_joined_is_told_once_a_second_how_far_the_others_have_read() {
    run(async {
        let (cluster, mut ann, mut ben) = two().await;
        let mut cat = Person::connect(&cluster, 0, "cat").await;
        ben.join(&room()).await;
        cat.join(&room()).await;
        for text in ["1", "2", "3"] {
            cat.say(&room(), text).await;
        }
        ben.told().await;
        for seq in 1..=3 {
            ann.read(&room(), seq).await;
        }
        cat.read(&room(), 3).await;
        let told = ben.told().await;
        assert_eq!(told, ["ann read 3", "cat read 3"]);
        assert_eq!(
            ann.told().await.last().unwrap(),
            "3: 3/0",
            "she is not in the room"
        );
    });
}

#[test]
fn a_change_of_the_newest_message_is_told_and_a_deleted_one_counts_no_longer() {
    run(async {
        let (_cluster, mut ann, mut ben) = two().await;
        let first = ben.say(&room(), "1").await;
        let second = ben.say(&room(), "2").await;
        ann.told().await;
        let edit = |message: MessageId| Command::Edit {
            room: room(),
            message,
            text: Text::new("new").unwrap(),
            key: None,
        };
        let delete = |message: MessageId| Command::Delete {
            room: room(),
            message,
            key: None,
        };
        ben.ask(edit(first)).await.unwrap();
        ben.ask(edit(second)).await.unwrap();
        ben.ask(delete(first)).await.unwrap();
        ben.ask(delete(second)).await.unwrap();
        let expected = ["updated new: 2/0", "1/0", "updated (deleted): 0/0"];
        assert_eq!(ann.told().await, expected);
    });
}

#[test]
fn what_was_said_before_anybody_watched_counts_and_its_change_is_told() {
    run(async {
        let cluster = start(2);
        make_members(&cluster, &room(), &["ann", "ben"]).await;
        let mut ben = Person::connect(&cluster, 1, "ben").await;
        let mut last = None;
        for text in ["1", "2", "3"] {
            last = Some(ben.say(&room(), text).await);
        }
        let mut ann = Person::connect(&cluster, 0, "ann").await;
        let delete = Command::Delete {
            room: room(),
            message: last.unwrap(),
            key: None,
        };
        ben.ask(delete).await.unwrap();
        assert_eq!(ann.told().await, ["updated (deleted): 2/0"]);
        ben.say(&room(), "4").await;
        assert_eq!(ann.told().await, ["4: 3/0"]);
    });
}

#[test]
fn only_members_have_a_marker() {
    run(async {
        let (cluster, _ann, mut ben) = two().await;
        ben.say(&room(), "1").await;
        let mut cat = Person::connect(&cluster, 0, "cat").await;
        let read = |room| Command::Read { room, seq: 1 };
        let refused = cat.ask(read(room())).await;
        assert!(matches!(refused, Err(ServiceError::Forbidden(_))));
        let missing = cat.ask(read(make::room("nowhere"))).await;
        assert!(matches!(missing, Err(ServiceError::NotFound(_))));
    });
}

async fn list(person: &mut Person, cursor: Option<String>, limit: usize) -> RoomList {
    let limit = Some(limit);
    match person.ask(Command::Rooms { cursor, limit }).await {
        Ok(Answer::Rooms(list)) => list,
        other => panic!("{other:?}"),
    }
}

fn names(list: &RoomList) -> Vec<&str> {
    list.rooms
        .iter()
        .map(|listed| listed.room.id.as_str())
        .collect()
}

#[test]
fn rooms_are_listed_latest_first_with_what_is_unread_and_pages_do_not_shift() {
    run(async {
        let cluster = start(1);
        let rooms: Vec<_> = (0..5).map(|n| make::room(&format!("r{n}"))).collect();
        for room in &rooms {
            make_members(&cluster, room, &["ann", "ben"]).await;
        }
        let mut ann = Person::connect(&cluster, 0, "ann").await;
        let mut ben = Person::connect(&cluster, 0, "ben").await;
        for number in [3, 1, 0, 2] {
            cluster.clock.advance(1_000);
            ben.say(&rooms[number], "old").await;
            ben.say(&rooms[number], "new").await;
        }
        ann.read(&rooms[0], 1).await;
        let first = list(&mut ann, None, 2).await;
        assert_eq!(names(&first), ["r2", "r0"]);
        let one = &first.rooms[1];
        assert_eq!((one.unread, one.mentions, one.role), (1, 0, Role::Member));
        let text = one.last_message.as_ref().unwrap().text.as_deref();
        assert_eq!(text, Some("new"));
        // What moves to the front meanwhile is on no later page.
        cluster.clock.advance(1_000);
        ben.say(&rooms[1], "newest").await;
        let second = list(&mut ann, first.cursor, 2).await;
        assert_eq!(names(&second), ["r3", "r4"], "r1 moved, and r4 is silent");
        assert_eq!(second.cursor, None);
        assert_eq!(second.rooms[1].last_message, None);
        let bad = Command::Rooms {
            cursor: Some("x".into()),
            limit: None,
        };
        let refused = ann.ask(bad).await.unwrap_err();
        assert!(
            matches!(refused, ServiceError::BadRequest { .. }),
            "{refused:?}"
        );
    });
}

#[test]
fn a_node_watches_only_the_latest_rooms_of_a_user() {
    run(async {
        let mut limits = Limits::default();
        limits.watch_rooms_max = 2;
        let cluster = Cluster::start(2, true, &limits, 5);
        let rooms: Vec<_> = (0..3).map(|n| make::room(&format!("r{n}"))).collect();
        let mut ben = Person::connect(&cluster, 1, "ben").await;
        for room in &rooms {
            make_members(&cluster, room, &["ann", "ben"]).await;
            cluster.clock.advance(1_000);
            ben.say(room, "before").await;
        }
        let mut ann = Person::connect(&cluster, 0, "ann").await;
        for (number, room) in rooms.iter().enumerate() {
            ben.say(room, &number.to_string()).await;
        }
        assert_eq!(ann.told().await, ["1: 2/0", "2: 2/0"]);
        // A room that he comes to is the latest.
        let new = make::room("new");
        ben.join(&new).await;
        cluster.clock.advance(1_000);
        ben.say(&new, "first").await;
        ann.join(&new).await;
        ann.leave(&new).await;
        sleep(UNNOTICED * 2).await;
        ann.told().await;
        ben.say(&new, "second").await;
        ben.say(&rooms[1], "unheard").await;
        assert_eq!(ann.told().await, ["second: 2/0"]);
    });
}

#[test]
fn whoever_joins_while_he_reads_elsewhere_is_told_what_is_unread_then() {
    run(async {
        let (cluster, mut ann, mut ben) = two().await;
        let mut tablet = Person::connect(&cluster, 0, "ann").await;
        for text in ["one", "two", "three"] {
            ben.say(&room(), text).await;
        }
        ann.join(&room()).await;
        ann.read(&room(), 1).await;
        // His page is read while the other device says how far he has read.
        cluster.nodes[0].log.set(LogFaults {
            slow: Duration::from_secs(1),
            ..LogFaults::default()
        });
        let reads = async {
            sleep(Duration::from_millis(300)).await;
            ann.read(&room(), 3).await
        };
        let (room, began) = (room(), tokio::time::Instant::now());
        let joins = async { (tablet.join(&room).await, began.elapsed()) };
        let (counts, (joined, took)) = tokio::join!(reads, joins);
        assert_eq!(counts, (0, 0));
        assert!(took > Duration::from_millis(300), "he was on his way in");
        let reading = joined.reading.unwrap();
        assert_eq!((reading.unread, reading.read_seq), (0, 3));
    });
}
