//! Every limit of the embedded backend, its default and the reason for it.
//!
//! What the engine's own limits already say (`log_max`, `log_ttl`, `key_window`, `node_ttl`, …) is
//! taken over by [`crate::MemoryConfig`] and not repeated here.

/// Topics that one node may want at once. A node serves at most its connections' rooms; this is
/// far above them and far below what would fill a laptop's memory.
pub const TOPICS_PER_NODE_MAX: usize = 1_000_000;
/// Rooms that are remembered, by the log and by the directory. An empty room takes under 1 KiB.
pub const ROOMS_MAX: usize = 100_000;
/// Bytes of all logs together, changed messages included. A laptop can spare half a gigabyte; one
/// room of 10,000 small messages takes about 4 MiB.
pub const LOG_BYTES_MAX: usize = 512 * 1024 * 1024;
/// Idempotency keys of all rooms together. At about 100 bytes each they take at most a quarter of a
/// gigabyte; with the default window of one hour that is 350 keyed sends per second, all day.
pub const KEYS_MAX: usize = 2_500_000;
/// What is given back when the logs have reached their limit: an eighth of it, so that the search
/// for idle rooms is rare.
pub const LOG_BYTES_RELIEF: usize = 8;
/// People on a node, counted per room, whom presence remembers over all nodes.
pub const OCCUPANCIES_MAX: usize = 2_000_000;
/// Users whom presence remembers as online. Ten times what one node lets in.
pub const ONLINE_MAX: usize = 1_000_000;
/// Memberships of all rooms together.
pub const MEMBERSHIPS_MAX: usize = 2_000_000;
/// People of whom the directory remembers anything, members or not: under 200 bytes each.
pub const PEOPLE_MAX: usize = 1_000_000;
/// Read markers of all rooms together. They outlive membership, so they are counted apart.
pub const MARKERS_MAX: usize = 2_000_000;
/// Most members or rooms on one page, and most rooms of one user that are handed out.
pub const DIRECTORY_PAGE_MAX: usize = 10_000;
/// People whom one sweep counts out at a time, so that it does not hold up joins.
pub const SWEEP_MAX: usize = 500;
/// Most people on one page of occupants.
pub const OCCUPANTS_PAGE_MAX: usize = 1_000;
/// Limits that are counted at once, of all nodes. One takes some 200 bytes; there are not many more
/// people who say something in the same span.
pub const RATE_KEYS_MAX: usize = 1_000_000;
/// Keys below which idle ones are not looked for: they take a few hundred KiB.
pub const RATE_KEYS_LOOK: usize = 1_024;
