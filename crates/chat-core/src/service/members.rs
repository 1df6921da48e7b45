//! Local fan-out: which connections on this node receive a room's events.
//!
//! Knows nothing of sockets, brokers or storage: a connection is a bounded outbox and an id.
//!
//! Invariant: a connection is in `index` exactly when it is in `members`, at that place.

use std::collections::HashMap;
use std::sync::Arc;

use crate::event::{Delivery, Event, ResetReason};
use crate::ids::{ConnectionId, UserId};
use crate::outbox::Pushed;
use crate::position::Position;
use crate::service::connection::Connection;

/// How a connection stands in a room.
#[derive(Debug)]
enum Progress {
    /// It is being told what it missed; what comes meanwhile is held.
    CatchingUp(Hold),
    /// It receives every entry, as it is delivered; from behind `after` on, if it came to stand
    /// elsewhere than the node does.
    Live { after: Option<Position> },
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
    progress: Progress,
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

    /// Whether a connection hears the room, or will as soon as it has caught up.
    pub(super) fn has(&self, id: ConnectionId) -> bool {
        self.index.contains_key(&id)
    }

    /// Whether a connection has joined (catching up is not joined).
    pub(super) fn is_live(&self, id: ConnectionId) -> bool {
        let member = self
            .index
            .get(&id)
            .and_then(|place| self.members.get(*place));
        member.is_some_and(|member| matches!(member.progress, Progress::Live { .. }))
    }

    /// From now on what is delivered is held for the connection, which may be here already.
    pub(super) fn hold(&mut self, connection: &Arc<Connection>) {
        let progress = Progress::CatchingUp(Hold::default());
        if let Some(place) = self.index.get(&connection.id) {
            self.members[*place].progress = progress;
            return;
        }
        self.index.insert(connection.id, self.members.len());
        let connection = Arc::clone(connection);
        self.members.push(Member {
            connection,
            progress,
            present: false,
        });
    }

    /// What was held so far, to be replaced by a new hold.
    pub(super) fn take_hold(&mut self, id: ConnectionId) -> Option<Hold> {
        let member = self.members.get_mut(*self.index.get(&id)?)?;
        match &mut member.progress {
            Progress::CatchingUp(hold) => Some(std::mem::take(hold)),
            Progress::Live { .. } => None,
        }
    }

    /// The connection has caught up to `after`, or to where the node stands. Answers whether it is
    /// new in the room.
    pub(super) fn go_live(&mut self, id: ConnectionId, after: Option<Position>) -> bool {
        let Some(member) = self
            .index
            .get(&id)
            .and_then(|place| self.members.get_mut(*place))
        else {
            return false;
        };
        member.progress = Progress::Live { after };
        !std::mem::replace(&mut member.present, true)
    }

    /// Takes a connection out. Answers it and whether it counted in the room's presence; `None` if
    /// it was not here.
    pub(super) fn remove(&mut self, id: ConnectionId) -> Option<(Arc<Connection>, bool)> {
        let place = self.index.remove(&id)?;
        let member = self.members.swap_remove(place);
        if let Some(moved) = self.members.get(place) {
            self.index.insert(moved.connection.id, place);
        }
        Some((member.connection, member.present))
    }

    /// Takes out the joined connections of users of whom `is_out` says so. Those that catch up find
    /// out for themselves, in what they missed.
    pub(super) fn expel(
        &mut self,
        is_out: impl Fn(&Connection) -> bool,
    ) -> Vec<(Arc<Connection>, bool)> {
        let is_live = |member: &&Member| matches!(member.progress, Progress::Live { .. });
        let live = self.members.iter().filter(is_live);
        let out = live.filter(|member| is_out(&member.connection));
        let out: Vec<_> = out.map(|member| Arc::clone(&member.connection)).collect();
        out.into_iter()
            .filter_map(|connection| self.remove(connection.id))
            .collect()
    }

    pub(super) fn connections(&self) -> impl Iterator<Item = &Arc<Connection>> {
        self.members.iter().map(|member| &member.connection)
    }

    /// Hands entries to every connection: to those that catch up by holding them. Answers how
    /// many frames were queued.
    pub(super) fn deliver(&mut self, entries: &[Arc<Delivery>], hold_max: usize) -> u64 {
        let mut queued = 0;
        for member in &mut self.members {
            match &mut member.progress {
                Progress::Live { after } => {
                    let reset;
                    let news = match after.map_or(Fit::Behind(entries), |at| fit(at, entries)) {
                        Fit::NotYet => continue,
                        Fit::Behind(news) => news,
                        Fit::No(event) => {
                            reset = [event];
                            &reset
                        }
                    };
                    *after = None;
                    if !news.is_empty() {
                        // A full outbox closes itself; its transport then ends the session.
                        member.connection.outbox.push_events(news);
                        queued += news.len() as u64;
                    }
                }
                Progress::CatchingUp(hold) => hold.push(entries, hold_max),
            }
        }
        queued
    }

    /// The connections that have joined.
    pub(super) fn live(&self) -> impl Iterator<Item = &Arc<Connection>> {
        let live = self.members.iter();
        let live = live.filter(|member| matches!(member.progress, Progress::Live { .. }));
        live.map(|member| &member.connection)
    }

    /// Hands an event that no log keeps to every joined connection, but not to those of `except`.
    pub(super) fn tell(&self, event: &Arc<Delivery>, except: Option<&UserId>) -> u64 {
        let mut queued = 0;
        for member in &self.members {
            let wanted = matches!(member.progress, Progress::Live { .. })
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

    /// The log was lost: everybody goes on from where the node does.
    pub(super) fn reset(&mut self) {
        for member in &mut self.members {
            match &mut member.progress {
                Progress::Live { after } => *after = None,
                Progress::CatchingUp(hold) => *hold = Hold::default(),
            }
        }
    }
}

/// How delivered entries fit behind where a connection stands.
enum Fit<'a> {
    /// They end below it.
    NotYet,
    /// These of them follow it.
    Behind(&'a [Arc<Delivery>]),
    /// It stands in a life of the log that they are not of. It is told that it was reset.
    No(Arc<Delivery>),
}

fn fit(at: Position, entries: &[Arc<Delivery>]) -> Fit<'_> {
    let (first, last) = (
        entries.first().and_then(|first| first.entry()),
        entries.last().and_then(|last| last.entry()),
    );
    let (Some(first), Some(last)) = (first, last) else {
        return Fit::NotYet;
    };
    if last.position.seq < at.seq {
        return Fit::NotYet;
    }
    let known = usize::try_from((at.seq + 1).saturating_sub(first.position.seq)).unwrap_or(0);
    let news = entries.get(known..).unwrap_or_default();
    let follows = match news.first().and_then(|next| next.entry()) {
        Some(next) => next.position.seq == at.seq + 1 && next.prev == at.id,
        None => last.position.id == at.id,
    };
    if follows {
        return Fit::Behind(news);
    }
    Fit::No(Delivery::new(Event::Reset {
        room: last.room.clone(),
        reason: ResetReason::Lost,
        position: last.position,
    }))
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

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::identity::Identity;
    use crate::limits::Limits;
    use crate::model::ModelLog;
    use crate::outbox::Outgoing;

    fn live_at(after: Option<Position>) -> (Members, Arc<Connection>) {
        let identity = Identity::of(UserId::new("u").unwrap());
        let connection = Arc::new(Connection::new(identity, &Limits::default()));
        let mut members = Members::default();
        members.hold(&connection);
        members.go_live(connection.id, after);
        (members, connection)
    }

    fn deliver(members: &mut Members, log: &ModelLog, above: u64, count: usize) {
        let entries = log.read_after(above, count).entries.into_iter();
        let entries = entries.map(|entry| Delivery::new(Event::Entry(Arc::new(entry))));
        members.deliver(&entries.collect::<Vec<_>>(), 10);
    }

    /// What a connection was told: the seqs of entries; 1,000 more for a reset.
    fn heard(connection: &Connection) -> Vec<u64> {
        let mut frames = Vec::new();
        let taken = connection.outbox.next_batch(&mut frames, 100);
        assert!(taken.now_or_never().is_none_or(|taken| taken.is_ok()));
        let seq = |frame: &Outgoing| match frame {
            Outgoing::Event(delivery) => match delivery.event() {
                Event::Entry(entry) => entry.position.seq,
                Event::Reset { position, .. } => position.seq + 1_000,
                other => panic!("{other:?}"),
            },
            other @ Outgoing::Answer { .. } => panic!("{other:?}"),
        };
        frames.iter().map(seq).collect()
    }

    #[test]
    fn whoever_knows_more_than_the_node_gets_only_what_follows_that() {
        let mut log = ModelLog::default();
        let entries: Vec<_> = (0..5).map(|_| log.append()).collect();
        let (mut members, connection) = live_at(Some(entries[2].position));
        deliver(&mut members, &log, 0, 2);
        deliver(&mut members, &log, 2, 2);
        deliver(&mut members, &log, 4, 1);
        assert_eq!(heard(&connection), [4, 5]);
    }

    #[test]
    fn whoever_stands_in_a_life_that_the_log_lost_is_reset_and_not_given_what_does_not_follow() {
        let mut log = ModelLog::default();
        log.append();
        let lost = [log.append(), log.append()];
        for stands_at in lost {
            let mut log = ModelLog::default();
            (0..2).for_each(|_| drop(log.append()));
            assert!(log.roll_back(1));
            (0..4).for_each(|_| drop(log.append()));
            let (mut members, connection) = live_at(Some(stands_at.position));
            deliver(&mut members, &log, 1, 3);
            deliver(&mut members, &log, 4, 1);
            assert_eq!(heard(&connection), [1_004, 5]);
        }
    }

    #[test]
    fn whoever_stands_below_the_node_in_a_log_that_was_refilled_is_reset() {
        let mut log = ModelLog::default();
        let entries: Vec<_> = (0..6).map(|_| log.append()).collect();
        let (mut members, connection) = live_at(Some(entries[1].position));
        deliver(&mut members, &log, 4, 1);
        assert_eq!(heard(&connection), [1_005]);
    }
}
