//! Logs: to stderr, so that stdout keeps the lines that are meant for people.

use std::io::IsTerminal as _;

use tracing::{Level, Metadata};
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, Registry, fmt};

use crate::config::{Config, LogFormat};

/// Libraries that trace what passes through them: tokens, messages, keys.
const INDISCREET: [&str; 5] = [
    "tungstenite",
    "tokio_tungstenite",
    "hyper",
    "rustls",
    "redis",
];

/// Whatever the filter says, nobody reads other people's mail in the log.
fn shows_no_secret(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() != Level::TRACE || !INDISCREET.contains(&library)
}

/// Starts logging. Later calls change nothing.
pub(crate) fn start(config: &Config) {
    // The filter was checked with the configuration.
    let filter = EnvFilter::try_new(&config.log).unwrap_or_else(|_| EnvFilter::new("info"));
    let lines = fmt::layer::<Registry>()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match config.log_format {
        LogFormat::Text => lines.boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    let lines = lines.with_filter(filter_fn(shows_no_secret));
    let started = tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .try_init();
    // Somebody logs already; two voices would be worse.
    drop(started);
}
