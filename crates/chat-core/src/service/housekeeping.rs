//! What has to be done later or again and again: graces, delayed unsubscribes, typing that ends,
//! comparing heads, telling occupancy, keeping the node's lease, looking for nodes that have died.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::event::{Event, Part};
use crate::ids::{RoomId, UserId};
use crate::presence::Lease;
use crate::service::Inner;
use crate::service::room::RoomHub;

/// Occupancy of big rooms is told at most this often.
const OCCUPANCY_INTERVAL: Duration = Duration::from_secs(1);
/// Timers that are handed over to their queue at once. A full queue drops none: see
/// [`Timers::after`].
const TIMERS_QUEUED: usize = 8_192;

/// How often it is looked for nodes that have died: within two seconds of the end of their lease their
/// people have left and what they did not publish is delivered.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How often a served room's log is renewed within its time to live.
const RENEWALS_PER_TTL: u32 = 4;

/// Something to be done later.
#[derive(Debug)]
pub(super) enum Timer {
    /// A lost connection's grace is over.
    EndGrace(Arc<RoomHub>, UserId, u64),
    /// A typist's time is over.
    StopTyping(Arc<RoomHub>, UserId),
    /// The grace of a user's lost connection is over.
    EndUserGrace(UserId, u64),
    /// A user's next change of status may be told.
    SayUser(UserId),
    /// It is time to tell who has read.
    TellReads(Arc<RoomHub>),
    /// Nobody has needed a room for a while.
    Unsubscribe(Arc<RoomHub>),
    /// A user was removed from a room, and its log may not have said so.
    Expel(RoomId, UserId),
}

/// Where timers are set.
#[derive(Debug)]
pub(super) struct Timers(mpsc::Sender<(Instant, Timer)>);

/// Where they run off.
pub(super) type TimerQueue = mpsc::Receiver<(Instant, Timer)>;

pub(super) fn timers() -> (Timers, TimerQueue) {
    let (timers, queue) = mpsc::channel(TIMERS_QUEUED);
    (Timers(timers), queue)
}

impl Timers {
    /// Sets a timer.
    pub(super) fn after(&self, delay: Duration, timer: Timer) {
        let due = Instant::now() + delay;
        if let Err(mpsc::error::TrySendError::Full(timer)) = self.0.try_send((due, timer)) {
            // Ten thousand connections lost at once: each timer waits for a place on its own.
            let timers = self.0.clone();
            tokio::spawn(async move { timers.send(timer).await });
        }
    }
}

/// Runs timers off, in the order in which they are due.
pub(super) async fn run_timers(inner: Arc<Inner>, mut queue: TimerQueue) {
    let mut due: std::collections::BTreeMap<(Instant, u64), Timer> = Default::default();
    let mut number = 0_u64;
    loop {
        let next = due.first_key_value().map(|((at, _), _)| *at);
        let wait = async {
            match next {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            timer = queue.recv() => match timer {
                Some((at, timer)) => {
                    number += 1;
                    due.insert((at, number), timer);
                }
                None => return,
            },
            () = wait => {
                while let Some(first) = due.first_entry()
                    && first.key().0 <= Instant::now()
                {
                    inner.run_off(first.remove());
                }
            }
        }
    }
}

impl Inner {
    fn run_off(self: &Arc<Self>, timer: Timer) {
        match timer {
            Timer::EndGrace(room, user, grace) => {
                room.state.lock().attendance.end_grace(&user, grace);
                self.attend(&room);
            }
            Timer::EndUserGrace(user, grace) => self.end_user_grace(&user, grace),
            Timer::SayUser(user) => self.say_at_last(&user),
            Timer::StopTyping(room, user) => {
                let mut state = room.state.lock();
                if state.stop_typing(&user) {
                    let event = Event::Typing {
                        room: room.id.clone(),
                        user: user.clone(),
                        active: false,
                    };
                    state.tell(event, Some(&user), &self.metrics);
                }
            }
            Timer::TellReads(room) => room.state.lock().tell_reads(&self.metrics),
            Timer::Unsubscribe(room) => {
                let inner = Arc::clone(self);
                self.spawn(async move { inner.give_up_room(&room).await });
            }
            Timer::Expel(room, user) => {
                let inner = Arc::clone(self);
                self.spawn(async move { inner.expel(&room, &user).await });
            }
        }
    }
}

/// Compares all rooms with the heads of their logs, at a jittered interval: finds what was lost
/// without anybody noticing.
pub(super) async fn compare_heads(inner: Arc<Inner>) {
    loop {
        let jitter = 0.75 + fastrand::f64() / 2.0;
        tokio::time::sleep(inner.limits.head_check_interval.mul_f64(jitter)).await;
        let rooms = inner.rooms.all();
        inner.compare(&rooms).await;
    }
}

/// Renews the logs of served rooms: one whose people only listen must not expire under them.
pub(super) async fn renew_logs(inner: Arc<Inner>) {
    loop {
        tokio::time::sleep(inner.limits.log_ttl / RENEWALS_PER_TTL).await;
        let rooms = inner.rooms.all().into_iter();
        for room in rooms.filter(|room| room.is_attended()) {
            // A failure is told by `stored`, and the next round comes long before the time is over.
            let _head = inner.stored(inner.log.open(&room.id).await);
        }
    }
}

/// Tells the occupancy of big rooms, once for all changes of a second, and what parts that blink
/// have come to.
pub(super) async fn tell_each_second(inner: Arc<Inner>) {
    let mut ticks = tokio::time::interval(OCCUPANCY_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        inner.tell_parts_again();
        for room in inner.rooms.all() {
            let mut state = room.state.lock();
            if std::mem::take(&mut state.occupancy_owed) {
                let count = state.roster.count();
                let occupants = state.roster.is_complete().then(|| state.roster.shown());
                let event = Event::Occupancy {
                    room: room.id.clone(),
                    count,
                    occupants,
                };
                state.tell(event, None, &inner.metrics);
            }
        }
    }
}

/// Keeps the node's lease, and what the store has of it.
pub(super) async fn keep_lease(inner: Arc<Inner>) {
    let mut ticks = tokio::time::interval(inner.limits.node_ttl / 3);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut first = true;
    loop {
        ticks.tick().await;
        match inner.presence.renew().await {
            Ok(lease) => {
                inner.set_part(Part::Presence, false);
                if lease == Lease::Renewed {
                    if !first {
                        *inner.presence_shaken.lock() = Some(Instant::now());
                        tracing::warn!("the node's lease had ended: everybody is registered again");
                        inner.forget_gone();
                    }
                    // Also at first: who joined before it may have been swept for want of a lease.
                    inner.register_all_again();
                }
                first = false;
                inner.refresh_stale_rosters();
            }
            Err(error) => {
                tracing::warn!(%error, "cannot renew the node's lease");
                inner.set_part(Part::Presence, true);
                continue;
            }
        }
        inner.keep().await;
    }
}

/// Counts out the people of nodes whose lease has ended. Apart from the lease: a node that has much
/// to count out must not lose its own meanwhile.
pub(super) async fn sweep_often(inner: Arc<Inner>) {
    let mut ticks = look_ticks(&inner);
    loop {
        ticks.tick().await;
        if !inner.parts.is_away(Part::Presence) {
            inner.sweep().await;
        }
    }
}

/// Compares all rooms with their logs when another node's lease has ended: what it has committed and
/// did not live to publish is in them. Each node looks for itself, because only one of them sweeps.
pub(super) async fn watch_nodes(inner: Arc<Inner>) {
    if inner.log.announces() {
        // Nothing is in the log that was not published.
        return;
    }
    let mut ticks = look_ticks(&inner);
    let mut known = HashSet::new();
    loop {
        ticks.tick().await;
        if inner.parts.is_away(Part::Presence) {
            continue;
        }
        let Ok(alive) = inner.presence.nodes().await else {
            continue;
        };
        let alive: HashSet<_> = alive.into_iter().collect();
        let has_ended = !known.is_subset(&alive);
        known = alive;
        if has_ended {
            inner.compare(&inner.rooms.all()).await;
        }
    }
}

fn look_ticks(inner: &Inner) -> Interval {
    let mut ticks = tokio::time::interval(LOOK_INTERVAL.min(inner.limits.node_ttl / 3));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
