//! A crowd alone, and the same crowd beside one sender who floods the server: what he costs it.

use crate::args::{Cli, Noisy};
use crate::fleet::Fleet;
use crate::plan::Plan;
use crate::report::{Noise, Report};
use crate::scenario::{publish, run_plan};

/// Measures the crowd twice.
///
/// # Errors
/// As [`crate::scenario::run`].
pub(super) fn run(cli: &Cli, plan: &Plan, noisy: &Noisy) -> anyhow::Result<Report> {
    let alone = run_plan(cli, plan.clone())?;
    let mut flood = Fleet::launch(flood(plan, noisy), true)?;
    flood.wait_for_all(cli.common.connect_timeout)?;
    publish(&flood, 0);
    // Rooms and keys are those of another run.
    let again = Plan {
        run: fastrand::u64(..),
        ..plan.clone()
    };
    let mut report = run_plan(cli, again)?;
    flood.order(|orders| orders.publish_from_ns = None);
    let seen = flood.finish()?;
    let noise = Noise {
        alone_p99_us: alone.p99_us(),
        flood: seen.sums,
        flood_refusals: seen.refusals.values().sum(),
        limited: alone.refusals() + report.refusals(),
    };
    report.beside(alone.is_clean(), noise);
    Ok(report)
}

/// One user in a room of his own, as fast as it goes. What is refused he tries again.
fn flood(plan: &Plan, noisy: &Noisy) -> Plan {
    Plan {
        run: fastrand::u64(..),
        people: "flood",
        rooms: 1,
        members: 1,
        publishers: 1,
        separate: false,
        speakers_join: false,
        rate: None,
        window: noisy.flood_window,
        threads: 1,
        connecting: 1,
        ..plan.clone()
    }
}
