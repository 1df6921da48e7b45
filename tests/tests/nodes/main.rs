//! Real server processes on one private Redis: nodes that are killed, stand still, start before
//! their Redis, or are replaced one after the other while people chat.

mod failures;
mod person;
