//! Lanes: entries of a room enter its log in the order in which they were handed over.
//!
//! A room belongs to one lane. A lane has one batch under way and waits for its outcome before
//! the next; parallelism comes from lanes. Alone, an entry waits for nobody; under load, what
//! gathered during one append is the next batch.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::Instant;

use crate::entry::EntryHeader;
use crate::envelope;
use crate::error::ServiceError;
use crate::event::Part;
use crate::ids::RoomId;
use crate::limits::{APPEND_BYTES_MAX, APPEND_ENTRIES_MAX, Limits};
use crate::metrics::ReasonLabel;
use crate::pubsub::Publication;
use crate::room_log::{AppendCall, AppendError, Appended, NewEntry};
use crate::service::Inner;
use crate::service::send::Ticket;
use crate::topic::Topic;

/// Entries that a lane looks at for one batch.
const BATCH: usize = 512;
/// How often heads that could not be announced are tried again.
const ANNOUNCE_RETRY: Duration = Duration::from_millis(500);

/// An entry on its way to the log.
#[derive(Debug)]
pub(super) struct Item {
    pub(super) room: RoomId,
    pub(super) entry: NewEntry,
    pub(super) done: Done,
    pub(super) since: Instant,
}

/// Who waits for the outcome.
#[derive(Debug)]
pub(super) enum Done {
    /// A connection, whose answer goes to its outbox.
    Connection(Ticket),
    /// Somebody who awaits it.
    Caller(oneshot::Sender<Result<Appended, ServiceError>>),
}

/// The lanes of a node.
#[derive(Debug)]
pub(super) struct Lanes {
    lanes: Vec<mpsc::Sender<Item>>,
}

impl Lanes {
    pub(super) fn new(limits: &Limits) -> (Self, Vec<mpsc::Receiver<Item>>) {
        let lanes = (0..limits.lanes.max(1)).map(|_| mpsc::channel(limits.lane_queue.max(1)));
        let (lanes, queues) = lanes.unzip();
        (Self { lanes }, queues)
    }

    fn of(&self, room: &RoomId) -> &mpsc::Sender<Item> {
        let mut hasher = DefaultHasher::new();
        room.hash(&mut hasher);
        let lanes = self.lanes.len() as u64;
        &self.lanes[usize::try_from(hasher.finish() % lanes).unwrap_or(0)]
    }
}

impl Inner {
    /// Hands an entry to its room's lane. A full lane is waited for, briefly.
    pub(super) async fn submit(&self, item: Item) {
        let lane = self.lanes.of(&item.room);
        // The common case takes no timer.
        let item = match lane.try_send(item) {
            Ok(()) => return,
            Err(
                mpsc::error::TrySendError::Full(item) | mpsc::error::TrySendError::Closed(item),
            ) => item,
        };
        match tokio::time::timeout(self.limits.lane_wait, lane.reserve()).await {
            Ok(Ok(place)) => place.send(item),
            Ok(Err(_)) | Err(_) => {
                self.metrics.limit("lane_queue");
                item.done.finish(Err(ServiceError::unavailable("the log")));
            }
        }
    }
}

impl Done {
    fn finish(self, outcome: Result<Appended, ServiceError>) {
        match self {
            Self::Connection(ticket) => ticket.answer(outcome),
            // Nobody waits any more: the entry is in the log all the same.
            Self::Caller(caller) => drop(caller.send(outcome)),
        }
    }
}

/// One lane, until its node ends.
pub(super) async fn run(inner: Arc<Inner>, mut queue: mpsc::Receiver<Item>) {
    let mut waiting = VecDeque::new();
    let mut taken = Vec::new();
    loop {
        if waiting.is_empty() && queue.recv_many(&mut taken, BATCH).await == 0 {
            return;
        }
        while taken.len() + waiting.len() < BATCH {
            let Ok(item) = queue.try_recv() else { break };
            taken.push(item);
        }
        waiting.extend(taken.drain(..));
        let batch = Batch::cut(&mut waiting);
        batch.run(&inner).await;
    }
}

/// What goes to the log in one append: at most one call per room.
#[derive(Default)]
struct Batch {
    calls: Vec<AppendCall>,
    waiters: Vec<Vec<(Done, Instant)>>,
}

impl Batch {
    /// Takes what fits. What does not stays, in its order: once an item of a room stays, all
    /// behind it do.
    fn cut(waiting: &mut VecDeque<Item>) -> Self {
        let mut batch = Self::default();
        let mut places: HashMap<RoomId, (usize, usize)> = HashMap::new();
        let mut staying = VecDeque::new();
        let mut full: HashSet<RoomId> = HashSet::new();
        for item in waiting.drain(..) {
            let (place, bytes) = *places.entry(item.room.clone()).or_insert_with(|| {
                batch.calls.push(AppendCall {
                    room: item.room.clone(),
                    entries: Vec::new(),
                });
                batch.waiters.push(Vec::new());
                (batch.calls.len() - 1, 0)
            });
            let call = &mut batch.calls[place];
            let size = bytes + item.entry.tail.len();
            let fits = call.entries.is_empty()
                || (call.entries.len() < APPEND_ENTRIES_MAX && size <= APPEND_BYTES_MAX);
            if full.contains(&item.room) || !fits {
                full.insert(item.room.clone());
                staying.push_back(item);
                continue;
            }
            places.insert(item.room, (place, size));
            call.entries.push(item.entry);
            batch.waiters[place].push((item.done, item.since));
        }
        *waiting = staying;
        batch
    }

    async fn run(self, inner: &Arc<Inner>) {
        inner.metrics.append_calls.inc();
        // Kept for publishing: a log that announces itself needs no copy.
        let announces = inner.log.announces();
        let copies: Vec<Vec<bytes::Bytes>> = if announces {
            Vec::new()
        } else {
            let tails = |call: &AppendCall| call.entries.iter().map(|e| e.tail.clone()).collect();
            self.calls.iter().map(tails).collect()
        };
        let rooms: Vec<_> = self.calls.iter().map(|call| call.room.clone()).collect();
        let outcomes = inner
            .log
            .append(self.calls, inner.limits.append_timeout)
            .await;
        inner.note_acked(&rooms, &outcomes);
        let batch = unpublished(&rooms, &copies, &outcomes);
        if !announces {
            inner.unannounced.add(&in_doubt(&rooms, &outcomes));
        }
        // The ack says that the log has it, not that anybody was told: a broker that is away must
        // not hold it up.
        // A log that answers too little breaks its contract; nobody waits in vain all the same.
        let mut outcomes = outcomes.into_iter();
        for waiters in self.waiters {
            let mut outcomes = outcomes.next().unwrap_or_default().into_iter();
            for (done, since) in waiters {
                let outcome = outcomes.next().unwrap_or_else(unanswered);
                inner
                    .metrics
                    .send_seconds
                    .observe(since.elapsed().as_secs_f64());
                done.finish(inner.count(outcome));
            }
        }
        publish(inner, batch, &rooms).await;
    }
}

impl Inner {
    /// Lets rooms that are served here know what their logs have.
    fn note_acked(&self, rooms: &[RoomId], outcomes: &[Vec<Result<Appended, AppendError>>]) {
        for (room, outcomes) in rooms.iter().zip(outcomes) {
            let accepted = outcomes.iter().flatten();
            let newest = accepted.map(|appended| appended.position.seq).max();
            if let Some((hub, seq)) = self.rooms.find(room).zip(newest) {
                hub.state.lock().acked(seq);
            }
        }
    }

    /// Counts an outcome, and says it as clients may hear it.
    fn count(&self, outcome: Result<Appended, AppendError>) -> Result<Appended, ServiceError> {
        let error = match outcome {
            Ok(appended) => {
                self.set_part(Part::Store, false);
                if appended.duplicate {
                    self.metrics.duplicates.inc();
                } else {
                    self.metrics.appended.inc();
                }
                return Ok(appended);
            }
            Err(error) => error,
        };
        let (reason, answer) = match error {
            AppendError::NotFound => ("not_found", ServiceError::NotFound("message")),
            AppendError::Forbidden => (
                "forbidden",
                ServiceError::Forbidden("only the author may do this"),
            ),
            AppendError::Conflict => ("conflict", ServiceError::Conflict),
            AppendError::Full(what) => (
                "full",
                ServiceError::bad_request("emoji", format!("is one too many: {what}")),
            ),
            AppendError::Refused(why) => {
                tracing::warn!(%why, "the log refused an entry");
                self.set_part(Part::Store, true);
                ("refused", ServiceError::unavailable("the log"))
            }
            AppendError::Unavailable(why) => {
                tracing::warn!(%why, "the outcome of an append is unknown");
                self.set_part(Part::Store, true);
                ("unavailable", ServiceError::unavailable("the log"))
            }
        };
        self.metrics
            .append_failures
            .get_or_create(&ReasonLabel { reason })
            .inc();
        Err(answer)
    }
}

fn unanswered() -> Result<Appended, AppendError> {
    Err(AppendError::Unavailable(
        "the log did not answer".to_owned(),
    ))
}

/// What the log accepted and did not announce itself.
fn unpublished(
    rooms: &[RoomId],
    tails: &[Vec<bytes::Bytes>],
    outcomes: &[Vec<Result<Appended, AppendError>>],
) -> Vec<Publication> {
    let mut batch = Vec::new();
    for ((room, tails), outcomes) in rooms.iter().zip(tails).zip(outcomes) {
        for (tail, outcome) in tails.iter().zip(outcomes) {
            let Ok(appended) = outcome else { continue };
            if appended.duplicate || appended.announced {
                continue;
            }
            let Appended {
                position,
                prev,
                at_ms,
                ..
            } = *appended;
            let header = EntryHeader {
                position,
                prev,
                at_ms,
            };
            let envelope = envelope::encode_entry(&header, tail);
            batch.push(Publication {
                topic: Topic::Room(room.clone()),
                envelope,
            });
        }
    }
    batch
}

/// Rooms whose log may have taken something and did not say so. Its envelope cannot be made, and a
/// retry is a duplicate that nobody publishes: others learn of it by the room's head.
fn in_doubt(rooms: &[RoomId], outcomes: &[Vec<Result<Appended, AppendError>>]) -> Vec<RoomId> {
    let is_unknown = |outcome: &Result<_, _>| matches!(outcome, Err(AppendError::Unavailable(_)));
    let doubted = rooms
        .iter()
        .zip(outcomes)
        .filter(|(_, outcomes)| outcomes.iter().any(is_unknown));
    doubted.map(|(room, _)| room.clone()).collect()
}

async fn publish(inner: &Arc<Inner>, batch: Vec<Publication>, rooms: &[RoomId]) {
    if batch.is_empty() {
        return;
    }
    if inner.parts.is_away(Part::BrokerOut) {
        // Asked now, one that stalls would hold up the lane's next append: once in a while is enough.
        inner.unannounced.add(rooms);
        return;
    }
    match inner.pubsub.publish(batch).await {
        Ok(()) => inner.set_part(Part::BrokerOut, false),
        Err(error) => {
            tracing::warn!(%error, "entries were not published, their heads will be");
            inner.set_part(Part::BrokerOut, true);
            inner.unannounced.add(rooms);
        }
    }
}

/// Rooms with entries that nobody could be told of.
#[derive(Debug, Default)]
pub(super) struct Unannounced {
    rooms: Mutex<HashSet<RoomId>>,
    added: Notify,
}

impl Unannounced {
    fn add(&self, rooms: &[RoomId]) {
        if rooms.is_empty() {
            return;
        }
        self.rooms.lock().extend(rooms.iter().cloned());
        self.added.notify_one();
    }
}

/// Announces bare heads of rooms whose entries could not be published, once that works again.
pub(super) async fn announce_later(inner: Arc<Inner>) {
    loop {
        inner.unannounced.added.notified().await;
        loop {
            tokio::time::sleep(ANNOUNCE_RETRY).await;
            // Taken out first: a room that fails again meanwhile is added again.
            let rooms: Vec<_> = std::mem::take(&mut *inner.unannounced.rooms.lock())
                .into_iter()
                .collect();
            if rooms.is_empty() {
                break;
            }
            if !announce(&inner, &rooms).await {
                inner.unannounced.add(&rooms);
            }
        }
    }
}

/// Answers whether the heads are told.
async fn announce(inner: &Arc<Inner>, rooms: &[RoomId]) -> bool {
    let Ok(heads) = inner.stored(inner.log.heads(rooms).await) else {
        return false;
    };
    let heads = rooms
        .iter()
        .zip(heads)
        .filter_map(|(room, head)| Some((room, head?)));
    let batch = heads.map(|(room, head)| {
        let (position, at_ms) = (head.position, head.at_ms);
        // A bare head has no entry behind it that a `prev` could chain.
        let header = EntryHeader {
            position,
            prev: crate::ids::EntryId(0),
            at_ms,
        };
        Publication {
            topic: Topic::Room(room.clone()),
            envelope: envelope::encode_head(&header),
        }
    });
    let told = inner.pubsub.publish(batch.collect()).await.is_ok();
    if told {
        inner.set_part(Part::BrokerOut, false);
    }
    told
}
