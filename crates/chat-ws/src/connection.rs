//! The life of one connection, in one task: greet, chat, part.
//!
//! Commands are carried out one after the other: no frame is read while one runs, which keeps the
//! order of one sender, and lets TCP slow down a client that sends faster than it is served. What
//! the engine has to say is written all the while.

use std::future::{Future, pending};
use std::pin::Pin;

use chat_core::{
    ChatService, CloseReason, Credentials, Hello, Outgoing, ReasonLabel, ServiceError, Session,
};
use chat_proto::{ClientFrame, CloseCode, ErrorCode, ErrorObject, Request};
use futures_util::future::join;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_tungstenite::tungstenite::Error as WebSocketError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode as Code;
use tracing::debug;

use crate::frames::BadFrames;
use crate::heartbeat::{Beat, Heartbeat, first_beat};
use crate::limits::{BATCH_FRAMES_MAX, CLOSE_TIMEOUT, EVICT_TIMEOUT};
use crate::wire::{Lost, Turn, Wire};

/// A command that is being carried out. Boxed, because most connections run none.
type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Why a connection ends.
#[derive(Debug)]
enum End {
    /// The client closed it, or its socket failed.
    Lost(Lost),
    /// It is to be closed, with a close frame.
    Close(CloseReason),
    /// It is to be dropped: what was to be said could not be written in time.
    Cut(&'static str),
}

impl From<Lost> for End {
    fn from(lost: Lost) -> Self {
        Self::Lost(lost)
    }
}

/// Runs a connection to its end. `carried` is what came with the request: a name is an implicit
/// hello, a token stands for one that hello does not have.
pub(crate) async fn run<S>(
    mut wire: Wire<S>,
    service: &ChatService,
    carried: Option<Box<Credentials>>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let limits = service.limits();
    let mut bad = BadFrames::new(limits.bad_frames_max);
    // Boxed, because it is over soon and the rest lasts: its space would be kept all the while.
    let greeting = Box::pin(greet(&mut wire, service, &mut bad, carried));
    let (end, running) = match timeout(limits.hello_timeout, greeting).await {
        Ok(Ok((session, hello))) => chat(&mut wire, service, session, hello, bad).await,
        Ok(Err(end)) => (end, None),
        Err(_) => {
            service.metrics().limit("hello_timeout");
            let problem = format!("hello did not come within {:?}", limits.hello_timeout);
            refuse(&mut wire, None, &unauthorized(problem));
            (End::Close(CloseReason::Unauthenticated), None)
        }
    };
    debug!(?end, "connection ends");
    // A command that was begun is carried out, though nobody is there for its answer. The engine
    // bounds the time that it takes.
    let finished = async {
        if let Some(running) = running {
            running.await;
        }
    };
    Box::pin(join(part(wire, service, end), finished)).await;
}

/// Waits for hello, and lets the client in.
async fn greet<S>(
    wire: &mut Wire<S>,
    service: &ChatService,
    bad: &mut BadFrames,
    mut carried: Option<Box<Credentials>>,
) -> Result<(Session, Running), End>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    if let Some(named) = carried.take_if(|carried| carried.user.is_some()) {
        return admit(wire, service, None, *named, Hello::default()).await;
    }
    loop {
        let (id, error) = match wire.turn(true).await? {
            Turn::Written | Turn::Alive => continue,
            Turn::WrongKind => (None, wrong_kind(wire)),
            Turn::Frame(bytes) => match wire.codec().decode_client(&bytes) {
                Ok(ClientFrame {
                    id,
                    request:
                        Request::Hello {
                            mut credentials,
                            hello,
                        },
                }) => {
                    let carried = carried.and_then(|carried| carried.token);
                    credentials.token = credentials.token.or(carried);
                    return admit(wire, service, id, credentials, hello).await;
                }
                Ok(ClientFrame { id, .. }) => (id, unauthorized("the first command is hello")),
                Err(refused) => (refused.id, refused.error),
            },
        };
        refuse(wire, id, &error);
        // Whatever is wrong with it: nobody counts commands of somebody who is not in yet.
        check_bad(service, bad)?;
    }
}

async fn admit<S>(
    wire: &mut Wire<S>,
    service: &ChatService,
    id: Option<u64>,
    credentials: Credentials,
    hello: Hello,
) -> Result<(Session, Running), End>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    match service.connect(credentials).await {
        Ok(session) => {
            debug!(user = %session.user(), id = %session.connection(), "connected");
            let running = Box::pin(session.hello(id, hello));
            Ok((session, running))
        }
        Err(error) => {
            refuse(wire, id, &ErrorObject::from(&error));
            Err(End::Close(reason_of_refusal(&error)))
        }
    }
}

/// How a connection that was not let in is closed: what its client does next depends on it.
fn reason_of_refusal(error: &ServiceError) -> CloseReason {
    match error {
        ServiceError::RateLimited { .. } => CloseReason::TooMany,
        ServiceError::Forbidden(_) => CloseReason::Disconnected,
        // Nothing is wrong with the client: it should come again, to another node if there is one.
        ServiceError::Unavailable { .. } | ServiceError::Internal => CloseReason::GoingAway,
        _ => CloseReason::Unauthenticated,
    }
}

/// What happened next.
enum Step {
    Turn(Result<Turn, Lost>),
    Batch(Result<(), CloseReason>),
    Done,
    Closed(CloseReason),
    Tick,
}

/// A connection that was let in.
struct Chat<'a, S> {
    wire: &'a mut Wire<S>,
    service: &'a ChatService,
    session: Session,
    running: Option<Running>,
    bad: BadFrames,
    heartbeat: Heartbeat,
    /// The next ping, or the end if the connection is `ending`.
    timer: Pin<&'a mut Sleep>,
    /// It is to be closed, but what is being written is stuck.
    ending: Option<CloseReason>,
}

async fn chat<S>(
    wire: &mut Wire<S>,
    service: &ChatService,
    session: Session,
    hello: Running,
    bad: BadFrames,
) -> (End, Option<Running>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let timer = sleep(first_beat(service.limits().heartbeat));
    tokio::pin!(timer);
    let mut chat = Chat {
        wire,
        service,
        session,
        running: Some(hello),
        bad,
        heartbeat: Heartbeat::default(),
        timer,
        ending: None,
    };
    let mut batch = Vec::new();
    let end = loop {
        if let Err(end) = chat.step(&mut batch).await {
            break end;
        }
    };
    // The session ends here: people leave their rooms before the last frames are written.
    let Chat { running, .. } = chat;
    (end, running)
}

impl<S> Chat<'_, S>
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    async fn step(&mut self, batch: &mut Vec<Outgoing>) -> Result<(), End> {
        let step = self.next(batch).await?;
        match step {
            Step::Turn(turn) => self.turned(turn?),
            Step::Batch(taken) => {
                taken.map_err(End::Close)?;
                self.wire.push_batch(batch);
                Ok(())
            }
            Step::Done => {
                self.running = None;
                Ok(())
            }
            Step::Closed(reason) => {
                self.ending = Some(reason);
                let deadline = Instant::now() + closing_time(reason);
                self.timer.as_mut().reset(deadline);
                Ok(())
            }
            Step::Tick => self.tick(),
        }
    }

    async fn next(&mut self, batch: &mut Vec<Outgoing>) -> Result<Step, Lost> {
        let blocked = self.wire.try_write().await?;
        let reading = self.running.is_none();
        // In random order, so that no arm starves another: a full outbox does not keep commands
        // from being read, nor a flood of commands the outbox from being written. Every arm is
        // cancel safe.
        Ok(tokio::select! {
            turn = self.wire.turn(reading) => Step::Turn(turn),
            taken = self.session.next_batch(batch, BATCH_FRAMES_MAX), if !blocked => {
                Step::Batch(taken)
            }
            () = done(&mut self.running) => Step::Done,
            // While nothing is stuck, `next_batch` tells as well, and without being woken by every
            // batch.
            reason = self.session.closed(), if blocked && self.ending.is_none() => {
                Step::Closed(reason)
            }
            () = self.timer.as_mut() => Step::Tick,
        })
    }

    fn turned(&mut self, turn: Turn) -> Result<(), End> {
        if !matches!(turn, Turn::Written) {
            self.heartbeat.heard();
        }
        let (id, error, is_bad) = match turn {
            Turn::Written | Turn::Alive => return Ok(()),
            Turn::WrongKind => (None, wrong_kind(self.wire), true),
            Turn::Frame(bytes) => match self.wire.codec().decode_client(&bytes) {
                Ok(ClientFrame {
                    id,
                    request: Request::Command(command),
                }) => {
                    self.running = Some(Box::pin(self.session.command(id, command)));
                    return Ok(());
                }
                Ok(ClientFrame { id, .. }) => {
                    (id, ErrorObject::bad_request("hello was said already"), true)
                }
                Err(refused) => {
                    let is_bad = refused.is_bad_frame();
                    if !is_bad && let Some(held_up) = self.session.count_refused(refused.id) {
                        self.running = Some(Box::pin(held_up));
                        return Ok(());
                    }
                    (refused.id, refused.error, is_bad)
                }
            },
        };
        refuse(self.wire, id, &error);
        if is_bad {
            check_bad(self.service, &mut self.bad)?;
        }
        Ok(())
    }

    fn tick(&mut self) -> Result<(), End> {
        if let Some(reason) = self.ending {
            return Err(End::Cut(reason.as_str()));
        }
        if self.heartbeat.tick() == Beat::Dead {
            return Err(End::Cut("heartbeat"));
        }
        self.wire.push_ping();
        let next = Instant::now() + self.service.limits().heartbeat;
        self.timer.as_mut().reset(next);
        Ok(())
    }
}

async fn done(running: &mut Option<Running>) {
    match running {
        Some(running) => running.await,
        None => pending().await,
    }
}

/// Ends a connection; the session is gone already, so nobody waits for its client's good manners.
async fn part<S>(wire: Wire<S>, service: &ChatService, end: End)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let (reason, code, text, time) = match end {
        End::Lost(Lost::Broken) => return,
        End::Lost(Lost::Closed) => {
            // A client that does not go away after its own close is dropped.
            let _ = timeout(EVICT_TIMEOUT, wire.answer_close()).await;
            return;
        }
        End::Cut(reason) => return count_closed(service, reason),
        End::Lost(Lost::Violated(error)) => {
            let (reason, code) = code_of_violation(&error);
            (reason.as_str(), code, "", CLOSE_TIMEOUT)
        }
        End::Close(reason) => {
            let code = CloseCode::for_reason(reason);
            let number = code.map_or(Code::Error, |code| Code::from(code.code()));
            let text = code.map_or("", CloseCode::text);
            (reason.as_str(), number, text, closing_time(reason))
        }
    };
    count_closed(service, reason);
    let frame = CloseFrame {
        code,
        reason: text.into(),
    };
    // Too late means dropped, which tells the client the same.
    let _ = timeout(time, wire.close(frame)).await;
}

fn code_of_violation(error: &WebSocketError) -> (CloseReason, Code) {
    match error {
        WebSocketError::Capacity(_) => (CloseReason::FrameTooLarge, Code::Size),
        WebSocketError::Utf8(_) => (CloseReason::Protocol, Code::Invalid),
        _ => (CloseReason::Protocol, Code::Protocol),
    }
}

fn closing_time(reason: CloseReason) -> std::time::Duration {
    match reason {
        CloseReason::TooSlow => EVICT_TIMEOUT,
        _ => CLOSE_TIMEOUT,
    }
}

fn count_closed(service: &ChatService, reason: &'static str) {
    if reason == CloseReason::TooSlow.as_str() {
        service.metrics().evicted.inc();
    }
    let label = ReasonLabel { reason };
    service.metrics().closed.get_or_create(&label).inc();
}

fn refuse<S>(wire: &mut Wire<S>, id: Option<u64>, error: &ErrorObject)
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let bytes = wire.codec().encode_error(id, error);
    wire.push(&bytes);
}

fn check_bad(service: &ChatService, bad: &mut BadFrames) -> Result<(), End> {
    service.metrics().bad_frames.inc();
    if bad.count() {
        return Ok(());
    }
    service.metrics().limit("bad_frames_max");
    Err(End::Close(CloseReason::Protocol))
}

fn unauthorized(message: impl Into<std::borrow::Cow<'static, str>>) -> ErrorObject {
    ErrorObject::new(ErrorCode::Unauthorized, message)
}

fn wrong_kind<S>(wire: &Wire<S>) -> ErrorObject
where
    S: AsyncRead + AsyncWrite + Unpin + Send,
{
    let codec = wire.codec();
    ErrorObject::bad_request(format!(
        "{} is spoken in {} frames",
        codec.subprotocol(),
        if codec.is_text() { "text" } else { "binary" },
    ))
}
