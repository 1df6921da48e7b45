//! What once went wrong, or was found to be able to.

use super::*;
use crate::entry::EntryBody;
use crate::limits::PAGE_BYTES_MAX;
use crate::message::Message;
use crate::room_log::PageFrom;

/// A message whose text JSON writes six times as large as it is.
fn control_characters(seq: u64) -> Message {
    let text = Some(Text::new("\u{1}".repeat(8_192)).unwrap());
    let entry = Entry {
        room: room(),
        position: Position {
            epoch: EPOCH,
            seq,
            id: EntryId(seq),
        },
        prev: EntryId(seq - 1),
        at_ms: seq,
        origin: InstanceId::random(),
        actor: user("alice"),
        body: EntryBody::MessageAdded {
            text,
            reply_to: None,
            mentions: Vec::new(),
            meta: None,
        },
    };
    Message::added_by(&entry).unwrap()
}

fn page_of(count: u64) -> Page {
    Page {
        messages: (1..=count).map(control_characters).collect(),
        more: false,
    }
}

fn told(messages: &[Message]) -> Vec<u64> {
    messages.iter().map(|message| message.id.seq).collect()
}

async fn history(client: &mut Client, from: Option<PageFrom>) -> Page {
    client
        .command(Command::History {
            room: room(),
            from,
            limit: None,
        })
        .await;
    let Outgoing::Answer { result, .. } = client.next().await else {
        panic!("not an answer")
    };
    assert!(result.as_ref().as_ref().unwrap().size_hint() < PAGE_BYTES_MAX + 1_024);
    let Ok(Answer::History(page)) = *result else {
        panic!("not a page")
    };
    page
}

#[tokio::test(start_paused = true)]
async fn history_is_cut_where_its_frame_would_be_too_large_for_a_client() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    log.lock().page = page_of(30);
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;

    let newest = history(&mut alice, None).await;
    assert!(newest.more);
    assert_eq!(told(&newest.messages), vec![26, 27, 28, 29, 30]);
    let oldest = history(&mut alice, Some(PageFrom::After(0))).await;
    assert!(oldest.more);
    assert_eq!(told(&oldest.messages), vec![1, 2, 3, 4, 5]);

    log.lock().page = page_of(3);
    let all = history(&mut alice, None).await;
    assert!(!all.more);
    assert_eq!(told(&all.messages), vec![1, 2, 3]);
}

#[tokio::test(start_paused = true)]
async fn a_fresh_page_drops_its_oldest_messages_where_its_frame_would_be_too_large() {
    let (wire, log, counts) = (Wire::default(), Log::default(), Counts::default());
    let node = Node::of(&wire, &log, &counts);
    let mut alice = node.connect("alice").await;
    alice.send("hello", "k1").await;
    settle().await;
    log.lock().page = page_of(30);
    let result = alice.join(None).await;
    assert_eq!(told(&result.messages), vec![26, 27, 28, 29, 30]);
    assert!(result.size_hint() < PAGE_BYTES_MAX + 4_096);
}
