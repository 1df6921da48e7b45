//! Rooms, members, read markers and when people were seen, in Redis, without a time to live: facts
//! outlive everybody's leaving.
//!
//! What belongs to a room changes in one script. A user's list of rooms is in another place
//! (`membership`): a list may name a room too many for a moment, and never one too few, and whoever
//! reads it asks the room.

use std::sync::Arc;

use async_trait::async_trait;
use chat_core::{
    Access, Authority, Created, Directory, DirectoryError, Edited, Marker, MemberPage, Memberships,
    Millis, NewRoom, Reach, Role, RoomEdit, RoomId, RoomKind, RoomPage, UserId,
};
use redis::{Cmd, FromRedisValue, Pipeline, Value, from_redis_value};

use crate::config::RedisConfig;
use crate::error::ConfigError;
use crate::limits::PIPELINE_CHUNK;
use crate::pubsub::RedisPubSub;
use crate::script;
use crate::shared::Shared;

mod answer;
mod lists;
mod membership;
mod restore;
mod steps;

use answer::damaged;

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

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T> {
        let mut pipe = Pipeline::with_capacity(1);
        pipe.add_command(command);
        let answer = self.run(&mut pipe).await?.pop().unwrap_or(Value::Nil);
        from_redis_value(answer).map_err(|_| damaged("an answer"))
    }

    /// Asks one thing of each, in pipelines of a bounded length.
    async fn ask_each<K: Sync, T: FromRedisValue>(
        &self,
        of: &[K],
        command: impl Fn(&K) -> Cmd + Send + Sync,
    ) -> Result<Vec<T>> {
        let mut found = Vec::with_capacity(of.len());
        for chunk in of.chunks(PIPELINE_CHUNK) {
            let mut pipe = Pipeline::with_capacity(chunk.len());
            for one in chunk {
                pipe.add_command(command(one));
            }
            for answer in self.run(&mut pipe).await? {
                found.push(from_redis_value(answer).map_err(|_| damaged("an answer"))?);
            }
        }
        Ok(found)
    }

    fn access_call(&self, room: &RoomId, user: Option<&UserId>) -> Cmd {
        let keys = &self.shared.keys;
        let mut call =
            script::ACCESS.call(&[keys.facts(room), keys.members(room), keys.markers(room)]);
        call.arg(user.map_or("", UserId::as_str));
        call
    }
}

#[async_trait]
impl Directory for RedisDirectory {
    fn reach(&self) -> Reach {
        Reach::Cluster
    }

    async fn access(&self, room: &RoomId, user: &UserId) -> Result<Option<Access>> {
        let answer = self.ask(self.access_call(room, Some(user))).await?;
        let standing = answer::standing(room, answer)?;
        Ok(standing.map(|(room, role, _)| Access { room, role }))
    }

    async fn enter(&self, room: &RoomId, user: &UserId) -> Result<Access> {
        match self.access(room, user).await? {
            Some(known) if known.role.is_some() || known.room.kind != RoomKind::Open => Ok(known),
            known => self.take_in(room, user, known.is_none()).await,
        }
    }

    async fn create(&self, room: NewRoom) -> Result<Created> {
        match self.created(&room).await? {
            Some(created) => Ok(created),
            None => self.create_new(room).await,
        }
    }

    async fn edit(&self, room: &RoomId, authority: &Authority, edit: RoomEdit) -> Result<Edited> {
        self.change(room, authority, edit).await
    }

    async fn roles(&self, room: &RoomId, users: &[UserId]) -> Result<Vec<Option<Role>>> {
        let members = self.shared.keys.members(room);
        let mut roles = Vec::with_capacity(users.len());
        for chunk in users.chunks(PIPELINE_CHUNK) {
            let mut scores = redis::cmd("ZMSCORE");
            scores.arg(&members);
            for user in chunk {
                scores.arg(user.as_str());
            }
            let scores: Vec<Option<f64>> = self.ask(scores).await?;
            let role = |score: Option<f64>| score.map(answer::role_of_score).transpose();
            for score in scores {
                roles.push(role(score)?);
            }
        }
        Ok(roles)
    }

    async fn members(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<MemberPage> {
        self.page_of_members(room, cursor, max).await
    }

    async fn rooms(&self, cursor: Option<String>, max: usize) -> Result<RoomPage> {
        self.page_of_rooms(cursor, max).await
    }

    async fn memberships(&self, user: &UserId, max: usize) -> Result<Memberships> {
        self.rooms_of(user, max).await
    }

    async fn membership_versions(&self, users: &[UserId]) -> Result<Vec<u64>> {
        let keys = &self.shared.keys;
        let version =
            |user: &UserId| script::VERSION.call(&[keys.about(user), keys.changing(user)]);
        self.ask_each(users, version).await
    }

    async fn mark(
        &self,
        room: &RoomId,
        user: &UserId,
        marker: Marker,
        epoch_start: u64,
    ) -> Result<Marker> {
        let mut call = script::MARK.call(&[self.shared.keys.markers(room)]);
        call.arg(user.as_str())
            .arg(format!("{:016x}", marker.epoch.0))
            // Lua counts in doubles; no log is anywhere near this long.
            .arg(marker.seq.min(1 << 52))
            .arg(epoch_start.min(1 << 52));
        answer::marker(&self.ask::<String>(call).await?)
    }

    async fn marker(&self, room: &RoomId, user: &UserId) -> Result<Option<Marker>> {
        let mut get = redis::cmd("HGET");
        get.arg(self.shared.keys.markers(room)).arg(user.as_str());
        let marker: Option<String> = self.ask(get).await?;
        marker.as_deref().map(answer::marker).transpose()
    }

    async fn markers(&self, room: &RoomId, max: usize) -> Result<Vec<(UserId, Marker)>> {
        self.markers_of(room, max).await
    }

    async fn seen(&self, users: &[(UserId, Millis)]) -> Result<()> {
        let seen = |(user, at_ms): &(UserId, Millis)| {
            let mut call = script::SEEN.call(&[self.shared.keys.about(user)]);
            call.arg(*at_ms);
            call
        };
        self.ask_each::<_, u64>(users, seen).await.map(|_| ())
    }

    async fn last_seen(&self, users: &[UserId]) -> Result<Vec<Option<Millis>>> {
        let seen = |user: &UserId| {
            let mut get = redis::cmd("HGET");
            get.arg(self.shared.keys.about(user)).arg("seen");
            get
        };
        self.ask_each(users, seen).await
    }
}
