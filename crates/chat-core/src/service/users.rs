//! The users who are connected to this node: which connections speak for whom, and the topic on
//! which other nodes say what concerns him.
//!
//! Invariant: a user is here exactly while he has a connection, or while his topic is being given
//! up.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use crate::ids::UserId;
use crate::service::Inner;
use crate::service::connection::Connection;
use crate::topic::Topic;

/// First wait after a subscription that failed; doubled up to [`RETRY_MAX`], with full jitter.
const RETRY_MIN: Duration = Duration::from_millis(50);
/// Longest wait between two subscriptions that fail.
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The users of this node.
#[derive(Debug, Default)]
pub(super) struct Users {
    by_id: RwLock<HashMap<UserId, Arc<UserHub>>>,
}

/// One user on this node.
#[derive(Debug)]
pub(super) struct UserHub {
    pub(super) id: UserId,
    state: Mutex<UserState>,
}

#[derive(Debug, Default)]
struct UserState {
    connections: Vec<Arc<Connection>>,
    /// The topic is subscribed.
    followed: bool,
    /// A task makes `followed` what it has to be.
    is_worked_on: bool,
    /// Out of the map: whoever comes now is another hub.
    is_over: bool,
}

impl Users {
    pub(super) fn find(&self, id: &UserId) -> Option<Arc<UserHub>> {
        self.by_id.read().get(id).cloned()
    }

    fn add(&self, connection: &Arc<Connection>) -> Arc<UserHub> {
        let mut by_id = self.by_id.write();
        let new = || {
            let id = connection.user.clone();
            Arc::new(UserHub {
                id,
                state: Mutex::default(),
            })
        };
        let hub = by_id.entry(connection.user.clone()).or_insert_with(new);
        hub.state.lock().connections.push(Arc::clone(connection));
        Arc::clone(hub)
    }

    /// Takes a user out whom nobody speaks for any more. Answers whether that was so.
    fn remove(&self, hub: &UserHub) -> bool {
        let mut by_id = self.by_id.write();
        let mut state = hub.state.lock();
        if !state.connections.is_empty() {
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
        let wanted = !state.connections.is_empty();
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
}

/// A step on the way from what is to what is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Follow,
    GiveUp,
    Remove,
}

impl Inner {
    /// A connection speaks for its user from now on.
    pub(super) fn add_user(self: &Arc<Self>, connection: &Arc<Connection>) {
        let hub = self.users.add(connection);
        self.follow(&hub);
    }

    /// A connection has ended.
    pub(super) fn remove_user(self: &Arc<Self>, connection: &Connection) {
        let Some(hub) = self.users.find(&connection.user) else {
            return;
        };
        hub.state
            .lock()
            .connections
            .retain(|other| other.id != connection.id);
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
    let mut retry = RETRY_MIN;
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
                hub.state.lock().followed = step == Step::Follow;
                retry = RETRY_MIN;
            }
            Err(error) => {
                tracing::debug!(user = %hub.id, %error, "cannot follow a user");
                tokio::time::sleep(retry.mul_f64(fastrand::f64())).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }
}
