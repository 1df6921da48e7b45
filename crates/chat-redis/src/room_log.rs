//! The log of all rooms in Redis: a stream per room, a head, what has become of its messages, and
//! the keys that were used lately; each changed in one atomic script.
//!
//! Survives what Redis's persistence and replication survive. Where Redis comes back with less than
//! it had, the scripts begin a new epoch if head and stream disagree, and readers prove a rollback
//! where they do not.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chat_core::limits::READ_ENTRIES_MAX;
use chat_core::{
    AppendCall, AppendError, Appended, Epoch, Head, Message, MessageId, Page, PageFrom, Reach,
    ReadAfter, ReadError, RoomId, RoomLog, Unread, UserId,
};
use redis::{Cmd, Pipeline, Value};

use crate::config::RedisConfig;
use crate::error::{ConfigError, LinkError};
use crate::limits::{PIPELINE_CHUNK, UNREAD_ROOMS};
use crate::pubsub::RedisPubSub;
use crate::script;
use crate::shared::Shared;

mod append;
mod overlay;
mod page;
mod read;
mod restore;
mod unread;
mod value;

use read::{HeadAnswer, head_of};
use unread::Count;

/// The logs of all rooms.
#[derive(Debug)]
pub struct RedisRoomLog {
    shared: Arc<Shared>,
    announcing: bool,
}

impl RedisRoomLog {
    /// A log that leaves announcing to the engine.
    ///
    /// # Errors
    /// [`ConfigError`]: the configuration cannot work.
    pub fn new(config: RedisConfig) -> Result<Self, ConfigError> {
        Ok(Self {
            shared: Shared::new(config, chat_core::InstanceId::random())?,
            announcing: false,
        })
    }

    /// A log on the same Redis as `pubsub`, that announces each entry on its room's topic there, in
    /// the same step that appends it.
    #[must_use]
    pub fn announcing_on(pubsub: &RedisPubSub) -> Self {
        Self {
            shared: Arc::clone(pubsub.shared()),
            announcing: true,
        }
    }

    fn open_call(&self, room: &RoomId, use_it: bool) -> Cmd {
        let keys = self.shared.keys.log(room);
        let mut call = script::OPEN.call(&[keys.log, keys.head, keys.changed]);
        call.arg(millis(self.shared.config.log_ttl))
            .arg(&Epoch::random().to_bytes())
            .arg(u8::from(use_it));
        call
    }

    async fn open_or_ask(&self, room: &RoomId, use_it: bool) -> Result<Option<Head>, ReadError> {
        head_of(self.ask(self.open_call(room, use_it)).await?)
    }

    async fn ask(&self, call: Cmd) -> Result<Value, ReadError> {
        self.shared.others.run_one(call).await.map_err(unavailable)
    }

    /// Runs a read; where it finds a stream without a head, sets the head up again and runs it once
    /// more.
    async fn read(&self, room: &RoomId, call: Cmd) -> Result<Option<Vec<Value>>, ReadError> {
        for _ in 0..2 {
            match read::head_answer(self.ask(call.clone()).await?)? {
                HeadAnswer::Found(values) => return Ok(Some(values)),
                HeadAnswer::NoLog => return Ok(None),
                HeadAnswer::HeadLost => self.open_or_ask(room, false).await?,
            };
        }
        Err(ReadError::Unavailable("the head is lost".to_owned()))
    }

    /// Counts on in those rooms that are not done.
    async fn count_on(&self, counts: &mut [Count<'_>]) -> Result<(), ReadError> {
        let mut pipe = Pipeline::with_capacity(counts.len());
        for count in counts.iter().filter(|count| !count.done) {
            pipe.add_command(count.next_call(&self.shared));
        }
        let answers = self.shared.others.run(&mut pipe).await;
        let undone = counts.iter_mut().filter(|count| !count.done);
        for (count, answer) in undone.zip(answers.map_err(unavailable)?) {
            let answer = answer.map_err(|error| ReadError::Unavailable(error.to_string()))?;
            match read::head_answer(answer)? {
                HeadAnswer::Found(values) => count.take(values)?,
                HeadAnswer::NoLog => count.done = true,
                HeadAnswer::HeadLost => {
                    count.lose_head()?;
                    self.open_or_ask(count.room, false).await?;
                }
            }
        }
        Ok(())
    }

    async fn heads_by(&self, mut pipe: Pipeline) -> Result<Vec<Option<Head>>, ReadError> {
        let answers = self.shared.others.run(&mut pipe).await;
        let head = |answer: redis::RedisResult<Value>| {
            head_of(answer.map_err(|error| ReadError::Unavailable(error.to_string()))?)
        };
        answers
            .map_err(unavailable)?
            .into_iter()
            .map(head)
            .collect()
    }

    async fn heads_of(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>, ReadError> {
        let mut pipe = Pipeline::with_capacity(rooms.len());
        for room in rooms {
            pipe.cmd("HMGET")
                .arg(self.shared.keys.head(room))
                .arg(&["epoch", "seq", "id", "at", "start"]);
        }
        self.heads_by(pipe).await
    }

    /// The heads of those rooms that have a stream and have lost their head.
    async fn lost_heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>, ReadError> {
        let mut pipe = Pipeline::with_capacity(rooms.len());
        for room in rooms {
            pipe.add_command(self.open_call(room, false));
        }
        self.heads_by(pipe).await
    }
}

#[async_trait]
impl RoomLog for RedisRoomLog {
    fn reach(&self) -> Reach {
        Reach::Cluster
    }

    fn announces(&self) -> bool {
        self.announcing
    }

    async fn append(
        &self,
        calls: Vec<AppendCall>,
        timeout: Duration,
    ) -> Vec<Vec<Result<Appended, AppendError>>> {
        append::append(&self.shared, self.announcing, &calls, timeout).await
    }

    async fn read_after(
        &self,
        room: &RoomId,
        seq: u64,
        max: usize,
    ) -> Result<ReadAfter, ReadError> {
        let max = max.clamp(1, READ_ENTRIES_MAX);
        let call = read::read_call(&self.shared, room, seq, max);
        match self.read(room, call).await? {
            Some(values) => read::read_after(room, seq, values),
            None => Ok(ReadAfter {
                anchor: None,
                entries: Vec::new(),
                head: None,
            }),
        }
    }

    async fn page(&self, room: &RoomId, from: PageFrom, max: usize) -> Result<Page, ReadError> {
        let mut search = page::Search::new(from, max.clamp(1, READ_ENTRIES_MAX));
        // Each round looks at a bounded number of entries, and there are at most `log_max`.
        while let Some(call) = search.next_call(&self.shared, room) {
            match self.read(room, call).await? {
                Some(values) => search.take(room, values)?,
                None => break,
            }
        }
        Ok(search.finish())
    }

    async fn message(&self, room: &RoomId, id: MessageId) -> Result<Option<Message>, ReadError> {
        let call = page::message_call(&self.shared, room, id);
        let Some(values) = self.read(room, call).await? else {
            return Ok(None);
        };
        let found = page::messages(room, values)?;
        Ok(found.messages.into_iter().find(|message| message.id == id))
    }

    async fn unread(
        &self,
        user: &UserId,
        rooms: &[(RoomId, u64)],
    ) -> Result<Vec<Unread>, ReadError> {
        let mut counts: Vec<Count<'_>> = rooms.iter().map(|room| Count::new(user, room)).collect();
        for counts in counts.chunks_mut(UNREAD_ROOMS) {
            // Each round looks at a bounded number of entries, and there are at most `log_max`.
            while counts.iter().any(|count| !count.done) {
                self.count_on(counts).await?;
            }
        }
        Ok(counts.into_iter().map(Count::finish).collect())
    }

    async fn heads(&self, rooms: &[RoomId]) -> Result<Vec<Option<Head>>, ReadError> {
        let mut heads = Vec::with_capacity(rooms.len());
        for chunk in rooms.chunks(PIPELINE_CHUNK) {
            heads.extend(self.heads_of(chunk).await?);
        }
        let (places, missing): (Vec<usize>, Vec<RoomId>) = (0..rooms.len())
            .filter(|&place| heads[place].is_none())
            .map(|place| (place, rooms[place].clone()))
            .unzip();
        for (places, missing) in places
            .chunks(PIPELINE_CHUNK)
            .zip(missing.chunks(PIPELINE_CHUNK))
        {
            for (&place, head) in places.iter().zip(self.lost_heads(missing).await?) {
                heads[place] = head;
            }
        }
        Ok(heads)
    }

    async fn open(&self, room: &RoomId) -> Result<Head, ReadError> {
        let head = self.open_or_ask(room, true).await?;
        head.ok_or_else(|| ReadError::Damaged("a log that was opened has no head".to_owned()))
    }

    async fn set_epoch(
        &self,
        room: &RoomId,
        known: Epoch,
        epoch_start: u64,
    ) -> Result<Head, ReadError> {
        let mut call = script::SET_EPOCH.call(&[self.shared.keys.head(room)]);
        call.arg(&known.to_bytes())
            .arg(&Epoch::random().to_bytes())
            .arg(epoch_start);
        match head_of(self.ask(call).await?)? {
            Some(head) => Ok(head),
            // There is no head to be compared with: whatever comes up is another epoch.
            None => self.open(room).await,
        }
    }
}

fn unavailable(error: LinkError) -> ReadError {
    ReadError::Unavailable(error.into_why())
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
