//! Every clause of every contract has a test of its name, and every suite runs it.

use std::path::Path;

/// The trait's file in `chat-core`, and what its suite is made of.
const SUITES: &[(&str, &[&str])] = &[
    ("pubsub.rs", &["pubsub.rs"]),
    (
        "room_log.rs",
        &[
            "room_log.rs",
            "room_log/append.rs",
            "room_log/epochs.rs",
            "room_log/messages.rs",
            "room_log/read.rs",
            "room_log/unread.rs",
        ],
    ),
    ("presence.rs", &["presence.rs", "presence/people.rs"]),
    (
        "directory.rs",
        &[
            "directory.rs",
            "directory/authority.rs",
            "directory/changes.rs",
            "directory/lists.rs",
            "directory/marks.rs",
        ],
    ),
    (
        "transfer.rs",
        &["transfer.rs", "transfer/logs.rs", "transfer/rooms.rs"],
    ),
    ("authenticator.rs", &["authenticator.rs"]),
    ("rate_limiter.rs", &["rate_limiter.rs"]),
    ("revocations.rs", &["revocations.rs"]),
];

fn text(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The names in a contract's numbered list.
fn clauses(source: &str) -> Vec<String> {
    let numbered = source.lines().filter_map(|line| {
        let (number, rest) = line.strip_prefix("/// ")?.split_once(". `")?;
        number.parse::<u32>().ok()?;
        Some(rest.split_once('`')?.0.to_owned())
    });
    numbered.collect()
}

#[test]
fn every_clause_has_a_test_of_its_name() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut missing = Vec::new();
    for (contract, files) in SUITES {
        let clauses = clauses(&text(&here.join("../chat-core/src").join(contract)));
        assert!(clauses.len() >= 5, "{contract} has its contract elsewhere");
        let sources = files.iter();
        let sources: Vec<_> = sources
            .map(|file| text(&here.join("src/contract").join(file)))
            .collect();
        let suite = sources.concat();
        for clause in clauses {
            let written = suite.contains(&format!("pub async fn {clause}("));
            let run = sources[0].contains(&format!("            {clause},\n"));
            if !(written && run) {
                missing.push(format!("{contract}: {clause}"));
            }
        }
    }
    assert!(missing.is_empty(), "clauses without a test: {missing:?}");
}

#[test]
fn clauses_are_found_in_a_contract() {
    let source =
        "/// # Contract\n/// 1. `one`: is.\n/// 2. `two`: also,\n///    so.\n/// 3. three\n";
    assert_eq!(clauses(source), ["one", "two"]);
}
