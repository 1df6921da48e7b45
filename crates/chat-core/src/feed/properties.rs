//! The feed against a model of the log, under every interleaving of what can go wrong between.
//!
//! What must hold: an entry is delivered only behind the one that it follows, and never twice; a
//! reset only if the log, when it was asked, no longer had what was delivered, and not more often
//! than it lost something; and once the world is quiet, every feed stands at the log's head.

use proptest::collection::vec;
use proptest::prelude::*;

use crate::limits::FEED_RING;

mod node;
mod world;

use world::{NODES, World};

/// One thing that happens. Numbers are taken modulo what there is to pick from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Op {
    /// Entries are appended, and their envelopes are on their way to every node.
    Append(u8),
    /// One on its way arrives, in any order.
    Arrive(usize, u16),
    /// All on their way arrive, in order.
    ArriveAll(usize),
    /// One on its way is lost.
    Lose(usize, u16),
    /// One that was ever announced arrives once more.
    Repeat(usize, u16),
    /// One that once stood behind what the feed has now arrives (once more): the worst there is.
    Tempt(usize),
    /// A bare head of one that was ever announced arrives.
    BareHead(usize, u16),
    /// A node's link is lost, with all that is on its way; then nothing comes.
    Cut(usize),
    /// It is restored: the head is asked for.
    Restore(usize),
    /// The head is asked for; the log answers; the answer arrives. Three moments.
    AskHead(usize),
    ServeHead(usize, u16),
    HeadArrives(usize, u16),
    /// The broker said that something was lost.
    Doubt(usize),
    /// The driver takes its next step; reads are bounded by the number.
    Drive(usize, u8),
    /// The heads are compared, and everything that is wanted is done, with nothing in between.
    CatchUp(usize),
    /// The step that is under way fails.
    Fail(usize),
    /// A node serves the room anew.
    Begin(usize, u8),
    /// The log forgets its oldest entries.
    Trim(u8),
    /// The log forgets its newest entries.
    RollBack(u8),
    /// The log remembers what a fail-over goes back to; and goes back to it.
    Replicate,
    FailOver,
    /// Everything is lost; or only the head.
    LoseAll,
    LoseHead,
    /// Somebody else starts a new epoch.
    NewEpoch,
}

fn node() -> impl Strategy<Value = usize> {
    0..NODES
}

/// What a network and an honest log do.
fn harmless() -> BoxedStrategy<Op> {
    prop_oneof![
        8 => (1..4_u8).prop_map(Op::Append),
        12 => (node(), any::<u16>()).prop_map(|(node, pick)| Op::Arrive(node, pick)),
        4 => node().prop_map(Op::ArriveAll),
        2 => (node(), any::<u16>()).prop_map(|(node, pick)| Op::Repeat(node, pick)),
        1 => node().prop_map(Op::Tempt),
        10 => (node(), 1..6_u8).prop_map(|(node, max)| Op::Drive(node, max)),
        1 => node().prop_map(Op::Fail),
        1 => (node(), 0..6_u8).prop_map(|(node, recent)| Op::Begin(node, recent)),
    ]
    .boxed()
}

/// What a network does that loses something, which only a comparison of heads finds.
fn lossy() -> BoxedStrategy<Op> {
    prop_oneof![
        3 => (node(), any::<u16>()).prop_map(|(node, pick)| Op::Lose(node, pick)),
        2 => (node(), any::<u16>()).prop_map(|(node, pick)| Op::BareHead(node, pick)),
        1 => node().prop_map(Op::Cut),
        2 => node().prop_map(Op::Restore),
        2 => node().prop_map(Op::AskHead),
        3 => (node(), any::<u16>()).prop_map(|(node, pick)| Op::ServeHead(node, pick)),
        3 => (node(), any::<u16>()).prop_map(|(node, pick)| Op::HeadArrives(node, pick)),
        2 => node().prop_map(Op::CatchUp),
        1 => node().prop_map(Op::Doubt),
        1 => Just(Op::NewEpoch),
        1 => Just(Op::Replicate),
    ]
    .boxed()
}

/// What a log does that lost something.
fn damage() -> BoxedStrategy<Op> {
    prop_oneof![
        3 => (0..8_u8).prop_map(Op::Trim),
        4 => (1..8_u8).prop_map(Op::RollBack),
        2 => Just(Op::FailOver),
        1 => Just(Op::LoseAll),
        1 => Just(Op::LoseHead),
    ]
    .boxed()
}

fn anything() -> BoxedStrategy<Op> {
    prop_oneof![12 => harmless(), 4 => lossy(), 1 => damage()].boxed()
}

proptest! {
    #[test]
    fn every_entry_once_in_order_or_one_reset_per_loss(ops in vec(anything(), 1..120)) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.happen(op));
        world.settle();
    }

    /// The sharpest form: with one loss there is at most one reset, wherever it happens.
    #[test]
    fn one_loss_resets_each_feed_at_most_once(
        before in vec(prop_oneof![3 => harmless(), 1 => lossy()], 1..60),
        loss in damage(),
        after in vec(prop_oneof![3 => harmless(), 1 => lossy()], 1..60),
    ) {
        let mut world = World::new();
        before.into_iter().for_each(|op| world.happen(op));
        world.happen(loss);
        after.into_iter().for_each(|op| world.happen(op));
        world.settle();
    }

    #[test]
    fn nothing_is_reset_while_the_log_keeps_what_it_has(
        ops in vec(prop_oneof![3 => harmless(), 1 => lossy()], 1..120),
    ) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.happen(op));
        world.settle();
        prop_assert_eq!(world.resets(), 0);
    }

    /// What is late, doubled or swapped is sorted out without ever comparing heads.
    #[test]
    fn what_arrives_in_any_order_needs_no_comparison_of_heads(
        ops in vec(harmless(), 1..120),
        order in vec(any::<u16>(), 64),
    ) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.happen(op));
        world.let_arrive(&order);
        world.assert_in_step();
        prop_assert_eq!(world.resets(), 0);
    }

    /// More than the ring remembers passes, then any of it comes once more.
    #[test]
    fn doubles_older_than_the_ring_reset_nothing(
        ops in vec(prop_oneof![3 => harmless(), 1 => lossy()], 1..20),
        doubles in vec((node(), any::<u16>()), 1..40),
        after in vec(harmless(), 1..20),
    ) {
        let mut world = World::new();
        ops.into_iter().for_each(|op| world.happen(op));
        for _ in 0..FEED_RING / 32 + 2 {
            world.happen(Op::Append(32));
            (0..NODES).for_each(|node| world.happen(Op::ArriveAll(node)));
        }
        for (node, pick) in doubles {
            world.happen(Op::Repeat(node, pick));
            world.happen(Op::Drive(node, 5));
        }
        after.into_iter().for_each(|op| world.happen(op));
        world.settle();
        prop_assert_eq!(world.resets(), 0);
    }
}
