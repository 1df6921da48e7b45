//! What a child process prints, collected while it runs, so that tests wait for a line instead of
//! sleeping.

use std::io::{BufRead, BufReader, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

#[derive(Debug, Default)]
struct Said {
    lines: Vec<String>,
    open: usize,
}

/// All lines of both outputs, in the order in which they came.
#[derive(Debug, Default, Clone)]
pub(crate) struct Output(Arc<(Mutex<Said>, Condvar)>);

impl Output {
    /// Collects from one more pipe, until it is closed.
    pub(crate) fn collect(&self, pipe: impl Read + Send + 'static) {
        self.said().open += 1;
        let output = self.clone();
        thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                output.said().lines.push(line);
                output.0.1.notify_all();
            }
            output.said().open -= 1;
            output.0.1.notify_all();
        });
    }

    /// Everything so far.
    pub(crate) fn text(&self) -> String {
        self.said().lines.join("\n")
    }

    /// The first line of which `find` makes something. `None` when the output ended without one,
    /// or when the time is over.
    pub(crate) fn wait_for<T>(
        &self,
        within: Duration,
        find: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let search = |said: &Said| said.lines.iter().find_map(|line| find(line));
        let said = self.wait_while(within, |said| said.open > 0 && search(said).is_none());
        search(&said)
    }

    /// Whether all pipes were closed in time: a process without children closes them at its end.
    pub(crate) fn wait_for_end(&self, within: Duration) -> bool {
        self.wait_while(within, |said| said.open > 0).open == 0
    }

    fn wait_while(
        &self,
        within: Duration,
        not_yet: impl Fn(&Said) -> bool,
    ) -> MutexGuard<'_, Said> {
        let waited = self
            .0
            .1
            .wait_timeout_while(self.said(), within, |said| not_yet(said));
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
