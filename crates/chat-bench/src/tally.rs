//! What a thread has seen: the history of every connection, and how long things took.

use std::collections::BTreeMap;

use chat_testkit::history::Checker;
use hdrhistogram::Histogram;

use crate::limits::LATENCY_NS_MAX;
use crate::publisher::Sums;

/// What one thread, or all of them together, have seen.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Everybody's history.
    pub(crate) checker: Checker,
    /// From the planned time of a message to its arrival at a member.
    pub(crate) latency: Times,
    /// From the planned time of a message to its ack.
    pub(crate) ack: Times,
    /// From the first packet of a connection to having joined.
    pub(crate) entering: Times,
    /// From everybody's return to having caught up.
    pub(crate) catching_up: Times,
    /// What publishers did.
    pub(crate) sums: Sums,
    /// Messages that never got an answer.
    pub(crate) unanswered: u64,
    /// Entries that came with an answer to a join.
    pub(crate) resumed: u64,
    /// Frames that were not understood.
    pub(crate) unreadable: u64,
    /// Refused sends, by code.
    pub(crate) refusals: BTreeMap<String, u64>,
}

impl Tally {
    /// One that has seen nothing.
    pub(crate) fn new() -> Self {
        Self {
            checker: Checker::new(),
            latency: Times::new(),
            ack: Times::new(),
            entering: Times::new(),
            catching_up: Times::new(),
            sums: Sums::default(),
            unanswered: 0,
            resumed: 0,
            unreadable: 0,
            refusals: BTreeMap::new(),
        }
    }

    /// Takes over what another thread saw of other connections.
    pub(crate) fn merge(&mut self, other: Self) {
        self.checker.merge(other.checker);
        self.latency.merge(&other.latency);
        self.ack.merge(&other.ack);
        self.entering.merge(&other.entering);
        self.catching_up.merge(&other.catching_up);
        self.sums.add(other.sums);
        self.unanswered += other.unanswered;
        self.resumed += other.resumed;
        self.unreadable += other.unreadable;
        for (code, count) in other.refusals {
            *self.refusals.entry(code).or_default() += count;
        }
    }
}

/// A histogram of times, to three digits.
#[derive(Debug)]
pub(crate) struct Times(Histogram<u64>);

impl Times {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let histogram = Histogram::new_with_bounds(1, LATENCY_NS_MAX, 3);
        Self(histogram.expect("bounds that a histogram takes"))
    }

    /// Notes a time.
    pub(crate) fn record(&mut self, ns: u64) {
        self.0.saturating_record(ns);
    }

    /// How many were noted.
    pub(crate) fn count(&self) -> u64 {
        self.0.len()
    }

    /// The time in microseconds that this part of all, out of 1, did not exceed.
    pub(crate) fn quantile_us(&self, quantile: f64) -> f64 {
        self.0.value_at_quantile(quantile) as f64 / 1e3
    }

    /// The longest one, in microseconds.
    pub(crate) fn max_us(&self) -> f64 {
        self.0.max() as f64 / 1e3
    }

    fn merge(&mut self, other: &Self) {
        self.0.add(&other.0).expect("histograms of the same bounds");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_exact_to_three_digits_and_survive_merging() {
        let (mut even, mut odd) = (Times::new(), Times::new());
        for us in 1..=1_000_u64 {
            let times = if us % 2 == 0 { &mut even } else { &mut odd };
            times.record(us * 1_000);
        }
        even.merge(&odd);
        assert_eq!(even.count(), 1_000);
        for (quantile, us) in [(0.5, 500.0), (0.99, 990.0), (0.999, 999.0)] {
            let found = even.quantile_us(quantile);
            assert!((found - us).abs() <= us / 1_000.0, "{quantile}: {found}");
        }
        assert!((even.max_us() - 1_000.0).abs() <= 1.0);
    }

    #[test]
    fn a_time_beyond_the_bounds_counts_as_the_longest() {
        let mut times = Times::new();
        times.record(u64::MAX);
        assert_eq!(times.count(), 1);
        assert!(times.max_us() >= LATENCY_NS_MAX as f64 / 1e3);
    }

    #[test]
    fn all_threads_are_one_history() {
        let (mut all, mut other) = (Tally::new(), Tally::new());
        all.checker.joined(0, 0, 0);
        other.checker.joined(1, 0, 0);
        all.checker.observe(0, 0, 1, 7);
        all.checker.acked(0, 1, 7, Some(7));
        other.refusals.insert("rate_limited".to_owned(), 2);
        all.merge(other);
        assert_eq!(all.refusals["rate_limited"], 2);
        assert_eq!(all.checker.finish().lost, 1);
    }
}
