//! What waits to be written to one connection.
//!
//! Answers and events that must arrive wait in order, bounded in frames and bytes; when they do
//! not fit the connection is evicted, because skipping one silently would break the order that
//! the others were promised. Droppable events (typing, presence, receipts) have a small share of
//! their own, where a newer one replaces an older one of the same key; they are written when
//! nothing else waits, and never evict anybody.

mod reason;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::answer::Answer;
use crate::error::ServiceError;
use crate::event::{Delivery, Event};
use crate::ids::RoomId;
use crate::limits::Limits;

pub use reason::CloseReason;

/// One frame on its way to a client, not yet encoded.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Outgoing {
    /// What the client is told.
    Event(Arc<Delivery>),
    /// What it asked for.
    Answer {
        /// The command's id.
        id: Option<u64>,
        /// The answer, or why there is none.
        result: Box<Result<Answer, ServiceError>>,
    },
}

impl Outgoing {
    /// About how many bytes it takes on the wire.
    #[must_use]
    pub fn size_hint(&self) -> usize {
        match self {
            Self::Event(delivery) => delivery.size_hint(),
            Self::Answer { result, .. } => match result.as_ref() {
                Ok(answer) => answer.size_hint(),
                Err(_) => 256,
            },
        }
    }
}

/// What became of something that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits.
    Queued,
    /// It took the place of an older one.
    Coalesced,
    /// It was droppable, and dropped.
    Dropped,
    /// It does not fit, or the connection is closed: evict it (once).
    Overflow,
    /// The connection is closed already.
    Closed,
}

/// The limits of one queue.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutboxLimits {
    pub(crate) frames: usize,
    pub(crate) bytes: usize,
    pub(crate) droppable: usize,
}

impl From<&Limits> for OutboxLimits {
    fn from(limits: &Limits) -> Self {
        Self {
            frames: limits.outbox_frames_max,
            bytes: limits.outbox_bytes_max,
            droppable: limits.outbox_droppable_max,
        }
    }
}

/// The policy, as a value: free of wakers and locks.
#[derive(Debug, Default)]
pub(crate) struct OutboxQueue {
    frames: VecDeque<Outgoing>,
    bytes: usize,
    droppable: VecDeque<Arc<Delivery>>,
    /// Rooms of which a coming or going was dropped: their occupancy is told instead.
    missed: Vec<RoomId>,
    /// Nothing is taken out until the frame comes that goes before all others.
    corked: bool,
    closed: Option<CloseReason>,
    /// The limit that was met, if that is why it is closed.
    overflowed: Option<&'static str>,
}

/// Rooms that a queue remembers as missed; beyond it the client learns by asking.
const MISSED_MAX: usize = 16;

impl OutboxQueue {
    pub(crate) fn push(&mut self, frame: Outgoing, limits: &OutboxLimits) -> Pushed {
        if self.closed.is_some() {
            return Pushed::Closed;
        }
        if let Outgoing::Event(delivery) = &frame
            && let Some(key) = delivery.coalesce_key()
        {
            return self.push_droppable(key, delivery, limits);
        }
        let bytes = frame.size_hint();
        // A frame that is larger than the whole limit is let into an empty queue.
        let too_many = self.frames.len() >= limits.frames;
        let too_large = self.bytes + bytes > limits.bytes && !self.frames.is_empty();
        if too_many || too_large {
            self.overflowed = Some(if too_many {
                "outbox_frames_max"
            } else {
                "outbox_bytes_max"
            });
            self.close(CloseReason::TooSlow);
            return Pushed::Overflow;
        }
        self.bytes += bytes;
        self.frames.push_back(frame);
        Pushed::Queued
    }

    fn push_droppable(
        &mut self,
        key: u64,
        delivery: &Arc<Delivery>,
        limits: &OutboxLimits,
    ) -> Pushed {
        let same = self
            .droppable
            .iter_mut()
            .find(|other| other.coalesce_key() == Some(key));
        if let Some(older) = same {
            older.clone_from(delivery);
            return Pushed::Coalesced;
        }
        if self.droppable.len() < limits.droppable {
            self.droppable.push_back(Arc::clone(delivery));
            return Pushed::Queued;
        }
        if let Event::UserJoined { room, .. } | Event::UserLeft { room, .. } = delivery.event()
            && self.missed.len() < MISSED_MAX
            && !self.missed.contains(room)
        {
            self.missed.push(room.clone());
        }
        Pushed::Dropped
    }

    /// Moves up to `max` frames out. What must arrive goes first.
    pub(crate) fn take(&mut self, into: &mut Vec<Outgoing>, max: usize) {
        let count = self.frames.len().min(max);
        for frame in self.frames.drain(..count) {
            self.bytes -= frame.size_hint();
            into.push(frame);
        }
        if self.frames.is_empty() {
            let count = self.droppable.len().min(max - count);
            into.extend(self.droppable.drain(..count).map(Outgoing::Event));
            // An idle connection keeps no buffers: most connections are idle.
            if self.frames.capacity() > 64 {
                self.frames = VecDeque::new();
            }
            if self.droppable.is_empty() && self.droppable.capacity() > 16 {
                self.droppable = VecDeque::new();
            }
        }
    }

    /// Takes out the cork, and puts the frame that was waited for in front.
    pub(crate) fn uncork(&mut self, frame: Outgoing) {
        self.corked = false;
        if self.closed.is_none() {
            self.bytes += frame.size_hint();
            self.frames.push_front(frame);
        }
    }

    pub(crate) fn take_missed(&mut self) -> Vec<RoomId> {
        std::mem::take(&mut self.missed)
    }

    /// Takes nothing more. What waits is still written, except for a client that does not read.
    pub(crate) fn close(&mut self, reason: CloseReason) {
        if self.closed.is_some() {
            return;
        }
        self.closed = Some(reason);
        self.corked = false;
        if matches!(reason, CloseReason::TooSlow | CloseReason::Gone) {
            self.frames = VecDeque::new();
            self.droppable = VecDeque::new();
            self.bytes = 0;
        }
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.closed
    }

    /// Whether nothing can be taken out.
    pub(crate) fn is_empty(&self) -> bool {
        self.corked || (self.frames.is_empty() && self.droppable.is_empty())
    }

    fn is_half_full(&self, limits: &OutboxLimits) -> bool {
        self.frames.len() > limits.frames / 2 || self.bytes > limits.bytes / 2
    }
}

/// The queue of one connection, with one task that takes out and anybody who puts in.
#[derive(Debug)]
pub(crate) struct Outbox {
    queue: Mutex<OutboxQueue>,
    limits: OutboxLimits,
    reader: AtomicWaker,
    /// Told when the queue was closed or emptied: for whoever waits for room.
    changed: Notify,
}

impl Outbox {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            queue: Mutex::default(),
            limits: limits.into(),
            reader: AtomicWaker::new(),
            changed: Notify::new(),
        }
    }

    pub(crate) fn push(&self, frame: Outgoing) -> Pushed {
        let pushed = self.queue.lock().push(frame, &self.limits);
        self.pushed(pushed);
        pushed
    }

    /// Pushes events under one lock with one wake-up. Answers the worst that became of them.
    pub(crate) fn push_events(&self, events: &[Arc<Delivery>]) -> Pushed {
        let mut worst = Pushed::Queued;
        let mut queue = self.queue.lock();
        for event in events {
            match queue.push(Outgoing::Event(Arc::clone(event)), &self.limits) {
                Pushed::Queued | Pushed::Coalesced => {}
                Pushed::Dropped => worst = Pushed::Dropped,
                failed @ (Pushed::Overflow | Pushed::Closed) => {
                    worst = failed;
                    break;
                }
            }
        }
        drop(queue);
        self.pushed(worst);
        worst
    }

    fn pushed(&self, pushed: Pushed) {
        self.reader.wake();
        // A transport that is held up in a write waits for the close alone.
        if pushed == Pushed::Overflow {
            self.changed.notify_waiters();
        }
    }

    /// Holds everything back until [`Outbox::uncork`].
    pub(crate) fn cork(&self) {
        self.queue.lock().corked = true;
    }

    /// Lets everything go, behind the frame that it waited for.
    pub(crate) fn uncork(&self, frame: Outgoing) {
        self.queue.lock().uncork(frame);
        self.reader.wake();
    }

    /// Whether more than half of its place is taken.
    pub(crate) fn is_half_full(&self) -> bool {
        self.queue.lock().is_half_full(&self.limits)
    }

    pub(crate) fn close(&self, reason: CloseReason) {
        self.queue.lock().close(reason);
        self.reader.wake();
        self.changed.notify_waiters();
    }

    pub(crate) fn closed(&self) -> Option<CloseReason> {
        self.queue.lock().closed()
    }

    /// The limit that it was closed for, by its name.
    pub(crate) fn overflowed(&self) -> Option<&'static str> {
        self.queue.lock().overflowed
    }

    /// Waits for frames and moves up to `max` out, together with the rooms whose occupancy must
    /// be told. Fails once the queue is closed and empty.
    pub(crate) async fn next_batch(
        &self,
        into: &mut Vec<Outgoing>,
        max: usize,
    ) -> Result<Vec<RoomId>, CloseReason> {
        poll_fn(|context| self.poll_batch(context, into, max)).await
    }

    fn poll_batch(
        &self,
        context: &Context<'_>,
        into: &mut Vec<Outgoing>,
        max: usize,
    ) -> Poll<Result<Vec<RoomId>, CloseReason>> {
        if let Some(ready) = self.try_batch(into, max) {
            return Poll::Ready(ready);
        }
        self.reader.register(context.waker());
        // Something may have been pushed between the look and the registration.
        match self.try_batch(into, max) {
            Some(ready) => Poll::Ready(ready),
            None => Poll::Pending,
        }
    }

    fn try_batch(
        &self,
        into: &mut Vec<Outgoing>,
        max: usize,
    ) -> Option<Result<Vec<RoomId>, CloseReason>> {
        let mut queue = self.queue.lock();
        if queue.is_empty() {
            return queue.closed().map(Err);
        }
        queue.take(into, max);
        let missed = if queue.is_empty() {
            queue.take_missed()
        } else {
            Vec::new()
        };
        drop(queue);
        self.changed.notify_waiters();
        Some(Ok(missed))
    }

    /// Waits until at most half of its place is taken (or it is closed): for answers that come in
    /// many parts.
    pub(crate) async fn has_room(&self) {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registers before the look: a change in between is not missed.
            changed.as_mut().enable();
            {
                let queue = self.queue.lock();
                // While it is corked nobody could make room.
                if queue.corked || queue.closed().is_some() || !queue.is_half_full(&self.limits) {
                    return;
                }
            }
            changed.await;
        }
    }

    /// Waits until the queue is closed.
    pub(crate) async fn until_closed(&self) -> CloseReason {
        loop {
            let changed = self.changed.notified();
            tokio::pin!(changed);
            // Registers before the look: a close in between is not missed.
            changed.as_mut().enable();
            if let Some(reason) = self.closed() {
                return reason;
            }
            changed.await;
        }
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
