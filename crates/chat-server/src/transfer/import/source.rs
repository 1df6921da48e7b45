//! The lines of a file, with their numbers, and what is said of those that are wrong.

use std::io::{BufRead, Read as _};

use super::super::TransferError;
use super::super::lines::Line;
use super::Result;

/// Longest line. A message with as many reactions as there may be, by users with long names, takes
/// half of that.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Where lines come from.
pub(super) struct Source<R> {
    from: R,
    /// The number of the one that was read last, from 1 on.
    line: u64,
    /// How many bytes were read.
    pub(super) bytes: u64,
}

impl<R: BufRead> Source<R> {
    pub(super) fn new(from: R) -> Self {
        Self {
            from,
            line: 0,
            bytes: 0,
        }
    }

    /// The next line that is not empty.
    pub(super) fn next_line(&mut self) -> Result<Option<Vec<u8>>> {
        loop {
            let mut text = Vec::new();
            let mut limited = self.from.by_ref().take(LINE_BYTES_MAX);
            let read = limited.read_until(b'\n', &mut text)? as u64;
            self.line += 1;
            self.bytes += read;
            if read == 0 {
                return Ok(None);
            }
            if read == LINE_BYTES_MAX {
                return Err(self.wrong("is longer than any line of an export"));
            }
            // One that is whole may be the last, of a file that somebody else wrote.
            if text.last() != Some(&b'\n') && serde_json::from_slice::<Line>(&text).is_err() {
                return Err(self.cut_off());
            }
            if !text.trim_ascii().is_empty() {
                return Ok(Some(text));
            }
        }
    }
}

impl<R> Source<R> {
    pub(super) fn wrong(&self, what: impl Into<String>) -> TransferError {
        TransferError::line(self.line, what)
    }

    pub(super) fn malformed(&self, error: &serde_json::Error) -> TransferError {
        // Not the error's own place, which is in this line.
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        self.wrong(format!("is no line of an export: {what}"))
    }

    pub(super) fn cut_off(&self) -> TransferError {
        self.wrong("the file ends before its end: it was cut off, or is still being written")
    }
}
