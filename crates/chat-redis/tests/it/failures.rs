//! What is promised while connections, servers and nodes fail.

mod presence;
mod pubsub;
mod room_log;
