//! Somebody whom a scenario lets say one thing at a time.

use chat_core::{Answer, Command, MessageKey, Outgoing, SendMessage, ServiceError, Session, Text};
use chat_testkit::{make, within};

use crate::cluster::{Node, connect};
use crate::notes::{CLIENTS, ROOMS};
use crate::run::PATIENCE;

pub(crate) struct Person {
    session: Session,
    commands: u64,
}

impl Person {
    /// Somebody who has joined a room.
    pub(crate) async fn join(node: &Node, room: usize) -> Self {
        let mut person = Self {
            session: connect(&node.service, "person").await,
            commands: 0,
        };
        let join = Command::Join {
            room: make::room(ROOMS[room]),
            position: None,
            history: Some(0),
        };
        person.ask(join).await.unwrap();
        person
    }

    /// Says something and waits for the answer. What else he hears meanwhile he forgets.
    pub(crate) async fn ask(&mut self, command: Command) -> Result<Answer, ServiceError> {
        self.commands += 1;
        let asked = Some(self.commands);
        self.session.command(asked, command).await;
        let answer = async {
            let mut frames = Vec::new();
            loop {
                self.session.next_batch(&mut frames, 64).await.unwrap();
                for frame in frames.drain(..) {
                    match frame {
                        Outgoing::Answer { id, result } if id == asked => return *result,
                        _ => {}
                    }
                }
            }
        };
        within(PATIENCE, "an answer", answer).await
    }

    pub(crate) async fn send(&mut self, room: usize, message: u64) -> Result<Answer, ServiceError> {
        self.ask(Command::Send(SendMessage {
            room: make::room(ROOMS[room]),
            key: MessageKey::new(message.to_string()).unwrap(),
            text: Text::new(message.to_string()).unwrap(),
            reply_to: None,
            meta: None,
        }))
        .await
    }
}

/// A message that no client makes.
pub(crate) fn message(number: u64) -> u64 {
    ((CLIENTS as u64 + 1) << 32) + number
}
