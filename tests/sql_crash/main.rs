//! SQL over the simulated disk: money that is never made or lost by a crash, the promises of the VFS one by one,
//! the bugs planted in it, and the corpus of the fuzzer that compares it with plain SQLite.

#[path = "../../fuzz/src/sql.rs"]
mod sql;

#[path = "../crash/choices.rs"]
mod choices;
#[path = "../crash/violation.rs"]
mod violation;

mod bank;
mod corpus;
mod locks;
mod planted;
mod promises;
mod several;
