//! A `RoomLog` that is slow, fails, or does what it was asked and does not say so.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::{
    AppendCall, AppendError, Appended, Epoch, Head, Message, MessageId, Page, PageFrom, Reach,
    ReadAfter, ReadError, RoomId, RoomLog,
};
use parking_lot::Mutex;
use tokio::time::sleep;

use super::{PerMille, happens};

/// What happens to calls, each out of a thousand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogFaults {
    /// An append is not done, outcome unknown.
    pub append_fails: PerMille,
    /// An append is done, outcome unknown all the same.
    pub outcome_lost: PerMille,
    /// An append is refused.
    pub append_refused: PerMille,
    /// A read fails.
    pub read_fails: PerMille,
    /// How long every call waits before anything happens. An append that would wait beyond its
    /// timeout is not done.
    pub slow: Duration,
}

/// Any [`RoomLog`], with switches for faults.
#[derive(Debug)]
pub struct FaultyRoomLog {
    inner: Arc<dyn RoomLog>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    random: fastrand::Rng,
    faults: LogFaults,
}

/// What becomes of one room's call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Done,
    DoneInSilence,
    Failed,
    Refused,
}

impl FaultyRoomLog {
    /// Wraps a log; no faults yet.
    #[must_use]
    pub fn new(inner: Arc<dyn RoomLog>, seed: u64) -> Self {
        Self {
            inner,
            state: Mutex::new(State {
                random: fastrand::Rng::with_seed(seed),
                faults: LogFaults::default(),
            }),
        }
    }

    /// From now on these faults.
    pub fn set(&self, faults: LogFaults) {
        self.state.lock().faults = faults;
    }

    fn fate(&self) -> Fate {
        let mut state = self.state.lock();
        let faults = state.faults;
        let random = &mut state.random;
        if happens(random, faults.append_fails) {
            Fate::Failed
        } else if happens(random, faults.append_refused) {
            Fate::Refused
        } else if happens(random, faults.outcome_lost) {
            Fate::DoneInSilence
        } else {
            Fate::Done
        }
    }

    async fn before_read(&self) -> Result<(), ReadError> {
        let (fails, slow) = {
            let mut state = self.state.lock();
            let faults = state.faults;
            (happens(&mut state.random, faults.read_fails), faults.slow)
        };
        sleep(slow).await;
        if fails {
            return Err(ReadError::Unavailable("it was told to fail".to_owned()));
        }
        Ok(())
    }
}

fn unknown() -> AppendError {
    AppendError::Unavailable("it was told to lose the outcome".to_owned())
}

#[async_trait]
impl RoomLog for FaultyRoomLog {
    fn reach(&self) -> Reach {
        self.inner.reach()
    }

    fn announces(&self) -> bool {
        self.inner.announces()
    }

    async fn append(
        &self,
        calls: Vec<AppendCall>,
        timeout: Duration,
    ) -> Vec<Vec<Result<Appended, AppendError>>> {
        let shape: Vec<usize> = calls.iter().map(|call| call.entries.len()).collect();
        let slow = self.state.lock().faults.slow;
        sleep(slow.min(timeout)).await;
        if slow >= timeout {
            return shape
                .into_iter()
                .map(|count| vec![Err(unknown()); count])
                .collect();
        }
        let fates: Vec<Fate> = calls.iter().map(|_| self.fate()).collect();
        let acts = |fate: Fate| matches!(fate, Fate::Done | Fate::DoneInSilence);
        let acting = calls.into_iter().zip(&fates);
        let acting = acting.filter(|(_, fate)| acts(**fate));
        let acting = acting.map(|(call, _)| call).collect();
        let mut answers = self.inner.append(acting, timeout - slow).await.into_iter();
        let answer = |(count, fate): (usize, Fate)| match fate {
            Fate::Done => answers.next().unwrap_or_default(),
            Fate::DoneInSilence => {
                answers.next();
                vec![Err(unknown()); count]
            }
            Fate::Failed => vec![Err(unknown()); count],
            Fate::Refused => {
                let refused = AppendError::Refused("it was told to refuse".to_owned());
                vec![Err(refused); count]
            }
        };
        shape.into_iter().zip(fates).map(answer).collect()
    }

    async fn read_after(
        &self,
        room: &RoomId,
        seq: u64,
        max: usize,
    ) -> Result<ReadAfter, ReadError> {
        self.before_read().await?;
        self.inner.read_after(room, seq, max).await
    }

    async fn page(&self, room: &RoomId, from: PageFrom, max: usize) -> Result<Page, ReadError> {
        self.before_read().await?;
        self.inner.page(room, from, max).await
    }

    async fn message(&self, room: &RoomId, id: MessageId) -> Result<Option<Message>, ReadError> {
        self.before_read().await?;
        self.inner.message(room, id).await
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>, ReadError> {
        self.before_read().await?;
        self.inner.heads(rooms).await
    }

    async fn open(&self, room: &RoomId) -> Result<Head, ReadError> {
        self.before_read().await?;
        self.inner.open(room).await
    }

    async fn set_epoch(
        &self,
        room: &RoomId,
        known: Epoch,
        epoch_start: u64,
    ) -> Result<Head, ReadError> {
        self.before_read().await?;
        self.inner.set_epoch(room, known, epoch_start).await
    }
}
