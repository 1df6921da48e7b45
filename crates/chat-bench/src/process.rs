//! Processes: what the servers' use (CPU time and memory, from `/proc`), and what ours may use.

use std::fs;
use std::time::Duration;

use anyhow::Context;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// CPU time that a process has used, in user and kernel mode.
///
/// # Errors
/// There is no such process, or no `/proc`.
pub(crate) fn cpu(pid: u32) -> anyhow::Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let ticks = cpu_ticks(&stat).with_context(|| format!("{path} is not understood"))?;
    let per_second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_secs_f64(ticks as f64 / per_second as f64))
}

/// Resident memory of a process in bytes. From `smaps_rollup`, because the kernel's cheap counters
/// lag behind by some hundred KiB.
///
/// # Errors
/// As [`cpu`], or the process is another user's.
pub(crate) fn resident_bytes(pid: u32) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let maps = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
    let kib = rss_kib(&maps).with_context(|| format!("{path} is not understood"))?;
    Ok(kib * 1024)
}

/// Every connection is an open file: lets this process have as many as it may. Where that fails,
/// connecting will say so.
pub(crate) fn raise_open_files() {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = maximum;
    let _ = setrlimit(Resource::Nofile, Rlimit { current, maximum });
}

/// Fields 14 and 15 (proc(5)), counted from behind the name, which may contain anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let (_, fields) = stat.rsplit_once(") ")?;
    let mut fields = fields.split(' ').skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

fn rss_kib(maps: &str) -> Option<u64> {
    let line = maps.lines().find_map(|line| line.strip_prefix("Rss:"))?;
    line.trim().strip_suffix(" kB")?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_found_behind_any_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194304 100 0 0 0 250 31 0 0 20 0 4 0 999 1 2";
        assert_eq!(cpu_ticks(stat), Some(281));
        assert_eq!(cpu_ticks("42 (a) S 1"), None);
        assert_eq!(cpu_ticks(""), None);
    }

    #[test]
    fn memory_is_read_in_kib() {
        let maps = "55d0-7ffe ---p 00000000 00:00 0   [rollup]\nRss:      12345 kB\nPss: 1 kB\n";
        assert_eq!(rss_kib(maps), Some(12_345));
        assert_eq!(rss_kib("Pss: 1 kB"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_uses_memory_and_another_does_not_exist() {
        let me = std::process::id();
        assert!(resident_bytes(me).unwrap() > 100_000);
        assert!(cpu(me).is_ok());
        assert!(cpu(u32::MAX).is_err());
    }
}
