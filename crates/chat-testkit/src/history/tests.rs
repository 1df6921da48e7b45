//! A checker that finds nothing proves nothing: faults are planted, each must be found.

use proptest::prelude::*;

use super::*;

const ROOM: u32 = 7;

/// What connections saw, without any fault: `(connection, seq)`, several connections interleaved,
/// each joined behind its own seq.
fn clean() -> impl Strategy<Value = (Vec<u64>, Vec<(u32, u64)>)> {
    let joins = prop::collection::vec(0_u64..20, 1..5);
    (joins, 21_u64..60, any::<u64>()).prop_map(|(joins, last, seed)| {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut next: Vec<u64> = joins.iter().map(|seq| seq + 1).collect();
        let mut seen = Vec::new();
        while next.iter().any(|seq| *seq <= last) {
            let reader = random.usize(..next.len());
            if next[reader] <= last {
                seen.push((u32::try_from(reader).unwrap(), next[reader]));
                next[reader] += 1;
            }
        }
        (joins, seen)
    })
}

fn message_at(seq: u64) -> u64 {
    seq * 1_000 + 1
}

fn check(joins: &[u64], seen: &[(u32, u64)], last: u64) -> Report {
    let mut checker = Checker::new();
    for (connection, seq) in joins.iter().enumerate() {
        checker.joined(u32::try_from(connection).unwrap(), ROOM, *seq);
    }
    for seq in 1..=last {
        checker.acked(ROOM, seq, message_at(seq), Some(seq));
    }
    for &(connection, seq) in seen {
        checker.observe(connection, ROOM, seq, message_at(seq));
    }
    checker.finish()
}

fn last_of(seen: &[(u32, u64)]) -> u64 {
    seen.iter().map(|(_, seq)| *seq).max().unwrap()
}

proptest! {
    #[test]
    fn nothing_is_found_where_nothing_is_wrong((joins, seen) in clean()) {
        let report = check(&joins, &seen, last_of(&seen));
        prop_assert!(report.is_clean(), "{report}");
        prop_assert_eq!(report.observed, seen.len() as u64);
    }

    #[test]
    fn a_loss_is_found((joins, mut seen) in clean(), at in any::<prop::sample::Index>()) {
        let last = last_of(&seen);
        let (connection, seq) = seen.remove(at.index(seen.len()));
        let report = check(&joins, &seen, last);
        prop_assert_eq!(report.findings, [Finding::Lost { connection, room: ROOM, from: seq, to: seq }]);
    }

    #[test]
    fn a_double_is_found(
        (joins, mut seen) in clean(),
        at in any::<prop::sample::Index>(),
        later in 1_usize..40,
    ) {
        let last = last_of(&seen);
        let at = at.index(seen.len());
        let (connection, seq) = seen[at];
        seen.insert((at + later).min(seen.len()), (connection, seq));
        let report = check(&joins, &seen, last);
        prop_assert_eq!(report.findings, [Finding::Doubled { connection, room: ROOM, seq }]);
    }

    #[test]
    fn a_swap_is_found((joins, mut seen) in clean(), at in any::<prop::sample::Index>()) {
        let last = last_of(&seen);
        let at = at.index(seen.len());
        let (connection, seq) = seen[at];
        let next = (at + 1..seen.len()).find(|next| seen[*next].0 == connection);
        prop_assume!(next.is_some());
        seen.swap(at, next.unwrap());
        let report = check(&joins, &seen, last);
        prop_assert_eq!(report.findings, [Finding::OutOfOrder { connection, room: ROOM, seq }]);
    }

    #[test]
    fn two_checkers_find_what_one_does((joins, mut seen) in clean(), at in any::<prop::sample::Index>()) {
        let last = last_of(&seen);
        seen.remove(at.index(seen.len()));
        let whole = check(&joins, &seen, last);
        let mut parts = [Checker::new(), Checker::new()];
        for (connection, seq) in (0_u32..).zip(&joins) {
            parts[connection as usize % 2].joined(connection, ROOM, *seq);
        }
        for seq in 1..=last {
            parts[usize::from(seq % 2 == 0)].acked(ROOM, seq, message_at(seq), Some(seq));
        }
        for &(connection, seq) in &seen {
            parts[connection as usize % 2].observe(connection, ROOM, seq, message_at(seq));
        }
        let [mut merged, other] = parts;
        merged.merge(other);
        prop_assert_eq!(merged.finish(), whole);
    }
}

#[test]
fn two_orders_are_found() {
    let mut checker = Checker::new();
    for connection in 0..2 {
        checker.joined(connection, ROOM, 0);
    }
    checker.observe(0, ROOM, 1, 11);
    checker.observe(0, ROOM, 2, 22);
    checker.observe(1, ROOM, 1, 22);
    checker.observe(1, ROOM, 2, 11);
    let report = checker.finish();
    assert_eq!((report.out_of_order, report.findings.len()), (2, 2));
}

#[test]
fn a_message_that_was_stored_twice_is_found() {
    let mut checker = Checker::new();
    checker.joined(0, ROOM, 0);
    checker.observe(0, ROOM, 1, 11);
    checker.observe(0, ROOM, 2, 11);
    assert_eq!(checker.finish().doubled, 1);
}

#[test]
fn a_retry_must_be_told_the_same_and_counts_once() {
    let mut checker = Checker::new();
    checker.acked(ROOM, 1, 11, Some(1));
    checker.acked(ROOM, 1, 11, Some(1));
    assert!(checker.finish().is_clean());
    let mut checker = Checker::new();
    checker.acked(ROOM, 1, 11, Some(1));
    checker.acked(ROOM, 2, 12, Some(1));
    assert_eq!(checker.finish().doubled, 1);
}

#[test]
fn an_ack_of_something_else_is_found() {
    let mut checker = Checker::new();
    checker.joined(0, ROOM, 0);
    checker.acked(ROOM, 1, 99, None);
    checker.observe(0, ROOM, 1, 11);
    let broken = Finding::AckBroken {
        room: ROOM,
        seq: 1,
        message: 99,
    };
    assert_eq!(checker.finish().findings, [broken]);
}

#[test]
fn who_is_away_misses_nothing_until_he_is_back() {
    let mut checker = Checker::new();
    checker.joined(0, ROOM, 0);
    checker.observe(0, ROOM, 1, 11);
    checker.left(0, ROOM);
    checker.acked(ROOM, 2, 22, None);
    checker.acked(ROOM, 3, 33, None);
    checker.resumed(0, ROOM, 1);
    checker.observe(0, ROOM, 2, 22);
    let report = checker.finish();
    assert_eq!(report.lost, 1, "he came back and should have got the third");
}

#[test]
fn a_reset_needs_a_cause() {
    for (harmed, groundless) in [(false, 1), (true, 0)] {
        let mut checker = Checker::new();
        checker.joined(0, ROOM, 0);
        checker.acked(ROOM, 1, 11, None);
        checker.acked(ROOM, 2, 12, None);
        checker.observe(0, ROOM, 1, 11);
        checker.observe(0, ROOM, 2, 12);
        if harmed {
            checker.harmed(ROOM);
        }
        checker.reset(0, ROOM, 0);
        if harmed {
            checker.observe(0, ROOM, 1, 21);
            checker.acked(ROOM, 1, 21, None);
        }
        let report = checker.finish();
        assert_eq!(report.groundless_resets, groundless);
        assert_eq!(report.is_clean(), harmed, "{report}");
    }
}
