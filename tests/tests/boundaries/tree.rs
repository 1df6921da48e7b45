//! The files of the repository. Knows no rule.

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that hold what was built, downloaded or recorded, not what we wrote.
const NOT_OURS: [&str; 4] = ["target", "node_modules", ".git", "data"];

/// Where the repository starts.
pub(crate) fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest
        .parent()
        .expect("tests/ lies in the root")
        .to_owned()
}

/// Every file and directory below `directory`, sorted; nothing where it does not exist.
pub(crate) fn walk(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    for entry in entries {
        let path = entry.expect("a directory entry can be read").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if NOT_OURS.contains(&name.as_ref()) {
            continue;
        }
        if path.is_dir() {
            found.extend(walk(&path));
        }
        found.push(path);
    }
    found.sort();
    found
}

/// The files below `directory` with this extension.
pub(crate) fn files_with_extension(directory: &Path, extension: &str) -> Vec<PathBuf> {
    walk(directory)
        .into_iter()
        .filter(|path| path.is_file() && path.extension().is_some_and(|found| found == extension))
        .collect()
}

/// The `src` directory of every crate.
pub(crate) fn crate_sources() -> Vec<PathBuf> {
    let crates = fs::read_dir(root().join("crates")).expect("there are crates");
    crates
        .map(|entry| {
            entry
                .expect("a directory entry can be read")
                .path()
                .join("src")
        })
        .filter(|source| source.is_dir())
        .collect()
}

/// The text of a file, which has to be UTF-8.
pub(crate) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", shown(path)))
}

/// A path as people write it: relative to the root, with forward slashes.
pub(crate) fn shown(path: &Path) -> String {
    let relative = path.strip_prefix(root()).unwrap_or(path);
    relative.to_string_lossy().replace('\\', "/")
}
