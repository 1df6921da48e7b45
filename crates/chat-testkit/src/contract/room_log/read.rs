//! Clauses of [`chat_core::RoomLog`] about reading entries.

use chat_core::limits::READ_BYTES_MAX;
use chat_core::{NewEntry, PageFrom, RoomId};

use super::{Log, RoomLogHarness, assert_chained, message_id, text_of};
use crate::make::{room, say, user};

/// Says `count` things, in calls of at most 50.
async fn fill(log: &Log, count: u64) {
    let all: Vec<NewEntry> = (0..count)
        .map(|number| say(&log.room, &user("alice"), &number.to_string()))
        .collect();
    for call in all.chunks(50) {
        let outcomes = log.append(call.to_vec()).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    }
}

/// Clause 6.
pub async fn reads_after_a_seq(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let unknown = log.read_after(0, 10).await;
    assert_eq!((unknown.anchor, unknown.head), (None, None));
    let empty = log.log.open(&general).await.unwrap();
    let read = log.read_after(0, 10).await;
    assert_eq!(read.anchor, Some(empty.position.id), "the epoch at seq 0");
    assert_eq!((read.entries.len(), read.head), (0, Some(empty)));

    fill(&log, 10).await;
    let all = log.entries().await;
    assert_eq!(all.len(), 10);
    for seq in 0..=10 {
        let read = log.read_after(seq, 3).await;
        let at = usize::try_from(seq).unwrap();
        let expected = match at {
            0 => empty.position.id,
            at => all[at - 1].position.id,
        };
        assert_eq!(read.anchor, Some(expected), "at {seq}");
        assert_eq!(read.entries, all[at..(at + 3).min(10)], "after {seq}");
        assert_eq!(read.head.unwrap().position, all[9].position);
    }
    let above = log.read_after(11, 3).await;
    assert_eq!((above.anchor, above.entries.len()), (None, 0));

    harness.trim(&general, 4).await;
    let trimmed = log.read_after(2, 3).await;
    assert_eq!(trimmed.anchor, None, "what was trimmed is not known");
    assert_eq!(trimmed.entries, all[4..7], "from the oldest that is left");
    let oldest = log.read_after(4, 3).await;
    assert_eq!(oldest.anchor, Some(all[3].position.id), "its prev is known");
    assert_eq!(oldest.entries, all[4..7]);

    what_was_rolled_back_is_not_known(harness, &general, &log).await;
}

async fn what_was_rolled_back_is_not_known(
    harness: &dyn RoomLogHarness,
    general: &RoomId,
    log: &Log,
) {
    let before = log.entries().await;
    let last = before.last().unwrap();
    harness.roll_back(general, 8).await;
    assert_eq!(log.read_after(10, 9).await.anchor, None, "above the head");
    assert_eq!(log.message(last.message_id()).await, None);
    fill(log, 3).await;
    let refilled = log.read_after(10, 9).await;
    assert_ne!(refilled.anchor, Some(last.position.id), "another entry");
    assert_eq!(refilled.entries.len(), 1);
    assert_eq!(log.message(last.message_id()).await, None);
    assert_chained(&log.entries().await);
}

/// Clause 7.
pub async fn bounds_every_read(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    fill(&log, 30).await;
    assert_eq!(log.read_after(0, 7).await.entries.len(), 7);
    let page = log.log.page(&general, PageFrom::Before(u64::MAX), 7).await;
    let page = page.unwrap();
    assert_eq!((page.messages.len(), page.more), (7, true));

    let big = room("big");
    let log = Log::of(harness, &big).await;
    let text = "x".repeat(8_000);
    for _ in 0..2 {
        let call = (0..25).map(|_| say(&big, &user("alice"), &text)).collect();
        assert!(log.append(call).await.iter().all(Result::is_ok));
    }
    let read = log.read_after(0, 500).await;
    let bytes: usize = read.entries.iter().filter_map(text_of).map(str::len).sum();
    assert!(bytes <= READ_BYTES_MAX, "{bytes} bytes of text");
    assert!(!read.entries.is_empty());
    assert_eq!(log.entries().await.len(), 50, "the next reads go on there");
    let mut before = u64::MAX;
    let mut paged = 0;
    loop {
        let page = log.log.page(&big, PageFrom::Before(before), 200).await;
        let page = page.unwrap();
        let texts = page
            .messages
            .iter()
            .filter_map(|found| found.text.as_deref());
        assert!(texts.map(str::len).sum::<usize>() <= READ_BYTES_MAX);
        paged += page.messages.len();
        before = page.messages.first().expect("at least one").id.seq;
        if !page.more {
            break;
        }
    }
    assert_eq!(paged, 50);
}

/// Clause 8.
pub async fn never_reads_below_log_max(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let first = log.append_one(say(&general, &user("alice"), "first")).await;
    let first = first.unwrap();
    fill(&log, harness.log_max() + 20).await;
    let head = log.log.open(&general).await.unwrap().position.seq;
    let floor = head - harness.log_max() + 1;
    assert!(floor > 1, "enough was appended");
    for seq in [0, 1, floor - 2] {
        let read = log.read_after(seq, 10).await;
        assert_eq!(read.anchor, None, "at {seq}");
        assert_eq!(read.entries[0].position.seq, floor, "after {seq}");
    }
    let oldest = log.read_after(floor - 1, 10).await;
    assert_eq!(oldest.anchor, Some(oldest.entries[0].prev));
    assert_eq!(oldest.entries[0].position.seq, floor);
    let entries = log.entries().await;
    assert_eq!(entries.len() as u64, harness.log_max());
    assert!(
        !entries
            .iter()
            .any(|entry| entry.message_id() == message_id(&first))
    );
    assert_chained(&entries);
}
