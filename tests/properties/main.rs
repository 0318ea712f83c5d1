//! Properties: what holds for every life of a store and for every value of the format, with counterexamples made
//! short.
//!
//! `life` is a generated value that holds the operations *and* what goes wrong, `machine` lives it against the
//! reference and the invariants of the crash suite, `codec` writes and reads every structure of the format.
//! A life or value that fails prints its seed; `DATASYNC_SEED=n` replays that one alone.

#[path = "../crash/damaged.rs"]
mod damaged;
#[path = "../crash/fired.rs"]
mod fired;
#[expect(dead_code, reason = "the crash suite has more suites")]
#[path = "../crash/invariants.rs"]
mod invariants;
#[path = "../../fuzz/src/targets/pages.rs"]
mod pages;
#[expect(dead_code, reason = "the crash suite has more suites")]
#[path = "../crash/reference.rs"]
mod reference;
#[expect(dead_code, reason = "the crash suite has more suites")]
#[path = "../crash/settings.rs"]
mod settings;
#[path = "../crash/suites.rs"]
mod suites;
#[path = "../crash/violation.rs"]
mod violation;
#[expect(dead_code, reason = "the crash suite has more suites")]
#[path = "../crash/workload.rs"]
mod workload;

mod codec;
mod life;
mod machine;
mod planted;
mod values;
