//! Clauses of [`chat_core::RoomLog`] about messages as they stand.

use chat_core::limits::EMOJI_PER_MESSAGE_MAX;
use chat_core::{AppendError, Emoji, EntryBody, MessageId, PageFrom};

use super::{Log, RoomLogHarness, text_of};
use crate::make::{delete, edit, entry, react, room, say, user};

/// Clause 9.
pub async fn blanks_deleted_text_in_entries(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let alice = user("alice");
    let gone = log.accept(say(&general, &alice, "secret")).await;
    let kept = log.accept(say(&general, &alice, "public")).await;
    log.accept(edit(&general, &alice, gone, "secret, edited"))
        .await;
    log.accept(edit(&general, &alice, kept, "public, edited"))
        .await;
    log.accept(delete(&general, &alice, gone)).await;
    let entries = log.entries().await;
    let texts: Vec<_> = entries.iter().map(text_of).collect();
    let expected = [None, Some("public"), None, Some("public, edited"), None];
    assert_eq!(texts, expected);
    assert!(matches!(
        entries[0].body,
        EntryBody::MessageAdded { text: None, .. }
    ));
    assert!(matches!(
        entries[2].body,
        EntryBody::MessageUpdated { text: None, message, .. } if message == gone
    ));
    // The message itself is trimmed, its edit is not: that is still the text of a deleted one.
    harness.trim(&general, 2).await;
    let entries = log.entries().await;
    let texts: Vec<_> = entries.iter().map(text_of).collect();
    assert_eq!(texts, [None, Some("public, edited"), None]);
}

/// Clause 10.
pub async fn pages_messages_as_they_stand(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let (alice, bob) = (user("alice"), user("bob"));
    let mut ids = Vec::new();
    for text in ["one", "two", "three", "four"] {
        ids.push(log.accept(say(&general, &alice, text)).await);
    }
    log.accept(edit(&general, &alice, ids[1], "two, edited"))
        .await;
    log.accept(react(&general, &bob, ids[1], "+", false)).await;
    log.accept(delete(&general, &alice, ids[2])).await;

    let page = log
        .log
        .page(&general, PageFrom::Before(u64::MAX), 200)
        .await;
    let page = page.unwrap();
    let found: Vec<MessageId> = page.messages.iter().map(|message| message.id).collect();
    assert_eq!(
        found, ids,
        "in seq order, and entries that are no messages are none"
    );
    assert!(!page.more);
    let [one, two, three, four] = &page.messages[..] else {
        panic!("four messages");
    };
    for (message, text) in [(one, "one"), (four, "four")] {
        assert_eq!(message.text.as_deref(), Some(text));
        assert_eq!(message.changed_seq, None);
        assert_eq!((&message.from, &message.room), (&alice, &general));
    }
    assert_eq!(two.text.as_deref(), Some("two, edited"));
    assert!(two.edited_at_ms.is_some());
    assert_eq!(two.changed_seq, Some(6));
    assert_eq!(two.reactions[&Emoji::new("+").unwrap()], [bob]);
    assert!(three.is_deleted());
    assert_eq!((three.changed_seq, &three.from), (Some(7), &alice));

    pages_go_both_ways(&log, &ids).await;
    assert_eq!(log.message(ids[1]).await.as_ref(), Some(two));
    assert_eq!(log.message(ids[2]).await.as_ref(), Some(three));
    let entry_of_edit = log.entries().await[4].message_id();
    assert_eq!(log.message(entry_of_edit).await, None);
}

async fn pages_go_both_ways(log: &Log, ids: &[MessageId]) {
    for (from, expected, more) in [
        (PageFrom::Before(u64::MAX), &ids[2..], true),
        (PageFrom::Before(3), &ids[..2], false),
        (PageFrom::Before(2), &ids[..1], false),
        (PageFrom::Before(1), &ids[..0], false),
        (PageFrom::After(0), &ids[..2], true),
        (PageFrom::After(2), &ids[2..], false),
        (PageFrom::After(3), &ids[3..], false),
        (PageFrom::After(99), &ids[..0], false),
    ] {
        let page = log.log.page(&log.room, from, 2).await.unwrap();
        let found: Vec<_> = page.messages.iter().map(|message| message.id).collect();
        assert_eq!((&found[..], page.more), (expected, more), "{from:?}");
    }
}

/// Clause 11.
pub async fn reactions_are_deltas(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let alice = user("alice");
    let id = log.accept(say(&general, &alice, "hello")).await;
    let mut reactions = Vec::new();
    for number in 0..16 {
        let log = Log::of(harness, &general).await;
        reactions.push(tokio::spawn(async move {
            let somebody = user(&format!("user-{number:02}"));
            let twice = [
                react(&log.room, &somebody, id, "+", false),
                react(&log.room, &somebody, id, "+", false),
            ];
            for reaction in twice {
                log.accept(reaction).await;
            }
            let other = react(&log.room, &somebody, id, "heart", false);
            log.accept(other).await;
            if number < 4 {
                let taken_back = react(&log.room, &somebody, id, "heart", true);
                log.accept(taken_back).await;
            }
        }));
    }
    for reaction in reactions {
        reaction.await.unwrap();
    }
    let message = log.message(id).await.unwrap();
    assert_eq!(Some(&message), log.messages().await.first());
    for (emoji, from) in [("+", 0), ("heart", 4)] {
        let mut users = message.reactions[&Emoji::new(emoji).unwrap()].clone();
        users.sort();
        let expected: Vec<_> = (from..16).map(|n| user(&format!("user-{n:02}"))).collect();
        assert_eq!(users, expected, "{emoji}");
    }
    a_message_takes_a_bounded_number_of_emoji(&log, id, 2).await;
}

async fn a_message_takes_a_bounded_number_of_emoji(log: &Log, id: MessageId, there: usize) {
    let alice = user("alice");
    for number in there..EMOJI_PER_MESSAGE_MAX {
        let emoji = format!("e{number}");
        log.accept(react(&log.room, &alice, id, &emoji, false))
            .await;
    }
    let one_more = react(&log.room, &alice, id, "one more", false);
    let refused = log.append_one(one_more).await;
    assert!(matches!(refused, Err(AppendError::Full(_))), "{refused:?}");
    // One that is there already, and taking one back, need no place.
    log.accept(react(&log.room, &user("bob"), id, "e9", false))
        .await;
    log.accept(react(&log.room, &alice, id, "e8", true)).await;
    let unknown = EntryBody::MessageReacted {
        message: id,
        emoji: Emoji::new("one more").unwrap(),
        removed: false,
    };
    log.accept(entry(&log.room, &alice, unknown)).await;
}
