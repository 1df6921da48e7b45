//! Real server processes on one private Redis: nodes that are killed, stand still, start before
//! their Redis, or are replaced one after the other while people chat.
//!
//! - `person`: one connection, followed by hand · `crowd`: many people who chat all the time, come
//!   back by themselves, and hold what they see against what was acked
//! - `load`: everybody talks at once · `redis_server`: what a Redis must be like
//! - `failures`: the scenarios

mod crowd;
mod person;

mod load;
mod redis_server;

mod failures;
