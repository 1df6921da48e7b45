//! The life of one connection: enters, takes what comes, publishes, and comes back when it was lost.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use anyhow::{Context as _, bail};
use tokio::sync::{Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use crate::counters::Counters;
use crate::limits::{ENTER_TIMEOUT, RETRY_WAIT};
use crate::member::{self, Member};
use crate::plan::{Plan, Seat};
use crate::tally::Tally;
use crate::timer::Timer;
use crate::wire::{BUFFER_BYTES, Link, Lost, Scanner};

/// What all connections are to do.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Orders {
    /// Publish from this time on.
    pub(crate) publish_from_ns: Option<u64>,
    /// Latencies of messages that are planned before are not noted.
    pub(crate) measure_from_ns: u64,
    /// Members drop their connections and stay away.
    pub(crate) away: bool,
    /// When members were last told to come back.
    pub(crate) back_at_ns: u64,
    /// Everything is over.
    pub(crate) finish: bool,
}

/// What the connections of one thread have in common.
#[derive(Debug)]
pub(crate) struct Desk {
    plan: Arc<Plan>,
    clock: Clock,
    counters: Arc<Counters>,
    scanner: Scanner,
    buffer: RefCell<Box<[u8]>>,
    tally: RefCell<Tally>,
    connecting: Semaphore,
    measure_from_ns: Cell<u64>,
}

impl Desk {
    /// That of a thread.
    pub(crate) fn new(plan: Arc<Plan>, clock: Clock, counters: Arc<Counters>) -> Rc<Self> {
        Rc::new(Self {
            clock,
            counters,
            scanner: Scanner::new(plan.codec),
            buffer: RefCell::new(vec![0; BUFFER_BYTES].into()),
            tally: RefCell::new(Tally::new()),
            connecting: Semaphore::new(plan.connecting as usize),
            measure_from_ns: Cell::new(0),
            plan,
        })
    }

    /// What the thread has seen.
    pub(crate) fn take_tally(&self) -> Tally {
        self.tally.replace(Tally::new())
    }
}

/// One connection.
#[derive(Debug)]
pub(crate) struct Client {
    desk: Rc<Desk>,
    seat: Seat,
    link: Option<Link>,
    member: Member,
    timer: Option<Timer>,
    /// It left because it was told to.
    was_away: bool,
}

impl Client {
    /// One that is about to connect.
    ///
    /// # Errors
    /// No free file descriptor for a publisher's timer.
    pub(crate) fn new(desk: Rc<Desk>, seat: Seat) -> anyhow::Result<Self> {
        let member = Member::new(seat, desk.plan.window);
        let timer = seat.publishes.map(|_| Timer::new()).transpose()?;
        Ok(Self {
            desk,
            seat,
            link: None,
            member,
            timer,
            was_away: false,
        })
    }

    /// Lives until everything is over.
    pub(crate) async fn run(mut self, mut orders: watch::Receiver<Orders>) {
        loop {
            let now = *orders.borrow_and_update();
            if now.finish {
                break;
            }
            self.obey(now);
            if now.away && self.seat.joins {
                self.leave();
                self.was_away = true;
            } else if self.link.is_none() {
                let mut over = orders.clone();
                tokio::select! {
                    () = Box::pin(self.enter(now)) => {}
                    // An error means that nobody is left to tell: over, too.
                    _ = over.wait_for(|orders| orders.finish) => {}
                }
                continue;
            }
            tokio::select! {
                biased;
                changed = orders.changed() => if changed.is_err() { break },
                lost = poll_fn(|context| self.poll(context)), if self.link.is_some() => {
                    self.lost(&lost);
                }
            }
        }
        self.finish();
    }

    fn obey(&mut self, orders: Orders) {
        self.desk.measure_from_ns.set(orders.measure_from_ns);
        let Some(publisher) = &mut self.member.publisher else {
            return;
        };
        match orders.publish_from_ns {
            Some(from_ns) if !publisher.has_begun() => publisher.begin(from_ns),
            None if publisher.has_begun() => publisher.end(self.desk.clock.now_ns()),
            _ => {}
        }
    }

    async fn enter(&mut self, orders: Orders) {
        let entered = timeout(ENTER_TIMEOUT, self.try_enter()).await;
        let entered = entered.context("joining took too long").flatten();
        let desk = Rc::clone(&self.desk);
        match entered {
            Ok(began_ns) => {
                let now_ns = desk.clock.now_ns();
                let tally = &mut desk.tally.borrow_mut();
                tally.entering.record(now_ns - began_ns);
                if std::mem::take(&mut self.was_away) {
                    tally
                        .catching_up
                        .record(now_ns.saturating_sub(orders.back_at_ns));
                }
                desk.counters.present.add(1);
            }
            Err(error) => {
                self.link = None;
                desk.counters.problem.leave(format!("{error:#}"));
                sleep(RETRY_WAIT).await;
            }
        }
    }

    /// Answers when it began, not counting the time that it waited for others.
    async fn try_enter(&mut self) -> anyhow::Result<u64> {
        let desk = Rc::clone(&self.desk);
        let _permit = desk.connecting.acquire().await?;
        let began_ns = desk.clock.now_ns();
        let target = &desk.plan.targets[self.seat.target];
        let link = Link::connect(target, desk.plan.codec).await;
        let mut link = link.with_context(|| target.url.clone())?;
        for frame in self.member.greet(&desk.plan) {
            link.push(&frame);
        }
        self.link = Some(link);
        let lost = poll_fn(|context| match self.poll(context) {
            Poll::Ready(lost) => Poll::Ready(Some(lost)),
            Poll::Pending if self.member.here || self.member.refused.is_some() => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        });
        if let Some(lost) = lost.await {
            bail!("not let in: {lost}");
        }
        match &self.member.refused {
            Some(code) => bail!("not let in: {code}"),
            None => Ok(began_ns),
        }
    }

    /// Takes and says whatever there is. Ready when the connection has ended.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Lost> {
        let result = self.try_poll(context);
        match ready!(result) {
            Ok(never) => match never {},
            Err(lost) => Poll::Ready(lost),
        }
    }

    fn try_poll(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<std::convert::Infallible, Lost>> {
        // Tokio ends this loop with Pending when other tasks have waited for long enough.
        while self.poll_read(context)?.is_ready() {}
        let Self {
            desk, link, member, ..
        } = self;
        let Some(link) = link else {
            return Poll::Pending;
        };
        if member.join_again {
            link.push(&member.join(&desk.plan));
        }
        if member.publisher.is_none() || !member.here {
            let _ = link.poll_flush(context)?;
            return Poll::Pending;
        }
        self.poll_publish(context)
    }

    fn poll_read(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let Self {
            desk, link, member, ..
        } = self;
        let Some(link) = link else {
            return Poll::Pending;
        };
        let buffer = &mut *desk.buffer.borrow_mut();
        let tally = &mut *desk.tally.borrow_mut();
        let mut entries = 0;
        let mut held = member::Context {
            plan: &desk.plan,
            scanner: &desk.scanner,
            counters: &desk.counters,
            tally,
            now_ns: 0,
            measure_from_ns: desk.measure_from_ns.get(),
        };
        let polled = link.poll_read(context, buffer, |frame| {
            // What came with one read came at one time.
            if held.now_ns == 0 {
                held.now_ns = desk.clock.now_ns();
            }
            entries += member.take(&mut held, frame);
        });
        if entries > 0 {
            desk.counters.delivered.add(entries);
        }
        polled
    }

    fn poll_publish(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Result<std::convert::Infallible, Lost>> {
        let Self {
            desk,
            link,
            member,
            timer,
            ..
        } = self;
        let (Some(link), Some(timer)) = (link, timer) else {
            return Poll::Pending;
        };
        loop {
            let now_ns = desk.clock.now_ns();
            while link.has_room()
                && let Some(publisher) = &mut member.publisher
                && let Some(due) = publisher.due(now_ns)
            {
                link.push(&member.send(&desk.plan, due));
                // What is sent again was counted before.
                desk.counters.published.add(u64::from(due.is_new));
            }
            let flushed = link.poll_flush(context)?;
            if flushed.is_pending() && !link.has_room() {
                return Poll::Pending;
            }
            let wake_ns = member
                .publisher
                .as_ref()
                .and_then(|one| one.wake_ns(now_ns));
            let Some(wake_ns) = wake_ns else {
                return Poll::Pending;
            };
            ready!(timer.poll_until(context, now_ns, wake_ns)).map_err(Lost::Broken)?;
        }
    }

    fn lost(&mut self, lost: &Lost) {
        self.desk.counters.lost.add(1);
        self.desk.counters.problem.leave(lost.to_string());
        self.leave();
    }

    fn leave(&mut self) {
        if self.link.take().is_none() {
            return;
        }
        self.desk.counters.present.subtract(1);
        self.member.left(&mut self.desk.tally.borrow_mut());
    }

    fn finish(self) {
        let tally = &mut *self.desk.tally.borrow_mut();
        if let Some(publisher) = &self.member.publisher {
            tally.sums.add(publisher.sums());
            tally.unanswered += publisher.unanswered();
        }
    }
}
