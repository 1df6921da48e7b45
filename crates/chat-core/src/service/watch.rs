//! Which rooms a user's connections watch on this node, and that these are served for them.
//!
//! Level-triggered, as following a user's topic is: what is wanted and what is are compared, by one
//! worker per user, whenever his connections or his rooms have changed.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::directory::Marker;
use crate::error::ServiceError;
use crate::ids::RoomId;
use crate::service::Inner;
use crate::service::backoff::Backoff;
use crate::service::connection::Connection;
use crate::service::own_rooms::OwnRoom;
use crate::service::room::{Mending, RoomHub};
use crate::service::users::UserHub;

/// What one user watches.
#[derive(Debug)]
pub(super) struct Watching {
    /// Tells this user's stay on the node from an earlier one, whose end may be noticed later.
    stay: u64,
    state: Mutex<State>,
    /// Told when what is watched is what is wanted.
    settled: Notify,
}

#[derive(Debug, Default)]
struct State {
    rooms: Vec<Arc<RoomHub>>,
    work: Mending,
    /// His rooms have changed: which of many are watched is chosen again.
    chooses: bool,
}

impl Default for Watching {
    fn default() -> Self {
        static STAYS: AtomicU64 = AtomicU64::new(0);
        Self {
            stay: STAYS.fetch_add(1, Ordering::Relaxed),
            state: Mutex::default(),
            settled: Notify::new(),
        }
    }
}

impl Watching {
    /// What is watched now.
    pub(super) fn rooms(&self) -> Vec<Arc<RoomHub>> {
        self.state.lock().rooms.clone()
    }

    fn is_settled(&self) -> bool {
        self.state.lock().work.is_idle()
    }
}

/// A room that a user is to watch, and how far he has read in it.
type Wanted = (RoomId, Option<Marker>);

impl Inner {
    /// A connection wants to be told what happens in rooms that it has not joined.
    pub(super) fn listen(self: &Arc<Self>, connection: &Connection) {
        connection.listen();
        if let Some(hub) = self.users.find(&connection.user) {
            self.watch(&hub, false);
        }
    }

    /// A user's connections have changed, or (`chooses`) his rooms.
    pub(super) fn watch(self: &Arc<Self>, hub: &Arc<UserHub>, chooses: bool) {
        let mut state = hub.watching.state.lock();
        state.chooses |= chooses;
        if state.work.claim() {
            self.spawn(work(Arc::clone(self), Arc::clone(hub)));
        }
    }

    /// Waits until all that happens in a user's rooms from now on is told to a connection: what he
    /// asks for afterwards has what was not. Not for ever: while stores are away nothing is told.
    pub(super) async fn until_told(&self, connection: &Connection) {
        if !self.is_linked() {
            // Nothing is, until the link is back; then all of it is read again and compared.
            return;
        }
        let Some(hub) = self.users.find(&connection.user) else {
            return;
        };
        let told = async {
            hub.until_known().await;
            loop {
                let settled = hub.watching.settled.notified();
                tokio::pin!(settled);
                // Registers before the look: a change in between is not missed.
                settled.as_mut().enable();
                if !connection.listens() || hub.watching.is_settled() {
                    return;
                }
                settled.await;
            }
        };
        // A list that may lack what happens meanwhile is better than none.
        let _late = tokio::time::timeout(self.limits.read_timeout, told).await;
    }

    /// Makes what is watched what is wanted. Answers whether that is done.
    async fn watch_once(self: &Arc<Self>, hub: &Arc<UserHub>) -> Result<bool, ServiceError> {
        let (listeners, rooms) = {
            let own = hub.own_rooms();
            let listeners = own.connections.iter().filter(|one| one.listens());
            let listeners: Vec<_> = listeners.cloned().collect();
            let rooms = own.rooms.is_known().then(|| own.rooms.all());
            let is_told = |own: &&OwnRoom| listeners.iter().any(|one| may_hear(one, &own.id));
            let wanted = |own: &OwnRoom| (own.id.clone(), own.marker);
            let rooms =
                rooms.map(|rooms| rooms.iter().filter(is_told).map(wanted).collect::<Vec<_>>());
            (listeners, rooms)
        };
        let wanted = match rooms {
            _ if listeners.is_empty() => Vec::new(),
            Some(rooms) => self.latest(hub, rooms).await?,
            // This is called again when they are known.
            None => return Ok(true),
        };
        let before = hub.watching.rooms();
        let keep: HashSet<_> = wanted.iter().map(|(id, _)| id).collect();
        for room in before.iter().filter(|room| !keep.contains(&room.id)) {
            self.unwatch(hub, room);
        }
        let mut watched = Vec::with_capacity(wanted.len());
        for (id, marker) in &wanted {
            let Some(room) = self.obtain_watched(id) else {
                continue;
            };
            self.watch_room(hub, &room, *marker, &listeners);
            watched.push(room);
        }
        hub.watching.state.lock().rooms.clone_from(&watched);
        self.start_watched(watched).await
    }

    /// From now on these of a user's connections are told what happens in a room, if they may be.
    fn watch_room(
        &self,
        hub: &UserHub,
        room: &RoomHub,
        marker: Option<Marker>,
        listeners: &[Arc<Connection>],
    ) {
        let mut state = room.state.lock();
        let state = &mut *state;
        // Asked under the lock, because whatever forbids the room meanwhile is looked for here
        // afterwards: the list of his rooms may be of before the entry that removed him ...
        if state.removes(&hub.id) || !hub.own_rooms().rooms.may_hear(&room.id) {
            return;
        }
        // ... and the connection's token may be another.
        let listeners = listeners.iter().filter(|one| may_hear(one, &room.id));
        let listeners: Vec<_> = listeners.cloned().collect();
        let is_inside = |id| state.members.has(id);
        let stay = hub.watching.stay;
        let watchers = &mut state.watchers;
        let queued = watchers.watch((&hub.id, stay), marker, &listeners, is_inside);
        self.metrics.delivered.inc_by(queued);
    }

    /// Of many rooms those where something happened last.
    async fn latest(&self, hub: &UserHub, rooms: Vec<Wanted>) -> Result<Vec<Wanted>, ServiceError> {
        let max = self.limits.watch_rooms_max;
        if rooms.len() <= max {
            return Ok(rooms);
        }
        let chosen: HashSet<_> = {
            let mut state = hub.watching.state.lock();
            if std::mem::take(&mut state.chooses) {
                HashSet::new()
            } else {
                state.rooms.iter().map(|room| room.id.clone()).collect()
            }
        };
        if !chosen.is_empty() {
            let same = rooms.into_iter().filter(|(id, _)| chosen.contains(id));
            return Ok(same.collect());
        }
        self.metrics.limit("watch_rooms_max");
        let ids: Vec<_> = rooms.iter().map(|(id, _)| id.clone()).collect();
        let heads = self.heads_of(&ids).await.inspect_err(|_| {
            hub.watching.state.lock().chooses = true;
        })?;
        let at = heads.into_iter().map(|head| head.map(|head| head.at_ms));
        let mut latest: Vec<_> = at.zip(rooms).collect();
        latest.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Ok(latest.into_iter().take(max).map(|(_, room)| room).collect())
    }

    /// A connection's token is another one: it hears no more of what that forbids, and of what it
    /// permits.
    pub(super) fn watch_by_token(self: &Arc<Self>, connection: &Arc<Connection>) {
        let Some(hub) = self.users.find(&connection.user) else {
            return;
        };
        for room in hub.watching.rooms() {
            if !may_hear(connection, &room.id) {
                room.state.lock().watchers.comes_in(connection);
            }
        }
        self.watch(&hub, true);
    }

    fn unwatch(self: &Arc<Self>, hub: &UserHub, room: &Arc<RoomHub>) {
        let idle = {
            let mut state = room.state.lock();
            state.watchers.unwatch(&hub.id, hub.watching.stay);
            state.watchers.is_empty() && state.members.is_empty()
        };
        if idle {
            self.give_up_later(room);
        }
    }
}

fn may_hear(connection: &Arc<Connection>, room: &RoomId) -> bool {
    connection.identity().permits(room)
}

async fn work(inner: Arc<Inner>, hub: Arc<UserHub>) {
    let mut backoff = Backoff::default();
    loop {
        match inner.watch_once(&hub).await {
            Ok(true) => {
                backoff.reset();
                let again = hub.watching.state.lock().work.goes_on();
                if !again {
                    hub.watching.settled.notify_waiters();
                    return;
                }
                continue;
            }
            Ok(false) => {}
            Err(error) => tracing::debug!(user = %hub.id, %error, "cannot watch rooms"),
        }
        backoff.wait().await;
    }
}
