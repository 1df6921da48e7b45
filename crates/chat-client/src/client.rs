//! The handle: commands as methods, each with the answer that it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use chat_core::{
    Command, Emoji, MessageId, MessageKey, PageFrom, Position, Role, RoomId, RoomKind, SendMessage,
    Status, Text, Token, UserId,
};
use chat_proto::received::{
    Changed, Edited, Hello, History, JoinResult, Nothing, Online, Pong, ReadState, Refreshed,
    RoomAnswer, Rooms, Sent, Users, Who,
};
use chat_proto::{ClientFrame, Codec, Request};
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::error::{CommandError, ConnectError, Disconnected};
use crate::events::Events;
use crate::limits::COMMANDS_MAX;
use crate::options::{Options, RawOptions};
use crate::pending::Pending;
use crate::raw::RawConnection;
use crate::task::Task;

/// A connection to a chat server. Clones share it; it is closed when the last one is dropped.
///
/// Commands of one task go out in the order in which they are awaited. It does not connect again
/// by itself yet: see [`Disconnected::may_reconnect`].
#[derive(Debug, Clone)]
pub struct Client {
    link: Arc<Link>,
    hello: Arc<Hello>,
}

/// What the handles share.
#[derive(Debug)]
struct Link {
    codec: Codec,
    frames: mpsc::Sender<Bytes>,
    pending: Arc<Pending>,
    places: Arc<Semaphore>,
    next_id: AtomicU64,
    command_timeout: Duration,
    tasks: TaskTracker,
    stop: CancellationToken,
}

impl Client {
    /// Connects and says hello.
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn connect(url: &str, options: Options) -> Result<(Self, Events), ConnectError> {
        let time = options.connect_timeout;
        timeout(time, Box::pin(Self::connect_for_ever(url, options)))
            .await
            .map_err(|_| ConnectError::Timeout)?
    }

    async fn connect_for_ever(url: &str, options: Options) -> Result<(Self, Events), ConnectError> {
        let raw = RawOptions {
            codec: options.codec,
            connect_timeout: options.connect_timeout,
            read_buffer_bytes: options.read_buffer_bytes,
            roots: options.roots.clone(),
        };
        let connection = RawConnection::connect(url, raw).await?;
        let (link, events) = Link::over(connection, &options);
        let link = Arc::new(link);
        let request = Request::Hello {
            credentials: options.credentials,
            hello: options.hello,
        };
        let hello = link.ask(request).await.map_err(|error| match error {
            CommandError::Refused(error) => ConnectError::Hello(error),
            CommandError::Disconnected(why) => ConnectError::Disconnected(why),
            CommandError::Timeout => ConnectError::Timeout,
            CommandError::NotUnderstood(error) => {
                ConnectError::Disconnected(Disconnected::NotUnderstood(error))
            }
        })?;
        let hello = Arc::new(hello);
        Ok((Self { link, hello }, events))
    }

    /// The server's answer to hello: who one is, the limits, what became of the rooms.
    #[must_use]
    pub fn hello(&self) -> &Hello {
        &self.hello
    }

    /// Goes on under a new token of the same user, to be done before the old one expires.
    ///
    /// # Errors
    /// [`CommandError`]: the connection goes on under the old one.
    pub async fn refresh(&self, token: impl Into<Token>) -> Result<Refreshed, CommandError> {
        let token = token.into();
        self.command(Command::Refresh { token }).await
    }

    /// Joins a room: from a position, or with recent messages.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn join(
        &self,
        room: &RoomId,
        position: Option<Position>,
    ) -> Result<JoinResult, CommandError> {
        let room = room.clone();
        self.command(Command::Join {
            room,
            position,
            history: None,
        })
        .await
    }

    /// Leaves a room.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn leave(&self, room: &RoomId) -> Result<(), CommandError> {
        let room = room.clone();
        self.command(Command::Leave { room }).await.map(nothing)
    }

    /// Says something, with a new key. To be able to retry it, choose a key and use
    /// [`Client::send_message`].
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn send(&self, room: &RoomId, text: Text) -> Result<Sent, CommandError> {
        self.send_message(SendMessage {
            room: room.clone(),
            key: new_key(),
            text,
            reply_to: None,
            meta: None,
        })
        .await
    }

    /// Says something. The same key again has the same outcome, once.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn send_message(&self, message: SendMessage) -> Result<Sent, CommandError> {
        self.command(Command::Send(message)).await
    }

    /// Changes what one said.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn edit(
        &self,
        room: &RoomId,
        message: MessageId,
        text: Text,
    ) -> Result<Edited, CommandError> {
        self.command(Command::Edit {
            room: room.clone(),
            message,
            text,
            key: Some(new_key()),
        })
        .await
    }

    /// Deletes a message.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn delete(&self, room: &RoomId, message: MessageId) -> Result<Changed, CommandError> {
        self.command(Command::Delete {
            room: room.clone(),
            message,
            key: Some(new_key()),
        })
        .await
    }

    /// Adds a reaction, or takes it back.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn react(
        &self,
        room: &RoomId,
        message: MessageId,
        emoji: Emoji,
        remove: bool,
    ) -> Result<Changed, CommandError> {
        self.command(Command::React {
            room: room.clone(),
            message,
            emoji,
            remove,
            key: Some(new_key()),
        })
        .await
    }

    /// Reads messages; without `from` the newest.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn history(
        &self,
        room: &RoomId,
        from: Option<PageFrom>,
        limit: Option<usize>,
    ) -> Result<History, CommandError> {
        let room = room.clone();
        self.command(Command::History { room, from, limit }).await
    }

    /// Says that one has read up to `seq`, on whichever of one's devices.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn read(&self, room: &RoomId, seq: u64) -> Result<ReadState, CommandError> {
        let room = room.clone();
        self.command(Command::Read { room, seq }).await
    }

    /// A page of one's rooms, latest first; `cursor` is that of the page before.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn rooms(
        &self,
        cursor: Option<String>,
        limit: Option<usize>,
    ) -> Result<Rooms, CommandError> {
        self.command(Command::Rooms { cursor, limit }).await
    }

    /// Shows that one types, or stopped. Has no answer.
    ///
    /// # Errors
    /// [`CommandError::Disconnected`]
    pub async fn typing(&self, room: &RoomId, active: bool) -> Result<(), CommandError> {
        let room = room.clone();
        self.link.tell(Command::Typing { room, active }).await
    }

    /// Who is in a room.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn who(&self, room: &RoomId) -> Result<Who, CommandError> {
        self.command(Command::Who {
            room: room.clone(),
            cursor: None,
            limit: None,
        })
        .await
    }

    /// Makes a room, open or private, and with `None` one with an id of its own. The one who makes it
    /// owns it. A retry with the same key and content answers the room that there is.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn create_room(
        &self,
        room: Option<RoomId>,
        kind: RoomKind,
        name: Option<String>,
        members: Vec<UserId>,
    ) -> Result<RoomAnswer, CommandError> {
        self.command(Command::CreateRoom {
            room,
            kind,
            name,
            members,
            key: Some(new_key()),
        })
        .await
    }

    /// Says how present one is on this connection.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn presence(
        &self,
        status: Status,
        text: Option<String>,
    ) -> Result<Nothing, CommandError> {
        self.command(Command::Presence { status, text }).await
    }

    /// How present some users are, or when they were last seen.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn users(&self, users: &[UserId]) -> Result<Users, CommandError> {
        let users = users.to_vec();
        self.command(Command::Users { users }).await
    }

    /// Who is online, newest first: in a room, or anywhere.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn online(
        &self,
        room: Option<&RoomId>,
        cursor: Option<String>,
    ) -> Result<Online, CommandError> {
        self.command(Command::Online {
            room: room.cloned(),
            cursor,
            limit: None,
        })
        .await
    }

    /// The room of two: made at the first call of either, the same ever after.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn direct_room(&self, other: UserId) -> Result<RoomAnswer, CommandError> {
        self.create_room(None, RoomKind::Direct, None, vec![other])
            .await
    }

    /// Changes what is there: `None` leaves it, an empty text takes it away.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn update_room(
        &self,
        room: &RoomId,
        name: Option<String>,
        topic: Option<String>,
        slow_mode_s: Option<u32>,
    ) -> Result<RoomAnswer, CommandError> {
        self.command(Command::UpdateRoom {
            room: room.clone(),
            name,
            topic,
            slow_mode_s,
        })
        .await
    }

    /// Adds members, or gives them a role. Without one whoever is a member stays what he is.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn add_members(
        &self,
        room: &RoomId,
        users: Vec<UserId>,
        role: Option<Role>,
    ) -> Result<RoomAnswer, CommandError> {
        let room = room.clone();
        self.command(Command::AddMembers { room, users, role })
            .await
    }

    /// Removes members, or oneself.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn remove_members(
        &self,
        room: &RoomId,
        users: Vec<UserId>,
    ) -> Result<RoomAnswer, CommandError> {
        let room = room.clone();
        self.command(Command::RemoveMembers { room, users }).await
    }

    /// The server's time.
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn ping(&self) -> Result<Pong, CommandError> {
        self.command(Command::Ping).await
    }

    /// Any command, its answer read as what the caller expects: the types are in
    /// [`chat_proto::received`].
    ///
    /// # Errors
    /// [`CommandError`]
    pub async fn command<T: DeserializeOwned>(&self, command: Command) -> Result<T, CommandError> {
        self.link.ask(Request::Command(command)).await
    }

    /// Closes the connection for all of its handles, and waits until it is closed.
    pub async fn close(&self) {
        self.link.stop.cancel();
        self.link.tasks.wait().await;
    }
}

impl Link {
    /// Starts the task of a connection.
    fn over(connection: RawConnection, options: &Options) -> (Self, Events) {
        let (frames, waiting) = mpsc::channel(COMMANDS_MAX);
        let (event_sender, events) = mpsc::channel(options.events_max.max(1));
        let pending = Arc::new(Pending::default());
        let link = Self {
            codec: options.codec,
            frames,
            pending: Arc::clone(&pending),
            places: Arc::new(Semaphore::new(COMMANDS_MAX)),
            next_id: AtomicU64::new(1),
            command_timeout: options.command_timeout,
            tasks: TaskTracker::new(),
            stop: CancellationToken::new(),
        };
        let task = Task {
            frames: waiting,
            events: event_sender,
            pending: Arc::clone(&pending),
            stop: link.stop.clone(),
        };
        link.tasks.spawn(task.run(connection));
        link.tasks.close();
        (link, Events { events, pending })
    }

    async fn ask<T: DeserializeOwned>(&self, request: Request) -> Result<T, CommandError> {
        let answering = Box::pin(self.answer(request));
        let body = timeout(self.command_timeout, answering)
            .await
            .map_err(|_| CommandError::Timeout)??;
        body.read()
            .map_err(|error| CommandError::NotUnderstood(Arc::new(error)))
    }

    async fn answer(&self, request: Request) -> crate::pending::Answer {
        let places = Arc::clone(&self.places);
        let place = places.acquire_owned().await;
        let place = place.expect("the semaphore is never closed");
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let (sender, answer) = oneshot::channel();
        self.pending
            .wait(id, sender, place)
            .map_err(CommandError::Disconnected)?;
        let frame = ClientFrame {
            id: Some(id),
            request,
        };
        self.write(&frame).await?;
        // The end of a connection answers all that wait, so an error means that it has ended.
        answer.await.unwrap_or_else(|_| Err(self.disconnected()))
    }

    async fn tell(&self, command: Command) -> Result<(), CommandError> {
        let frame = ClientFrame {
            id: None,
            request: Request::Command(command),
        };
        self.write(&frame).await
    }

    async fn write(&self, frame: &ClientFrame) -> Result<(), CommandError> {
        let bytes = self.codec.encode_client(frame);
        let written = self.frames.send(bytes).await;
        written.map_err(|_| self.disconnected())
    }

    fn disconnected(&self) -> CommandError {
        let why = self.pending.ended().unwrap_or(Disconnected::Local);
        CommandError::Disconnected(why)
    }
}

/// 122 random bits: no two devices of a user choose the same one.
fn new_key() -> MessageKey {
    let key = uuid::Uuid::new_v4().simple().to_string();
    MessageKey::new(key).expect("hexadecimal digits make a key")
}

fn nothing(_: Nothing) {}
