//! How long the two hot operations take. By hand, in release, because times are no tests:
//! `cargo test --release -p chat-proto --test proto -- --ignored --nocapture how_long`.

use std::hint::black_box;
use std::time::Instant;

use chat_core::{Command, Event, MessageKey, SendMessage};
use chat_proto::{ClientFrame, Codec, Request};

use crate::values::{entry, room_id, said, text};

const ROUNDS: u32 = 200_000;

fn measure(what: &str, mut once: impl FnMut()) {
    let mut best = f64::INFINITY;
    for _ in 0..5 {
        let start = Instant::now();
        for _ in 0..ROUNDS {
            once();
        }
        best = best.min(start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    }
    println!("{what}: {best:.0} ns");
}

#[test]
#[ignore = "a measurement, not a test"]
fn how_long_the_hot_operations_take() {
    let words = "x".repeat(128);
    let event = Event::Entry(entry(42, said(&words)));
    let send = ClientFrame {
        id: Some(7),
        request: Request::Command(Command::Send(SendMessage {
            room: room_id(),
            key: MessageKey::new("c-81f2aaaaaaaaaaaaaaaaaa").unwrap(),
            text: text(&words),
            reply_to: None,
            meta: None,
        })),
    };
    for codec in Codec::ALL {
        let frame = codec.encode_client(&send);
        let name = codec.subprotocol();
        measure(
            &format!("{name}: decode a send of {} bytes", frame.len()),
            || {
                black_box(codec.decode_client(black_box(&frame))).unwrap();
            },
        );
        let bytes = codec.encode_event(&event);
        measure(
            &format!("{name}: encode message_added of {} bytes", bytes.len()),
            || {
                black_box(codec.encode_event(black_box(&event)));
            },
        );
        measure(&format!("{name}: decode it at a client"), || {
            black_box(codec.decode_server(black_box(&bytes))).unwrap();
        });
    }
}
