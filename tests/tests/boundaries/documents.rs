//! Documents point at things that exist: paths that the architecture names, links, headings.
//!
//! Does not look at the outside world: a link that names a scheme is not followed.

use std::collections::BTreeSet;
use std::path::Path;

use crate::assert_none;
use crate::tree::{files_with_extension, root, shown, text, walk};

const ARCHITECTURE: &str = "docs/architecture.md";

/// Extensions that make a word without a slash a file name.
const FILE_EXTENSIONS: [&str; 10] = [
    "rs", "md", "toml", "lua", "js", "mjs", "json", "yml", "html", "css",
];

/// The lines outside code blocks, numbered from 1.
fn prose(markdown: &str) -> Vec<(usize, &str)> {
    let mut in_block = false;
    let mut lines = Vec::new();
    for (index, line) in markdown.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            lines.push((index + 1, line));
        }
    }
    lines
}

/// What stands between backticks in a line.
fn code_spans(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// Whether a word of code means a file or directory of ours. `/ws` is an address, `a::b` is Rust,
/// `application/json` a media type; `crates/*/src` is a path with a wildcard.
fn is_path(word: &str) -> bool {
    let only_path_characters = word
        .chars()
        .all(|found| found.is_ascii_alphanumeric() || "._-/*".contains(found));
    if !only_path_characters || word.starts_with('/') || word.starts_with("application/") {
        return false;
    }
    let extension = Path::new(word).extension().and_then(|found| found.to_str());
    word.contains('/') || extension.is_some_and(|found| FILE_EXTENSIONS.contains(&found))
}

/// Whether `path` ends with the components of `word`, where `*` stands for any one component.
fn names(word: &str, path: &str) -> bool {
    let mut components = path.rsplit('/');
    word.trim_end_matches('/').rsplit('/').all(|wanted| {
        components
            .next()
            .is_some_and(|found| wanted == "*" || wanted == found)
    })
}

fn missing_paths(markdown: &str, existing: &[String]) -> Vec<String> {
    let mut findings = Vec::new();
    for (number, line) in prose(markdown) {
        for word in code_spans(line).filter(|word| is_path(word)) {
            if !existing.iter().any(|path| names(word, path)) {
                findings.push(format!("line {number}: `{word}`"));
            }
        }
    }
    findings
}

/// The targets of `[text](target)` in a line, without titles.
fn link_targets(line: &str) -> Vec<&str> {
    let without_code: Vec<&str> = line.split('`').step_by(2).collect();
    let mut targets = Vec::new();
    for part in without_code {
        for rest in part.split("](").skip(1) {
            let target = rest.split([')', ' ']).next().unwrap_or_default();
            targets.push(target.trim_matches(['<', '>']));
        }
    }
    targets
}

/// The fragments that a document's headings can be reached by.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let headings = prose(markdown)
        .into_iter()
        .filter(|(_, line)| line.starts_with('#'));
    headings
        .map(|(_, line)| anchor(line.trim_start_matches('#').trim()))
        .collect()
}

fn anchor(heading: &str) -> String {
    let kept = heading
        .chars()
        .filter(|found| found.is_alphanumeric() || " -_".contains(*found));
    kept.collect::<String>().to_lowercase().replace(' ', "-")
}

/// Why a link of `document` leads nowhere, if it does.
fn dead_end(document: &Path, target: &str) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
    let path = match file {
        "" => document.to_owned(),
        file => document.parent().unwrap_or(Path::new("")).join(file),
    };
    if !path.exists() {
        return Some("no such file".to_owned());
    }
    let is_markdown = path.extension().is_some_and(|extension| extension == "md");
    if fragment.is_empty() || !is_markdown || anchors(&text(&path)).contains(fragment) {
        return None;
    }
    Some("no such heading".to_owned())
}

#[test]
fn every_path_that_the_architecture_names_exists() {
    let existing: Vec<String> = walk(&root()).iter().map(|path| shown(path)).collect();
    let findings = missing_paths(&text(&root().join(ARCHITECTURE)), &existing);
    assert_none(
        &findings,
        &format!("{ARCHITECTURE} names what does not exist"),
    );
}

#[test]
fn every_relative_link_of_a_document_resolves() {
    let mut findings = Vec::new();
    for document in files_with_extension(&root(), "md") {
        for (number, line) in prose(&text(&document)) {
            for target in link_targets(line) {
                if let Some(why) = dead_end(&document, target) {
                    findings.push(format!("{}:{number}: {target}: {why}", shown(&document)));
                }
            }
        }
    }
    assert_none(&findings, "links that lead nowhere");
}

#[test]
fn missing_paths_are_found_and_other_code_is_left_alone() {
    let existing = [
        "crates/chat-core/src/feed.rs".to_owned(),
        "crates/chat-core/src".to_owned(),
    ];
    let good = "`crates/chat-core/src/feed.rs` `feed.rs` `crates/*/src/` `/ws` `a::b` `Feed`\n\
                `application/json` `redis-server`\n```\ncrates/nowhere/in/a/block\n```\n";
    assert_eq!(missing_paths(good, &existing), Vec::<String>::new());
    let bad = "`crates/chat-cor/src` and\n`hub.rs` and `eed.rs`, `crates/*/tests`";
    assert_eq!(missing_paths(bad, &existing).len(), 4);
}

#[test]
fn dead_links_are_found() {
    let document = root().join("docs/here.md");
    let line = "[a](../Cargo.toml), [b](https://example.org/x) `[c](code)` [d](no.md \"title\")";
    let targets = link_targets(line);
    assert_eq!(targets, ["../Cargo.toml", "https://example.org/x", "no.md"]);
    let dead: Vec<bool> = targets
        .iter()
        .map(|target| dead_end(&document, target).is_some())
        .collect();
    assert_eq!(dead, [false, false, true]);
    assert!(dead_end(&document, "testing.md#no-such-heading").is_some());
}

#[test]
fn headings_are_reached_as_browsers_reach_them() {
    let found = anchors("# The wire, version 1\n```\n# not a heading\n```\n## `hello` & more\n");
    let expected = ["the-wire-version-1", "hello--more"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
}
