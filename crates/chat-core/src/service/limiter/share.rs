//! One node's part of one limit, as a value: `(state, now) -> verdict`, no clock, no task.
//!
//! A node keeps its own window, which alone never lets it have more than the limit. Of the cluster's
//! window it holds a *share* in advance, and may use as much on *credit*, which it says with the next
//! ask; beyond both it waits for an answer. So of all nodes together no span has more than the limit
//! and three shares of each node: what they held when it began, what they used on credit and had not
//! said when it ended, and what was said when nothing was left any more. A limit under
//! [`crate::limits::RATE_SHARES`] has shares of nothing and is exact, but for the time that answers
//! take.
//!
//! While the store does not answer a node is *alone* and goes by its own window.

use std::time::Duration;

use crate::message::Millis;
use crate::rate_limiter::{Grant, Rate, SlidingWindow};

/// How long what is granted of a limit without shares may be used: by whoever waits for it, and no
/// longer, because meanwhile others count on it.
const KEPT_MS: Millis = 1_000;

/// Whether something may be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It may, and was counted.
    Allowed {
        /// How much more there is, as far as this node knows.
        remaining: u64,
        /// How long until there is more than that.
        reset_after: Duration,
    },
    /// Not before that.
    Refused(Duration),
    /// The store has to be asked first.
    Wait,
}

/// What the store said last.
#[derive(Debug, Clone, Copy)]
struct Told {
    remaining: u64,
    reset_at: Millis,
    /// When it says nothing any more.
    until: Millis,
}

/// One node's part of one limit.
#[derive(Debug)]
pub(super) struct Share {
    rate: Rate,
    /// What this node used.
    window: SlidingWindow,
    /// What the store granted and was not used yet.
    held: u64,
    held_until: Millis,
    /// What was used on credit and not said.
    unsaid: u64,
    /// What was said in the ask that is under way.
    saying: u64,
    asking: bool,
    /// Uses that wait for the answer.
    waiting: u64,
    told: Option<Told>,
}

impl Share {
    pub(super) fn new(rate: Rate) -> Self {
        Self {
            rate,
            window: SlidingWindow::default(),
            held: 0,
            held_until: 0,
            unsaid: 0,
            saying: 0,
            asking: false,
            waiting: 0,
            told: None,
        }
    }

    /// Whether one more use is let through; if so it is counted. `alone`: there is nobody to ask.
    pub(super) fn decide(&mut self, rate: Rate, now: Millis, alone: bool) -> Verdict {
        self.rate = rate;
        self.pass(now);
        if self.window.left(rate) == 0 {
            return Verdict::Refused(self.window.reset_after(rate, now));
        }
        if self.held > 0 {
            self.held -= 1;
        } else if alone || self.has_credit() {
            self.unsaid += 1;
        } else if let Some(Told {
            remaining: 0,
            reset_at,
            ..
        }) = self.told
            && reset_at > now
        {
            return Verdict::Refused(Duration::from_millis(reset_at - now));
        } else {
            return Verdict::Wait;
        }
        self.window.add(rate, now, 1);
        self.allowed(now)
    }

    /// A use that was let through was none.
    pub(super) fn take_back(&mut self, now: Millis) {
        self.pass(now);
        if self.window.used() == 0 {
            return;
        }
        self.window.take_back(1);
        if self.unsaid > 0 {
            self.unsaid -= 1;
        } else if self.held < self.rate.share().max(1) {
            self.held += 1;
        }
    }

    /// Somebody begins to wait for the answer.
    pub(super) fn wait(&mut self) {
        self.waiting += 1;
    }

    /// Nobody waits any more: all are told to look again.
    pub(super) fn stop_waiting(&mut self) {
        self.waiting = 0;
    }

    /// Whether the store should be asked, and is not yet.
    pub(super) fn should_ask(&self) -> bool {
        let share = self.rate.share();
        let runs_out = self.unsaid > 0 && self.unsaid * 2 >= share;
        // Who has held a share goes on with one; who never did lives on credit, without a question.
        let runs_dry = self.told.is_some() && self.unsaid == 0 && self.held * 2 <= share;
        let is_closed = self.told.is_some_and(|told| told.remaining == 0);
        !self.asking && (self.waiting > 0 || runs_out || (share > 0 && runs_dry && !is_closed))
    }

    /// It is going to be asked.
    pub(super) fn begin_ask(&mut self) {
        self.asking = true;
    }

    /// What to say and to want.
    pub(super) fn ask(&mut self, now: Millis) -> (u64, u64) {
        self.pass(now);
        self.saying = std::mem::take(&mut self.unsaid);
        let waited_for = u64::from(self.waiting > 0);
        let wanted = self.rate.share().max(waited_for);
        (self.saying, wanted.saturating_sub(self.held))
    }

    /// The store answered.
    pub(super) fn answered(&mut self, now: Millis, grant: Grant) {
        (self.asking, self.saying) = (false, 0);
        self.held += grant.granted;
        let span = self.rate.per_ms();
        let kept = if self.rate.share() > 0 {
            span
        } else {
            span.min(KEPT_MS)
        };
        self.held_until = now.saturating_add(kept);
        let reset_after = Millis::try_from(grant.reset_after.as_millis()).unwrap_or(Millis::MAX);
        let reset_at = now.saturating_add(reset_after);
        self.told = Some(Told {
            remaining: grant.remaining,
            reset_at,
            until: reset_at.max(now.saturating_add(self.rate.per_ms())),
        });
    }

    /// It did not. Whether it heard what was said is unknown: it is said again, which errs to the
    /// strict side.
    pub(super) fn failed(&mut self) {
        self.asking = false;
        self.unsaid += std::mem::take(&mut self.saying);
    }

    /// The limit, as it was last asked for.
    pub(super) fn rate(&self) -> Rate {
        self.rate
    }

    /// Whether a new one would be as good.
    pub(super) fn is_idle(&mut self, now: Millis) -> bool {
        self.pass(now);
        let is_busy = self.asking || self.waiting > 0 || self.told.is_some();
        !is_busy && self.window.used() == 0
    }

    fn pass(&mut self, now: Millis) {
        self.window.expire(self.rate, now);
        // What has left this node's window need not be said any more.
        self.unsaid = self.unsaid.min(self.window.used());
        if self.held_until <= now {
            self.held = 0;
        }
        let is_over =
            |told: &Told| told.until <= now || (told.remaining == 0 && told.reset_at <= now);
        if self.told.as_ref().is_some_and(is_over) {
            self.told = None;
        }
    }

    fn has_credit(&self) -> bool {
        let left = self.told.map_or(u64::MAX, |told| told.remaining);
        self.unsaid + self.saying < self.rate.share().min(left)
    }

    fn allowed(&self, now: Millis) -> Verdict {
        let own = self.window.left(self.rate);
        let own_reset = self.window.reset_after(self.rate, now);
        let (remaining, reset_after) = match self.told {
            Some(told) => {
                let left = told.remaining.saturating_sub(self.unsaid) + self.held;
                let reset = Duration::from_millis(told.reset_at.saturating_sub(now));
                if left < own {
                    (left, reset)
                } else {
                    (own, own_reset)
                }
            }
            None => (own, own_reset),
        };
        Verdict::Allowed {
            remaining,
            reset_after,
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
