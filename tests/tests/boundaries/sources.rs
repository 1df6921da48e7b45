//! Rules on source files that need no compiler.

use std::path::Path;

use crate::assert_none;
use crate::tree::{crate_sources, files_with_extension, root, shown, text};

/// A file that is longer is two ideas.
const LINES_MAX: usize = 600;

fn all_sources() -> Vec<std::path::PathBuf> {
    let found: Vec<_> = crate_sources()
        .iter()
        .flat_map(|source| files_with_extension(source, "rs"))
        .collect();
    assert!(
        !found.is_empty(),
        "no source file was found: the check checks nothing"
    );
    found
}

fn too_long(path: &Path, text: &str) -> Option<String> {
    let lines = text.lines().count();
    (lines > LINES_MAX).then(|| format!("{}: {lines} lines", shown(path)))
}

fn opens_with_module_docs(text: &str) -> bool {
    text.lines()
        .find(|line| !line.trim().is_empty())
        .is_some_and(|line| line.starts_with("//!"))
}

fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let numbered = text
        .lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line));
    numbered.filter(|(_, line)| !line.trim_start().starts_with("//"))
}

#[test]
fn no_source_file_is_longer_than_600_lines() {
    let findings: Vec<_> = all_sources()
        .iter()
        .filter_map(|path| too_long(path, &text(path)))
        .collect();
    assert_none(&findings, "files above 600 lines; split them by idea");
}

#[test]
fn every_module_says_what_it_owns() {
    let findings: Vec<_> = all_sources()
        .iter()
        .filter(|path| !opens_with_module_docs(&text(path)))
        .map(|path| shown(path))
        .collect();
    assert_none(&findings, "files that do not open with `//!`");
}

/// The core takes tokio for tasks and channels; its `net` feature comes along, because the
/// features of a workspace are one set, so that the manifest alone does not prove this.
#[test]
fn the_core_opens_no_socket() {
    let sockets = [
        "tokio::net",
        "TcpStream",
        "TcpListener",
        "UdpSocket",
        "UnixStream",
    ];
    let mut findings = Vec::new();
    for path in files_with_extension(&root().join("crates/chat-core/src"), "rs") {
        for (number, line) in code_lines(&text(&path)) {
            if sockets.iter().any(|socket| line.contains(socket)) {
                findings.push(format!("{}:{number}: {}", shown(&path), line.trim()));
            }
        }
    }
    assert_none(&findings, "chat-core knows no sockets");
}

#[test]
fn the_checks_of_sources_find_what_they_look_for() {
    let path = Path::new("long.rs");
    assert!(too_long(path, &"x\n".repeat(LINES_MAX)).is_none());
    assert!(too_long(path, &"x\n".repeat(LINES_MAX + 1)).is_some());
    assert!(opens_with_module_docs("\n//! Owns nothing.\n"));
    assert!(!opens_with_module_docs("use std::fmt;\n//! Too late.\n"));
    assert!(!opens_with_module_docs(""));
}
