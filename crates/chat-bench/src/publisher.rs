//! What one publisher has to send and when: a value, without sockets or clocks.
//!
//! Two modes: by a schedule, where each message has a planned time that does not move when the
//! server is slow (no coordinated omission); or as fast as answers allow, where a message is planned
//! for the moment in which it is allowed. In both at most `window` sends have no answer.

use std::collections::VecDeque;

use crate::limits::RESEND_WAIT_NS;

/// When messages are planned.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Pace {
    /// As soon as the window has room.
    Answers,
    /// At `first_ns` after the beginning, and every `interval_ns` from then on.
    Schedule {
        /// After the beginning of publishing.
        first_ns: f64,
        /// Between two messages.
        interval_ns: f64,
    },
}

/// A message to be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Due {
    /// From 1.
    pub(crate) number: u32,
    /// When it was to be sent.
    pub(crate) planned_ns: u64,
    /// Whether it is sent for the first time.
    pub(crate) is_new: bool,
}

/// What happened to a publisher's messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    /// Messages that were sent, each counted once however often it was.
    pub(crate) published: u64,
    /// Messages with an answer that accepts them.
    pub(crate) acked: u64,
    /// Messages that were refused for good.
    pub(crate) refused: u64,
    /// Times that a message was sent again.
    pub(crate) resent: u64,
    /// Acks that say that messages entered the log in another order than they were sent.
    pub(crate) swapped: u64,
    /// Messages whose time had come and that were never sent, because the window was full.
    pub(crate) behind: u64,
}

impl Sums {
    /// Takes over those of another publisher.
    pub(crate) fn add(&mut self, other: Self) {
        self.published += other.published;
        self.acked += other.acked;
        self.refused += other.refused;
        self.resent += other.resent;
        self.swapped += other.swapped;
        self.behind += other.behind;
    }
}

#[derive(Debug)]
struct Unanswered {
    due: Due,
    /// When it is to be sent (again); nothing while it is on its way.
    at_ns: Option<u64>,
}

/// One publisher.
#[derive(Debug)]
pub(crate) struct Publisher {
    pace: Pace,
    window: usize,
    began_ns: Option<u64>,
    next: u32,
    unanswered: VecDeque<Unanswered>,
    /// Number and seq of the latest ack.
    latest: (u32, u64),
    sums: Sums,
}

impl Publisher {
    /// One that has not begun.
    pub(crate) fn new(pace: Pace, window: u32) -> Self {
        Self {
            pace,
            window: window as usize,
            began_ns: None,
            next: 1,
            unanswered: VecDeque::new(),
            latest: (0, 0),
            sums: Sums::default(),
        }
    }

    /// Begins to publish.
    pub(crate) fn begin(&mut self, began_ns: u64) {
        self.began_ns = Some(began_ns);
    }

    /// Plans nothing more; what has no answer still waits for it.
    pub(crate) fn end(&mut self, now_ns: u64) {
        self.sums.behind += self.behind(now_ns);
        self.began_ns = None;
    }

    /// Whether messages are planned.
    pub(crate) fn has_begun(&self) -> bool {
        self.began_ns.is_some()
    }

    /// The message to be sent now, if there is one. Whoever takes it sends it.
    pub(crate) fn due(&mut self, now_ns: u64) -> Option<Due> {
        let again = |one: &&mut Unanswered| one.at_ns.is_some_and(|at| at <= now_ns);
        if let Some(again) = self.unanswered.iter_mut().find(again) {
            again.at_ns = None;
            self.sums.resent += 1;
            return Some(again.due);
        }
        if self.unanswered.len() >= self.window {
            return None;
        }
        let planned_ns = self.planned_ns(now_ns)?;
        if planned_ns > now_ns {
            return None;
        }
        let due = Due {
            number: self.next,
            planned_ns,
            is_new: false,
        };
        self.next += 1;
        self.sums.published += 1;
        self.unanswered.push_back(Unanswered { due, at_ns: None });
        Some(Due {
            is_new: true,
            ..due
        })
    }

    /// When to ask again, unless an answer comes before.
    pub(crate) fn wake_ns(&self, now_ns: u64) -> Option<u64> {
        let again = self.unanswered.iter().filter_map(|one| one.at_ns).min();
        if self.unanswered.len() >= self.window {
            return again;
        }
        let planned = self.planned_ns(now_ns);
        again.into_iter().chain(planned).min()
    }

    fn planned_ns(&self, now_ns: u64) -> Option<u64> {
        let began_ns = self.began_ns?;
        Some(match self.pace {
            Pace::Answers => now_ns.max(began_ns),
            Pace::Schedule {
                first_ns,
                interval_ns,
            } => began_ns + (first_ns + f64::from(self.next - 1) * interval_ns) as u64,
        })
    }

    /// A message was accepted, at this seq. Answers when it was planned, if it had no answer yet.
    pub(crate) fn acked(&mut self, number: u32, seq: u64) -> Option<u64> {
        let planned_ns = self.take(number)?.due.planned_ns;
        self.sums.acked += 1;
        // A message that was sent again may rightly come behind others.
        let swapped = self.sums.resent == 0 && (number > self.latest.0) != (seq > self.latest.1);
        self.sums.swapped += u64::from(swapped);
        self.latest = (number, seq);
        Some(planned_ns)
    }

    /// A message was refused: for the time being, or for good.
    pub(crate) fn refused(&mut self, number: u32, for_good: bool, now_ns: u64) {
        if for_good {
            self.sums.refused += u64::from(self.take(number).is_some());
        } else if let Some(one) = self
            .unanswered
            .iter_mut()
            .find(|one| one.due.number == number)
        {
            one.at_ns = Some(now_ns + RESEND_WAIT_NS);
        }
    }

    /// The connection was lost: what has no answer is to be sent again, with the same key.
    pub(crate) fn reconnected(&mut self) {
        for one in &mut self.unanswered {
            one.at_ns = Some(0);
        }
    }

    /// Messages without an answer.
    pub(crate) fn unanswered(&self) -> u64 {
        self.unanswered.len() as u64
    }

    fn behind(&self, now_ns: u64) -> u64 {
        // With room in the window the latest one is only about to be sent.
        if self.unanswered.len() < self.window {
            return 0;
        }
        let Pace::Schedule { interval_ns, .. } = self.pace else {
            return 0;
        };
        let late_ns = self
            .planned_ns(now_ns)
            .and_then(|planned| now_ns.checked_sub(planned));
        late_ns.map_or(0, |late_ns| (late_ns as f64 / interval_ns) as u64 + 1)
    }

    /// What happened so far.
    pub(crate) fn sums(&self) -> Sums {
        self.sums
    }

    fn take(&mut self, number: u32) -> Option<Unanswered> {
        // The oldest is answered first, but for what was refused.
        let at = self
            .unanswered
            .iter()
            .position(|one| one.due.number == number)?;
        self.unanswered.remove(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERY_10: Pace = Pace::Schedule {
        first_ns: 5.0,
        interval_ns: 10.0,
    };

    fn numbers(publisher: &mut Publisher, now_ns: u64) -> Vec<u32> {
        std::iter::from_fn(|| publisher.due(now_ns))
            .map(|due| due.number)
            .collect()
    }

    #[test]
    fn planned_times_do_not_move_when_sending_is_late() {
        let mut publisher = Publisher::new(EVERY_10, 8);
        assert_eq!((publisher.due(50), publisher.wake_ns(50)), (None, None));
        publisher.begin(100);
        assert_eq!(publisher.wake_ns(100), Some(105));
        assert_eq!(publisher.due(104), None);
        let planned = std::iter::from_fn(|| publisher.due(127)).map(|due| due.planned_ns);
        assert_eq!(planned.collect::<Vec<_>>(), [105, 115, 125]);
        assert_eq!(publisher.wake_ns(127), Some(135));
        publisher.end(156);
        assert_eq!(publisher.sums().behind, 0);
    }

    #[test]
    fn what_a_full_window_kept_from_being_sent_is_counted() {
        let mut publisher = Publisher::new(EVERY_10, 3);
        publisher.begin(100);
        assert_eq!(numbers(&mut publisher, 127), [1, 2, 3]);
        assert_eq!(publisher.due(156), None);
        publisher.end(156);
        assert_eq!(publisher.sums().behind, 3);
    }

    #[test]
    fn the_window_bounds_what_has_no_answer() {
        let mut publisher = Publisher::new(Pace::Answers, 2);
        publisher.begin(0);
        assert_eq!(numbers(&mut publisher, 1), [1, 2]);
        assert_eq!(publisher.wake_ns(1), None);
        assert_eq!(publisher.acked(1, 10), Some(1));
        assert_eq!(publisher.acked(1, 10), None);
        assert_eq!(
            publisher.due(7),
            Some(Due {
                number: 3,
                planned_ns: 7,
                is_new: true
            })
        );
        publisher.end(8);
        assert!(publisher.acked(2, 11).is_some() && publisher.acked(3, 12).is_some());
        assert_eq!(publisher.due(9), None);
        let sums = Sums {
            published: 3,
            acked: 3,
            ..Sums::default()
        };
        assert_eq!((publisher.sums(), publisher.unanswered()), (sums, 0));
    }

    #[test]
    fn what_was_refused_for_the_time_being_is_sent_again_later() {
        let mut publisher = Publisher::new(Pace::Answers, 2);
        publisher.begin(0);
        numbers(&mut publisher, 1);
        publisher.refused(1, false, 100);
        publisher.refused(2, true, 100);
        publisher.end(8);
        assert_eq!(publisher.due(101), None);
        let again_ns = publisher.wake_ns(101).unwrap();
        assert_eq!(again_ns, 100 + RESEND_WAIT_NS);
        assert_eq!(
            publisher.due(again_ns),
            Some(Due {
                number: 1,
                planned_ns: 1,
                is_new: false
            })
        );
        assert_eq!((publisher.sums().refused, publisher.unanswered()), (1, 1));
    }

    #[test]
    fn a_new_connection_sends_everything_again_in_order() {
        let mut publisher = Publisher::new(Pace::Answers, 3);
        publisher.begin(0);
        numbers(&mut publisher, 1);
        publisher.acked(2, 5);
        publisher.reconnected();
        assert_eq!(numbers(&mut publisher, 2), [1, 3, 4]);
        assert_eq!(publisher.sums().resent, 2);
    }

    #[test]
    fn acks_that_swap_the_order_are_counted() {
        let mut publisher = Publisher::new(Pace::Answers, 3);
        publisher.begin(0);
        numbers(&mut publisher, 1);
        publisher.acked(1, 5);
        publisher.acked(3, 6);
        publisher.acked(2, 7);
        assert_eq!(publisher.sums().swapped, 1);
    }
}
