//! What the compiler cannot see but a program can check: crate boundaries, the shape of source
//! files, and documents that point at things which exist.
//!
//! Reads the repository; builds and starts nothing.
//!
//! - `tree`: finds files. Knows no rule.
//! - `graph`: who may depend on whom.
//! - `sources`: size and headers of source files.
//! - `documents`: paths and links in Markdown.

mod documents;
mod graph;
mod sources;
mod tree;

/// Fails with every finding at once, so that one run shows all there is to mend.
fn assert_none(findings: &[String], rule: &str) {
    assert!(findings.is_empty(), "{rule}:\n  {}", findings.join("\n  "));
}
