//! Properties of the whole engine: positions of any age and kind, and keys of several connections.

use std::time::Duration;

use chat_core::{
    Answer, Command, JoinResult, MessageKey, Outgoing, Position, SendMessage, Session, Text,
};
use chat_testkit::make;
use proptest::prelude::ProptestConfig;

use crate::cluster::ROOM;

mod histories;
mod keys;
mod resume;

/// A case takes a while: few in CI, unless somebody asks for more.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    let cases = match std::env::var_os("PROPTEST_CASES") {
        Some(_) => default.cases,
        None => 64,
    };
    ProptestConfig { cases, ..default }
}

fn message(key: u64, text: u64) -> SendMessage {
    SendMessage {
        room: make::room(ROOM),
        key: MessageKey::new(format!("key{key}")).unwrap(),
        text: Text::new(format!("text{text}")).unwrap(),
        reply_to: None,
        meta: None,
    }
}

async fn frames(session: &Session) -> Vec<Outgoing> {
    let mut frames = Vec::new();
    let soon = Duration::from_millis(10);
    // Until nothing more comes.
    while let Ok(taken) = tokio::time::timeout(soon, session.next_batch(&mut frames, 64)).await {
        taken.unwrap();
    }
    frames
}

async fn join(session: &Session, position: Option<Position>) -> JoinResult {
    let join = Command::Join {
        room: make::room(ROOM),
        position,
        history: Some(5),
    };
    session.command(Some(1), join).await;
    let joined = frames(session)
        .await
        .into_iter()
        .find_map(|frame| match frame {
            Outgoing::Answer { result, .. } => match *result {
                Ok(Answer::Joined(result)) => Some(*result),
                Ok(Answer::Hello(_)) => None,
                other => panic!("{other:?}"),
            },
            _ => None,
        });
    joined.unwrap()
}
