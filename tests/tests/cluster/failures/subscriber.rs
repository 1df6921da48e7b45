//! One half of a node's link fails: it hears nothing. What its people say goes on being acked and
//! heard by others; what they missed is made good at once when the link is back.

use std::time::Duration;

use chat_core::ReasonLabel;
use chat_redis::SubscribeMode;
use tokio::time::sleep;

use crate::cluster::Settings;
use crate::person::{Person, message};
use crate::run::{OUTAGE, Run, scenario};

fn in_mode(mode: SubscribeMode) -> Settings {
    Settings {
        mode,
        ..Settings::default()
    }
}

/// Longer than an outage with all that is waited for during it, however busy the machine.
const LONGER: Duration = Duration::from_secs(300);

/// Nodes that wait for longer than the outage, for probes (each part of one is given a quarter of the
/// interval) and for subscriptions of those who come meanwhile.
fn unsuspecting(mode: SubscribeMode) -> Settings {
    let mut settings = in_mode(mode);
    settings.probe_interval = LONGER.saturating_mul(4);
    settings.limits.read_timeout = LONGER;
    settings
}

/// The node whose link fails.
const DEAF: usize = 0;

async fn is_acked_and_heard_while_deaf(run: &Run) {
    run.is_acked(DEAF).await;
    run.hears(DEAF, 1).await;
    run.hears(1, 2).await;
}

fn links_lost(run: &Run) -> u64 {
    run.nodes[DEAF].service.metrics().links_lost.get()
}

/// Reads of the log for what the link did not bring.
fn made_good(run: &Run) -> u64 {
    let reads = &run.nodes[DEAF].service.metrics().log_reads;
    reads.get_or_create(&ReasonLabel { reason: "gap" }).get()
}

/// Everybody falls silent while the node is deaf, but for one last word that it misses. When the
/// link is back nothing more comes by it, and what was missed must be found all the same.
async fn is_healed_in_silence(run: &Run, heal: impl FnOnce()) {
    run.hush().await;
    let mut person = Person::join(&run.nodes[1], 0).await;
    person.send(0, message(1)).await.unwrap();
    heal();
    run.everybody_is_silent(true).await;
    run.everybody_is_silent(false).await;
}

fn killed(mode: SubscribeMode) {
    scenario(in_mode(mode), async |run| {
        for lost in 1..=3 {
            run.server.kill_clients("pubsub").await;
            run.is_acked(DEAF).await;
            run.hears(1, DEAF).await;
            assert_eq!(links_lost(run), lost);
        }
    });
}

fn cut(mode: SubscribeMode) {
    scenario(in_mode(mode), async |run| {
        let ear = &run.nodes[DEAF].link.ear;
        ear.refuse(true);
        ear.cut_all();
        sleep(OUTAGE).await;
        is_acked_and_heard_while_deaf(run).await;
        is_healed_in_silence(run, || ear.refuse(false)).await;
        assert!(links_lost(run) > 0 && made_good(run) > 0);
    });
}

fn stalled(mode: SubscribeMode) {
    scenario(in_mode(mode), async |run| {
        let ear = &run.nodes[DEAF].link.ear;
        let silent = ear.connections();
        assert_eq!(silent.len(), 1, "a node listens on one connection");
        silent.iter().for_each(|link| ear.stall_one(*link, true));
        is_acked_and_heard_while_deaf(run).await;
        // Nobody ends the silence: the node has to find out.
        is_healed_in_silence(run, || ()).await;
        assert!(links_lost(run) > 0 && made_good(run) > 0);
    });
}

fn stalled_for_a_while(mode: SubscribeMode) {
    // Nobody finds out, and nothing is lost.
    let settings = unsuspecting(mode);
    scenario(settings, async |run| {
        let ear = &run.nodes[DEAF].link.ear;
        ear.stall(true);
        sleep(OUTAGE).await;
        is_acked_and_heard_while_deaf(run).await;
        is_healed_in_silence(run, || ear.stall(false)).await;
        assert_eq!(links_lost(run), 0);
    });
}

fn flooded(mode: SubscribeMode) {
    let mut settings = unsuspecting(mode);
    settings.limits.event_queue = 4;
    scenario(settings, async |run| {
        for _ in 0..5 {
            let ear = &run.nodes[DEAF].link.ear;
            // What gathers comes at once, and is more than the queue takes.
            ear.stall(true);
            is_acked_and_heard_while_deaf(run).await;
            is_healed_in_silence(run, || ear.stall(false)).await;
        }
        assert!(links_lost(run) == 0 && made_good(run) > 0);
    });
}

macro_rules! in_each_mode {
    ($($name:ident: $scenario:ident),+ $(,)?) => {
        mod rooms {
            $(#[test]
            fn $name() {
                super::$scenario(chat_redis::SubscribeMode::Rooms);
            })+
        }
        mod all {
            $(#[test]
            fn $name() {
                super::$scenario(chat_redis::SubscribeMode::All);
            })+
        }
    };
}

in_each_mode! {
    a_subscriber_that_is_killed_is_made_good: killed,
    a_subscriber_that_is_cut_off_is_made_good: cut,
    a_subscriber_that_falls_silent_is_replaced: stalled,
    a_subscriber_that_is_silent_for_a_while_misses_nothing: stalled_for_a_while,
    a_queue_that_overflows_is_made_good_from_the_log: flooded,
}
