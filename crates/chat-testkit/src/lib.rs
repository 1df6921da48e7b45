//! What the tests of this workspace, and of whoever writes another backend, are made with.
//!
//! # Layout
//! - [`contract`]: the contract of each seam as a suite that any implementation runs
//! - [`faults`]: wrappers that make any broker or log misbehave, by seed
//! - [`history`]: did everybody see every acked message, once, in one order?
//! - [`servers`]: private `redis-server`s and PostgreSQLs, and a TCP proxy that cuts, stalls and slows
//! - [`Certificate`]: a certificate for a server of a test
//! - [`make`]: names and entries for tests; `wait`: waiting for something, with a limit
//!
//! # Example
//! ```
//! use chat_testkit::make;
//!
//! let room = make::room("general");
//! let hello = make::say(&room, &make::user("alice"), "hello");
//! assert!(hello.precondition.is_none());
//! ```

pub mod contract;
pub mod faults;
pub mod history;
pub mod make;
pub mod servers;

mod certificate;
mod wait;

pub use certificate::Certificate;
pub use wait::{eventually, run, within};
