//! Many nodes over one Redis that is harmed while people chat: what was promised still holds.
//!
//! The nodes are engines in this process, each behind a link of its own; the redis-server is a
//! private one. Real sockets lie between them, so that they fail as sockets do.
//!
//! - `fork`: a link that fails in its halves · `cluster`: the nodes · `client`: who chats, and what
//!   he notes of it · `person`: who says what a scenario asks · `run`: a scenario from the first join to the last key · `leftovers`: the keys
//!   that may be there when everybody has left
//! - `failures`: the scenarios, by what fails

mod client;
mod cluster;
mod fork;
mod leftovers;
mod notes;
mod person;
mod run;

mod failures;
