//! The seam to how much has been done of what is limited, over all nodes.
//!
//! A node does not ask at every message: it takes shares of the cluster's window in advance, and
//! says what it has used without asking (see `service::limiter`). An implementation only counts.

mod window;

use std::fmt::{self, Debug, Display};
use std::time::Duration;

use async_trait::async_trait;
use compact_str::{CompactString, format_compact};

use crate::ids::{RoomId, UserId};
use crate::limits::{RATE_SHARES, RATE_SLOTS};
use crate::message::Millis;
use crate::reach::Reach;

pub use window::SlidingWindow;

/// At most `max` in any span of `per`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many.
    pub max: u64,
    /// In which time.
    pub per: Duration,
}

impl Rate {
    /// How much a node takes, or uses without asking, at once. None of a small limit: there every
    /// use asks first, and the limit is exact.
    #[must_use]
    pub fn share(&self) -> u64 {
        self.max / RATE_SHARES
    }

    /// The span, in milliseconds; at least one.
    #[must_use]
    pub fn per_ms(&self) -> Millis {
        Millis::try_from(self.per.as_millis())
            .unwrap_or(Millis::MAX / 4)
            .max(1)
    }

    /// How finely a window counts, in milliseconds: small limits exactly, so that a window never
    /// holds more than about [`RATE_SLOTS`] counts.
    #[must_use]
    pub fn slot_ms(&self) -> Millis {
        if self.max <= RATE_SLOTS {
            return 1;
        }
        (self.per_ms() / RATE_SLOTS).max(1)
    }
}

impl Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {:?}", self.max, self.per)
    }
}

/// What is counted, as one name. No id has a slash, so keys of different kinds are never the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RateKey(CompactString);

impl RateKey {
    /// Messages of a user, in all rooms.
    #[must_use]
    pub fn user(user: &UserId) -> Self {
        Self(format_compact!("user/{user}"))
    }

    /// Messages in a room, of all users.
    #[must_use]
    pub fn room(room: &RoomId) -> Self {
        Self(format_compact!("room/{room}"))
    }

    /// Messages of one member in a room with slow mode.
    #[must_use]
    pub fn slow(room: &RoomId, user: &UserId) -> Self {
        Self(format_compact!("slow/{room}/{user}"))
    }

    /// Rooms that a user brings into being.
    #[must_use]
    pub fn new_rooms(user: &UserId) -> Self {
        Self(format_compact!("rooms/{user}"))
    }

    /// As text, for the name of a key.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Display for RateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What a node says of one key, and wants of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// Of what.
    pub key: RateKey,
    /// Its limit, as this node is configured.
    pub rate: Rate,
    /// What the node used without having been granted it.
    pub spent: u64,
    /// How much it wants to use.
    pub wanted: u64,
}

/// What a node may use. It counts as used from now on, whether it is or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grant {
    /// How much: at most what was wanted.
    pub granted: u64,
    /// What is left for anybody after it.
    pub remaining: u64,
    /// How long until more than `remaining` is left, if nothing more is used. A span and no time:
    /// clocks of nodes and store need not agree.
    pub reset_after: Duration,
}

/// Why nothing was granted. Each node then keeps to the limit by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RateLimiterError {
    /// Cannot be reached, or did not answer in time; whether it counted is unknown.
    #[error("the rate limiter is not available: {0}")]
    Unavailable(String),
    /// It counts as many keys as it may: try again when some are idle.
    #[error("{0} keys are counted already, the limit")]
    Full(usize),
}

/// Counts, over all nodes, what was used of each key in a sliding window.
///
/// # Contract
/// 1. `grants_no_more_than_the_limit_in_any_window`: of one key, whoever asks and however many at
///    once, in any span of `per`; what was `spent` counts too.
/// 2. `grants_what_is_left`: less than wanted where less is left; `remaining` is what is left then.
/// 3. `charges_what_was_spent_beyond_the_limit`: it was used; nothing is granted until it fits again.
/// 4. `says_when_more_is_left`: after `reset_after`, and not much later than `per` after it was
///    granted: at most a [`RATE_SLOTS`]th.
/// 5. `keys_do_not_share`: each has its own window.
/// 6. `nodes_share_a_window`: what one was granted is not left for another.
/// 7. `answers_in_the_order_asked`: one grant per ask, also of one key asked twice in a call.
/// 8. `idle_keys_leave_nothing_behind`: once the window has passed.
///
/// # Not promised
/// Fairness between nodes. That a window outlives the store's data.
///
/// # Cancel safety
/// A dropped call may or may not have counted.
#[cfg_attr(any(test, feature = "mocks"), mockall::automock)]
#[async_trait]
pub trait RateLimiter: Debug + Send + Sync + 'static {
    /// How far it reaches.
    fn reach(&self) -> Reach;

    /// Counts what was spent and grants what is left, at most
    /// [`crate::limits::RATE_ASKS_MAX`] keys at a time.
    ///
    /// # Errors
    /// [`RateLimiterError`]
    async fn lease(&self, asks: Vec<Ask>) -> Result<Vec<Grant>, RateLimiterError>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_different_kinds_are_never_the_same() {
        let (user, room) = (UserId::new("a").unwrap(), RoomId::new("a").unwrap());
        let keys = [
            RateKey::user(&user),
            RateKey::room(&room),
            RateKey::slow(&room, &user),
            RateKey::new_rooms(&user),
        ];
        let different: std::collections::HashSet<_> = keys.iter().collect();
        assert_eq!(different.len(), keys.len());
    }

    #[test]
    fn a_small_limit_is_counted_exactly_and_not_shared_in_advance() {
        let slow = Rate {
            max: 1,
            per: Duration::from_secs(60),
        };
        assert_eq!((slow.share(), slow.slot_ms()), (0, 1));
        let busy = Rate {
            max: 1_000,
            per: Duration::from_secs(10),
        };
        assert!(busy.share() > 0 && busy.slot_ms() > 1);
    }
}
