//! Frames in MessagePack, of a client and of a server.

#![no_main]

use chat_proto::Codec;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let codec = Codec::MsgPack;
    if let Ok(frame) = codec.decode_client(bytes) {
        let written = codec.encode_client(&frame);
        let read = codec.decode_client(&written).expect("what was read can be written");
        assert_eq!(codec.encode_client(&read), written);
    }
    // Whatever it says, it must not panic.
    drop(codec.decode_server(bytes));
});
