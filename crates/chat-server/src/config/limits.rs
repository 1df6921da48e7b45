//! The limits of the engine, as the file's table `[limits]`, `--limit` and `CHAT_LIMITS` name them.
//!
//! What each is for and why its default is what it is stands in `chat_core::limits`; here is only
//! between what it may be moved.

use std::ops::RangeInclusive;
use std::time::Duration;

use chat_core::Limits;
use chat_core::limits::{PAGE_MAX, READ_BYTES_MAX, READ_ENTRIES_MAX};
use toml::Value;

use super::problem::Problem;
use super::values::not_a;

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;
const GIB: u64 = 1024 * MIB;
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(24 * 3600);

/// One limit that can be configured.
#[derive(Debug)]
pub(crate) struct LimitKey {
    /// Its name in the file.
    pub(crate) name: &'static str,
    /// Reads a value into its field.
    pub(super) read: fn(&mut Limits, &Value) -> Result<(), Problem>,
    /// Its value, as it would be written.
    #[cfg(test)]
    pub(crate) show: fn(&Limits) -> String,
}

macro_rules! limit_keys {
    ($($name:ident: $kind:ident($range:expr);)*) => {
        /// All of them.
        pub(crate) const LIMIT_KEYS: &[LimitKey] = &[$(LimitKey {
            name: stringify!($name),
            read: |limits, value| {
                limits.$name = $kind(value, $range)?;
                Ok(())
            },
            #[cfg(test)]
            show: |limits| format!("{:?}", limits.$name),
        }),*];
    };
}

limit_keys! {
    log_max: count(1..=10_000_000);
    log_ttl: span(Duration::from_secs(1)..=365 * DAY);
    key_window: span(Duration::from_secs(1)..=30 * DAY);
    append_timeout: span(Duration::from_millis(10)..=5 * MINUTE);
    read_timeout: span(Duration::from_millis(10)..=5 * MINUTE);
    lane_wait: span(Duration::ZERO..=5 * MINUTE);
    lanes: count(1..=1_024);
    lane_queue: count(1..=1_000_000);
    event_queue: count(1..=10_000_000);
    outbox_frames_max: count(1..=1_000_000);
    outbox_bytes_max: count(4 * KIB..=GIB);
    outbox_droppable_max: count(1..=1_000_000);
    hold_max: count(1..=1_000_000);
    gap_wait: span(Duration::ZERO..=Duration::from_secs(10));
    head_check_interval: span(Duration::from_millis(100)..=HOUR);
    unsubscribe_delay: span(Duration::ZERO..=HOUR);
    tail_max: count(0..=10_000);
    tail_bytes_max: count(0..=64 * GIB);
    resume_max: count(1..=READ_ENTRIES_MAX as u64);
    resume_bytes_max: count(KIB..=READ_BYTES_MAX as u64);
    resume_distance_max: count(0..=10_000_000);
    history_default: count(0..=PAGE_MAX as u64);
    rooms_per_connection: count(1..=100_000);
    memberships_max: count(1..=100_000);
    membership_check_interval: span(Duration::from_millis(100)..=HOUR);
    watch_rooms_max: count(0..=10_000);
    watched_rooms_max: count(0..=10_000_000);
    leave_grace: span(Duration::ZERO..=5 * MINUTE);
    node_ttl: span(Duration::from_millis(500)..=10 * MINUTE);
    presence_members_max: count(0..=10_000);
    typing_ttl: span(Duration::from_millis(100)..=5 * MINUTE);
    typing_max: count(1..=10_000);
    heartbeat: span(Duration::from_millis(100)..=10 * MINUTE);
    hello_timeout: span(Duration::from_millis(100)..=5 * MINUTE);
    frame_bytes_max: count(KIB..=MIB);
    bad_frames_max: count(1..=1_000_000);
    isolation_max: span(Duration::from_secs(1)..=30 * DAY);
    connections_max: count(1..=10_000_000);
    connections_per_user: count(0..=1_000_000);
    connections_per_ip: count(0..=10_000_000);
    handshakes_per_ip: count(0..=1_000_000);
    handshakes_burst: count(1..=10_000_000);
    commands_per_second: count(0..=1_000_000);
    commands_burst: count(1..=10_000_000);
    messages_per_user: count(0..=10_000_000);
    messages_per_room: count(0..=10_000_000);
    message_window: span(Duration::from_millis(100)..=DAY);
    new_rooms_per_user: count(0..=1_000_000);
    new_rooms_window: span(Duration::from_millis(100)..=DAY);
    rate_keys_max: count(1..=10_000_000);
    drain_timeout: span(Duration::ZERO..=10 * MINUTE);
}

/// A value out of a flag or the environment, which have no type but text.
pub(super) fn value_from_text(text: &str) -> Value {
    match text.replace('_', "").parse() {
        Ok(number) => Value::Integer(number),
        Err(_) => Value::String(text.to_owned()),
    }
}

fn count<T: TryFrom<u64>>(value: &Value, range: RangeInclusive<u64>) -> Result<T, Problem> {
    let number = value
        .as_integer()
        .ok_or_else(|| not_a(value, "a whole number, such as 200"))?;
    let fitting = u64::try_from(number).ok().filter(|n| range.contains(n));
    let narrowed = fitting.and_then(|number| T::try_from(number).ok());
    narrowed.ok_or_else(|| Problem::OutOfRange {
        found: number.to_string(),
        least: range.start().to_string(),
        most: range.end().to_string(),
    })
}

fn span(value: &Value, range: RangeInclusive<Duration>) -> Result<Duration, Problem> {
    let parsed = value
        .as_str()
        .and_then(|text| humantime::parse_duration(text).ok());
    let duration =
        parsed.ok_or_else(|| not_a(value, "a time with its unit, such as \"250ms\" or \"10s\""))?;
    if range.contains(&duration) {
        return Ok(duration);
    }
    let show = |duration: Duration| humantime::format_duration(duration).to_string();
    Err(Problem::OutOfRange {
        found: show(duration),
        least: show(*range.start()),
        most: show(*range.end()),
    })
}
