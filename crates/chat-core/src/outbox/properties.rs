//! The outbox policy under any order of pushes, takes and closes.
//!
//! What must hold: what must arrive comes out in order, each once, or the connection is evicted;
//! droppable events evict nobody, and of each key the newest one that was taken in comes out last;
//! nothing grows beyond its limit.

use std::collections::{HashMap, VecDeque};

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::ids::UserId;

const LIMITS: OutboxLimits = OutboxLimits {
    frames: 6,
    bytes: 2_000,
    droppable: 3,
};

#[derive(Debug, Clone, Copy)]
enum Op {
    /// An answer (192 bytes) or an error (256).
    Answer(bool),
    /// A user of a room starts or stops to type; nobody must know.
    Typing(u8, u8, bool),
    /// A user comes or goes.
    Presence(u8, u8, bool),
    Take(usize),
    TakeMissed,
    Close(CloseReason),
    Cork,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let (room, user) = (0..4_u8, 0..3_u8);
    let reason = prop_oneof![
        Just(CloseReason::GoingAway),
        Just(CloseReason::Gone),
        Just(CloseReason::TooSlow)
    ];
    let op = prop_oneof![
        6 => any::<bool>().prop_map(Op::Answer),
        3 => (room.clone(), user.clone(), any::<bool>()).prop_map(|(r, u, on)| Op::Typing(r, u, on)),
        3 => (room, user, any::<bool>()).prop_map(|(r, u, on)| Op::Presence(r, u, on)),
        4 => (0..5_usize).prop_map(Op::Take),
        1 => Just(Op::TakeMissed),
        1 => reason.prop_map(Op::Close),
    ];
    let corked = prop_oneof![Just(vec![]), Just(vec![Op::Cork])];
    (corked, vec(op, 1..80)).prop_map(|(mut first, rest)| {
        first.extend(rest);
        first
    })
}

#[derive(Default)]
struct Model {
    queue: OutboxQueue,
    pushed: u64,
    /// Ids of answers that must come out, in order.
    owed: VecDeque<u64>,
    /// The newest droppable event that was taken in, by key, until it comes out.
    newest: HashMap<u64, Arc<Delivery>>,
    /// Rooms of which a coming or going was dropped and not told yet.
    missed: Vec<RoomId>,
}

fn names(room: u8, user: u8) -> (RoomId, UserId) {
    let room = RoomId::new(format!("r{room}")).unwrap();
    (room, UserId::new(format!("u{user}")).unwrap())
}

impl Model {
    fn answer(&mut self, good: bool) {
        self.pushed += 1;
        let result = if good {
            Ok(Answer::Done)
        } else {
            Err(ServiceError::Internal)
        };
        let frame = Outgoing::Answer {
            id: Some(self.pushed),
            result: Box::new(result),
        };
        let was_closed = self.queue.closed().is_some();
        let fits = self.owed.len() < LIMITS.frames
            && (self.owed.is_empty() || self.queue.bytes + frame.size_hint() <= LIMITS.bytes);
        let pushed = self.queue.push(frame, &LIMITS);
        match pushed {
            Pushed::Queued => self.owed.push_back(self.pushed),
            Pushed::Overflow => self.forget(),
            Pushed::Closed | Pushed::Coalesced | Pushed::Dropped => {}
        }
        let expected = match (was_closed, fits) {
            (true, _) => Pushed::Closed,
            (false, true) => Pushed::Queued,
            (false, false) => Pushed::Overflow,
        };
        assert_eq!(pushed, expected);
        if pushed == Pushed::Overflow {
            assert_eq!(self.queue.closed(), Some(CloseReason::TooSlow));
        }
    }

    fn droppable(&mut self, event: Event) {
        let delivery = Delivery::new(event);
        let closed = self.queue.closed();
        let pushed = self
            .queue
            .push(Outgoing::Event(Arc::clone(&delivery)), &LIMITS);
        assert_eq!(self.queue.closed(), closed, "droppable events evict nobody");
        match pushed {
            Pushed::Queued | Pushed::Coalesced => {
                let key = delivery.coalesce_key().unwrap();
                let before = self.newest.insert(key, delivery);
                assert_eq!(before.is_some(), pushed == Pushed::Coalesced);
            }
            Pushed::Dropped => {
                let event = delivery.event();
                if let Event::UserJoined { room, .. } | Event::UserLeft { room, .. } = event
                    && !self.missed.contains(room)
                {
                    self.missed.push(room.clone());
                }
            }
            Pushed::Closed => assert!(closed.is_some()),
            Pushed::Overflow => panic!("a droppable event overflowed"),
        }
    }

    fn take(&mut self, max: usize) {
        if self.queue.is_empty() {
            return;
        }
        let mut taken = Vec::new();
        self.queue.take(&mut taken, max);
        assert!(taken.len() <= max);
        for frame in taken {
            match frame {
                Outgoing::Answer { id, .. } => assert_eq!(id, self.owed.pop_front()),
                Outgoing::Event(delivery) => {
                    assert!(self.owed.is_empty(), "what must arrive goes first");
                    let newest = self.newest.remove(&delivery.coalesce_key().unwrap());
                    assert_eq!(newest.unwrap().event(), delivery.event());
                }
            }
        }
    }

    fn uncork(&mut self) {
        self.pushed += 1;
        if self.queue.closed().is_none() {
            self.owed.push_front(self.pushed);
        }
        let result = Box::new(Ok(Answer::Done));
        let id = Some(self.pushed);
        self.queue.uncork(Outgoing::Answer { id, result });
    }

    fn close(&mut self, reason: CloseReason) {
        let first = self.queue.closed().is_none();
        self.queue.close(reason);
        if first && matches!(reason, CloseReason::TooSlow | CloseReason::Gone) {
            self.forget();
        }
    }

    fn forget(&mut self) {
        self.owed.clear();
        self.newest.clear();
    }

    fn check(&self) {
        // One frame goes in front of all others when the cork comes out.
        assert!(self.queue.frames.len() <= LIMITS.frames + 1);
        assert!(self.queue.droppable.len() <= LIMITS.droppable);
        assert_eq!(self.queue.frames.len(), self.owed.len());
        assert_eq!(self.queue.droppable.len(), self.newest.len());
        let bytes: usize = self.queue.frames.iter().map(Outgoing::size_hint).sum();
        assert_eq!(self.queue.bytes, bytes);
    }
}

proptest! {
    #[test]
    fn what_must_arrive_does_in_order_or_the_connection_is_evicted(ops in ops()) {
        let mut model = Model::default();
        for op in ops {
            match op {
                Op::Answer(good) => model.answer(good),
                Op::Typing(room, user, active) => {
                    let (room, user) = names(room, user);
                    model.droppable(Event::Typing { room, user, active });
                }
                Op::Presence(room, user, true) => {
                    let (room, user) = names(room, user);
                    model.droppable(Event::UserJoined { room, user, at_ms: 1 });
                }
                Op::Presence(room, user, false) => {
                    let (room, user) = names(room, user);
                    model.droppable(Event::UserLeft { room, user, at_ms: 2 });
                }
                Op::Take(max) => model.take(max),
                Op::TakeMissed => {
                    let missed = std::mem::take(&mut model.missed);
                    prop_assert_eq!(model.queue.take_missed(), missed);
                }
                Op::Close(reason) => model.close(reason),
                Op::Cork => model.queue.corked = true,
            }
            model.check();
        }
        if model.queue.corked {
            model.uncork();
        }
        model.take(usize::MAX);
        prop_assert!(model.owed.is_empty() && model.newest.is_empty());
        prop_assert_eq!(model.queue.take_missed(), model.missed);
    }
}
