//! Steps: what the store refuses once it was given up here, so that one that was stalled on its way
//! does not undo a newer one.

use chat_core::{Change, PresenceError, RoomId, Topic, UserId};
use redis::{Cmd, FromRedisValue, Pipeline, Value, from_redis_value};

use super::{RedisPresence, Result, arrival, millis, unavailable, unexpected};
use crate::limits::PRESENCE_TTL;
use crate::script;

impl RedisPresence {
    /// Takes steps, made for their deadline (us). Answers what each came to; an error if any of them
    /// failed.
    pub(super) async fn steps(&self, steps: impl FnOnce(u64) -> Pipeline) -> Result<Vec<Value>> {
        let answers = self.shared.others.run_in_time(steps).await;
        let answers = answers.map_err(|error| unavailable(&error))?;
        let answers = answers.into_iter().collect::<Result<_, _>>();
        answers.map_err(|error| PresenceError::Unavailable(error.to_string()))
    }

    /// Takes one step.
    pub(super) async fn step<T: FromRedisValue>(&self, call: impl FnOnce(u64) -> Cmd) -> Result<T> {
        let steps = |deadline| {
            let mut pipe = Pipeline::with_capacity(1);
            pipe.add_command(call(deadline));
            pipe
        };
        let answer = self.steps(steps).await?.pop().ok_or_else(unexpected)?;
        from_redis_value(answer).map_err(|_| unexpected())
    }

    /// Counts a user into a room for the node of this name.
    pub(super) async fn count_in(
        &self,
        name: &str,
        room: &RoomId,
        user: &UserId,
    ) -> Result<Change> {
        let shared = &self.shared;
        let keys = shared.keys.presence(room, name);
        let steps = |deadline_us: u64| {
            let mut pipe = Pipeline::with_capacity(3);
            // Also for a room that was entered before: Redis may have been emptied meanwhile, and until
            // the next renewal finds out, whoever comes under this name must be found by its sweepers.
            self.enter_node(&mut pipe, name);
            pipe.cmd("SADD")
                .arg(shared.keys.node_rooms(name))
                .arg(room.as_str());
            let mut call = script::JOIN.call(&[keys.occ, keys.users, keys.more]);
            call.arg(deadline_us)
                .arg(user.as_str())
                .arg(millis(PRESENCE_TTL))
                .arg(shared.keys.channel(&Topic::Room(room.clone())));
            for piece in arrival::pieces(shared.instance, room, user, true) {
                call.arg(piece);
            }
            pipe.add_command(call);
            pipe
        };
        // Without its intent a count could outlive its node: then the engine mends it.
        let answer = self.steps(steps).await?.pop().ok_or_else(unexpected)?;
        self.node.lock().add_room(name, room);
        let (edge, count, at_ms): (u64, u64, u64) =
            from_redis_value(answer).map_err(|_| unexpected())?;
        Ok(change(edge, count, at_ms))
    }

    /// Counts users out of a room for the node of this name. Answers how many the node has left there,
    /// the time (ms), and for each user whether that was an edge, and the number of users after him.
    pub(super) async fn count_out(
        &self,
        name: &str,
        room: &RoomId,
        users: &[UserId],
    ) -> Result<Vec<u64>> {
        let shared = &self.shared;
        let keys = shared.keys.presence(room, name);
        let call = |deadline_us: u64| {
            let mut call = script::LEAVE.call(&[keys.occ, keys.users, keys.more]);
            call.arg(deadline_us)
                .arg(shared.keys.channel(&Topic::Room(room.clone())));
            for user in users {
                call.arg(user.as_str());
                for piece in arrival::pieces(shared.instance, room, user, false) {
                    call.arg(piece);
                }
            }
            call
        };
        self.step(call).await
    }

    /// Takes a room off what the node of this name has to be swept of.
    pub(super) async fn clear_room(&self, name: &str, room: &str) -> Result<()> {
        let entered = self.shared.keys.node_rooms(name);
        let call = |deadline_us| take_off_call("SREM", &entered, &[room], deadline_us);
        self.step::<u64>(call).await.map(drop)
    }
}

/// Takes names off a set (`SREM`) or a sorted set (`ZREM`), unless the deadline has passed.
pub(super) fn take_off_call(command: &str, key: &str, names: &[&str], deadline_us: u64) -> Cmd {
    let mut call = script::TAKE_OFF.call(&[key]);
    call.arg(deadline_us).arg(command).arg(names);
    call
}

pub(super) fn change(edge: u64, count: u64, at_ms: u64) -> Change {
    Change {
        edge: edge == 1,
        count,
        at_ms,
        announced: true,
    }
}
