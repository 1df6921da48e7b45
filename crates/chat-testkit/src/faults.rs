//! Wrappers that make any backend misbehave on purpose, by seed.
//!
//! What happens to an envelope or a call is drawn from a generator with a given seed, one draw per
//! envelope or call in the order in which they come: the same order gives the same faults.

mod directory;
mod pubsub;
mod room_log;

pub use directory::FaultyDirectory;
pub use pubsub::{EnvelopeFaults, FaultyPubSub};
pub use room_log::{FaultyRoomLog, LogFaults};

/// Out of a thousand.
pub type PerMille = u16;

fn happens(random: &mut fastrand::Rng, chance: PerMille) -> bool {
    // No draw for what never happens, so that switching one fault on does not move the others.
    chance > 0 && random.u16(..1_000) < chance
}
