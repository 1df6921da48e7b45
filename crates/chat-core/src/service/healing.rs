//! What a link that was restored makes necessary: whatever was said during the cut is looked for.
//!
//! Each kind of work is one task for the life of the node, however often the link comes and goes, and
//! waits for its own store alone: a log that is away must not keep presence from being mended.

use std::sync::Arc;

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::service::Inner;
use crate::service::users::Look;

/// Who is told that there is something to heal.
#[derive(Debug, Default)]
pub(super) struct Healing {
    logs: Notify,
    presence: Notify,
}

impl Inner {
    /// The broker's link is back.
    pub(super) fn heal(self: &Arc<Self>) {
        self.healing.logs.notify_one();
        self.healing.presence.notify_one();
        let inner = Arc::clone(self);
        // Waits for nothing; reads that are under way are made once more, and no others begun.
        self.spawn(async move {
            // Markers have no version: whoever read elsewhere was not heard.
            for hub in inner.users.all() {
                inner.look_at(&hub, Look::All);
            }
        });
    }

    async fn mend_presence(self: &Arc<Self>) {
        // At once: a store that was rolled back believes in people whom nobody looks for any
        // more when the room is given up.
        for room in self.rooms.all() {
            self.correct_attendance(&room).await;
        }
        self.correct_users().await;
    }
}

/// Compares all rooms with their logs after each cut.
pub(super) async fn heal_logs(inner: Arc<Inner>) {
    loop {
        inner.healing.logs.notified().await;
        inner.compare(&inner.rooms.all()).await;
    }
}

/// Compares whom the store believes here, and in all rooms, after each cut.
pub(super) async fn heal_presence(inner: Arc<Inner>) {
    let restored = &inner.healing.presence;
    loop {
        restored.notified().await;
        let node_ttl = inner.limits.node_ttl;
        // A link that comes and goes for ever must not keep rosters from being read.
        let latest = Instant::now() + 2 * node_ttl;
        loop {
            inner.mend_presence().await;
            // Whoever died during the cut is swept by then; before it, rosters would flicker.
            let swept = latest.min(Instant::now() + node_ttl);
            let cut_again = tokio::time::timeout_at(swept, restored.notified());
            if Instant::now() >= latest || cut_again.await.is_err() {
                break;
            }
        }
        for room in inner.rooms.all() {
            inner.refresh_roster(&room).await;
        }
    }
}
