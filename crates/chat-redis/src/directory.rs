//! Rooms and members in Redis, without a time to live: facts outlive everybody's leaving.
//!
//! Of two keys in different places the user's list is written first, the room's members after it:
//! a list may name a room too many for a moment, and never one too few.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{Access, Directory, DirectoryError, Reach, Role, Room, RoomId, RoomKind, UserId};
use redis::{Pipeline, Value, from_redis_value};

use crate::config::RedisConfig;
use crate::error::ConfigError;
use crate::pubsub::RedisPubSub;
use crate::script;
use crate::shared::Shared;

type Result<T, E = DirectoryError> = std::result::Result<T, E>;

/// The directory that all nodes share.
#[derive(Debug)]
pub struct RedisDirectory {
    shared: Arc<Shared>,
}

impl RedisDirectory {
    /// A directory with connections of its own.
    ///
    /// # Errors
    /// [`ConfigError`]: the configuration cannot work.
    pub fn new(config: RedisConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            shared: Shared::new(config, chat_core::InstanceId::random())?,
        })
    }

    /// A directory on the Redis of `pubsub`, sharing its connections.
    #[must_use]
    pub fn beside(pubsub: &RedisPubSub) -> Self {
        Self {
            shared: Arc::clone(pubsub.shared()),
        }
    }

    async fn run(&self, pipe: &mut Pipeline) -> Result<Vec<Value>> {
        let answers = self.shared.others.run(pipe).await;
        let answers = answers.map_err(|error| DirectoryError::Unavailable(error.into_why()))?;
        let value = |answer: redis::RedisResult<Value>| {
            answer.map_err(|error| DirectoryError::Unavailable(error.to_string()))
        };
        answers.into_iter().map(value).collect()
    }
}

#[async_trait]
impl Directory for RedisDirectory {
    fn reach(&self) -> Reach {
        Reach::Cluster
    }

    async fn access(&self, room: &RoomId, user: &UserId) -> Result<Option<Access>> {
        let keys = &self.shared.keys;
        let mut pipe = Pipeline::with_capacity(2);
        pipe.cmd("HGETALL").arg(keys.facts(room));
        pipe.cmd("HGET").arg(keys.members(room)).arg(user.as_str());
        let mut answers = self.run(&mut pipe).await?.into_iter();
        let facts = answers.next().unwrap_or(Value::Nil);
        let standing = answers.next().unwrap_or(Value::Nil);
        access(room, facts, standing)
    }

    async fn enter(&self, room: &RoomId, user: &UserId) -> Result<Access> {
        let known = self.access(room, user).await?;
        if let Some(known) = known
            && (known.role.is_some() || known.room.kind != RoomKind::Open)
        {
            return Ok(known);
        }
        let keys = &self.shared.keys;
        let mut pipe = Pipeline::with_capacity(2);
        pipe.cmd("ZADD")
            .arg(keys.user_rooms(user))
            .arg("NX")
            .arg(0)
            .arg(room.as_str());
        let mut call = script::ENTER.call(&[keys.facts(room), keys.members(room)]);
        call.arg(user.as_str());
        pipe.add_command(call);
        let answer = self.run(&mut pipe).await?.pop().unwrap_or(Value::Nil);
        let (facts, standing): (Value, Value) =
            from_redis_value(answer).map_err(|_| damaged("an answer"))?;
        access(room, facts, standing)?.ok_or_else(|| damaged("a room"))
    }
}

fn access(room: &RoomId, facts: Value, standing: Value) -> Result<Option<Access>> {
    let facts: Vec<(String, String)> = from_redis_value(facts).map_err(|_| damaged("a room"))?;
    if facts.is_empty() {
        return Ok(None);
    }
    let of = |name: &str| {
        let mut facts = facts.iter();
        facts.find_map(|(field, value)| (field == name).then_some(value.as_str()))
    };
    let kind = match of("kind") {
        Some("open") => RoomKind::Open,
        Some("private") => RoomKind::Private,
        Some("direct") => RoomKind::Direct,
        _ => return Err(damaged("the kind of a room")),
    };
    let number = |name| of(name).and_then(|digits| digits.parse::<u64>().ok());
    let slow_mode_s = number("slow_mode_s").and_then(|seconds| u32::try_from(seconds).ok());
    let standing: Option<String> =
        from_redis_value(standing).map_err(|_| damaged("a member's standing"))?;
    Ok(Some(Access {
        room: Room {
            id: room.clone(),
            kind,
            name: of("name").map(str::to_owned),
            topic: of("topic").map(str::to_owned),
            slow_mode_s: slow_mode_s.unwrap_or(0),
            created_at_ms: number("created_at").unwrap_or(0),
            version: number("version").unwrap_or(1),
            member_count: number("members").unwrap_or(0),
        },
        role: standing.map(|standing| role(&standing)).transpose()?,
    }))
}

/// The role of a standing, which is a role and since when.
fn role(standing: &str) -> Result<Role> {
    match standing.split(':').next() {
        Some("member") => Ok(Role::Member),
        Some("admin") => Ok(Role::Admin),
        Some("owner") => Ok(Role::Owner),
        _ => Err(damaged("a member's standing")),
    }
}

fn damaged(what: &str) -> DirectoryError {
    DirectoryError::Unavailable(format!("{what} in the directory is damaged"))
}
