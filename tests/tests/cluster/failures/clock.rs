//! Nodes whose clocks are wrong behave like any other.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use chat_core::{Clock, Millis, SystemClock};
use tokio::time::sleep;

use crate::cluster::{NODES, Settings};
use crate::notes::ROOMS;
use crate::run::{OUTAGE, scenario};

/// How wrong they are.
const OFF_MS: Millis = 10_000;

#[derive(Debug)]
struct Early;

#[derive(Debug)]
struct Late;

impl Clock for Early {
    fn now_ms(&self) -> Millis {
        SystemClock.now_ms() - OFF_MS
    }
}

impl Clock for Late {
    fn now_ms(&self) -> Millis {
        SystemClock.now_ms() + OFF_MS
    }
}

pub(super) fn clock_of(node: usize) -> Arc<dyn Clock> {
    match node {
        0 => Arc::new(Early),
        1 => Arc::new(Late),
        _ => Arc::new(SystemClock),
    }
}

#[test]
fn clocks_that_are_ten_seconds_off_change_nothing() {
    let settings = Settings {
        clocks: clock_of,
        ..Settings::default()
    };
    let began = now_ms();
    let report = scenario(settings, async |run| {
        // Leases, deadlines and graces are asked for too, not only messages.
        for node in &run.nodes {
            node.link.cut_off(true);
        }
        sleep(OUTAGE).await;
        for node in &run.nodes {
            node.link.cut_off(false);
        }
        for node in 0..NODES {
            run.is_acked(node).await;
        }
        for ack in (0..ROOMS.len()).flat_map(|room| run.notes.acks(room)) {
            let times = began..=now_ms();
            assert!(times.contains(&ack.at_ms), "{ack:?} is not in {times:?}");
        }
    });
    assert!(report.acked > 0, "{report}");
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
