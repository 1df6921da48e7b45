//! How far a seam's implementation reaches, and which combinations hold across nodes.
//!
//! | broker | log, directory, presence | |
//! |---|---|---|
//! | process | process | one node: the embedded default |
//! | process | cluster | one node with a durable store |
//! | cluster | cluster | any number of nodes |
//! | cluster | process | refused: each node would have its own rooms |

/// How far an implementation reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reach {
    /// Only this process knows what it holds.
    Process,
    /// All nodes share what it holds.
    Cluster,
}

impl Reach {
    /// Whether a store of this reach may stand behind a broker of that one.
    #[must_use]
    pub fn serves(self, broker: Self) -> bool {
        self >= broker
    }
}

#[cfg(test)]
mod tests {
    use super::Reach::{Cluster, Process};

    #[test]
    fn a_per_process_store_behind_a_shared_broker_is_refused() {
        assert!(Process.serves(Process) && Cluster.serves(Process) && Cluster.serves(Cluster));
        assert!(!Process.serves(Cluster));
    }
}
