//! What a message of this tool carries in its text: who said it, which number it has, and when it
//! was to be said.
//!
//! Fixed width and plain ASCII, so that it is found and read in the bytes of a frame, whatever the
//! codec, without reading the frame.

use std::fmt::Write as _;

/// Bytes that a marker takes: the shortest text.
pub(crate) const MARKER_BYTES: usize = PREFIX.len() + 16 + 8 + 8 + 16 + 1;

/// Begins every marker. Nothing else in a frame looks like it.
pub(crate) const PREFIX: &str = "~bench:";

/// Which message, and when it was planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Marker {
    /// The run: messages of another one are somebody else's.
    pub(crate) run: u64,
    /// Who says it.
    pub(crate) publisher: u32,
    /// From 1, without holes, per publisher.
    pub(crate) number: u32,
    /// When it was to be sent, which is not always when it was sent.
    pub(crate) planned_ns: u64,
}

impl Marker {
    /// The message's id in this run.
    pub(crate) fn id(&self) -> u64 {
        message_id(self.publisher, self.number)
    }

    /// A text of `bytes` bytes.
    pub(crate) fn text(&self, bytes: usize) -> String {
        let mut text = String::with_capacity(bytes);
        let Self {
            run,
            publisher,
            number,
            planned_ns,
        } = self;
        // Writing to a string does not fail.
        let _ = write!(
            text,
            "{PREFIX}{run:016x}{publisher:08x}{number:08x}{planned_ns:016x};"
        );
        text.extend(std::iter::repeat_n('x', bytes.saturating_sub(text.len())));
        text
    }

    /// Reads the marker that begins `bytes`.
    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let marker = bytes.get(..MARKER_BYTES)?.strip_prefix(PREFIX.as_bytes())?;
        Some(Self {
            run: hex(&marker[..16])?,
            publisher: u32::try_from(hex(&marker[16..24])?).ok()?,
            number: u32::try_from(hex(&marker[24..32])?).ok()?,
            planned_ns: hex(&marker[32..48])?,
        })
    }
}

/// The id of a publisher's message.
pub(crate) fn message_id(publisher: u32, number: u32) -> u64 {
    u64::from(publisher) << 32 | u64::from(number)
}

fn hex(digits: &[u8]) -> Option<u64> {
    digits.iter().try_fold(0_u64, |value, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some(value << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MARKER: Marker = Marker {
        run: 0xfedc_ba98_7654_3210,
        publisher: 7,
        number: u32::MAX,
        planned_ns: 123_456_789_012,
    };

    #[test]
    fn a_marker_is_read_as_it_was_written() {
        for bytes in [0, MARKER_BYTES, 128, 8_192] {
            let text = MARKER.text(bytes);
            assert_eq!(text.len(), bytes.max(MARKER_BYTES));
            assert_eq!(Marker::read(text.as_bytes()), Some(MARKER));
        }
    }

    #[test]
    fn what_is_no_marker_is_not_read() {
        let text = MARKER.text(0);
        assert_eq!(Marker::read(&text.as_bytes()[1..]), None);
        assert_eq!(Marker::read(&text.as_bytes()[..MARKER_BYTES - 1]), None);
        assert_eq!(Marker::read(text.replace('f', "g").as_bytes()), None);
        assert_eq!(Marker::read(b""), None);
    }
}
