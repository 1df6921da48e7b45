//! Which parts of the server are away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use crate::error::ServiceError;
use crate::event::{Delivery, Event, Part};
use crate::outbox::Outgoing;
use crate::service::Inner;

/// How a node is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Health {
    /// The parts that are away; empty when all is well.
    pub degraded: Vec<Part>,
    /// Whether the node is going away.
    pub draining: bool,
}

const ALL: [Part; 4] = [Part::BrokerIn, Part::BrokerOut, Part::Presence, Part::Store];

/// Changes that are told at once, each second. More is a part that blinks: what it has come to is
/// told once a second, because every change goes to every connection and must arrive.
const TOLD_AT_ONCE: u8 = 4;

/// The parts that are away, as bits.
#[derive(Debug, Default)]
pub(super) struct Parts {
    away: AtomicU8,
    told: Mutex<Told>,
}

/// What clients were last told.
#[derive(Debug, Default)]
struct Told {
    away: u8,
    /// Changes told since the last tick.
    changes: u8,
}

fn bit(part: Part) -> u8 {
    match part {
        Part::BrokerIn => 1,
        Part::BrokerOut => 2,
        Part::Presence => 4,
        Part::Store => 8,
    }
}

fn of_bits(bits: u8) -> Vec<Part> {
    let away = ALL.into_iter().filter(|part| bits & bit(*part) != 0);
    away.collect()
}

impl Parts {
    pub(super) fn away(&self) -> Vec<Part> {
        of_bits(self.away.load(Ordering::Relaxed))
    }

    pub(super) fn is_away(&self, part: Part) -> bool {
        self.away.load(Ordering::Relaxed) & bit(part) != 0
    }

    /// Answers whether that is news.
    fn set(&self, part: Part, away: bool) -> bool {
        let before = if away {
            self.away.fetch_or(bit(part), Ordering::Relaxed)
        } else {
            self.away.fetch_and(!bit(part), Ordering::Relaxed)
        };
        (before & bit(part) != 0) != away
    }
}

/// How long a part that is known to be away is asked before memory answers in its place.
const ASKED_AWAY: Duration = Duration::from_millis(250);

impl Inner {
    /// Asks a store; what is `known` answers in its place while it is away. That is looked up when the
    /// store has not answered, because it may have changed meanwhile.
    pub(super) async fn ask_or_recall<T>(
        &self,
        ask: impl Future<Output = Result<T, ServiceError>>,
        known: impl Fn() -> Option<T>,
    ) -> Result<T, ServiceError> {
        let asked = if self.parts.is_away(Part::Store) && known().is_some() {
            self.ask_soon(Part::Store, ask).await
        } else {
            Some(ask.await)
        };
        match asked.unwrap_or_else(|| Err(ServiceError::unavailable("the store"))) {
            Err(error @ ServiceError::Unavailable { .. }) => known().ok_or(error),
            asked => asked,
        }
    }

    /// Asks a part; nothing if it is known to be away and does not answer soon.
    pub(super) async fn ask_soon<T>(&self, part: Part, ask: impl Future<Output = T>) -> Option<T> {
        if self.parts.is_away(part) {
            return tokio::time::timeout(ASKED_AWAY, ask).await.ok();
        }
        Some(ask.await)
    }

    /// Notes that a part is away or back, and tells everybody if that is news.
    pub(super) fn set_part(&self, part: Part, away: bool) {
        // The common case costs one load.
        if self.parts.is_away(part) == away || !self.parts.set(part, away) {
            return;
        }
        if away {
            tracing::warn!(?part, "part is away");
        } else {
            tracing::info!(?part, "part is back");
        }
        self.tell_parts(&mut self.parts.told.lock());
    }

    /// Tells what a part that blinks has come to; to be called every second.
    pub(super) fn tell_parts_again(&self) {
        let mut told = self.parts.told.lock();
        told.changes = 0;
        self.tell_parts(&mut told);
    }

    /// Under the lock, so that what was told last is what is true.
    fn tell_parts(&self, told: &mut Told) {
        let away = self.parts.away.load(Ordering::Relaxed);
        if told.away == away || told.changes >= TOLD_AT_ONCE {
            return;
        }
        told.away = away;
        told.changes += 1;
        let parts = of_bits(away);
        let event = Delivery::new(Event::Degraded { parts });
        for connection in self.connections.read().values() {
            connection.outbox.push(Outgoing::Event(Arc::clone(&event)));
        }
    }
}
