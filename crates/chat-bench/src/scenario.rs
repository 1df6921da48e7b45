//! The scenarios: which orders are given when, and what is measured meanwhile.

mod measure;
mod noisy;

pub(crate) use measure::Measured;

use std::time::{Duration, Instant};

use anyhow::ensure;

use crate::args::{Cli, Common, Scenario, Storm};
use crate::fleet::Fleet;
use crate::plan::Plan;
use crate::process;
use crate::report::Report;
use measure::Measure;

/// How long a server may take to come to rest before its memory is read.
const SETTLE: Duration = Duration::from_secs(1);

/// Runs a scenario.
///
/// # Errors
/// It could not be run, or a server's process could not be read. What a server does wrong is in the
/// report.
pub(crate) fn run(cli: &Cli) -> anyhow::Result<Report> {
    let plan = cli.plan()?;
    match &cli.scenario {
        Scenario::Noisy(options) => noisy::run(cli, &plan, options),
        _ => run_plan(cli, plan),
    }
}

fn run_plan(cli: &Cli, plan: Plan) -> anyhow::Result<Report> {
    let common = &cli.common;
    let mut report = Report::new(cli.scenario.name(), &plan);
    let resident = resident_bytes(common)?;
    let began = Instant::now();
    let mut fleet = Fleet::launch(plan, common.quiet)?;
    fleet.wait_for_all(common.connect_timeout)?;
    report.connects_per_s = report.connections as f64 / began.elapsed().as_secs_f64();
    match &cli.scenario {
        Scenario::Fanout(_) | Scenario::Pingpong(_) | Scenario::Noisy(_) => {
            flow(&mut fleet, common, &mut report)?
        }
        Scenario::Idle(_) => idle(&mut fleet, common, resident, &mut report)?,
        Scenario::Storm(options) => storm(&mut fleet, common, options, &mut report)?,
    }
    report.drained = fleet.drain(common.drain_timeout)?;
    let now = fleet.totals();
    report.connections_lost = now.lost;
    report.absent = report.connections.saturating_sub(now.present);
    report.delivered = now.delivered;
    report.problem = fleet.problem();
    report.take(fleet.finish()?);
    Ok(report)
}

fn publish(fleet: &Fleet, measure_from_ns: u64) {
    let now_ns = fleet.now_ns();
    fleet.order(|orders| {
        orders.publish_from_ns = Some(now_ns);
        orders.measure_from_ns = measure_from_ns;
    });
}

fn flow(fleet: &mut Fleet, common: &Common, report: &mut Report) -> anyhow::Result<()> {
    publish(fleet, fleet.now_ns() + crate::clock::nanos(common.warmup));
    fleet.run_for(common.warmup)?;
    let measure = Measure::begin(fleet.totals(), &common.server_pid)?;
    fleet.run_for(common.duration)?;
    report.measured = Some(measure.end(fleet.totals())?);
    fleet.order(|orders| orders.publish_from_ns = None);
    Ok(())
}

fn idle(
    fleet: &mut Fleet,
    common: &Common,
    before: u64,
    report: &mut Report,
) -> anyhow::Result<()> {
    fleet.run_for(SETTLE)?;
    if !common.server_pid.is_empty() {
        let grown = resident_bytes(common)?.saturating_sub(before);
        report.bytes_per_connection = Some(grown / report.connections.max(1));
    }
    let measure = Measure::begin(fleet.totals(), &common.server_pid)?;
    fleet.run_for(common.duration)?;
    report.measured = Some(measure.end(fleet.totals())?);
    // Whoever is connected must still hear what is said.
    publish(fleet, 0);
    fleet.run_for(Duration::from_secs(1))?;
    fleet.order(|orders| orders.publish_from_ns = None);
    Ok(())
}

fn storm(
    fleet: &mut Fleet,
    common: &Common,
    options: &Storm,
    report: &mut Report,
) -> anyhow::Result<()> {
    publish(fleet, 0);
    fleet.run_for(common.warmup)?;
    let measure = Measure::begin(fleet.totals(), &common.server_pid)?;
    let staying = report.connections - report.joining;
    for _ in 0..options.rounds {
        fleet.order(|orders| orders.away = true);
        let gone = fleet.wait(common.drain_timeout, |totals| totals.present <= staying)?;
        ensure!(gone, "connections do not end{}", fleet.problem());
        fleet.run_for(options.away)?;
        let back_at_ns = fleet.now_ns();
        let began = Instant::now();
        fleet.order(|orders| {
            orders.away = false;
            orders.back_at_ns = back_at_ns;
        });
        fleet.wait_for_all(common.connect_timeout)?;
        report.storms_ms.push(began.elapsed().as_secs_f64() * 1e3);
    }
    fleet.run_for(common.duration)?;
    report.measured = Some(measure.end(fleet.totals())?);
    fleet.order(|orders| orders.publish_from_ns = None);
    Ok(())
}

fn resident_bytes(common: &Common) -> anyhow::Result<u64> {
    let bytes = common
        .server_pid
        .iter()
        .map(|pid| process::resident_bytes(*pid));
    bytes.sum()
}
