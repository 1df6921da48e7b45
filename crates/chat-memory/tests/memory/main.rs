//! The embedded backend from outside: its contracts, and what happens at its limits.

mod contracts;
mod limits;
