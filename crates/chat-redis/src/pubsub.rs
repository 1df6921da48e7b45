//! Envelopes between nodes, over Redis PUBLISH and SUBSCRIBE.
//!
//! Two halves that fail alone: publishing goes through the pool, listening through one dedicated
//! connection that its own task keeps alive.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    EventStream, InstanceId, PubSub, PubSubError, Publication, Reach, Topic, event_queue,
};
use parking_lot::Mutex;
use redis::Pipeline;
use tokio::sync::{Notify, watch};
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use crate::config::RedisConfig;
use crate::error::{ConfigError, is_passing};
use crate::link::connection_info;
use crate::shared::Shared;

mod backoff;
mod connection;
mod subscriber;
mod topics;

use connection::Ear;
use subscriber::{Progress, Subscriber};
use topics::Topics;

/// The broker of one node. Dropping it ends its task.
#[derive(Debug)]
pub struct RedisPubSub {
    shared: Arc<Shared>,
    topics: Arc<Mutex<Topics>>,
    wake: Arc<Notify>,
    progress: watch::Receiver<Progress>,
    events: Mutex<Option<EventStream>>,
    tasks: TaskTracker,
    cancel: CancellationToken,
    _cancel_on_drop: DropGuard,
}

impl RedisPubSub {
    /// Starts the broker of a node, and waits for its first attempt to connect. That Redis is away
    /// is no error: the first event is `Lost` then, and `Restored` follows.
    ///
    /// # Errors
    /// [`ConfigError`]: the configuration cannot work.
    pub async fn connect(
        config: RedisConfig,
        instance: InstanceId,
    ) -> Result<Arc<Self>, ConfigError> {
        let info = connection_info(&config)?;
        let (events, stream) = event_queue(config.event_queue);
        let topics = Arc::new(Mutex::new(Topics::new(config.subscribe)));
        let shared = Shared::new(config, instance)?;
        let wake = Arc::new(Notify::new());
        let (progress, mut watched) = watch::channel(Progress::default());
        let subscriber = Subscriber {
            info,
            ear: Arc::new(Ear {
                keys: shared.keys.clone(),
                instance,
                topics: Arc::clone(&topics),
                events,
            }),
            shared: Arc::clone(&shared),
            topics: Arc::clone(&topics),
            wake: Arc::clone(&wake),
            progress,
        };
        let (tasks, cancel) = (TaskTracker::new(), CancellationToken::new());
        let span = tracing::info_span!("subscriber", %instance);
        tasks.spawn(subscriber.run(cancel.clone()).instrument(span));
        tasks.close();
        // An error would mean that the task is gone; then the first call says so.
        let _ = watched.wait_for(|progress| progress.tried).await;
        Ok(Arc::new(Self {
            shared,
            topics,
            wake,
            progress: watched,
            events: Mutex::new(Some(stream)),
            tasks,
            _cancel_on_drop: cancel.clone().drop_guard(),
            cancel,
        }))
    }

    /// Whether the subscriber's link is up and all that was wanted is subscribed.
    #[must_use]
    pub fn is_up(&self) -> bool {
        self.progress.borrow().up
    }

    /// Ends the subscriber and waits until its task is gone.
    pub async fn close(&self) {
        self.cancel.cancel();
        self.tasks.wait().await;
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    fn subscribe_timeout(&self) -> Duration {
        self.shared.config.command_timeout
    }

    async fn confirmed(&self, topics: &[Topic]) {
        let mut progress = self.progress.clone();
        let done = |progress: &Progress| progress.up && self.topics.lock().are_confirmed(topics);
        if progress.wait_for(done).await.is_err() {
            // The task is gone: nothing will ever be confirmed.
            std::future::pending::<()>().await;
        }
    }
}

#[async_trait]
impl PubSub for RedisPubSub {
    fn reach(&self) -> Reach {
        Reach::Cluster
    }

    async fn publish(&self, batch: Vec<Publication>) -> Result<(), PubSubError> {
        if batch.is_empty() {
            return Ok(());
        }
        let mut pipe = Pipeline::with_capacity(batch.len());
        for publication in &batch {
            pipe.cmd("PUBLISH")
                .arg(self.shared.keys.channel(&publication.topic))
                .arg(publication.envelope.as_ref());
        }
        let answers = self.shared.writers.run(&mut pipe).await;
        let answers = answers.map_err(|error| PubSubError::Unavailable(error.into_why()))?;
        for answer in answers {
            answer.map_err(|error| {
                if is_passing(&error) {
                    PubSubError::Unavailable(error.to_string())
                } else {
                    PubSubError::Refused(error.to_string())
                }
            })?;
        }
        Ok(())
    }

    async fn subscribe(&self, topics: &[Topic]) -> Result<(), PubSubError> {
        self.topics.lock().want(topics);
        self.wake.notify_one();
        if timeout(self.subscribe_timeout(), self.confirmed(topics))
            .await
            .is_ok()
        {
            return Ok(());
        }
        match self.topics.lock().refused() {
            Some(why) => Err(PubSubError::Refused(why.to_owned())),
            None => Err(PubSubError::Unavailable(
                "subscription was not confirmed in time".to_owned(),
            )),
        }
    }

    async fn unsubscribe(&self, topics: &[Topic]) -> Result<(), PubSubError> {
        // From here on nothing of them is handed over, whether the server knows or not.
        self.topics.lock().give_up(topics);
        self.wake.notify_one();
        Ok(())
    }

    fn events(&self) -> Option<EventStream> {
        self.events.lock().take()
    }
}
