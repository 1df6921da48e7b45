//! The engine.

use std::future::Future;

use crate::authenticator::Credentials;
use crate::command::{Command, Hello};
use crate::error::ServiceError;
use crate::event::Part;
use crate::ids::{ConnectionId, InstanceId, UserId};
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::outbox::{CloseReason, Outgoing};

/// stub
#[derive(Debug, Clone)]
pub struct ChatService {}
/// stub
#[derive(Debug)]
pub struct ChatServiceBuilder {}
/// stub
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct BuildError;

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The parts that are away.
    pub degraded: Vec<Part>,
    /// Whether the node is going away.
    pub draining: bool,
}

impl ChatService {
    /// A builder from the two seams that nodes share; the rest has in-process defaults.
    /// (room_log, directory must be given)
    pub fn builder(
        _pubsub: std::sync::Arc<dyn crate::PubSub>,
        _presence: std::sync::Arc<dyn crate::Presence>,
    ) -> ChatServiceBuilder {
        unimplemented!()
    }
    /// This start of this process.
    pub fn instance(&self) -> InstanceId {
        unimplemented!()
    }
    /// The limits.
    pub fn limits(&self) -> &Limits {
        unimplemented!()
    }
    /// The metrics.
    pub fn metrics(&self) -> &Metrics {
        unimplemented!()
    }
    /// Whether names are taken without proof.
    pub fn is_development(&self) -> bool {
        unimplemented!()
    }
    /// How the node is.
    pub fn health(&self) -> Health {
        unimplemented!()
    }
    /// Lets somebody in: authenticates him and registers a connection. The transport then runs
    /// [`Session::hello`].
    ///
    /// # Errors
    /// [`ServiceError::Unauthorized`], or `RateLimited` when there are too many connections.
    pub async fn connect(&self, _who: Credentials) -> Result<Session, ServiceError> {
        unimplemented!()
    }
    /// Goes away: refuses new connections, tells all `goaway` in paced batches with spread
    /// reconnect times, closes them, retires presence. Resolves when all are gone or the drain
    /// timeout has passed.
    pub async fn drain(&self) {
        unimplemented!()
    }
}

impl ChatServiceBuilder {
    /// Where rooms are logged. Required.
    pub fn room_log(self, _a: std::sync::Arc<dyn crate::RoomLog>) -> Self {
        self
    }
    /// Rooms and members. Required.
    pub fn directory(self, _a: std::sync::Arc<dyn crate::Directory>) -> Self {
        self
    }
    /// Who may come in; without it everybody by the name that he gives (development).
    pub fn authenticator(self, _a: std::sync::Arc<dyn crate::Authenticator>) -> Self {
        self
    }
    /// The wall clock.
    pub fn clock(self, _a: std::sync::Arc<dyn crate::Clock>) -> Self {
        self
    }
    /// Limits.
    pub fn limits(self, _a: Limits) -> Self {
        self
    }
    /// Metrics.
    pub fn metrics(self, _a: Metrics) -> Self {
        self
    }
    /// The instance id (must be the one that the presence handle was made with).
    pub fn instance(self, _a: InstanceId) -> Self {
        self
    }
    /// Starts the engine; must be called in a tokio runtime.
    ///
    /// # Errors
    /// see BuildError
    pub fn build(self) -> Result<ChatService, BuildError> {
        Err(BuildError)
    }
}

/// One connection, as its transport holds it. Dropping it means that the connection was lost.
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// Who it speaks for.
    pub fn user(&self) -> &UserId {
        unimplemented!()
    }
    /// Its id.
    pub fn connection(&self) -> ConnectionId {
        unimplemented!()
    }
    /// Carries out the first command; the answer goes to the outbox.
    pub fn hello(
        &self,
        _id: Option<u64>,
        _hello: Hello,
    ) -> impl Future<Output = ()> + Send + 'static {
        async {}
    }
    /// Carries out a command; the answer goes to the outbox, for sends later than this resolves.
    /// A transport awaits it before it starts the next one (that is the order of one sender),
    /// and goes on writing the outbox meanwhile.
    pub fn command(
        &self,
        _id: Option<u64>,
        _command: Command,
    ) -> impl Future<Output = ()> + Send + 'static {
        async {}
    }
    /// Waits for frames and moves up to `max` of them out of the outbox. Fails once the connection
    /// is to be closed and nothing waits any more. Cancel safe.
    ///
    /// # Errors
    /// why the connection is to be closed
    pub async fn next_batch(
        &self,
        _into: &mut Vec<Outgoing>,
        _max: usize,
    ) -> Result<(), CloseReason> {
        unimplemented!()
    }
    /// Resolves when the connection is to be closed, even while frames wait: for a transport that
    /// is held up in a write. Cancel safe.
    pub async fn closed(&self) -> CloseReason {
        unimplemented!()
    }
    /// Puts an error of the transport's own (a bad frame) in order with the answers.
    pub fn push(&self, _frame: Outgoing) {}
}
