//! What fails, and what everybody sees of it. `run` checks after each that every acked message was
//! seen once, in one order, by everybody, that nobody was said to have left, and what keys are left.

mod clock;
mod limits;
mod log;
mod members;
mod memory;
mod publisher;
mod server;
mod subscriber;
