//! Which parts of the server are away.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

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

/// The parts that are away, as bits.
#[derive(Debug, Default)]
pub(super) struct Parts(AtomicU8);

fn bit(part: Part) -> u8 {
    match part {
        Part::BrokerIn => 1,
        Part::BrokerOut => 2,
        Part::Presence => 4,
        Part::Store => 8,
    }
}

impl Parts {
    pub(super) fn away(&self) -> Vec<Part> {
        let bits = self.0.load(Ordering::Relaxed);
        ALL.into_iter()
            .filter(|part| bits & bit(*part) != 0)
            .collect()
    }

    pub(super) fn is_away(&self, part: Part) -> bool {
        self.0.load(Ordering::Relaxed) & bit(part) != 0
    }

    /// Answers whether that is news.
    fn set(&self, part: Part, away: bool) -> bool {
        let before = if away {
            self.0.fetch_or(bit(part), Ordering::Relaxed)
        } else {
            self.0.fetch_and(!bit(part), Ordering::Relaxed)
        };
        (before & bit(part) != 0) != away
    }
}

impl Inner {
    /// Notes that a part is away or back, and tells everybody if that is news.
    pub(super) fn set_part(&self, part: Part, away: bool) {
        // The common case costs one load.
        if self.parts.is_away(part) == away || !self.parts.set(part, away) {
            return;
        }
        let parts = self.parts.away();
        if away {
            tracing::warn!(?part, "part is away");
        } else {
            tracing::info!(?part, "part is back");
        }
        let event = Delivery::new(Event::Degraded { parts });
        for connection in self.connections.read().values() {
            connection.outbox.push(Outgoing::Event(Arc::clone(&event)));
        }
    }
}
