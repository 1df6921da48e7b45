//! Counting out the people of nodes whose lease has ended.
//!
//! Any number of sweepers may do so at once, and die at any point: a person is counted by whoever
//! takes him out of the dead node's hash, in the script that also tells the room. What is left is
//! found again, because a node leaves `nodes` only when it has nothing left.

use chat_core::{Change, Departure, Ended, RoomId, Swept, UserId};
use redis::{Pipeline, Value};

use super::{RedisPresence, Result, unavailable, unexpected};
use crate::limits::{NODES_MAX, SCAN_PAGE, SWEEP_NODES_MAX, SWEEP_PEOPLE_MAX, SWEEP_ROOMS_MAX};

/// What one sweep has done so far.
#[derive(Debug, Default)]
pub(super) struct Sweep {
    counted: usize,
    rooms: usize,
    departures: Vec<Departure>,
}

impl Sweep {
    /// Whether it is time to hand back.
    fn is_full(&self) -> bool {
        self.counted >= SWEEP_PEOPLE_MAX || self.rooms >= SWEEP_ROOMS_MAX
    }

    pub(super) fn finish(self) -> Vec<Departure> {
        self.departures
    }
}

/// What a sweep answers that came to its end (`true`), to its bounds, or to an error.
pub(super) fn handed_back<T>(done: Result<bool>, news: Vec<T>) -> Result<Swept<T>> {
    match done {
        Ok(done) => Ok(Swept { news, more: !done }),
        Err(error) if news.is_empty() => Err(error),
        // Those who were counted out are told; the rest is found again.
        Err(_) => Ok(Swept { news, more: true }),
    }
}

impl RedisPresence {
    /// Names of nodes whose lease has ended.
    pub(super) async fn dead_nodes(&self) -> Result<Vec<String>> {
        // Among all: behind many that live one would not be seen.
        let leases = self.leases(NODES_MAX).await?.into_iter();
        let dead = leases.filter(|(_, lease)| *lease == Some(false));
        let dead = dead.map(|(name, _)| name);
        Ok(dead.take(SWEEP_NODES_MAX).collect())
    }

    /// Up to `max` nodes that are entered for sweeping, and whether each has a lease, as far as that
    /// was answered.
    pub(super) async fn leases(&self, max: usize) -> Result<Vec<(String, Option<bool>)>> {
        let keys = &self.shared.keys;
        let mut range = redis::cmd("ZRANGE");
        range.arg(keys.nodes()).arg(0).arg(max - 1);
        let names: Vec<String> = self.ask(range).await?;
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = Pipeline::with_capacity(names.len());
        for name in &names {
            pipe.cmd("EXISTS").arg(keys.lease(name));
        }
        let leases = self.shared.others.run(&mut pipe).await;
        let leases = leases.map_err(|error| unavailable(&error))?.into_iter();
        let leases = leases.map(|lease| match lease {
            Ok(Value::Int(exists)) => Some(exists == 1),
            _ => None,
        });
        Ok(names.into_iter().zip(leases).collect())
    }

    /// Sweeps dead nodes until nothing is left of them, or enough was done for once (`false`).
    pub(super) async fn sweep_nodes(&self, sweep: &mut Sweep) -> Result<bool> {
        for name in self.dead_nodes().await? {
            if !self.sweep_node(&name, sweep).await? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    async fn sweep_node(&self, name: &str, sweep: &mut Sweep) -> Result<bool> {
        let keys = &self.shared.keys;
        loop {
            let mut some = redis::cmd("SRANDMEMBER");
            some.arg(keys.node_rooms(name)).arg(SWEEP_ROOMS_MAX);
            let rooms: Vec<String> = self.ask(some).await?;
            if rooms.is_empty() {
                self.forget_node(name).await?;
                return Ok(true);
            }
            for entered in rooms {
                if let Ok(room) = RoomId::new(&entered)
                    && !self.sweep_room(name, &room, sweep).await?
                {
                    return Ok(false);
                }
                self.clear_room(name, &entered).await?;
                sweep.rooms += 1;
            }
        }
    }

    /// Takes a dead node that has nothing left out of `nodes`.
    async fn forget_node(&self, name: &str) -> Result<()> {
        let keys = &self.shared.keys;
        let mut users = redis::cmd("EXISTS");
        users.arg(keys.node_users(name));
        if self.ask(users).await? {
            // Not told yet, or somebody has just said so: the next sweep comes by again.
            return Ok(());
        }
        let mut remove = redis::cmd("ZREM");
        remove.arg(keys.nodes()).arg(name);
        self.ask::<u64>(remove).await.map(|_| ())
    }

    /// Takes users off dead nodes until none are left, or enough was done for once (`false`).
    pub(super) async fn end_users(&self, ended: &mut Vec<Ended>) -> Result<bool> {
        let mut counted = 0;
        for name in self.dead_nodes().await? {
            loop {
                if counted >= SWEEP_PEOPLE_MAX {
                    return Ok(false);
                }
                let page = self.end_some(&name).await?;
                if page.is_empty() {
                    break;
                }
                counted += page.len();
                let page = page.into_iter().filter(|(_, shift)| shift.is_news());
                ended.extend(page.map(|(user, shift)| Ended { user, shift }));
            }
        }
        Ok(true)
    }

    /// Counts a dead node's people out of one room; `false` if some may be left.
    async fn sweep_room(&self, name: &str, room: &RoomId, sweep: &mut Sweep) -> Result<bool> {
        let occ = self.shared.keys.presence(room, name).occ;
        let mut cursor = 0_u64;
        let mut found_any = false;
        loop {
            if sweep.is_full() {
                return Ok(false);
            }
            let mut scan = redis::cmd("HSCAN");
            scan.arg(&occ).arg(cursor).arg("COUNT").arg(SCAN_PAGE);
            let (next, fields): (u64, Vec<String>) = self.ask(scan).await?;
            let users = fields.iter().step_by(2);
            let users: Vec<UserId> = users.filter_map(|user| UserId::new(user).ok()).collect();
            if !users.is_empty() {
                found_any = true;
                sweep.counted += users.len();
                if self.sweep_out(name, room, &users, sweep).await? == 0 {
                    return Ok(true);
                }
            }
            match (next, found_any) {
                (0, false) => return Ok(true),
                // What was removed may have moved others behind the cursor: look once more.
                (0, true) => found_any = false,
                _ => {}
            }
            cursor = next;
        }
    }

    /// Answers how many the node still has in the room.
    async fn sweep_out(
        &self,
        name: &str,
        room: &RoomId,
        users: &[UserId],
        sweep: &mut Sweep,
    ) -> Result<u64> {
        let numbers = self.count_out(name, room, users).await?;
        let [left, at_ms, changes @ ..] = numbers.as_slice() else {
            return Err(unexpected());
        };
        for (user, change) in users.iter().zip(changes.chunks_exact(2)) {
            if change[0] == 1 {
                sweep.departures.push(Departure {
                    room: room.clone(),
                    user: user.clone(),
                    change: Change {
                        edge: true,
                        count: change[1],
                        at_ms: *at_ms,
                        announced: true,
                    },
                });
            }
        }
        Ok(*left)
    }
}
