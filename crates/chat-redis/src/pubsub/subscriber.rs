//! The supervised task that owns the subscriber connection.
//!
//! Connect, subscribe all that is wanted, tell `Restored`, then keep the server's subscriptions
//! equal to what is wanted, until the connection breaks or is found deaf: tell `Lost`, wait with
//! full jitter, again. redis-rs's own resubscription is not used: it was measured to mix up replies.

use std::sync::Arc;
use std::time::Duration;

use chat_core::envelope::encode_signal;
use chat_core::{PubSubEvent, Signal, Topic};
use parking_lot::Mutex;
use redis::ConnectionInfo;
use tokio::sync::{Notify, watch};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::backoff::Backoff;
use super::connection::{Broken, Connection, Ear, Heard};
use super::topics::{Step, Topics};
use crate::config::SubscribeMode;
use crate::limits::SUBSCRIBE_CHUNK;
use crate::shared::Shared;

/// Where the link stands, for those who wait for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Progress {
    /// Whether the first attempt to connect has ended, well or not.
    pub(super) tried: bool,
    /// Whether the link is up and all that was wanted is subscribed.
    pub(super) up: bool,
    /// Counts up with every step.
    pub(super) steps: u64,
}

/// The task's state.
pub(super) struct Subscriber {
    pub(super) shared: Arc<Shared>,
    pub(super) info: ConnectionInfo,
    pub(super) ear: Arc<Ear>,
    pub(super) topics: Arc<Mutex<Topics>>,
    /// Somebody changed what is wanted.
    pub(super) wake: Arc<Notify>,
    pub(super) progress: watch::Sender<Progress>,
}

impl Subscriber {
    /// Runs until cancelled.
    pub(super) async fn run(self, cancel: CancellationToken) {
        let mut backoff = Backoff::new();
        let mut lost = false;
        let mut probe = 0;
        loop {
            let Some(broken) = cancel
                .run_until_cancelled(self.live(&mut lost, &mut backoff, &mut probe))
                .await
            else {
                return;
            };
            self.topics.lock().forget_link(match &broken {
                Broken::Refused(why) => Some(why.clone()),
                Broken::Away(_) => None,
            });
            if !lost {
                lost = true;
                tracing::warn!(instance = %self.shared.instance, url = %self.shared.config.url, %broken, "subscriber lost");
                self.ear.events.send(PubSubEvent::Lost);
            }
            self.step(|progress| {
                progress.tried = true;
                progress.up = false;
            });
            let pause = sleep(backoff.next(fastrand::f64()));
            if cancel.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    /// One life of the connection; answers why it ended.
    async fn live(&self, lost: &mut bool, backoff: &mut Backoff, probe: &mut u64) -> Broken {
        let config = &self.shared.config;
        // Boxed: a connection in the making is large, and this future lives as long as the node.
        let opened = Box::pin(Connection::open(
            self.info.clone(),
            Arc::clone(&self.ear),
            config.connect_timeout,
            config.command_timeout,
        ));
        let mut connection = match opened.await {
            Ok(connection) => connection,
            Err(broken) => return broken,
        };
        if let Err(broken) = self.begin(&mut connection).await {
            return broken;
        }
        if *lost {
            *lost = false;
            tracing::info!(instance = %self.shared.instance, url = %config.url, "subscriber restored");
            self.ear.events.send(PubSubEvent::Restored);
        }
        self.step(|progress| {
            progress.tried = true;
            progress.up = true;
        });
        match self.serve(&mut connection, backoff, probe).await {
            Ok(()) => Broken::Away("closed by the server".to_owned()),
            Err(broken) => broken,
        }
    }

    /// Subscribes all that is wanted at this moment.
    async fn begin(&self, connection: &mut Connection) -> Result<(), Broken> {
        let keys = &self.shared.keys;
        match self.shared.config.subscribe {
            SubscribeMode::All => {
                connection.subscribe_pattern(&keys.every_channel()).await?;
                self.topics.lock().confirm_pattern();
            }
            SubscribeMode::Rooms => {
                let own = keys.channel(&Topic::Node(self.shared.instance));
                connection.subscribe(&[own]).await?;
            }
        }
        self.reconcile(connection).await
    }

    /// Keeps the connection as it should be; `Ok` when the server hung up.
    async fn serve(
        &self,
        connection: &mut Connection,
        backoff: &mut Backoff,
        probe: &mut u64,
    ) -> Result<(), Broken> {
        // A round is tick, then PING and PUBLISH, then the way back, a quarter of the interval each
        // at most: the sum is below it.
        let quarter = self.shared.config.probe_interval / 4;
        let mut ticks = interval(quarter);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = connection.heard();
        loop {
            // Biased: a hang-up must not be starved by a storm of subscriptions.
            tokio::select! {
                biased;
                () = until_closed(&mut heard) => return Ok(()),
                _ = ticks.tick() => {
                    *probe += 1;
                    self.probe(connection, *probe, quarter).await?;
                    backoff.reset();
                }
                () = self.wake.notified() => self.reconcile(connection).await?,
            }
        }
    }

    /// Sends the difference between what is wanted and what is subscribed, in chunks.
    async fn reconcile(&self, connection: &mut Connection) -> Result<(), Broken> {
        loop {
            let step = self.topics.lock().next_step(SUBSCRIBE_CHUNK);
            let channels = |topics: &[Topic]| -> Vec<String> {
                let channel = |topic| self.shared.keys.channel(topic);
                topics.iter().map(channel).collect()
            };
            match step {
                Some(Step::Subscribe(topics)) => {
                    connection.subscribe(&channels(&topics)).await?;
                    self.topics.lock().confirm(&topics);
                }
                Some(Step::Unsubscribe(topics)) => {
                    // The node's own topic stays: the probe comes through it.
                    let own = Topic::Node(self.shared.instance);
                    let mut topics = topics;
                    topics.retain(|topic| *topic != own);
                    if !topics.is_empty() {
                        connection.unsubscribe(&channels(&topics)).await?;
                    }
                }
                None => return Ok(()),
            }
            self.step(|_| {});
        }
    }

    /// Finds the connection that is dead (PING) or alive and deaf (an envelope of our own).
    async fn probe(
        &self,
        connection: &mut Connection,
        number: u64,
        deadline: Duration,
    ) -> Result<(), Broken> {
        let mut heard = connection.heard();
        let (ping, published) = tokio::join!(
            connection.ping(deadline),
            timeout(deadline, self.publish_probe(number))
        );
        ping?;
        let Ok(Some(receivers)) = published else {
            // The publisher is away: that the probe does not come back says nothing.
            return Ok(());
        };
        let deaf = || Broken::Away("alive and deaf".to_owned());
        if receivers == 0 {
            return Err(deaf());
        }
        let returned = |heard: &Heard| heard.probe >= number || heard.closed;
        match timeout(deadline, heard.wait_for(returned)).await {
            Ok(_) => Ok(()),
            Err(_) => Err(deaf()),
        }
    }

    /// How many heard the probe, as the server says; nothing if it could not be published.
    async fn publish_probe(&self, number: u64) -> Option<u64> {
        let topic = Topic::Node(self.shared.instance);
        let envelope = encode_signal(self.shared.instance, &topic, &Signal::Probe(number));
        let mut command = redis::cmd("PUBLISH");
        command
            .arg(self.shared.keys.channel(&topic))
            .arg(envelope.as_ref());
        let receivers = self.shared.signs.run_one(command).await.ok()?;
        redis::from_redis_value(receivers).ok()
    }

    fn step(&self, change: impl FnOnce(&mut Progress)) {
        self.progress.send_modify(|progress| {
            change(progress);
            progress.steps = progress.steps.wrapping_add(1);
        });
    }
}

/// Waits until the server hung up. That the driver's task is gone means the same.
async fn until_closed(heard: &mut watch::Receiver<Heard>) {
    drop(heard.wait_for(|heard| heard.closed).await);
}
