//! A private redis-server, and short words for what tests do to it.

use chat_testkit::servers::{RedisOptions, RedisServer};
use redis::{Client, Value, cmd};

pub(crate) struct Server(RedisServer);

/// What a command answered.
pub(crate) struct Answer(Value);

impl Server {
    pub(crate) async fn start() -> Self {
        Self(RedisServer::start().await)
    }

    /// One that keeps its data when killed.
    pub(crate) async fn durable() -> Self {
        let options = RedisOptions {
            append_only: true,
            ..RedisOptions::default()
        };
        Self(RedisServer::start_with(options).await)
    }

    pub(crate) fn url(&self) -> String {
        self.0.url()
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.address().port()
    }

    /// Kills it, as a crash would.
    pub(crate) fn stop(&mut self) {
        self.0.kill();
    }

    /// Starts it again where it was, with its data if it kept any.
    pub(crate) async fn restart(&mut self) {
        self.0.start_again().await;
    }

    pub(crate) fn pause(&self) {
        self.0.pause();
    }

    pub(crate) fn resume(&self) {
        self.0.resume();
    }

    /// Runs one command over a connection of its own.
    pub(crate) fn run(&self, words: &[&str]) -> Answer {
        let client = Client::open(self.url()).unwrap();
        let mut connection = client.get_connection().unwrap();
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        Answer(command.query(&mut connection).unwrap())
    }

    /// All keys, sorted.
    pub(crate) fn keys(&self) -> Vec<String> {
        let mut keys = self.run(&["KEYS", "*"]).lines();
        keys.sort();
        keys
    }
}

impl Answer {
    /// A string's lines, or the strings of a list.
    pub(crate) fn lines(self) -> Vec<String> {
        match self.0 {
            list @ Value::Array(_) => redis::from_redis_value(list).unwrap(),
            text => {
                let text: String = redis::from_redis_value(text).unwrap();
                text.lines().map(str::to_owned).collect()
            }
        }
    }

    pub(crate) fn number(self) -> i64 {
        redis::from_redis_value(self.0).unwrap()
    }
}
