//! Puts an engine together and starts its tasks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use parking_lot::{Mutex, RwLock};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::authenticator::{Authenticator, DevelopmentAuthenticator};
use crate::clock::{Clock, SystemClock};
use crate::directory::Directory;
use crate::ids::InstanceId;
use crate::limits::{Limits, PRESENCE_STEPS_MAX, ROOM_CHANGES_MAX};
use crate::metrics::Metrics;
use crate::presence::Presence;
use crate::pubsub::PubSub;
use crate::rate_limiter::RateLimiter;
use crate::reach::Reach;
use crate::revocations::Revocations;
use crate::room_log::RoomLog;
use crate::service::allowance::Counted;
use crate::service::healing::{self, Healing};
use crate::service::health::Parts;
use crate::service::identities::Identities;
use crate::service::known::Known;
use crate::service::lanes::{Lanes, Unannounced};
use crate::service::limiter::{self, Limiter};
use crate::service::people_work::{self, PeopleWork};
use crate::service::rooms::Rooms;
use crate::service::users::Users;
use crate::service::{
    ChatService, Inner, dispatcher, housekeeping, identities, lanes, membership_work, revocations,
};

/// Why an engine cannot be put together like this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A required seam is missing: give it to the builder.
    #[error("the builder has no {0}")]
    Missing(&'static str),
    /// Each node would have its own: take one that the nodes share.
    #[error("a per-process {0} cannot stand behind a broker that nodes share")]
    TooShort(&'static str),
    /// Somebody else took the broker's events: one engine per `PubSub`.
    #[error("the events of this broker handle were taken already")]
    EventsTaken,
}

/// Puts an engine together.
#[derive(Debug)]
pub struct ChatServiceBuilder {
    pubsub: Arc<dyn PubSub>,
    presence: Arc<dyn Presence>,
    log: Option<Arc<dyn RoomLog>>,
    directory: Option<Arc<dyn Directory>>,
    limiter: Option<Arc<dyn RateLimiter>>,
    authenticator: Arc<dyn Authenticator>,
    revocations: Option<Arc<dyn Revocations>>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    metrics: Option<Metrics>,
    instance: InstanceId,
}

impl ChatServiceBuilder {
    pub(super) fn new(pubsub: Arc<dyn PubSub>, presence: Arc<dyn Presence>) -> Self {
        Self {
            pubsub,
            presence,
            log: None,
            directory: None,
            limiter: None,
            authenticator: Arc::new(DevelopmentAuthenticator),
            revocations: None,
            clock: Arc::new(SystemClock),
            limits: Limits::default(),
            metrics: None,
            instance: InstanceId::random(),
        }
    }

    /// Where rooms are logged. Required.
    #[must_use]
    pub fn room_log(mut self, log: Arc<dyn RoomLog>) -> Self {
        self.log = Some(log);
        self
    }

    /// Rooms and their members. Required.
    #[must_use]
    pub fn directory(mut self, directory: Arc<dyn Directory>) -> Self {
        self.directory = Some(directory);
        self
    }

    /// What was used of limits over all nodes. Required where nodes share a broker; without it this
    /// node counts alone.
    #[must_use]
    pub fn rate_limiter(mut self, limiter: Arc<dyn RateLimiter>) -> Self {
        self.limiter = Some(limiter);
        self
    }

    /// Who may come in; without it everybody, by the name that he gives.
    #[must_use]
    pub fn authenticator(mut self, authenticator: Arc<dyn Authenticator>) -> Self {
        self.authenticator = authenticator;
        self
    }

    /// The record of what was revoked; without it nobody can be.
    #[must_use]
    pub fn revocations(mut self, revocations: Arc<dyn Revocations>) -> Self {
        self.revocations = Some(revocations);
        self
    }

    /// The wall clock; without it the machine's.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// The limits; without it the defaults.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Where to count; without it nobody reads what is counted.
    #[must_use]
    pub fn metrics(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    /// The instance's id, the one that the presence handle was made with; without it a random one.
    #[must_use]
    pub fn instance(mut self, instance: InstanceId) -> Self {
        self.instance = instance;
        self
    }

    /// Whether what is not required reaches as far as the broker.
    fn check_reaches(&self) -> Result<(), BuildError> {
        let broker = self.pubsub.reach();
        check_reach("presence", self.presence.reach(), broker)?;
        let limiter = self.limiter.as_ref();
        let limits = limiter.map_or(Reach::Process, |limiter| limiter.reach());
        check_reach("rate limiter", limits, broker)?;
        match &self.revocations {
            Some(revocations) => check_reach("record of revocations", revocations.reach(), broker),
            None => Ok(()),
        }
    }

    /// Starts the engine. Must be called within a Tokio runtime.
    ///
    /// # Errors
    /// [`BuildError`]: the parts do not make an engine.
    pub fn build(self) -> Result<ChatService, BuildError> {
        let log = self.log.clone().ok_or(BuildError::Missing("room log"))?;
        let directory = self.directory.clone();
        let directory = directory.ok_or(BuildError::Missing("directory"))?;
        check_reach("room log", log.reach(), self.pubsub.reach())?;
        check_reach("directory", directory.reach(), self.pubsub.reach())?;
        self.check_reaches()?;
        let events = self.pubsub.events().ok_or(BuildError::EventsTaken)?;

        let (lanes, lane_queues) = Lanes::new(&self.limits);
        let (signals, signal_queue) = dispatcher::signal_queue();
        let metrics = self.metrics.unwrap_or_else(Metrics::unregistered);
        let (limiter, asks) = Limiter::new(self.limiter, &self.limits, &metrics);
        let (timers, timer_queue) = housekeeping::timers();
        let counted = Counted::new(self.limits.key_window);
        let inner = Arc::new(Inner {
            instance: self.instance,
            metrics,
            rooms: Rooms::new(&self.limits),
            users: Users::default(),
            known: Known::default(),
            healing: Healing::default(),
            changes: Arc::new(tokio::sync::Semaphore::new(ROOM_CHANGES_MAX)),
            presence_steps: tokio::sync::Semaphore::new(PRESENCE_STEPS_MAX),
            people_work: PeopleWork::default(),
            limits: self.limits,
            pubsub: self.pubsub,
            presence: self.presence,
            log,
            directory,
            authenticator: self.authenticator,
            clock: self.clock,
            lanes,
            limiter: Arc::new(limiter),
            counted,
            connections: RwLock::new(HashMap::new()),
            identities: Identities::default(),
            revocations: self.revocations.map(revocations::Watch::new),
            parts: Parts::default(),
            presence_shaken: Mutex::default(),
            timers,
            signals,
            unannounced: Unannounced::default(),
            draining: AtomicBool::new(false),
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        });
        for queue in lane_queues {
            inner.spawn(lanes::run(Arc::clone(&inner), queue));
        }
        inner.spawn(lanes::announce_later(Arc::clone(&inner)));
        inner.spawn(limiter::ask(Arc::clone(&inner.limiter), asks));
        inner.spawn(limiter::sweep(Arc::clone(&inner.limiter)));
        inner.spawn(dispatcher::run(Arc::clone(&inner), events));
        inner.spawn(dispatcher::publish_signals(
            Arc::clone(&inner),
            signal_queue,
        ));
        inner.spawn(housekeeping::run_timers(Arc::clone(&inner), timer_queue));
        start_upkeep(&inner);
        let tasks = inner.stop.clone().drop_guard();
        Ok(ChatService {
            inner,
            _tasks: Arc::new(tasks),
        })
    }
}

/// What goes on beside, whatever arrives or not.
fn start_upkeep(inner: &Arc<Inner>) {
    inner.spawn(housekeeping::compare_heads(Arc::clone(inner)));
    inner.spawn(healing::heal_logs(Arc::clone(inner)));
    inner.spawn(healing::heal_presence(Arc::clone(inner)));
    inner.spawn(membership_work::compare_versions(Arc::clone(inner)));
    inner.spawn(housekeeping::renew_logs(Arc::clone(inner)));
    inner.spawn(housekeeping::tell_each_second(Arc::clone(inner)));
    inner.spawn(housekeeping::keep_lease(Arc::clone(inner)));
    inner.spawn(housekeeping::sweep_often(Arc::clone(inner)));
    inner.spawn(housekeeping::watch_nodes(Arc::clone(inner)));
    inner.spawn(identities::end_identities(Arc::clone(inner)));
    inner.spawn(people_work::say_all(Arc::clone(inner)));
    inner.spawn(people_work::tell_all(Arc::clone(inner)));
    inner.spawn(people_work::write_last_seen(Arc::clone(inner)));
    inner.spawn(revocations::follow_control(Arc::clone(inner)));
    if inner.revocations.is_some() {
        inner.spawn(revocations::keep_reading(Arc::clone(inner)));
    }
}

fn check_reach(what: &'static str, store: Reach, broker: Reach) -> Result<(), BuildError> {
    if store.serves(broker) {
        Ok(())
    } else {
        Err(BuildError::TooShort(what))
    }
}
