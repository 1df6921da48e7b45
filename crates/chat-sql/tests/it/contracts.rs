//! The contract suites, on a database each.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{Clock, Directory, ManualClock, PubSub, RoomId, RoomLog, SystemClock};
use chat_sql::{SqlConfig, SqlStore};
use chat_testkit::contract::directory::DirectoryHarness;
use chat_testkit::contract::room_log::RoomLogHarness;
use chat_testkit::contract::transfer::{Handles, TransferHarness};
use tokio::sync::Mutex;

use crate::support::{Beside, Database};

const KEY_WINDOW: Duration = Duration::from_secs(3_600);

/// Handles of one store: clones on SQLite, stores of their own, as other nodes have, on PostgreSQL.
struct Stores {
    database: Database,
    clock: Arc<ManualClock>,
    store: SqlStore,
    /// Whoever stalls the database.
    stalling: Mutex<Option<Beside>>,
}

impl Stores {
    async fn start(database: Database) -> Self {
        let clock = Arc::new(ManualClock::new(SystemClock.now_ms()));
        let store = SqlStore::open_with_clock(config(&database), clock.clone());
        Self {
            store: store.await.unwrap(),
            database,
            clock,
            stalling: Mutex::default(),
        }
    }

    fn is_sqlite(&self) -> bool {
        matches!(self.database, Database::Sqlite(_))
    }
}

fn config(database: &Database) -> SqlConfig {
    let mut config = database.config();
    config.log_max = 200;
    config.key_window = KEY_WINDOW;
    config
}

#[async_trait]
impl RoomLogHarness for Stores {
    async fn handle(&self) -> Arc<dyn RoomLog> {
        if self.is_sqlite() {
            return Arc::new(self.store.room_log());
        }
        let store = SqlStore::open(config(&self.database)).await.unwrap();
        Arc::new(store.room_log())
    }

    async fn subscriber(&self) -> Option<Arc<dyn PubSub>> {
        None
    }

    fn log_max(&self) -> u64 {
        200
    }

    fn keeps_messages(&self) -> bool {
        true
    }

    fn key_window(&self) -> Duration {
        KEY_WINDOW
    }

    async fn pass(&self, time: Duration) {
        if self.is_sqlite() {
            self.clock.advance(u64::try_from(time.as_millis()).unwrap());
        } else {
            // The server's clock cannot be moved: all that it wrote down becomes older instead.
            let ms = time.as_millis();
            let window = self.key_window().as_millis();
            let older = format!(
                "UPDATE keys SET at_ms = at_ms - {ms},
                     window_ms = (at_ms - {ms}) - (at_ms - {ms}) % {window};
                 UPDATE logs SET at_ms = at_ms - {ms}, used_ms = used_ms - {ms}"
            );
            self.database.run(older).await;
        }
    }

    async fn set_clock_back(&self, by: Duration) -> bool {
        let by = u64::try_from(by.as_millis()).unwrap();
        self.clock.set(self.clock.now_ms() - by);
        self.is_sqlite()
    }

    async fn lose(&self, room: &RoomId) {
        for table in ["logs", "entries", "messages", "reactions", "keys"] {
            let lose = format!("DELETE FROM {table} WHERE room = '{room}'");
            self.database.run(lose).await;
        }
    }

    async fn roll_back(&self, room: &RoomId, seq: u64) {
        for table in ["entries", "messages", "reactions", "keys"] {
            let roll_back = format!("DELETE FROM {table} WHERE room = '{room}' AND seq > {seq}");
            self.database.run(roll_back).await;
        }
        let head = format!(
            "UPDATE logs SET seq = {seq},
                 id = (SELECT id FROM entries WHERE room = '{room}' AND seq = {seq})
             WHERE room = '{room}'"
        );
        self.database.run(head).await;
    }

    async fn trim(&self, room: &RoomId, seq: u64) {
        let trim = format!("DELETE FROM entries WHERE room = '{room}' AND seq <= {seq}");
        self.database.run(trim).await;
    }

    async fn stall(&self) -> bool {
        let mut beside = self.database.beside().await;
        let lock = if self.is_sqlite() {
            "BEGIN IMMEDIATE"
        } else {
            "BEGIN; LOCK TABLE logs IN ACCESS EXCLUSIVE MODE"
        };
        beside.run(lock).await;
        *self.stalling.lock().await = Some(beside);
        true
    }

    async fn unstall(&self) {
        if let Some(mut beside) = self.stalling.lock().await.take() {
            beside.run("ROLLBACK").await;
        }
    }
}

chat_testkit::room_log_contract!(sqlite_log, || Stores::start(Database::sqlite()));
chat_testkit::room_log_contract!(postgres_log, || async {
    Stores::start(Database::postgres().await).await
});

#[async_trait]
impl DirectoryHarness for Stores {
    async fn handle(&self) -> Arc<dyn Directory> {
        if self.is_sqlite() {
            return Arc::new(self.store.directory());
        }
        let store = SqlStore::open(config(&self.database)).await.unwrap();
        Arc::new(store.directory())
    }

    async fn pass(&self, time: Duration) {
        RoomLogHarness::pass(self, time).await;
    }
}

chat_testkit::directory_contract!(sqlite_directory, || Stores::start(Database::sqlite()));
chat_testkit::directory_contract!(postgres_directory, || async {
    Stores::start(Database::postgres().await).await
});

#[async_trait]
impl TransferHarness for Stores {
    async fn handles(&self) -> Handles {
        let store = if self.is_sqlite() {
            self.store.clone()
        } else {
            SqlStore::open(config(&self.database)).await.unwrap()
        };
        Handles {
            log: Arc::new(store.room_log()),
            logs: Arc::new(store.room_log()),
            directory: Arc::new(store.directory()),
            rooms: Arc::new(store.directory()),
        }
    }

    fn messages_within(&self) -> Option<u64> {
        None
    }

    async fn pass(&self, time: Duration) {
        if self.is_sqlite() {
            RoomLogHarness::pass(self, time).await;
        } else {
            // Each comes later by himself there.
            tokio::time::sleep(time).await;
        }
    }
}

chat_testkit::transfer_contract!(sqlite_transfer, || Stores::start(Database::sqlite()));
chat_testkit::transfer_contract!(postgres_transfer, || async {
    Stores::start(Database::postgres().await).await
});
