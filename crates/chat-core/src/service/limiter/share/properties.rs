//! Several nodes with clocks of their own over one store whose answers come late, or not at all.

use proptest::prelude::*;

use super::*;
use crate::ids::UserId;
use crate::rate_limiter::{Ask, RateKey};

/// What a node has said to the store.
#[derive(Debug, Default)]
enum Call {
    #[default]
    None,
    /// On its way there.
    Asked(u64, u64),
    /// On its way back.
    Answered(Grant),
}

#[derive(Debug)]
struct Node {
    share: Share,
    call: Call,
    /// How far its clock is ahead.
    offset: u64,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Pass(u64),
    Use(usize),
    /// The call of a node gets one step further.
    Carry(usize),
    /// It is lost on its way.
    Lose(usize),
}

#[derive(Debug)]
struct World {
    rate: Rate,
    nodes: Vec<Node>,
    store: SlidingWindow,
    now: u64,
    used: Vec<u64>,
}

impl World {
    fn new(rate: Rate, nodes: usize) -> Self {
        let node = |number: usize| Node {
            share: Share::new(rate),
            call: Call::None,
            offset: 10_000 * number as u64,
        };
        Self {
            rate,
            nodes: (0..nodes).map(node).collect(),
            store: SlidingWindow::default(),
            now: 0,
            used: Vec::new(),
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Pass(time) => self.now += time,
            Step::Use(number) => {
                self.use_one(number);
            }
            Step::Carry(number) => self.carry(number),
            Step::Lose(number) => {
                let node = &mut self.nodes[number];
                if !matches!(node.call, Call::None) {
                    (node.call, _) = (Call::None, node.share.stop_waiting());
                    node.share.failed();
                }
            }
        }
    }

    fn use_one(&mut self, number: usize) -> Verdict {
        let node = &mut self.nodes[number];
        let now = self.now + node.offset;
        let verdict = node.share.decide(self.rate, now, false);
        match verdict {
            Verdict::Allowed { .. } => self.used.push(self.now),
            Verdict::Wait => node.share.wait(),
            Verdict::Refused(_) => {}
        }
        if node.share.should_ask() {
            node.share.begin_ask();
            let (spent, wanted) = node.share.ask(now);
            node.call = Call::Asked(spent, wanted);
        }
        // Without shares every use asks, and what is exact is when the answers come at once.
        if verdict == Verdict::Wait && self.rate.share() == 0 {
            self.carry(number);
            self.carry(number);
            return self.use_one(number);
        }
        verdict
    }

    fn carry(&mut self, number: usize) {
        let node = &mut self.nodes[number];
        node.call = match std::mem::take(&mut node.call) {
            Call::None => Call::None,
            Call::Asked(spent, wanted) => {
                let key = RateKey::user(&UserId::new("u").unwrap());
                let ask = Ask {
                    key,
                    rate: self.rate,
                    spent,
                    wanted,
                };
                Call::Answered(self.store.lease(&ask, self.now))
            }
            Call::Answered(grant) => {
                node.share.answered(self.now + node.offset, grant);
                node.share.stop_waiting();
                Call::None
            }
        };
    }

    /// The most that was used in any span.
    fn most(&self) -> u64 {
        let span = self.rate.per_ms();
        let from = |index: usize| {
            let within = self.used[index..].iter();
            within
                .take_while(|at| **at < self.used[index] + span)
                .count()
        };
        (0..self.used.len()).map(from).max().unwrap_or(0) as u64
    }
}

fn steps(nodes: usize) -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        2 => (0_u64..300).prop_map(Step::Pass),
        12 => (0..nodes).prop_map(Step::Use),
        8 => (0..nodes).prop_map(Step::Carry),
        1 => (0..nodes).prop_map(Step::Lose),
    ];
    prop::collection::vec(step, 1..600)
}

proptest! {
    #[test]
    fn no_span_has_more_than_the_limit_and_three_shares_of_each_node(
        max in 1_u64..150,
        steps in steps(3),
    ) {
        let rate = Rate { max, per: Duration::from_millis(1_000) };
        let mut world = World::new(rate, 3);
        for step in steps {
            world.step(step);
        }
        prop_assert!(world.most() <= max + 3 * 3 * rate.share(), "{}", world.most());
    }

    #[test]
    fn one_node_alone_is_exact(max in 1_u64..150, steps in steps(1)) {
        let rate = Rate { max, per: Duration::from_millis(1_000) };
        let mut world = World::new(rate, 1);
        for step in steps {
            world.step(step);
        }
        prop_assert!(world.most() <= max);
    }

    #[test]
    fn who_keeps_two_shares_below_the_limit_is_never_refused(
        max in 1_u64..150,
        pauses in prop::collection::vec(0_u64..120, 1..400),
    ) {
        let rate = Rate { max, per: Duration::from_millis(1_000) };
        let mut world = World::new(rate, 1);
        for pause in pauses {
            world.step(Step::Pass(pause));
            // With one slot, by which windows err.
            let since = world.now.saturating_sub(1_000 + rate.slot_ms());
            let used = world.used.iter().filter(|at| **at >= since).count() as u64;
            if used + 1 + 2 * rate.share() > max {
                continue;
            }
            let mut verdict = world.use_one(0);
            while verdict == Verdict::Wait {
                world.carry(0);
                world.carry(0);
                verdict = world.use_one(0);
            }
            prop_assert!(matches!(verdict, Verdict::Allowed { .. }), "{verdict:?} {world:?}");
            // Answers to what was asked in advance come some time later.
            world.carry(0);
        }
    }
}
