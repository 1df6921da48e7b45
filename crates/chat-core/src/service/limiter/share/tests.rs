//! One node's part of a limit, step by step.

use super::*;

const RATE: Rate = Rate {
    max: 64,
    per: Duration::from_secs(10),
};
const SHARE: u64 = 4;

fn grant(granted: u64, remaining: u64, reset_ms: u64) -> Grant {
    Grant {
        granted,
        remaining,
        reset_after: Duration::from_millis(reset_ms),
    }
}

fn is_allowed(verdict: Verdict) -> bool {
    matches!(verdict, Verdict::Allowed { .. })
}

#[test]
fn who_says_little_never_asks() {
    let mut share = Share::new(RATE);
    for minute in 0..10 {
        assert!(is_allowed(share.decide(RATE, minute * 60_000, false)));
        assert!(!share.should_ask());
    }
}

#[test]
fn a_burst_goes_on_credit_and_then_waits_for_a_share() {
    let mut share = Share::new(RATE);
    for used in 0..SHARE {
        assert!(is_allowed(share.decide(RATE, 0, false)));
        assert_eq!(share.should_ask(), used >= 1, "after {used}");
    }
    assert_eq!(share.decide(RATE, 0, false), Verdict::Wait);
    share.wait();
    share.begin_ask();
    assert!(!share.should_ask());
    assert_eq!(share.ask(0), (SHARE, SHARE));
    // What is being said is not credit again before the answer.
    assert_eq!(share.decide(RATE, 0, false), Verdict::Wait);
    share.answered(1, grant(4, 56, 10_000));
    share.stop_waiting();
    assert!((0..4).all(|_| is_allowed(share.decide(RATE, 1, false))));
}

#[test]
fn what_the_cluster_has_used_up_is_refused_until_it_is_back() {
    let mut share = Share::new(RATE);
    share.begin_ask();
    share.answered(1_000, grant(1, 0, 4_000));
    assert!(is_allowed(share.decide(RATE, 1_000, false)));
    let refused = Verdict::Refused(Duration::from_millis(3_999));
    assert_eq!(share.decide(RATE, 1_001, false), refused);
    assert!(!share.should_ask(), "the answer is known");
    assert!(is_allowed(share.decide(RATE, 5_000, false)));
}

#[test]
fn alone_it_keeps_to_its_own_window() {
    let mut share = Share::new(RATE);
    assert!((0..64).all(|_| is_allowed(share.decide(RATE, 0, true))));
    assert!(matches!(
        share.decide(RATE, 9_000, true),
        Verdict::Refused(_)
    ));
    // Somebody to ask again: what was used meanwhile is said.
    assert!(share.should_ask());
    assert_eq!(share.ask(9_000).0, 64);
    share.failed();
    assert_eq!(share.ask(9_001).0, 64, "said again");
    share.failed();
    assert_eq!(share.ask(20_000).0, 0, "it has left the window");
}

#[test]
fn a_limit_too_small_for_shares_asks_every_time() {
    let rate = Rate { max: 1, ..RATE };
    let mut share = Share::new(rate);
    assert_eq!(share.decide(rate, 0, false), Verdict::Wait);
    share.wait();
    assert!(share.should_ask());
    assert_eq!(share.ask(0), (0, 1));
    share.answered(5, grant(1, 0, 10_000));
    share.stop_waiting();
    assert!(is_allowed(share.decide(rate, 5, false)));
    assert!(matches!(share.decide(rate, 6, false), Verdict::Refused(_)));
    share.take_back(7);
    assert!(is_allowed(share.decide(rate, 8, false)));
}

#[test]
fn says_what_is_left_and_when_there_is_more() {
    let mut share = Share::new(RATE);
    let left = |share: &mut Share, now| match share.decide(RATE, now, false) {
        Verdict::Allowed {
            remaining,
            reset_after,
        } => (remaining, reset_after.as_millis()),
        other => panic!("{other:?}"),
    };
    assert_eq!(left(&mut share, 0), (63, 10_001));
    // Others have used most of it.
    share.begin_ask();
    share.ask(0);
    share.answered(100, grant(4, 10, 2_000));
    assert_eq!(left(&mut share, 100), (13, 2_000));
}

#[test]
fn what_nobody_uses_is_forgotten() {
    let mut share = Share::new(RATE);
    assert!(share.is_idle(0));
    share.decide(RATE, 0, false);
    assert!(!share.is_idle(10_000));
    assert!(share.is_idle(10_001));
    // Not while it is known to be used up by others: that would be credit again.
    share.begin_ask();
    share.answered(20_000, grant(0, 0, 9_000));
    assert!(!share.is_idle(28_999));
    assert!(share.is_idle(29_000));
}
