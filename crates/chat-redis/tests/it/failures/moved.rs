//! Logs that were imported by a program that knows less of the cluster than its nodes do.

use std::time::Duration;

use chat_core::{EntryId, LogTransfer as _, Message, MessageId, Reactions, RoomLog as _, Text};
use chat_redis::RedisRoomLog;
use chat_testkit::make::{room, say, user};

use super::room_log::{TIMEOUT, append};
use crate::support::{self, Server};

const HOUR: Duration = Duration::from_secs(3_600);

fn keeping(server: &Server, log_ttl: Duration) -> RedisRoomLog {
    let mut config = support::config(&server.url());
    config.log_ttl = log_ttl;
    RedisRoomLog::new(config).unwrap()
}

fn ms_left(server: &Server, key: &str) -> u128 {
    let left = server.run(&["PTTL", key]).number();
    u128::try_from(left).unwrap()
}

/// One log with a message that was changed, imported to be kept for an hour.
async fn import(server: &Server, name: &str) {
    let (log, room) = (keeping(server, HOUR), room(name));
    log.start_over(&room, 5, 1_000).await.unwrap();
    let message = Message {
        id: MessageId {
            seq: 3,
            entry: EntryId::random(),
        },
        room: room.clone(),
        from: user("alice"),
        text: Some(Text::new("corrected").unwrap()),
        sent_at_ms: 900,
        edited_at_ms: Some(950),
        reply_to: None,
        mentions: Vec::new(),
        reactions: Reactions::new(),
        meta: None,
        changed_seq: Some(4),
    };
    assert_eq!(log.put_messages(&room, vec![message]).await.unwrap(), 1);
}

#[tokio::test]
async fn a_log_that_was_imported_lives_as_long_as_the_first_node_to_use_it_keeps_logs() {
    let server = Server::start().await;
    let node = keeping(&server, HOUR * 24 * 7);
    import(&server, "opened").await;
    node.open(&room("opened")).await.unwrap();
    import(&server, "said").await;
    let said = room("said");
    let entry = say(&said, &user("bob"), "on");
    let outcome = append(&node, &said, vec![entry], TIMEOUT).await.remove(0);
    assert_eq!(outcome.unwrap().position.seq, 6);
    for name in ["opened", "said"] {
        for of in ["log", "head", "changed"] {
            let left = ms_left(&server, &format!("chat:{{{name}}}:{of}"));
            assert!(left > HOUR.as_millis() * 24 * 6, "{of} of {name}: {left}");
        }
    }
}
