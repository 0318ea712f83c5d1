//! Every promise holds in every state within small bounds, and every planted mistake is noticed.

use datasync_models::check::{Extent, explore};
use datasync_models::log::{Log, Mistake};
use datasync_models::suite::{MODELS, PROOFS};

#[test]
fn every_promise_holds_in_every_state() {
    for model in MODELS {
        for report in (model.whole)(false) {
            println!("{report}");
            assert!(report.sound(), "{}: {report}", model.about);
            assert!(report.states > 10_000, "{}: hardly anything happens: {report}", model.about);
        }
    }
}

#[test]
fn every_planted_mistake_is_noticed() {
    for model in MODELS {
        for report in (model.planted)() {
            println!("{}", report.verdict());
            assert!(!report.broken.is_empty(), "{}: {}", model.about, report.verdict());
        }
    }
}

#[test]
fn only_a_barrier_that_spoils_shows_which_copy_of_meta_was_written_first() {
    let planted = Some(Mistake::ForgetProofOrder);
    let noticed = |model: Log| !explore("proofs", model, Extent::UntilBroken).broken.is_empty();
    assert!(noticed(Log { mistake: planted, ..PROOFS }));
    assert!(!noticed(Log { mistake: planted, failures: false, ..PROOFS }));
    assert!(!noticed(PROOFS));
}
