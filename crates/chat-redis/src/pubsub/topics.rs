//! Which topics the node wants and which of them the server has confirmed: a pure value.
//!
//! A set, not a queue of commands: however often a topic is wanted and given up while the link is
//! away, what is sent afterwards is the difference. So it is bounded by the topics themselves.
//!
//! Invariant: a topic is `confirmed` only between the confirmation of a SUBSCRIBE in the present
//! generation and the moment in which the next UNSUBSCRIBE of it is taken up for sending.

use std::collections::{BTreeSet, HashMap};

use chat_core::Topic;

use crate::config::SubscribeMode;

#[derive(Debug, Clone, Copy, Default)]
struct Standing {
    wanted: bool,
    confirmed: bool,
}

/// One command to be sent: all of one kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Subscribe(Vec<Topic>),
    Unsubscribe(Vec<Topic>),
}

/// What the node wants, and where that stands.
#[derive(Debug)]
pub(super) struct Topics {
    mode: SubscribeMode,
    all: HashMap<Topic, Standing>,
    /// Topics that differ from what they should be.
    due: BTreeSet<Topic>,
    /// In mode `All`: the pattern is confirmed in the present generation.
    pattern: bool,
    /// Why the server refused, if that is what ended the last link.
    refused: Option<String>,
}

impl Topics {
    pub(super) fn new(mode: SubscribeMode) -> Self {
        Self {
            mode,
            all: HashMap::new(),
            due: BTreeSet::new(),
            pattern: false,
            refused: None,
        }
    }

    pub(super) fn want(&mut self, topics: &[Topic]) {
        for topic in topics {
            self.all.entry(topic.clone()).or_default().wanted = true;
            self.due.insert(topic.clone());
        }
    }

    pub(super) fn give_up(&mut self, topics: &[Topic]) {
        for topic in topics {
            if let Some(standing) = self.all.get_mut(topic) {
                standing.wanted = false;
                self.due.insert(topic.clone());
            }
        }
    }

    pub(super) fn is_wanted(&self, topic: &Topic) -> bool {
        self.all.get(topic).is_some_and(|standing| standing.wanted)
    }

    /// Whether whatever is published to any of these from now on arrives.
    pub(super) fn are_confirmed(&self, topics: &[Topic]) -> bool {
        topics.iter().all(|topic| match self.mode {
            SubscribeMode::All => self.pattern,
            SubscribeMode::Rooms => self
                .all
                .get(topic)
                .is_some_and(|standing| standing.wanted && standing.confirmed),
        })
    }

    pub(super) fn refused(&self) -> Option<&str> {
        self.refused.as_deref()
    }

    /// The link is gone: nothing is confirmed any more, all that is wanted is due.
    pub(super) fn forget_link(&mut self, refused: Option<String>) {
        self.refused = refused;
        self.pattern = false;
        self.all.retain(|_, standing| standing.wanted);
        self.due.clear();
        for (topic, standing) in &mut self.all {
            standing.confirmed = false;
            self.due.insert(topic.clone());
        }
    }

    pub(super) fn confirm_pattern(&mut self) {
        self.pattern = true;
        self.refused = None;
    }

    /// Takes up to `max` topics that are due, as one command. In mode `All` there is none.
    pub(super) fn next_step(&mut self, max: usize) -> Option<Step> {
        if self.mode == SubscribeMode::All {
            self.due.clear();
            self.all.retain(|_, standing| standing.wanted);
            return None;
        }
        let (mut subscribe, mut unsubscribe) = (Vec::new(), Vec::new());
        while subscribe.len() < max && unsubscribe.len() < max {
            let Some(topic) = self.due.pop_first() else {
                break;
            };
            let standing = self.all.get(&topic).copied().unwrap_or_default();
            match (standing.wanted, standing.confirmed) {
                (true, false) => subscribe.push(topic),
                (false, true) => unsubscribe.push(topic),
                (true, true) => {}
                (false, false) => {
                    self.all.remove(&topic);
                }
            }
        }
        if !subscribe.is_empty() {
            self.due.extend(unsubscribe);
            return Some(Step::Subscribe(subscribe));
        }
        for topic in &unsubscribe {
            // From here on a new `want` must wait for a new SUBSCRIBE.
            self.all.remove(topic);
        }
        (!unsubscribe.is_empty()).then_some(Step::Unsubscribe(unsubscribe))
    }

    /// The server has confirmed these.
    pub(super) fn confirm(&mut self, topics: &[Topic]) {
        self.refused = None;
        for topic in topics {
            let standing = self.all.entry(topic.clone()).or_default();
            standing.confirmed = true;
            if !standing.wanted {
                self.due.insert(topic.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chat_core::RoomId;

    fn room(name: &str) -> Topic {
        Topic::Room(RoomId::new(name).unwrap())
    }

    #[test]
    fn a_topic_that_was_given_up_and_wanted_again_needs_a_new_confirmation() {
        let mut topics = Topics::new(SubscribeMode::Rooms);
        let a = [room("a")];
        topics.want(&a);
        assert_eq!(topics.next_step(10), Some(Step::Subscribe(a.to_vec())));
        assert!(!topics.are_confirmed(&a));
        topics.confirm(&a);
        assert!(topics.are_confirmed(&a));
        topics.give_up(&a);
        assert_eq!(topics.next_step(10), Some(Step::Unsubscribe(a.to_vec())));
        topics.want(&a);
        assert!(!topics.are_confirmed(&a));
        assert_eq!(topics.next_step(10), Some(Step::Subscribe(a.to_vec())));
    }

    #[test]
    fn a_topic_given_up_while_its_subscription_is_on_the_way_is_unsubscribed_afterwards() {
        let mut topics = Topics::new(SubscribeMode::Rooms);
        let a = [room("a")];
        topics.want(&a);
        assert!(topics.next_step(10).is_some());
        topics.give_up(&a);
        assert_eq!(topics.next_step(10), None);
        topics.confirm(&a);
        assert_eq!(topics.next_step(10), Some(Step::Unsubscribe(a.to_vec())));
        assert_eq!(topics.next_step(10), None);
        assert!(topics.all.is_empty() && topics.due.is_empty());
    }

    #[test]
    fn a_lost_link_makes_every_wanted_topic_due_in_chunks() {
        let mut topics = Topics::new(SubscribeMode::Rooms);
        let three = [room("a"), room("b"), room("c")];
        topics.want(&three);
        topics.next_step(10);
        topics.confirm(&three);
        topics.give_up(&three[2..]);
        topics.forget_link(None);
        assert!(!topics.are_confirmed(&three[..1]));
        let mut seen = Vec::new();
        while let Some(Step::Subscribe(step)) = topics.next_step(1) {
            assert_eq!(step.len(), 1);
            topics.confirm(&step);
            seen.extend(step);
        }
        seen.sort();
        assert_eq!(seen, three[..2]);
    }

    #[test]
    fn with_one_pattern_topics_are_confirmed_by_it_alone() {
        let mut topics = Topics::new(SubscribeMode::All);
        let a = [room("a")];
        topics.want(&a);
        assert_eq!(topics.next_step(10), None);
        assert!(!topics.are_confirmed(&a) && topics.is_wanted(&a[0]));
        topics.confirm_pattern();
        assert!(topics.are_confirmed(&a));
        topics.give_up(&a);
        assert!(!topics.is_wanted(&a[0]));
    }
}
