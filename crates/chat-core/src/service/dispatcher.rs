//! The two ends of the broker on this node: what it brings goes to the rooms, signals go out.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::envelope::{self, Envelope};
use crate::event::Part;
use crate::ids::{InstanceId, RoomId};
use crate::pubsub::{EventStream, PubSubEvent, Publication};
use crate::service::Inner;
use crate::service::housekeeping::Timer;
use crate::service::known::KNOWN_FOR;
use crate::service::room::{Inbound, RoomHub};
use crate::signal::{Seen, Signal};
use crate::topic::Topic;

/// Events that are taken from the broker at once: what arrived together is delivered together,
/// so that each connection is woken and written to once.
const BATCH: usize = 256;
/// Signals that wait to be published. They may be lost: more than that is a broker that is away.
const SIGNALS_QUEUED: usize = 4_096;
/// Signals that are published in one batch.
const SIGNALS_BATCH: usize = 128;

/// How often is told who has read.
const READS_INTERVAL: Duration = Duration::from_secs(1);

/// Where signals go to be published.
#[derive(Debug)]
pub(super) struct Signals {
    queue: mpsc::Sender<Publication>,
    /// The broker said `Lost` and not yet `Restored`.
    cut: AtomicBool,
    cut_since: Mutex<Option<Instant>>,
    /// Counts the times that the link came back.
    restored: AtomicU64,
}

pub(super) fn signal_queue() -> (Signals, mpsc::Receiver<Publication>) {
    let (queue, queued) = mpsc::channel(SIGNALS_QUEUED);
    (
        Signals {
            queue,
            cut: AtomicBool::new(false),
            cut_since: Mutex::default(),
            restored: AtomicU64::new(0),
        },
        queued,
    )
}

impl Inner {
    /// Publishes a signal, soon and at most once.
    pub(super) fn signal(&self, topic: Topic, signal: &Signal) {
        let envelope = envelope::encode_signal(self.instance, &topic, signal);
        if self
            .signals
            .queue
            .try_send(Publication { topic, envelope })
            .is_err()
        {
            self.metrics.signals_dropped.inc();
        }
    }

    /// Publishes a signal that is said only once, so that it must not get lost in a burst: waits for
    /// its place among the others.
    pub(super) async fn signal_in_turn(&self, topic: Topic, signal: &Signal) {
        let envelope = envelope::encode_signal(self.instance, &topic, signal);
        let queued = self.signals.queue.send(Publication { topic, envelope });
        if queued.await.is_err() {
            self.metrics.signals_dropped.inc();
        }
    }

    /// Whether the broker brings what is published.
    pub(super) fn is_linked(&self) -> bool {
        !self.signals.cut.load(Ordering::Acquire)
    }

    /// Whether it did so a moment ago: what was followed until then still counts.
    pub(super) fn is_linked_lately(&self) -> bool {
        let is_recent = |since: Instant| since.elapsed() < KNOWN_FOR;
        self.is_linked() || self.signals.cut_since.lock().is_some_and(is_recent)
    }

    /// In which life the link is: what was followed in an earlier one has a hole.
    pub(super) fn link_life(&self) -> u64 {
        self.signals.restored.load(Ordering::Acquire)
    }
}

/// Publishes signals in batches.
pub(super) async fn publish_signals(inner: Arc<Inner>, mut queued: mpsc::Receiver<Publication>) {
    let mut batch = Vec::with_capacity(SIGNALS_BATCH);
    while queued.recv_many(&mut batch, SIGNALS_BATCH).await > 0 {
        let count = batch.len() as u64;
        if let Err(error) = inner.pubsub.publish(std::mem::take(&mut batch)).await {
            tracing::debug!(%error, count, "signals were not published");
            inner.metrics.signals_dropped.inc_by(count);
        }
    }
}

/// Takes what the broker brings, in batches.
pub(super) async fn run(inner: Arc<Inner>, mut events: EventStream) {
    let mut batch = Vec::with_capacity(BATCH);
    while events.next_batch(&mut batch, BATCH).await {
        let mut round = Round::default();
        for event in batch.drain(..) {
            match event {
                PubSubEvent::Envelope(publication) => inner.sort(publication, &mut round),
                PubSubEvent::Gap {
                    topic: Topic::Room(room),
                } => {
                    round.add(&inner, &room, Inbound::Gap);
                }
                PubSubEvent::Gap {
                    topic: Topic::User(user),
                } => inner.doubt_user(&user),
                PubSubEvent::Gap {
                    topic: Topic::Control,
                } => inner.look_at_revocations(),
                PubSubEvent::Gap { .. } => {}
                PubSubEvent::Lost => inner.lost(),
                PubSubEvent::Restored => inner.restored(),
            }
        }
        // Before the rooms are told that these have left.
        inner.note_ended(round.ended);
        for (room, inbound) in round.rooms {
            inner.hand_over(&room, inbound);
        }
        // A busy broker must not starve the connections that it feeds.
        tokio::task::yield_now().await;
    }
}

/// What arrived together, by room, in the order of arrival.
#[derive(Default)]
struct Round {
    rooms: Vec<(Arc<RoomHub>, Vec<Inbound>)>,
    /// Users who were ended with the node that had them.
    ended: Vec<Seen>,
    places: HashMap<RoomId, usize>,
}

impl Round {
    fn add(&mut self, inner: &Inner, room: &RoomId, inbound: Inbound) {
        if let Some((last, list)) = self.rooms.last_mut()
            && last.id == *room
        {
            list.push(inbound);
            return;
        }
        if let Some((_, list)) = self.places.get(room).and_then(|at| self.rooms.get_mut(*at)) {
            list.push(inbound);
        } else if let Some(hub) = inner.rooms.find(room) {
            self.places.insert(room.clone(), self.rooms.len());
            self.rooms.push((hub, vec![inbound]));
        }
    }
}

impl Inner {
    fn sort(self: &Arc<Self>, publication: Publication, round: &mut Round) {
        self.metrics.envelopes.inc();
        let Publication { topic, envelope } = publication;
        let envelope = match envelope::decode(&topic, &envelope) {
            Ok(envelope) => envelope,
            Err(error) => {
                tracing::warn!(%topic, %error, "bad envelope");
                self.metrics.bad_envelopes.inc();
                match &topic {
                    // If it was an entry, the log still has it.
                    Topic::Room(room) => round.add(self, room, Inbound::Gap),
                    Topic::User(user) => self.doubt_user(user),
                    Topic::Control => self.look_at_revocations(),
                    Topic::Node(_) => {}
                }
                return;
            }
        };
        let room = match (topic, envelope) {
            (
                topic,
                Envelope::Signal {
                    origin,
                    signal: Signal::Presence(seen),
                },
            ) => return self.take_presence(topic, origin, seen, round),
            (Topic::Room(room), envelope) => (room, envelope),
            (Topic::User(user), Envelope::Signal { origin, signal }) => {
                return self.take_user_signal(&user, origin, signal);
            }
            (
                Topic::Control,
                Envelope::Signal {
                    signal: Signal::Revocations,
                    ..
                },
            ) => return self.look_at_revocations(),
            _ => return,
        };
        let (room, envelope) = room;
        let inbound = match envelope {
            Envelope::Entry(entry) => Inbound::Entry(Arc::new(entry)),
            Envelope::Head(header) => Inbound::Head(header),
            Envelope::Signal { signal, .. } => Inbound::Signal(signal),
        };
        round.add(self, &room, inbound);
    }

    fn take_presence(&self, topic: Topic, origin: InstanceId, seen: Seen, round: &mut Round) {
        match topic {
            Topic::Room(room) => self.note_presence(room, seen),
            // What this node said itself it has told its rooms.
            Topic::User(_) if origin != self.instance => self.hear_presence(&seen),
            Topic::Control => round.ended.push(seen),
            Topic::User(_) | Topic::Node(_) => {}
        }
    }

    fn hand_over(self: &Arc<Self>, room: &Arc<RoomHub>, inbound: Vec<Inbound>) {
        let mut state = room.state.lock();
        let received = state.receive(inbound, &self.metrics);
        drop(state);
        self.follow_changes(room);
        for typist in received.typists {
            let timer = Timer::StopTyping(Arc::clone(room), typist);
            self.timers.after(self.limits.typing_ttl, timer);
        }
        if received.reads {
            self.timers
                .after(READS_INTERVAL, Timer::TellReads(Arc::clone(room)));
        }
        if received.log {
            self.seek_log(room, true);
        }
        if received.gap {
            self.mend(room);
        }
        self.drive(room);
    }

    /// Something was lost on a room's topic: compares it with its log and with presence.
    fn mend(self: &Arc<Self>, room: &Arc<RoomHub>) {
        if !room.state.lock().mending.claim() {
            return;
        }
        let (inner, room) = (Arc::clone(self), Arc::clone(room));
        self.spawn(async move {
            loop {
                inner.compare(std::slice::from_ref(&room)).await;
                inner.refresh_roster(&room).await;
                if !room.state.lock().mending.goes_on() {
                    return;
                }
            }
        });
    }

    fn lost(&self) {
        self.signals
            .cut_since
            .lock()
            .get_or_insert_with(Instant::now);
        self.signals.cut.store(true, Ordering::Release);
        self.metrics.links_lost.inc();
        self.set_part(Part::BrokerIn, true);
    }

    fn restored(self: &Arc<Self>) {
        // First, so that nobody takes the link for one that was never cut.
        self.signals.restored.fetch_add(1, Ordering::AcqRel);
        self.signals.cut.store(false, Ordering::Release);
        *self.signals.cut_since.lock() = None;
        self.set_part(Part::BrokerIn, false);
        self.look_at_revocations();
        self.heal();
    }
}
