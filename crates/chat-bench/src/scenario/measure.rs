//! What happens and what is used between two moments.

use std::time::{Duration, Instant};

use crate::fleet::Totals;
use crate::process;

/// A measurement that has begun.
#[derive(Debug)]
pub(super) struct Measure {
    began: Instant,
    totals: Totals,
    servers: Vec<u32>,
    server_cpu: Duration,
    own_cpu: Option<Duration>,
}

/// A measurement that is over.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Measured {
    /// How long it took.
    pub(crate) seconds: f64,
    /// Messages that were accepted.
    pub(crate) acked: u64,
    /// Entries that members were given.
    pub(crate) delivered: u64,
    /// CPU time of the servers, in seconds; nothing if none was named.
    pub(crate) server_cpu_s: Option<f64>,
    /// CPU time of this tool, in seconds.
    pub(crate) own_cpu_s: Option<f64>,
}

impl Measure {
    pub(super) fn begin(totals: Totals, servers: &[u32]) -> anyhow::Result<Self> {
        Ok(Self {
            began: Instant::now(),
            totals,
            servers: servers.to_vec(),
            server_cpu: cpu(servers)?,
            own_cpu: own_cpu(),
        })
    }

    pub(super) fn end(self, totals: Totals) -> anyhow::Result<Measured> {
        let server_cpu = cpu(&self.servers)?.saturating_sub(self.server_cpu);
        let own_cpu = own_cpu().zip(self.own_cpu);
        Ok(Measured {
            seconds: self.began.elapsed().as_secs_f64(),
            acked: totals.acked - self.totals.acked,
            delivered: totals.delivered - self.totals.delivered,
            server_cpu_s: (!self.servers.is_empty()).then_some(server_cpu.as_secs_f64()),
            own_cpu_s: own_cpu.map(|(now, then)| now.saturating_sub(then).as_secs_f64()),
        })
    }
}

impl Measured {
    /// Messages that were accepted, per second.
    pub(crate) fn messages_per_s(&self) -> f64 {
        self.acked as f64 / self.seconds
    }

    /// Deliveries per second.
    pub(crate) fn deliveries_per_s(&self) -> f64 {
        self.delivered as f64 / self.seconds
    }

    /// What one delivery costs all servers together, in microseconds of CPU time.
    pub(crate) fn server_us_per_delivery(&self) -> Option<f64> {
        self.us_per_delivery(self.server_cpu_s?)
    }

    /// What one delivery costs this tool.
    pub(crate) fn own_us_per_delivery(&self) -> Option<f64> {
        self.us_per_delivery(self.own_cpu_s?)
    }

    /// The part of one core that this tool used.
    pub(crate) fn own_cores(&self) -> Option<f64> {
        Some(self.own_cpu_s? / self.seconds)
    }

    fn us_per_delivery(&self, seconds: f64) -> Option<f64> {
        (self.delivered > 0).then(|| seconds * 1e6 / self.delivered as f64)
    }
}

fn cpu(servers: &[u32]) -> anyhow::Result<Duration> {
    servers.iter().map(|pid| process::cpu(*pid)).sum()
}

/// Where there is no `/proc` nobody needs it.
fn own_cpu() -> Option<Duration> {
    process::cpu(std::process::id()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_of_the_time_measured() {
        let measured = Measured {
            seconds: 2.0,
            acked: 100,
            delivered: 1_000,
            server_cpu_s: Some(0.5),
            own_cpu_s: Some(1.0),
        };
        assert_eq!(measured.messages_per_s(), 50.0);
        assert_eq!(measured.deliveries_per_s(), 500.0);
        assert_eq!(measured.server_us_per_delivery(), Some(500.0));
        assert_eq!(measured.own_us_per_delivery(), Some(1_000.0));
        assert_eq!(measured.own_cores(), Some(0.5));
        let nothing = Measured {
            delivered: 0,
            ..measured
        };
        assert_eq!(nothing.server_us_per_delivery(), None);
    }

    #[test]
    fn only_what_happens_meanwhile_counts() {
        let at = |acked, delivered| Totals {
            acked,
            delivered,
            ..Totals::default()
        };
        let measured = Measure::begin(at(5, 50), &[])
            .unwrap()
            .end(at(7, 70))
            .unwrap();
        assert_eq!((measured.acked, measured.delivered), (2, 20));
        assert_eq!(measured.server_cpu_s, None);
    }
}
