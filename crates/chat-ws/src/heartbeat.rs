//! Whether the other end is still alive, as a value without a clock: whoever owns the timer calls
//! [`Heartbeat::tick`].
//!
//! Any frame is a sign of life, not the pong alone: a client that sends lives, and its pong may
//! wait behind what it sends.

use std::time::Duration;

use crate::limits::UNANSWERED_MAX;

/// Counts pings that nobody answered.
#[derive(Debug, Default)]
pub(crate) struct Heartbeat {
    unanswered: u8,
}

/// What to do when the timer fires.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Send a ping.
    Ping,
    /// Give the connection up.
    Dead,
}

impl Heartbeat {
    pub(crate) fn heard(&mut self) {
        self.unanswered = 0;
    }

    pub(crate) fn tick(&mut self) -> Beat {
        if self.unanswered >= UNANSWERED_MAX {
            return Beat::Dead;
        }
        self.unanswered += 1;
        Beat::Ping
    }
}

/// The time to the first ping: somewhere in the second half of the interval, so that connections
/// that came together (after a restart, all of them) do not ping together for ever.
pub(crate) fn first_beat(interval: Duration) -> Duration {
    interval.mul_f64(0.5 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_up_after_two_unanswered_pings() {
        let mut heartbeat = Heartbeat::default();
        assert_eq!(heartbeat.tick(), Beat::Ping);
        assert_eq!(heartbeat.tick(), Beat::Ping);
        assert_eq!(heartbeat.tick(), Beat::Dead);
    }

    #[test]
    fn any_sign_of_life_starts_the_count_again() {
        let mut heartbeat = Heartbeat::default();
        for _ in 0..10 {
            assert_eq!(heartbeat.tick(), Beat::Ping);
            assert_eq!(heartbeat.tick(), Beat::Ping);
            heartbeat.heard();
        }
    }

    #[test]
    fn the_first_ping_comes_within_the_interval() {
        let interval = Duration::from_secs(25);
        for _ in 0..100 {
            let first = first_beat(interval);
            assert!(first >= interval / 2 && first <= interval);
        }
    }
}
