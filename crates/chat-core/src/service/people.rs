//! What this node says of its users to the presence store, and what still has to be said.
//!
//! Level-triggered, as [`super::attendance`] is for rooms: there is what is true here, what the
//! store was last told, and a queue of users for whom these differ. One worker takes them out in
//! batches, so that what is said of one user comes in order, and what has an unknown outcome is
//! said again. Pure.
//!
//! Invariant: a user is here exactly while he has a connection or a grace, or while the store may
//! believe that he has.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

use crate::command::Status;
use crate::ids::{ConnectionId, DeviceId, RoomId, UserId};
use crate::message::Millis;
use crate::signal::Seen;
use crate::standing::{Device, Said, Shift, Standing};

/// Devices of one user that a node tells apart; graces beyond are cut short.
const DEVICES_MAX: usize = 16;
/// A user's changes of status are told at most this often; that he comes or goes at once.
pub(super) const PACE: Duration = Duration::from_secs(2);
/// Rooms in which the change of one user's presence is told: those he joined first.
pub(super) const ROOMS_TOLD_MAX: usize = 50;
/// Users who wait to be said while the store does not answer, before those are forgotten who came and
/// went meanwhile. Everybody else is bounded by the connections of the node.
const OWED_MAX: usize = 10_000;

/// Where a line of a user's comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Source {
    Connection(ConnectionId),
    /// A connection that was lost; this grace runs.
    Grace(u64),
}

/// What one connection says of its user.
#[derive(Debug)]
struct Line {
    source: Source,
    device: Option<DeviceId>,
    status: Status,
    text: Option<String>,
    /// A later one was said later.
    order: u64,
    /// The rooms that a lost connection had joined.
    rooms: Vec<RoomId>,
}

#[derive(Debug, Default)]
struct Person {
    lines: Vec<Line>,
    /// What the store was told; `None` if that is not known.
    told: Option<Vec<Device>>,
    /// Over all nodes, when the store last answered: what others were told.
    standing: Option<(Standing, Millis)>,
    queued: bool,
    /// The store is being told, and has not answered yet.
    is_under_way: bool,
    /// Another node has said how he stands since the store was last told.
    has_heard: bool,
    /// A change of status is not told before.
    not_before: Option<Instant>,
    /// It waits for that.
    waits: bool,
    /// Rooms that connections had joined whose graces are over, since he has none that lives: to be
    /// told that he is gone.
    rooms_left: Vec<RoomId>,
}

impl Person {
    fn is_connected(&self) -> bool {
        let mut lines = self.lines.iter();
        lines.any(|line| !matches!(line.source, Source::Grace(_)))
    }

    /// Whether nobody was ever told of him, and nothing is true of him any more.
    fn is_forgettable(&self) -> bool {
        self.lines.is_empty() && self.standing.is_none() && !self.is_under_way
    }
}

/// What a change leaves to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub(super) enum Touch {
    /// Nothing: it is to be said already, or there is nothing new.
    Nothing,
    /// The worker has something to do.
    Work,
    /// [`People::resume`] is to be called after this time.
    Later(Duration),
}

/// What became of something that was said.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct News {
    pub(super) user: UserId,
    pub(super) shift: Shift,
    /// His last device over all nodes is gone.
    pub(super) went: bool,
    /// Rooms that are to be told, besides those that he is in.
    pub(super) rooms_left: Vec<RoomId>,
}

/// The users of this node.
#[derive(Debug, Default)]
pub(super) struct People {
    people: HashMap<UserId, Person>,
    queue: VecDeque<UserId>,
    /// Graces so far: one that was cut short by a return does not end the next.
    graces: u64,
    orders: u64,
}

impl People {
    /// A connection speaks for its user: he is online.
    pub(super) fn connect(
        &mut self,
        user: &UserId,
        id: ConnectionId,
        device: Option<DeviceId>,
    ) -> Touch {
        self.orders += 1;
        let person = self.people.entry(user.clone()).or_default();
        // Back within the grace: what comes now speaks for that device.
        person
            .lines
            .retain(|line| !matches!(line.source, Source::Grace(_)) || line.device != device);
        person.rooms_left.clear();
        person.lines.push(Line {
            source: Source::Connection(id),
            device,
            status: Status::Online,
            text: None,
            order: self.orders,
            rooms: Vec::new(),
        });
        self.touch(user)
    }

    /// A connection says how present its user is.
    pub(super) fn set(
        &mut self,
        user: &UserId,
        id: ConnectionId,
        status: Status,
        text: Option<String>,
        now: Instant,
    ) -> Touch {
        let order = self.orders + 1;
        let Some(person) = self.people.get_mut(user) else {
            return Touch::Nothing;
        };
        let mut lines = person.lines.iter_mut();
        let Some(line) = lines.find(|line| line.source == Source::Connection(id)) else {
            return Touch::Nothing;
        };
        if (line.status, &line.text) == (status, &text) {
            return Touch::Nothing;
        }
        (line.status, line.text, line.order) = (status, text, order);
        self.orders = order;
        if let Some(at) = person.not_before.filter(|at| *at > now) {
            let waits = std::mem::replace(&mut person.waits, true);
            return if waits {
                Touch::Nothing
            } else {
                Touch::Later(at - now)
            };
        }
        person.not_before = Some(now + PACE);
        self.touch(user)
    }

    /// A connection that had joined these rooms was lost. Answers the grace that begins.
    pub(super) fn lose(
        &mut self,
        user: &UserId,
        id: ConnectionId,
        rooms: Vec<RoomId>,
    ) -> Option<u64> {
        let person = self.people.get_mut(user)?;
        let mut lines = person.lines.iter();
        let lost = lines.position(|line| line.source == Source::Connection(id))?;
        let mut lost = person.lines.swap_remove(lost);
        self.graces += 1;
        lost.source = Source::Grace(self.graces);
        lost.rooms = rooms;
        // A device needs only one grace, and whoever names a new one each time gets no more of them.
        let grace = |line: &Line| matches!(line.source, Source::Grace(_));
        let lines = person.lines.iter();
        let same = lines
            .clone()
            .position(|line| grace(line) && line.device == lost.device);
        let is_full = lines.clone().filter(|line| grace(line)).count() >= DEVICES_MAX;
        let oldest = || person.lines.iter().position(grace).filter(|_| is_full);
        if let Some(cut_short) = same.or_else(oldest) {
            add_rooms(&mut lost.rooms, person.lines.remove(cut_short).rooms);
        }
        person.lines.push(lost);
        Some(self.graces)
    }

    /// A grace is over, unless somebody came back meanwhile.
    pub(super) fn end_grace(&mut self, user: &UserId, grace: u64) -> Touch {
        let Some(person) = self.people.get_mut(user) else {
            return Touch::Nothing;
        };
        let mut lines = person.lines.iter();
        let Some(ended) = lines.position(|line| line.source == Source::Grace(grace)) else {
            return Touch::Nothing;
        };
        let rooms = person.lines.remove(ended).rooms;
        if !person.is_connected() {
            add_rooms(&mut person.rooms_left, rooms);
        }
        self.touch(user)
    }

    /// The time that a change of status had to wait for is over.
    pub(super) fn resume(&mut self, user: &UserId, now: Instant) -> Touch {
        let Some(person) = self.people.get_mut(user) else {
            return Touch::Nothing;
        };
        if !std::mem::take(&mut person.waits) {
            return Touch::Nothing;
        }
        person.not_before = Some(now + PACE);
        self.touch(user)
    }

    /// The store forgot everybody (the lease ended), or may have.
    pub(super) fn say_all_again(&mut self) {
        let users: Vec<_> = self.people.keys().cloned().collect();
        self.say_again(&users);
    }

    /// Those of whom nobody was ever told and who are gone again need not be said any more, because
    /// what the store may have of them ends with the lease under which it was said, or because there
    /// are too many. Answers how many there were.
    pub(super) fn forget_unheard(&mut self) -> usize {
        let before = self.people.len();
        self.people.retain(|_, person| !person.is_forgettable());
        before - self.people.len()
    }

    /// The store forgot these.
    pub(super) fn say_again(&mut self, users: &[UserId]) {
        for user in users {
            if let Some(person) = self.people.get_mut(user) {
                person.told = None;
                let _work = self.touch(user);
            }
        }
    }

    /// Whom the store believes here: those who are not are to be said to be gone.
    pub(super) fn correct(&mut self, said: &[UserId]) {
        for user in said {
            if !self.people.contains_key(user) {
                self.people.insert(user.clone(), Person::default());
                let _work = self.touch(user);
            }
        }
    }

    /// What is to be said next, of up to `max` users.
    pub(super) fn next_batch(&mut self, max: usize) -> Vec<Said> {
        let mut batch = Vec::new();
        while batch.len() < max
            && let Some(user) = self.queue.pop_front()
        {
            let Some(person) = self.people.get_mut(&user) else {
                continue;
            };
            // Twice in the queue, if he was forgotten and came back.
            if !std::mem::take(&mut person.queued) {
                continue;
            }
            let devices = devices(&person.lines);
            if person.told.as_ref() != Some(&devices) {
                (person.is_under_way, person.has_heard) = (true, false);
                batch.push(Said { user, devices });
            } else if devices.is_empty() {
                self.people.remove(&user);
            }
        }
        batch
    }

    /// The store answered. Answers what others are to be told.
    pub(super) fn done(&mut self, said: Said, shift: Shift) -> Option<News> {
        let Said { user, devices } = said;
        let person = self.people.get_mut(&user)?;
        person.is_under_way = false;
        let heard = person.standing.as_ref().filter(|_| person.has_heard);
        if heard.is_some_and(|(_, at_ms)| shift.at_ms < *at_ms) {
            // Overtaken by an answer that another node had later, and that counts this in.
            person.told = Some(devices);
            let _work = self.touch(&user);
            return None;
        }
        // Not what the store had before: it may have forgotten, or taken a step of which it could not
        // say so, and what counts is what others know.
        let before = person
            .standing
            .as_ref()
            .map_or(&shift.before, |(known, _)| known);
        let after = &shift.after;
        let went = !after.is_online() && (before.is_online() || person.told.is_none());
        // Whoever comes online and says nothing of himself is told of by joining rooms.
        let plain = (after.status, &after.text) == (Status::Online, &None);
        let came = !before.is_online() && plain;
        let is_news = went || (before.status, &before.text) != (after.status, &after.text);
        let is_news = is_news && !came;
        // Told that he is gone, if he is; after one of several graces he is not gone yet.
        let rooms_left = if went {
            std::mem::take(&mut person.rooms_left)
        } else {
            Vec::new()
        };
        person.standing = Some((after.clone(), shift.at_ms));
        person.told = Some(devices);
        // What is true may have changed meanwhile; and whoever is gone is taken out.
        let _work = self.touch(&user);
        is_news.then_some(News {
            user,
            shift,
            went,
            rooms_left,
        })
    }

    /// The outcome is unknown: it is said again. Answers how many were forgotten instead.
    pub(super) fn failed(&mut self, said: &[Said]) -> usize {
        for one in said {
            if let Some(person) = self.people.get_mut(&one.user) {
                person.is_under_way = false;
            }
            self.say_again(std::slice::from_ref(&one.user));
        }
        if self.queue.len() <= OWED_MAX {
            return 0;
        }
        self.forget_unheard()
    }

    /// Another node said of a user how he stands now. Answers whether that is news here.
    pub(super) fn hear(&mut self, seen: &Seen) -> bool {
        let Some(person) = self.people.get_mut(&seen.user) else {
            return false;
        };
        let Some((known, at_ms)) = person.standing.as_mut() else {
            return false;
        };
        if seen.at_ms < *at_ms {
            return false;
        }
        (known.status, *at_ms) = (seen.status, seen.at_ms);
        known.text.clone_from(&seen.text);
        person.has_heard = true;
        true
    }

    /// How a user stands over all nodes, as far as this one knows, and since when.
    pub(super) fn known(&self, user: &UserId) -> Option<&(Standing, Millis)> {
        self.people.get(user)?.standing.as_ref()
    }

    /// How a user stands on this node alone.
    pub(super) fn here(&self, user: &UserId) -> Standing {
        let person = self.people.get(user);
        let devices = person.map_or_else(Vec::new, |person| devices(&person.lines));
        Standing::of([(1, devices.as_slice())])
    }

    /// Everybody who is on this node, in no order.
    pub(super) fn all_here(&self) -> impl Iterator<Item = &UserId> {
        let here = self.people.iter();
        let here = here.filter(|(_, person)| !person.lines.is_empty());
        here.map(|(user, _)| user)
    }

    fn touch(&mut self, user: &UserId) -> Touch {
        let Some(person) = self.people.get_mut(user) else {
            return Touch::Nothing;
        };
        if std::mem::replace(&mut person.queued, true) {
            return Touch::Nothing;
        }
        self.queue.push_back(user.clone());
        Touch::Work
    }
}

/// Adds rooms to those that are to be told.
fn add_rooms(rooms: &mut Vec<RoomId>, more: Vec<RoomId>) {
    for room in more {
        if rooms.len() < ROOMS_TOLD_MAX && !rooms.contains(&room) {
            rooms.push(room);
        }
    }
}

/// The devices of some lines: of each the most present one, and of these the latest.
fn devices(lines: &[Line]) -> Vec<Device> {
    let mut lines: Vec<_> = lines.iter().collect();
    lines.sort_by_key(|line| {
        (
            std::cmp::Reverse(line.status),
            std::cmp::Reverse(line.order),
        )
    });
    let mut devices: Vec<Device> = Vec::new();
    for line in lines {
        if devices.len() < DEVICES_MAX && devices.iter().all(|device| device.name != line.device) {
            devices.push(Device {
                name: line.device.clone(),
                status: line.status,
                text: line.text.clone(),
            });
        }
    }
    devices
}

#[cfg(test)]
mod tests;
