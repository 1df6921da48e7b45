//! Making rooms, changing them and their members.
//!
//! The directory is changed first, in a step that checks the actor's role; then the room's log says
//! so, which is what nodes and clients follow. A log that is away is tried again for as long as this
//! node lives. If it dies in between, whoever was added or removed finds out by the version of his
//! memberships, and everybody else the next time that he joins. So do those whom an edit names whose
//! answer was lost, which nobody can log; they are told to look at once.

mod wanted;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::answer::Answer;
use crate::directory::{DirectoryError, RoomEdit};
use crate::entry::EntryBody;
use crate::error::ServiceError;
use crate::ids::{EntryId, MessageKey, RoomId, UserId};
use crate::limits::{ROOM_CHANGES_MAX, ROOM_NAME_BYTES_MAX, SLOW_MODE_S_MAX, TOPIC_BYTES_MAX};
use crate::room::{Access, Member, Role, RoomChange};
use crate::room_log::Appended;
use crate::service::Inner;
use crate::service::backoff::Backoff;
use crate::service::connection::Connection;
use crate::service::lanes::Done;
use crate::service::permission::{self, Action};
use crate::service::send::Change;
use crate::service::users::Look;
use crate::signal::Signal;
use crate::topic::Topic;

pub(super) use wanted::Wanted;
use wanted::{check_bytes, check_size, check_users, once_each};

/// Longest wait between two attempts to log a change.
const RETRY_MAX: Duration = Duration::from_secs(5);

/// How long after an edit was given up it may still be carried out: no store gives a step more than
/// 10 s, counted from its beginning.
const EDIT_ENDS: Duration = Duration::from_secs(12);

/// A change that the directory has made.
struct Made {
    room: RoomId,
    actor: UserId,
    change: RoomChange,
    key: MessageKey,
}

/// What became of an attempt to log it, when it is known.
type Logged = oneshot::Receiver<Result<Appended, ServiceError>>;

/// Drawn for each change and told to nobody: a key of a client's choice could stand in the way of
/// its entry.
fn drawn_key() -> Result<MessageKey, ServiceError> {
    let (one, other) = (EntryId::random(), EntryId::random());
    let key = MessageKey::new(format!("{:016x}{:016x}", one.0, other.0));
    key.map_err(|_| ServiceError::Internal)
}

/// Holds a drain up until the command is answered.
struct Pending(Arc<Connection>);

impl Pending {
    fn new(connection: &Arc<Connection>) -> Self {
        connection.began();
        Self(Arc::clone(connection))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.0.finished();
    }
}

impl Inner {
    /// Makes a room. Its members are told; its log begins empty.
    pub(super) async fn create_room(
        self: &Arc<Self>,
        connection: &Connection,
        wanted: Wanted,
    ) -> Result<Answer, ServiceError> {
        let user = &connection.user;
        let new = wanted.by(user)?;
        permission::may_create(&connection.identity(), &new.id)?;
        if self.ask_access_now(&new.id, user).await?.is_none() {
            // A retry is not counted once more.
            self.check_new_room(user).await?;
        }
        let (id, members) = (new.id.clone(), new.members.clone());
        let created = self.directory.create(new).await;
        let created = created.map_err(|error| self.refused(&id, error))?;
        self.known.forget(&id);
        if !created.existed {
            self.tell_members(&id, members.iter().map(|member| &member.user));
            let own = members.iter().find(|member| member.user == *user);
            let role = own.map(|member| member.role);
            let room = created.room;
            return Ok(Answer::Room(Box::new(Access { room, role })));
        }
        // The first attempt may have told nobody; what has become of the room since counts.
        self.tell_members(&id, members.iter().map(|member| &member.user));
        let access = self.ask_access_now(&id, user).await?;
        let access = access.ok_or_else(permission::no_room)?;
        permission::check(
            Action::Read,
            access.room.kind,
            access.role,
            connection.identity().admin,
        )?;
        Ok(Answer::Room(Box::new(access)))
    }

    /// Changes name, topic or slow mode.
    pub(super) async fn update_room(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<u64>,
        room: &RoomId,
        edit: RoomEdit,
    ) -> Result<Option<Answer>, ServiceError> {
        check_bytes("name", edit.name.as_deref(), ROOM_NAME_BYTES_MAX)?;
        check_bytes("topic", edit.topic.as_deref(), TOPIC_BYTES_MAX)?;
        let slow_mode_s = edit.slow_mode_s.unwrap_or(0) as usize;
        check_size("slow_mode_s", slow_mode_s, SLOW_MODE_S_MAX as usize)?;
        self.edit_room(connection, id, room, Action::Update, Vec::new(), edit)
            .await
    }

    /// Adds members, or gives them another role. Without a role whoever is a member stays what he is.
    pub(super) async fn add_members(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<u64>,
        room: &RoomId,
        users: Vec<UserId>,
        role: Option<Role>,
    ) -> Result<Option<Answer>, ServiceError> {
        check_users("users", &users)?;
        let users = once_each(users);
        let named = users.clone();
        let edit = match role {
            Some(role) => RoomEdit {
                add: users
                    .into_iter()
                    .map(|user| Member { user, role })
                    .collect(),
                ..RoomEdit::default()
            },
            None => RoomEdit {
                invite: users,
                ..RoomEdit::default()
            },
        };
        self.edit_room(connection, id, room, Action::Invite, named, edit)
            .await
    }

    /// Removes members, or oneself.
    pub(super) async fn remove_members(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<u64>,
        room: &RoomId,
        users: Vec<UserId>,
    ) -> Result<Option<Answer>, ServiceError> {
        check_users("users", &users)?;
        let users = once_each(users);
        let is_parting = matches!(users.as_slice(), [only] if *only == connection.user);
        let action = if is_parting {
            Action::Quit
        } else {
            Action::Remove
        };
        let edit = RoomEdit {
            remove: users.clone(),
            ..RoomEdit::default()
        };
        self.edit_room(connection, id, room, action, users, edit)
            .await
    }

    async fn edit_room(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        id: Option<u64>,
        room: &RoomId,
        action: Action,
        named: Vec<UserId>,
        edit: RoomEdit,
    ) -> Result<Option<Answer>, ServiceError> {
        let access = self.permit(connection, room, action).await?;
        let Ok(place) = Arc::clone(&self.changes).try_acquire_owned() else {
            self.metrics.limit("room_changes");
            return Err(ServiceError::unavailable("the log"));
        };
        let user = &connection.user;
        let authority = permission::authority(action, user, connection.identity().admin);
        let edited = match self.directory.edit(room, &authority, edit).await {
            Ok(edited) => edited,
            Err(error) => {
                if matches!(error, DirectoryError::Unavailable(_)) {
                    self.doubt_edit(room, named, place);
                }
                return Err(self.refused(room, error));
            }
        };
        let role = role_after(user, access.role, &edited.change);
        let answer = Answer::Room(Box::new(Access {
            room: edited.room,
            role,
        }));
        if edited.change.is_empty() {
            // It may have been made by an attempt whose answer was lost, and which told nobody.
            self.known.forget(room);
            self.tell_members(room, named.iter());
            return Ok(Some(answer));
        }
        self.known.forget(room);
        let change = edited.change;
        let roles = change.roles.iter().map(|member| &member.user);
        let members = change.members_added.iter().chain(&change.members_removed);
        self.tell_members(room, members.chain(roles));
        let made = Made {
            room: room.clone(),
            actor: user.clone(),
            change,
            key: drawn_key()?,
        };
        let pending = Pending::new(connection);
        let tell = move || pending.0.answer(id, Ok(answer));
        self.log_change(made, place, tell).await;
        Ok(None)
    }

    /// An edit may have been made, or may yet be, and no entry will say so: those whom it names look
    /// for themselves, now and when it can happen no more.
    fn doubt_edit(
        self: &Arc<Self>,
        room: &RoomId,
        named: Vec<UserId>,
        place: OwnedSemaphorePermit,
    ) {
        self.known.forget(room);
        self.tell_members(room, named.iter());
        // Doubts must not use up the places of changes that are made.
        if named.is_empty() || self.changes.available_permits() < ROOM_CHANGES_MAX / 2 {
            return;
        }
        let (inner, room) = (Arc::clone(self), room.clone());
        self.spawn(async move {
            let _place = place;
            tokio::time::sleep(EDIT_ENDS).await;
            inner.known.forget(&room);
            inner.tell_members(&room, named.iter());
        });
    }

    /// Logs a change that the directory has made, behind what this connection did before. `done` is
    /// called after the first attempt, whatever became of it: the change is made, and will be logged.
    async fn log_change(
        self: &Arc<Self>,
        made: Made,
        place: OwnedSemaphorePermit,
        done: impl FnOnce() + Send + 'static,
    ) {
        let mut outcome = self.try_to_log(&made).await;
        let inner = Arc::clone(self);
        self.spawn(async move {
            let _place = place;
            let mut logged = outcome.await;
            done();
            let mut backoff = Backoff::up_to(RETRY_MAX);
            // Nobody answers only if the node ends.
            while let Ok(Err(error)) = logged {
                if !error.is_retryable() {
                    let room = made.room;
                    tracing::error!(%room, %error, "a change of a room cannot be logged");
                    return;
                }
                backoff.wait().await;
                outcome = inner.try_to_log(&made).await;
                logged = outcome.await;
            }
        });
    }

    async fn try_to_log(&self, made: &Made) -> Logged {
        let change = Change {
            room: made.room.clone(),
            key: Some(made.key.clone()),
            body: EntryBody::RoomUpdated(made.change.clone()),
            precondition: None,
        };
        let (done, outcome) = oneshot::channel();
        self.append(&made.actor, change, Done::Caller(done)).await;
        outcome
    }

    /// Lets users know that their memberships have changed, here and on other nodes.
    fn tell_members<'a>(self: &Arc<Self>, room: &RoomId, users: impl Iterator<Item = &'a UserId>) {
        for user in users {
            self.signal(Topic::User(user.clone()), &Signal::Membership(room.clone()));
            self.forget_role(room, user);
            if let Some(hub) = self.users.find(user) {
                self.look_at(&hub, Look::One(room.clone()));
            }
        }
    }

    /// What a client is told of a directory that refused.
    pub(super) fn refused(&self, room: &RoomId, error: DirectoryError) -> ServiceError {
        match error {
            DirectoryError::NotFound => permission::no_room(),
            DirectoryError::Taken => ServiceError::Taken("room"),
            DirectoryError::Forbidden => {
                ServiceError::Forbidden("your role does not allow this, or not with these members")
            }
            DirectoryError::TooMany { what, limit } => full(what, limit),
            DirectoryError::Full(limit) => full("the list of all rooms", limit),
            error => self.directory_away(room, &error),
        }
    }
}

/// Retrying does not help: somebody has to make room.
fn full(field: &'static str, limit: usize) -> ServiceError {
    ServiceError::TooLarge {
        field,
        size: limit + 1,
        limit,
    }
}

/// What somebody is in a room after a change.
fn role_after(user: &UserId, before: Option<Role>, change: &RoomChange) -> Option<Role> {
    let of = |member: &&Member| member.user == *user;
    if let Some(member) = change.roles.iter().find(of) {
        return Some(member.role);
    }
    if change.members_added.contains(user) {
        return Some(Role::Member);
    }
    before.filter(|_| !change.members_removed.contains(user))
}
