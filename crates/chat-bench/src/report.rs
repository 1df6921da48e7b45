//! What came out: for people, and for machines.

use std::collections::BTreeMap;
use std::fmt;

use chat_testkit::history;
use serde_json::{Value, json};

use crate::plan::Plan;
use crate::publisher::Sums;
use crate::scenario::Measured;
use crate::tally::{Tally, Times};

/// What a flood beside the crowd did.
#[derive(Debug)]
pub(crate) struct Noise {
    /// The crowd's latency without it.
    pub(crate) alone_p99_us: f64,
    /// What the flood sent.
    pub(crate) flood: Sums,
    /// How often it was refused.
    pub(crate) flood_refusals: u64,
    /// Messages of the crowd that were refused, with the flood or without.
    pub(crate) limited: u64,
}

/// What came out of a run.
#[derive(Debug)]
pub(crate) struct Report {
    scenario: &'static str,
    conditions: Value,
    /// Connections.
    pub(crate) connections: u64,
    /// Connections that join.
    pub(crate) joining: u64,
    /// Connections that came to have joined, per second.
    pub(crate) connects_per_s: f64,
    /// What was measured in the time that counts.
    pub(crate) measured: Option<Measured>,
    /// Memory of the servers for each connection.
    pub(crate) bytes_per_connection: Option<u64>,
    /// How long it took each time until all had caught up.
    pub(crate) storms_ms: Vec<f64>,
    /// Whether everything had arrived when the run ended.
    pub(crate) drained: bool,
    /// Connections that ended and were not meant to.
    pub(crate) connections_lost: u64,
    /// Connections that were missing in the end.
    pub(crate) absent: u64,
    /// Entries that members were given.
    pub(crate) delivered: u64,
    /// The latest thing that went wrong.
    pub(crate) problem: String,
    history: history::Report,
    seen: Tally,
    noise: Option<Noise>,
    /// An earlier part of the run was not clean.
    earlier_failed: bool,
}

impl Report {
    /// An empty one.
    pub(crate) fn new(scenario: &'static str, plan: &Plan) -> Self {
        let urls: Vec<_> = plan.targets.iter().map(|target| &target.url).collect();
        let conditions = json!({
            "urls": urls,
            "codec": plan.codec.subprotocol(),
            "rooms": plan.rooms,
            "members": plan.members,
            "publishers": plan.publishers,
            "separate_publishers": plan.separate,
            "rate": plan.rate,
            "window": plan.window,
            "bytes": plan.bytes,
            "threads": plan.threads,
        });
        Self {
            scenario,
            conditions,
            connections: plan.connections().into(),
            joining: plan.joining().into(),
            connects_per_s: 0.0,
            measured: None,
            bytes_per_connection: None,
            storms_ms: Vec::new(),
            drained: false,
            connections_lost: 0,
            absent: 0,
            delivered: 0,
            problem: String::new(),
            history: history::Report::default(),
            seen: Tally::new(),
            noise: None,
            earlier_failed: false,
        }
    }

    /// Takes what all threads have seen, and checks it.
    pub(crate) fn take(&mut self, mut seen: Tally) {
        self.history = std::mem::take(&mut seen.checker).finish();
        self.seen = seen;
    }

    /// The time that all but a hundredth of the deliveries took at most.
    pub(crate) fn p99_us(&self) -> f64 {
        self.seen.latency.quantile_us(0.99)
    }

    /// How often a message was refused.
    pub(crate) fn refusals(&self) -> u64 {
        self.seen.refusals.values().sum()
    }

    /// This was beside a flood; `alone` says whether all was well without it.
    pub(crate) fn beside(&mut self, alone: bool, noise: Noise) {
        self.earlier_failed = !alone;
        self.noise = Some(noise);
    }

    fn p99_ratio(&self, noise: &Noise) -> f64 {
        self.p99_us() / noise.alone_p99_us.max(1.0)
    }

    /// Whether every message reached everybody once, in order.
    pub(crate) fn is_clean(&self) -> bool {
        self.history.is_clean() && self.faults().iter().all(|(_, count)| *count == 0)
    }

    /// Entries that came out of order, and messages that entered the log so.
    fn out_of_order(&self) -> u64 {
        self.history.out_of_order + self.seen.sums.swapped
    }

    /// What else must not be.
    fn faults(&self) -> [(&'static str, u64); 8] {
        [
            ("swapped", self.seen.sums.swapped),
            ("resets", self.history.groundless_resets),
            ("unanswered", self.seen.unanswered),
            ("unreadable", self.seen.unreadable),
            ("absent", self.absent),
            ("not_drained", u64::from(!self.drained)),
            ("failed_before", u64::from(self.earlier_failed)),
            // A flood must be nobody else's limit.
            (
                "limited",
                self.noise.as_ref().map_or(0, |noise| noise.limited),
            ),
        ]
    }

    /// One JSON object.
    pub(crate) fn to_json(&self) -> Value {
        let Sums {
            published,
            acked,
            refused,
            resent,
            behind,
            ..
        } = self.seen.sums;
        let measured = self.measured.as_ref();
        let mut json = json!({
            "scenario": self.scenario,
            "ok": self.is_clean(),
            "conditions": self.conditions,
            "connections": self.connections,
            "connects_per_s": self.connects_per_s,
            "connections_lost": self.connections_lost,
            "published": published,
            "acked": acked,
            "refused": refused,
            "refusals": self.seen.refusals,
            "resent": resent,
            "behind": behind,
            "delivered": self.delivered,
            "resumed": self.seen.resumed,
            "lost": self.history.lost,
            "doubled": self.history.doubled,
            "out_of_order": self.out_of_order(),
            "seconds": measured.map(|one| one.seconds),
            "messages_per_s": measured.map(Measured::messages_per_s),
            "deliveries_per_s": measured.map(Measured::deliveries_per_s),
            "server_cpu_s": measured.and_then(|one| one.server_cpu_s),
            "server_cpu_us_per_delivery": measured.and_then(Measured::server_us_per_delivery),
            "bench_cpu_us_per_delivery": measured.and_then(Measured::own_us_per_delivery),
            "bench_cores": measured.and_then(Measured::own_cores),
            "latency_us": times_json(&self.seen.latency),
            "ack_us": times_json(&self.seen.ack),
            "connect_us": times_json(&self.seen.entering),
            "catch_up_us": times_json(&self.seen.catching_up),
            "storms_ms": self.storms_ms,
            "server_bytes_per_connection": self.bytes_per_connection,
        });
        if let Some(noise) = &self.noise {
            json["noise"] = json!({
                "p99_ratio": self.p99_ratio(noise),
                "alone_p99_us": noise.alone_p99_us,
                "flood_acked": noise.flood.acked,
                "flood_refused": noise.flood_refusals,
            });
        }
        for (name, count) in self.faults() {
            json[name] = count.into();
        }
        json
    }
}

fn times_json(times: &Times) -> Value {
    if times.count() == 0 {
        return Value::Null;
    }
    json!({
        "count": times.count(),
        "p50": times.quantile_us(0.5),
        "p99": times.quantile_us(0.99),
        "p99_9": times.quantile_us(0.999),
        "max": times.max_us(),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Sums {
            published,
            acked,
            refused,
            resent,
            behind,
            ..
        } = self.seen.sums;
        self.fmt_conditions(f)?;
        let Self {
            connections,
            connects_per_s,
            connections_lost,
            ..
        } = self;
        writeln!(
            f,
            "connections   {connections}, {connects_per_s:.0}/s, {connections_lost} lost"
        )?;
        write!(
            f,
            "published     {published}, {acked} acked, {refused} refused"
        )?;
        if resent + behind > 0 {
            write!(
                f,
                ", {resent} sent again, {behind} never sent for want of acks"
            )?;
        }
        let (delivered, resumed) = (self.delivered, self.seen.resumed);
        writeln!(
            f,
            "\ndelivered     {delivered}, {resumed} of these by resuming"
        )?;
        self.fmt_measured(f)?;
        fmt_times(f, "latency", &self.seen.latency)?;
        if let Some(noise) = &self.noise {
            let (ratio, alone) = (self.p99_ratio(noise), noise.alone_p99_us);
            writeln!(
                f,
                "beside it     p99 is {ratio:.2} times that without the flood, {alone:.0} µs"
            )?;
            let (acked, refused) = (noise.flood.acked, noise.flood_refusals);
            writeln!(f, "flood         {acked} acked, refused {refused} times")?;
        }
        fmt_times(f, "ack", &self.seen.ack)?;
        fmt_times(f, "connect", &self.seen.entering)?;
        fmt_times(f, "catch up", &self.seen.catching_up)?;
        for ms in &self.storms_ms {
            writeln!(
                f,
                "storm         all {} caught up after {ms:.0} ms",
                self.joining
            )?;
        }
        if let Some(bytes) = self.bytes_per_connection {
            writeln!(
                f,
                "memory        {bytes} bytes of the server per connection"
            )?;
        }
        self.fmt_verdict(f)
    }
}

impl Report {
    fn fmt_conditions(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = &self.conditions;
        let rate = match all["rate"].as_f64() {
            Some(rate) => format!("{rate} messages/s in each"),
            None => format!("a window of {}", all["window"]),
        };
        writeln!(
            f,
            "{:13} {} rooms of {}, {} publishers in each, {rate}, {} bytes, {}, {} servers, {} threads",
            self.scenario,
            all["rooms"],
            all["members"],
            all["publishers"],
            all["bytes"],
            all["codec"].as_str().unwrap_or_default(),
            all["urls"].as_array().map_or(0, Vec::len),
            all["threads"],
        )
    }

    fn fmt_measured(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(measured) = &self.measured else {
            return Ok(());
        };
        writeln!(
            f,
            "rate          {:.0} deliveries/s, {:.0} messages/s, over {:.1} s",
            measured.deliveries_per_s(),
            measured.messages_per_s(),
            measured.seconds,
        )?;
        if let Some(us) = measured.server_us_per_delivery() {
            writeln!(f, "server CPU    {us:.2} µs per delivery")?;
        }
        if let (Some(us), Some(cores)) = (measured.own_us_per_delivery(), measured.own_cores()) {
            writeln!(f, "this tool     {us:.2} µs per delivery, {cores:.2} cores")?;
        }
        Ok(())
    }

    fn fmt_verdict(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lost, doubled) = (self.history.lost, self.history.doubled);
        let out_of_order = self.out_of_order();
        write!(
            f,
            "verdict       {lost} lost, {doubled} doubled, {out_of_order} out of order"
        )?;
        for (name, count) in self.faults() {
            if count > 0 {
                write!(f, ", {count} {name}")?;
            }
        }
        fmt_refusals(f, &self.seen.refusals)?;
        if !self.is_clean() {
            write!(f, "\nFAILED{}", self.problem)?;
            for finding in self.history.findings.iter().take(5) {
                write!(f, "\n  {finding:?}")?;
            }
        }
        Ok(())
    }
}

fn fmt_refusals(f: &mut fmt::Formatter<'_>, refusals: &BTreeMap<String, u64>) -> fmt::Result {
    for (code, count) in refusals {
        write!(f, ", {count} times {code}")?;
    }
    Ok(())
}

fn fmt_times(f: &mut fmt::Formatter<'_>, name: &str, times: &Times) -> fmt::Result {
    if times.count() == 0 {
        return Ok(());
    }
    writeln!(
        f,
        "{name:13} p50 {:.0} µs, p99 {:.0} µs, p99.9 {:.0} µs, max {:.0} µs",
        times.quantile_us(0.5),
        times.quantile_us(0.99),
        times.quantile_us(0.999),
        times.max_us(),
    )
}
