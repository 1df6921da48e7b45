//! Sending: order, batches, retries, and what a failing log makes of them.

use super::*;
use crate::error::ServiceError;

fn answers(frames: &[Outgoing]) -> Vec<Result<Answer, ServiceError>> {
    let answer = |frame: &Outgoing| match frame {
        Outgoing::Answer { result, .. } => Some(Result::clone(result)),
        Outgoing::Event(_) => None,
    };
    frames.iter().filter_map(answer).collect()
}

#[tokio::test(start_paused = true)]
async fn what_gathers_during_one_append_is_the_next_batch_in_order() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let mut mock = MockRoomLog::new();
    mock.expect_reach().return_const(Reach::Process);
    mock.expect_announces().return_const(false);
    let (state, seen) = (Arc::clone(&log), Arc::clone(&sizes));
    mock.expect_append().returning(move |calls, _| {
        seen.lock()
            .push(calls.iter().map(|call| call.entries.len()).sum::<usize>());
        calls
            .into_iter()
            .map(|call| state.lock().append(call))
            .collect()
    });
    let node = Node::start(&wire, mock, mock_presence(&counts), Limits::default());
    let mut alice = node.connect("alice").await;
    for number in 0..100 {
        alice
            .send(&format!("{number}"), &format!("k{number}"))
            .await;
    }
    let answered = answers(&alice.waiting().await);
    let seqs: Vec<_> = answered
        .into_iter()
        .map(|answer| match answer {
            Ok(Answer::Sent(sent)) => sent.seq,
            other => panic!("not sent: {other:?}"),
        })
        .collect();
    assert_eq!(seqs, (1..=100).collect::<Vec<_>>());
    let sizes = sizes.lock();
    assert!(sizes.len() <= 3, "{sizes:?}");
    assert!(
        sizes
            .iter()
            .all(|size| *size <= crate::limits::APPEND_ENTRIES_MAX),
        "{sizes:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_retry_gets_the_first_answer_and_other_content_is_a_conflict() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    for text in ["hello", "hello", "other"] {
        alice.send(text, "same-key").await;
    }
    let answered = answers(&alice.waiting().await);
    let [
        Ok(Answer::Sent(first)),
        Ok(Answer::Sent(second)),
        Err(ServiceError::Conflict),
    ] = answered.as_slice()
    else {
        panic!("{answered:?}");
    };
    assert!(!first.duplicate && second.duplicate);
    assert_eq!(first.message, second.message);
    assert_eq!(entries(&wire).len(), 1, "a retry is published to nobody");
}

#[tokio::test(start_paused = true)]
async fn a_log_that_does_not_answer_makes_the_outcome_unknown() {
    let (wire, counts) = (Wire::default(), Counts::default());
    let mut mock = MockRoomLog::new();
    mock.expect_reach().return_const(Reach::Process);
    mock.expect_announces().return_const(false);
    mock.expect_append().returning(|calls, _| {
        let unknown = || Err(AppendError::Unavailable("gone".to_owned()));
        let all = |call: &AppendCall| call.entries.iter().map(|_| unknown()).collect();
        calls.iter().map(all).collect()
    });
    let node = Node::start(&wire, mock, mock_presence(&counts), Limits::default());
    let mut alice = node.connect("alice").await;
    alice.send("hello", "k").await;
    let frames = alice.waiting().await;
    assert!(matches!(
        answers(&frames).as_slice(),
        [Err(ServiceError::Unavailable { .. })]
    ));
    assert_eq!(
        node.service.health().degraded,
        vec![crate::event::Part::Store]
    );
}

/// A node on a broker that refuses the first entry, and what the broker was told otherwise.
struct RefusedOnce {
    service: ChatService,
    published: Arc<Mutex<Vec<Publication>>>,
    _broker: EventSender,
}

impl RefusedOnce {
    fn on(log: &Log) -> Self {
        let (broker, events) = event_queue(10);
        let events = Mutex::new(Some(events));
        let published = Arc::new(Mutex::new(Vec::new()));
        let mut pubsub = MockPubSub::new();
        pubsub.expect_reach().return_const(Reach::Process);
        pubsub
            .expect_events()
            .returning(move || events.lock().take());
        pubsub.expect_subscribe().returning(|_| Ok(()));
        let mut failures = 1;
        let seen = Arc::clone(&published);
        pubsub
            .expect_publish()
            .returning(move |batch: Vec<Publication>| {
                let is_signal = batch.iter().any(|publication| publication.envelope[1] == 0);
                if !is_signal && failures > 0 {
                    failures -= 1;
                    return Err(crate::pubsub::PubSubError::Unavailable("gone".to_owned()));
                }
                seen.lock().extend(batch);
                Ok(())
            });
        let presence = mock_presence(&Counts::default());
        let service = ChatService::builder(Arc::new(pubsub), Arc::new(presence))
            .room_log(Arc::new(mock_log(log)))
            .directory(Arc::new(mock_directory()))
            .build()
            .unwrap();
        Self {
            service,
            published,
            _broker: broker,
        }
    }

    async fn is_acked(&self, key: &str) {
        let Command::Send(message) = send("hello", key) else {
            unreachable!()
        };
        let sent = self.service.send(&user("alice"), message).await;
        assert!(sent.is_ok(), "acked: the log has it");
    }

    /// All that was published by now is one bare head.
    async fn announces_only(&self, seq: u64) {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let heads = self.published.lock().clone();
        assert_eq!(heads.len(), 1);
        let decoded = envelope::decode(&heads[0].topic, &heads[0].envelope).unwrap();
        assert!(matches!(decoded, envelope::Envelope::Head(header) if header.position.seq == seq));
    }
}

#[tokio::test(start_paused = true)]
async fn an_entry_that_could_not_be_published_is_announced_as_a_bare_head() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let failing = RefusedOnce::on(&log);
    failing.is_acked("k").await;
    failing.announces_only(1).await;
    let mut bob = node.connect("bob").await;
    let joined = bob.join(None).await;
    assert_eq!(joined.position.seq, 1);
}

#[tokio::test(start_paused = true)]
async fn what_comes_before_the_broker_has_healed_is_not_published_and_its_head_is_announced() {
    let log = Log::default();
    let failing = RefusedOnce::on(&log);
    failing.is_acked("k").await;
    failing.is_acked("k2").await;
    failing.announces_only(2).await;
    failing.is_acked("k3").await;
    // The ack does not wait for it.
    tokio::task::yield_now().await;
    let last = failing.published.lock().last().cloned().unwrap();
    let decoded = envelope::decode(&last.topic, &last.envelope).unwrap();
    assert!(matches!(decoded, envelope::Envelope::Entry(..)), "healed");
}

#[test]
fn a_per_process_log_behind_a_shared_broker_is_refused() {
    let mut pubsub = MockPubSub::new();
    pubsub.expect_reach().return_const(Reach::Cluster);
    let (wire, log) = (Counts::default(), Log::default());
    let built = ChatService::builder(Arc::new(pubsub), Arc::new(mock_presence(&wire)))
        .room_log(Arc::new(mock_log(&log)))
        .directory(Arc::new(mock_directory()))
        .build();
    assert!(matches!(built, Err(BuildError::TooShort("room log"))));
}
