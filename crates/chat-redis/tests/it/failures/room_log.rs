//! The log while Redis is killed, stopped, emptied, full, or loses a part of a room.

use std::time::{Duration, Instant};

use chat_core::{
    AppendCall, AppendError, Appended, EntryBody, MessageId, NewEntry, PageFrom, RoomId, RoomLog,
};
use chat_redis::limits::PING_SPARED;
use chat_redis::{RedisConfig, RedisRoomLog};
use chat_testkit::make::{again, delete, edit, keyed, react, room, say, user};

use crate::support::{self, Kind, Proxy, Server, eventually};

pub(super) const TIMEOUT: Duration = Duration::from_secs(2);

pub(super) fn log(url: &str) -> RedisRoomLog {
    RedisRoomLog::new(support::config(url)).unwrap()
}

fn small(url: &str, change: impl FnOnce(&mut RedisConfig)) -> RedisRoomLog {
    let mut config = support::config(url);
    change(&mut config);
    RedisRoomLog::new(config).unwrap()
}

pub(super) async fn append(
    log: &RedisRoomLog,
    room: &RoomId,
    entries: Vec<NewEntry>,
    timeout: Duration,
) -> Vec<Result<Appended, AppendError>> {
    let call = AppendCall {
        room: room.clone(),
        entries,
    };
    log.append(vec![call], timeout).await.remove(0)
}

pub(super) async fn one(
    log: &RedisRoomLog,
    room: &RoomId,
    entry: NewEntry,
) -> Result<Appended, AppendError> {
    append(log, room, vec![entry], TIMEOUT).await.remove(0)
}

pub(super) async fn fill(log: &RedisRoomLog, room: &RoomId, count: usize) -> Appended {
    let mut last = None;
    for _ in 0..count {
        last = Some(
            one(log, room, say(room, &user("alice"), "text"))
                .await
                .unwrap(),
        );
    }
    last.unwrap()
}

pub(super) fn id(appended: &Appended) -> MessageId {
    MessageId {
        seq: appended.position.seq,
        entry: appended.position.id,
    }
}

async fn texts(log: &RedisRoomLog, room: &RoomId) -> Vec<String> {
    let read = log.read_after(room, 0, 500).await.unwrap();
    let text = |body: &EntryBody| match body {
        EntryBody::MessageAdded { text, .. } => text.as_deref().map(str::to_owned),
        _ => None,
    };
    read.entries.iter().filter_map(|e| text(&e.body)).collect()
}

#[tokio::test]
async fn a_restart_with_data_keeps_log_keys_and_epoch() {
    let mut server = Server::durable().await;
    let log = log(&server.url());
    let r = room("r");
    let said = keyed(say(&r, &user("alice"), "kept"), "k", 1);
    let first = one(&log, &r, said.clone()).await.unwrap();
    server.stop();
    assert!(matches!(
        one(&log, &r, say(&r, &user("alice"), "away")).await,
        Err(AppendError::Unavailable(_))
    ));
    server.restart().await;
    let retried = one(&log, &r, again(&said)).await.unwrap();
    assert!(retried.duplicate);
    assert_eq!(retried.position, first.position);
    let next = one(&log, &r, say(&r, &user("alice"), "next"))
        .await
        .unwrap();
    assert_eq!(next.position.seq, 2);
    assert_eq!(next.prev, first.position.id);
    assert_eq!(next.position.epoch, first.position.epoch);
    assert_eq!(texts(&log, &r).await, ["kept", "next"]);
}

/// Lets connections read what the kernel has for them, the end of their stream above all.
pub(super) async fn read_what_has_arrived() {
    // The first lets tokio look at the sockets, the second lets those run that it woke.
    tokio::task::yield_now().await;
    tokio::task::yield_now().await;
}

#[tokio::test]
async fn sends_wait_for_a_redis_that_comes_back_in_time() {
    let mut server = Server::start().await;
    let log = std::sync::Arc::new(log(&server.url()));
    let r = room("r");
    fill(&log, &r, 1).await;
    server.stop();
    read_what_has_arrived().await;
    let waiting = tokio::spawn({
        let (log, r) = (log.clone(), r.clone());
        async move {
            let entry = say(&r, &user("alice"), "patient");
            append(&log, &r, vec![entry], support::PATIENCE)
                .await
                .remove(0)
        }
    });
    tokio::task::yield_now().await;
    server.restart().await;
    let appended = waiting.await.unwrap().unwrap();
    assert_eq!(appended.position.seq, 1, "it started empty");
}

#[tokio::test]
async fn a_log_that_was_lost_begins_again_at_one_in_another_epoch() {
    let mut server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    let mut epochs = Vec::new();
    for way in 0..3 {
        let last = fill(&log, &r, 3).await;
        assert_eq!(last.position.seq, 3, "way {way}");
        epochs.push(last.position.epoch);
        if way == 0 {
            server.stop();
            server.restart().await;
        } else {
            server.run(&["FLUSHALL"]);
        }
        assert_eq!(log.heads(std::slice::from_ref(&r)).await.unwrap(), [None]);
        assert_eq!(log.read_after(&r, 3, 10).await.unwrap().head, None);
    }
    epochs.dedup();
    assert_eq!(epochs.len(), 3);
}

#[tokio::test]
async fn a_lost_stream_begins_an_epoch_that_goes_on_from_the_head() {
    let server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    let alice = user("alice");
    let said = keyed(say(&r, &alice, "lost"), "k", 1);
    let lost = one(&log, &r, said.clone()).await.unwrap();
    one(&log, &r, react(&r, &alice, id(&lost), "+1", false))
        .await
        .unwrap();
    server.run(&["DEL", "chat:{r}:log"]);
    let read = log.read_after(&r, 2, 10).await.unwrap();
    assert!(read.anchor.is_some(), "whoever had all has missed nothing");
    assert_eq!(log.read_after(&r, 1, 10).await.unwrap().anchor, None);
    let gone = one(&log, &r, edit(&r, &alice, id(&lost), "too late")).await;
    assert_eq!(gone, Err(AppendError::NotFound));
    let next = one(&log, &r, say(&r, &alice, "next")).await.unwrap();
    assert_eq!(next.position.seq, 3);
    assert_eq!(Some(next.prev), read.anchor);
    assert_ne!(next.position.epoch, lost.position.epoch);
    assert_eq!(log.open(&r).await.unwrap().epoch_start, 3);
    assert!(one(&log, &r, again(&said)).await.unwrap().duplicate);
    assert!(server.run(&["PTTL", "chat:{r}:log"]).number() > 0);
    assert!(!server.keys().contains(&"chat:{r}:changed".to_owned()));
    let page = log.page(&r, PageFrom::Before(u64::MAX), 10).await.unwrap();
    assert_eq!(page.messages.len(), 1);
}

#[tokio::test]
async fn a_lost_head_begins_an_epoch_that_goes_on_from_the_stream() {
    let server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    let alice = user("alice");
    let kept = fill(&log, &r, 3).await;
    one(&log, &r, delete(&r, &alice, id(&kept))).await.unwrap();
    for reader in 0..5 {
        let before = log.open(&r).await.unwrap();
        server.run(&["DEL", "chat:{r}:head"]);
        let head = match reader {
            0 => log.heads(&[r.clone(), room("none")]).await.unwrap()[0].unwrap(),
            1 => log.read_after(&r, 0, 10).await.unwrap().head.unwrap(),
            2 => log.open(&r).await.unwrap(),
            3 => {
                assert!(
                    log.message(&r, id(&kept))
                        .await
                        .unwrap()
                        .unwrap()
                        .is_deleted()
                );
                log.open(&r).await.unwrap()
            }
            _ => {
                let next = one(&log, &r, say(&r, &alice, "next")).await.unwrap();
                assert_eq!(next.position.seq, before.position.seq + 1);
                assert_eq!(next.prev, before.position.id);
                assert_ne!(next.position.epoch, before.position.epoch);
                assert_eq!(log.open(&r).await.unwrap().epoch_start, 5);
                continue;
            }
        };
        assert_eq!(head.position.seq, before.position.seq, "reader {reader}");
        assert_eq!(head.position.id, before.position.id);
        assert_ne!(head.position.epoch, before.position.epoch);
        assert_eq!(head.epoch_start, 5);
        assert!(server.run(&["PTTL", "chat:{r}:head"]).number() > 0);
    }
    assert_eq!(log.heads(&[room("none")]).await.unwrap(), [None]);
}

#[tokio::test]
async fn a_lost_head_loses_no_keys_of_the_window_before() {
    let server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    let say = |key: &str| keyed(say(&r, &user("alice"), key), key, 1);
    let first = say("first");
    one(&log, &r, first.clone()).await.unwrap();
    // An hour passes, and what is said then begins the next window.
    server.run(&["HINCRBY", "chat:{r}:head", "keys_start", "-3600000"]);
    one(&log, &r, say("second")).await.unwrap();
    server.run(&["DEL", "chat:{r}:head"]);
    for other in ["third", "fourth"] {
        one(&log, &r, say(other)).await.unwrap();
        let retried = one(&log, &r, again(&first)).await.unwrap();
        assert!(retried.duplicate, "behind the {other}");
    }
}

#[tokio::test]
async fn a_head_behind_its_stream_goes_on_from_the_stream() {
    let server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    let old = fill(&log, &r, 2).await;
    let dump =
        "local d = redis.call('DUMP', 'chat:{r}:head') redis.call('SET', 'backup', d) return 1";
    server.run(&["EVAL", dump, "0"]);
    let last = fill(&log, &r, 2).await;
    let restore = "redis.call('RESTORE', 'chat:{r}:head', 0, redis.call('GET', 'backup'), 'REPLACE') return 1";
    assert_eq!(server.run(&["EVAL", restore, "0"]).number(), 1);
    let next = one(&log, &r, say(&r, &user("alice"), "next"))
        .await
        .unwrap();
    assert_eq!(next.position.seq, 5);
    assert_eq!(next.prev, last.position.id);
    assert_ne!(next.position.epoch, old.position.epoch);
    // Entries deleted by hand do not block the room for ever.
    server.run(&["XDEL", "chat:{r}:log", "5-0"]);
    server.run(&["DEL", "chat:{r}:head"]);
    let after = one(&log, &r, say(&r, &user("alice"), "after"))
        .await
        .unwrap();
    assert_eq!((after.position.seq, after.prev), (5, last.position.id));
}

#[tokio::test]
async fn a_full_redis_refuses_sends_whole_and_answers_reads() {
    let server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    fill(&log, &r, 2).await;
    let before = server.keys();
    server.run(&["CONFIG", "SET", "maxmemory", "1"]);
    let said = keyed(say(&r, &user("alice"), "refused"), "k", 1);
    for full in [&r, &room("new")] {
        let outcome = one(&log, full, said.clone()).await;
        assert!(
            matches!(outcome, Err(AppendError::Refused(_))),
            "{outcome:?}"
        );
    }
    assert_eq!(server.keys(), before);
    assert_eq!(log.open(&r).await.unwrap().position.seq, 2);
    assert_eq!(texts(&log, &r).await, ["text", "text"]);
    server.run(&["CONFIG", "SET", "maxmemory", "0"]);
    let appended = one(&log, &r, again(&said)).await.unwrap();
    assert!(!appended.duplicate);
    assert_eq!(appended.position.seq, 3);
}

#[tokio::test]
async fn forgotten_scripts_are_loaded_again_and_nothing_is_doubled() {
    let server = Server::start().await;
    let log = log(&server.url());
    let rooms: Vec<RoomId> = (0..5).map(|n| room(&format!("r{n}"))).collect();
    for round in 1..=5 {
        let calls = rooms.iter().map(|room| AppendCall {
            room: room.clone(),
            entries: vec![say(room, &user("alice"), "hello")],
        });
        for outcome in log.append(calls.collect(), TIMEOUT).await {
            assert_eq!(outcome[0].as_ref().unwrap().position.seq, round);
        }
        server.run(&["SCRIPT", "FLUSH"]);
        assert_eq!(log.open(&rooms[0]).await.unwrap().position.seq, round);
    }
}

#[tokio::test]
async fn a_stalled_append_does_not_act_after_its_deadline() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let log = log(&proxy.url());
    let r = room("r");
    fill(&log, &r, 1).await;
    for word in [b"EVALSHA".as_slice(), b"TIME", b"UNWATCH"] {
        // On its way when it is stalled: the append itself, a new connection, or the ping to one
        // that has been idle.
        if word == b"UNWATCH" {
            fill(&log, &r, 1).await;
            tokio::time::sleep(PING_SPARED).await;
        }
        proxy.stall_at(word);
        let timeout = Duration::from_millis(400);
        let since = Instant::now();
        let entry = say(&r, &user("alice"), "late");
        let outcome = append(&log, &r, vec![entry], timeout).await.remove(0);
        assert!(matches!(outcome, Err(AppendError::Unavailable(_))));
        assert!(since.elapsed() < timeout + Duration::from_millis(600));
        let evalsha = || calls(&server, "evalsha");
        let before = evalsha();
        proxy.stall(Kind::Pool, false);
        if word == b"EVALSHA" {
            eventually("it reaches the server", || async { evalsha() > before }).await;
        }
    }
    let next = one(&log, &r, say(&r, &user("alice"), "next"))
        .await
        .unwrap();
    assert_eq!(next.position.seq, 3);
    assert_eq!(texts(&log, &r).await, ["text", "text", "next"]);
}

/// How often a command was called.
pub(super) fn calls(server: &Server, command: &str) -> u64 {
    let stats = server.run(&["INFO", "commandstats"]).lines();
    let start = format!("cmdstat_{command}:calls=");
    let line = stats.iter().find_map(|line| line.strip_prefix(&start));
    let digits = line.and_then(|line| line.split(',').next());
    digits.map_or(0, |digits| digits.parse().unwrap())
}

#[tokio::test]
async fn a_retry_after_an_unknown_outcome_is_not_doubled() {
    let server = Server::start().await;
    let proxy = Proxy::start(server.port()).await;
    let log = log(&proxy.url());
    let r = room("r");
    fill(&log, &r, 1).await;
    let said = keyed(say(&r, &user("alice"), "once"), "k", 1);
    // Whatever comes before the append must come through, so answers are held back only once the
    // append is on its way.
    let appending = append(&log, &r, vec![said.clone()], Duration::from_millis(500));
    proxy.deafen_after(Kind::Pool, b"EVALSHA");
    let outcome = appending.await.remove(0);
    assert!(
        matches!(outcome, Err(AppendError::Unavailable(_))),
        "{outcome:?}"
    );
    eventually("the append acted", || async {
        server.run(&["XLEN", "chat:{r}:log"]).number() == 2
    })
    .await;
    proxy.deafen(Kind::Pool, false);
    let retried = one(&log, &r, again(&said)).await.unwrap();
    assert!(retried.duplicate);
    assert_eq!((retried.position.seq, retried.position.id), (2, said.id));
    assert_eq!(texts(&log, &r).await, ["text", "once"]);
}

#[tokio::test]
async fn a_deleted_text_stays_blank_in_entries_that_outlive_its_message() {
    let server = Server::start().await;
    let log = small(&server.url(), |config| config.log_max = 10);
    let r = room("r");
    let alice = user("alice");
    let said = one(&log, &r, say(&r, &alice, "secret")).await.unwrap();
    one(&log, &r, react(&r, &alice, id(&said), "+1", false))
        .await
        .unwrap();
    fill(&log, &r, 4).await;
    one(&log, &r, edit(&r, &alice, id(&said), "secret 2"))
        .await
        .unwrap();
    one(&log, &r, delete(&r, &alice, id(&said))).await.unwrap();
    fill(&log, &r, 6).await;
    let entries = log.read_after(&r, 0, 500).await.unwrap().entries;
    assert_eq!(entries[0].position.seq, 5);
    assert_eq!(log.message(&r, id(&said)).await.unwrap(), None);
    let edited = entries
        .iter()
        .find(|entry| entry.position.seq == 7)
        .unwrap();
    assert!(
        matches!(&edited.body, EntryBody::MessageUpdated { text: None, .. }),
        "{edited:?}"
    );
    // Once no entry with the text can be read, nothing of it is kept.
    fill(&log, &r, 20).await;
    assert!(!server.keys().contains(&"chat:{r}:changed".to_owned()));
}

#[tokio::test]
async fn what_became_of_messages_is_forgotten_with_them() {
    let server = Server::start().await;
    let log = small(&server.url(), |config| config.log_max = 50);
    let r = room("r");
    let alice = user("alice");
    for round in 0..3 {
        let said = one(&log, &r, say(&r, &alice, "text")).await.unwrap();
        one(&log, &r, react(&r, &alice, id(&said), "+1", false))
            .await
            .unwrap();
        one(&log, &r, react(&r, &user("bob"), id(&said), "+1", false))
            .await
            .unwrap();
        one(&log, &r, react(&r, &alice, id(&said), "+1", true))
            .await
            .unwrap();
        one(&log, &r, edit(&r, &alice, id(&said), "new"))
            .await
            .unwrap();
        let message = log.message(&r, id(&said)).await.unwrap().unwrap();
        assert_eq!(message.text.as_deref(), Some("new"), "round {round}");
        assert_eq!(message.reactions.values().next().unwrap(), &[user("bob")]);
        assert_eq!(message.changed_seq, Some(said.position.seq + 4));
        fill(&log, &r, 60).await;
        assert!(!server.keys().contains(&"chat:{r}:changed".to_owned()));
    }
}

#[tokio::test]
async fn a_page_searches_past_more_other_entries_than_one_call_looks_at() {
    let server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    let alice = user("alice");
    let said = one(&log, &r, say(&r, &alice, "far away")).await.unwrap();
    for round in 0..40 {
        let entries = (0..60).map(|n| react(&r, &alice, id(&said), "+1", (round + n) % 2 == 1));
        let outcomes = append(&log, &r, entries.collect(), TIMEOUT).await;
        assert!(outcomes.iter().all(Result::is_ok));
    }
    let before = log.page(&r, PageFrom::Before(u64::MAX), 10).await.unwrap();
    assert_eq!((before.messages.len(), before.more), (1, false));
    fill(&log, &r, 1).await;
    let after = log.page(&r, PageFrom::After(1), 10).await.unwrap();
    assert_eq!((after.messages.len(), after.more), (1, false));
    let both = log.page(&r, PageFrom::After(0), 1).await.unwrap();
    assert_eq!((both.messages.len(), both.more), (1, true));
}

#[tokio::test]
async fn every_key_of_a_room_ends_by_itself() {
    let server = Server::start().await;
    let log = small(&server.url(), |config| {
        config.log_ttl = Duration::from_millis(600);
        config.key_window = Duration::from_millis(300);
    });
    let r = room("r");
    let alice = user("alice");
    for round in 0..4 {
        let said = keyed(say(&r, &alice, "text"), &format!("k{round}"), 1);
        let said = one(&log, &r, said).await.unwrap();
        one(&log, &r, react(&r, &alice, id(&said), "+1", false))
            .await
            .unwrap();
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    let mut seen = server.keys();
    seen.retain(|key| !key.ends_with("keys:prev"));
    assert_eq!(
        seen,
        ["changed", "head", "keys:cur", "log"].map(|key| format!("chat:{{r}}:{key}"))
    );
    log.open(&room("empty")).await.unwrap();
    eventually("all keys are gone", || async { server.keys().is_empty() }).await;
}

#[tokio::test]
async fn a_room_in_use_is_kept_alive_by_opening_it() {
    let server = Server::start().await;
    let log = small(&server.url(), |config| {
        config.log_ttl = Duration::from_millis(800);
    });
    let r = room("r");
    let last = fill(&log, &r, 2).await;
    for _ in 0..8 {
        tokio::time::sleep(Duration::from_millis(250)).await;
        assert_eq!(log.open(&r).await.unwrap().position, last.position);
    }
    assert_eq!(texts(&log, &r).await.len(), 2);
}

#[tokio::test]
async fn a_silent_room_loses_its_entries_first_and_its_numbers_later() {
    let server = Server::start().await;
    let log = small(&server.url(), |config| {
        config.log_ttl = Duration::from_millis(400);
    });
    let r = room("r");
    let last = fill(&log, &r, 2).await;
    eventually("the stream is gone", || async {
        !server.keys().contains(&"chat:{r}:log".to_owned())
    })
    .await;
    let next = fill(&log, &r, 1).await;
    assert_eq!((next.position.seq, next.prev), (3, last.position.id));
    assert_ne!(next.position.epoch, last.position.epoch);
}

#[tokio::test]
async fn a_stopped_server_holds_nobody_up_for_ever() {
    let server = Server::start().await;
    let log = log(&server.url());
    let r = room("r");
    fill(&log, &r, 1).await;
    server.pause();
    let limit = Duration::from_secs(5);
    let read = tokio::time::timeout(limit, log.read_after(&r, 0, 10)).await;
    assert!(read.expect("answers in time").is_err());
    let heads = [r.clone()];
    let heads = tokio::time::timeout(limit, log.heads(&heads)).await;
    assert!(heads.expect("answers in time").is_err());
    let entry = say(&r, &user("alice"), "late");
    let since = Instant::now();
    let outcome = append(&log, &r, vec![entry], Duration::from_millis(500)).await;
    assert!(outcome[0].is_err());
    assert!(since.elapsed() < Duration::from_secs(2));
    server.resume();
    assert_eq!(fill(&log, &r, 1).await.position.seq, 2);
}
