//! Where a reader of a room's log stands.
//!
//! A position names an entry by epoch, seq and id, so that a reader whose entry was replaced by a
//! rollback is recognised. The idea of an offset that lies without an epoch is Centrifugo's
//! (`StreamPosition`); the id is ours, because an epoch alone does not see a partial rollback.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ids::{EntryId, Epoch};

/// Epoch, seq and entry id of the last entry that a reader has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Position {
    /// The life of the log in which the entry was appended.
    pub epoch: Epoch,
    /// Its number in the log; 0 is before the first one.
    pub seq: u64,
    /// The entry's id; at seq 0 the epoch itself.
    pub id: EntryId,
}

/// The text is no position. The client should join without one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("is not a position of this server")]
pub struct PositionError;

impl Position {
    /// The position before the first entry of an epoch.
    #[must_use]
    pub fn start(epoch: Epoch) -> Self {
        Self {
            epoch,
            seq: 0,
            id: EntryId(epoch.0),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.epoch.to_bytes());
        bytes[8..16].copy_from_slice(&self.seq.to_be_bytes());
        bytes[16..].copy_from_slice(&self.id.to_bytes());
        let mut text = [0; 32];
        // 24 bytes are always 32 characters.
        URL_SAFE_NO_PAD
            .encode_slice(bytes, &mut text)
            .map_err(|_| fmt::Error)?;
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl FromStr for Position {
    type Err = PositionError;

    fn from_str(text: &str) -> Result<Self, PositionError> {
        let mut bytes = [0; 24];
        if text.len() != 32 || URL_SAFE_NO_PAD.decode_slice(text, &mut bytes) != Ok(24) {
            return Err(PositionError);
        }
        let word = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&bytes[at..at + 8]);
            word
        };
        Ok(Self {
            epoch: Epoch::from_bytes(word(0)),
            seq: u64::from_be_bytes(word(8)),
            id: EntryId::from_bytes(word(16)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_survive_their_text_form() {
        let position = Position {
            epoch: Epoch::random(),
            seq: 7,
            id: EntryId::random(),
        };
        assert_eq!(position.to_string().len(), 32);
        assert_eq!(position.to_string().parse(), Ok(position));
    }

    #[test]
    fn garbage_is_not_a_position() {
        for bad in [
            "",
            "AAAA",
            &"A".repeat(33),
            &"!".repeat(32),
            &"é".repeat(16),
        ] {
            assert_eq!(bad.parse::<Position>(), Err(PositionError), "{bad}");
        }
    }
}
