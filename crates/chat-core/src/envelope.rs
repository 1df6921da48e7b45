//! The cluster wire: what nodes say to each other through the broker, and what logs store.
//!
//! Layout, version 1. All integers big-endian.
//!
//! | bytes | what |
//! |---|---|
//! | 1 | version: 1 |
//! | 1 | form: 0 signal, 1 log entry, 2 bare head |
//! | 40 | only in forms 1 and 2: epoch, seq, entry id, prev id, at (8 bytes each) |
//! | rest | only in forms 0 and 1: the *tail*, a MessagePack map with one-letter keys |
//!
//! The header is fixed binary so that a store's script fills it by joining bytes; the tail is made
//! once by the node that appends and never edited. Unknown tail fields are ignored and unknown
//! kinds pass as `Unknown`, so that nodes of version n and n + 1 run side by side. Compact arrays
//! were rejected: an old reader fails on one field more.

use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use crate::entry::{Entry, EntryBody, EntryHeader};
use crate::ids::{EntryId, Epoch, InstanceId, RoomId, UserId};
use crate::limits::{ENVELOPE_BYTES_MAX, ENVELOPE_DEPTH_MAX};
use crate::position::Position;
use crate::signal::Signal;
use crate::topic::Topic;

mod tail;

use tail::Tail;

/// The version that this node writes.
pub const ENVELOPE_VERSION: u8 = 1;
/// Length of the header of forms 1 and 2, version and form bytes included.
pub const HEADER_BYTES: usize = 42;

const FORM_SIGNAL: u8 = 0;
const FORM_ENTRY: u8 = 1;
const FORM_HEAD: u8 = 2;

/// One unit of the cluster wire.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Envelope {
    /// A step of a room's log.
    Entry(Entry),
    /// Only where a room's log stands: its entry was committed but could not be published.
    Head(EntryHeader),
    /// Something that no log keeps.
    Signal {
        /// The node that sent it.
        origin: InstanceId,
        /// What it says.
        signal: Signal,
    },
}

/// The bytes are no envelope that this node can read. They are counted and dropped; if they were
/// an entry, the feed sees the gap and reads the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnvelopeError {
    /// Written by a node that this one cannot run beside.
    #[error("envelope version {0} is not known")]
    Version(u8),
    /// Cut off, or not an envelope at all.
    #[error("envelope is malformed: {0}")]
    Malformed(&'static str),
    /// The tail does not decode.
    #[error("envelope tail does not decode: {0}")]
    Tail(String),
}

/// Encodes the tail of a log entry: all of it but what the log fills in.
#[must_use]
pub fn encode_entry_tail(
    origin: InstanceId,
    room: &RoomId,
    actor: &UserId,
    body: &EntryBody,
) -> Bytes {
    Tail::of_entry(origin, room, actor, body).encode()
}

/// Joins what the log says of an entry and its tail.
#[must_use]
pub fn encode_entry(header: &EntryHeader, tail: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES + tail.len());
    put_header(&mut out, FORM_ENTRY, header);
    out.put_slice(tail);
    out.freeze()
}

/// Encodes where a room's log stands, without its entry.
#[must_use]
pub fn encode_head(header: &EntryHeader) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES);
    put_header(&mut out, FORM_HEAD, header);
    out.freeze()
}

/// Encodes a signal.
#[must_use]
pub fn encode_signal(origin: InstanceId, topic: &Topic, signal: &Signal) -> Bytes {
    let tail = Tail::of_signal(origin, topic, signal).encode();
    let mut out = BytesMut::with_capacity(2 + tail.len());
    out.put_u8(ENVELOPE_VERSION);
    out.put_u8(FORM_SIGNAL);
    out.put_slice(&tail);
    out.freeze()
}

/// Decodes an envelope that arrived on `topic`.
///
/// # Errors
/// [`EnvelopeError`]: the bytes are none, or of a version that this node cannot read.
pub fn decode(topic: &Topic, bytes: &[u8]) -> Result<Envelope, EnvelopeError> {
    if bytes.len() > ENVELOPE_BYTES_MAX {
        return Err(EnvelopeError::Malformed("larger than an envelope may be"));
    }
    let [version, form, rest @ ..] = bytes else {
        return Err(EnvelopeError::Malformed("shorter than two bytes"));
    };
    if *version != ENVELOPE_VERSION {
        return Err(EnvelopeError::Version(*version));
    }
    match *form {
        FORM_SIGNAL => {
            let tail = Tail::decode(rest)?;
            Ok(Envelope::Signal {
                origin: tail.origin(),
                signal: tail.signal(),
            })
        }
        FORM_ENTRY => {
            let (header, tail) = take_header(rest)?;
            let Topic::Room(room) = topic else {
                return Err(EnvelopeError::Malformed(
                    "a log entry outside of a room's topic",
                ));
            };
            decode_entry(room, &header, tail).map(Envelope::Entry)
        }
        FORM_HEAD => take_header(rest).map(|(header, _)| Envelope::Head(header)),
        _ => Err(EnvelopeError::Malformed("unknown form")),
    }
}

/// Puts an entry together from what the log says of it and its stored tail.
///
/// # Errors
/// [`EnvelopeError::Tail`] if the tail does not decode.
pub fn decode_entry(
    room: &RoomId,
    header: &EntryHeader,
    tail: &[u8],
) -> Result<Entry, EnvelopeError> {
    let tail = Tail::decode(tail)?;
    let origin = tail.origin();
    let actor = tail.actor()?;
    Ok(Entry {
        room: room.clone(),
        position: header.position,
        prev: header.prev,
        at_ms: header.at_ms,
        origin,
        actor,
        body: tail.entry_body()?,
    })
}

fn put_header(out: &mut BytesMut, form: u8, header: &EntryHeader) {
    out.put_u8(ENVELOPE_VERSION);
    out.put_u8(form);
    out.put_u64(header.position.epoch.0);
    out.put_u64(header.position.seq);
    out.put_u64(header.position.id.0);
    out.put_u64(header.prev.0);
    out.put_u64(header.at_ms);
}

fn take_header(bytes: &[u8]) -> Result<(EntryHeader, &[u8]), EnvelopeError> {
    let Some((fixed, tail)) = bytes.split_at_checked(HEADER_BYTES - 2) else {
        return Err(EnvelopeError::Malformed("shorter than its header"));
    };
    let mut words = fixed.chunks_exact(8).map(|chunk| {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        u64::from_be_bytes(word)
    });
    let mut next = || words.next().unwrap_or_default();
    let epoch = Epoch(next());
    let seq = next();
    let id = EntryId(next());
    let prev = EntryId(next());
    let position = Position { epoch, seq, id };
    Ok((
        EntryHeader {
            position,
            prev,
            at_ms: next(),
        },
        tail,
    ))
}

/// Serialises with MessagePack maps; what we encode always can be.
fn to_map(value: &impl Serialize) -> Vec<u8> {
    rmp_serde::to_vec_named(value).expect("our own types serialise to memory")
}

fn from_map<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, EnvelopeError> {
    let mut decoder = rmp_serde::Deserializer::from_read_ref(bytes);
    decoder.set_max_depth(ENVELOPE_DEPTH_MAX);
    T::deserialize(&mut decoder).map_err(|error| EnvelopeError::Tail(error.to_string()))
}

#[cfg(test)]
mod tests;
