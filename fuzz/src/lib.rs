//! What the fuzzers run, as plain functions of bytes.
//!
//! The invariants, the reference and the workloads are those of `tests/crash/`, included as they are; in
//! return the crash suite and `tests/sql_crash` replay the corpora below `corpus/` as ordinary tests, on stable.

#[path = "../../tests/crash/choices.rs"]
pub mod choices;
#[path = "../../tests/crash/cuts.rs"]
pub mod cuts;
#[path = "../../tests/crash/fired.rs"]
pub mod fired;
#[path = "../../tests/crash/invariants.rs"]
pub mod invariants;
#[path = "../../tests/crash/lives.rs"]
pub mod lives;
#[path = "../../tests/crash/reference.rs"]
pub mod reference;
#[path = "../../tests/crash/settings.rs"]
pub mod settings;
#[path = "../../tests/crash/shrink.rs"]
pub mod shrink;
#[path = "sql.rs"]
pub mod sql;
#[path = "../../tests/crash/suites.rs"]
pub mod suites;
pub mod targets;
#[path = "../../tests/crash/violation.rs"]
pub mod violation;
#[path = "../../tests/crash/workload.rs"]
pub mod workload;
