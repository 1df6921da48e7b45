//! What happens to a store whose database is locked, full, cut off or gone: nothing that was acked is
//! lost, nothing is done twice, and it heals by itself.

mod postgres;
mod sqlite;
