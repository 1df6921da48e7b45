//! Keys: what several connections of one user send and retry at once is in the log once.

use std::collections::BTreeMap;
use std::time::Duration;

use chat_core::{Limits, PageFrom, RoomLog, Sent, ServiceError};
use chat_testkit::faults::{EnvelopeFaults, LogFaults};
use chat_testkit::make;
use proptest::collection::vec;
use proptest::prelude::*;

use super::{config, join, message};
use crate::cluster::{Cluster, ROOM, run};

/// What a connection sends: keys, each with one or the other content.
type Sends = Vec<(u64, u64)>;
/// Key, content, and what it was told in the end.
type Answered = (u64, u64, Result<Sent, ServiceError>);

/// Sends everything, all connections at once, and again whatever had no outcome.
async fn send_all(cluster: &Cluster, sends: Vec<Sends>) -> Vec<Answered> {
    let send = |(number, sends): (usize, Sends)| {
        let service = cluster.nodes[number % 2].service.clone();
        tokio::spawn(async move {
            let mut answers = Vec::new();
            for (key, text) in sends {
                let answer = loop {
                    match service.send(&make::user("u"), message(key, text)).await {
                        Err(error) if error.is_retryable() => {}
                        answer => break answer,
                    }
                };
                answers.push((key, text, answer));
            }
            answers
        })
    };
    let tasks: Vec<_> = sends.into_iter().enumerate().map(send).collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.extend(task.await.unwrap());
    }
    answers
}

/// Each key is in the log once, with the content that came first; whoever sent that was told where,
/// whoever sent other content was told of the conflict.
async fn check(cluster: &Cluster, answers: &[Answered]) {
    let log = &cluster.log;
    let page = log
        .page(&make::room(ROOM), PageFrom::After(0), 200)
        .await
        .unwrap();
    let said = page.messages.iter().map(|message| {
        let text = message.text.as_deref().unwrap().to_owned();
        (message.id.seq, text)
    });
    let said: BTreeMap<u64, String> = said.collect();
    let mut place_of: BTreeMap<u64, u64> = BTreeMap::new();
    let mut first_answers = Vec::new();
    for (key, _, answer) in answers {
        let Ok(sent) = answer else { continue };
        assert_eq!(
            *place_of.entry(*key).or_insert(sent.seq),
            sent.seq,
            "one place per key"
        );
        if !sent.duplicate {
            assert!(!first_answers.contains(key), "accepted twice");
            first_answers.push(*key);
        }
    }
    for (key, text, answer) in answers {
        let place = place_of
            .get(key)
            .expect("whoever came first was told so in the end");
        let same = said[place] == format!("text{text}");
        assert_eq!(
            answer.is_ok(),
            same,
            "other content is a conflict, the same is not"
        );
    }
    assert_eq!(said.len(), place_of.len(), "each key once in the log");
    let appended = cluster
        .nodes
        .iter()
        .map(|node| node.service.metrics().appended.get());
    assert_eq!(
        appended.sum::<u64>(),
        first_answers.len() as u64,
        "no retry is counted"
    );
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_key_is_accepted_once_however_many_connections_retry_it(
        sends in vec(vec((0..4_u64, prop_oneof![4 => Just(0_u64), 1 => Just(1)]), 1..8), 1..5),
        fails in 0..400_u16,
        lost in 0..400_u16,
        slow in 0..20_u64,
        seed in 0..1_000_u64,
    ) {
        let faults = LogFaults {
            append_fails: fails,
            outcome_lost: lost,
            append_refused: 50,
            slow: Duration::from_millis(slow),
            ..LogFaults::default()
        };
        run(async {
            let cluster = Cluster::start(2, seed.is_multiple_of(2), &Limits::default(), seed);
            // Who joins an open room makes it.
            let reader = cluster.connect(0, "u").await;
            join(&reader, None).await;
            cluster.set(EnvelopeFaults::default(), faults);
            let answers = send_all(&cluster, sends).await;
            check(&cluster, &answers).await;
        });
    }
}
