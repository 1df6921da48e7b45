//! Redis itself fails, for all nodes at once.

use chat_testkit::servers::RedisOptions;
use tokio::time::sleep;

use crate::cluster::{NODES, Settings};
use crate::notes::ROOMS;
use crate::run::{OUTAGE, PATIENCE, Run, scenario, scenario_over};

fn durable() -> RedisOptions {
    RedisOptions {
        append_only: true,
        ..RedisOptions::default()
    }
}

async fn everybody_is_refused(run: &Run) {
    for node in 0..NODES {
        run.is_refused(node).await;
    }
}

/// Each was told once that a room's log is gone.
fn assert_reset_once(run: &Run) {
    for room in 0..ROOMS.len() {
        run.assert_resets(room, 1);
    }
}

/// All rooms.
const ALL: [usize; ROOMS.len()] = [0, 1];

#[test]
fn a_redis_that_crashes_and_comes_back_with_its_data_loses_nothing() {
    scenario_over(durable(), Settings::default(), async |run| {
        run.server.kill();
        sleep(OUTAGE).await;
        everybody_is_refused(run).await;
        run.server.start_again().await;
    });
}

#[test]
fn a_redis_that_is_restarted_in_peace_loses_nothing() {
    scenario_over(durable(), Settings::default(), async |run| {
        run.server.stop().await;
        run.server.start_again().await;
    });
}

#[test]
fn a_redis_that_comes_back_empty_resets_everybody_once() {
    scenario(Settings::default(), async |run| {
        run.harm(&ALL, async |run| {
            run.server.kill();
            sleep(OUTAGE).await;
            run.server.start_again().await;
        })
        .await;
        run.everybody_hears_everybody().await;
        assert_reset_once(run);
    });
}

#[test]
fn a_redis_that_is_flushed_resets_everybody_once() {
    scenario(Settings::default(), async |run| {
        run.harm(&ALL, async |run| run.server.flush_all().await)
            .await;
        run.everybody_hears_everybody().await;
        assert_reset_once(run);
    });
}

#[test]
fn a_redis_that_is_rolled_back_resets_everybody_once() {
    scenario(Settings::default(), async |run| {
        run.server.query(&["SAVE"]).await;
        run.everybody_hears_everybody().await;
        run.harm(&ALL, async |run| {
            run.server.kill();
            run.server.start_again().await;
        })
        .await;
        run.everybody_hears_everybody().await;
        assert_reset_once(run);
    });
}

#[test]
fn a_redis_that_hangs_loses_nothing() {
    scenario(Settings::default(), async |run| {
        run.server.pause();
        sleep(OUTAGE).await;
        everybody_is_refused(run).await;
        run.server.resume();
    });
}

#[test]
fn scripts_that_are_forgotten_are_loaded_again() {
    let mut settings = Settings::default();
    // Nothing is away: a machine that is slow must not look like it.
    settings.limits.append_timeout = PATIENCE;
    scenario(settings, async |run| {
        for _ in 0..5 {
            let flushed = run.server.query(&["SCRIPT", "FLUSH"]).await;
            assert_eq!(flushed.texts(), ["OK"]);
            run.is_acked(0).await;
        }
        let refused: u64 = run.seen().iter().map(|seen| seen.refused).sum();
        assert_eq!(refused, 0, "nobody need notice");
    });
}

#[test]
fn a_network_that_is_cut_between_all_nodes_and_redis_loses_nothing() {
    scenario(Settings::default(), async |run| {
        for node in &run.nodes {
            node.link.cut_off(true);
        }
        sleep(OUTAGE).await;
        everybody_is_refused(run).await;
        for node in &run.nodes {
            node.link.cut_off(false);
        }
    });
}
