//! Says to the presence store what is true here, one step of a room after another, and to the
//! room what that changed.

use std::sync::Arc;
use std::time::Duration;

use crate::event::{Delivery, Event, Part};
use crate::ids::{RoomId, UserId};
use crate::presence::{Change, PresenceError, Swept};
use crate::service::Inner;
use crate::service::attendance::Intent;
use crate::service::room::RoomHub;
use crate::signal::{Arrival, Signal};
use crate::topic::Topic;

/// Wait before a step whose outcome is unknown is taken again, with full jitter.
const RETRY: Duration = Duration::from_secs(1);

impl Inner {
    /// Starts a worker that says what a room's attendance wants said, unless one is at it.
    pub(super) fn attend(self: &Arc<Self>, room: &Arc<RoomHub>) {
        if room.state.lock().attendance.claim_work() {
            self.spawn(work(Arc::clone(self), Arc::clone(room)));
        }
    }

    /// A lease that was held has ended: whoever is gone is counted out with its generation.
    pub(super) fn forget_gone(&self) {
        for room in self.rooms.all() {
            room.state.lock().attendance.forget_absent();
        }
        self.forget_unheard();
    }

    /// The lease had ended: the store counts nobody of this node any more.
    pub(super) fn register_all_again(self: &Arc<Self>) {
        for room in self.rooms.all() {
            room.state.lock().attendance.say_all_again();
            self.attend(&room);
        }
        self.say_all_users_again();
    }

    /// Counts out the people of dead nodes.
    pub(super) async fn sweep(&self) {
        // First: whoever ends is still in the rosters of his rooms, which are to be told.
        self.sweep_users().await;
        loop {
            let Swept { news, more } = match self.presence.sweep().await {
                Ok(swept) => swept,
                Err(error) => {
                    tracing::warn!(%error, "cannot sweep");
                    break;
                }
            };
            for departure in news {
                self.metrics.swept.inc();
                let (room, user, change) = (departure.room, departure.user, departure.change);
                self.say_left(&room, user, &change).await;
            }
            if !more {
                break;
            }
            // A store in this process never makes this wait.
            tokio::task::yield_now().await;
        }
    }

    /// Renews what the store has of this node, and mends what it has lost or made up.
    pub(super) async fn keep(self: &Arc<Self>) {
        let kept = match self.presence.keep().await {
            Ok(kept) => kept,
            Err(error) => {
                tracing::warn!(%error, "presence was not renewed");
                return;
            }
        };
        self.say_users_again(&kept.forgotten);
        for (id, count) in kept.rooms {
            let Some(room) = self.rooms.find(&id) else {
                continue;
            };
            let told = room.state.lock().attendance.told();
            if told.is_some_and(|told| told != count) {
                tracing::warn!(room = %id, ?told, count, "presence has others here than are here");
                self.correct_attendance(&room).await;
            }
        }
    }

    /// Compares whom the store believes here with who is here, and mends both ways.
    pub(super) async fn correct_attendance(self: &Arc<Self>, room: &Arc<RoomHub>) {
        if !room.is_attended() {
            return;
        }
        let Ok(registered) = self.presence.registered(&room.id).await else {
            room.state.lock().is_roster_stale = true;
            return;
        };
        room.state.lock().attendance.correct(&registered);
        self.attend(room);
    }

    /// Whether nodes may still be registering their people again: who is missing in the store need
    /// not be gone.
    fn is_presence_shaken(&self) -> bool {
        let shaken = *self.presence_shaken.lock();
        shaken.is_some_and(|since| since.elapsed() < self.limits.node_ttl)
    }

    /// Reads a room's occupants again and tells the differences.
    pub(super) async fn refresh_roster(self: &Arc<Self>, room: &Arc<RoomHub>) {
        if !room.is_attended() {
            return;
        }
        if self.is_presence_shaken() {
            // A later renewal takes it up; told now, everybody who is not back yet would flicker.
            room.state.lock().is_roster_stale = true;
            return;
        }
        let signals = {
            let state = room.state.lock();
            if state.feed.is_none() {
                return;
            }
            state.roster.signals()
        };
        let Some((count, occupants)) = self.read_roster(&room.id).await else {
            room.state.lock().is_roster_stale = true;
            return;
        };
        self.correct_attendance(room).await;
        let now_ms = self.clock.now_ms();
        let mut state = room.state.lock();
        let was_complete = state.roster.is_complete();
        // Whoever came while the store was asked must not be told to have left.
        let is_exact = was_complete || state.roster.is_small(count);
        state.is_roster_stale = is_exact && state.roster.signals() != signals;
        if state.is_roster_stale {
            return;
        }
        let (came, went) = state.roster.replace(count, occupants);
        if !(was_complete && state.roster.is_complete()) {
            state.occupancy_owed = true;
            return;
        }
        for occupant in came {
            let (user, at_ms) = (occupant.user, occupant.since_ms);
            let room = room.id.clone();
            state.tell(Event::UserJoined { room, user, at_ms }, None, &self.metrics);
        }
        for user in went {
            let room = room.id.clone();
            state.tell(
                Event::UserLeft {
                    room,
                    user,
                    at_ms: now_ms,
                },
                None,
                &self.metrics,
            );
        }
    }

    /// Presence answers: reads what it did not answer when it was asked.
    pub(super) fn refresh_stale_rosters(self: &Arc<Self>) {
        let rooms = self.rooms.all().into_iter();
        // Claimed here, so that the next renewal does not start the same again.
        let stale = rooms.filter(|room| std::mem::take(&mut room.state.lock().is_roster_stale));
        let stale: Vec<_> = stale.collect();
        if stale.is_empty() {
            return;
        }
        let inner = Arc::clone(self);
        self.spawn(async move {
            for room in stale {
                inner.refresh_roster(&room).await;
            }
        });
    }

    /// How many are in a room, for a connection that lost count.
    pub(super) fn occupancy(&self, room: &RoomId) -> Option<Arc<Delivery>> {
        let hub = self.rooms.find(room)?;
        let state = hub.state.lock();
        let occupants = state.roster.is_complete().then(|| state.roster.shown());
        let event = Event::Occupancy {
            room: room.clone(),
            count: state.roster.count(),
            occupants,
        };
        Some(Delivery::new(event))
    }

    async fn say_left(&self, room: &RoomId, user: UserId, change: &Change) {
        if let Some(arrival) = to_say(user, change) {
            let topic = Topic::Room(room.clone());
            self.signal_in_turn(topic, &Signal::UserLeft(arrival)).await;
        }
    }

    async fn say_joined(&self, room: &RoomId, user: UserId, change: &Change) {
        if let Some(arrival) = to_say(user, change) {
            let topic = Topic::Room(room.clone());
            self.signal_in_turn(topic, &Signal::UserJoined(arrival))
                .await;
        }
    }

    async fn step(
        &self,
        room: &RoomId,
        user: &UserId,
        intent: Intent,
    ) -> Result<(), PresenceError> {
        match intent {
            Intent::Join => {
                let change = self.presence.join(room, user).await?;
                self.say_joined(room, user.clone(), &change).await;
            }
            Intent::Leave => {
                let change = self.presence.leave(room, user).await?;
                self.say_left(room, user.clone(), &change).await;
            }
            Intent::Fade => self.presence.fade(room, user).await?,
        }
        Ok(())
    }
}

/// What a store that does not tell rooms itself leaves to be told.
fn to_say(user: UserId, change: &Change) -> Option<Arrival> {
    let arrival = Arrival {
        user,
        at_ms: change.at_ms,
        count: change.count,
    };
    (change.edge && !change.announced).then_some(arrival)
}

/// Works through what a room's attendance wants said.
async fn work(inner: Arc<Inner>, room: Arc<RoomHub>) {
    loop {
        let Some((user, intent)) = room.state.lock().attendance.next() else {
            return;
        };
        // A store in this process answers at once, and ten thousand people may come at the same time.
        tokio::task::coop::consume_budget().await;
        // All rooms at once, as after a lost lease, would wait for each other in the store until hardly
        // any step is in time.
        let place = inner.presence_steps.acquire().await;
        let done = inner.step(&room.id, &user, intent).await;
        drop(place);
        match done {
            Ok(()) => {
                inner.set_part(Part::Presence, false);
                room.state.lock().attendance.done(&user, intent);
            }
            Err(error) => {
                tracing::warn!(room = %room.id, %error, "presence did not take a step");
                inner.set_part(Part::Presence, true);
                room.state.lock().attendance.failed(&user);
                tokio::time::sleep(RETRY.mul_f64(fastrand::f64())).await;
            }
        }
    }
}
