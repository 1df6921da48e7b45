//! A file system with little room, which a test can fill: in memory, for root alone.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Room for what a test writes, little enough to be filled at once.
const SIZE: &str = "size=16m";

/// Mounted until it is dropped.
pub(crate) struct SmallDisk {
    directory: TempDir,
}

impl SmallDisk {
    /// Mounts one, where that is allowed; otherwise says why not.
    pub(crate) fn mount() -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", SIZE, "none"])
            .arg(directory.path())
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self { directory }),
            other => {
                println!("skipped: only root can mount a small disk to fill it: {other:?}");
                None
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Leaves no room.
    pub(crate) fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        // In pieces of a page: a larger one would leave what is less than it.
        let full = (0..).find_map(|_| filler.write_all(&[0; 4096]).err());
        assert_eq!(full.unwrap().kind(), ErrorKind::StorageFull);
    }

    /// Makes room again.
    pub(crate) fn free(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let mut unmount = Command::new("umount");
        // Lazily: whoever still has a file there keeps it, and nothing is left behind.
        unmount.arg("-l").arg(self.path());
        // A panic in a drop would hide the test's own.
        drop(unmount.status());
    }
}
