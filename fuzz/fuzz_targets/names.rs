//! Names, keys, message ids, topics and texts.

#![no_main]

use chat_core::{Emoji, MessageId, MessageKey, Meta, RoomId, Text, Topic, UserId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(room) = RoomId::new(text) {
        assert_eq!(room.as_str(), text);
        assert!(UserId::new(text).is_ok(), "the same alphabet");
    }
    if let Ok(id) = text.parse::<MessageId>() {
        assert_eq!(id.to_string(), text, "one text form");
    }
    if let Ok(topic) = text.parse::<Topic>() {
        assert_eq!(topic.to_string().parse(), Ok(topic));
    }
    drop(MessageKey::new(text));
    drop(Text::new(text));
    drop(Emoji::new(text));
    drop(Meta::new(text));
});
