//! Nodes whose clocks are wrong behave like any other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chat_core::{
    Answer, Clock, Command, EntryBody, Event, Millis, Status, SystemClock, UserPresence,
};
use chat_testkit::make;
use chat_testkit::servers::RedisServer;
use tokio::time::sleep;

use super::members::Member;
use crate::cluster::{NODES, Node, Settings};
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

fn is_status(event: &Event, who: &str, expected: Status) -> bool {
    matches!(event, Event::Presence { user, status, .. }
        if *user == make::user(who) && *status == expected)
}

fn moves(told: &[Event]) -> Vec<&Event> {
    let is_move = |event: &&Event| {
        matches!(
            event,
            Event::UserJoined { .. } | Event::UserLeft { .. } | Event::Presence { .. }
        )
    };
    told.iter().filter(is_move).collect()
}

async fn standing_of(member: &mut Member, who: &str) -> UserPresence {
    let users = vec![make::user(who)];
    match member.ask(Command::Users { users }).await.unwrap() {
        Answer::Users(mut users) => users.users.remove(0).1,
        other => panic!("{other:?}"),
    }
}

/// Leases, sweeps, graces and renewals go on for a while: nobody comes, goes or flickers. Whoever does
/// go was seen last by the store's time, whichever node says so.
#[test]
fn people_on_nodes_with_wrong_clocks_do_not_flicker_and_are_seen_last_when_they_were() {
    chat_testkit::run(async {
        let server = RedisServer::start().await;
        let mut settings = Settings {
            clocks: clock_of,
            ..Settings::default()
        };
        settings.limits.node_ttl = Duration::from_millis(1_500);
        let hall = make::room("hall");
        let (mut nodes, mut people) = (Vec::new(), Vec::new());
        for (number, name) in ["early", "late", "right"].into_iter().enumerate() {
            let node = Node::start(&server, &settings, number).await;
            let mut member = Member::on(&node, name).await;
            member.join(&hall).await.unwrap();
            people.push(member);
            nodes.push(node);
        }
        for person in &mut people {
            for name in ["early", "late", "right"] {
                while standing_of(person, name).await.standing.status != Status::Online {}
            }
        }
        for text in ["before", "after"] {
            people[2].say(&hall, text).await.unwrap();
            for person in &mut people {
                let told = person.told_until(|event| is_said(event, text)).await;
                assert!(text == "before" || moves(&told).is_empty(), "{told:?}");
            }
            // Longer than leases: whoever's clock counted would be swept, or sweep the others.
            sleep(settings.limits.node_ttl * 3).await;
        }
        let away = Command::Presence {
            status: Status::Away,
            text: None,
        };
        people[1].ask(away).await.unwrap();
        let mut began = now_ms();
        for person in &mut people {
            person
                .told_until(|event| is_status(event, "late", Status::Away))
                .await;
        }
        for (name, place) in [("late", 1), ("early", 0)] {
            drop(people.remove(place));
            let mut seen = BTreeSet::new();
            for person in &mut people {
                let ends = |event: &Event| is_status(event, name, Status::Offline);
                let told = person.told_until(ends).await;
                seen.extend(told.iter().filter_map(last_seen));
                seen.extend(standing_of(person, name).await.last_seen_at_ms);
            }
            let times = began..=now_ms();
            assert!(
                seen.len() == 1 && seen.iter().all(|at_ms| times.contains(at_ms)),
                "{name} was seen at {seen:?}, not once in {times:?}"
            );
            began = *seen.first().unwrap();
        }
    });
}

fn is_said(event: &Event, expected: &str) -> bool {
    matches!(event, Event::Entry(entry)
        if matches!(&entry.body, EntryBody::MessageAdded { text: Some(text), .. } if **text == *expected))
}

fn last_seen(event: &Event) -> Option<Millis> {
    match event {
        Event::Presence {
            last_seen_at_ms, ..
        } => *last_seen_at_ms,
        _ => None,
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}
