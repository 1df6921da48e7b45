//! `docs/protocol.md` against the code: its examples are read, and nothing of the wire is
//! missing in it.

use std::path::PathBuf;

use chat_proto::{CloseCode, Codec, ErrorCode, ServerEvent, ServerFrame};
use serde_json::Value;

use crate::server_cases::{self, Said};
use crate::vectors;

fn document() -> String {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs/protocol.md");
    std::fs::read_to_string(path).unwrap()
}

fn examples(document: &str) -> Vec<&str> {
    let mut examples = Vec::new();
    let mut inside = false;
    for line in document.lines() {
        match line {
            "```json" => inside = true,
            "```" => inside = false,
            line if inside => examples.push(line),
            _ => {}
        }
    }
    assert!(!examples.is_empty());
    examples
}

#[test]
fn every_example_is_a_frame() {
    for example in examples(&document()) {
        if example.contains("\"op\"") {
            let read = Codec::Json.decode_client(example.as_bytes());
            assert!(read.is_ok(), "{example}: {read:?}");
            continue;
        }
        let frame = Codec::Json.decode_server(example.as_bytes());
        let frame = frame.unwrap_or_else(|error| panic!("{example}: {error:?}"));
        let unknown =
            matches!(&frame, ServerFrame::Event(event) if **event == ServerEvent::Unknown);
        assert!(!unknown, "{example}");
    }
}

#[test]
fn the_example_in_hex_is_the_send() {
    let document = document();
    let block = document.split("```text\n").nth(1).unwrap();
    let block = block.split("```").next().unwrap();
    let hex: String = block
        .lines()
        .map(|line| line.split(['"', 'm']).next().unwrap_or_default())
        .collect::<String>()
        .split_whitespace()
        .collect();
    let packed = Codec::MsgPack.decode_client(&vectors::from_hex(&hex));
    let json = Codec::Json.decode_client(examples(&document)[0].as_bytes());
    assert_eq!(packed, json);
    assert!(packed.is_ok());
}

/// The names of all fields in a value.
fn names(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, inner) in object {
                found.push(name.clone());
                // What is inside of these is named by users, not by us.
                if !["reactions", "roles", "meta", "rooms"].contains(&name.as_str()) {
                    names(inner, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| names(item, found)),
        _ => {}
    }
}

#[test]
fn every_word_of_the_wire_is_documented() {
    let document = document();
    let mut words: Vec<String> = Vec::new();
    words.extend(ErrorCode::ALL.map(|code| code.to_string()));
    for (_, said) in server_cases::all() {
        let frame = match said {
            Said::Event(event) => Codec::Json.encode_event(&event),
            Said::Answer(id, result) => Codec::Json.encode_answer(id, &result),
        };
        let frame: Value = serde_json::from_slice(&frame).unwrap();
        names(&frame, &mut words);
        for word in ["event", "stored", "reason", "status", "kind"] {
            words.extend(frame[word].as_str().map(Into::into));
        }
    }
    for case in vectors::load::<Value>("client-valid.json") {
        let frame = &case["reads_as"];
        names(frame, &mut words);
        for word in ["op", "status", "kind", "role"] {
            words.extend(frame[word].as_str().map(Into::into));
        }
    }
    words.sort();
    words.dedup();
    assert!(words.len() > 80, "{words:?}");
    words.retain(|word| {
        let quoted = [
            format!("`{word}`"),
            format!("`{word}?`"),
            format!("\"{word}\""),
        ];
        let listed = [
            format!("{{{word}"),
            format!(", {word}"),
            format!("### {word}"),
        ];
        !quoted
            .iter()
            .chain(&listed)
            .any(|form| document.contains(form.as_str()))
    });
    assert!(words.is_empty(), "not in the document: {words:?}");
}

#[test]
fn every_close_code_is_documented() {
    let document = document();
    let section = document.split("## Close codes").nth(1).unwrap();
    for code in CloseCode::ALL {
        assert!(section.contains(&code.code().to_string()), "{code:?}");
    }
}
