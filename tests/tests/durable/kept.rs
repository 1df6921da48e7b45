//! What a store has kept, asked of a server that people have not talked to yet.

use chat_client::{Client, Options};
use chat_core::{PageFrom, UserId};
use chat_proto::received::Message;
use chat_tests::ServerProcess;

use crate::crowd::{Crowd, message_of, name};
use crate::person::{room, soon};

/// Everybody falls silent. Then everybody has seen every acked message once, in one order, and the
/// store shows each exactly once too, in the order in which its author said it.
pub(crate) async fn finish(crowd: Crowd, node: &ServerProcess) {
    let people = crowd.people.clone();
    crowd.finish().await;
    let messages = all_messages(node).await;
    let seqs: Vec<u64> = messages.iter().map(|message| message.seq).collect();
    let gapless: Vec<u64> = (1..=seqs.len() as u64).collect();
    assert_eq!(seqs, gapless, "seqs without a gap");
    for (number, seen) in people.iter().enumerate() {
        let said = |message: &&Message| message.from == name(number);
        let kept: Vec<_> = messages.iter().filter(said).map(text_of).collect();
        let acked = seen.borrow().acked;
        let wanted: Vec<_> = (0..acked)
            .map(|message| message_of(number, message).to_string())
            .collect();
        assert_eq!(kept, wanted, "what person {number} said");
    }
}

/// All messages of the room, from its first page on.
pub(crate) async fn all_messages(node: &ServerProcess) -> Vec<Message> {
    let options = Options::with_user(UserId::new("reader").unwrap());
    let connected = soon("hello", Client::connect(&node.ws_url(), options)).await;
    let (client, _events) = connected.unwrap();
    let room = room();
    client.join(&room, None).await.unwrap();
    let mut messages: Vec<Message> = Vec::new();
    loop {
        let read = messages.last().map_or(0, |message| message.seq);
        let page = client.history(&room, Some(PageFrom::After(read)), Some(200));
        let page = soon("a page", page).await.unwrap();
        messages.extend(page.messages);
        if !page.more {
            return messages;
        }
    }
}

pub(crate) fn text_of(message: &Message) -> String {
    message.text.clone().unwrap_or_default()
}
