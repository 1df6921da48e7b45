//! The epochs that a feed has left.
//!
//! Whoever proves a rollback starts a new epoch, unless somebody else has. A log that is in an epoch
//! that the feed has left was not started anew by anybody: it was rolled back that far.

use std::collections::VecDeque;

use crate::ids::Epoch;

/// Epochs that are remembered. One is left per proved rollback; a log is not rolled back by eight.
const FORMER_MAX: usize = 8;

#[derive(Debug, Default)]
pub(super) struct Former(VecDeque<Epoch>);

impl Former {
    /// The feed goes from one epoch to another, maybe back to one that it had left.
    pub(super) fn leave(&mut self, left: Epoch, entered: Epoch) {
        self.0.retain(|epoch| *epoch != left && *epoch != entered);
        if self.0.len() == FORMER_MAX {
            self.0.pop_front();
        }
        self.0.push_back(left);
    }

    pub(super) fn has(&self, epoch: Epoch) -> bool {
        self.0.contains(&epoch)
    }
}
