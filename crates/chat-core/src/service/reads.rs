//! How far the members of a small room have read: what a join is told, and what is told of it once
//! a second. Pure.
//!
//! Bounded by the members that such a room may have; what signals say of more is not kept.

use std::collections::BTreeMap;

use crate::directory::Marker;
use crate::ids::UserId;
use crate::limits::READS_MAX;
use crate::service::unread::Life;
use crate::signal::Read;

/// How far the members of a room have read.
#[derive(Debug, Default)]
pub(super) struct Reads {
    /// As the directory says it; nothing before it was asked, or since a signal may have been lost.
    markers: Option<Vec<(UserId, Marker)>>,
    /// The newest that signals said, in this life of the log.
    heard: BTreeMap<UserId, u64>,
    /// What was not told yet, newest per user.
    owed: BTreeMap<UserId, Read>,
}

impl Reads {
    /// Takes what a signal says. Answers whether something is owed now that was not before.
    pub(super) fn hear(&mut self, read: Read) -> bool {
        let known = self.heard.get(&read.user).copied();
        let is_full = self.heard.len() >= READS_MAX && known.is_none();
        if is_full || known >= Some(read.seq) {
            return false;
        }
        self.heard.insert(read.user.clone(), read.seq);
        let owed_nothing = self.owed.is_empty();
        self.owed.insert(read.user.clone(), read);
        owed_nothing
    }

    /// What is to be told now.
    pub(super) fn take_owed(&mut self) -> impl Iterator<Item = Read> + use<> {
        std::mem::take(&mut self.owed).into_values()
    }

    /// Takes what the directory says.
    pub(super) fn know(&mut self, markers: Vec<(UserId, Marker)>) {
        self.markers = Some(markers);
    }

    pub(super) fn is_known(&self) -> bool {
        self.markers.is_some()
    }

    /// Signals may have been lost: the directory is to be asked again.
    pub(super) fn doubt(&mut self) {
        self.markers = None;
    }

    /// How far each has read; nothing while it is not known.
    pub(super) fn all(&self, life: Life) -> Option<Vec<(UserId, u64)>> {
        let markers = self.markers.as_ref()?.iter();
        let mut all: BTreeMap<_, _> = markers
            .map(|(user, marker)| (user.clone(), life.read_by(Some(*marker))))
            .collect();
        for (user, seq) in &self.heard {
            let read = all.entry(user.clone()).or_default();
            *read = (*read).max(*seq);
        }
        Some(all.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::Epoch;

    fn read(user: &str, seq: u64) -> Read {
        let user = UserId::new(user).unwrap();
        let at_ms = seq;
        Read { user, seq, at_ms }
    }

    fn told(reads: &mut Reads) -> Vec<(String, u64)> {
        let owed = reads.take_owed();
        owed.map(|read| (read.user.to_string(), read.seq)).collect()
    }

    #[test]
    fn tells_the_newest_of_each_user_and_nothing_twice() {
        let mut reads = Reads::default();
        assert!(reads.hear(read("a", 1)));
        assert!(!reads.hear(read("a", 3)), "owed already");
        assert!(!reads.hear(read("a", 2)), "older");
        assert!(!reads.hear(read("b", 1)));
        assert_eq!(told(&mut reads), [("a".into(), 3), ("b".into(), 1)]);
        assert!(!reads.hear(read("a", 3)), "told");
        assert_eq!(told(&mut reads), []);
        assert!(reads.hear(read("a", 4)));
    }

    #[test]
    fn knows_the_newer_of_what_the_directory_and_signals_say() {
        let mut reads = Reads::default();
        let life = Life {
            epoch: Epoch(2),
            epoch_start: 4,
        };
        reads.hear(read("a", 5));
        assert_eq!(reads.all(life), None);
        let marker = |epoch, seq| Marker {
            epoch: Epoch(epoch),
            seq,
        };
        let user = |name| UserId::new(name).unwrap();
        reads.know(vec![(user("a"), marker(2, 4)), (user("b"), marker(1, 9))]);
        let all = reads.all(life).unwrap();
        assert_eq!(all, [(user("a"), 5), (user("b"), 3)]);
        reads.doubt();
        assert_eq!(reads.all(life), None);
    }

    #[test]
    fn more_users_than_a_small_room_has_are_not_kept() {
        let mut reads = Reads::default();
        for number in 0..2 * READS_MAX {
            reads.hear(read(&format!("u{number}"), 1));
        }
        assert_eq!(told(&mut reads).len(), READS_MAX);
    }
}
