//! Who connections speak for: found out at the beginning, prolonged in band, ended in time.
//!
//! A connection that lives longer than its identity would be an identity without an end.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::answer::Answer;
use crate::authenticator::Credentials;
use crate::error::ServiceError;
use crate::event::{Delivery, Event};
use crate::identity::{Identity, Token};
use crate::ids::ConnectionId;
use crate::message::Millis;
use crate::outbox::{CloseReason, Outgoing};
use crate::service::Inner;
use crate::service::connection::Connection;

/// How often it is looked which identities have ended: a connection outlives its identity by no
/// more than this.
const END_INTERVAL: Duration = Duration::from_secs(1);

/// When the identities of this node's connections end. One that does not end is not in it.
#[derive(Debug, Default)]
pub(super) struct Identities(Mutex<BTreeSet<(Millis, ConnectionId)>>);

impl Identities {
    /// A connection came.
    pub(super) fn remember(&self, connection: &Connection) {
        if let Some(end) = connection.identity().expires_at_ms {
            self.0.lock().insert((end, connection.id));
        }
    }

    /// A connection went.
    pub(super) fn forget(&self, connection: &Connection) {
        let mut ends = self.0.lock();
        if let Some(end) = connection.identity().expires_at_ms {
            ends.remove(&(end, connection.id));
        }
    }

    /// A connection goes on under another identity.
    fn replace(&self, connection: &Connection, identity: Identity) {
        let mut ends = self.0.lock();
        let end = identity.expires_at_ms;
        let former = connection.set_identity(Arc::new(identity));
        if let Some(end) = former.expires_at_ms {
            ends.remove(&(end, connection.id));
        }
        // One whose session ended meanwhile has been forgotten: nobody would do so again.
        if let Some(end) = end
            && !connection.is_gone()
        {
            ends.insert((end, connection.id));
        }
    }

    fn take_due(&self, now_ms: Millis) -> Vec<ConnectionId> {
        let mut ends = self.0.lock();
        let mut due = Vec::new();
        while ends.first().is_some_and(|(end, _)| *end <= now_ms) {
            due.extend(ends.pop_first().map(|(_, id)| id));
        }
        due
    }

    #[cfg(test)]
    fn count(&self) -> usize {
        self.0.lock().len()
    }
}

/// Closes the connections whose identity has ended.
pub(super) async fn end_identities(inner: Arc<Inner>) {
    let mut ticks = tokio::time::interval(END_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let now_ms = inner.clock.now_ms();
        for id in inner.identities.take_due(now_ms) {
            let connection = inner.connections.read().get(&id).cloned();
            // Refreshed in this very moment: it has another end.
            if let Some(connection) = connection
                && connection.identity().has_ended(now_ms)
            {
                connection.outbox.close(CloseReason::Expired);
            }
        }
    }
}

impl Inner {
    /// Finds out who somebody is.
    pub(super) async fn identify(&self, who: Credentials) -> Result<Identity, ServiceError> {
        let identity = self.authenticator.authenticate(who).await;
        identity.map_err(|error| {
            self.metrics.refused.inc();
            ServiceError::Unauthorized(error.to_string())
        })
    }

    /// A connection goes on under a new token. Whatever is wrong with that leaves it as it is.
    pub(super) async fn refresh(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        token: Token,
    ) -> Result<Answer, ServiceError> {
        let who = Credentials {
            token: Some(token),
            user: None,
        };
        let identity = self.identify(who).await?;
        if identity.user != connection.user {
            return Err(ServiceError::Forbidden("the token is another user's"));
        }
        self.check_revoked(&identity).await?;
        let expires_at_ms = identity.expires_at_ms;
        self.identities.replace(connection, identity);
        self.leave_forbidden(connection);
        self.watch_by_token(connection);
        Ok(Answer::Refreshed { expires_at_ms })
    }

    /// The new token may permit less than the one before.
    fn leave_forbidden(self: &Arc<Self>, connection: &Arc<Connection>) {
        let identity = connection.identity();
        for hub in connection.joined() {
            if !identity.permits(&hub.id) {
                self.leave_room(connection, &hub, false);
                let event = Event::JoinFailed {
                    room: hub.id.clone(),
                    error: ServiceError::NotFound("room"),
                };
                let event = Outgoing::Event(Delivery::new(event));
                connection.outbox.push(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::UserId;
    use crate::limits::Limits;

    fn connection(end: Option<Millis>) -> Connection {
        Connection::new(identity(end), &Limits::default())
    }

    fn identity(expires_at_ms: Option<Millis>) -> Identity {
        let user = UserId::new("alice").unwrap();
        Identity {
            expires_at_ms,
            ..Identity::of(user)
        }
    }

    #[test]
    fn identities_end_in_their_order_and_once() {
        let identities = Identities::default();
        let (first, second, endless) = (connection(Some(5)), connection(Some(9)), connection(None));
        for connection in [&second, &endless, &first] {
            identities.remember(connection);
        }
        assert_eq!(identities.take_due(4), []);
        assert_eq!(identities.take_due(8), [first.id]);
        assert_eq!(identities.take_due(Millis::MAX), [second.id]);
        assert_eq!(identities.count(), 0);
    }

    #[test]
    fn a_refreshed_identity_ends_at_its_new_end_alone() {
        let identities = Identities::default();
        let connection = connection(Some(5));
        identities.remember(&connection);
        identities.replace(&connection, identity(Some(9)));
        assert_eq!(identities.take_due(5), []);
        assert_eq!(identities.take_due(9), [connection.id]);
    }

    #[test]
    fn nothing_is_kept_of_a_connection_that_went() {
        let identities = Identities::default();
        let connection = connection(Some(5));
        identities.remember(&connection);
        identities.forget(&connection);
        connection.end();
        identities.replace(&connection, identity(Some(9)));
        assert_eq!(identities.count(), 0);
    }
}
