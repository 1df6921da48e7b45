//! Parts of a room's log are gone. What was lost is said, once; what was not is not; and the other
//! room never notices.

use std::time::Duration;

use chat_core::{AppendCall, RoomLog};
use chat_testkit::make;
use chat_testkit::servers::Reply;

use crate::cluster::Settings;
use crate::notes::{ROOMS, STAYING};
use crate::person::message;
use crate::run::{PATIENCE, Run, scenario};

/// The room that is harmed.
const HARMED: usize = 0;
const HEALTHY: usize = 1;

async fn delete(run: &Run, what: &str) {
    let key = format!("chat:{{{}}}:{what}", ROOMS[HARMED]);
    let deleted = run.server.query(&["DEL", &key]).await;
    assert_eq!(deleted, Reply::Number(1), "{key}");
}

/// The head goes on from the entries: nothing is lost.
#[test]
fn a_head_that_is_lost_is_made_again_and_nobody_notices() {
    scenario(Settings::default(), async |run| {
        delete(run, "head").await;
        run.everybody_hears_everybody().await;
        run.assert_resets(HARMED, 0);
    });
}

/// The entries go on from the head: whoever has seen them has lost nothing.
#[test]
fn entries_that_are_lost_are_not_missed_by_those_who_saw_them() {
    scenario(Settings::default(), async |run| {
        delete(run, "log").await;
        run.notes.lost(HARMED);
        run.everybody_hears_everybody().await;
        run.assert_resets(HARMED, 0);
    });
}

#[test]
fn a_log_that_is_lost_resets_those_in_its_room_once_and_no_other() {
    scenario(Settings::default(), async |run| {
        run.harm(&[HARMED], async |run| {
            let key = |what| format!("chat:{{{}}}:{what}", ROOMS[HARMED]);
            let deleted = run.server.query(&["DEL", &key("log"), &key("head")]).await;
            assert_eq!(deleted, Reply::Number(2));
        })
        .await;
        run.everybody_hears_everybody().await;
        run.assert_resets(HARMED, 1);
        run.assert_resets(HEALTHY, 0);
    });
}

/// An older copy of the data, in which others then wrote more than was there before: by numbers
/// alone it looks as if nothing had happened.
#[test]
fn a_log_that_is_rolled_back_and_refilled_resets_everybody_once() {
    scenario(Settings::default(), async |run| {
        run.server.query(&["SAVE"]).await;
        run.everybody_hears_everybody().await;
        for node in &run.nodes {
            node.link.cut_off(true);
        }
        let old = [run.head(0).await, run.head(1).await].map(|head| head.position.seq);
        run.harm(&[0, 1], async |run| {
            run.server.kill();
            run.server.start_again().await;
            for (room, old) in old.into_iter().enumerate() {
                refill(run, room, old + 20).await;
            }
        })
        .await;
        for node in &run.nodes {
            node.link.cut_off(false);
        }
        run.everybody_hears_everybody().await;
        run.assert_resets(0, 1);
        run.assert_resets(1, 1);
    });
}

/// Appends from elsewhere until the log is as long as said.
async fn refill(run: &Run, room: usize, up_to: u64) {
    let log = run.log().await;
    let (name, writer) = (make::room(ROOMS[room]), make::user("elsewhere"));
    let mut seq = run.head(room).await.position.seq;
    assert!(seq < up_to, "it was rolled back");
    while seq < up_to {
        let text = message(seq * 2 + room as u64).to_string();
        let call = AppendCall {
            room: name.clone(),
            entries: vec![make::say(&name, &writer, &text)],
        };
        let outcomes = log.append(vec![call], PATIENCE).await;
        seq = outcomes[0][0].as_ref().unwrap().position.seq;
    }
}

/// Nobody says anything, and nothing else fails: heads are compared now and then for this.
#[test]
fn a_log_that_is_lost_in_silence_is_found_by_comparing_heads() {
    let mut settings = Settings::default();
    settings.limits.head_check_interval = Duration::from_millis(500);
    scenario(settings, async |run| {
        run.everybody_is_silent(true).await;
        run.harm(&[0, 1], async |run| run.server.flush_all().await)
            .await;
        run.until("everybody is reset", |seen| {
            seen[..STAYING].iter().all(|seen| seen.resets == [1, 1])
        })
        .await;
        run.everybody_is_silent(false).await;
    });
}
