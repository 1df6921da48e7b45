//! Envelopes, as the broker or a log hands them over.

#![no_main]

use chat_core::envelope::{Envelope, HEADER_BYTES, decode, encode_entry, encode_head};
use chat_core::{RoomId, Topic};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let room = RoomId::new("general").expect("is a name");
    match decode(&Topic::Room(room), bytes) {
        Ok(Envelope::Entry(entry)) => {
            assert_eq!(encode_entry(&entry.header(), &bytes[HEADER_BYTES..]), bytes);
        }
        Ok(Envelope::Head(header)) => assert_eq!(encode_head(&header), bytes[..HEADER_BYTES]),
        Ok(_) | Err(_) => {}
    }
});
