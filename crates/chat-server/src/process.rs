//! This process as the operating system sees it: how many files it may open, what it uses.

use std::fmt;
use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Files that a node opens besides its connections: listener, broker, logs, and some to spare.
const FILES_BESIDES_CONNECTIONS: u64 = 128;
/// Below this many open files a busy room's people do not all get in; it is what most systems
/// allow without being asked.
const FILES_ENOUGH: u64 = 10_000;

/// Lets the process open as many files as it may, and says how many that is. `None` is no limit.
pub(crate) fn raise_open_files() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current == limit.maximum {
        return limit.current;
    }
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        // Some systems name a maximum that they do not grant.
        Err(_) => limit.current,
    }
}

/// What to say about a limit of open files that is low, if it is.
pub(crate) fn warn_of_few_files(limit: Option<u64>) -> Option<String> {
    let limit = limit.filter(|limit| *limit < FILES_ENOUGH)?;
    let connections = limit.saturating_sub(FILES_BESIDES_CONNECTIONS);
    Some(format!(
        "only {limit} files may be open, which is enough for {connections} connections; raise it \
         with `ulimit -n 65536`, `LimitNOFILE=65536` (systemd) or `--ulimit nofile=65536` (docker)"
    ))
}

/// Memory and open files as gauges, read when somebody asks.
#[derive(Debug)]
pub(crate) struct ProcessCollector;

impl Collector for ProcessCollector {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut gauge = |name, help, unit: Option<&Unit>, value: Option<u64>| {
            // Where there is no /proc there is nothing to tell, which is better than a zero.
            let Some(value) = value.and_then(|value| i64::try_from(value).ok()) else {
                return Ok(());
            };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, unit, gauge.metric_type())?)
        };
        let memory = fs::read_to_string("/proc/self/status").ok();
        gauge(
            "process_resident_memory",
            "Memory of this process that is in use",
            Some(&Unit::Bytes),
            memory.as_deref().and_then(resident_bytes),
        )?;
        let (open, most) = (open_files(), getrlimit(Resource::Nofile).current);
        gauge("process_open_fds", "Open files and sockets", None, open)?;
        gauge("process_max_fds", "Files that may be open", None, most)
    }
}

/// `VmRSS` of a `/proc/PID/status`, which is in KiB.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

/// Since Linux 6.2 the size of the directory is the number of its entries; before, it is 0, and
/// they are counted one by one.
/// <https://git.kernel.org/torvalds/c/f1f1f2569901ec5b9d425f2e91c09a0e320768f3>
fn open_files() -> Option<u64> {
    let directory = "/proc/self/fd";
    let size = fs::metadata(directory).ok()?.len();
    if size > 0 {
        return Some(size);
    }
    u64::try_from(fs::read_dir(directory).ok()?.count()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_in_bytes() {
        let status = "Name:\tchat-server\nVmHWM:\t    9000 kB\nVmRSS:\t    8192 kB\nThreads:\t3\n";
        assert_eq!(resident_bytes(status), Some(8 * 1024 * 1024));
        assert_eq!(resident_bytes("VmRSS:\t many kB"), None);
        assert_eq!(resident_bytes(""), None);
    }

    #[test]
    fn few_files_are_warned_of_with_what_to_do() {
        let warning = warn_of_few_files(Some(1024)).unwrap();
        assert!(warning.contains("only 1024 files") && warning.contains("896 connections"));
        assert!(warning.contains("ulimit -n 65536"));
        assert_eq!(warn_of_few_files(Some(65_536)), None);
        assert_eq!(warn_of_few_files(None), None);
    }

    #[test]
    fn the_limit_of_open_files_ends_at_the_highest_one_allowed() {
        let raised = raise_open_files();
        let limit = getrlimit(Resource::Nofile);
        assert_eq!((raised, limit.current), (limit.maximum, limit.maximum));
    }
}
