//! What the server says: answers, errors and events, from chat-core's types to bytes.
//!
//! Entries are encoded once per codec, in their [`Delivery`]; answers copy those bytes.

mod answer;
mod entry;
mod event;
mod objects;

use bytes::Bytes;
use chat_core::{Answer, Delivery, Event, ServiceError};

use crate::codec::Codec;
use crate::error::ErrorObject;
use crate::out::Out;

pub(crate) fn encode_delivery(codec: Codec, delivery: &Delivery) -> Bytes {
    delivery.encoded(codec.slot(), |event| encode_event(codec, event))
}

pub(crate) fn encode_event(codec: Codec, event: &Event) -> Bytes {
    let mut out = Out::with_capacity(codec, event_capacity(event));
    event::write(&mut out, event);
    out.into_bytes()
}

pub(crate) fn encode_answer(
    codec: Codec,
    id: Option<u64>,
    result: &Result<Answer, ServiceError>,
) -> Bytes {
    match result {
        Ok(answer) => answer::encode(codec, id, answer),
        Err(error) => encode_error(codec, id, &error.into()),
    }
}

pub(crate) fn encode_error(codec: Codec, id: Option<u64>, error: &ErrorObject) -> Bytes {
    let mut out = Out::with_capacity(codec, 160 + error.message.len());
    out.object(|to| {
        to.scalar("id", &id);
        to.object("error", |to| objects::write_error(to, error));
    });
    out.into_bytes()
}

/// Enough for most events, so that the bytes do not move while they are written.
fn event_capacity(event: &Event) -> usize {
    match event {
        Event::Entry(entry) => entry::capacity(entry),
        Event::Joined(result) => result.size_hint(),
        _ => 256,
    }
}
