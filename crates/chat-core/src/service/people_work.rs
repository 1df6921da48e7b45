//! Says to the presence store how the users of this node are, and to others what that changed.
//!
//! A change goes to the topics of the rooms that the user has joined here, and to his own topic, so
//! that other nodes that have him tell the rooms that he has joined there. Whoever was ended with a
//! dead node has no node that knows his rooms: that goes to all nodes, which look into their rosters.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::answer::Answer;
use crate::command::Status;
use crate::event::{Delivery, Event, Part};
use crate::ids::{DeviceId, RoomId, UserId};
use crate::presence::{Ended, Swept};
use crate::service::Inner;
use crate::service::connection::Connection;
use crate::service::desk::{Desk, GATHER};
use crate::service::housekeeping::Timer;
use crate::service::last_seen::LastSeen;
use crate::service::people::{News, People, ROOMS_TOLD_MAX, Touch};
use crate::service::room::RoomHub;
use crate::signal::{Seen, Signal};
use crate::topic::Topic;

/// Users of whom something is said in one call: a storm of reconnects costs a round trip for each.
const BATCH: usize = 128;
/// Wait before what has an unknown outcome is said again, with full jitter.
const RETRY: Duration = Duration::from_secs(1);
/// Users whose last seen is written in one call.
const SEEN_BATCH: usize = 500;

/// The users of this node as others see them, and the work that is still to be done about that.
#[derive(Debug, Default)]
pub(super) struct PeopleWork {
    pub(super) people: Mutex<People>,
    to_say: Notify,
    pub(super) desk: Mutex<Desk>,
    to_tell: Notify,
    pub(super) last_seen: Mutex<LastSeen>,
    to_write: Notify,
}

impl Inner {
    /// A connection has said hello: its user is online.
    pub(super) fn come_online(&self, connection: &Connection, device: Option<DeviceId>) {
        let mut people = self.people_work.people.lock();
        // Its end takes it out, and comes only once.
        if connection.is_gone() {
            return;
        }
        let touch = people.connect(&connection.user, connection.id, device);
        drop(people);
        self.touched(&connection.user, touch);
    }

    /// A connection that had joined these rooms was lost, and knows that it is gone.
    pub(super) fn lose_online(&self, connection: &Connection, rooms: &[Arc<RoomHub>]) {
        let rooms = rooms.iter().take(ROOMS_TOLD_MAX);
        let rooms = rooms.map(|room| room.id.clone()).collect();
        let user = &connection.user;
        let grace = self
            .people_work
            .people
            .lock()
            .lose(user, connection.id, rooms);
        if let Some(grace) = grace {
            let timer = Timer::EndUserGrace(user.clone(), grace);
            self.timers.after(self.limits.leave_grace, timer);
        }
    }

    pub(super) fn end_user_grace(&self, user: &UserId, grace: u64) {
        let touch = self.people_work.people.lock().end_grace(user, grace);
        self.touched(user, touch);
    }

    /// A change of status has waited long enough.
    pub(super) fn say_at_last(&self, user: &UserId) {
        let touch = self.people_work.people.lock().resume(user, Instant::now());
        self.touched(user, touch);
    }

    pub(super) fn set_presence(
        &self,
        connection: &Connection,
        status: Status,
        text: Option<String>,
    ) -> Answer {
        let (user, now) = (&connection.user, Instant::now());
        let mut people = self.people_work.people.lock();
        let touch = people.set(user, connection.id, status, text, now);
        drop(people);
        self.touched(user, touch);
        Answer::Done
    }

    fn touched(&self, user: &UserId, touch: Touch) {
        match touch {
            Touch::Nothing => {}
            Touch::Work => self.people_work.to_say.notify_one(),
            Touch::Later(delay) => self.timers.after(delay, Timer::SayUser(user.clone())),
        }
    }

    /// The store may have forgotten all users of this node.
    pub(super) fn say_all_users_again(&self) {
        self.people_work.people.lock().say_all_again();
        self.people_work.to_say.notify_one();
    }

    /// A lease of this node has ended: whoever came and went while presence was away was said of
    /// nothing that still counts.
    pub(super) fn forget_unheard(&self) {
        self.people_work.people.lock().forget_unheard();
    }

    /// The store has forgotten these users of this node.
    pub(super) fn say_users_again(&self, users: &[UserId]) {
        if !users.is_empty() {
            self.people_work.people.lock().say_again(users);
            self.people_work.to_say.notify_one();
        }
    }

    /// Says all again, and takes off whom the store wrongly believes here.
    pub(super) async fn correct_users(&self) {
        if let Ok(said) = self.presence.said_users().await {
            self.people_work.people.lock().correct(&said);
        }
        self.say_all_users_again();
    }

    /// Takes the users off dead nodes.
    pub(super) async fn sweep_users(&self) {
        loop {
            let Swept { news, more } = match self.presence.sweep_users().await {
                Ok(swept) => swept,
                Err(error) => {
                    tracing::warn!(%error, "cannot sweep users");
                    return;
                }
            };
            for one in news {
                self.metrics.swept.inc();
                self.tell_ended(one);
            }
            if !more {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    fn tell_ended(&self, Ended { user, shift }: Ended) {
        let went = shift.went();
        let seen = Seen::of(&user, &shift);
        if went {
            self.saw(user, shift.at_ms);
            self.signal(Topic::Control, &Signal::Presence(seen));
        } else {
            self.signal(Topic::User(user), &Signal::Presence(seen.clone()));
            self.hear_presence(&seen);
        }
    }

    /// Somebody is gone from all nodes.
    fn saw(&self, user: UserId, at_ms: u64) {
        if !self.people_work.last_seen.lock().note(user, at_ms) {
            self.metrics.limit("last_seen");
        }
        self.people_work.to_write.notify_one();
    }

    fn publish_news(&self, news: News) {
        let seen = Seen::of(&news.user, &news.shift);
        if news.shift.elsewhere {
            let topic = Topic::User(news.user.clone());
            self.signal(topic, &Signal::Presence(seen.clone()));
        }
        if news.went {
            self.saw(news.user, news.shift.at_ms);
        }
        self.publish_in_rooms(&seen, news.rooms_left);
    }

    /// Another node said how a user stands who is also here.
    pub(super) fn hear_presence(&self, seen: &Seen) {
        if self.people_work.people.lock().hear(seen) {
            self.publish_in_rooms(seen, Vec::new());
        }
    }

    fn publish_in_rooms(&self, seen: &Seen, mut rooms: Vec<RoomId>) {
        for connection in self.users.connections(&seen.user) {
            rooms.extend(connection.joined().iter().map(|room| room.id.clone()));
        }
        rooms.sort();
        rooms.dedup();
        let is_big = |room: &RoomId| {
            let hub = self.rooms.find(room);
            hub.is_some_and(|hub| !hub.state.lock().roster.is_complete())
        };
        rooms.retain(|room| !is_big(room));
        rooms.truncate(ROOMS_TOLD_MAX);
        for room in rooms {
            self.signal(Topic::Room(room), &Signal::Presence(seen.clone()));
        }
    }

    /// Somebody has joined a room: those in it know only that he is there.
    pub(super) fn introduce(&self, user: &UserId, room: &RoomId) {
        let seen = {
            let people = self.people_work.people.lock();
            let Some((standing, at_ms)) = people.known(user) else {
                return;
            };
            Seen {
                user: user.clone(),
                status: standing.status,
                text: standing.text.clone(),
                last_seen_at_ms: None,
                at_ms: *at_ms,
            }
        };
        if (seen.status, &seen.text) != (Status::Online, &None) {
            self.signal(Topic::Room(room.clone()), &Signal::Presence(seen));
        }
    }

    /// On a room's topic: its connections are to be told, soon.
    pub(super) fn note_presence(&self, room: RoomId, seen: Seen) {
        if self.rooms.find(&room).is_none() {
            return;
        }
        if !self
            .people_work
            .desk
            .lock()
            .note(room, seen, Instant::now())
        {
            self.metrics.limit("presence_users");
        }
        self.people_work.to_tell.notify_one();
    }

    /// On the topic of all nodes: some were ended with their node. Their rooms still have them, or had
    /// them a moment ago.
    pub(super) fn note_ended(&self, ended: Vec<Seen>) {
        let users: HashMap<&UserId, u64> =
            ended.iter().map(|seen| (&seen.user, seen.at_ms)).collect();
        if users.is_empty() {
            return;
        }
        for room in self.rooms.all() {
            let here = {
                let state = room.state.lock();
                if state.members.is_empty() {
                    continue;
                }
                state.roster.among(&users)
            };
            for seen in ended.iter().filter(|seen| here.contains(&seen.user)) {
                self.note_presence(room.id.clone(), seen.clone());
            }
        }
    }

    /// Tells the connections in some small rooms how a user stands, each once.
    fn tell_presence(&self, seen: Seen, rooms: &[RoomId]) {
        let event = Delivery::new(Event::Presence {
            user: seen.user,
            status: seen.status,
            text: seen.text,
            last_seen_at_ms: seen.last_seen_at_ms,
        });
        let mut told = HashSet::new();
        for room in rooms.iter().filter_map(|room| self.rooms.find(room)) {
            let state = room.state.lock();
            if !state.roster.is_complete() {
                continue;
            }
            for connection in state.members.live() {
                if told.insert(connection.id) {
                    connection.outbox.push_events(std::slice::from_ref(&event));
                }
            }
        }
        self.metrics.delivered.inc_by(told.len() as u64);
    }
}

impl Seen {
    fn of(user: &UserId, shift: &crate::standing::Shift) -> Self {
        let after = &shift.after;
        Self {
            user: user.clone(),
            status: after.status,
            text: after.text.clone(),
            last_seen_at_ms: (!after.is_online()).then_some(shift.at_ms),
            at_ms: shift.at_ms,
        }
    }
}

/// Says to the store what is to be said, in batches.
pub(super) async fn say_all(inner: Arc<Inner>) {
    loop {
        let batch = inner.people_work.people.lock().next_batch(BATCH);
        if batch.is_empty() {
            inner.people_work.to_say.notified().await;
            continue;
        }
        match inner.presence.say(batch.clone()).await {
            Ok(shifts) => {
                inner.set_part(Part::Presence, false);
                for (said, shift) in batch.into_iter().zip(shifts) {
                    let news = inner.people_work.people.lock().done(said, shift);
                    news.into_iter().for_each(|news| inner.publish_news(news));
                }
            }
            Err(error) => {
                tracing::warn!(%error, users = batch.len(), "presence did not take what was said");
                inner.set_part(Part::Presence, true);
                let forgotten = inner.people_work.people.lock().failed(&batch);
                if forgotten > 0 {
                    tracing::warn!(forgotten, "some came and went and were never said");
                    inner.metrics.limit("presence_owed");
                }
                tokio::time::sleep(RETRY.mul_f64(fastrand::f64())).await;
            }
        }
    }
}

/// Tells connections how users stand.
pub(super) async fn tell_all(inner: Arc<Inner>) {
    loop {
        inner.people_work.to_tell.notified().await;
        let mut waits = true;
        while waits {
            tokio::time::sleep(GATHER).await;
            let (due, more) = inner.people_work.desk.lock().take_due(Instant::now());
            waits = more;
            for (seen, rooms) in due {
                inner.tell_presence(seen, &rooms);
            }
        }
    }
}

/// Writes when users were last seen, until the directory takes it.
pub(super) async fn write_last_seen(inner: Arc<Inner>) {
    loop {
        let owed = inner.people_work.last_seen.lock().take_owed(SEEN_BATCH);
        if owed.is_empty() {
            inner.people_work.to_write.notified().await;
            continue;
        }
        if let Err(error) = inner.directory.seen(&owed).await {
            tracing::debug!(%error, users = owed.len(), "last seen was not written");
            inner.people_work.last_seen.lock().put_back(owed);
            tokio::time::sleep(RETRY.mul_f64(0.5 + fastrand::f64())).await;
        }
    }
}
