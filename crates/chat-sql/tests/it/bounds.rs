//! What one answer carries is bounded, whatever is stored.

use chat_core::{PageFrom, RoomLog};
use chat_testkit::make::{room, say, user};

use crate::support::{Database, one};

async fn reactions_are_a_part_of_a_page(database: Database) {
    let log = database.open().await.room_log();
    let r = room("r");
    for text in ["first", "second", "third"] {
        one(&log, &r, say(&r, &user("alice"), text)).await.unwrap();
    }
    // More than the bytes of a page, on each.
    let reactions =
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 8000)
         INSERT INTO reactions (room, seq, emoji, user_id, since)
         SELECT m.room, m.seq, 'e' || (i % 32), 'user-' || i, i FROM n CROSS JOIN messages m";
    database.run(reactions).await;
    for (from, seqs) in [
        (PageFrom::After(0), [Some(1), Some(2), Some(3)]),
        (PageFrom::Before(4), [Some(3), Some(2), Some(1)]),
    ] {
        let mut from = from;
        for (n, seq) in seqs.into_iter().enumerate() {
            let page = log.page(&r, from, 10).await.unwrap();
            let found: Vec<_> = page.messages.iter().map(|it| Some(it.id.seq)).collect();
            assert_eq!((found, page.more), (vec![seq], n < 2));
            match &mut from {
                PageFrom::After(at) | PageFrom::Before(at) => *at = page.messages[0].id.seq,
            }
        }
    }
}

#[test]
fn a_page_of_a_file_counts_reactions() {
    chat_testkit::run(reactions_are_a_part_of_a_page(Database::sqlite()));
}

#[test]
fn a_page_of_a_server_counts_reactions() {
    chat_testkit::run(async {
        reactions_are_a_part_of_a_page(Database::postgres().await).await;
    });
}
