//! Positions, which clients keep and hand back.

#![no_main]

use chat_core::Position;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(position) = text.parse::<Position>() {
        assert_eq!(position.to_string(), text, "one text form");
    }
});
