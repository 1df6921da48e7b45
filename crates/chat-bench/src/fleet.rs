//! All connections of a run, on their threads, and the orders that they are given.

use std::io::Write as _;
use std::sync::Arc;
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, anyhow, ensure};
use tokio::runtime;
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};

use crate::client::{Client, Desk, Orders};
use crate::clock::Clock;
use crate::counters::{Count, Counters};
use crate::limits::{LOOK, STOPPED};
use crate::plan::{Plan, Seat};
use crate::tally::Tally;

/// The connections of a run.
#[derive(Debug)]
pub(crate) struct Fleet {
    plan: Arc<Plan>,
    clock: Clock,
    orders: watch::Sender<Orders>,
    counters: Vec<Arc<Counters>>,
    threads: Vec<JoinHandle<anyhow::Result<Tally>>>,
    progress: Progress,
}

/// Sums of all threads' counters.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Totals {
    /// Connections that have joined.
    pub(crate) present: u64,
    /// Connections that ended and were not meant to.
    pub(crate) lost: u64,
    /// Entries that members were given.
    pub(crate) delivered: u64,
    /// Messages that were sent.
    pub(crate) published: u64,
    /// Messages that were accepted.
    pub(crate) acked: u64,
    /// Messages that have their last answer.
    pub(crate) answered: u64,
}

impl Fleet {
    /// Starts to connect all of them.
    ///
    /// # Errors
    /// A thread does not start.
    pub(crate) fn launch(plan: Plan, quiet: bool) -> anyhow::Result<Self> {
        let plan = Arc::new(plan);
        let clock = Clock::start();
        let (orders, heard) = watch::channel(Orders::default());
        let mut shares: Vec<Vec<Seat>> = vec![Vec::new(); plan.threads as usize];
        for seat in plan.seats() {
            let thread = seat.connection % plan.threads;
            shares[thread as usize].push(seat);
        }
        let mut fleet = Self {
            plan,
            clock,
            orders,
            counters: Vec::new(),
            threads: Vec::new(),
            progress: Progress::new(quiet),
        };
        for (number, seats) in shares.into_iter().enumerate() {
            fleet.start_thread(number, seats, heard.clone())?;
        }
        Ok(fleet)
    }

    fn start_thread(
        &mut self,
        number: usize,
        seats: Vec<Seat>,
        orders: watch::Receiver<Orders>,
    ) -> anyhow::Result<()> {
        let counters = Arc::new(Counters::default());
        self.counters.push(Arc::clone(&counters));
        let (plan, clock) = (Arc::clone(&self.plan), self.clock);
        let work = move || work(plan, clock, counters, seats, orders);
        let thread = thread::Builder::new().name(format!("bench-{number}"));
        self.threads.push(thread.spawn(work)?);
        Ok(())
    }

    /// The run's time.
    pub(crate) fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    /// The sums of all threads.
    pub(crate) fn totals(&self) -> Totals {
        let sum = |count: fn(&Counters) -> &Count| {
            self.counters.iter().map(|one| count(one).value()).sum()
        };
        Totals {
            present: sum(|one| &one.present),
            lost: sum(|one| &one.lost),
            delivered: sum(|one| &one.delivered),
            published: sum(|one| &one.published),
            acked: sum(|one| &one.acked),
            answered: sum(|one| &one.answered),
        }
    }

    /// Gives new orders.
    pub(crate) fn order(&self, change: impl FnOnce(&mut Orders)) {
        self.orders.send_modify(change);
    }

    /// Waits until everybody is there.
    ///
    /// # Errors
    /// Not everybody came in time.
    pub(crate) fn wait_for_all(&mut self, limit: Duration) -> anyhow::Result<()> {
        let all = u64::from(self.plan.connections());
        let there = self.wait(limit, |totals| totals.present >= all)?;
        let present = self.totals().present;
        ensure!(
            there,
            "{present} of {all} connections after {limit:?}{}",
            self.problem()
        );
        Ok(())
    }

    /// Lets time pass.
    ///
    /// # Errors
    /// A thread has ended.
    pub(crate) fn run_for(&mut self, duration: Duration) -> anyhow::Result<()> {
        self.wait(duration, |_| false)?;
        Ok(())
    }

    /// Waits until every message has its answer and every accepted one is delivered to all members.
    /// Answers whether that came to pass.
    ///
    /// # Errors
    /// A thread has ended.
    pub(crate) fn drain(&mut self, limit: Duration) -> anyhow::Result<bool> {
        let hearers = u64::from(self.plan.hearers());
        let is_settled = |totals: &Totals| {
            totals.answered >= totals.published && totals.delivered >= totals.acked * hearers
        };
        let end = Instant::now() + limit;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            if !self.wait(left, is_settled)? {
                return Ok(false);
            }
            // A publisher that has not read the order to stop may send one more.
            let published = self.totals().published;
            self.run_for(STOPPED)?;
            if self.totals().published == published {
                return Ok(true);
            }
        }
    }

    /// Waits until something is so. Answers whether it came to pass.
    ///
    /// # Errors
    /// A thread has ended.
    pub(crate) fn wait(
        &mut self,
        limit: Duration,
        until: impl Fn(&Totals) -> bool,
    ) -> anyhow::Result<bool> {
        let end = Instant::now() + limit;
        loop {
            let totals = self.totals();
            if until(&totals) {
                return Ok(true);
            }
            let now = Instant::now();
            if now >= end {
                return Ok(false);
            }
            if let Some(ended) = self.threads.iter().position(JoinHandle::is_finished) {
                join(self.threads.swap_remove(ended))?;
            }
            self.progress.show(&totals);
            sleep(LOOK.min(end - now));
        }
    }

    /// The latest thing that went wrong, to be put behind something else.
    pub(crate) fn problem(&self) -> String {
        let problem = self.counters.iter().find_map(|one| one.problem.read());
        problem.map_or(String::new(), |problem| format!(": {problem}"))
    }

    /// Ends all connections, and answers what they have seen.
    ///
    /// # Errors
    /// A thread has failed.
    pub(crate) fn finish(self) -> anyhow::Result<Tally> {
        self.orders.send_modify(|orders| orders.finish = true);
        let mut all = Tally::new();
        for thread in self.threads {
            all.merge(join(thread)?);
        }
        Ok(all)
    }
}

fn join(thread: JoinHandle<anyhow::Result<Tally>>) -> anyhow::Result<Tally> {
    thread.join().map_err(|_| anyhow!("a thread panicked"))?
}

/// One thread's work: its connections, each a task, on a runtime of its own.
fn work(
    plan: Arc<Plan>,
    clock: Clock,
    counters: Arc<Counters>,
    seats: Vec<Seat>,
    orders: watch::Receiver<Orders>,
) -> anyhow::Result<Tally> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let desk = Desk::new(plan, clock, counters);
    LocalSet::new().block_on(&runtime, async {
        let mut tasks = JoinSet::new();
        for seat in seats {
            let client = Client::new(std::rc::Rc::clone(&desk), seat)?;
            tasks.spawn_local(client.run(orders.clone()));
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a connection's task failed")?;
        }
        anyhow::Ok(())
    })?;
    Ok(desk.take_tally())
}

/// A line on stderr every second.
#[derive(Debug)]
struct Progress {
    quiet: bool,
    began: Instant,
    next: Duration,
    delivered: u64,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(1);

    fn new(quiet: bool) -> Self {
        Self {
            quiet,
            began: Instant::now(),
            next: Self::EVERY,
            delivered: 0,
        }
    }

    fn show(&mut self, totals: &Totals) {
        let elapsed = self.began.elapsed();
        if self.quiet || elapsed < self.next {
            return;
        }
        self.next = elapsed + Self::EVERY;
        let Totals {
            present,
            published,
            acked,
            delivered,
            lost,
            ..
        } = totals;
        let now = delivered - self.delivered;
        self.delivered = *delivered;
        // Nobody reads it: that is no reason to stop.
        let _ = writeln!(
            std::io::stderr(),
            "{:4.0} s  {present} connected, {lost} lost, {published} published, {acked} acked, \
             {delivered} delivered ({now}/s)",
            elapsed.as_secs_f64(),
        );
    }
}
