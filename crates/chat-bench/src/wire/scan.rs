//! Finds the few fields that count in the bytes of a server's frame, without reading the frame.
//!
//! Believes that the server writes `event` or `id` first and an entry's fields in the order of
//! `docs/protocol.md`, as it does; what looks otherwise is `Unreadable`, and the run fails. Texts
//! cannot deceive it: JSON escapes their quotes, and in rooms of a run nobody else writes.

mod value;

use chat_proto::Codec;
use memchr::memmem::Finder;

use crate::marker::{Marker, PREFIX};
use value::Values;

/// What a frame is.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Scanned<'a> {
    /// A step of a room's log.
    Entry(Entry<'a>),
    /// An answer to a command with an id.
    Answer(Answer<'a>),
    /// An event that is no entry.
    Event(&'a str),
    /// None of these: the server is not what this tool is made for.
    Unreadable,
}

/// A step of a room's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Its number.
    pub(crate) seq: u64,
    /// What to resume from.
    pub(crate) position: &'a str,
    /// Which message it is, if it is one of this tool's.
    pub(crate) marker: Option<Marker>,
}

/// An answer to a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer<'a> {
    /// Which command; 0 if the server could not tell.
    pub(crate) id: u64,
    /// What it says; with an error, its code.
    pub(crate) outcome: Result<&'a [u8], &'a str>,
}

/// A join result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Joined<'a> {
    /// Where the connection stands now.
    pub(crate) position: &'a str,
    /// Whether what follows is exactly what was missed.
    pub(crate) recovered: bool,
    /// Whether there is more than fitted.
    pub(crate) more: bool,
}

/// Scans frames of one codec.
#[derive(Debug)]
pub(crate) struct Scanner {
    values: Values,
    event: Key,
    id: Key,
    ok: Key,
    code: Key,
    seq: Key,
    position: Key,
    recovered: Key,
    more: Key,
    marker: Finder<'static>,
}

/// A field's name as it stands in a frame.
#[derive(Debug)]
struct Key {
    finder: Finder<'static>,
    bytes: usize,
}

impl Key {
    fn new(values: Values, name: &str) -> Self {
        let needle = values.key(name);
        let bytes = needle.len();
        let finder = Finder::new(&needle).into_owned();
        Self { finder, bytes }
    }

    /// What follows the first one.
    fn after<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let at = self.finder.find(bytes)?;
        bytes.get(at + self.bytes..)
    }

    /// What follows, if the bytes begin with it.
    fn strip<'a>(&self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        bytes.strip_prefix(self.finder.needle())
    }
}

impl Scanner {
    /// One for a codec.
    pub(crate) fn new(codec: Codec) -> Self {
        let values = Values::of(codec);
        let key = |name| Key::new(values, name);
        Self {
            values,
            event: key("event"),
            id: key("id"),
            ok: key("ok"),
            code: key("code"),
            seq: key("seq"),
            position: key("position"),
            recovered: key("recovered"),
            more: key("more"),
            marker: Finder::new(PREFIX).into_owned(),
        }
    }

    /// Tells what a frame is.
    pub(crate) fn scan<'a>(&self, frame: &'a [u8]) -> Scanned<'a> {
        let fields = self.values.open(frame);
        let scanned = fields.and_then(|fields| match self.event.strip(fields) {
            Some(named) => self.event(named),
            None => self.answer(self.id.strip(fields)?),
        });
        scanned.unwrap_or(Scanned::Unreadable)
    }

    fn event<'a>(&self, named: &'a [u8]) -> Option<Scanned<'a>> {
        let (name, fields) = self.values.text(named)?;
        if !matches!(name, "room_updated" | "unknown") && !name.starts_with("message_")
            || name == "message_read"
        {
            return Some(Scanned::Event(name));
        }
        // `room_updated` exists with and without a place in the log.
        Some(match self.entry(fields) {
            Some(entry) => Scanned::Entry(entry),
            None if name == "room_updated" => Scanned::Event(name),
            None => Scanned::Unreadable,
        })
    }

    fn entry<'a>(&self, fields: &'a [u8]) -> Option<Entry<'a>> {
        let (seq, fields) = self.values.uint(self.seq.after(fields)?)?;
        let (position, fields) = self.values.text(self.position.after(fields)?)?;
        let marker = self.marker.find(fields);
        let marker = marker.and_then(|at| Marker::read(&fields[at..]));
        Some(Entry {
            seq,
            position,
            marker,
        })
    }

    fn answer<'a>(&self, id: &'a [u8]) -> Option<Scanned<'a>> {
        let (id, fields) = self.values.uint_or_null(id)?;
        let fields = self.values.next(fields);
        let outcome = match self.ok.strip(fields) {
            Some(ok) => Ok(ok),
            None => Err(self.values.text(self.code.after(fields)?)?.0),
        };
        Some(Scanned::Answer(Answer { id, outcome }))
    }

    /// The seq of an answer to a send.
    pub(crate) fn sent(&self, ok: &[u8]) -> Option<u64> {
        Some(self.values.uint(self.seq.after(ok)?)?.0)
    }

    /// The first position in a frame.
    pub(crate) fn position<'a>(&self, frame: &'a [u8]) -> Option<&'a str> {
        Some(self.values.text(self.position.after(frame)?)?.0)
    }

    /// An answer to a join.
    pub(crate) fn joined<'a>(&self, ok: &'a [u8]) -> Option<Joined<'a>> {
        let (position, fields) = self.values.text(self.position.after(ok)?)?;
        let fields = self.recovered.after(fields)?;
        let recovered = self.values.is_true(fields);
        // `more` stands next to `recovered`, if at all.
        let more = self
            .values
            .next(fields.get(self.values.bool_bytes(recovered)..)?);
        let more = self.more.strip(more);
        Some(Joined {
            position,
            recovered,
            more: more.is_some_and(|more| self.values.is_true(more)),
        })
    }

    /// The entries of an answer to a join.
    pub(crate) fn entries<'a>(&self, ok: &'a [u8]) -> impl Iterator<Item = Entry<'a>> {
        let mut rest = self.event.after(ok);
        std::iter::from_fn(move || {
            let entry = rest?;
            let end = self.event.finder.find(entry);
            rest = end.map(|end| &entry[end + self.event.bytes..]);
            self.entry(&entry[..end.unwrap_or(entry.len())])
        })
    }
}

#[cfg(test)]
mod tests;
