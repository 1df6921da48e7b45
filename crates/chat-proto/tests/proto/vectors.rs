//! Reads and writes the files of golden vectors.

use std::path::PathBuf;

use chat_proto::Codec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("vectors")
        .join(name)
}

pub(crate) fn load<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = path(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let cases: Vec<T> =
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    assert!(!cases.is_empty(), "{name} has no cases");
    cases
}

/// Compares what is with what the file says; or makes the file say it.
pub(crate) fn check<T>(name: &str, actual: &[T])
where
    T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug,
{
    if std::env::var_os("UPDATE_VECTORS").is_some() {
        let lines: Vec<String> = actual
            .iter()
            .map(|case| format!("  {}", serde_json::to_string(case).unwrap()))
            .collect();
        std::fs::write(path(name), format!("[\n{}\n]\n", lines.join(",\n"))).unwrap();
        return;
    }
    let expected: Vec<T> = load(name);
    for (expected, actual) in expected.iter().zip(actual) {
        assert_eq!(expected, actual, "{name}");
    }
    assert_eq!(expected.len(), actual.len(), "{name}");
}

/// The bytes of a frame: JSON as it is, MessagePack in hex.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "codec", rename_all = "lowercase")]
pub(crate) enum Bytes {
    Json { frame: String },
    MsgPack { hex: String },
}

impl Bytes {
    pub(crate) fn codec(&self) -> Codec {
        match self {
            Self::Json { .. } => Codec::Json,
            Self::MsgPack { .. } => Codec::MsgPack,
        }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Json { frame } => frame.as_bytes().to_vec(),
            Self::MsgPack { hex } => from_hex(hex),
        }
    }
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn from_hex(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "half a byte: {hex}");
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hex"))
        .collect()
}
