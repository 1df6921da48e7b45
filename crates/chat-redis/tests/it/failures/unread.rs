//! What is unread, behind more of other things than one call looks at, and without a head.

use chat_core::{NewEntry, RoomLog};
use chat_testkit::make::{mention, react, room, say, user};

use super::room_log::{TIMEOUT, append, id, log, one};
use crate::support::Server;

#[tokio::test]
async fn the_newest_message_is_found_behind_more_changes_than_one_call_looks_at() {
    let server = Server::start().await;
    let log = log(&server.url());
    let (r, alice, bob) = (room("r"), user("alice"), user("bob"));
    let said = one(&log, &r, say(&r, &bob, "far away")).await.unwrap();
    for _ in 0..20 {
        let reactions = (0..60).map(|n| react(&r, &bob, id(&said), "+", n % 2 == 1));
        for outcome in append(&log, &r, reactions.collect(), TIMEOUT).await {
            outcome.unwrap();
        }
    }
    // Unread, read, and read with all that came of it.
    for (read, unread) in [(0, 1), (1, 0), (2_000, 0)] {
        let found = log.unread(&alice, &[(r.clone(), read)]).await.unwrap();
        let newest = found[0].last.as_ref().map(|message| message.id.seq);
        assert_eq!((found[0].unread, newest), (unread, Some(1)));
    }
}

#[tokio::test]
async fn what_is_unread_is_counted_behind_many_changes_and_without_a_head() {
    let server = Server::start().await;
    let log = log(&server.url());
    let (r, alice, bob) = (room("r"), user("alice"), user("bob"));
    let said = mention(&r, &bob, "@alice", std::slice::from_ref(&alice));
    let first = one(&log, &r, said).await.unwrap();
    // More than one call looks at.
    for _ in 0..20 {
        let reactions = (0..63).map(|n| react(&r, &bob, id(&first), "+", n % 2 == 1));
        let mut entries: Vec<NewEntry> = reactions.collect();
        entries.push(say(&r, &bob, "alice is named, and not mentioned"));
        for outcome in append(&log, &r, entries, TIMEOUT).await {
            outcome.unwrap();
        }
    }
    let asked = [(r.clone(), 0), (room("none"), 0), (r, first.position.seq)];
    for _ in 0..2 {
        let found = log.unread(&alice, &asked).await.unwrap();
        let counts: Vec<_> = found.iter().map(|it| (it.unread, it.mentions)).collect();
        assert_eq!(counts, [(21, 1), (0, 0), (20, 0)]);
        let newest = found[0].last.as_ref().map(|message| message.id.seq);
        assert_eq!(newest, Some(1 + 20 * 64));
        server.run(&["DEL", "chat:{r}:head"]);
    }
}
