//! Files that may change while the server runs: keys, certificates.
//!
//! Looks at them once a second, because that works on every file system and through the links that
//! containers replace. What cannot be read any more leaves what there was: a file that is being
//! written is half a file.

use std::fmt::Display;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info, info_span, warn};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// What tells a version of a file from another one.
type Version = Option<(Option<SystemTime>, u64, u64)>;

/// Some files, as they were last seen.
#[derive(Debug)]
pub(crate) struct Watched {
    files: Vec<PathBuf>,
    seen: Vec<Version>,
}

impl Watched {
    /// To be made before the files are read for the first time, so that no change is missed.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        let seen = versions(&files);
        Self { files, seen }
    }

    /// Whether one of them is another one than at the last look.
    fn changed(&mut self) -> bool {
        let now = versions(&self.files);
        let changed = now != self.seen;
        self.seen = now;
        changed
    }
}

fn versions(files: &[PathBuf]) -> Vec<Version> {
    files.iter().map(version).collect()
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

fn version(file: &PathBuf) -> Version {
    let metadata = fs::metadata(file).ok()?;
    Some((metadata.modified().ok(), metadata.len(), inode(&metadata)))
}

/// The tasks that look at files, until they are stopped.
#[derive(Debug)]
pub(crate) struct Reloads {
    tasks: TaskTracker,
    stop: CancellationToken,
    _stop_on_drop: DropGuard,
}

impl Reloads {
    pub(crate) fn new() -> Self {
        let stop = CancellationToken::new();
        Self {
            tasks: TaskTracker::new(),
            _stop_on_drop: stop.clone().drop_guard(),
            stop,
        }
    }

    /// Loads whatever is in the files again each time that they change.
    pub(crate) fn keep<E: Display + 'static>(
        &self,
        what: &'static str,
        watched: Watched,
        load: impl Fn() -> Result<(), E> + Send + 'static,
    ) {
        let task = keep_loaded(what, watched, load);
        let task = self.stop.clone().run_until_cancelled_owned(task);
        self.tasks.spawn(task.instrument(info_span!("reload")));
    }
}

async fn keep_loaded<E: Display>(
    what: &'static str,
    mut watched: Watched,
    load: impl Fn() -> Result<(), E>,
) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if !watched.changed() {
            continue;
        }
        match load() {
            Ok(()) => info!("{what}: loaded again"),
            Err(error) => warn!(%error, "{what}: cannot be loaded again, so what there was stays"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_changed_once_for_each_change() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        fs::write(&file, "one").unwrap();
        let mut watched = Watched::new(vec![file.clone()]);
        assert!(!watched.changed());
        fs::write(&file, "three").unwrap();
        assert!(watched.changed());
        assert!(!watched.changed());
        fs::remove_file(&file).unwrap();
        assert!(watched.changed());
    }

    #[test]
    fn a_file_that_another_one_took_the_place_of_has_changed() {
        let directory = tempfile::tempdir().unwrap();
        let (file, other) = (directory.path().join("key"), directory.path().join("new"));
        fs::write(&file, "one").unwrap();
        fs::write(&other, "two").unwrap();
        let mut watched = Watched::new(vec![file.clone()]);
        fs::rename(&other, &file).unwrap();
        assert!(watched.changed());
    }
}
