//! What the operator sees meanwhile, on stderr: a bar on a terminal, a line now and then elsewhere.

use std::io::{IsTerminal as _, stderr};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::Counts;

/// How often a log hears of it.
const LINE_INTERVAL: Duration = Duration::from_secs(5);

/// What is known of how much there is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scale {
    /// As many bytes.
    Bytes(u64),
    /// So much that [`Progress::set_length`] says it later.
    Share,
    /// Nothing.
    Unknown,
}

/// How far it is.
#[derive(Debug)]
pub(super) struct Progress {
    verb: &'static str,
    bar: ProgressBar,
    /// When the next line is due, where there is no bar.
    next_line: Option<Instant>,
}

impl Progress {
    pub(super) fn start(verb: &'static str, scale: Scale) -> Self {
        let template = match scale {
            Scale::Bytes(_) | Scale::Share => "{percent:>3} % {wide_bar} {msg}, {eta} left",
            Scale::Unknown => "{spinner} {msg}",
        };
        let bar = match scale {
            Scale::Bytes(bytes) => ProgressBar::new(bytes),
            Scale::Share | Scale::Unknown => ProgressBar::no_length(),
        };
        bar.set_draw_target(ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        let is_log = !stderr().is_terminal();
        Self {
            verb,
            bar,
            next_line: is_log.then(|| Instant::now() + LINE_INTERVAL),
        }
    }

    /// Says nothing.
    pub(super) fn silent() -> Self {
        Self {
            verb: "",
            bar: ProgressBar::hidden(),
            next_line: None,
        }
    }

    pub(super) fn set_length(&self, length: u64) {
        self.bar.set_length(length);
    }

    pub(super) fn set(&mut self, position: u64, counts: &Counts) {
        let told = || format!("{} rooms, {} messages", counts.rooms, counts.messages);
        let Some(due) = self.next_line else {
            if !self.bar.is_hidden() && self.bar.position() != position {
                self.bar.set_position(position);
                self.bar.set_message(told());
            }
            return;
        };
        if Instant::now() >= due {
            eprintln!("chat-server: {} {} so far", self.verb, told());
            self.next_line = Some(Instant::now() + LINE_INTERVAL);
        }
    }

    /// Takes the bar away.
    pub(super) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
