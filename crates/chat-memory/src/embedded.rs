//! A whole engine in one process: what a server runs on when nothing is configured.

use std::sync::Arc;

use chat_core::{ChatService, ChatServiceBuilder, Clock, InstanceId, Limits, SystemClock};

use crate::broker::MemoryBroker;
use crate::config::MemoryConfig;
use crate::directory::MemoryDirectory;
use crate::presence::MemoryPresence;
use crate::rate_limiter::MemoryRateLimiter;
use crate::revocations::MemoryRevocations;
use crate::room_log::MemoryRoomLog;

/// An engine that shares nothing with any other, with these limits. Give it metrics or an
/// authenticator if wanted, and build it.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let service = chat_memory::embedded(&chat_core::Limits::default()).build()?;
/// assert!(service.health().degraded.is_empty());
/// # Ok(())
/// # }
/// ```
#[must_use]
pub fn embedded(limits: &Limits) -> ChatServiceBuilder {
    let instance = InstanceId::random();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let memory = MemoryConfig::from(limits);
    let broker = MemoryBroker::new(memory.clone());
    let log = MemoryRoomLog::announcing_on(&broker, memory.clone(), Arc::clone(&clock));
    let presence = MemoryPresence::new(memory.clone(), Arc::clone(&clock));
    let revocations = MemoryRevocations::new(&memory, Arc::clone(&clock));
    let directory = MemoryDirectory::new(memory, Arc::clone(&clock));
    let limiter = MemoryRateLimiter::new(Arc::clone(&clock));
    ChatService::builder(Arc::new(broker.node()), Arc::new(presence.node(instance)))
        .instance(instance)
        .room_log(Arc::new(log))
        .directory(Arc::new(directory))
        .rate_limiter(Arc::new(limiter))
        .revocations(Arc::new(revocations))
        .clock(clock)
        .limits(limits.clone())
}
