//! Tells those who have not joined a room what has become of its name, its topic and its slow mode.
//!
//! Whoever has joined knows it from the room's log. For all others of this node the room is read
//! once, as it stands now, and only those are told to whom it is news.

use std::sync::Arc;

use crate::event::{Delivery, Event};
use crate::ids::UserId;
use crate::room::Room;
use crate::service::Inner;
use crate::service::backoff::Backoff;
use crate::service::connection::Connection;
use crate::service::room::{Mending, RoomHub};
use crate::service::users::tell_shared;

impl Inner {
    /// A delivered entry changes the facts of a room: one task at a time reads and tells them, so
    /// that what is told last is what is true.
    pub(super) fn tell_facts(self: &Arc<Self>, room: &Arc<RoomHub>) {
        let starts = {
            let mut state = room.state.lock();
            !state.watchers.is_empty() && state.telling.claim()
        };
        if starts {
            self.spawn(tell_facts(Arc::clone(self), Arc::clone(room)));
        }
    }

    /// Tells one user, unless he knows.
    fn tell_facts_to(&self, user: &UserId, room: &Room, event: &Arc<Delivery>) {
        let Some(hub) = self.users.find(user) else {
            return;
        };
        let mut own = hub.own_rooms();
        if own.rooms.take_facts(room) {
            let is_outside = |one: &&Arc<Connection>| {
                one.room(&room.id).is_none() && one.identity().permits(&room.id)
            };
            let outside = own.connections.iter().filter(is_outside);
            tell_shared(outside, event, &self.metrics);
        }
    }
}

/// One of those who watch; if there is nobody, the work is over.
fn somebody_to_tell(room: &RoomHub) -> Option<UserId> {
    let mut state = room.state.lock();
    let user = state.watchers.users().next().cloned();
    if user.is_none() {
        state.telling = Mending::default();
    }
    user
}

async fn tell_facts(inner: Arc<Inner>, room: Arc<RoomHub>) {
    let mut backoff = Backoff::default();
    loop {
        let Some(user) = somebody_to_tell(&room) else {
            return;
        };
        let Ok(access) = inner.ask_access_now(&room.id, &user).await else {
            backoff.wait().await;
            continue;
        };
        if let Some(access) = access {
            let event = Delivery::new(Event::RoomUpdated(access.room.clone().into()));
            let users: Vec<_> = room.state.lock().watchers.users().cloned().collect();
            for user in users {
                inner.tell_facts_to(&user, &access.room, &event);
            }
        }
        if !room.state.lock().telling.goes_on() {
            return;
        }
        backoff.reset();
    }
}
