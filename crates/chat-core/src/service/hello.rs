//! The first command: greets, and joins the rooms that the client comes back to.

use std::sync::Arc;

use crate::answer::{Answer, HelloAnswer, JoinResult};
use crate::command::Hello;
use crate::error::ServiceError;
use crate::event::{Delivery, Event};
use crate::ids::RoomId;
use crate::outbox::Outgoing;
use crate::service::connection::Connection;
use crate::service::join::Wish;
use crate::service::{Inner, millis};

/// Rooms joined by one hello at once is a chain of joins; its answer is sent before it is larger
/// than this, and what comes later follows as events.
const HELLO_BYTES_MAX: usize = 256 * 1024;

/// The answer to hello, until it is sent.
struct Greeting<'a> {
    connection: &'a Connection,
    id: Option<u64>,
    answer: Option<HelloAnswer>,
    /// What the rooms in it take.
    bytes: usize,
}

impl Inner {
    pub(super) async fn hello(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<u64>,
        hello: Hello,
    ) {
        self.come_online(connection, hello.device);
        // Events of rooms that are joined already wait behind the answer.
        connection.outbox.cork();
        let identity = connection.identity();
        let answer = HelloAnswer {
            user: connection.user.clone(),
            name: identity.name.clone(),
            expires_at_ms: identity.expires_at_ms,
            connection: connection.id,
            instance: self.instance,
            heartbeat_ms: millis(self.limits.heartbeat),
            limits: self.client_limits(),
            rooms: Vec::new(),
        };
        let mut greeting = Greeting {
            connection,
            id,
            answer: Some(answer),
            bytes: 0,
        };
        let notify = hello.notify;
        let (count, limit) = (hello.rooms.len(), self.limits.rooms_per_connection);
        if count > limit {
            self.metrics.limit("rooms_per_connection");
        }
        for (index, (room, position)) in hello.rooms.into_iter().enumerate() {
            if connection.outbox.is_half_full() {
                greeting.send();
            }
            connection.outbox.has_room().await;
            if connection.outbox.closed().is_some() {
                // Nobody is there any more: the rest need not be subscribed.
                return;
            }
            // Nobody is asked about rooms that cannot all be joined: one hello is one command, and
            // would ask for thousands that do not exist.
            if index >= limit {
                let error = ServiceError::TooLarge {
                    field: "rooms",
                    size: count,
                    limit,
                };
                greeting.failed(room, error);
                continue;
            }
            let wish = Wish {
                room: room.clone(),
                position,
                history: None,
            };
            let mut tell = |result| greeting.joined(result);
            if let Err(error) = self.join(connection, wish, &mut tell).await {
                greeting.failed(room, error);
            }
        }
        greeting.send();
        if notify {
            // Behind the joins: a room that is joined need not be watched first.
            self.listen(connection);
        }
    }
}

impl Greeting<'_> {
    fn joined(&mut self, result: JoinResult) {
        self.make_room(result.size_hint());
        match &mut self.answer {
            Some(answer) => answer.rooms.push((result.room.id.clone(), Ok(result))),
            None => self.push(Event::Joined(Box::new(result))),
        }
    }

    fn failed(&mut self, room: RoomId, error: ServiceError) {
        self.make_room(HelloAnswer::ERROR_BYTES);
        match &mut self.answer {
            Some(answer) => answer.rooms.push((room, Err(error))),
            None => self.push(Event::JoinFailed { room, error }),
        }
    }

    /// Sends the answer if it would become too large.
    fn make_room(&mut self, bytes: usize) {
        if self.bytes > 0 && self.bytes + bytes > HELLO_BYTES_MAX {
            self.send();
        }
        self.bytes += bytes;
    }

    fn send(&mut self) {
        if let Some(answer) = self.answer.take() {
            let (id, result) = (self.id, Box::new(Ok(Answer::Hello(Box::new(answer)))));
            self.connection
                .outbox
                .uncork(Outgoing::Answer { id, result });
        }
    }

    fn push(&self, event: Event) {
        let event = Outgoing::Event(Delivery::new(event));
        self.connection.outbox.push(event);
    }
}
