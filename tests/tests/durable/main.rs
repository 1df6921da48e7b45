//! Real server processes on databases that are killed, stopped, restored and filled while people chat.
//!
//! - `crowd`, `person`: the people, as in the binary `nodes` · `kept`: what a store has kept of them ·
//!   `small_disk`: one that can be filled
//! - `failures`: the scenarios, by store · `rooms`: what holds over two nodes on any store

#[path = "../nodes/crowd.rs"]
#[expect(dead_code, reason = "another binary's tests ask it more")]
mod crowd;
#[path = "../nodes/person.rs"]
#[expect(dead_code, reason = "another binary's tests ask it more")]
mod person;

mod kept;
mod small_disk;

mod failures;
mod rooms;
