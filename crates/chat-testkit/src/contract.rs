//! The contracts of the seams, as tests that any implementation can run.
//!
//! Each suite is a harness trait (what an implementation must offer so that it can be tested), one
//! public async function per clause, named as the clause, and a macro that makes a test of each:
//!
//! ```ignore
//! chat_testkit::pubsub_contract!(memory, MemoryHarness::start);
//! ```
//!
//! where `start` is an async function without arguments that makes a fresh harness. Waiting is
//! always for something, with the harness's patience as the limit. The shape is borrowed from
//! `object_store::integration` and `phoenix_pubsub`, which ship their suites too.

pub mod authenticator;
pub mod directory;
pub mod presence;
pub mod pubsub;
pub mod rate_limiter;
pub mod revocations;
pub mod room_log;
pub mod transfer;

/// Makes one test of each named clause of a suite. Used by the macros of the suites.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_tests {
    ($name:ident, $start:expr, $suite:ident, $($clause:ident),+ $(,)?) => {
        mod $name {
            #[allow(unused_imports, reason = "the start expression may need them, or not")]
            use super::*;
            $(
                #[test]
                fn $clause() {
                    $crate::run(async {
                        let harness = ($start)().await;
                        $crate::contract::$suite::$clause(&harness).await;
                    });
                }
            )+
        }
    };
}
