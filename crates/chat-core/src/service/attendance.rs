//! Which users this node says are in a room, and what still has to be said to the presence store.
//!
//! Level-triggered: there is what is true here, what the store was last told, and a queue of users
//! for whom these differ. One worker per room works through the queue, so the steps of one room
//! run one after another, and a step whose outcome is unknown is simply taken again. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::ids::UserId;

/// What is true of a user here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Truth {
    Present {
        connections: usize,
    },
    /// His last connection was lost; this grace runs.
    Fading {
        grace: u64,
    },
    Absent,
}

/// What the store was told, as far as its answers are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nothing, or something whose outcome is unknown.
    Unknown,
    Joined,
    Faded,
    Left,
}

/// The next thing to say about one user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Intent {
    Join,
    Fade,
    Leave,
}

#[derive(Debug)]
struct Attendee {
    truth: Truth,
    told: Told,
    /// His place in the queue.
    queued: Option<u64>,
}

/// Who is in a room by this node.
#[derive(Debug, Default)]
pub(super) struct Attendance {
    attendees: HashMap<UserId, Attendee>,
    queue: BTreeMap<u64, UserId>,
    /// Places in the queue that were handed out so far.
    places: u64,
    /// A worker is at it.
    working: bool,
    /// Whom its present step is about.
    under_way: Option<UserId>,
    /// Graces so far: one that was cut short by a return does not end the next.
    graces: u64,
}

impl Attendance {
    /// One more connection of a user has joined.
    pub(super) fn join(&mut self, user: &UserId) {
        let attendee = self.attendees.entry(user.clone()).or_insert(Attendee {
            truth: Truth::Absent,
            told: Told::Left,
            queued: None,
        });
        attendee.truth = match attendee.truth {
            Truth::Present { connections } => Truth::Present {
                connections: connections + 1,
            },
            Truth::Fading { .. } | Truth::Absent => Truth::Present { connections: 1 },
        };
        self.enqueue(user);
    }

    /// One connection of a user has left, on purpose or lost. Answers the grace that begins.
    pub(super) fn leave(&mut self, user: &UserId, lost: bool) -> Option<u64> {
        let attendee = self.attendees.get_mut(user)?;
        let next = self.graces + 1;
        attendee.truth = match attendee.truth {
            Truth::Present { connections } if connections > 1 => Truth::Present {
                connections: connections - 1,
            },
            Truth::Present { .. } if lost => Truth::Fading { grace: next },
            Truth::Present { .. } | Truth::Fading { .. } | Truth::Absent => Truth::Absent,
        };
        let begins = attendee.truth == Truth::Fading { grace: next };
        if begins {
            self.graces = next;
        }
        self.enqueue_or_forget(user);
        begins.then_some(next)
    }

    /// A user's grace is over, unless he came back meanwhile.
    pub(super) fn end_grace(&mut self, user: &UserId, grace: u64) {
        if let Some(attendee) = self.attendees.get_mut(user)
            && attendee.truth == (Truth::Fading { grace })
        {
            attendee.truth = Truth::Absent;
            self.enqueue_or_forget(user);
        }
    }

    /// Whoever is gone need not be said to have left: the store forgets him with all others.
    pub(super) fn forget_absent(&mut self) {
        let Self {
            attendees,
            queue,
            under_way,
            ..
        } = self;
        attendees.retain(|user, attendee| {
            let stays = attendee.truth != Truth::Absent || under_way.as_ref() == Some(user);
            if let Some(place) = attendee.queued.filter(|_| !stays) {
                queue.remove(&place);
            }
            stays
        });
    }

    /// The store forgot what it was told (the lease ended), or may have: everything is said again.
    pub(super) fn say_all_again(&mut self) {
        let users: Vec<_> = self.attendees.keys().cloned().collect();
        for user in users {
            if let Some(attendee) = self.attendees.get_mut(&user) {
                attendee.told = Told::Unknown;
            }
            self.enqueue(&user);
        }
    }

    /// The store believes in somebody who is not here: he is to be counted out. Or it does not know
    /// somebody who is: he is to be counted again.
    pub(super) fn correct(&mut self, registered: &[UserId]) {
        let registered: HashSet<_> = registered.iter().collect();
        let forgotten = self.attendees.iter().filter(|(user, attendee)| {
            matches!(attendee.told, Told::Joined | Told::Faded) && !registered.contains(user)
        });
        let forgotten: Vec<_> = forgotten.map(|(user, _)| user.clone()).collect();
        for user in forgotten {
            if let Some(attendee) = self.attendees.get_mut(&user) {
                attendee.told = Told::Unknown;
            }
            self.enqueue(&user);
        }
        for user in registered {
            if !self.attendees.contains_key(user) {
                let attendee = Attendee {
                    truth: Truth::Absent,
                    told: Told::Unknown,
                    queued: None,
                };
                self.attendees.insert(user.clone(), attendee);
                self.enqueue(user);
            }
        }
    }

    /// Users who are here now.
    pub(super) fn present(&self) -> impl Iterator<Item = &UserId> {
        let here = self
            .attendees
            .iter()
            .filter(|(_, attendee)| attendee.truth != Truth::Absent);
        here.map(|(user, _)| user)
    }

    /// How many users the store was told of; `None` while something is still to be said.
    pub(super) fn told(&self) -> Option<u64> {
        let is_told = |one: &&Attendee| matches!(one.told, Told::Joined | Told::Faded);
        let settled = self.queue.is_empty() && !self.working;
        settled.then(|| self.attendees.values().filter(is_told).count() as u64)
    }

    pub(super) fn is_settled(&self) -> bool {
        self.queue.is_empty() && !self.working && self.attendees.is_empty()
    }

    /// Whether a worker should start: answers `true` once.
    pub(super) fn claim_work(&mut self) -> bool {
        !self.queue.is_empty() && !std::mem::replace(&mut self.working, true)
    }

    /// The worker's next step; when there is none its work is over.
    pub(super) fn next(&mut self) -> Option<(UserId, Intent)> {
        while let Some((_, user)) = self.queue.pop_first() {
            let Some(attendee) = self.attendees.get_mut(&user) else {
                continue;
            };
            attendee.queued = None;
            match intent(attendee) {
                Some(intent) => {
                    self.under_way = Some(user.clone());
                    return Some((user, intent));
                }
                None if attendee.truth == Truth::Absent => {
                    self.attendees.remove(&user);
                }
                None => {}
            }
        }
        self.working = false;
        None
    }

    /// The store answered a step.
    pub(super) fn done(&mut self, user: &UserId, intent: Intent) {
        self.under_way = None;
        if let Some(attendee) = self.attendees.get_mut(user) {
            attendee.told = match intent {
                Intent::Join => Told::Joined,
                Intent::Fade => Told::Faded,
                Intent::Leave => Told::Left,
            };
        }
        // What is true may have changed meanwhile.
        self.enqueue(user);
    }

    /// The outcome of a step is unknown: it is taken again later.
    pub(super) fn failed(&mut self, user: &UserId) {
        self.under_way = None;
        if let Some(attendee) = self.attendees.get_mut(user) {
            attendee.told = Told::Unknown;
        }
        self.enqueue(user);
    }

    fn enqueue(&mut self, user: &UserId) {
        if let Some(attendee) = self.attendees.get_mut(user)
            && attendee.queued.is_none()
        {
            self.places += 1;
            attendee.queued = Some(self.places);
            self.queue.insert(self.places, user.clone());
        }
    }

    /// Whoever came and went before it was his turn leaves nothing to be said: while the store is away,
    /// that may be anybody.
    fn enqueue_or_forget(&mut self, user: &UserId) {
        let Some(attendee) = self.attendees.get(user) else {
            return;
        };
        let is_unsaid = (attendee.truth, attendee.told) == (Truth::Absent, Told::Left);
        if is_unsaid && self.under_way.as_ref() != Some(user) {
            let queued = attendee.queued;
            self.attendees.remove(user);
            queued.and_then(|place| self.queue.remove(&place));
        } else {
            self.enqueue(user);
        }
    }
}

fn intent(attendee: &Attendee) -> Option<Intent> {
    match (attendee.truth, attendee.told) {
        (Truth::Present { .. }, Told::Joined)
        | (Truth::Fading { .. }, Told::Faded)
        | (Truth::Absent, Told::Left) => None,
        (Truth::Present { .. }, _) => Some(Intent::Join),
        // Who was never told of must be counted before he can fade.
        (Truth::Fading { .. }, Told::Left | Told::Unknown) => Some(Intent::Join),
        (Truth::Fading { .. }, Told::Joined) => Some(Intent::Fade),
        (Truth::Absent, _) => Some(Intent::Leave),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserId {
        UserId::new("u").unwrap()
    }

    fn run(attendance: &mut Attendance) -> Vec<Intent> {
        let mut steps = Vec::new();
        while let Some((user, intent)) = attendance.next() {
            attendance.done(&user, intent);
            steps.push(intent);
        }
        steps
    }

    #[test]
    fn speaks_only_when_the_count_goes_from_none_to_one_and_back() {
        let mut attendance = Attendance::default();
        attendance.join(&user());
        attendance.join(&user());
        assert_eq!(run(&mut attendance), vec![Intent::Join]);
        attendance.leave(&user(), false);
        assert_eq!(run(&mut attendance), vec![]);
        attendance.leave(&user(), false);
        assert_eq!(run(&mut attendance), vec![Intent::Leave]);
        assert!(attendance.is_settled());
    }

    #[test]
    fn a_lost_connection_fades_and_a_return_within_the_grace_tells_nothing_else() {
        let mut attendance = Attendance::default();
        attendance.join(&user());
        run(&mut attendance);
        let grace = attendance.leave(&user(), true).unwrap();
        assert_eq!(run(&mut attendance), vec![Intent::Fade]);
        attendance.join(&user());
        attendance.end_grace(&user(), grace);
        assert_eq!(run(&mut attendance), vec![Intent::Join]);
        assert_eq!(attendance.present().count(), 1);
    }

    #[test]
    fn a_grace_that_was_cut_short_does_not_end_the_next_one() {
        let mut attendance = Attendance::default();
        attendance.join(&user());
        let first = attendance.leave(&user(), true).unwrap();
        attendance.join(&user());
        let second = attendance.leave(&user(), true).unwrap();
        attendance.end_grace(&user(), first);
        assert_eq!(attendance.present().count(), 1);
        attendance.end_grace(&user(), second);
        assert_eq!(attendance.present().count(), 0);
    }

    #[test]
    fn a_grace_that_ends_leaves() {
        let mut attendance = Attendance::default();
        attendance.join(&user());
        let grace = attendance.leave(&user(), true).unwrap();
        attendance.end_grace(&user(), grace);
        run(&mut attendance);
        assert!(attendance.is_settled());
    }

    #[test]
    fn an_unknown_outcome_is_said_again() {
        let mut attendance = Attendance::default();
        attendance.join(&user());
        let (user, _) = attendance.next().unwrap();
        attendance.failed(&user);
        assert_eq!(run(&mut attendance), vec![Intent::Join]);
        attendance.say_all_again();
        assert_eq!(run(&mut attendance), vec![Intent::Join]);
    }

    #[test]
    fn somebody_whom_only_the_store_believes_in_is_counted_out() {
        let mut attendance = Attendance::default();
        attendance.correct(&[user()]);
        assert_eq!(run(&mut attendance), vec![Intent::Leave]);
        assert!(attendance.is_settled());
    }

    #[test]
    fn somebody_whom_the_store_forgot_is_counted_again() {
        let mut attendance = Attendance::default();
        attendance.join(&user());
        run(&mut attendance);
        attendance.correct(&[user()]);
        assert_eq!(run(&mut attendance), vec![]);
        attendance.correct(&[]);
        assert_eq!(run(&mut attendance), vec![Intent::Join]);
    }

    #[test]
    fn counts_whom_the_store_was_told_of_once_nothing_is_to_be_said() {
        let mut attendance = Attendance::default();
        attendance.join(&user());
        assert_eq!(attendance.told(), None);
        run(&mut attendance);
        assert_eq!(attendance.told(), Some(1));
        let grace = attendance.leave(&user(), true).unwrap();
        run(&mut attendance);
        assert_eq!(attendance.told(), Some(1), "he is counted in his grace");
        attendance.end_grace(&user(), grace);
        run(&mut attendance);
        assert_eq!(attendance.told(), Some(0));
    }

    #[test]
    fn whoever_comes_and_goes_before_it_is_his_turn_leaves_nothing_to_be_said() {
        let mut attendance = Attendance::default();
        for _ in 0..3 {
            attendance.join(&user());
            let grace = attendance.leave(&user(), true).unwrap();
            attendance.end_grace(&user(), grace);
            assert!(attendance.is_settled());
        }
        // While he is being said, it has to be unsaid.
        attendance.join(&user());
        let (said, intent) = attendance.next().unwrap();
        for _ in 0..2 {
            attendance.leave(&user(), false);
            attendance.join(&user());
        }
        attendance.leave(&user(), false);
        attendance.done(&said, intent);
        assert_eq!(run(&mut attendance), vec![Intent::Leave]);
        assert!(attendance.is_settled());
    }

    #[test]
    fn whoever_is_gone_when_the_store_forgets_everybody_need_not_be_said() {
        let mut attendance = Attendance::default();
        let (here, gone) = (user(), UserId::new("gone").unwrap());
        let tried = UserId::new("tried").unwrap();
        for one in [&here, &gone, &tried] {
            attendance.join(one);
        }
        run(&mut attendance);
        attendance.leave(&tried, false);
        assert_eq!(attendance.next(), Some((tried.clone(), Intent::Leave)));
        attendance.leave(&gone, false);
        attendance.forget_absent();
        assert_eq!(attendance.attendees.len(), 2, "one is being said");
        attendance.failed(&tried);
        attendance.forget_absent();
        attendance.say_all_again();
        assert_eq!(attendance.next(), Some((here.clone(), Intent::Join)));
        attendance.done(&here, Intent::Join);
        assert_eq!(attendance.next(), None);
    }

    #[test]
    fn one_worker_at_a_time() {
        let mut attendance = Attendance::default();
        attendance.join(&user());
        assert!(attendance.claim_work());
        assert!(!attendance.claim_work());
        run(&mut attendance);
        attendance.leave(&user(), false);
        assert!(attendance.claim_work());
    }
}
