//! The engine's metrics, as handles in one struct: no global, no lookup on the way of a message.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Which limit was met.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct LimitLabel {
    /// Its name, as in the configuration.
    pub limit: &'static str,
}

/// Why something happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReasonLabel {
    /// In one word.
    pub reason: &'static str,
}

macro_rules! metrics {
    ($($(#[$doc:meta])* $field:ident: $kind:ty = $name:literal, $help:literal;)*) => {
        /// Handles of everything that the engine and its transports count.
        #[derive(Debug, Clone)]
        #[non_exhaustive]
        pub struct Metrics {
            $($(#[$doc])* pub $field: $kind,)*
            /// Seconds from a send's arrival to its ack.
            pub send_seconds: Histogram,
        }

        impl Metrics {
            /// Creates all metrics and registers them.
            pub fn new(registry: &mut Registry) -> Self {
                let metrics = Self {
                    $($field: <$kind>::default(),)*
                    send_seconds: Histogram::new([
                        0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1,
                        0.25, 0.5, 1.0, 2.5, 5.0,
                    ]),
                };
                $(registry.register($name, $help, metrics.$field.clone());)*
                registry.register_with_unit(
                    "chat_send",
                    "Time from a send's arrival to its ack",
                    Unit::Seconds,
                    metrics.send_seconds.clone(),
                );
                metrics
            }
        }
    };
}

metrics! {
    /// Live connections.
    connections: Gauge = "chat_connections", "Live connections of this node";
    /// Connections since the start.
    connects: Counter = "chat_connects", "Connections since the start";
    /// Rooms that this node serves.
    rooms: Gauge = "chat_rooms", "Rooms that this node serves";
    /// Rooms that this node follows only for users who have not joined them.
    watched_rooms: Gauge = "chat_watched_rooms", "Rooms that this node follows only for notifications";
    /// Joins of rooms by connections.
    joins: Counter = "chat_joins", "Joins of rooms by connections";
    /// Entries appended by this node.
    appended: Counter = "chat_appended", "Entries that this node appended";
    /// Retries that were answered by the first attempt.
    duplicates: Counter = "chat_duplicates", "Retried sends answered by their first attempt";
    /// Append calls, to see how well they batch.
    append_calls: Counter = "chat_append_calls", "Append calls to the log";
    /// Appends that failed.
    append_failures: Family<ReasonLabel, Counter> = "chat_append_failures", "Entries that were not appended";
    /// Entries and events queued for connections.
    delivered: Counter = "chat_delivered", "Events queued for connections";
    /// Envelopes received from the broker.
    envelopes: Counter = "chat_envelopes", "Envelopes received from the broker";
    /// Envelopes that could not be read.
    bad_envelopes: Counter = "chat_bad_envelopes", "Envelopes that could not be read";
    /// Entries of kinds that this version does not know.
    unknown_kinds: Counter = "chat_unknown_kinds", "Entries and signals of unknown kinds";
    /// Entries that arrived again.
    feed_duplicates: Counter = "chat_feed_duplicates", "Entries that arrived again";
    /// Gaps that feeds saw.
    feed_gaps: Counter = "chat_feed_gaps", "Gaps that feeds filled from the log";
    /// Suspicions that feeds verified.
    feed_suspicions: Counter = "chat_feed_suspicions", "Suspicions that feeds verified with the log";
    /// Resets that connections were told of.
    feed_resets: Counter = "chat_feed_resets", "Rooms whose log was lost or rolled back";
    /// Reads of the log, by why.
    log_reads: Family<ReasonLabel, Counter> = "chat_log_reads", "Reads of the log, by reason";
    /// Resumes, by outcome.
    resumes: Family<ReasonLabel, Counter> = "chat_resumes", "Joins with a position, by outcome";
    /// Calls to the rate limiter, by outcome.
    rate_leases: Family<ReasonLabel, Counter> = "chat_rate_leases", "Calls to the rate limiter, by outcome";
    /// Limits that were met.
    limited: Family<LimitLabel, Counter> = "chat_limited", "How often each limit was met";
    /// Droppable events that were dropped.
    dropped: Counter = "chat_dropped", "Droppable events dropped under pressure";
    /// Connections evicted because they were too slow.
    evicted: Counter = "chat_evicted", "Connections evicted because they were too slow";
    /// Connections closed by the server, by reason.
    closed: Family<ReasonLabel, Counter> = "chat_closed", "Connections closed by the server, by reason";
    /// Credentials that proved nothing.
    refused: Counter = "chat_refused", "Credentials that proved nothing";
    /// Bad frames.
    bad_frames: Counter = "chat_bad_frames", "Frames that could not be understood";
    /// Links lost to the broker.
    links_lost: Counter = "chat_links_lost", "Links to the broker lost";
    /// Signals that were not published.
    signals_dropped: Counter = "chat_signals_dropped", "Signals that were not published";
    /// People counted out for dead nodes: of each of their rooms, and as users.
    swept: Counter = "chat_swept", "People counted out for dead nodes, of each room and as users";
}

impl Metrics {
    /// Metrics that nobody reads: for tests and embedders without a registry.
    #[must_use]
    pub fn unregistered() -> Self {
        Self::new(&mut Registry::default())
    }

    /// Counts that a limit was met.
    pub fn limit(&self, limit: &'static str) {
        self.limited.get_or_create(&LimitLabel { limit }).inc();
    }
}
