//! Clauses of [`chat_core::RoomLog`] about appending.

use std::time::Duration;

use chat_core::envelope::{Envelope, decode};
use chat_core::{AppendCall, AppendError, EntryBody, EntryId, MessageId, PubSubEvent, Topic};

use super::{Log, RoomLogHarness, TIMEOUT, assert_chained, message_id, text_of};
use crate::make::{again, delete, edit, keyed, react, room, say, user};
use crate::wait::within;

/// Clause 1.
pub async fn numbers_entries_without_holes(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let first = Log::of(harness, &general).await;
    let empty = first.log.open(&general).await.unwrap();
    let mut writers = Vec::new();
    for writer in 0..4 {
        let log = Log::of(harness, &general).await;
        writers.push(tokio::spawn(async move {
            let mut accepted = Vec::new();
            for number in 0..20 {
                let text = format!("{writer}: {number}");
                let entry = say(&log.room, &user("alice"), &text);
                let id = entry.id;
                let appended = log.append_one(entry).await.unwrap();
                assert_eq!(appended.position.id, id);
                assert!(!appended.duplicate);
                accepted.push(appended);
            }
            accepted
        }));
    }
    let mut accepted = Vec::new();
    for writer in writers {
        accepted.extend(writer.await.unwrap());
    }
    accepted.sort_by_key(|appended| appended.position.seq);
    let entries = first.entries().await;
    assert_eq!(entries.len(), 80);
    assert_chained(&entries);
    assert_eq!(entries[0].prev, empty.position.id);
    assert_eq!(entries[0].position.seq, 1);
    for (entry, appended) in entries.iter().zip(&accepted) {
        assert_eq!(entry.position, appended.position);
        assert_eq!(entry.prev, appended.prev);
        assert_eq!(entry.at_ms, appended.at_ms);
    }
    let head = first.log.heads(std::slice::from_ref(&general)).await;
    assert_eq!(head.unwrap()[0].unwrap().position, entries[79].position);
}

/// Clause 2.
pub async fn keeps_the_order_of_a_call(harness: &dyn RoomLogHarness) {
    let (general, other) = (room("general"), room("other"));
    let log = Log::of(harness, &general).await;
    let alice = user("alice");
    let nowhere = MessageId {
        seq: 77,
        entry: EntryId::random(),
    };
    let texts: Vec<String> = (0..10).map(|number| number.to_string()).collect();
    let mut entries: Vec<_> = texts
        .iter()
        .map(|text| say(&general, &alice, text))
        .collect();
    entries.insert(5, edit(&general, &alice, nowhere, "of nothing"));
    let calls = vec![
        AppendCall {
            room: general.clone(),
            entries,
        },
        AppendCall {
            room: other.clone(),
            entries: vec![say(&other, &alice, "elsewhere")],
        },
    ];
    let answers = within(log.patience, "append", log.log.append(calls, TIMEOUT)).await;
    assert_eq!(answers.iter().map(Vec::len).collect::<Vec<_>>(), [11, 1]);
    let seqs = answers[0].iter().map(|outcome| match outcome {
        Ok(appended) => Some(appended.position.seq),
        Err(error) => {
            assert_eq!(*error, AppendError::NotFound);
            None
        }
    });
    let expected = [1, 2, 3, 4, 5, 0, 6, 7, 8, 9, 10].map(|seq| (seq > 0).then_some(seq));
    assert_eq!(seqs.collect::<Vec<_>>(), expected);
    assert_eq!(answers[1][0].as_ref().unwrap().position.seq, 1);
    let read = log.entries().await;
    let read: Vec<_> = read.iter().filter_map(text_of).collect();
    assert_eq!(read, texts);
}

/// Clause 3.
pub async fn accepts_a_key_once(harness: &dyn RoomLogHarness) {
    let (general, other) = (room("general"), room("other"));
    let (here, there) = (
        Log::of(harness, &general).await,
        Log::of(harness, &general).await,
    );
    let (alice, bob) = (user("alice"), user("bob"));
    // However the store counts its windows, one may begin between the first attempt and the last.
    here.accept(keyed(say(&general, &bob, "earlier"), "earlier", 0))
        .await;
    harness.pass(harness.key_window() * 6 / 10).await;
    let said = keyed(say(&general, &alice, "hello"), "k", 1);
    // Twice in one call, then by another node.
    let outcomes = here.append(vec![said.clone(), again(&said)]).await;
    let first = *outcomes[0].as_ref().unwrap();
    let retry = there.append_one(again(&said)).await;
    for retry in [outcomes[1].clone(), retry] {
        let retry = retry.unwrap();
        assert!(retry.duplicate && !first.duplicate);
        assert_eq!((retry.position, retry.at_ms), (first.position, first.at_ms));
    }
    let conflict = keyed(say(&general, &alice, "something else"), "k", 2);
    assert_eq!(there.append_one(conflict).await, Err(AppendError::Conflict));
    // The same key of another user, and in another room, is another key.
    let of_bob = keyed(say(&general, &bob, "hello"), "k", 1);
    assert!(!there.append_one(of_bob).await.unwrap().duplicate);
    let elsewhere = Log::of(harness, &other).await;
    let of_other = keyed(say(&other, &alice, "hello"), "k", 1);
    assert!(!elsewhere.append_one(of_other).await.unwrap().duplicate);

    harness.pass(harness.key_window() * 9 / 10).await;
    // Something else is sent meanwhile, which may be a reason for the store to tidy up.
    here.accept(keyed(say(&general, &bob, "later"), "later", 3))
        .await;
    let late = there.append_one(again(&said)).await.unwrap();
    assert!(late.duplicate, "its window is not over");
    assert_eq!(late.position, first.position);
    assert_eq!(here.entries().await.len(), 4);
}

/// Clause 4.
pub async fn checks_preconditions_in_the_step(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let (alice, bob) = (user("alice"), user("bob"));
    let id = log.accept(say(&general, &alice, "hello")).await;
    let impostor = MessageId {
        entry: EntryId::random(),
        ..id
    };
    let of_impostor = edit(&general, &alice, impostor, "?");
    assert_eq!(
        log.append_one(of_impostor).await,
        Err(AppendError::NotFound)
    );
    let by_bob = edit(&general, &bob, id, "not mine");
    assert_eq!(log.append_one(by_bob).await, Err(AppendError::Forbidden));
    // An edit is no message: nobody can edit it in turn.
    let edited = log.accept(edit(&general, &alice, id, "hello!")).await;
    let of_edit = edit(&general, &alice, edited, "?");
    assert_eq!(log.append_one(of_edit).await, Err(AppendError::NotFound));

    let deletion = keyed(delete(&general, &alice, id), "d", 1);
    let deleted = log.append_one(deletion.clone()).await.unwrap();
    let refused = log
        .append(vec![
            edit(&general, &alice, id, "too late"),
            react(&general, &bob, id, "+", false),
            delete(&general, &alice, id),
        ])
        .await;
    assert_eq!(refused, vec![Err(AppendError::NotFound); 3]);
    // What it wants is so already, by itself: the retry is answered before its precondition.
    let retried = log.append_one(again(&deletion)).await.unwrap();
    assert!(retried.duplicate);
    assert_eq!(retried.position, deleted.position);
    assert_eq!(log.entries().await.len(), 3);
    a_delete_wins_over_concurrent_changes(harness).await;
}

async fn a_delete_wins_over_concurrent_changes(harness: &dyn RoomLogHarness) {
    let contested = room("contested");
    let (here, there) = (
        Log::of(harness, &contested).await,
        Log::of(harness, &contested).await,
    );
    let alice = user("alice");
    for _ in 0..20 {
        let id = here.accept(say(&contested, &alice, "hello")).await;
        let (deleted, edited, deleted_too) = tokio::join!(
            here.append_one(delete(&contested, &alice, id)),
            there.append_one(edit(&contested, &alice, id, "changed")),
            there.append_one(delete(&contested, &alice, id)),
        );
        assert!(deleted.is_ok() ^ deleted_too.is_ok(), "one delete wins");
        let deleted_seq = deleted.or(deleted_too).unwrap().position.seq;
        match edited {
            Ok(edited) => assert!(edited.position.seq < deleted_seq),
            Err(error) => assert_eq!(error, AppendError::NotFound),
        }
        assert!(here.message(id).await.unwrap().is_deleted());
    }
    assert_chained(&here.entries().await);
}

/// Clause 5.
pub async fn never_acts_after_its_deadline(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let alice = user("alice");
    let id = log.accept(say(&general, &alice, "in time")).await;
    // Its deadline has passed before it can reach any store.
    let late = log.append_within(vec![say(&general, &alice, "late")], Duration::ZERO);
    let refused = late.await.remove(0).expect_err("its deadline has passed");
    assert!(refused.is_retryable(), "{refused}");

    if harness.stall().await {
        let late = vec![say(&general, &alice, "late")];
        let outcome = log.append_within(late, Duration::from_millis(200)).await;
        let error = outcome[0].as_ref().expect_err("the store hangs");
        assert!(error.is_retryable(), "{error}");
        harness.unstall().await;
    }
    // Whatever was on its way is in front of this one.
    let next = log.accept(say(&general, &alice, "next")).await;
    assert_eq!(next.seq, id.seq + 1);
    harness.pass(Duration::from_millis(500)).await;
    let entries = log.entries().await;
    let texts: Vec<_> = entries.iter().filter_map(text_of).collect();
    assert_eq!(texts, ["in time", "next"]);
}

/// Clause 14.
pub async fn time_does_not_go_backwards(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let mut latest = log.log.open(&general).await.unwrap().at_ms;
    for number in 0..10 {
        if number % 2 == 0 {
            harness.pass(Duration::from_millis(20)).await;
        } else {
            harness.set_clock_back(Duration::from_millis(500)).await;
        }
        let said = say(&general, &user("alice"), &number.to_string());
        let appended = log.append_one(said).await.unwrap();
        assert!(appended.at_ms >= latest, "entry {number}");
        latest = appended.at_ms;
    }
    assert_chained(&log.entries().await);
    let head = log.log.open(&general).await.unwrap();
    assert_eq!(head.at_ms, latest);
}

/// Clause 15.
pub async fn announced_entries_reach_subscribers(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let alice = user("alice");
    let said = keyed(say(&general, &alice, "hello"), "k", 1);
    if !log.log.announces() {
        let appended = log.append_one(said).await.unwrap();
        assert!(!appended.announced, "a log that announces says so");
        return;
    }
    let node = harness.subscriber().await.expect("it announces somewhere");
    let mut events = node.events().expect("a new node has its events");
    let topic = Topic::Room(general.clone());
    node.subscribe(std::slice::from_ref(&topic)).await.unwrap();
    let nothing = MessageId {
        seq: 99,
        entry: EntryId::random(),
    };
    let outcomes = log
        .append(vec![
            said.clone(),
            again(&said),
            edit(&general, &alice, nothing, "refused"),
            say(&general, &alice, "again"),
        ])
        .await;
    let accepted: Vec<_> = outcomes.into_iter().flatten().collect();
    assert_eq!(accepted.len(), 3);
    assert!(accepted.iter().all(|appended| appended.announced));
    // Neither the retry nor the refused one is heard.
    for appended in accepted.iter().filter(|appended| !appended.duplicate) {
        let event = within(log.patience, "an announcement", events.next()).await;
        let Some(PubSubEvent::Envelope(heard)) = event else {
            panic!("{event:?} instead of an envelope");
        };
        assert_eq!(heard.topic, topic);
        let Ok(Envelope::Entry(entry)) = decode(&topic, &heard.envelope) else {
            panic!("not the envelope of an entry");
        };
        assert_eq!(entry.message_id(), message_id(appended));
        assert_eq!(entry.header().prev, appended.prev);
        assert!(matches!(entry.body, EntryBody::MessageAdded { .. }));
        assert_eq!(
            log.read_after(appended.position.seq - 1, 1).await.entries,
            [entry]
        );
    }
}
