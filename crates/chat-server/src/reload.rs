//! Files that may change while the server runs: keys, certificates.
//!
//! Reads them once a second, because that works on every file system and through the links that
//! containers replace, and they are small. What is in them is compared with what was loaded last, so
//! that what failed (half a file, a file not for this user) is tried again until it works, and leaves
//! what there was until then.

use std::fmt::Display;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, info, info_span, warn};

/// How often the files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// Bytes that are looked at of a file: no key or chain has more.
const BYTES_MAX: u64 = 1024 * 1024;

/// What is in some files; nothing of one that cannot be read.
type Contents = Vec<Option<Vec<u8>>>;

/// Some files, and what was loaded of them.
pub(crate) struct Watched {
    files: Vec<PathBuf>,
    loaded: Contents,
    /// What was told of the last attempt, to tell it once.
    failure: Option<String>,
}

/// What came of a look at the files.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// They are what was loaded, or fail as they did.
    Same,
    Loaded,
    Failed(String),
}

impl Watched {
    /// To be made before the files are read for the first time, so that no change is missed.
    pub(crate) fn new(files: Vec<PathBuf>) -> Self {
        Self {
            loaded: contents(&files),
            files,
            failure: None,
        }
    }

    /// Loads them if they are not what was loaded before.
    fn look<E: Display>(&mut self, load: impl Fn() -> Result<(), E>) -> Look {
        let now = contents(&self.files);
        if now == self.loaded {
            self.failure = None;
            return Look::Same;
        }
        let failure = match load() {
            Ok(()) => {
                self.loaded = now;
                self.failure = None;
                return Look::Loaded;
            }
            Err(error) => error.to_string(),
        };
        if self.failure.as_ref() == Some(&failure) {
            return Look::Same;
        }
        self.failure = Some(failure.clone());
        Look::Failed(failure)
    }
}

fn contents(files: &[PathBuf]) -> Contents {
    files.iter().map(|file| content(file).ok()).collect()
}

fn content(file: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(file)?
        .take(BYTES_MAX)
        .read_to_end(&mut bytes)
        .map(|_| bytes)
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
        match watched.look(&load) {
            Look::Same => {}
            Look::Loaded => info!("{what}: loaded again"),
            Look::Failed(error) => warn!(
                error,
                "{what}: cannot be loaded again, so what there was stays; tried until it works"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs;

    use super::*;

    fn good() -> Result<(), &'static str> {
        Ok(())
    }

    #[test]
    fn a_file_is_loaded_once_for_each_change() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        fs::write(&file, "one").unwrap();
        let mut watched = Watched::new(vec![file.clone()]);
        assert_eq!(watched.look(good), Look::Same);
        // As long as before, and perhaps within the same tick of the file system's clock.
        fs::write(&file, "two").unwrap();
        assert_eq!(watched.look(good), Look::Loaded);
        assert_eq!(watched.look(good), Look::Same);
        let other = directory.path().join("other");
        fs::write(&other, "new").unwrap();
        fs::rename(&other, &file).unwrap();
        assert_eq!(watched.look(good), Look::Loaded);
    }

    #[test]
    fn what_failed_is_tried_until_it_works_and_told_once() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        fs::write(&file, "one").unwrap();
        let mut watched = Watched::new(vec![file.clone()]);
        let tries = Cell::new(0);
        let load = |result: Result<(), &'static str>| {
            tries.set(tries.get() + 1);
            result
        };
        fs::write(&file, "half").unwrap();
        let failed = Look::Failed("half a file".to_owned());
        assert_eq!(watched.look(|| load(Err("half a file"))), failed);
        assert_eq!(watched.look(|| load(Err("half a file"))), Look::Same);
        let failed = Look::Failed("not for you".to_owned());
        assert_eq!(watched.look(|| load(Err("not for you"))), failed);
        // The file has not changed since, only whoever refused it.
        assert_eq!(watched.look(|| load(Ok(()))), Look::Loaded);
        assert_eq!(tries.get(), 4);
    }

    #[test]
    fn a_file_that_is_gone_and_comes_back_as_it_was_needs_no_loading() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("key");
        fs::write(&file, "one").unwrap();
        let mut watched = Watched::new(vec![file.clone()]);
        let gone = || Err::<(), _>("gone");
        fs::remove_file(&file).unwrap();
        assert_eq!(watched.look(gone), Look::Failed("gone".to_owned()));
        fs::write(&file, "one").unwrap();
        assert_eq!(watched.look(gone), Look::Same);
        fs::remove_file(&file).unwrap();
        assert_eq!(watched.look(gone), Look::Failed("gone".to_owned()));
    }
}
