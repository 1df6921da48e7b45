//! Local fan-out: which connections on this node receive a room's events.
//!
//! Knows nothing of sockets, brokers or storage: a connection is a bounded outbox and an id.
//!
//! Invariant: a connection is in `index` exactly when it is in `members`, at that place.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::Delivery;
use crate::ids::{ConnectionId, UserId};
use crate::outbox::Pushed;
use crate::service::connection::Connection;

/// How a connection stands in a room.
#[derive(Debug)]
enum Standing {
    /// It is being told what it missed; what comes meanwhile is held.
    CatchingUp(Hold),
    /// It receives every entry above `after`, as it is delivered.
    Live { after: u64 },
}

/// What came while a connection was catching up.
#[derive(Debug, Default)]
pub(super) struct Hold {
    pub(super) deliveries: Vec<Arc<Delivery>>,
    /// More came than may be held.
    pub(super) overflowed: bool,
}

#[derive(Debug)]
struct Member {
    connection: Arc<Connection>,
    standing: Standing,
    /// It counts in the room's presence.
    present: bool,
}

/// The connections of one room.
#[derive(Debug, Default)]
pub(super) struct Members {
    members: Vec<Member>,
    index: HashMap<ConnectionId, usize>,
}

impl Members {
    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Whether a connection has joined (catching up is not joined).
    pub(super) fn is_live(&self, id: ConnectionId) -> bool {
        let member = self
            .index
            .get(&id)
            .and_then(|place| self.members.get(*place));
        member.is_some_and(|member| matches!(member.standing, Standing::Live { .. }))
    }

    /// From now on what is delivered is held for the connection, which may be here already.
    pub(super) fn hold(&mut self, connection: &Arc<Connection>) {
        let standing = Standing::CatchingUp(Hold::default());
        if let Some(place) = self.index.get(&connection.id) {
            self.members[*place].standing = standing;
            return;
        }
        self.index.insert(connection.id, self.members.len());
        let connection = Arc::clone(connection);
        self.members.push(Member {
            connection,
            standing,
            present: false,
        });
    }

    /// What was held so far, to be replaced by a new hold.
    pub(super) fn take_hold(&mut self, id: ConnectionId) -> Option<Hold> {
        let member = self.members.get_mut(*self.index.get(&id)?)?;
        match &mut member.standing {
            Standing::CatchingUp(hold) => Some(std::mem::take(hold)),
            Standing::Live { .. } => None,
        }
    }

    /// The connection has caught up to `after`. Answers whether it is new in the room.
    pub(super) fn go_live(&mut self, id: ConnectionId, after: u64) -> bool {
        let Some(member) = self
            .index
            .get(&id)
            .and_then(|place| self.members.get_mut(*place))
        else {
            return false;
        };
        member.standing = Standing::Live { after };
        !std::mem::replace(&mut member.present, true)
    }

    /// Takes a connection out. Answers whether it counted in the room's presence; `None` if it
    /// was not here.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<bool> {
        let place = self.index.remove(&id)?;
        let member = self.members.swap_remove(place);
        if let Some(moved) = self.members.get(place) {
            self.index.insert(moved.connection.id, place);
        }
        Some(member.present)
    }

    /// Hands entries to every connection: to those that catch up by holding them. Answers how
    /// many frames were queued.
    pub(super) fn deliver(&mut self, entries: &[Arc<Delivery>], hold_max: usize) -> u64 {
        let Some(first) = entries.first().and_then(|first| first.entry()) else {
            return 0;
        };
        let first = first.position.seq;
        let mut queued = 0;
        for member in &mut self.members {
            match &mut member.standing {
                Standing::Live { after } => {
                    // A connection that came from another node may know more than this one.
                    let known = usize::try_from((*after + 1).saturating_sub(first)).unwrap_or(0);
                    let news = entries.get(known..).unwrap_or_default();
                    if !news.is_empty() {
                        // A full outbox closes itself; its transport then ends the session.
                        member.connection.outbox.push_events(news);
                        queued += news.len() as u64;
                    }
                }
                Standing::CatchingUp(hold) => hold.push(entries, hold_max),
            }
        }
        queued
    }

    /// Hands an event that no log keeps to every joined connection, but not to those of `except`.
    pub(super) fn tell(&self, event: &Arc<Delivery>, except: Option<&UserId>) -> u64 {
        let mut queued = 0;
        for member in &self.members {
            let wanted = matches!(member.standing, Standing::Live { .. })
                && except != Some(&member.connection.user);
            if wanted
                && member
                    .connection
                    .outbox
                    .push_events(std::slice::from_ref(event))
                    == Pushed::Queued
            {
                queued += 1;
            }
        }
        queued
    }

    /// Whoever stands above the new head of a lost log goes on from there.
    pub(super) fn reset(&mut self, head: u64) {
        for member in &mut self.members {
            match &mut member.standing {
                Standing::Live { after } => *after = head,
                Standing::CatchingUp(hold) => *hold = Hold::default(),
            }
        }
    }
}

impl Hold {
    fn push(&mut self, entries: &[Arc<Delivery>], max: usize) {
        if self.overflowed {
            return;
        }
        if self.deliveries.len() + entries.len() > max {
            // The log has them: what is held is given up, and read on from.
            self.deliveries = Vec::new();
            self.overflowed = true;
            return;
        }
        self.deliveries.extend_from_slice(entries);
    }
}
