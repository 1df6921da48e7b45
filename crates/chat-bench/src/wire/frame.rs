//! WebSocket frames (RFC 6455, section 5.2): takes a server's apart, puts a client's together.

use std::ops::Range;

use crate::limits::FRAME_BYTES_MAX;

/// What a frame is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// A frame at the beginning of some bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) kind: Kind,
    /// Where its payload is; the next frame begins where it ends.
    pub(super) payload: Range<usize>,
}

/// The server's bytes are no frame that it may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Violation(pub(super) &'static str);

/// The frame that `bytes` begin with, if all of it is there.
pub(super) fn split(bytes: &[u8]) -> Result<Option<Frame>, Violation> {
    let &[first, second, ..] = bytes else {
        return Ok(None);
    };
    if second & 0x80 != 0 {
        return Err(Violation("a frame of a server is not masked"));
    }
    let kind = match first {
        0x81 => Kind::Text,
        0x82 => Kind::Binary,
        0x88 => Kind::Close,
        0x89 => Kind::Ping,
        0x8a => Kind::Pong,
        _ => return Err(Violation("a whole frame without extensions was expected")),
    };
    let (start, length) = match second {
        126 => match bytes.get(2..4) {
            Some(length) => (4, u64::from(u16::from_be_bytes([length[0], length[1]]))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|bytes| bytes.try_into().ok()) {
            Some(length) => (10, u64::from_be_bytes(length)),
            None => return Ok(None),
        },
        length => (2, u64::from(length)),
    };
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(Violation(
            "a frame is larger than any that the contract allows",
        ));
    }
    let payload = start..start + length;
    Ok((payload.end <= bytes.len()).then_some(Frame { kind, payload }))
}

/// Puts a client's frame behind what is there already.
pub(super) fn push(to: &mut Vec<u8>, kind: Kind, payload: &[u8], mask: [u8; 4]) {
    to.push(0x80 | kind as u8);
    match payload.len() {
        length @ ..126 => to.push(0x80 | length as u8),
        length @ 126..=0xffff => {
            to.push(0x80 | 126);
            to.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            to.push(0x80 | 127);
            to.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    to.extend_from_slice(&mask);
    let masked = payload.iter().zip(mask.iter().cycle());
    to.extend(masked.map(|(byte, mask)| byte ^ mask));
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_tungstenite::tungstenite::Bytes;
    use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
    use tokio_tungstenite::tungstenite::protocol::frame::{Frame as Theirs, FrameHeader};

    use super::*;

    fn server_frame(length: usize) -> Vec<u8> {
        let payload = Bytes::from(vec![b'x'; length]);
        let mut bytes = Vec::new();
        Theirs::message(payload, OpCode::Data(Data::Text), true)
            .format(&mut bytes)
            .unwrap();
        bytes
    }

    #[test]
    fn frames_of_every_length_are_split_where_they_end() {
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, FRAME_BYTES_MAX] {
            let mut bytes = server_frame(length);
            let end = bytes.len();
            bytes.extend(server_frame(3));
            let frame = split(&bytes).unwrap().unwrap();
            assert_eq!(frame.payload, end - length..end);
            assert_eq!(frame.kind, Kind::Text);
        }
    }

    #[test]
    fn a_part_of_a_frame_is_waited_for() {
        for length in [5, 200, 70_000] {
            let bytes = server_frame(length);
            for cut in [0, 1, 2, 3, 6, bytes.len() - 1] {
                assert_eq!(split(&bytes[..cut]), Ok(None), "{cut} of {length}");
            }
        }
    }

    #[test]
    fn what_a_server_may_not_send_is_refused() {
        let too_large = (FRAME_BYTES_MAX as u64 + 1).to_be_bytes();
        let too_large = [&[0x82, 127][..], &too_large].concat();
        for bytes in [
            &[0x81, 0x81, 0, 0, 0, 0, b'x'][..],
            &[0x01, 1, b'x'],
            &[0xc1, 1, b'x'],
            &[0x83, 0],
            &too_large,
        ] {
            assert!(split(bytes).is_err(), "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_split_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Some(frame)) = split(&bytes) {
                prop_assert!(frame.payload.end <= bytes.len());
            }
        }

        #[test]
        fn a_client_frame_is_what_tungstenite_would_read(
            payload in prop::collection::vec(any::<u8>(), 0..300), times in 1_usize..300, mask: [u8; 4],
        ) {
            // Repeated, so that every form of the length is met.
            let payload = payload.repeat(times);
            let mut bytes = vec![7];
            push(&mut bytes, Kind::Binary, &payload, mask);
            let mut cursor = std::io::Cursor::new(&bytes[1..]);
            let (header, length) = FrameHeader::parse(&mut cursor).unwrap().unwrap();
            prop_assert_eq!(header.mask, Some(mask));
            prop_assert_eq!(header.opcode, OpCode::Data(Data::Binary));
            prop_assert_eq!(length, payload.len() as u64);
            let start = 1 + cursor.position() as usize;
            let unmasked: Vec<_> = bytes[start..].iter().zip(mask.iter().cycle()).map(|(a, b)| a ^ b).collect();
            prop_assert_eq!(unmasked, payload);
        }
    }
}
