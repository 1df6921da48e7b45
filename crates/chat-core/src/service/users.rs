//! The users who are connected to this node: which connections speak for whom, and the topic on
//! which other nodes say what concerns him.
//!
//! Invariant: a user is here exactly while he has a connection, or while his topic is being given
//! up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard, RwLock};
use tokio::sync::{Notify, Semaphore};

use crate::error::ServiceError;
use crate::event::{Delivery, Event};
use crate::ids::{RoomId, UserId};
use crate::metrics::Metrics;
use crate::outbox::Pushed;
use crate::service::Inner;
use crate::service::backoff::Backoff;
use crate::service::connection::Connection;
use crate::service::membership_work::look;
use crate::service::own_rooms::OwnRooms;
use crate::service::watch::Watching;
use crate::topic::Topic;

/// When somebody with too many connections may try again.
const CROWDED_RETRY: Duration = Duration::from_secs(5);
/// Reads of memberships at once: ten thousand users who come back together must not overrun the
/// directory.
const READS: usize = 64;
/// Rooms that are looked at one by one; of more, all are.
const ROOMS_LOOKED_AT: usize = 8;

/// The users of this node.
#[derive(Debug)]
pub(super) struct Users {
    by_id: RwLock<HashMap<UserId, Arc<UserHub>>>,
    /// Places for those who read memberships.
    pub(super) reads: Semaphore,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            by_id: RwLock::default(),
            reads: Semaphore::new(READS),
        }
    }
}

/// One user on this node.
#[derive(Debug)]
pub(super) struct UserHub {
    pub(super) id: UserId,
    state: Mutex<UserState>,
    /// Told when his rooms are known.
    known: Notify,
    pub(super) watching: Watching,
}

#[derive(Debug, Default)]
struct UserState {
    own: Own,
    looks: Looks,
    /// The topic is subscribed.
    followed: bool,
    /// A task makes `followed` what it has to be.
    is_worked_on: bool,
    /// Out of the map: whoever comes now is another hub.
    is_over: bool,
}

/// A user's connections and rooms.
#[derive(Debug, Default)]
pub(super) struct Own {
    pub(super) connections: Vec<Arc<Connection>>,
    pub(super) rooms: OwnRooms,
}

/// What is to be read of a user's rooms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Look {
    All,
    One(RoomId),
}

/// What of a user's rooms waits to be read.
#[derive(Debug, Default)]
struct Looks {
    all: bool,
    rooms: Vec<RoomId>,
    /// A task is at it.
    is_worked_on: bool,
}

impl Looks {
    fn add(&mut self, what: Look) {
        match what {
            Look::One(room) if self.all || self.rooms.contains(&room) => {}
            Look::One(room) if self.rooms.len() < ROOMS_LOOKED_AT => self.rooms.push(room),
            Look::One(_) | Look::All => {
                self.all = true;
                self.rooms.clear();
            }
        }
    }

    fn take(&mut self) -> Option<Look> {
        if std::mem::take(&mut self.all) {
            return Some(Look::All);
        }
        self.rooms.pop().map(Look::One)
    }
}

impl Users {
    pub(super) fn all(&self) -> Vec<Arc<UserHub>> {
        self.by_id.read().values().cloned().collect()
    }

    pub(super) fn find(&self, id: &UserId) -> Option<Arc<UserHub>> {
        self.by_id.read().get(id).cloned()
    }

    /// The connections that speak for a user.
    pub(super) fn connections(&self, id: &UserId) -> Vec<Arc<Connection>> {
        let hub = self.find(id);
        hub.map_or_else(Vec::new, |hub| hub.state.lock().own.connections.clone())
    }

    /// `None` if the user has as many as he may.
    fn add(&self, connection: &Arc<Connection>, max: usize) -> Option<Arc<UserHub>> {
        let mut by_id = self.by_id.write();
        let new = || {
            let id = connection.user.clone();
            Arc::new(UserHub {
                id,
                state: Mutex::default(),
                known: Notify::new(),
                watching: Watching::default(),
            })
        };
        let hub = by_id.entry(connection.user.clone()).or_insert_with(new);
        let mut state = hub.state.lock();
        if state.own.connections.len() >= max {
            return None;
        }
        state.own.connections.push(Arc::clone(connection));
        drop(state);
        Some(Arc::clone(hub))
    }

    /// Takes a user out whom nobody speaks for any more. Answers whether that was so.
    fn remove(&self, hub: &UserHub) -> bool {
        let mut by_id = self.by_id.write();
        let mut state = hub.state.lock();
        if !state.own.connections.is_empty() {
            return false;
        }
        state.is_over = true;
        by_id.remove(&hub.id);
        true
    }
}

impl UserHub {
    /// What has to be done about the topic; `None` if nothing, and the work is over.
    fn next(&self) -> Option<Step> {
        let mut state = self.state.lock();
        let wanted = !state.own.connections.is_empty();
        if wanted != state.followed {
            return Some(if wanted { Step::Follow } else { Step::GiveUp });
        }
        if wanted || state.is_over {
            state.is_worked_on = false;
            return None;
        }
        Some(Step::Remove)
    }

    fn claim_work(&self) -> bool {
        !std::mem::replace(&mut self.state.lock().is_worked_on, true)
    }

    /// The topic is subscribed, or is not any more.
    fn followed(&self, followed: bool) {
        let mut state = self.state.lock();
        state.followed = followed;
        if !followed {
            // Whoever comes back is told nothing of what happened meanwhile: he asks.
            state.own.rooms.forget();
            state.looks = Looks {
                is_worked_on: state.looks.is_worked_on,
                ..Looks::default()
            };
        }
    }

    /// His connections and rooms, under one lock, so that what is told last is what is true.
    pub(super) fn own_rooms(&self) -> MappedMutexGuard<'_, Own> {
        MutexGuard::map(self.state.lock(), |state| &mut state.own)
    }

    /// The version of his memberships; nothing before they were read.
    pub(super) fn version(&self) -> Option<u64> {
        self.state.lock().own.rooms.version()
    }

    pub(super) fn learned(&self) -> u64 {
        self.state.lock().own.rooms.learned()
    }

    /// Notes what is to be read of his rooms. Answers whether a task is to be started.
    pub(super) fn claim_look(&self, what: Look) -> bool {
        let mut state = self.state.lock();
        // Before the topic is subscribed a read may be outdated unnoticed; it is made afterwards.
        if !state.followed {
            return false;
        }
        state.looks.add(what);
        !std::mem::replace(&mut state.looks.is_worked_on, true)
    }

    /// Somebody is here again for whom to read what still waits. Answers whether a task is to be
    /// started: the one before ended when nobody was.
    fn resume_look(&self) -> bool {
        let mut state = self.state.lock();
        let waits = state.looks.all || !state.looks.rooms.is_empty();
        state.followed && waits && !std::mem::replace(&mut state.looks.is_worked_on, true)
    }

    /// What is to be read next; `None` if nothing, and the work is over.
    pub(super) fn next_look(&self) -> Option<Look> {
        let mut state = self.state.lock();
        let next = if state.own.connections.is_empty() {
            None
        } else {
            state.looks.take()
        };
        state.looks.is_worked_on = next.is_some();
        next
    }

    /// A read failed.
    pub(super) fn look_again(&self, what: Look) {
        self.state.lock().looks.add(what);
    }

    pub(super) fn is_known_now(&self) {
        self.known.notify_waiters();
    }

    /// Waits until his rooms were read once: whoever asks for them afterwards is told of every change
    /// that the answer does not have. Cancel safe.
    pub(super) async fn until_known(&self) {
        loop {
            let told = self.known.notified();
            if self.version().is_some() {
                return;
            }
            told.await;
        }
    }
}

/// Tells something to connections of one user.
pub(super) fn tell<'a>(
    connections: impl Iterator<Item = &'a Arc<Connection>>,
    event: Event,
    metrics: &Metrics,
) {
    tell_shared(connections, &Delivery::new(event), metrics);
}

/// The same of something that others are told as well.
pub(super) fn tell_shared<'a>(
    connections: impl Iterator<Item = &'a Arc<Connection>>,
    event: &Arc<Delivery>,
    metrics: &Metrics,
) {
    for connection in connections {
        let pushed = connection.outbox.push_events(std::slice::from_ref(event));
        if pushed == Pushed::Queued {
            metrics.delivered.inc();
        }
    }
}

/// A step on the way from what is to what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Follow,
    GiveUp,
    Remove,
}

impl Inner {
    /// A connection speaks for its user from now on, unless he has as many as he may.
    pub(super) fn add_user(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
    ) -> Result<(), ServiceError> {
        let max = match self.limits.connections_per_user {
            0 => usize::MAX,
            max => max,
        };
        let Some(hub) = self.users.add(connection, max) else {
            self.metrics.limit("connections_per_user");
            return Err(ServiceError::RateLimited {
                limit: format!("connections_per_user: you have {max} here; close some"),
                retry_after: CROWDED_RETRY,
            });
        };
        self.follow(&hub);
        if hub.resume_look() {
            self.spawn(look(Arc::clone(self), hub));
        }
        Ok(())
    }

    /// A connection has ended.
    pub(super) fn remove_user(self: &Arc<Self>, connection: &Connection) {
        let Some(hub) = self.users.find(&connection.user) else {
            return;
        };
        hub.state
            .lock()
            .own
            .connections
            .retain(|other| other.id != connection.id);
        self.watch(&hub, false);
        self.follow(&hub);
    }

    /// Starts a task that subscribes a user's topic, or gives it up, unless one is at it.
    fn follow(self: &Arc<Self>, hub: &Arc<UserHub>) {
        if hub.claim_work() {
            self.spawn(follow(Arc::clone(self), Arc::clone(hub)));
        }
    }
}

async fn follow(inner: Arc<Inner>, hub: Arc<UserHub>) {
    let topic = [Topic::User(hub.id.clone())];
    let mut backoff = Backoff::default();
    while let Some(step) = hub.next() {
        let done = match step {
            Step::Follow => inner.pubsub.subscribe(&topic).await,
            Step::GiveUp => inner.pubsub.unsubscribe(&topic).await,
            Step::Remove => {
                inner.users.remove(&hub);
                continue;
            }
        };
        match done {
            Ok(()) => {
                hub.followed(step == Step::Follow);
                if step == Step::Follow {
                    inner.look_at(&hub, Look::All);
                }
                backoff.reset();
            }
            Err(error) => {
                tracing::debug!(user = %hub.id, %error, "cannot follow a user");
                backoff.wait().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Identity;
    use crate::limits::Limits;

    #[test]
    fn a_read_that_ended_because_nobody_was_there_goes_on_when_somebody_comes() {
        let user = UserId::new("ann").unwrap();
        let connection = || {
            let identity = Identity::of(user.clone());
            Arc::new(Connection::new(identity, &Limits::default()))
        };
        let users = Users::default();
        let hub = users.add(&connection(), 1).unwrap();
        hub.followed(true);
        assert!(hub.claim_look(Look::All));
        assert!(!hub.resume_look(), "a task is at it");
        hub.own_rooms().connections.clear();
        assert_eq!(hub.next_look(), None);
        // Before anybody has noticed that the user was gone.
        users.add(&connection(), 1).unwrap();
        assert!(hub.resume_look());
        assert_eq!(hub.next_look(), Some(Look::All));
        assert_eq!(hub.next_look(), None);
        assert!(!hub.resume_look(), "nothing waits");
    }
}
