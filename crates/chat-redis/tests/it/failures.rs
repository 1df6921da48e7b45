//! What is promised while connections, servers and nodes fail.

mod directory;
mod late;
mod link;
mod moved;
mod people;
mod presence;
mod pubsub;
mod room_log;
mod unread;
