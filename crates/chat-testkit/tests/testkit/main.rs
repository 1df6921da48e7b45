//! The test kit, tested: what judges others must be able to judge.

mod clauses;
mod faults;
mod servers;
