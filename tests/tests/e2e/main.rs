//! People who chat over real WebSockets with the real server, in both codecs.
//!
//! The frames are written and read by hand, so that no client library of this project can make a
//! mistake of the server good, and the server's own codecs are not asked whether they are right.
//!
//! - `wire`: the two codecs · `client`: one connection · `start`: servers with other limits
//! - `hello`, `upgrade`: coming in · `rooms`, `messages`, `history`, `presence`: being there
//! - `unread`: what was not read, and who is told
//! - `tls`: behind it · `tokens`: who may come in, for how long, and where to
//! - `resume`: coming back · `going`: a server that goes
//! - `bad_input`, `bad_fields`, `reflection`, `slow`, `crowds`: clients that misbehave

mod client;
mod start;
mod wire;

mod bad_fields;
mod bad_input;
mod crowds;
mod going;
mod hello;
mod history;
mod members;
mod messages;
mod moving;
mod people;
mod presence;
mod reflection;
mod resume;
mod rooms;
mod slow;
mod tls;
mod tokens;
mod unread;
mod upgrade;

/// Runs each scenario once per codec.
macro_rules! both_codecs {
    ($($scenario:ident),+ $(,)?) => {
        mod json {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(crate::wire::Wire::Json).await;
            })+
        }
        mod msgpack {
            $(#[tokio::test]
            async fn $scenario() {
                super::$scenario(crate::wire::Wire::MessagePack).await;
            })+
        }
    };
}
use both_codecs;
