//! What is too old goes, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use chat_core::{AppendError, ManualClock, MessageId, RoomLog};
use chat_sql::{SqlConfig, SqlStore};
use chat_testkit::eventually;
use chat_testkit::make::{again, edit, keyed, react, room, say, user};

use crate::support::{Database, PATIENCE, entries, one, texts};

const HOUR: Duration = Duration::from_secs(3_600);

struct Kept {
    database: Database,
    clock: Arc<ManualClock>,
    store: SqlStore,
}

impl Kept {
    async fn with(change: impl FnOnce(&mut SqlConfig)) -> Self {
        let database = Database::sqlite();
        let mut config = database.config();
        config.sweep_interval = Duration::from_millis(20);
        change(&mut config);
        let clock = Arc::new(ManualClock::new(1_000_000_000));
        let store = SqlStore::open_with_clock(config, clock.clone()).await;
        Self {
            database,
            clock,
            store: store.unwrap(),
        }
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(u64::try_from(time.as_millis()).unwrap());
    }

    async fn until(&self, table: &str, rows: i64) {
        let count = format!("SELECT count(*) FROM {table}");
        eventually(PATIENCE, table, || async {
            (self.database.number(&count).await == rows).then_some(())
        })
        .await;
    }
}

#[test]
fn entries_go_with_the_traffic_and_messages_stay() {
    chat_testkit::run(async {
        let kept = Kept::with(|config| config.log_max = 16).await;
        let log = kept.store.room_log();
        let r = room("r");
        for number in 0..50 {
            let said = say(&r, &user("alice"), &number.to_string());
            one(&log, &r, said).await.unwrap();
        }
        kept.until("entries", 16).await;
        assert_eq!(texts(&log, &r).await.len(), 50);
        let head = log.open(&r).await.unwrap();
        kept.pass(HOUR * 25);
        kept.until("entries", 0).await;
        assert_eq!(texts(&log, &r).await.len(), 50);
        let read = log.read_after(&r, head.position.seq, 10).await.unwrap();
        assert_eq!(read.head, Some(head), "whoever had all has missed nothing");
        assert_eq!(read.anchor, Some(head.position.id));
        let next = one(&log, &r, say(&r, &user("alice"), "next"))
            .await
            .unwrap();
        assert_eq!((next.position.seq, next.prev), (51, head.position.id));
        // What a message has become is not bounded by the log.
        let page = log
            .page(&r, chat_core::PageFrom::After(0), 1)
            .await
            .unwrap();
        let edited = edit(&r, &user("alice"), page.messages[0].id, "still");
        one(&log, &r, edited).await.unwrap();
        assert_eq!(texts(&log, &r).await[0], "still");
    });
}

#[test]
fn keys_are_forgotten_after_two_windows() {
    chat_testkit::run(async {
        let kept = Kept::with(|config| config.key_window = HOUR).await;
        let log = kept.store.room_log();
        let r = room("r");
        let said = keyed(say(&r, &user("alice"), "once"), "k", 1);
        one(&log, &r, said.clone()).await.unwrap();
        kept.pass(HOUR);
        assert!(one(&log, &r, again(&said)).await.unwrap().duplicate);
        kept.pass(HOUR);
        kept.until("keys", 0).await;
        assert!(!one(&log, &r, again(&said)).await.unwrap().duplicate);
    });
}

#[test]
fn messages_go_when_they_are_too_old_with_all_that_has_their_text() {
    chat_testkit::run(async {
        let kept = Kept::with(|config| config.messages_ttl = Some(HOUR * 2)).await;
        let log = kept.store.room_log();
        let r = room("r");
        let old = one(&log, &r, say(&r, &user("alice"), "old")).await.unwrap();
        let old = MessageId {
            seq: old.position.seq,
            entry: old.position.id,
        };
        let reaction = react(&r, &user("bob"), old, "+", false);
        one(&log, &r, reaction).await.unwrap();
        kept.pass(HOUR);
        one(&log, &r, say(&r, &user("alice"), "new")).await.unwrap();
        kept.pass(HOUR + HOUR / 2);
        kept.until("messages", 1).await;
        kept.until("reactions", 0).await;
        assert_eq!(texts(&log, &r).await, ["new"]);
        assert_eq!(entries(&log, &r).await[0].position.seq, 2);
        assert_eq!(log.message(&r, old).await.unwrap(), None);
        let late = one(&log, &r, edit(&r, &user("alice"), old, "late")).await;
        assert_eq!(late, Err(AppendError::NotFound));
    });
}

#[test]
fn a_room_keeps_its_newest_messages() {
    chat_testkit::run(async {
        let kept = Kept::with(|config| config.messages_max = Some(10)).await;
        let log = kept.store.room_log();
        let (r, small) = (room("r"), room("small"));
        one(&log, &small, say(&small, &user("alice"), "only"))
            .await
            .unwrap();
        for number in 0..35 {
            let said = say(&r, &user("alice"), &number.to_string());
            one(&log, &r, said).await.unwrap();
        }
        kept.until("messages", 11).await;
        assert_eq!(texts(&log, &r).await[0], "25");
        assert_eq!(texts(&log, &small).await, ["only"]);
    });
}
