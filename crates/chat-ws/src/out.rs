//! Frames on their way to the socket: encoded, not yet written.
//!
//! tungstenite could write them, but it keeps its largest buffer ever for as long as the
//! connection lives, and a write that is given up half-way cannot be taken up again. Here the
//! buffer is freed as soon as it is written, and a write can be dropped at any await. Frames of a
//! server are a header and the payload as it is, so nothing else is lost; the header is
//! tungstenite's own.
//!
//! Invariant: `bytes` holds whole frames, of which `written` bytes are written.

use chat_core::Outgoing;
use chat_proto::Codec;
use tokio_tungstenite::tungstenite::protocol::frame::FrameHeader;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Control, Data, OpCode};

use crate::limits::WRITE_BYTES;

/// Longest header of a server's frame.
const HEADER_BYTES: usize = 10;

#[derive(Debug, Default)]
pub(crate) struct Out {
    bytes: Vec<u8>,
    written: usize,
    /// Frames that are not encoded yet, because what is encoded is to be written first.
    batch: Vec<Outgoing>,
}

impl Out {
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.batch.is_empty()
    }

    /// Where a batch goes before it is encoded.
    pub(crate) fn batch(&mut self) -> &mut Vec<Outgoing> {
        &mut self.batch
    }

    pub(crate) fn push(&mut self, codec: Codec, payload: &[u8]) {
        append(&mut self.bytes, data(codec), payload);
    }

    pub(crate) fn push_ping(&mut self) {
        append(&mut self.bytes, OpCode::Control(Control::Ping), &[]);
    }

    /// What is to be written next; encodes more if all is written. Nothing if there is no more.
    pub(crate) fn unwritten(&mut self, codec: Codec) -> Option<&[u8]> {
        if self.bytes.is_empty() {
            self.encode(codec);
        }
        (!self.bytes.is_empty()).then(|| &self.bytes[self.written..])
    }

    fn encode(&mut self, codec: Codec) {
        let mut encoded = 0;
        for frame in &self.batch {
            let payload = codec.encode_outgoing(frame);
            if encoded == 0 {
                // Frames of one batch are mostly of one kind: one allocation instead of ten.
                let all = (payload.len() + HEADER_BYTES).saturating_mul(self.batch.len());
                self.bytes.reserve(all.min(WRITE_BYTES + payload.len()));
            }
            append(&mut self.bytes, data(codec), &payload);
            encoded += 1;
            if self.bytes.len() >= WRITE_BYTES {
                break;
            }
        }
        if encoded == self.batch.len() {
            // Most connections are idle: what they keep is what a node with many of them needs.
            self.batch = Vec::new();
        } else {
            self.batch.drain(..encoded);
        }
    }

    /// Bytes that the socket took.
    pub(crate) fn advance(&mut self, count: usize) {
        self.written += count;
        debug_assert!(self.written <= self.bytes.len());
        if self.written == self.bytes.len() {
            self.bytes = Vec::new();
            self.written = 0;
        }
    }

    /// Gives up what is not encoded yet; what is encoded may be cut in the middle and has to be
    /// written to its end before anything else.
    pub(crate) fn give_up(&mut self) {
        self.batch = Vec::new();
    }
}

fn data(codec: Codec) -> OpCode {
    OpCode::Data(if codec.is_text() {
        Data::Text
    } else {
        Data::Binary
    })
}

fn append(bytes: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    let header = FrameHeader {
        opcode,
        ..FrameHeader::default()
    };
    header
        .format(payload.len() as u64, bytes)
        .expect("writing to a vector does not fail");
    bytes.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use chat_core::{Answer, Delivery, Event};

    use super::*;

    fn answer() -> Outgoing {
        Outgoing::Answer {
            id: Some(1),
            result: Box::new(Ok(Answer::Done)),
        }
    }

    fn goaway() -> Outgoing {
        Outgoing::Event(Delivery::new(Event::GoAway {
            reconnect_after_ms: 1,
        }))
    }

    fn frame_bytes(frame: &Outgoing) -> usize {
        Codec::Json.encode_outgoing(frame).len() + 2
    }

    #[test]
    fn a_batch_becomes_one_write() {
        let mut out = Out::default();
        out.batch().extend([answer(), goaway(), answer()]);
        let expected = 2 * frame_bytes(&answer()) + frame_bytes(&goaway());
        assert_eq!(out.unwritten(Codec::Json).map(<[u8]>::len), Some(expected));
        out.advance(expected);
        assert_eq!(out.unwritten(Codec::Json), None);
        assert!(out.is_empty());
    }

    #[test]
    fn a_large_batch_is_encoded_in_parts_and_nothing_is_lost() {
        let mut out = Out::default();
        let count = 3 * WRITE_BYTES / frame_bytes(&goaway());
        out.batch().extend((0..count).map(|_| goaway()));
        let mut parts = 0;
        let mut bytes = 0;
        while let Some(part) = out.unwritten(Codec::Json).map(<[u8]>::len) {
            assert!(part < WRITE_BYTES + frame_bytes(&goaway()));
            out.advance(part);
            bytes += part;
            parts += 1;
        }
        assert!(parts > 1);
        assert_eq!(bytes, count * frame_bytes(&goaway()));
    }

    #[test]
    fn a_write_goes_on_where_it_stopped_and_a_ping_waits_for_the_end_of_the_frame() {
        let mut out = Out::default();
        out.push(Codec::Json, b"{}");
        out.advance(1);
        out.push_ping();
        assert_eq!(out.unwritten(Codec::Json), Some(&b"\x02{}\x89\x00"[..]));
    }

    #[test]
    fn an_idle_connection_keeps_no_buffer() {
        let mut out = Out::default();
        out.batch().extend((0..300).map(|_| goaway()));
        while let Some(part) = out.unwritten(Codec::Json).map(<[u8]>::len) {
            out.advance(part);
        }
        assert_eq!((out.bytes.capacity(), out.batch.capacity()), (0, 0));
    }

    #[test]
    fn what_is_encoded_is_still_written_when_the_rest_is_given_up() {
        let mut out = Out::default();
        out.push(Codec::MsgPack, b"\x80");
        out.batch().push(goaway());
        out.give_up();
        assert_eq!(out.unwritten(Codec::MsgPack), Some(&b"\x82\x01\x80"[..]));
    }
}
