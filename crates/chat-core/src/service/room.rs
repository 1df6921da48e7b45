//! One room on this node: its feed, its members, and what is known of it while it is served.
//!
//! Everything of a room changes under one lock that is never held across an await, so delivery,
//! joins and leaves have one order. The lock of one of its users may be taken under it, never the
//! other way round.
//!
//! Invariant: `feed` is there exactly while the room is served, that is subscribed and in step.

mod change;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Mutex, RwLock};
use tokio::time::Instant;

use crate::entry::{Entry, EntryBody, EntryHeader};
use crate::event::{Delivery, Event};
use crate::feed::{Feed, Step, Want};
use crate::ids::{ConnectionId, RoomId, UserId};
use crate::metrics::Metrics;
use crate::position::Position;
use crate::room::{Room, RoomChange};
use crate::room_log::Page;
use crate::service::attendance::Attendance;
use crate::service::connection::Connection;
use crate::service::facts::Facts;
use crate::service::flight::Flight;
use crate::service::members::Members;
use crate::service::missed::Span;
use crate::service::reads::Reads;
use crate::service::roles::Roles;
use crate::service::roster::{Roster, Told};
use crate::service::tail::{Tail, TailBudget};
use crate::service::tally::Tally;
use crate::service::unread::Life;
use crate::service::watched::ServedFor;
use crate::service::watchers::Watchers;
use crate::signal::{Signal, Typing};

/// One room on this node.
#[derive(Debug)]
pub(crate) struct RoomHub {
    pub(crate) id: RoomId,
    pub(super) state: Mutex<RoomState>,
    facts: SharedFacts,
    /// Held while the room begins or ceases to be served.
    pub(super) transition: tokio::sync::Mutex<()>,
}

/// Beside the state and not in it: whoever sends asks for them, and must not wait for a delivery.
type SharedFacts = Arc<RwLock<Option<Facts>>>;

/// The limits of a room.
#[derive(Debug, Clone, Copy)]
pub(super) struct RoomConfig {
    pub(super) roster_max: usize,
    pub(super) hold_max: usize,
    pub(super) typing_ttl: Duration,
    pub(super) typing_max: usize,
}

/// What arrived on the room's topic.
#[derive(Debug)]
pub(super) enum Inbound {
    Entry(Arc<Entry>),
    Head(EntryHeader),
    Signal(Signal),
    /// Something was lost on the way.
    Gap,
}

/// What is known of a room while it is served.
#[derive(Debug)]
pub(super) struct RoomState {
    pub(super) id: RoomId,
    config: RoomConfig,
    facts: SharedFacts,
    pub(super) feed: Option<Feed>,
    /// Since when it is served.
    pub(super) since: Instant,
    /// The newest version of the room that a delivered entry tells of.
    pub(super) changed: u64,
    /// Changes of the room that were delivered and not followed up yet.
    pub(super) changes: Vec<RoomChange>,
    /// Connections were taken out, and nobody has looked yet what that means for the room.
    pub(super) has_expelled: bool,
    /// Entries that came after the subscription and before the feed.
    early: Option<Vec<Arc<Entry>>>,
    /// Something may have been missed before the feed was there.
    early_doubt: bool,
    pub(super) tail: Tail,
    pub(super) members: Members,
    /// What members are who came in here.
    pub(super) roles: Roles,
    pub(super) roster: Roster,
    pub(super) attendance: Attendance,
    pub(super) watchers: Watchers,
    pub(super) reads: Reads,
    /// What is being read so that counts are known, by the ticket that it was begun with.
    pub(super) counts: Flight<u64, ()>,
    /// A task makes counts known, for those who are owed something.
    pub(super) is_counted: bool,
    pub(super) served_for: ServedFor,
    /// It is watched, and there is no log to follow yet.
    pub(super) awaits_log: bool,
    /// A task looks for that log.
    pub(super) is_log_sought: bool,
    /// It is counted as only watched.
    pub(super) is_watched_only: bool,
    typists: HashMap<UserId, Instant>,
    /// The newest entry that this node's lanes were told of.
    acked: u64,
    /// Counts resets: a join that began before one starts again.
    pub(super) resets: u64,
    /// A task does what the feed wants.
    pub(super) is_driven: bool,
    /// The occupancy changed and was not told yet.
    pub(super) occupancy_owed: bool,
    /// Since when nobody needs the room.
    pub(super) idle_since: Option<Instant>,
    /// A timer will look whether it is to be given up.
    pub(super) is_watched: bool,
    /// Attempts to serve it that failed.
    pub(super) failed_starts: u64,
    pub(super) mending: Mending,
    /// Those who have not joined are being told what it is called.
    pub(super) telling: Mending,
    /// The roster could not be read, or changed meanwhile: to be done with the next lease.
    pub(super) is_roster_stale: bool,
    /// Pages that are being read, by newest seq and size.
    pub(super) pages: Flight<(u64, usize), Arc<Page>>,
    /// What is being read for those who come back, by the seq above which, and the newest one that
    /// was known when it was asked for: an older read might miss what came since.
    pub(super) resumes: Flight<(u64, u64), Arc<Span>>,
}

/// Entries kept between subscription and feed. More mean that the log is read once more.
const EARLY_MAX: usize = 1_024;

impl RoomHub {
    pub(super) fn new(id: RoomId, config: RoomConfig, budget: Arc<TailBudget>) -> Self {
        let facts = SharedFacts::default();
        let state = RoomState {
            id: id.clone(),
            config,
            facts: Arc::clone(&facts),
            feed: None,
            since: Instant::now(),
            changed: 0,
            changes: Vec::new(),
            has_expelled: false,
            early: None,
            early_doubt: false,
            tail: Tail::new(budget),
            members: Members::default(),
            roles: Roles::default(),
            roster: Roster::new(config.roster_max),
            attendance: Attendance::default(),
            watchers: Watchers::new(id.clone()),
            reads: Reads::default(),
            counts: Flight::default(),
            is_counted: false,
            served_for: ServedFor::default(),
            awaits_log: false,
            is_log_sought: false,
            is_watched_only: false,
            typists: HashMap::new(),
            acked: 0,
            resets: 0,
            is_driven: false,
            occupancy_owed: false,
            idle_since: Some(Instant::now()),
            is_watched: false,
            failed_starts: 0,
            mending: Mending::default(),
            telling: Mending::default(),
            is_roster_stale: false,
            pages: Flight::default(),
            resumes: Flight::default(),
        };
        Self {
            id,
            state: Mutex::new(state),
            facts,
            transition: tokio::sync::Mutex::default(),
        }
    }

    /// The facts, as they were read and as the log has changed them since.
    pub(super) fn facts(&self) -> Option<Arc<Room>> {
        self.facts
            .read()
            .as_ref()
            .map(|facts| Arc::clone(facts.room()))
    }

    /// The directory said what the room is.
    pub(super) fn learn(&self, room: &Room) {
        let mut facts = self.facts.write();
        match &mut *facts {
            Some(facts) => facts.read(room),
            none => *none = Some(Facts::new(room.clone())),
        }
    }
}

impl RoomState {
    /// Whether the room is served and nothing is doubted: what is in memory is the log's truth.
    pub(super) fn is_calm(&self) -> bool {
        let in_step = |feed: &Feed| feed.is_calm() && feed.last().seq >= self.acked;
        self.feed.as_ref().is_some_and(in_step)
    }

    /// This node acked an entry: whoever joins from now on is told of it, though the broker may
    /// not have brought it yet.
    pub(super) fn acked(&mut self, seq: u64) {
        self.acked = self.acked.max(seq);
    }

    /// The newest entry that this node knows to be in the log.
    pub(super) fn newest_known(&self) -> u64 {
        let last = self.feed.as_ref().map_or(0, |feed| feed.last().seq);
        self.acked.max(last)
    }

    /// Subscribed from now on: entries are kept until the feed is there.
    pub(super) fn await_feed(&mut self) {
        self.early = Some(Vec::new());
        self.early_doubt = false;
    }

    /// Whether something was heard of a log that is not followed yet.
    pub(super) fn heard_early(&self) -> bool {
        self.early_doubt || self.early.as_ref().is_some_and(|early| !early.is_empty())
    }

    pub(super) fn roster_max(&self) -> usize {
        self.config.roster_max
    }

    /// What was heard so far may not be all. A feed that is there is compared instead.
    pub(super) fn doubt_early(&mut self) {
        self.early_doubt = true;
    }

    /// The room is served from here on.
    pub(super) fn start_feed(
        &mut self,
        head: Position,
        life: Life,
        recent: Vec<Arc<Entry>>,
        metrics: &Metrics,
    ) {
        let mut feed = Feed::new(head, &recent);
        let begins = recent.first().map_or(0, |first| first.position.seq);
        if begins == u64::from(head.seq > 0) {
            // All there ever was: nothing has to be read to count.
            let owed = self.watchers.tally.seed(life, &recent, head.epoch);
            metrics.delivered.inc_by(self.watchers.settle(&owed));
        }
        for entry in recent {
            self.tail.push(Delivery::new(Event::Entry(entry)));
        }
        let early = self.early.take().unwrap_or_default();
        if self.early_doubt {
            feed.on_doubt();
        }
        let mut out = Vec::new();
        // What the head already covers was appended before it was asked for.
        for entry in early
            .into_iter()
            .filter(|entry| entry.position.seq > head.seq)
        {
            feed.on_entry(entry, &mut out);
        }
        self.feed = Some(feed);
        self.since = Instant::now();
        self.awaits_log = false;
        // However long it took: whoever asked for it has the whole delay to come in.
        self.idle_since = Some(Instant::now());
        self.deliver(out, metrics);
    }

    /// The room is served no longer.
    pub(super) fn stop_feed(&mut self) {
        self.feed = None;
        self.roles.clear();
        self.early = None;
        self.awaits_log = false;
        self.tail.clear();
        self.watchers.tally = Tally::default();
        self.reads = Reads::default();
        self.typists.clear();
    }

    /// Takes what arrived, and delivers what can be delivered.
    pub(super) fn receive(&mut self, inbound: Vec<Inbound>, metrics: &Metrics) -> Received {
        let mut received = Received::default();
        let mut out = Vec::new();
        for inbound in inbound {
            received.log |= self.awaits_log && !matches!(inbound, Inbound::Signal(_));
            match inbound {
                Inbound::Entry(entry) => self.take_entry(entry, &mut out, metrics),
                Inbound::Head(header) => match &mut self.feed {
                    Some(feed) => count_step(feed.on_bare_head(&header), metrics),
                    None => self.early_doubt = true,
                },
                Inbound::Gap => received.gap = true,
                Inbound::Signal(signal) => {
                    // In order with the entries around it.
                    self.deliver(std::mem::take(&mut out), metrics);
                    match signal {
                        _ if self.served_for == ServedFor::Watchers => {}
                        Signal::Read(read) => received.reads |= self.reads.hear(read),
                        other => received.typists.extend(self.take_signal(other, metrics)),
                    }
                }
            }
        }
        self.deliver(out, metrics);
        received
    }

    fn take_entry(&mut self, entry: Arc<Entry>, out: &mut Vec<Arc<Entry>>, metrics: &Metrics) {
        match (&mut self.feed, &mut self.early) {
            (Some(feed), _) => count_step(feed.on_entry(entry, out), metrics),
            (None, Some(early)) if early.len() < EARLY_MAX => early.push(entry),
            (None, _) => self.early_doubt = true,
        }
    }

    /// Answers a typist whose time has to be watched.
    fn take_signal(&mut self, signal: Signal, metrics: &Metrics) -> Option<UserId> {
        match signal {
            Signal::UserJoined(arrival) => {
                let told = self.roster.joined(&arrival);
                let (room, user, at_ms) = (self.id.clone(), arrival.user, arrival.at_ms);
                self.tell_roster(told, Event::UserJoined { room, user, at_ms }, metrics);
            }
            Signal::UserLeft(arrival) => {
                self.typists.remove(&arrival.user);
                let told = self.roster.left(&arrival);
                let (room, user, at_ms) = (self.id.clone(), arrival.user, arrival.at_ms);
                self.tell_roster(told, Event::UserLeft { room, user, at_ms }, metrics);
            }
            Signal::Typing(typing) => return self.take_typing(typing, metrics),
            // On its way to the desk before it comes here.
            Signal::Presence(_) => {}
            // Not of a room, or taken elsewhere.
            Signal::Probe(_)
            | Signal::Membership(_)
            | Signal::Marked(_)
            | Signal::Read(_)
            | Signal::Revocations => {}
            Signal::Unknown(_) => {
                metrics.unknown_kinds.inc();
            }
        }
        None
    }

    fn tell_roster(&mut self, told: Told, event: Event, metrics: &Metrics) {
        self.is_roster_stale |= self.roster.lacks_names();
        match told {
            Told::Nothing => {}
            Told::Who => self.tell(event, None, metrics),
            Told::HowMany => self.occupancy_owed = true,
        }
    }

    /// Answers a typist whose time has to be watched.
    fn take_typing(&mut self, typing: Typing, metrics: &Metrics) -> Option<UserId> {
        let Typing { user, active } = typing;
        let news = if active {
            if self.typists.len() >= self.config.typing_max && !self.typists.contains_key(&user) {
                metrics.limit("typing_max");
                return None;
            }
            let until = Instant::now() + self.config.typing_ttl;
            self.typists.insert(user.clone(), until).is_none()
        } else {
            self.typists.remove(&user).is_some()
        };
        if news {
            let event = Event::Typing {
                room: self.id.clone(),
                user: user.clone(),
                active,
            };
            self.tell(event, Some(&user), metrics);
        }
        active.then_some(user)
    }

    /// Whether a user's typing need not be published again yet.
    pub(super) fn types_already(&self, user: &UserId) -> bool {
        let half = self.config.typing_ttl / 2;
        self.typists
            .get(user)
            .is_some_and(|until| *until > Instant::now() + half)
    }

    /// Takes out a typist whose time is over.
    pub(super) fn stop_typing(&mut self, user: &UserId) -> bool {
        let over = self
            .typists
            .get(user)
            .is_some_and(|until| *until <= Instant::now());
        over && self.typists.remove(user).is_some()
    }

    /// Hands entries to the members. One that changes the room ends a piece: whoever it removes gets
    /// nothing of what comes behind it.
    pub(super) fn deliver(&mut self, out: Vec<Arc<Entry>>, metrics: &Metrics) {
        if out.is_empty() {
            return;
        }
        let mut piece = Vec::with_capacity(out.len());
        let mut notified = 0;
        for entry in out {
            self.typists.remove(&entry.actor);
            notified += self.watchers.deliver(&entry);
            if self.served_for == ServedFor::Members || !self.members.is_empty() {
                let delivery = Delivery::new(Event::Entry(Arc::clone(&entry)));
                self.tail.push(Arc::clone(&delivery));
                piece.push(delivery);
            }
            if let EntryBody::RoomUpdated(change) = &entry.body {
                // Known before it is told: whoever acts on what he hears is judged by it.
                self.know_change(change);
                self.hand_out(&mut piece, metrics);
                self.take_change(change, metrics);
            }
        }
        self.hand_out(&mut piece, metrics);
        self.hear_epoch();
        metrics.delivered.inc_by(notified);
    }

    fn hand_out(&mut self, piece: &mut Vec<Arc<Delivery>>, metrics: &Metrics) {
        if !piece.is_empty() {
            let queued = self.members.deliver(piece, self.config.hold_max);
            metrics.delivered.inc_by(queued);
            piece.clear();
        }
    }

    /// A connection begins to hear the room by itself.
    pub(super) fn hold(&mut self, connection: &Arc<Connection>) {
        self.members.hold(connection);
        self.watchers.comes_in(connection);
    }

    /// Tells all members something that no log keeps.
    pub(super) fn tell(&self, event: Event, except: Option<&UserId>, metrics: &Metrics) {
        metrics
            .delivered
            .inc_by(self.members.tell(&Delivery::new(event), except));
    }

    /// The log was lost: tells it, and goes on from the new head.
    pub(super) fn reset(&mut self, event: Event, head: Position, metrics: &Metrics) {
        metrics.feed_resets.inc();
        self.resets += 1;
        self.acked = 0;
        self.roles.clear();
        self.tail.clear();
        self.pages = Flight::default();
        self.resumes = Flight::default();
        self.tell(event, None, metrics);
        self.watchers.tally.forget();
        self.reads = Reads::default();
        self.members.reset();
        let mut out = Vec::new();
        if let Some(feed) = &mut self.feed {
            feed.reset(head, &mut out);
        }
        self.deliver(out, metrics);
    }

    /// What the feed wants done, for one driver at a time.
    pub(super) fn claim_drive(&mut self) -> bool {
        let wanted = self
            .feed
            .as_ref()
            .is_some_and(|feed| feed.want() != Want::Nothing);
        wanted && !std::mem::replace(&mut self.is_driven, true)
    }

    /// Takes a connection out. Answers the grace that begins.
    pub(super) fn remove(&mut self, connection: &Connection, lost: bool) -> Option<u64> {
        let (grace, left) = match self.members.remove(connection.id) {
            Some((left, true)) => (self.attendance.leave(&connection.user, lost), Some(left)),
            Some((left, false)) => (None, Some(left)),
            None => (None, None),
        };
        if let Some(left) = left.filter(|left| left.listens()) {
            self.watchers.goes_out(&left);
        }
        if self.members.is_empty() && self.idle_since.is_none() {
            self.idle_since = Some(Instant::now());
        }
        grace
    }

    pub(super) fn is_live(&self, id: ConnectionId) -> bool {
        self.members.is_live(id)
    }
}

/// Whether what was lost on a room's topic is being looked for: by one task at a time, however
/// often something is lost.
#[derive(Debug, Default)]
pub(super) enum Mending {
    #[default]
    Idle,
    UnderWay,
    /// More was lost since it began.
    Again,
}

impl Mending {
    /// Answers whether a task is to be started.
    pub(super) fn claim(&mut self) -> bool {
        let idle = matches!(self, Self::Idle);
        *self = if idle { Self::UnderWay } else { Self::Again };
        idle
    }

    pub(super) fn is_idle(&self) -> bool {
        matches!(self, Self::Idle)
    }

    /// Answers whether the task has to begin again.
    pub(super) fn goes_on(&mut self) -> bool {
        let again = matches!(self, Self::Again);
        *self = if again { Self::UnderWay } else { Self::Idle };
        again
    }
}

/// What a room leaves to its caller.
#[derive(Debug, Default)]
pub(super) struct Received {
    /// Something was lost on the way.
    pub(super) gap: bool,
    /// Typists whose time has to be watched.
    pub(super) typists: Vec<UserId>,
    /// Who has read is to be told, in a while.
    pub(super) reads: bool,
    /// The log that the room awaits is there now.
    pub(super) log: bool,
}

fn count_step(step: Step, metrics: &Metrics) {
    match step {
        Step::Delivered => {}
        Step::Duplicate => {
            metrics.feed_duplicates.inc();
        }
        Step::Gap => {
            metrics.feed_gaps.inc();
        }
        Step::Suspicion => {
            metrics.feed_suspicions.inc();
        }
    }
}
