//! Who is where, counted in Redis: per room and user the number of nodes, per node the users; and
//! of each user what every node says of his devices.
//!
//! Liveness is one lease per node, only ever renewed by PEXPIRE, so that one that has ended cannot
//! come back: its node takes a new generation, under a new name. Intent first: a room is entered in
//! the node's set before anybody is counted, and removed after the last one was counted out, so
//! that whoever sweeps a dead node finds all of it.

use std::collections::BTreeSet;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use chat_core::{
    Change, Departure, Ended, InstanceId, Kept, Lease, OccupantPage, Presence, PresenceError,
    Reach, RoomId, Said, Shift, Standing, Swept, UserId,
};
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue, from_redis_value};
use tokio::sync::MutexGuard;
use tokio::time::timeout;

use crate::error::LinkError;
use crate::keys::instance_of;
use crate::limits::{NODES_MAX, PIPELINE_CHUNK, ROOM_LOCKS, SCAN_PAGE};
use crate::pubsub::RedisPubSub;
use crate::script;
use crate::shared::Shared;

mod arrival;
mod devices;
mod lease;
mod node;
mod people;
mod ring;
mod steps;
mod sweep;

use node::Node;
use people::page;
use steps::change;
use sweep::{Sweep, handed_back};

type Result<T, E = PresenceError> = std::result::Result<T, E>;

/// One node's handle of the presence that all nodes share. Whoever comes or leaves is told by the
/// script that counts him, on the room's topic of the `PubSub` that it was built on.
#[derive(Debug)]
pub struct RedisPresence {
    shared: Arc<Shared>,
    node: Mutex<Node>,
    /// One renewal at a time.
    renewing: tokio::sync::Mutex<()>,
    /// A node's steps on one room run one after another.
    rooms: Vec<tokio::sync::Mutex<()>>,
    /// And so do its steps on users.
    people: tokio::sync::Mutex<()>,
}

impl RedisPresence {
    /// The presence of the node of `pubsub`. Its lease begins with its first renewal or join.
    #[must_use]
    pub fn announcing_on(pubsub: &RedisPubSub) -> Self {
        let shared = Arc::clone(pubsub.shared());
        Self {
            node: Mutex::new(Node::new(shared.instance)),
            shared,
            renewing: tokio::sync::Mutex::default(),
            rooms: (0..ROOM_LOCKS)
                .map(|_| tokio::sync::Mutex::default())
                .collect(),
            people: tokio::sync::Mutex::default(),
        }
    }

    async fn ask<T: FromRedisValue>(&self, command: Cmd) -> Result<T> {
        let answer = self.shared.others.run_one(command).await;
        let answer = answer.map_err(|error| unavailable(&error))?;
        from_redis_value(answer).map_err(|_| unexpected())
    }

    /// Waits for the steps on the room that are under way.
    async fn turn(&self, room: &RoomId) -> Result<MutexGuard<'_, ()>> {
        let hash = BuildHasherDefault::<DefaultHasher>::default().hash_one(room);
        let index = usize::try_from(hash % ROOM_LOCKS as u64).unwrap_or_default();
        self.turn_at(&self.rooms[index]).await
    }

    async fn turn_at<'a>(&self, steps: &'a tokio::sync::Mutex<()>) -> Result<MutexGuard<'a, ()>> {
        let limit = self.shared.config.command_timeout;
        timeout(limit, steps.lock())
            .await
            .map_err(|_| PresenceError::Unavailable("earlier steps are not done".to_owned()))
    }
}

#[async_trait]
impl Presence for RedisPresence {
    fn reach(&self) -> Reach {
        Reach::Cluster
    }

    async fn join(&self, room: &RoomId, user: &UserId) -> Result<Change> {
        let _turn = self.turn(room).await?;
        let name = self.name().await?;
        self.count_in(&name, room, user).await
    }

    async fn leave(&self, room: &RoomId, user: &UserId) -> Result<Change> {
        let _turn = self.turn(room).await?;
        let name = self.name().await?;
        let out = self
            .count_out(&name, room, std::slice::from_ref(user))
            .await?;
        let [left, at_ms, edge, count] = out[..] else {
            return Err(unexpected());
        };
        if left == 0 {
            self.node.lock().remove_room(&name, room);
            if let Err(error) = self.clear_room(&name, room.as_str()).await {
                // Harmless: whoever sweeps this generation finds nobody there.
                tracing::debug!(node = %name, %room, %error, "an empty room stays entered");
            }
        }
        Ok(change(edge, count, at_ms))
    }

    async fn fade(&self, room: &RoomId, user: &UserId) -> Result<()> {
        let _turn = self.turn(room).await?;
        let name = self.name().await?;
        let call = |deadline| {
            let mut call = script::FADE.call(&[self.shared.keys.presence(room, &name).occ]);
            call.arg(deadline).arg(user.as_str());
            call
        };
        self.step::<u64>(call).await.map(drop)
    }

    async fn occupants(
        &self,
        room: &RoomId,
        cursor: Option<String>,
        max: usize,
    ) -> Result<OccupantPage> {
        let behind: u64 = match cursor {
            Some(cursor) => cursor.parse().map_err(|_| PresenceError::BadCursor)?,
            None => 0,
        };
        let max = max.clamp(1, SCAN_PAGE);
        let mut call = script::OCCUPANTS.call(&[self.shared.keys.users(room)]);
        // One more than asked for tells whether there is a next page.
        call.arg(behind).arg(max + 1);
        let (count, occupants, last) = page(self.ask(call).await?, max)?;
        Ok(OccupantPage {
            count,
            occupants,
            cursor: last.map(|order| order.to_string()),
        })
    }

    async fn is_active(&self, room: &RoomId) -> Result<bool> {
        let mut exists = redis::cmd("EXISTS");
        exists.arg(self.shared.keys.users(room));
        self.ask(exists).await
    }

    async fn registered(&self, room: &RoomId) -> Result<Vec<UserId>> {
        let Some(name) = self.node.lock().name() else {
            return Ok(Vec::new());
        };
        let occ = self.shared.keys.presence(room, &name).occ;
        let mut users = BTreeSet::new();
        let mut cursor = 0_u64;
        loop {
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&occ).arg(cursor).arg("COUNT").arg(SCAN_PAGE);
            let (next, fields): (u64, Vec<String>) = self.ask(scan).await?;
            let names = fields.iter().step_by(2);
            users.extend(names.filter_map(|user| UserId::new(user).ok()));
            if next == 0 {
                return Ok(users.into_iter().collect());
            }
            cursor = next;
        }
    }

    async fn say(&self, said: Vec<Said>) -> Result<Vec<Shift>> {
        let _turn = self.turn_at(&self.people).await?;
        let name = self.name().await?;
        // Apart, and first: whoever goes is let go even when memory is full.
        let (coming, going): (Vec<_>, Vec<_>) = said
            .iter()
            .enumerate()
            .partition(|(_, one)| !one.devices.is_empty());
        let mut shifts = Vec::with_capacity(said.len());
        for some in [going, coming] {
            for chunk in some.chunks(PIPELINE_CHUNK) {
                let users: Vec<&Said> = chunk.iter().map(|(_, one)| *one).collect();
                let answered = self.say_some(&name, &users).await?;
                let numbers = chunk.iter().map(|(number, _)| *number);
                shifts.extend(numbers.zip(answered));
            }
        }
        shifts.sort_by_key(|(number, _)| *number);
        Ok(shifts.into_iter().map(|(_, shift)| shift).collect())
    }

    async fn standings(&self, users: &[UserId]) -> Result<Vec<Standing>> {
        self.standings_of(users).await
    }

    async fn online(
        &self,
        room: Option<RoomId>,
        cursor: Option<String>,
        max: usize,
    ) -> Result<OccupantPage> {
        let before = cursor.map(|cursor| cursor.parse()).transpose();
        let before = before.map_err(|_| PresenceError::BadCursor)?;
        self.newest(room.as_ref(), before, max.clamp(1, SCAN_PAGE))
            .await
    }

    async fn said_users(&self) -> Result<Vec<UserId>> {
        let name = self.node.lock().name();
        match name {
            Some(name) => self.said_by(&name).await,
            None => Ok(Vec::new()),
        }
    }

    async fn keep(&self) -> Result<Kept> {
        let mut kept = Kept::default();
        let name = self.node.lock().name();
        if let Some(name) = name {
            self.keep_rooms(&name, &mut kept).await?;
            self.keep_users(&name, &mut kept).await?;
        }
        Ok(kept)
    }

    async fn renew(&self) -> Result<Lease> {
        let _renewing = self.renewing.lock().await;
        let name = {
            let node = self.node.lock();
            if node.is_retired() {
                // It has said goodbye: its lease may only end.
                return Ok(Lease::Held);
            }
            node.name()
        };
        if let Some(name) = name
            && self.hold(&name).await?
        {
            let unannounced = {
                let mut node = self.node.lock();
                node.hold(Instant::now());
                node.take_unannounced()
            };
            return Ok(if unannounced {
                Lease::Renewed
            } else {
                Lease::Held
            });
        }
        self.begin().await?;
        self.node.lock().take_unannounced();
        Ok(Lease::Renewed)
    }

    async fn nodes(&self) -> Result<Vec<InstanceId>> {
        // One whose lease was not answered counts as alive: it is looked at again.
        let leases = self.leases(NODES_MAX).await?.into_iter();
        let alive = leases.filter(|(_, lease)| *lease != Some(false));
        let nodes: BTreeSet<_> = alive.filter_map(|(name, _)| instance_of(&name)).collect();
        Ok(nodes.into_iter().collect())
    }

    async fn sweep(&self) -> Result<Swept<Departure>> {
        let node_ttl = self.shared.config.node_ttl;
        let mut sweep = Sweep::default();
        if self.node.lock().may_sweep(Instant::now(), node_ttl) {
            let done = self.sweep_nodes(&mut sweep).await;
            return handed_back(done, sweep.finish());
        }
        Ok(Swept::default())
    }

    async fn sweep_users(&self) -> Result<Swept<Ended>> {
        let node_ttl = self.shared.config.node_ttl;
        let mut ended = Vec::new();
        if self.node.lock().may_sweep(Instant::now(), node_ttl) {
            let done = self.end_users(&mut ended).await;
            return handed_back(done, ended);
        }
        Ok(Swept::default())
    }

    async fn retire(&self) -> Result<()> {
        let _renewing = self.renewing.lock().await;
        let name = {
            let mut node = self.node.lock();
            node.retire();
            node.name()
        };
        let Some(name) = name else {
            return Ok(());
        };
        let mut shorten = redis::cmd("PEXPIRE");
        shorten
            .arg(self.shared.keys.lease(&name))
            .arg(millis(self.shared.config.leave_grace));
        let shortened = self.shared.signs.run_one(shorten).await;
        shortened.map(drop).map_err(|error| unavailable(&error))
    }
}

fn unavailable(error: &LinkError) -> PresenceError {
    PresenceError::Unavailable(error.to_string())
}

fn unexpected() -> PresenceError {
    PresenceError::Unavailable("the store's answer makes no sense".to_owned())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}
