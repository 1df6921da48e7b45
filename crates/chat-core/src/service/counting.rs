//! Makes known what counting needs of a room: read once per room and node, whoever waits for it.

use std::sync::Arc;

use futures_util::FutureExt;

use crate::error::ServiceError;
use crate::feed::Feed;
use crate::limits::BACKLOG_MAX;
use crate::metrics::Metrics;
use crate::room_log::PageFrom;
use crate::service::Inner;
use crate::service::backoff::Backoff;
use crate::service::room::{RoomHub, RoomState};
use crate::service::tally::Loaded;
use crate::service::unread::Life;

/// How often it is read again because the log was lost while it was read.
const ROUNDS: usize = 3;

impl Inner {
    /// What is unread in a room can be counted, once this resolves.
    pub(super) async fn make_countable(
        self: &Arc<Self>,
        room: &Arc<RoomHub>,
    ) -> Result<(), ServiceError> {
        for _ in 0..ROUNDS {
            let load = {
                let mut state = room.state.lock();
                if state.watchers.tally.backlog().is_some() {
                    return Ok(());
                }
                let ticket = state.watchers.tally.ticket();
                let (inner, room) = (Arc::clone(self), Arc::clone(room));
                let load = async move { inner.load_counts(&room, ticket).await };
                state.counts.join(ticket, move || load.boxed())
            };
            load.await?;
        }
        Err(ServiceError::unavailable("this room"))
    }

    async fn load_counts(&self, room: &RoomHub, ticket: u64) -> Result<(), ServiceError> {
        let with_newest = room.state.lock().watchers.is_wanted();
        let loaded = self.read_counts(room, with_newest).await;
        let mut state = room.state.lock();
        match loaded {
            Ok(loaded) => {
                state.know(ticket, loaded, &self.metrics);
                Ok(())
            }
            Err(error) => {
                state.watchers.tally.fail();
                Err(error)
            }
        }
    }

    async fn read_counts(&self, room: &RoomHub, with_newest: bool) -> Result<Loaded, ServiceError> {
        let heads = self.log.heads(std::slice::from_ref(&room.id)).await;
        let heads = self.stored(heads)?;
        let Some(head) = heads.first().and_then(Option::as_ref) else {
            // Gone: its feed will find that out, and go on from another one.
            return Err(ServiceError::unavailable("this room"));
        };
        let digests = self.stored(self.log.digests(&room.id, BACKLOG_MAX).await)?;
        let newest = if with_newest {
            let newest = PageFrom::Before(u64::MAX);
            let page = self.stored(self.log.page(&room.id, newest, 1).await)?;
            page.messages.into_iter().next()
        } else {
            None
        };
        Ok(Loaded {
            life: Life::from(head),
            digests,
            newest,
        })
    }
}

impl RoomState {
    /// Markers may be worth something else in another epoch.
    pub(super) fn hear_epoch(&mut self) {
        if let Some(feed) = &self.feed {
            self.watchers.tally.heard(feed.last().epoch);
        }
    }

    /// Takes what was read so that counts are known, and tells what was owed until now.
    pub(super) fn know(&mut self, ticket: u64, loaded: Loaded, metrics: &Metrics) {
        let Some(last) = self.feed.as_ref().map(Feed::last) else {
            return;
        };
        let tally = &mut self.watchers.tally;
        if let Some(owed) = tally.know(ticket, loaded, last) {
            metrics.delivered.inc_by(self.watchers.settle(&owed));
        }
    }

    /// Whether counts have to be made known, for one task at a time.
    pub(super) fn claim_count(&mut self) -> bool {
        self.owes_counts() && !std::mem::replace(&mut self.is_counted, true)
    }

    pub(super) fn owes_counts(&self) -> bool {
        self.feed.is_some() && self.watchers.is_wanted() && self.watchers.tally.owes()
    }
}

/// Makes counts known for those who are owed something. A log that is away is asked until it
/// answers.
pub(super) async fn tell_owed(inner: Arc<Inner>, room: Arc<RoomHub>) {
    let mut backoff = Backoff::default();
    loop {
        {
            let mut state = room.state.lock();
            if !state.owes_counts() {
                state.is_counted = false;
                return;
            }
        }
        if inner.make_countable(&room).await.is_ok() {
            backoff.reset();
            continue;
        }
        backoff.wait().await;
    }
}
