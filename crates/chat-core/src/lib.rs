//! Domain types, the seams and the engine of the chat server: no sockets, no SQL, no Redis.
//!
//! # Layout
//! - names and values: `ids`, `position`, `topic`, `message`, `room`, `entry`, `identity`,
//!   `standing`
//! - what nodes say to each other: [`envelope`], `signal`
//! - the seams, each with a numbered contract: `pubsub`, `room_log`, `presence`, `directory`,
//!   `rate_limiter`, `authenticator`, `revocations`, `clock`; for moving between stores: `transfer`
//! - what clients ask and are told: `command`, `answer`, `event`, `error`
//! - limits and metrics: [`limits`], `metrics`; what may be shown of an address: `address`

pub mod limits;

mod ids;
mod position;
mod topic;

mod entry;
mod identity;
mod message;
mod room;

pub mod envelope;
mod signal;

mod authenticator;
mod clock;
mod directory;
mod presence;
mod pubsub;
mod rate_limiter;
mod revocations;
mod room_log;
mod standing;
mod transfer;

mod answer;
mod command;
mod error;
mod event;
mod metrics;

mod address;
mod feed;
#[cfg(test)]
mod model;
mod outbox;
mod reach;
mod service;
mod size;
mod token_bucket;

pub use address::without_secrets;
pub use answer::{
    Answer, ClientLimits, HelloAnswer, JoinResult, ListedRoom, Online, Reading, RoomList, Sent,
    UserPresence, Users, Who,
};
pub use authenticator::{
    AuthenticationError, Authenticator, Credentials, DevelopmentAuthenticator,
};
pub use clock::{Clock, ManualClock, SystemClock};
pub use command::{Command, Hello, SendMessage, Status};
pub use directory::{
    Authority, Created, Directory, DirectoryError, Edited, Marker, MemberPage, Membership,
    Memberships, NewRoom, RoomEdit, RoomPage,
};
pub use entry::{Entry, EntryBody, EntryHeader};
pub use error::ServiceError;
pub use event::{CODECS, Delivery, Event, Notification, Part, ResetReason};
pub use feed::{Feed, Loss, Step, Want};
pub use identity::{Identity, PatternError, RoomPatterns, Token, TokenId, TokenIdError};
pub use ids::{
    ConnectionId, DeviceId, EntryId, Epoch, InstanceId, MessageId, MessageIdError, MessageKey,
    NameError, RoomId, UserId,
};
pub use limits::Limits;
pub use message::{ContentError, Emoji, Message, Meta, Millis, Reactions, Text};
pub use metrics::{LimitLabel, Metrics, ReasonLabel};
pub use outbox::{CloseReason, Outgoing};
pub use position::{Position, PositionError};
pub use presence::{
    Change, Departure, Ended, Kept, Lease, Occupant, OccupantPage, Presence, PresenceError, Swept,
};
pub use pubsub::{
    EventSender, EventStream, PubSub, PubSubError, PubSubEvent, Publication, event_queue,
};
pub use rate_limiter::{Ask, Grant, Rate, RateKey, RateLimiter, RateLimiterError, SlidingWindow};
pub use reach::Reach;
pub use revocations::{RevocationError, Revocations, Revoked, RevokedError};
pub use room::{Access, Member, Role, Room, RoomChange, RoomKind};
pub use room_log::{
    AppendCall, AppendError, Appended, Digest, Head, Idempotency, NewEntry, Page, PageFrom,
    Precondition, ReadAfter, ReadError, RoomLog, Stored, Unread,
};
pub use service::{BuildError, ChatService, ChatServiceBuilder, Health, Session};
pub use signal::{Arrival, Marked, Read, Seen, Signal, Typing};
pub use standing::{Device, Said, Shift, Standing};
pub use token_bucket::TokenBucket;
pub use topic::{Topic, TopicError};
pub use transfer::{
    DirectoryTransfer, Listed, LogTransfer, MemberRecord, PersonRecord, RestoreError, RoomRecord,
};

/// Mocks of every seam, for tests of crates that use them.
#[cfg(any(test, feature = "mocks"))]
pub mod mocks {
    pub use crate::authenticator::MockAuthenticator;
    pub use crate::directory::MockDirectory;
    pub use crate::presence::MockPresence;
    pub use crate::pubsub::MockPubSub;
    pub use crate::rate_limiter::MockRateLimiter;
    pub use crate::revocations::MockRevocations;
    pub use crate::room_log::MockRoomLog;
}
