//! The other half of a node's link fails: it cannot append or publish. Its people go on hearing;
//! what they send waits, then has no known outcome, and is taken once when it is sent again.

use std::time::Duration;

use chat_core::Answer;
use chat_redis::limits::APPEND_MARGIN;
use tokio::time::sleep;

use crate::client::said;
use crate::cluster::Settings;
use crate::person::{Person, message};
use crate::run::{OUTAGE, Run, scenario};

/// The node whose link fails.
const MUTE: usize = 0;
/// A lease that outlasts a renewal over a slow link: a ping and the renewal itself, one after the other.
const SLOW_TTL: Duration = Duration::from_secs(12);

async fn is_refused_but_hears(run: &Run) {
    run.is_refused(MUTE).await;
    run.hears(1, MUTE).await;
    run.is_acked(1).await;
}

#[test]
fn publishers_that_are_killed_are_made_again_at_once() {
    scenario(Settings::default(), async |run| {
        for _ in 0..5 {
            run.server.kill_clients("normal").await;
            run.is_acked(MUTE).await;
        }
    });
}

#[test]
fn publishers_that_are_cut_off_leave_the_node_hearing() {
    scenario(Settings::default(), async |run| {
        let pool = &run.nodes[MUTE].link.pool;
        pool.refuse(true);
        pool.cut_all();
        sleep(OUTAGE).await;
        is_refused_but_hears(run).await;
        pool.refuse(false);
        run.is_acked(MUTE).await;
    });
}

#[test]
fn publishers_that_stall_leave_the_node_hearing() {
    scenario(Settings::default(), async |run| {
        let pool = &run.nodes[MUTE].link.pool;
        pool.stall(true);
        sleep(OUTAGE).await;
        is_refused_but_hears(run).await;
        pool.stall(false);
        run.is_acked(MUTE).await;
    });
}

/// The log has it and its sender is not told in time: the same key again must not double it.
#[test]
fn what_reached_the_log_unanswered_is_not_doubled_by_the_retry() {
    let mut settings = Settings::default();
    settings.limits.read_timeout = Duration::from_secs(3);
    settings.limits.node_ttl = SLOW_TTL;
    // More than a node still waits for an answer that the log gave in time.
    let way_back = settings.limits.append_timeout + 2 * APPEND_MARGIN;
    scenario(settings, async |run| {
        let pool = &run.nodes[MUTE].link.pool;
        let mut person = Person::join(&run.nodes[MUTE], 0).await;
        // Whatever fails before him would take the connection with it.
        run.everybody_is_silent(true).await;
        // The next one needs no ping, which would not come back in time.
        person.send(0, message(1)).await.unwrap();
        pool.slow_down_answers(way_back);
        let unanswered = person.send(0, message(2)).await;
        assert!(unanswered.unwrap_err().is_retryable());
        let entries = run.entries(0).await;
        assert!(entries.iter().any(|entry| said(entry) == message(2)));
        run.everybody_is_silent(false).await;
        is_refused_but_hears(run).await;
        pool.slow_down_answers(Duration::ZERO);
        let again = person.send(0, message(2)).await;
        assert!(
            matches!(again, Ok(Answer::Sent(sent)) if sent.duplicate),
            "{again:?}"
        );
    });
}

/// On a link so slow that an append leaves in time and arrives too late. He who sent it was told
/// that its outcome is unknown, and does not send it again: then it must not come in later.
#[test]
fn an_append_that_arrives_late_does_not_act() {
    let mut settings = Settings::default();
    settings.limits.node_ttl = SLOW_TTL;
    // It arrives while its sender still waits.
    let one_way = settings.limits.append_timeout + APPEND_MARGIN / 2;
    scenario(settings, async |run| {
        let node = &run.nodes[MUTE];
        let mut person = Person::join(node, 0).await;
        run.everybody_is_silent(true).await;
        // The next one needs no ping, which would not come back in time.
        person.send(0, message(1)).await.unwrap();
        node.link.pool.slow_down(one_way);
        let late = person.send(0, message(2)).await;
        assert!(late.unwrap_err().is_retryable());
        run.everybody_is_silent(false).await;
        node.link.pool.slow_down(Duration::ZERO);
        run.is_acked(MUTE).await;
        let next = person.send(0, message(3)).await;
        assert!(matches!(next, Ok(Answer::Sent(_))), "{next:?}");
        let entries = run.entries(0).await;
        let said: Vec<_> = entries.iter().map(said).collect();
        assert!(said.contains(&message(1)) && said.contains(&message(3)));
        assert!(!said.contains(&message(2)), "it acted behind its deadline");
    });
}
