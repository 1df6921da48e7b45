//! A pool of connections to one Redis, and pipelines over it with a deadline.
//!
//! One checkout per batch, because the pool pings at each (measured: three commands instead of one
//! per message otherwise). A connection that did not answer in time is thrown away, not returned:
//! whatever it still carries must not delay the next batch.

use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_redis::{Connection, Hook, HookError, Manager, Pool, Runtime};
use redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use redis::{AsyncConnectionConfig, Cmd, ConnectionInfo, Pipeline, RedisResult, Value};
use tokio::time::timeout_at;

use crate::config::RedisConfig;
use crate::error::{ConfigError, LinkError, is_no_script, is_read_only};
use crate::limits::{CHECKOUT_RETRY_MAX, KEEPALIVE};
use crate::script;
use crate::store_clock::StoreClock;

/// What each command of a pipeline answered.
pub(crate) type Answers = Vec<RedisResult<Value>>;

/// A pool of connections to one Redis.
#[derive(Clone)]
pub(crate) struct Link {
    pool: Pool,
    clock: Arc<StoreClock>,
    timeout: Duration,
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
        let manager = Manager::new_with_config(connection_info(config)?, connection)
            .map_err(|_| ConfigError::Url(config.url.to_string()))?;
        let pool = Pool::builder(manager)
            .max_size(size)
            .runtime(Runtime::Tokio1)
            .create_timeout(Some(config.connect_timeout))
            .recycle_timeout(Some(config.command_timeout.min(Duration::from_secs(1))))
            .post_create(measure_clock(Arc::clone(clock), config.connect_timeout))
            .build()
            .map_err(|_| ConfigError::Zero("pool_size"))?;
        Ok(Self {
            pool,
            clock: Arc::clone(clock),
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

    /// Gives a connection back, or throws it away after an outcome that makes it useless.
    pub(crate) fn give_back(&self, connection: Connection, outcome: &Result<Answers, LinkError>) {
        match outcome {
            Ok(answers) => {
                let is_replica =
                    |answer: &RedisResult<Value>| answer.as_ref().is_err_and(is_read_only);
                if answers.iter().any(is_replica) {
                    // A fail-over: what else the pool holds leads to the old primary too.
                    self.pool.retain(|_, _| false);
                    drop(Connection::take(connection));
                }
            }
            Err(_) => drop(Connection::take(connection)),
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
    pub(crate) async fn checkout(&self, deadline: Instant) -> Result<Connection, LinkError> {
        loop {
            // Boxed: it may have to connect, and everything that asks Redis carries this future.
            let connection = Box::pin(self.pool.get());
            let error = match timeout_at(deadline.into(), connection).await {
                Ok(Ok(connection)) => return Ok(connection),
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
        connection: &mut Connection,
        pipe: &mut Pipeline,
        deadline: Instant,
    ) -> Result<Answers, LinkError> {
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
    connection: &mut Connection,
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

/// Reads the store's clock over every new connection before it is used: after a fail-over it leads
/// to another machine.
fn measure_clock(clock: Arc<StoreClock>, timeout: Duration) -> Hook {
    Hook::async_fn(move |connection, _| {
        let clock = Arc::clone(&clock);
        Box::pin(async move {
            let sent = Instant::now();
            let time = redis::cmd("TIME");
            let answer = tokio::time::timeout(timeout, time.query_async(connection)).await;
            let (seconds, micros): (u64, u64) = answer
                .map_err(|_| HookError::message("no answer to TIME in time"))?
                .map_err(HookError::Backend)?;
            clock.observe(sent, Instant::now(), seconds * 1_000_000 + micros);
            Ok(())
        })
    })
}
