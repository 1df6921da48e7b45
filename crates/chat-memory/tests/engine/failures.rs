//! Whatever fails between, every acked message is seen once, in one order, by everybody who joined.

use std::time::Duration;

use chat_core::{Answer, Command, Limits, MessageKey, Outgoing, Position, SendMessage, Text};
use chat_testkit::faults::{EnvelopeFaults, LogFaults};
use chat_testkit::make;
use tokio::time::sleep;

use crate::client::{Habits, Run, check};
use crate::cluster::{Cluster, ROOM, UNNOTICED, run};

mod death;

const NODES: u64 = 3;
const CLIENTS: u32 = 8;
/// What is noticed is healed long before anybody compares heads on his own account.
const NOTICED: Duration = Duration::from_secs(8);

const HABITS: Habits = Habits {
    sends: 40,
    in_flight: 4,
    stays: Some(Duration::from_millis(120)),
};

fn small() -> Limits {
    let mut limits = Limits::default();
    (limits.hold_max, limits.tail_max, limits.resume_max) = (6, 8, 10);
    limits
}

fn seeds() -> impl Iterator<Item = u64> {
    // `scripts/soak` sets another one in each round; a failure names its seed.
    let base = std::env::var("CHAT_TEST_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok());
    let base: u64 = base.unwrap_or(7);
    (0..6).map(move |number| base + number * 1_000)
}

/// Runs a scenario with several seeds, with a log that announces and with one that does not.
fn scenario(settle: Duration, limits: &Limits, during: impl AsyncFn(&Run, &mut fastrand::Rng)) {
    for seed in seeds() {
        let announcing = seed.is_multiple_of(2);
        let report = run(async {
            let cluster = Cluster::start(NODES, announcing, limits, seed);
            let random = &mut fastrand::Rng::with_seed(seed);
            let during = async |run: &Run| during(run, random).await;
            check(cluster, CLIENTS, HABITS, seed, settle, during).await
        });
        assert!(report.is_clean(), "seed {seed}: {report}");
        assert!(
            report.acked > 0 && report.resumes > 0,
            "seed {seed}: {report}"
        );
    }
}

async fn a_while(random: &mut fastrand::Rng) {
    sleep(Duration::from_millis(random.u64(10..150))).await;
}

#[test]
fn nobody_misses_anything_while_all_is_well() {
    scenario(
        Duration::from_secs(1),
        &Limits::default(),
        async |_, random| {
            for _ in 0..10 {
                a_while(random).await;
            }
        },
    );
}

#[test]
fn doubled_delayed_and_reordered_envelopes_are_sorted_out() {
    let faults = EnvelopeFaults {
        duplicate: 200,
        reorder: 200,
        delay: 200,
        ..EnvelopeFaults::default()
    };
    scenario(NOTICED, &small(), async |run, random| {
        run.cluster.set(faults, LogFaults::default());
        for _ in 0..15 {
            a_while(random).await;
        }
    });
}

#[test]
fn an_overflowing_queue_is_made_good_from_the_log() {
    scenario(NOTICED, &small(), async |run, random| {
        let faults = EnvelopeFaults {
            overflow: 150,
            ..EnvelopeFaults::default()
        };
        run.cluster.set(faults, LogFaults::default());
        for _ in 0..8 {
            let node = random.usize(0..run.cluster.nodes.len());
            run.cluster.nodes[node].link.fill();
            a_while(random).await;
            run.cluster.nodes[node].link.drain();
            a_while(random).await;
        }
    });
}

#[test]
fn a_link_that_is_cut_is_made_good_at_once() {
    scenario(NOTICED, &small(), async |run, random| {
        for _ in 0..12 {
            let node = random.usize(0..run.cluster.nodes.len());
            run.cluster.nodes[node].link.cut();
            a_while(random).await;
            run.cluster.nodes[node].link.restore();
            a_while(random).await;
        }
    });
}

#[test]
fn what_is_lost_without_a_word_is_found_by_comparing_heads() {
    let faults = EnvelopeFaults {
        lose: 300,
        ..EnvelopeFaults::default()
    };
    scenario(UNNOTICED, &small(), async |run, random| {
        run.cluster.set(faults, LogFaults::default());
        for _ in 0..15 {
            a_while(random).await;
        }
    });
}

#[test]
fn a_slow_and_failing_log_loses_and_doubles_nothing() {
    let faults = LogFaults {
        append_fails: 100,
        outcome_lost: 150,
        append_refused: 50,
        read_fails: 200,
        slow: Duration::from_millis(12),
    };
    scenario(NOTICED, &small(), async |run, random| {
        run.cluster.set(EnvelopeFaults::default(), faults);
        for _ in 0..15 {
            a_while(random).await;
        }
    });
}

#[test]
fn everything_at_once_loses_and_doubles_nothing() {
    let envelopes = EnvelopeFaults {
        lose: 50,
        overflow: 50,
        duplicate: 100,
        reorder: 100,
        delay: 100,
    };
    let log = LogFaults {
        append_fails: 50,
        outcome_lost: 50,
        append_refused: 50,
        read_fails: 100,
        slow: Duration::from_millis(4),
    };
    scenario(UNNOTICED, &small(), async |run, random| {
        run.cluster.set(envelopes, log);
        for _ in 0..10 {
            let node = random.usize(0..run.cluster.nodes.len());
            run.cluster.nodes[node].link.cut();
            a_while(random).await;
            run.cluster.nodes[node].link.restore();
            a_while(random).await;
        }
    });
}

/// A node that serves a room anew must not read before it listens. Nothing else goes wrong, so what
/// is missed at the end is missed in silence.
#[test]
fn joins_while_messages_flow_miss_nothing_even_if_the_log_is_slow() {
    let mut limits = small();
    limits.unsubscribe_delay = Duration::from_millis(20);
    let faults = LogFaults {
        slow: Duration::from_millis(15),
        ..LogFaults::default()
    };
    scenario(Duration::from_secs(2), &limits, async |run, random| {
        run.cluster.set(EnvelopeFaults::default(), faults);
        for _ in 0..15 {
            a_while(random).await;
        }
    });
}

/// One message at every moment of a first join, and then silence: nothing comes later that would
/// show that it was missed.
#[test]
fn a_message_at_any_moment_of_a_first_join_is_not_missed() {
    for after_ms in 0..80 {
        run(async {
            let cluster = Cluster::start(2, after_ms % 2 == 0, &small(), after_ms);
            let (writer, reader) = (cluster.connect(0, "w").await, cluster.connect(1, "r").await);
            writer.command(Some(1), join()).await;
            say(&cluster, "before").await;
            let slow = Duration::from_millis(7);
            let faults = LogFaults {
                slow,
                ..LogFaults::default()
            };
            cluster.set(EnvelopeFaults::default(), faults);
            let joining = tokio::spawn(reader.command(Some(1), join()));
            sleep(Duration::from_millis(after_ms)).await;
            say(&cluster, "meanwhile").await;
            joining.await.unwrap();
            sleep(Duration::from_secs(5)).await;
            let mut frames = Vec::new();
            reader.next_batch(&mut frames, 100).await.unwrap();
            let at = frames.iter().filter_map(stands_at).next_back();
            assert_eq!(at, Some(cluster.head().await), "after {after_ms} ms");
        });
    }
}

fn join() -> Command {
    Command::Join {
        room: make::room(ROOM),
        position: None,
        history: None,
    }
}

async fn say(cluster: &Cluster, text: &str) {
    let message = SendMessage {
        room: make::room(ROOM),
        key: MessageKey::new(text).unwrap(),
        text: Text::new(text).unwrap(),
        reply_to: None,
        meta: None,
    };
    cluster.nodes[0]
        .service
        .send(&make::user("w"), message)
        .await
        .unwrap();
}

/// Where a client stands after a frame.
fn stands_at(frame: &Outgoing) -> Option<Position> {
    match frame {
        Outgoing::Event(delivery) => delivery.entry().map(|entry| entry.position),
        Outgoing::Answer { result, .. } => match result.as_ref() {
            Ok(Answer::Joined(joined)) => Some(joined.position),
            _ => None,
        },
        _ => None,
    }
}

/// What a drill does to the log.
type Drill = fn(&Run, head: u64, &mut fastrand::Rng);

fn drill(harm: Drill) {
    let faults = EnvelopeFaults {
        duplicate: 50,
        reorder: 50,
        delay: 50,
        ..EnvelopeFaults::default()
    };
    scenario(UNNOTICED, &small(), async |run, random| {
        run.cluster.set(faults, LogFaults::default());
        for _ in 0..3 {
            a_while(random).await;
            let head = run.cluster.head().await.seq;
            run.checker.lock().harmed(0);
            harm(run, head, random);
            a_while(random).await;
        }
    });
}

#[test]
fn a_log_that_is_lost_ends_in_an_explicit_reset() {
    drill(|run, _, _| run.cluster.log.drop_log(&make::room(ROOM)));
}

#[test]
fn a_log_that_is_rolled_back_and_refilled_ends_in_an_explicit_reset() {
    drill(|run, head, random| {
        let back = head.saturating_sub(random.u64(1..30));
        run.cluster.log.roll_back(&make::room(ROOM), back);
    });
}

#[test]
fn a_log_that_is_trimmed_is_gone_on_from_or_ends_in_an_explicit_reset() {
    drill(|run, head, random| {
        let up_to = head.saturating_sub(random.u64(0..3));
        run.cluster.log.trim(&make::room(ROOM), up_to);
    });
}
