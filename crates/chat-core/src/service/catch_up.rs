//! Does what feeds want: reads what the broker did not bring, verifies what is doubted, and
//! settles what comes after a loss.

use std::sync::Arc;

use crate::event::Event;
use crate::feed::{Feed, Loss, Want};
use crate::limits::READ_ENTRIES_MAX;
use crate::position::Position;
use crate::room_log::Head;
use crate::service::backoff::Backoff;
use crate::service::room::RoomHub;
use crate::service::{Inner, counting};

/// Rooms whose heads are asked for at once.
const HEADS_BATCH: usize = 256;

impl Inner {
    /// Starts a task that does what a room's feed wants, unless one is at it.
    pub(super) fn drive(self: &Arc<Self>, room: &Arc<RoomHub>) {
        let (drives, counts) = {
            let mut state = room.state.lock();
            (state.claim_drive(), state.claim_count())
        };
        if drives {
            self.spawn(drive(Arc::clone(self), Arc::clone(room)));
        }
        if counts {
            self.spawn(counting::tell_owed(Arc::clone(self), Arc::clone(room)));
        }
    }

    /// Compares rooms with the heads of their logs. A log that is away is asked until it answers:
    /// one call for many rooms, where a read of each would overrun it as it comes back.
    pub(super) async fn compare(self: &Arc<Self>, rooms: &[Arc<RoomHub>]) {
        for batch in rooms.chunks(HEADS_BATCH) {
            let mut backoff = Backoff::default();
            while !self.compare_batch(batch).await {
                backoff.wait().await;
            }
        }
    }

    /// Answers whether the log answered.
    async fn compare_batch(self: &Arc<Self>, batch: &[Arc<RoomHub>]) -> bool {
        let asked: Vec<(&Arc<RoomHub>, Option<Position>)> = batch
            .iter()
            .filter_map(|room| Some((room, stands_at(room)?)))
            .collect();
        let ids: Vec<_> = asked.iter().map(|(room, _)| room.id.clone()).collect();
        if ids.is_empty() {
            return true;
        }
        let Ok(heads) = self.stored(self.log.heads(&ids).await) else {
            return false;
        };
        for (place, (room, asked)) in asked.into_iter().enumerate() {
            let Some(asked) = asked else {
                let is_there = heads.get(place).is_some_and(Option::is_some);
                self.seek_log(room, is_there);
                continue;
            };
            let mut state = room.state.lock();
            if let Some(feed) = &mut state.feed {
                feed.on_head(heads.get(place).and_then(Option::as_ref), asked);
                state.hear_epoch();
            }
            drop(state);
            self.drive(room);
        }
        true
    }
}

/// Where a room's feed stands; nothing (inside) of one that awaits a log. One that is not there yet
/// has to doubt what it will begin with.
fn stands_at(room: &RoomHub) -> Option<Option<Position>> {
    let mut state = room.state.lock();
    // Signals may have been lost as well.
    state.reads.doubt();
    let last = state.feed.as_ref().map(Feed::last);
    if last.is_none() && !state.awaits_log {
        state.doubt_early();
    }
    (last.is_some() || state.awaits_log).then_some(last)
}

fn want(room: &RoomHub) -> Want {
    let mut state = room.state.lock();
    let want = state.feed.as_ref().map_or(Want::Nothing, Feed::want);
    if want == Want::Nothing {
        state.is_driven = false;
    }
    want
}

async fn drive(inner: Arc<Inner>, room: Arc<RoomHub>) {
    let mut backoff = Backoff::default();
    let mut waited = false;
    loop {
        let done = match want(&room) {
            Want::Nothing => {
                // What was read may be owed to somebody.
                inner.drive(&room);
                return;
            }
            Want::ReadSoon if !waited && !inner.log.announces() => {
                tokio::time::sleep(inner.limits.gap_wait).await;
                waited = true;
                continue;
            }
            Want::ReadSoon | Want::ReadNow => read(&inner, &room, "gap").await,
            Want::Verify => read(&inner, &room, "verify").await,
            Want::Reset(loss) => settle(&inner, &room, loss).await,
        };
        waited = false;
        if done {
            backoff.reset();
        } else {
            backoff.wait().await;
        }
    }
}

/// Reads on from the last delivered entry. Answers whether the log answered.
async fn read(inner: &Arc<Inner>, room: &Arc<RoomHub>, reason: &'static str) -> bool {
    let Some(from) = room.state.lock().feed.as_mut().map(Feed::begin_read) else {
        return true;
    };
    let read = inner
        .read_after(&room.id, from.seq, READ_ENTRIES_MAX, reason)
        .await;
    let mut state = room.state.lock();
    let Some(feed) = &mut state.feed else {
        return true;
    };
    let Ok(read) = read else {
        feed.fail_read();
        return false;
    };
    let mut out = Vec::new();
    feed.on_read(read, &mut out);
    state.deliver(out, &inner.metrics);
    drop(state);
    inner.follow_changes(room);
    true
}

/// The log lost what was delivered: tells it once, and goes on from the head. Answers whether the
/// log answered.
async fn settle(inner: &Arc<Inner>, room: &Arc<RoomHub>, loss: Loss) -> bool {
    let head = if loss.proved_rollback {
        start_epoch(inner, room).await
    } else if room.is_attended() {
        go_on(inner, room).await
    } else {
        match look_on(inner, room).await {
            // Nobody who joined needs a log: none is brought into being.
            Some(None) => {
                room.state.lock().await_log(&inner.metrics);
                return true;
            }
            head => head.flatten(),
        }
    };
    let Some(head) = head else { return false };
    let (reason, position) = (loss.reason, head.position);
    tracing::warn!(room = %room.id, ?reason, seq = position.seq, "the log was lost or trimmed");
    let event = Event::Reset {
        room: room.id.clone(),
        reason,
        position,
    };
    let mut state = room.state.lock();
    state.reset(event, position, &inner.metrics);
    drop(state);
    inner.follow_changes(room);
    true
}

/// Nothing is proved: goes on from wherever the log stands, unless it was rolled back meanwhile.
async fn go_on(inner: &Arc<Inner>, room: &Arc<RoomHub>) -> Option<Head> {
    let head = inner.stored(inner.log.open(&room.id).await).ok()?;
    let disproved = room.state.lock().feed.as_ref()?.is_disproved_by(&head);
    if disproved {
        return start_epoch(inner, room).await;
    }
    Some(head)
}

/// The same where nobody has joined: there may be no log any more.
async fn look_on(inner: &Arc<Inner>, room: &Arc<RoomHub>) -> Option<Option<Head>> {
    let heads = inner.heads_of(std::slice::from_ref(&room.id)).await.ok()?;
    let Some(head) = heads.first().copied().flatten() else {
        return Some(None);
    };
    let disproved = room.state.lock().feed.as_ref()?.is_disproved_by(&head);
    if disproved {
        return start_epoch(inner, room).await.map(Some);
    }
    Some(Some(head))
}

/// A rollback was proved: starts a new epoch behind the last entry that this node and the log
/// share, unless another node has done so.
async fn start_epoch(inner: &Arc<Inner>, room: &Arc<RoomHub>) -> Option<Head> {
    let (known, oldest, last) = {
        let state = room.state.lock();
        let feed = state.feed.as_ref()?;
        (feed.last().epoch, feed.oldest_known(), feed.last().seq)
    };
    let mut shared = None;
    let mut from = oldest.saturating_sub(1);
    loop {
        let read = inner
            .read_after(&room.id, from, READ_ENTRIES_MAX, "rollback")
            .await
            .ok()?;
        let state = room.state.lock();
        let feed = state.feed.as_ref()?;
        let same = read
            .entries
            .iter()
            .filter(|entry| feed.has_delivered(&entry.position));
        shared = same.map(|entry| entry.position.seq).max().or(shared);
        match read.entries.last().map(|entry| entry.position.seq) {
            Some(seq) if seq < last => from = seq,
            _ => break,
        }
    }
    let epoch_start = shared.map_or(oldest.max(1), |seq| seq + 1);
    let head = inner.log.set_epoch(&room.id, known, epoch_start).await;
    let head = inner.stored(head).ok()?;
    let epoch = head.position.epoch;
    if !room.state.lock().feed.as_ref()?.has_left(epoch) {
        return Some(head);
    }
    // Nobody has started one: the log was rolled back to before it came to the epoch that we knew.
    let head = inner.log.set_epoch(&room.id, epoch, epoch_start).await;
    inner.stored(head).ok()
}
