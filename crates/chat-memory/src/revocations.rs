//! What was revoked, in one process: gone with it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{Clock, Reach, RevocationError, Revocations, Revoked};
use parking_lot::Mutex;

use crate::config::{MemoryConfig, millis};

/// The record that all nodes of this process share. Clones are the same one.
#[derive(Debug, Clone)]
pub struct MemoryRevocations {
    max: usize,
    clock: Arc<dyn Clock>,
    /// Until when.
    ends: Arc<Mutex<HashMap<Revoked, u64>>>,
}

impl MemoryRevocations {
    /// A record of nothing.
    #[must_use]
    pub fn new(config: &MemoryConfig, clock: Arc<dyn Clock>) -> Self {
        Self {
            max: config.revocations_max,
            clock,
            ends: Arc::default(),
        }
    }
}

#[async_trait]
impl Revocations for MemoryRevocations {
    fn reach(&self) -> Reach {
        Reach::Process
    }

    async fn revoke(&self, what: &Revoked, time: Duration) -> Result<u64, RevocationError> {
        let now_ms = self.clock.now_ms();
        let mut ends = self.ends.lock();
        ends.retain(|_, end| *end > now_ms);
        if ends.len() >= self.max && !ends.contains_key(what) {
            return Err(RevocationError::Full(self.max));
        }
        let end = ends.entry(what.clone()).or_default();
        *end = (*end).max(now_ms.saturating_add(millis(time)));
        Ok(*end)
    }

    async fn lift(&self, what: &Revoked) -> Result<bool, RevocationError> {
        let end = self.ends.lock().remove(what);
        Ok(end.is_some_and(|end| end > self.clock.now_ms()))
    }

    async fn in_force(&self) -> Result<Vec<Revoked>, RevocationError> {
        let now_ms = self.clock.now_ms();
        let ends = self.ends.lock();
        let in_force = ends.iter().filter(|(_, end)| **end > now_ms);
        Ok(in_force.map(|(what, _)| what.clone()).collect())
    }

    async fn is_revoked(&self, any: &[Revoked]) -> Result<bool, RevocationError> {
        let now_ms = self.clock.now_ms();
        let ends = self.ends.lock();
        let is_in_force = |what| ends.get(what).is_some_and(|end| *end > now_ms);
        Ok(any.iter().any(is_in_force))
    }
}
