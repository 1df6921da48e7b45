//! What the checker found.

use std::fmt;

use super::FINDINGS_MAX;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Finding {
    /// A connection that was there never got these.
    Lost {
        /// Which connection.
        connection: u32,
        /// In which room.
        room: u32,
        /// The first one.
        from: u64,
        /// The last one.
        to: u64,
    },
    /// A connection got an entry again.
    Doubled {
        /// Which connection.
        connection: u32,
        /// In which room.
        room: u32,
        /// Which one.
        seq: u64,
    },
    /// A connection got an entry behind a later one.
    OutOfOrder {
        /// Which connection.
        connection: u32,
        /// In which room.
        room: u32,
        /// Which one.
        seq: u64,
    },
    /// Two connections saw different messages at one seq.
    Disagree {
        /// In which room.
        room: u32,
        /// Where.
        seq: u64,
        /// Which ones.
        messages: (u64, u64),
    },
    /// One message has two seqs.
    StoredTwice {
        /// In which room.
        room: u32,
        /// Which one.
        message: u64,
        /// Where.
        seqs: (u64, u64),
    },
    /// One key was acked with two seqs.
    AckedTwice {
        /// In which room.
        room: u32,
        /// Which key.
        key: u64,
        /// With which seqs.
        seqs: (u64, u64),
    },
    /// Another message is where an ack said that this one is.
    AckBroken {
        /// In which room.
        room: u32,
        /// Where.
        seq: u64,
        /// Which message was acked.
        message: u64,
    },
    /// A connection was reset though nobody had harmed the log.
    Reset {
        /// Which connection.
        connection: u32,
        /// In which room.
        room: u32,
    },
}

/// What a checker saw and what was wrong with it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Joins without, or with a lost, position.
    pub joins: u64,
    /// Joins that were recovered.
    pub resumes: u64,
    /// Entries that connections were given.
    pub observed: u64,
    /// Acks.
    pub acked: u64,
    /// Resets, harmed or not.
    pub resets: u64,
    /// Entries that a connection should have got and did not.
    pub lost: u64,
    /// Entries that a connection got again, and messages that were stored or acked twice.
    pub doubled: u64,
    /// Entries that came behind a later one, or that connections disagree about.
    pub out_of_order: u64,
    /// Resets without a cause.
    pub groundless_resets: u64,
    /// The first ones of these, in detail.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Whether everything was as it must be.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.lost + self.doubled + self.out_of_order + self.groundless_resets == 0
    }

    /// Checks that everything was as it must be.
    ///
    /// # Panics
    /// With the findings, if it was not.
    pub fn assert_clean(&self) {
        assert!(self.is_clean(), "{self}");
    }

    pub(super) fn find(&mut self, finding: Finding) {
        match finding {
            Finding::Lost { from, to, .. } => self.lost += to - from + 1,
            Finding::AckBroken { .. } => self.lost += 1,
            Finding::Doubled { .. } | Finding::StoredTwice { .. } | Finding::AckedTwice { .. } => {
                self.doubled += 1;
            }
            Finding::OutOfOrder { .. } | Finding::Disagree { .. } => self.out_of_order += 1,
            Finding::Reset { .. } => self.groundless_resets += 1,
        }
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.joins += other.joins;
        self.resumes += other.resumes;
        self.observed += other.observed;
        self.acked += other.acked;
        self.resets += other.resets;
        self.lost += other.lost;
        self.doubled += other.doubled;
        self.out_of_order += other.out_of_order;
        self.groundless_resets += other.groundless_resets;
        self.findings.extend(other.findings);
        self.findings.truncate(FINDINGS_MAX);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} acked, {} given to connections, {} joins, {} resumes, {} resets: \
             {} lost, {} doubled, {} out of order, {} groundless resets",
            self.acked,
            self.observed,
            self.joins,
            self.resumes,
            self.resets,
            self.lost,
            self.doubled,
            self.out_of_order,
            self.groundless_resets
        )?;
        for finding in self.findings.iter().take(20) {
            writeln!(f, "  {finding:?}")?;
        }
        Ok(())
    }
}
