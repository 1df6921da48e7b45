//! Clauses of [`chat_core::RoomLog`] about what is counted of messages.

use chat_core::limits::{APPEND_ENTRIES_MAX, UNREAD_MAX};
use chat_core::{
    Digest, EntryBody, MessageId, NewEntry, Precondition, RoomId, Text, Unread, UserId,
};

use super::{Log, RoomLogHarness, message_id};
use crate::make::{delete, entry, mention, react, room, say, user};

/// Clause 17.
pub async fn digests_say_what_stands(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let (alice, bob) = (user("alice"), user("bob"));
    assert_eq!(log.digests(10).await, [], "a room without a log");
    log.log.open(&general).await.unwrap();
    assert_eq!(log.digests(10).await, [], "an empty one");
    let one = log.accept(say(&general, &alice, "one")).await;
    let two = log
        .accept(mention(
            &general,
            &bob,
            "@alice",
            std::slice::from_ref(&alice),
        ))
        .await;
    let three = log.accept(say(&general, &alice, "three")).await;
    log.accept(react(&general, &bob, one, "+", false)).await;
    log.accept(mentioning(&general, &alice, three, &[&bob]))
        .await;
    log.accept(delete(&general, &alice, one)).await;
    let expected = [
        digest(one, &alice, &[], true),
        digest(two, &bob, &[&alice], false),
        digest(three, &alice, &[&bob], false),
    ];
    assert_eq!(log.digests(10).await, expected);
    assert_eq!(log.digests(3).await, expected);
    assert_eq!(log.digests(2).await, expected[1..]);
    many(harness, &log).await;
}

/// As many as are asked for, and never below what is kept.
async fn many(harness: &dyn RoomLogHarness, log: &Log) {
    let kept = usize::try_from(harness.log_max()).unwrap();
    let said = fill(log, &user("alice"), kept + 20).await;
    for max in [1, kept - 1, kept, kept + 10] {
        let ids: Vec<_> = log.digests(max).await.iter().map(|it| it.id).collect();
        let most = if harness.keeps_messages() {
            max
        } else {
            max.min(kept)
        };
        assert_eq!(ids, said[said.len() - most..], "{max} asked for");
    }
}

/// Clause 18.
pub async fn counts_what_is_unread(harness: &dyn RoomLogHarness) {
    let general = room("general");
    let log = Log::of(harness, &general).await;
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(user);
    log.unread(&alice, 0, (0, 0), None).await;
    let to_alice = |text| mention(&general, &bob, text, std::slice::from_ref(&alice));
    let one = log.accept(to_alice("one")).await;
    let two = log.accept(say(&general, &alice, "two")).await;
    log.unread(&alice, 0, (0, 0), Some(two)).await;
    let three = log.accept(to_alice("three")).await;
    let four = log.accept(say(&general, &bob, "four")).await;
    let five = log.accept(to_alice("five")).await;
    log.accept(react(&general, &bob, two, "+", false)).await;
    log.unread(&alice, 0, (3, 2), Some(five)).await;
    log.unread(&alice, three.seq, (2, 1), Some(five)).await;
    log.unread(&alice, 99, (0, 0), Some(five)).await;
    log.unread(&bob, 0, (0, 0), Some(five)).await;
    log.unread(&carol, 0, (5, 0), Some(five)).await;
    // An edit decides who is mentioned, and what was deleted counts for nobody.
    log.accept(mentioning(&general, &bob, four, &[&alice, &carol]))
        .await;
    log.accept(mentioning(&general, &bob, three, &[])).await;
    log.accept(delete(&general, &bob, five)).await;
    log.unread(&alice, 0, (2, 1), Some(five)).await;
    log.unread(&carol, one.seq, (3, 1), Some(five)).await;
    // A deleted message of his own has still been said by him.
    log.accept(delete(&general, &alice, two)).await;
    log.unread(&alice, 0, (2, 1), Some(five)).await;
    many_unread(harness, &log, &carol).await;
    many_rooms(&log, &carol).await;
}

/// More than a page, and more than the log keeps.
async fn many_unread(harness: &dyn RoomLogHarness, log: &Log, carol: &UserId) {
    let kept = usize::try_from(harness.log_max()).unwrap();
    let said = fill(log, &user("bob"), kept + 20).await;
    let last = said.last().copied();
    let most = u32::try_from(kept).unwrap().min(UNREAD_MAX);
    // What was said before, if it is still there: three messages, of which one mentions her.
    let counts = if harness.keeps_messages() {
        (most + 20 + 3, 1)
    } else {
        (most, 0)
    };
    log.unread(carol, 0, counts, last).await;
    let read = said[said.len() - 90].seq;
    log.unread(carol, read, (89, 0), last).await;
}

async fn many_rooms(log: &Log, carol: &UserId) {
    let rooms = ["none", "general", "side", "general"].map(room);
    let side = Log {
        room: rooms[2].clone(),
        log: std::sync::Arc::clone(&log.log),
        patience: log.patience,
    };
    let aside = side.accept(say(&side.room, &user("bob"), "aside")).await;
    let asked: Vec<_> = rooms.into_iter().zip([0, u64::MAX, 0, 0]).collect();
    let found = log.log.unread(carol, &asked).await.unwrap();
    let counts: Vec<_> = found.iter().map(|it| it.unread).collect();
    let most = found[3].unread;
    assert!(most > 1);
    assert_eq!(counts, [0, 0, 1, most], "in the order asked");
    let last: Vec<_> = found.iter().map(last_id).collect();
    assert_eq!((last[0], last[1], last[2]), (None, last[3], Some(aside)));
    assert_eq!(log.log.unread(carol, &[]).await, Ok(Vec::new()));
}

impl Log {
    async fn digests(&self, max: usize) -> Vec<Digest> {
        let found = self.log.digests(&self.room, max).await;
        found.expect("the log is readable")
    }

    /// What a user has not read must be so many, with so many mentions, the last one this.
    async fn unread(&self, user: &UserId, read: u64, counts: (u32, u32), last: Option<MessageId>) {
        let asked = [(self.room.clone(), read)];
        let found = self.log.unread(user, &asked).await.unwrap();
        assert_eq!(found.len(), 1);
        let found = &found[0];
        assert_eq!((found.unread, found.mentions), counts, "{user} from {read}");
        assert_eq!(last_id(found), last);
        let newest = self.messages().await.pop();
        assert_eq!(found.last, newest, "as it stands");
    }
}

fn last_id(found: &Unread) -> Option<MessageId> {
    found.last.as_ref().map(|message| message.id)
}

fn digest(id: MessageId, from: &UserId, mentions: &[&UserId], deleted: bool) -> Digest {
    Digest {
        id,
        from: from.clone(),
        mentions: mentions.iter().map(|&user| user.clone()).collect(),
        deleted,
    }
}

/// A user changes what he said, and with it who is mentioned.
fn mentioning(room: &RoomId, actor: &UserId, message: MessageId, mentions: &[&UserId]) -> NewEntry {
    let body = EntryBody::MessageUpdated {
        message,
        text: Some(Text::new("changed").unwrap()),
        mentions: mentions.iter().map(|&user| user.clone()).collect(),
    };
    NewEntry {
        precondition: Some(Precondition {
            message,
            author_only: true,
        }),
        ..entry(room, actor, body)
    }
}

async fn fill(log: &Log, actor: &UserId, count: usize) -> Vec<MessageId> {
    let mut said = Vec::new();
    while said.len() < count {
        let wanted = (count - said.len()).min(APPEND_ENTRIES_MAX);
        let entries = (0..wanted).map(|_| say(&log.room, actor, "filling"));
        for outcome in log.append(entries.collect()).await {
            said.push(message_id(&outcome.expect("accepted")));
        }
    }
    said
}
