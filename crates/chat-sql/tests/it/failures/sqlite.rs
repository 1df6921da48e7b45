//! A file that is locked, full, or restored from an older copy.

use std::time::Duration;

use chat_core::{AppendError, RoomLog};
use chat_sql::SqlStore;
use chat_testkit::make::{again, keyed, room, say, user};

use crate::support::{Database, TIMEOUT, append, entries, one, texts};

#[test]
fn a_locked_file_refuses_sends_answers_reads_and_heals() {
    chat_testkit::run(async {
        let database = Database::sqlite();
        let log = database.open().await.room_log();
        let r = room("r");
        one(&log, &r, say(&r, &user("alice"), "before"))
            .await
            .unwrap();
        let mut beside = database.beside().await;
        beside.run("BEGIN IMMEDIATE").await;
        let said = keyed(say(&r, &user("alice"), "once"), "k", 1);
        let refused = append(&log, &r, vec![said.clone()], Duration::from_millis(300)).await;
        assert!(
            matches!(refused[0], Err(AppendError::Refused(_))),
            "certainly not appended: {refused:?}"
        );
        assert_eq!(texts(&log, &r).await, ["before"], "reads go on");
        assert_eq!(log.open(&r).await.unwrap().position.seq, 1);
        // The lock is given back while somebody waits for it.
        let waiting = tokio::spawn({
            let (log, r, said) = (log.clone(), r.clone(), again(&said));
            async move { one(&log, &r, said).await }
        });
        beside.run("ROLLBACK").await;
        let appended = waiting.await.unwrap().unwrap();
        assert!(!appended.duplicate);
        assert_eq!(texts(&log, &r).await, ["before", "once"]);
    });
}

#[test]
fn a_full_disk_refuses_sends_whole_and_answers_reads() {
    chat_testkit::run(async {
        let database = Database::sqlite();
        let mut config = database.config();
        config.pages_max = Some(120);
        let store = SqlStore::open(config).await.unwrap();
        let log = store.room_log();
        let r = room("r");
        let long = "x".repeat(4_000);
        let mut accepted = 0;
        let refused = loop {
            match one(&log, &r, say(&r, &user("alice"), &long)).await {
                Ok(_) => accepted += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(refused, AppendError::Refused(_)), "{refused}");
        assert!(accepted > 10, "{accepted}");
        assert_eq!(entries(&log, &r).await.len(), accepted);
        assert_eq!(texts(&log, &r).await.len(), accepted);
        // Somebody makes room.
        store.close().await;
        drop(log);
        let log = database.open().await.room_log();
        let next = one(&log, &r, say(&r, &user("alice"), "next"))
            .await
            .unwrap();
        assert_eq!(next.position.seq, accepted as u64 + 1);
    });
}

#[test]
fn a_file_that_cannot_be_made_is_an_error_that_says_why() {
    chat_testkit::run(async {
        let database = Database::sqlite();
        let mut config = database.config();
        let below_a_file = format!("{}/chat.db", database.url());
        std::fs::write(database.path(), "").unwrap();
        config.url = chat_sql::SqlUrl::parse(&below_a_file).unwrap();
        let error = SqlStore::open(config).await.unwrap_err();
        assert!(matches!(error, chat_sql::OpenError::File(_)), "{error:?}");
        std::fs::write(database.path(), "no database at all".repeat(100)).unwrap();
        let error = SqlStore::open(database.config()).await.unwrap_err();
        assert!(!matches!(error, chat_sql::OpenError::File(_)), "{error:?}");
    });
}

#[test]
fn a_reopened_file_has_all_that_was_acked_and_knows_its_keys() {
    chat_testkit::run(async {
        let database = Database::sqlite();
        let r = room("r");
        let said = keyed(say(&r, &user("alice"), "once"), "k", 1);
        let store = database.open().await;
        let log = store.room_log();
        let first = one(&log, &r, said.clone()).await.unwrap();
        drop(log);
        store.close().await;
        let log = database.open().await.room_log();
        let retried = one(&log, &r, again(&said)).await.unwrap();
        assert!(retried.duplicate);
        assert_eq!(retried.position, first.position);
        assert_eq!(log.open(&r).await.unwrap().position, first.position);
    });
}

#[test]
fn a_restored_older_copy_has_other_entries_at_the_same_numbers() {
    chat_testkit::run(async {
        let database = Database::sqlite();
        let r = room("r");
        let store = database.open().await;
        let log = store.room_log();
        one(&log, &r, say(&r, &user("alice"), "kept"))
            .await
            .unwrap();
        let copy = database.path().with_extension("copy");
        database
            .run(format!("VACUUM INTO '{}'", copy.display()))
            .await;
        let lost = one(&log, &r, say(&r, &user("alice"), "lost"))
            .await
            .unwrap();
        drop(log);
        store.close().await;
        std::fs::rename(copy, database.path()).unwrap();
        let log = database.open().await.room_log();
        let other = one(&log, &r, say(&r, &user("alice"), "other"))
            .await
            .unwrap();
        // The same number under another id is what a feed proves a rollback by.
        assert_eq!(other.position.seq, lost.position.seq);
        assert_ne!(other.position.id, lost.position.id);
        let read = log.read_after(&r, lost.position.seq, 1).await.unwrap();
        assert_eq!(read.anchor, Some(other.position.id));
        let head = log
            .set_epoch(&r, lost.position.epoch, lost.position.seq)
            .await
            .unwrap();
        assert_ne!(head.position.epoch, lost.position.epoch);
    });
}

#[test]
fn appends_of_a_closed_store_are_answered() {
    chat_testkit::run(async {
        let database = Database::sqlite();
        let store = database.open().await;
        let r = room("r");
        let log = store.room_log();
        let said = say(&r, &user("alice"), "in time");
        let (appended, ()) = tokio::join!(one(&log, &r, said), async {});
        appended.unwrap();
        let closing = tokio::spawn(store.close());
        let outcome = append(&log, &r, vec![say(&r, &user("alice"), "late")], TIMEOUT).await;
        drop(log);
        closing.await.unwrap();
        let log = database.open().await.room_log();
        let kept = texts(&log, &r).await.len();
        assert_eq!(kept, 1 + usize::from(outcome[0].is_ok()));
    });
}
