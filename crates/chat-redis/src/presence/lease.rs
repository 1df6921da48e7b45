//! A node's lease: begun once per generation, renewed by PEXPIRE only, so that one that has ended
//! stays ended.

use std::time::Instant;

use chat_core::{Kept, PresenceError};
use redis::{Pipeline, Value};

use super::{RedisPresence, Result, millis, unavailable, unexpected};
use crate::limits::{PIPELINE_CHUNK, PRESENCE_TTL};
use crate::script;

impl RedisPresence {
    /// The name of the present generation; begins the first.
    pub(super) async fn name(&self) -> Result<String> {
        if let Some(name) = self.node.lock().name() {
            return Ok(name);
        }
        let _renewing = self.renewing.lock().await;
        let name = self.node.lock().name();
        match name {
            Some(name) => Ok(name),
            None => {
                self.begin().await?;
                let mut node = self.node.lock();
                node.announce_later();
                Ok(node.name().unwrap_or_default())
            }
        }
    }

    /// Begins the next generation: the lease first, so that no sweeper sees it without.
    pub(super) async fn begin(&self) -> Result<()> {
        let name = self.node.lock().next_name();
        let mut pipe = Pipeline::with_capacity(2);
        pipe.cmd("SET")
            .arg(self.shared.keys.lease(&name))
            .arg(1)
            .arg("PX")
            .arg(millis(self.shared.config.node_ttl));
        self.enter_node(&mut pipe, &name);
        let answers = self.shared.signs.run(&mut pipe).await;
        for answer in answers.map_err(|error| unavailable(&error))? {
            answer.map_err(|error| PresenceError::Unavailable(error.to_string()))?;
        }
        self.node.lock().begin(Instant::now());
        Ok(())
    }

    pub(super) fn enter_node(&self, pipe: &mut Pipeline, name: &str) {
        pipe.cmd("ZADD")
            .arg(self.shared.keys.nodes())
            .arg(0)
            .arg(name);
    }

    /// Renews the lease; `false` if there is none.
    pub(super) async fn hold(&self, name: &str) -> Result<bool> {
        let mut pipe = Pipeline::with_capacity(3);
        pipe.cmd("PEXPIRE")
            .arg(self.shared.keys.lease(name))
            .arg(millis(self.shared.config.node_ttl));
        // Memory may be full, which must not cost a node its lease: only the first answer counts.
        self.enter_node(&mut pipe, name);
        let previous = self.node.lock().take_previous();
        if let Some(previous) = previous {
            self.enter_node(&mut pipe, &previous);
        }
        let answers = self.shared.signs.run(&mut pipe).await;
        let answers = answers.map_err(|error| unavailable(&error))?;
        match answers.into_iter().next() {
            Some(Ok(Value::Int(held))) => Ok(held == 1),
            Some(Err(error)) => Err(PresenceError::Unavailable(error.to_string())),
            _ => Err(unexpected()),
        }
    }

    /// Renews what the node has in the rooms whose turn it is.
    pub(super) async fn keep_rooms(&self, name: &str, kept: &mut Kept) -> Result<()> {
        let due = self.node.lock().take_due_rooms();
        for chunk in due.chunks(PIPELINE_CHUNK) {
            let mut pipe = Pipeline::with_capacity(chunk.len());
            for room in chunk {
                let keys = self.shared.keys.presence(room, name);
                let mut call = script::KEEP.call(&[keys.occ, keys.users, keys.more]);
                call.arg(millis(PRESENCE_TTL));
                pipe.add_command(call);
            }
            // After a failure their turn comes again long before their time to live ends.
            let answers = self.shared.others.run(&mut pipe).await;
            let answers = answers.map_err(|error| unavailable(&error))?;
            for (room, answer) in chunk.iter().zip(answers) {
                if let Ok(Value::Int(count)) = answer {
                    let count = u64::try_from(count).unwrap_or_default();
                    kept.rooms.push((room.clone(), count));
                }
            }
        }
        Ok(())
    }
}
