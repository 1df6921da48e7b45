//! A pool of connections to one Redis, and pipelines over it with a deadline.
//!
//! One checkout per batch, because the pool may ping at each (measured: three commands instead of one
//! per message otherwise). A connection that did not answer in time is thrown away, not returned:
//! whatever it still carries must not delay the next batch.
//!
//! Invariant: a connection in the pool has answered everything that it was asked.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool::Runtime;
use deadpool::managed::{Object, Pool, PoolError, QueueMode};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Cmd, ConnectionInfo, Pipeline, RedisResult, Value};
use tokio::time::timeout_at;

use crate::config::RedisConfig;
use crate::error::{ConfigError, LinkError, is_denied, is_no_script, is_read_only, refused_at};
use crate::limits::{CHECKOUT_RETRY_MAX, KEEPALIVE};
use crate::script;
use crate::store_clock::StoreClock;

mod connections;

use connections::Connections;

/// What each command of a pipeline answered.
pub(crate) type Answers = Vec<RedisResult<Value>>;

/// A pool of connections to one Redis.
#[derive(Clone)]
pub(crate) struct Link {
    pool: Pool<Connections>,
    clock: Arc<StoreClock>,
    timeout: Duration,
}

/// A connection that is its caller's until he gives it back. If he is cancelled while it owes him an
/// answer it is thrown away.
pub(crate) struct Borrowed(Option<Object<Connections>>);

impl Borrowed {
    fn connection(&mut self) -> &mut MultiplexedConnection {
        self.0.as_mut().expect("it is taken out only at the end")
    }

    /// Puts it back into the pool.
    fn give_back(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Borrowed {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(Object::take(connection));
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Link")
            .field("pool", &self.pool.status())
            .finish_non_exhaustive()
    }
}

/// The address with the socket options that we want: no Nagle, kernel keepalive.
pub(crate) fn connection_info(config: &RedisConfig) -> Result<ConnectionInfo, ConfigError> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE)
        .with_interval(KEEPALIVE / 2);
    let tcp = TcpSettings::default()
        .set_nodelay(true)
        .set_keepalive(keepalive);
    Ok(config.url.connection_info()?.set_tcp_settings(tcp))
}

impl Link {
    /// Makes a pool of up to `size` connections. Connects to nothing yet.
    pub(crate) fn new(
        config: &RedisConfig,
        size: usize,
        clock: &Arc<StoreClock>,
    ) -> Result<Self, ConfigError> {
        // Deadlines are ours, per batch: an append may take longer than a read.
        let connection = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(config.connect_timeout))
            .set_response_timeout(None);
        let info = connection_info(config)?;
        let pinging = deadpool_redis::Manager::new_with_config(info, connection)
            .map_err(|_| ConfigError::Url(config.url.to_string()))?;
        let clock = Arc::clone(clock);
        let connections = Connections {
            pinging,
            clock: Arc::clone(&clock),
        };
        let pool = Pool::builder(connections)
            .max_size(size)
            // The one that was used last needs no PING; taking turns would let all go cold.
            .queue_mode(QueueMode::Lifo)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(config.connect_timeout))
            .recycle_timeout(Some(config.command_timeout.min(Duration::from_secs(1))))
            .build()
            .map_err(|_| ConfigError::Zero("pool_size"))?;
        Ok(Self {
            pool,
            clock,
            timeout: config.command_timeout,
        })
    }

    pub(crate) fn clock(&self) -> &StoreClock {
        &self.clock
    }

    /// Runs a pipeline within the command timeout.
    pub(crate) async fn run(&self, pipe: &mut Pipeline) -> Result<Answers, LinkError> {
        let deadline = Instant::now() + self.timeout;
        let mut connection = self.checkout(deadline).await?;
        let outcome = self.pipeline(&mut connection, pipe, deadline).await;
        self.give_back(connection, &outcome);
        outcome
    }

    /// Runs steps that the store refuses once this has given them up, so that one that was stalled does
    /// not act after a newer one. They are made for their deadline in the store's time (us).
    pub(crate) async fn run_in_time(
        &self,
        steps: impl FnOnce(u64) -> Pipeline,
    ) -> Result<Answers, LinkError> {
        let deadline = Instant::now() + self.timeout;
        let mut connection = self.checkout(deadline).await?;
        // Only now: a connection in the making asks for the time of the store that it leads to.
        let mut pipe = steps(self.clock.at(deadline));
        let sent = Instant::now();
        let outcome = self.pipeline(&mut connection, &mut pipe, deadline).await;
        for answer in outcome.iter().flatten() {
            // Refused and yet answered in time: then it is the estimate that was wrong.
            if let Some(now_us) = answer.as_ref().err().and_then(refused_at) {
                self.clock.observe(sent, Instant::now(), now_us);
            }
        }
        self.give_back(connection, &outcome);
        outcome
    }

    /// Gives a connection back, or throws it away after an outcome that makes it useless.
    pub(crate) fn give_back(&self, connection: Borrowed, outcome: &Result<Answers, LinkError>) {
        let is_replica = |answer: &RedisResult<Value>| answer.as_ref().is_err_and(is_read_only);
        match outcome {
            Ok(answers) if answers.iter().any(is_replica) => {
                // A fail-over: what else the pool holds leads to the old primary too.
                self.pool.retain(|_, _| false);
                drop(connection);
            }
            Ok(_) => connection.give_back(),
            Err(_) => drop(connection),
        }
    }

    /// Runs one command within the command timeout.
    pub(crate) async fn run_one(&self, command: Cmd) -> Result<Value, LinkError> {
        let mut pipe = Pipeline::with_capacity(1);
        pipe.add_command(command);
        let mut answers = self.run(&mut pipe).await?;
        match answers.pop() {
            Some(Ok(value)) => Ok(value),
            Some(Err(error)) => Err(LinkError::Unknown(error.to_string())),
            None => Err(LinkError::Unknown("no answer".to_owned())),
        }
    }

    /// Takes a connection; while Redis is away it tries again until the deadline.
    pub(crate) async fn checkout(&self, deadline: Instant) -> Result<Borrowed, LinkError> {
        loop {
            // Boxed: it may have to connect, and everything that asks Redis carries this future.
            let connection = Box::pin(self.pool.get());
            let error = match timeout_at(deadline.into(), connection).await {
                Ok(Ok(connection)) => return Ok(Borrowed(Some(connection))),
                Ok(Err(PoolError::Backend(error))) if is_denied(&error) => {
                    return Err(LinkError::Denied(error.to_string()));
                }
                Ok(Err(error)) => error.to_string(),
                Err(_) => return Err(LinkError::NotSent("no connection in time".to_owned())),
            };
            let pause = CHECKOUT_RETRY_MAX.mul_f64(fastrand::f64());
            if Instant::now() + pause >= deadline {
                return Err(LinkError::NotSent(error));
            }
            tokio::time::sleep(pause).await;
        }
    }

    /// Runs a pipeline; commands whose script the server does not know are run once more behind a
    /// load of all scripts. The connection is to be given back with the outcome.
    pub(crate) async fn pipeline(
        &self,
        connection: &mut Borrowed,
        pipe: &mut Pipeline,
        deadline: Instant,
    ) -> Result<Answers, LinkError> {
        let connection = connection.connection();
        let mut answers = query(connection, pipe, deadline).await?;
        let forgotten: Vec<usize> = (0..answers.len())
            .filter(|&index| answers[index].as_ref().is_err_and(is_no_script))
            .collect();
        if !forgotten.is_empty() {
            let mut again = script::load_all();
            let loads = again.len();
            let commands: Vec<&Cmd> = pipe.cmd_iter().collect();
            for &index in &forgotten {
                again.add_command(commands[index].clone());
            }
            let retried = query(connection, &mut again, deadline).await?;
            for (index, answer) in forgotten.into_iter().zip(retried.into_iter().skip(loads)) {
                answers[index] = answer;
            }
        }
        Ok(answers)
    }
}

async fn query(
    connection: &mut MultiplexedConnection,
    pipe: &mut Pipeline,
    deadline: Instant,
) -> Result<Answers, LinkError> {
    pipe.ignore_errors();
    match timeout_at(deadline.into(), pipe.query_async::<Answers>(connection)).await {
        Ok(Ok(answers)) if answers.len() == pipe.len() => Ok(answers),
        Ok(Ok(_)) => Err(LinkError::Unknown("answers are missing".to_owned())),
        Ok(Err(error)) => Err(LinkError::Unknown(error.to_string())),
        Err(_) => Err(LinkError::Unknown("no answer in time".to_owned())),
    }
}
