//! Which limits a command meets, and what its sender is told of them.
//!
//! Counting is `limiter`'s, the numbers are [`crate::limits::Limits`]'.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::ServiceError;
use crate::ids::{MessageKey, RoomId, UserId};
use crate::message::Millis;
use crate::rate_limiter::{Rate, RateKey};
use crate::room::Access;
use crate::service::Inner;
use crate::service::connection::Connection;
use crate::service::limiter::Limiter;

/// Keys of changes that are known to have been counted: twice as many at most. They take half a
/// megabyte, and a retry comes within seconds.
const COUNTED_MAX: usize = 32_768;

/// What was counted for one change.
#[derive(Debug)]
pub(super) struct Allowance {
    limiter: Arc<Limiter>,
    keys: Vec<RateKey>,
    remaining: u64,
    reset_after: Duration,
}

impl Allowance {
    /// The change was made before, so that this one was none.
    pub(super) fn take_back(&self) {
        for key in &self.keys {
            self.limiter.take_back(key);
        }
    }

    /// How much more the sender may do here.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
    }

    /// When it will be more, on the clock that showed `now`.
    pub(super) fn reset_at(&self, now: Millis) -> Millis {
        let wait = Millis::try_from(self.reset_after.as_millis()).unwrap_or(Millis::MAX);
        now.saturating_add(wait)
    }
}

/// What a change is checked against.
pub(super) struct Attempt<'a> {
    pub(super) user: &'a UserId,
    pub(super) access: &'a Access,
    pub(super) key: Option<&'a MessageKey>,
    /// Not held up by slow mode.
    pub(super) moderates: bool,
    /// It adds a message.
    pub(super) is_message: bool,
}

/// One limit and what it counts.
struct Limit {
    name: &'static str,
    what: &'static str,
    key: RateKey,
    rate: Rate,
}

impl Limit {
    fn error(&self, retry_after: Duration) -> ServiceError {
        let (name, what, rate) = (self.name, self.what, self.rate);
        ServiceError::RateLimited {
            limit: format!("{name}: at most {rate} {what}; wait before the next"),
            retry_after,
        }
    }
}

impl Inner {
    /// Counts a change of a room's log, if all its limits let it through. Nothing is counted, and
    /// nothing answered, if there are none, or if it is known to have been counted: a retry.
    pub(super) async fn check_change(
        &self,
        attempt: Attempt<'_>,
    ) -> Result<Option<Box<Allowance>>, ServiceError> {
        let limits = self.limits_of(&attempt);
        let room = &attempt.access.room.id;
        let counted = |key| self.counted.contains(room, attempt.user, key);
        if limits.is_empty() || attempt.key.is_some_and(counted) {
            return Ok(None);
        }
        let mut allowance = Box::new(Allowance {
            limiter: Arc::clone(&self.limiter),
            keys: Vec::with_capacity(limits.len()),
            remaining: u64::MAX,
            reset_after: Duration::ZERO,
        });
        for limit in limits {
            let decision = self.limiter.check(&limit.key, limit.rate).await;
            if !decision.allowed {
                allowance.take_back();
                self.metrics.limit(limit.name);
                return Err(limit.error(decision.reset_after));
            }
            if decision.remaining < allowance.remaining {
                allowance.remaining = decision.remaining;
                allowance.reset_after = decision.reset_after;
            }
            allowance.keys.push(limit.key);
        }
        if let Some(key) = attempt.key {
            self.counted.insert(room, attempt.user, key);
        }
        Ok(Some(allowance))
    }

    fn limits_of(&self, attempt: &Attempt<'_>) -> Vec<Limit> {
        let room = &attempt.access.room;
        let mut limits = Vec::new();
        if room.slow_mode_s > 0 && attempt.is_message && !attempt.moderates {
            limits.push(Limit {
                name: "slow_mode_s",
                what: "by one member of this room, which is in slow mode",
                key: RateKey::slow(&room.id, attempt.user),
                rate: Rate {
                    max: 1,
                    per: Duration::from_secs(room.slow_mode_s.into()),
                },
            });
        }
        let per = self.limits.message_window;
        if self.limits.messages_per_user > 0 {
            limits.push(Limit {
                name: "messages_per_user",
                what: "by one user",
                key: RateKey::user(attempt.user),
                rate: Rate {
                    max: self.limits.messages_per_user,
                    per,
                },
            });
        }
        if self.limits.messages_per_room > 0 {
            limits.push(Limit {
                name: "messages_per_room",
                what: "in one room",
                key: RateKey::room(&room.id),
                rate: Rate {
                    max: self.limits.messages_per_room,
                    per,
                },
            });
        }
        limits
    }

    /// Counts a room that a user brings into being.
    pub(super) async fn check_new_room(&self, user: &UserId) -> Result<(), ServiceError> {
        let limit = Limit {
            name: "new_rooms_per_user",
            what: "that one user brings into being",
            key: RateKey::new_rooms(user),
            rate: Rate {
                max: self.limits.new_rooms_per_user,
                per: self.limits.new_rooms_window,
            },
        };
        if limit.rate.max == 0 {
            return Ok(());
        }
        let decision = self.limiter.check(&limit.key, limit.rate).await;
        if decision.allowed {
            return Ok(());
        }
        self.metrics.limit(limit.name);
        Err(limit.error(decision.reset_after))
    }

    /// Counts a command of a connection.
    pub(super) fn count_command(&self, connection: &Connection) -> Result<(), TooFast> {
        let (rate, burst) = (self.limits.commands_per_second, self.limits.commands_burst);
        if rate == 0 {
            return Ok(());
        }
        connection.take_command(rate, burst).map_err(|retry_after| {
            self.metrics.limit("commands_per_second");
            TooFast {
                rate,
                burst,
                retry_after,
            }
        })
    }
}

/// One command of a connection too many.
#[derive(Debug)]
pub(super) struct TooFast {
    rate: u64,
    burst: u64,
    retry_after: Duration,
}

impl TooFast {
    /// It is held up before it is refused: no other command of the connection is read meanwhile, so
    /// that a flood costs no more than its limit.
    pub(super) async fn held_up(self) -> ServiceError {
        let (rate, burst, retry_after) = (self.rate, self.burst, self.retry_after);
        tokio::time::sleep(retry_after).await;
        ServiceError::RateLimited {
            limit: format!(
                "commands_per_second: at most {rate} commands of one connection, {burst} at once; \
                 send slower"
            ),
            retry_after,
        }
    }
}

/// Keys of changes that were counted, newest last, in two halves of which the older is dropped when
/// the newer is full.
///
/// Invariant: none is known for longer than the log recognises it as a retry. Beyond that its change
/// would be made again, and again without a limit.
#[derive(Debug)]
pub(super) struct Counted {
    hasher: RandomState,
    halves: Mutex<Halves>,
}

#[derive(Debug)]
struct Halves {
    newer: HashSet<u64>,
    older: HashSet<u64>,
    /// When the newer one was begun, and after how long it becomes the older one.
    begun: Instant,
    turn: Duration,
}

impl Halves {
    fn turn(&mut self, now: Instant) {
        let age = now.saturating_duration_since(self.begun);
        if age < self.turn {
            return;
        }
        self.older = std::mem::take(&mut self.newer);
        self.begun += self.turn;
        if age >= 2 * self.turn {
            self.older.clear();
            self.begun = now;
        }
    }
}

impl Counted {
    /// For a log that recognises keys for so long.
    pub(super) fn new(key_window: Duration) -> Self {
        Self {
            hasher: RandomState::new(),
            halves: Mutex::new(Halves {
                newer: HashSet::new(),
                older: HashSet::new(),
                begun: Instant::now(),
                turn: key_window / 2,
            }),
        }
    }

    fn contains(&self, room: &RoomId, user: &UserId, key: &MessageKey) -> bool {
        let hash = self.hasher.hash_one((room, user, key));
        let mut halves = self.halves.lock();
        halves.turn(Instant::now());
        halves.newer.contains(&hash) || halves.older.contains(&hash)
    }

    fn insert(&self, room: &RoomId, user: &UserId, key: &MessageKey) {
        let hash = self.hasher.hash_one((room, user, key));
        let (mut halves, now) = (self.halves.lock(), Instant::now());
        halves.turn(now);
        if halves.newer.len() >= COUNTED_MAX {
            halves.older = std::mem::take(&mut halves.newer);
            halves.begun = now;
        }
        halves.newer.insert(hash);
    }
}
