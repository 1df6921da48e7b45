//! The engine: sessions, rooms, lanes, and the tasks that keep them in step with log and broker.
//!
//! # Layout
//! - `builder` puts the seams together; `session` is what a transport holds, `hello` its beginning,
//!   `identities` who it speaks for and how long, `revocations` who does so no more
//! - a room on this node: `room`, of `members`, `facts`, `tail`, `roster`, `attendance`; `rooms`
//!   begins and ends to serve it; `users` are those who are connected here, `own_rooms` what each of
//!   them is a member of, kept in step by `membership_work`; `renaming` tells those who have not
//!   joined what a room is called
//! - `permission` says who may do what, `access` by what is known; `chat_rooms` makes and changes
//!   rooms and their members
//! - out: `allowance` says which limits apply and `limiter` counts, `send` makes entries, `lanes`
//!   append them in order
//! - in: `dispatcher` takes what the broker brings, `catch_up` reads what it did not bring
//! - `join` lets a connection in while messages flow, told what it `missed`
//! - who is there and how: `presence_work` says who is in rooms, `people_work` how the users of this
//!   node stand (`people`, `desk`, `last_seen`), `presence_answers` what is asked
//! - `housekeeping`, `health`, `drain`: what goes on beside

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::answer::ClientLimits;
use crate::authenticator::{Authenticator, Credentials};
use crate::clock::Clock;
use crate::directory::Directory;
use crate::error::ServiceError;
use crate::ids::{ConnectionId, InstanceId};
use crate::limits::{self, Limits};
use crate::metrics::Metrics;
use crate::outbox::CloseReason;
use crate::presence::Presence;
use crate::pubsub::PubSub;
use crate::room_log::RoomLog;

mod builder;
mod hello;
mod identities;
mod session;

mod attendance;
mod backoff;
mod connection;
mod facts;
mod flight;
mod members;
mod roles;
mod room;
mod roster;
mod tail;

mod access;
mod chat_rooms;
mod counting;
mod known;
mod mentions;
mod permission;
mod reading;
mod reads;
mod renaming;
mod room_list;
mod room_names;
mod tally;
mod unread;
mod watch;
mod watched;
mod watchers;

mod join;
mod membership_work;
mod missed;
mod own_rooms;
mod rooms;
mod users;

mod allowance;
mod lanes;
mod limiter;
mod send;

mod catch_up;
mod dispatcher;

mod desk;
mod last_seen;
mod people;
mod people_work;
mod presence_answers;

mod drain;
mod healing;
mod health;
mod housekeeping;
mod presence_work;
mod revocations;

use allowance::Counted;
use connection::Connection;
use healing::Healing;
use health::Parts;
use identities::Identities;
use known::Known;
use lanes::Lanes;
use limiter::Limiter;
use people_work::PeopleWork;
use rooms::Rooms;
use users::Users;

pub use builder::{BuildError, ChatServiceBuilder};
pub use health::Health;
pub use session::Session;

type Connections = RwLock<std::collections::HashMap<ConnectionId, Arc<Connection>>>;

/// The engine of one node. Cheap to clone; all clones are the same node, which ends with the last
/// of them, as a node does that is killed; [`ChatService::drain`] is the polite way.
///
/// ```
/// # async fn example(
/// #     pubsub: std::sync::Arc<dyn chat_core::PubSub>, presence: std::sync::Arc<dyn chat_core::Presence>,
/// #     log: std::sync::Arc<dyn chat_core::RoomLog>, directory: std::sync::Arc<dyn chat_core::Directory>,
/// # ) -> Result<(), Box<dyn std::error::Error>> {
/// use chat_core::{ChatService, Command, Credentials, Hello, RoomId, UserId};
///
/// let service =
///     ChatService::builder(pubsub, presence).room_log(log).directory(directory).build()?;
/// let alice = Credentials { user: Some(UserId::new("alice")?), ..Default::default() };
/// let session = service.connect(alice).await?;
/// session.hello(Some(1), Hello::default()).await;
/// let room = RoomId::new("general")?;
/// session.command(Some(2), Command::Join { room, position: None, history: None }).await;
/// let mut frames = Vec::new();
/// session.next_batch(&mut frames, 64).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct ChatService {
    inner: Arc<Inner>,
    /// The last clone takes the engine's tasks with it: they hold `inner` themselves.
    _tasks: Arc<DropGuard>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    instance: InstanceId,
    limits: Limits,
    metrics: Metrics,
    pubsub: Arc<dyn PubSub>,
    presence: Arc<dyn Presence>,
    log: Arc<dyn RoomLog>,
    directory: Arc<dyn Directory>,
    authenticator: Arc<dyn Authenticator>,
    clock: Arc<dyn Clock>,
    rooms: Rooms,
    users: Users,
    known: Known,
    healing: Healing,
    /// Places for changes of rooms that are made and not logged yet.
    changes: Arc<tokio::sync::Semaphore>,
    /// Places for steps of presence that are under way.
    presence_steps: tokio::sync::Semaphore,
    people_work: PeopleWork,
    lanes: Lanes,
    limiter: Arc<Limiter>,
    counted: Counted,
    connections: Connections,
    identities: Identities,
    /// What was revoked; nothing if that is nobody's business here.
    revocations: Option<revocations::Watch>,
    parts: Parts,
    /// When the presence store was last found to have forgotten this node, and so perhaps others.
    presence_shaken: Mutex<Option<Instant>>,
    timers: housekeeping::Timers,
    signals: dispatcher::Signals,
    unannounced: lanes::Unannounced,
    draining: AtomicBool,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl ChatService {
    /// Starts to put an engine together, from the two seams that its nodes meet at.
    #[must_use]
    pub fn builder(pubsub: Arc<dyn PubSub>, presence: Arc<dyn Presence>) -> ChatServiceBuilder {
        ChatServiceBuilder::new(pubsub, presence)
    }

    /// This start of this process.
    #[must_use]
    pub fn instance(&self) -> InstanceId {
        self.inner.instance
    }

    /// The limits that it keeps to.
    #[must_use]
    pub fn limits(&self) -> &Limits {
        &self.inner.limits
    }

    /// What it counts.
    #[must_use]
    pub fn metrics(&self) -> &Metrics {
        &self.inner.metrics
    }

    /// Whether names are taken without proof.
    #[must_use]
    pub fn is_development(&self) -> bool {
        self.inner.authenticator.is_development()
    }

    /// How the node is.
    #[must_use]
    pub fn health(&self) -> Health {
        Health {
            degraded: self.inner.parts.away(),
            draining: self.inner.draining.load(Ordering::Relaxed),
        }
    }

    /// Whether one more may come in, for a transport that can refuse before it asks who it is.
    ///
    /// # Errors
    /// `RateLimited` if there are too many connections, `Unavailable` if the node is going away.
    pub fn check_room(&self) -> Result<(), ServiceError> {
        let connections = self.inner.connections.read().len();
        self.inner.check_place(connections)
    }

    /// Lets somebody in: finds out who he is and registers a connection. The transport then runs
    /// [`Session::hello`].
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`], `Forbidden` if the user or token was revoked, `RateLimited` if there are too many connections,
    /// `Unavailable` if the node is going away.
    pub async fn connect(&self, who: Credentials) -> Result<Session, ServiceError> {
        let inner = &self.inner;
        inner.check_place(inner.connections.read().len())?;
        let identity = inner.identify(who).await?;
        inner.check_revoked(&identity).await?;
        let connection = Arc::new(Connection::new(identity, &inner.limits));
        inner.add_user(&connection)?;
        {
            let mut connections = inner.connections.write();
            // Once more: others came while this one was asked who he is, or a drain has begun,
            // which sends away only those whom it finds here.
            if let Err(error) = inner.check_place(connections.len()) {
                drop(connections);
                inner.remove_user(&connection);
                return Err(error);
            }
            connections.insert(connection.id, Arc::clone(&connection));
        }
        inner.identities.remember(&connection);
        if inner.check_known_revoked(&connection.identity()).is_err() {
            // Read between the question and now, when it was nowhere to be found.
            connection.outbox.close(CloseReason::Disconnected);
        }
        inner.metrics.connects.inc();
        inner.metrics.connections.inc();
        Ok(Session::new(Arc::clone(inner), connection))
    }

    /// Goes away: lets nobody in, tells all `goaway` in paced batches with spread reconnect times,
    /// closes them, and retires from presence. Resolves when all is done, or the drain timeout
    /// has passed.
    pub async fn drain(&self) {
        drain::drain(&self.inner).await;
    }
}

impl Inner {
    /// Whether one more may come in.
    fn check_place(&self, connections: usize) -> Result<(), ServiceError> {
        if self.draining.load(Ordering::SeqCst) {
            return Err(ServiceError::unavailable("this node"));
        }
        if connections < self.limits.connections_max {
            return Ok(());
        }
        self.metrics.limit("connections_max");
        Err(ServiceError::RateLimited {
            limit: format!(
                "connections_max: this node has {} connections; try another one",
                self.limits.connections_max
            ),
            retry_after: std::time::Duration::from_secs(5),
        })
    }

    fn client_limits(&self) -> ClientLimits {
        ClientLimits {
            frame_bytes: self.limits.frame_bytes_max,
            text_bytes: limits::TEXT_BYTES_MAX,
            meta_bytes: limits::META_BYTES_MAX,
            rooms: self.limits.rooms_per_connection,
            history: limits::PAGE_MAX,
            key_window_ms: millis(self.limits.key_window),
            typing_ttl_ms: millis(self.limits.typing_ttl),
        }
    }

    /// Spawns a task of the node, which ends with it.
    fn spawn(self: &Arc<Self>, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop.clone();
        self.tasks.spawn(async move {
            // Whatever the task was about is over when the node is.
            stop.run_until_cancelled(task).await;
        });
    }
}

fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
