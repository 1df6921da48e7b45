//! Closes the connections of whoever was revoked, and lets him in no more.
//!
//! The truth is a record that nodes read: at every hello, after the link was cut, and every few
//! seconds. The control topic only says that it is worth a look now. A node that cannot read it for
//! too long stops serving whoever could have been revoked.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::error::ServiceError;
use crate::identity::{Identity, TokenId};
use crate::ids::UserId;
use crate::message::Millis;
use crate::outbox::CloseReason;
use crate::revocations::{RevocationError, Revocations, Revoked};
use crate::service::{ChatService, Inner};
use crate::signal::Signal;
use crate::topic::Topic;

/// How often the record is read while all is well: how long somebody may stay whose revocation the
/// control topic did not bring.
const READ_INTERVAL: Duration = Duration::from_secs(5);
/// How often while it cannot be read.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// What this node knows of the record.
#[derive(Debug)]
pub(super) struct Watch {
    store: Arc<dyn Revocations>,
    known: RwLock<Known>,
    started: Instant,
    /// When it was read last; nothing until it was read for the first time.
    read_at: Mutex<Option<Instant>>,
    failing: AtomicBool,
    look: Notify,
}

#[derive(Debug, Default)]
struct Known {
    users: HashSet<UserId>,
    tokens: HashSet<TokenId>,
}

impl Known {
    fn of(list: Vec<Revoked>) -> Self {
        let mut known = Self::default();
        for what in list {
            known.insert(what);
        }
        known
    }

    fn insert(&mut self, what: Revoked) {
        match what {
            Revoked::User(user) => drop(self.users.insert(user)),
            Revoked::Token(id) => drop(self.tokens.insert(id)),
        }
    }

    fn has(&self, identity: &Identity) -> bool {
        let token = identity.token_id.as_ref();
        self.users.contains(&identity.user) || token.is_some_and(|id| self.tokens.contains(id))
    }

    fn is_empty(&self) -> bool {
        self.users.is_empty() && self.tokens.is_empty()
    }
}

impl Watch {
    pub(super) fn new(store: Arc<dyn Revocations>) -> Self {
        Self {
            store,
            known: RwLock::default(),
            started: Instant::now(),
            read_at: Mutex::default(),
            failing: AtomicBool::new(false),
            look: Notify::new(),
        }
    }

    /// Says that the record is worth a look.
    pub(super) fn look(&self) {
        self.look.notify_one();
    }

    /// Notes whether it could be read. Answers whether that is news.
    fn note(&self, failing: bool) -> bool {
        self.failing.swap(failing, Ordering::Relaxed) != failing
    }

    fn was_never_read(&self) -> bool {
        self.read_at.lock().is_none()
    }

    fn is_older_than(&self, age: Duration) -> bool {
        self.read_at.lock().unwrap_or(self.started).elapsed() > age
    }
}

/// Reads the record for as long as the node lives.
pub(super) async fn keep_reading(inner: Arc<Inner>) {
    let Some(watch) = &inner.revocations else {
        return;
    };
    loop {
        inner.read_revocations(watch).await;
        let wait = if watch.failing.load(Ordering::Relaxed) {
            RETRY_INTERVAL
        } else {
            READ_INTERVAL
        };
        // Told or not, it is read: a hint saves time, nothing else.
        let _told = tokio::time::timeout(wait, watch.look.notified()).await;
    }
}

/// Follows the control topic.
pub(super) async fn follow_control(inner: Arc<Inner>) {
    let topic = [Topic::Control];
    while let Err(error) = inner.pubsub.subscribe(&topic).await {
        tracing::debug!(%error, "cannot follow the control topic");
        tokio::time::sleep(RETRY_INTERVAL).await;
    }
    // What was said before it was heard.
    inner.look_at_revocations();
}

impl Inner {
    /// Something may have been revoked.
    pub(super) fn look_at_revocations(&self) {
        if let Some(watch) = &self.revocations {
            watch.look();
        }
    }

    async fn read_revocations(&self, watch: &Watch) {
        match watch.store.in_force().await {
            Ok(list) => {
                if watch.note(false) {
                    tracing::info!("the record of revocations can be read again");
                }
                *watch.known.write() = Known::of(list);
                *watch.read_at.lock() = Some(Instant::now());
                self.close_revoked(watch);
            }
            Err(error) => {
                if watch.note(true) {
                    tracing::warn!(%error, "cannot read what was revoked");
                }
                if self.is_isolated() {
                    self.close_unsure();
                }
            }
        }
    }

    fn close_revoked(&self, watch: &Watch) {
        let known = watch.known.read();
        if known.is_empty() {
            return;
        }
        for connection in self.connections.read().values() {
            if known.has(&connection.identity()) {
                connection.outbox.close(CloseReason::Disconnected);
            }
        }
    }

    /// Whether it is too long ago that the record was read to know who may still be here. Names that
    /// nobody has to prove are not worth it.
    fn is_isolated(&self) -> bool {
        let watch = self.revocations.as_ref();
        !self.authenticator.is_development()
            && watch.is_some_and(|watch| watch.is_older_than(self.limits.isolation_max))
    }

    /// Sends everybody to nodes that know more.
    fn close_unsure(&self) {
        let connections = self.connections.read();
        if !connections.is_empty() {
            self.metrics.limit("isolation_max");
            tracing::warn!(
                connections = connections.len(),
                "what was revoked is not known for too long: everybody is sent away"
            );
        }
        for connection in connections.values() {
            connection.outbox.close(CloseReason::GoingAway);
        }
    }

    /// Refuses an identity that was revoked, or of which that is not known.
    pub(super) async fn check_revoked(&self, identity: &Identity) -> Result<(), ServiceError> {
        let Some(watch) = &self.revocations else {
            return Ok(());
        };
        // Proofs are worth a question. While nobody answers, all would wait for that.
        if !self.authenticator.is_development() && !watch.failing.load(Ordering::Relaxed) {
            match watch.store.is_revoked(&names(identity)).await {
                Ok(false) => return Ok(()),
                Ok(true) => return Err(revoked()),
                Err(error) => {
                    tracing::debug!(%error, "cannot ask what was revoked");
                    watch.look();
                }
            }
        }
        let knows_nothing = !self.authenticator.is_development() && watch.was_never_read();
        if knows_nothing || self.is_isolated() {
            return Err(ServiceError::unavailable("the record of revocations"));
        }
        self.check_known_revoked(identity)
    }

    /// As [`Self::check_revoked`], as far as this node knows. Asked once more when a connection is
    /// registered: what was read in between found it nowhere.
    pub(super) fn check_known_revoked(&self, identity: &Identity) -> Result<(), ServiceError> {
        let is_known = |watch: &Watch| watch.known.read().has(identity);
        if self.revocations.as_ref().is_some_and(is_known) {
            return Err(revoked());
        }
        Ok(())
    }
}

fn names(identity: &Identity) -> Vec<Revoked> {
    let token = identity.token_id.clone().map(Revoked::Token);
    let user = Revoked::User(identity.user.clone());
    std::iter::once(user).chain(token).collect()
}

fn revoked() -> ServiceError {
    ServiceError::Forbidden("this user or token is revoked")
}

impl ChatService {
    /// Lets a user or a token in no more for this long, on all nodes, and closes their connections.
    /// Answers until when. Over all nodes within a second while their links are up, otherwise as
    /// soon as they are back.
    ///
    /// # Errors
    /// `Unavailable`: the outcome is unknown, do it again. `TooLarge`: too many are in force.
    /// `Unsupported`: the engine was built without a record.
    pub async fn revoke(&self, what: Revoked, time: Duration) -> Result<Millis, ServiceError> {
        let watch = self.record()?;
        let until_ms = watch.store.revoke(&what, time).await.map_err(failed)?;
        tracing::info!(%what, ?time, "revoked");
        watch.known.write().insert(what);
        self.inner.close_revoked(watch);
        self.tell_all();
        Ok(until_ms)
    }

    /// Lets a user or a token in again. Answers whether they had been revoked.
    ///
    /// # Errors
    /// As [`Self::revoke`].
    pub async fn lift(&self, what: &Revoked) -> Result<bool, ServiceError> {
        let watch = self.record()?;
        let was = watch.store.lift(what).await.map_err(failed)?;
        watch.look();
        self.tell_all();
        Ok(was)
    }

    fn record(&self) -> Result<&Watch, ServiceError> {
        let watch = self.inner.revocations.as_ref();
        watch.ok_or(ServiceError::Unsupported("revocation"))
    }

    fn tell_all(&self) {
        self.inner.signal(Topic::Control, &Signal::Revocations);
    }
}

fn failed(error: RevocationError) -> ServiceError {
    match error {
        RevocationError::Unavailable(why) => {
            tracing::warn!(%why, "cannot revoke");
            ServiceError::unavailable("the record of revocations")
        }
        RevocationError::Full(limit) => ServiceError::TooLarge {
            field: "revocations",
            size: limit + 1,
            limit,
        },
    }
}
