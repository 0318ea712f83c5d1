//! `cargo xtask models [--big]`: looks at every state of each model, then plants each mistake and waits for it to
//! be found. Prints the counts; ends with 1 if a promise is broken, if something that should happen never does,
//! or if a mistake stays unnoticed.

use std::process::ExitCode;

use datasync_models::check::Report;
use datasync_models::suite;

fn main() -> ExitCode {
    let big = std::env::args().any(|word| word == "--big");
    let (mut states, mut runs, mut wrong) = (0, 0, 0);
    let mut count = |report: &Report, as_it_should_be: bool| {
        (states, runs) = (states + report.states, runs + 1);
        wrong += usize::from(!as_it_should_be);
    };
    for model in suite::MODELS {
        println!("{}", model.about);
        for report in (model.whole)(big) {
            println!("  {report}");
            count(&report, report.sound());
        }
        for report in (model.planted)() {
            println!("  {}", report.verdict());
            count(&report, !report.broken.is_empty());
        }
    }
    println!("{states} states in {runs} runs, {wrong} not as they should be");
    if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
