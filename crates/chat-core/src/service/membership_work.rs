//! Keeps what this node knows of its users' rooms in step with the directory, and tells their
//! connections what is new.
//!
//! A signal says that something has changed, never what: it may be lost, late, or doubled. What is
//! true is read, by one task per user at a time; what nobody signalled is found by comparing
//! versions, after a cut and at an interval.

use std::sync::Arc;
use std::time::Duration;

use crate::directory::{DirectoryError, Membership};
use crate::event::Event;
use crate::ids::{InstanceId, RoomId, UserId};
use crate::room::{Access, RoomChange};
use crate::service::Inner;
use crate::service::backoff::Backoff;
use crate::service::connection::Connection;
use crate::service::housekeeping::Timer;
use crate::service::own_rooms::RoomNews;
use crate::service::room::RoomHub;
use crate::service::users::{Look, UserHub};
use crate::signal::Signal;

/// Longest wait between two reads that fail. Every user of the node asks: longer than for a room.
const RETRY_MAX: Duration = Duration::from_secs(5);
/// How long the entry that removes a user may take to come after the directory has removed him.
const EXPEL_AFTER: Duration = Duration::from_secs(5);
/// Users whose versions are asked for at once.
const VERSIONS_BATCH: usize = 256;

impl Inner {
    /// Something arrived on a user's topic.
    pub(super) fn take_user_signal(
        self: &Arc<Self>,
        user: &UserId,
        origin: InstanceId,
        signal: Signal,
    ) {
        let Some(hub) = self.users.find(user) else {
            return;
        };
        match signal {
            // What this node did itself it has looked at already.
            Signal::Membership(_) if origin == self.instance => {}
            Signal::Membership(room) => {
                self.known.forget(&room);
                // It may have ended, and the directory be away when it is asked.
                self.forget_role(&room, user);
                self.look_at(&hub, Look::One(room));
            }
            // What was read here was told when it was.
            Signal::Marked(marked) if origin != self.instance => self.marked(user, &marked, None),
            Signal::Unknown(_) => {
                self.metrics.unknown_kinds.inc();
            }
            _ => {}
        }
    }

    /// Something was lost on a user's topic.
    pub(super) fn doubt_user(self: &Arc<Self>, user: &UserId) {
        if let Some(hub) = self.users.find(user) {
            self.look_at(&hub, Look::All);
        }
    }

    /// Starts a task that reads a user's rooms, unless one is at it.
    pub(super) fn look_at(self: &Arc<Self>, hub: &Arc<UserHub>, what: Look) {
        if hub.claim_look(what) {
            self.spawn(look(Arc::clone(self), Arc::clone(hub)));
        }
    }

    /// Compares the versions of all users' memberships with the directory's, and reads again where
    /// they differ. Answers whether the directory answered.
    pub(super) async fn compare_memberships(self: &Arc<Self>) -> bool {
        let hubs = self.users.all();
        for batch in hubs.chunks(VERSIONS_BATCH) {
            let known = batch.iter().filter_map(|hub| Some((hub, hub.version()?)));
            let (hubs, known): (Vec<_>, Vec<_>) = known.unzip();
            if hubs.is_empty() {
                continue;
            }
            let ids: Vec<_> = hubs.iter().map(|hub| hub.id.clone()).collect();
            let versions = match self.directory.membership_versions(&ids).await {
                Ok(versions) => versions,
                Err(error) => {
                    tracing::warn!(%error, "cannot compare memberships");
                    return false;
                }
            };
            for ((hub, known), version) in hubs.into_iter().zip(known).zip(versions) {
                if known != version {
                    self.look_at(hub, Look::All);
                }
            }
        }
        true
    }

    /// A user has become a member by coming to a room here.
    pub(super) fn learn_membership(self: &Arc<Self>, connection: &Connection, access: &Access) {
        let Some((hub, role)) = self.users.find(&connection.user).zip(access.role) else {
            return;
        };
        let membership = Membership {
            room: access.room.clone(),
            role,
            // Of an earlier membership there may be one: whoever counts reads it.
            marker: None,
        };
        let mut own = hub.own_rooms();
        let news = own.rooms.learn(membership, self.limits.memberships_max);
        let others = own.connections.iter();
        // This one learns it from the answer to what it asked.
        let others = others.filter(|other| other.id != connection.id).cloned();
        self.tell_news(&hub, &others.collect::<Vec<_>>(), news.as_slice(), false);
    }

    async fn read_all(self: &Arc<Self>, hub: &Arc<UserHub>) -> Result<(), DirectoryError> {
        let max = self.limits.memberships_max;
        let learned = hub.learned();
        let read = self.directory.memberships(&hub.id, max).await?;
        if read.rooms.len() >= max {
            self.metrics.limit("memberships_max");
        }
        let mut own = hub.own_rooms();
        if own.rooms.learned() != learned {
            // The log said something meanwhile that the read may not have seen.
            drop(own);
            hub.look_again(Look::All);
            return Ok(());
        }
        let first = !own.rooms.is_known();
        let rooms = read.rooms.clone();
        let news = own.rooms.take_all(read, max);
        self.tell_news(hub, &own.connections, &news, first);
        self.tell_back_again(&own.connections, &rooms);
        drop(own);
        self.forget_roles(&hub.id, &news);
        hub.is_known_now();
        Ok(())
    }

    async fn read_one(
        self: &Arc<Self>,
        hub: &Arc<UserHub>,
        room: &RoomId,
    ) -> Result<(), DirectoryError> {
        let learned = hub.learned();
        // Before the room, so that this is at least as new.
        let versions = self
            .directory
            .membership_versions(std::slice::from_ref(&hub.id));
        let version = versions.await?.first().copied().unwrap_or_default();
        let access = self.directory.access(room, &hub.id).await?;
        let membership = match access.and_then(|access| access.role.map(|role| (access.room, role)))
        {
            Some((room, role)) => Some(Membership {
                marker: self.directory.marker(&room.id, &hub.id).await?,
                room,
                role,
            }),
            None => None,
        };
        let mut own = hub.own_rooms();
        if own.rooms.learned() != learned {
            // Read before something that was heard meanwhile: it may be of before that, too.
            drop(own);
            hub.look_again(Look::One(room.clone()));
            return Ok(());
        }
        let max = self.limits.memberships_max;
        let (news, all) = own.rooms.take_one(room, membership.clone(), version, max);
        self.tell_news(hub, &own.connections, news.as_slice(), false);
        self.tell_back_again(&own.connections, membership.as_slice());
        drop(own);
        self.forget_roles(&hub.id, news.as_slice());
        if all {
            self.look_at(hub, Look::All);
        }
        Ok(())
    }

    /// What a user has ceased to be a member of does not know him any more.
    fn forget_roles(&self, user: &UserId, news: &[RoomNews]) {
        for news in news {
            if let RoomNews::Removed(room) = news {
                self.forget_role(room, user);
            }
        }
    }

    /// Tells a user's connections what is new of his rooms. At the first read nothing is: who asks
    /// for his rooms is answered after it.
    fn tell_news(
        self: &Arc<Self>,
        hub: &Arc<UserHub>,
        connections: &[Arc<Connection>],
        news: &[RoomNews],
        first: bool,
    ) {
        self.memberships_changed(hub, news);
        if first {
            return;
        }
        for news in news {
            self.correct_joined(&hub.id, connections, news);
            let (room, event) = match news {
                RoomNews::Added(now) => (&now.room.id, Event::RoomAdded(now.room.clone().into())),
                RoomNews::Changed(now) => {
                    (&now.room.id, Event::RoomUpdated(now.room.clone().into()))
                }
                RoomNews::Removed(room) => (room, Event::RoomRemoved { room: room.clone() }),
                RoomNews::Forgotten(_) => continue,
            };
            let is_removal = matches!(news, RoomNews::Removed(_));
            let is_news = |other: &&Arc<Connection>| {
                let told = !matches!(news, RoomNews::Changed(_)) && other.take_dismissed(room);
                // Whoever has joined the room knows it from there, in order with its messages.
                let elsewhere = other.room(room).is_none() && other.identity().permits(room);
                elsewhere && !(is_removal && told)
            };
            super::users::tell(connections.iter().filter(is_news), event, &self.metrics);
        }
    }

    /// Whoever was removed by a room's log and is a member all the same was added again meanwhile.
    fn tell_back_again(&self, connections: &[Arc<Connection>], rooms: &[Membership]) {
        for membership in rooms {
            let room = &membership.room.id;
            let back = |other: &&Arc<Connection>| {
                other.take_dismissed(room) && other.identity().permits(room)
            };
            let back: Vec<_> = connections.iter().filter(back).collect();
            if !back.is_empty() {
                let event = Event::RoomAdded(membership.room.clone().into());
                super::users::tell(back.into_iter(), event, &self.metrics);
            }
        }
    }

    /// What the directory says of a room that connections of the user have joined. The room's log says
    /// it too, in order with the messages, unless the node that made the change died before it did.
    fn correct_joined(&self, user: &UserId, connections: &[Arc<Connection>], news: &RoomNews) {
        match news {
            RoomNews::Added(now) | RoomNews::Changed(now) => {
                for connection in connections {
                    connection.set_role(&now.room.id, now.role, now.room.version);
                }
            }
            RoomNews::Removed(room) => {
                if connections.iter().any(|other| other.room(room).is_some()) {
                    let timer = Timer::Expel(room.clone(), user.clone());
                    self.timers.after(EXPEL_AFTER, timer);
                }
            }
            RoomNews::Forgotten(_) => {}
        }
    }

    /// The entry that removes a user from a room has had its time: if he is there and no member all
    /// the same, he is taken out without it.
    pub(super) async fn expel(self: &Arc<Self>, room: &RoomId, user: &UserId) {
        let Some(hub) = self.rooms.find(room) else {
            return;
        };
        match self.ask_access_now(room, user).await {
            Ok(Some(access)) if access.role.is_some() => {}
            Ok(_) => {
                hub.state.lock().expel(user, &self.metrics);
                self.follow_changes(&hub);
            }
            Err(_) => {
                let timer = Timer::Expel(room.clone(), user.clone());
                self.timers.after(EXPEL_AFTER, timer);
            }
        }
    }

    /// What entries that were just delivered have changed in a room is followed up: to be called
    /// after every delivery, without the room's lock.
    pub(super) fn follow_changes(self: &Arc<Self>, room: &Arc<RoomHub>) {
        let (changes, idle) = self.take_changes(room);
        if let Some(idle) = idle {
            self.attend(room);
            if idle {
                self.give_up_later(room);
            }
        }
        if changes.is_empty() {
            return;
        }
        self.known.forget(&room.id);
        if changes.iter().any(RoomChange::has_facts) {
            self.tell_facts(room);
        }
        for change in changes {
            let roles = change.roles.iter().map(|member| &member.user);
            let members = change.members_added.iter().chain(&change.members_removed);
            // As good as a signal, for those whose own was lost.
            for hub in members
                .chain(roles)
                .filter_map(|user| self.users.find(user))
            {
                self.look_at(&hub, Look::One(room.id.clone()));
            }
        }
    }

    /// The changes that are to be followed up, and whether the room is empty, if somebody was taken
    /// out of it.
    fn take_changes(&self, room: &RoomHub) -> (Vec<RoomChange>, Option<bool>) {
        let mut state = room.state.lock();
        let changes = std::mem::take(&mut state.changes);
        // Under the room's lock: whoever looks under it whether somebody may be told what happens
        // finds the change there, or him suspended.
        for user in changes.iter().flat_map(|change| &change.members_removed) {
            if let Some(hub) = self.users.find(user) {
                hub.own_rooms().rooms.suspend(&room.id);
            }
        }
        let expelled = std::mem::take(&mut state.has_expelled);
        (changes, expelled.then(|| state.members.is_empty()))
    }

    /// A user's rooms were read, and may be others now: the place for whatever follows them. Called
    /// under the lock of the user, in the order of the changes; must not ask for that lock.
    fn memberships_changed(self: &Arc<Self>, hub: &Arc<UserHub>, news: &[RoomNews]) {
        // Markers may be others even where nothing else is.
        let others = |news: &RoomNews| !matches!(news, RoomNews::Changed(_));
        self.watch(hub, news.iter().any(others));
    }
}

/// Compares memberships at a jittered interval: finds what was signalled and lost, or never
/// signalled at all.
pub(super) async fn compare_versions(inner: Arc<Inner>) {
    loop {
        let jitter = 0.75 + fastrand::f64() / 2.0;
        tokio::time::sleep(inner.limits.membership_check_interval.mul_f64(jitter)).await;
        inner.compare_memberships().await;
    }
}

pub(super) async fn look(inner: Arc<Inner>, hub: Arc<UserHub>) {
    let mut backoff = Backoff::up_to(RETRY_MAX);
    while let Some(what) = hub.next_look() {
        let read = {
            let Ok(_place) = inner.users.reads.acquire().await else {
                return;
            };
            match &what {
                Look::All => inner.read_all(&hub).await,
                Look::One(room) => inner.read_one(&hub, room).await,
            }
        };
        if let Err(error) = read {
            tracing::debug!(user = %hub.id, %error, "cannot read memberships");
            hub.look_again(what);
            backoff.wait().await;
        } else {
            backoff.reset();
        }
    }
}
