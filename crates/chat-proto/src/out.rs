//! Writes one object in either codec, straight into the bytes that are sent.
//!
//! By hand and not by serde's derive, for three reasons: bytes that are encoded already (the
//! entries of a join result, `meta`) are copied instead of being read again; an object need not
//! know its number of fields beforehand; and both codecs come from one description.
//!
//! Writing to memory cannot fail; what can is asserted here and nowhere else.

use std::fmt::{Display, Write as _};

use bytes::Bytes;
use compact_str::CompactString;
use serde::Serialize;

use crate::codec::Codec;
use crate::meta::write_meta;

/// An object or list that is being written.
#[must_use]
pub(crate) struct Open {
    start: usize,
    count: usize,
}

pub(crate) struct Out {
    codec: Codec,
    bytes: Vec<u8>,
}

impl Out {
    pub(crate) fn with_capacity(codec: Codec, bytes: usize) -> Self {
        Self {
            codec,
            bytes: Vec::with_capacity(bytes),
        }
    }

    pub(crate) fn codec(&self) -> Codec {
        self.codec
    }

    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes back what was written after `len`.
    pub(crate) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(len);
    }

    pub(crate) fn into_vec(self) -> Vec<u8> {
        self.bytes
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.bytes.into()
    }

    /// A string, number, boolean or null.
    pub(crate) fn scalar<T: Serialize + ?Sized>(&mut self, value: &T) {
        let written = match self.codec {
            Codec::Json => serde_json::to_writer(&mut self.bytes, value).is_ok(),
            Codec::MsgPack => rmp_serde::encode::write(&mut self.bytes, value).is_ok(),
        };
        debug_assert!(written, "writing a scalar to memory does not fail");
    }

    /// What prints as a short text.
    pub(crate) fn shown(&mut self, value: impl Display) {
        let mut text = CompactString::default();
        let written = write!(text, "{value}").is_ok();
        debug_assert!(written, "writing to a string does not fail");
        self.scalar(text.as_str());
    }

    /// One value that is encoded in this codec already.
    pub(crate) fn raw(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
    }

    pub(crate) fn open_object(&mut self) -> Open {
        self.open(b'{')
    }

    pub(crate) fn open_list(&mut self) -> Open {
        self.open(b'[')
    }

    /// The name of the next field; its value must follow.
    pub(crate) fn key(&mut self, object: &mut Open, name: &str) {
        self.item(object);
        self.scalar(name);
        if self.codec == Codec::Json {
            self.bytes.push(b':');
        }
    }

    /// The next item of a list; its value must follow.
    pub(crate) fn item(&mut self, open: &mut Open) {
        if self.codec == Codec::Json && open.count > 0 {
            self.bytes.push(b',');
        }
        open.count += 1;
    }

    pub(crate) fn close_object(&mut self, object: Open) {
        self.close(object, b'}', [0x80, 0xde, 0xdf]);
    }

    pub(crate) fn close_list(&mut self, list: Open) {
        self.close(list, b']', [0x90, 0xdc, 0xdd]);
    }

    pub(crate) fn object(&mut self, fill: impl FnOnce(&mut Object<'_>)) {
        let open = self.open_object();
        let mut object = Object { out: self, open };
        fill(&mut object);
        let open = object.open;
        self.close_object(open);
    }

    pub(crate) fn list<T>(
        &mut self,
        items: impl IntoIterator<Item = T>,
        mut each: impl FnMut(&mut Self, T),
    ) {
        let mut open = self.open_list();
        for item in items {
            self.item(&mut open);
            each(self, item);
        }
        self.close_list(open);
    }

    fn open(&mut self, bracket: u8) -> Open {
        let start = self.bytes.len();
        // In MessagePack this byte is the header's place until the number of fields is known.
        self.bytes.push(bracket);
        Open { start, count: 0 }
    }

    fn close(&mut self, open: Open, bracket: u8, [short, medium, long]: [u8; 3]) {
        let Open { start, count } = open;
        if self.codec == Codec::Json {
            self.bytes.push(bracket);
        } else if let Some(count) = u8::try_from(count).ok().filter(|count| *count < 16) {
            self.bytes[start] = short | count;
        } else if let Ok(count) = u16::try_from(count) {
            let [high, low] = count.to_be_bytes();
            // Rare: a byte becomes three, and what follows moves.
            self.bytes.splice(start..=start, [medium, high, low]);
        } else {
            let count = u32::try_from(count).unwrap_or(u32::MAX).to_be_bytes();
            let header = [long, count[0], count[1], count[2], count[3]];
            self.bytes.splice(start..=start, header);
        }
    }
}

/// An object whose fields are written one after another. What is absent is left out.
pub(crate) struct Object<'o> {
    out: &'o mut Out,
    open: Open,
}

impl Object<'_> {
    /// Writes the name and answers where the value goes.
    pub(crate) fn value(&mut self, name: &str) -> &mut Out {
        self.out.key(&mut self.open, name);
        self.out
    }

    pub(crate) fn scalar<T: Serialize + ?Sized>(&mut self, name: &str, value: &T) {
        self.value(name).scalar(value);
    }

    pub(crate) fn optional<T: Serialize>(&mut self, name: &str, value: Option<T>) {
        if let Some(value) = value {
            self.scalar(name, &value);
        }
    }

    pub(crate) fn shown(&mut self, name: &str, value: impl Display) {
        self.value(name).shown(value);
    }

    pub(crate) fn optional_shown(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.shown(name, value);
        }
    }

    /// Left out unless it is true.
    pub(crate) fn if_true(&mut self, name: &str, value: bool) {
        if value {
            self.scalar(name, &true);
        }
    }

    /// Left out if it is not what its type promises: better no `meta` than a broken frame.
    pub(crate) fn meta(&mut self, name: &str, meta: Option<&str>) {
        let Some(meta) = meta else { return };
        let (before, count) = (self.out.len(), self.open.count);
        if !write_meta(meta, self.value(name)) {
            self.out.truncate(before);
            self.open.count = count;
        }
    }

    pub(crate) fn object(&mut self, name: &str, fill: impl FnOnce(&mut Object<'_>)) {
        self.value(name).object(fill);
    }

    pub(crate) fn texts<T: AsRef<str>>(&mut self, name: &str, texts: &[T]) {
        self.value(name)
            .list(texts, |out, text| out.scalar(text.as_ref()));
    }

    /// Left out if there is none.
    pub(crate) fn some_texts<T: AsRef<str>>(&mut self, name: &str, texts: &[T]) {
        if !texts.is_empty() {
            self.texts(name, texts);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(codec: Codec, count: usize) -> Vec<u8> {
        let mut out = Out::with_capacity(codec, 0);
        out.object(|object| {
            for number in 0..count {
                object.scalar(&number.to_string(), &number);
            }
            object
                .value("list")
                .list(0..count, |out, number| out.scalar(&number));
        });
        out.into_vec()
    }

    #[test]
    fn objects_and_lists_of_every_size_are_read_back() {
        for count in [0, 1, 14, 15, 16, 255, 256, 65_535, 65_536] {
            let json: serde_json::Value =
                serde_json::from_slice(&numbers(Codec::Json, count)).unwrap();
            let packed: serde_json::Value =
                rmp_serde::from_slice(&numbers(Codec::MsgPack, count)).unwrap();
            assert_eq!(json, packed);
            assert_eq!(json["list"].as_array().map(Vec::len), Some(count));
            assert_eq!(json.as_object().map(serde_json::Map::len), Some(count + 1));
        }
    }
}
