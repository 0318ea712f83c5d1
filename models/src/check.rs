//! Looks at every state of a model and reports what it found.

use std::fmt::{self, Debug};
use std::hash::Hash;
use std::time::{Duration, Instant};

use stateright::{Checker, Expectation, HasDiscoveries, Model};

/// What looking at a model has shown.
#[derive(Clone, Debug)]
pub struct Report {
    /// Of the model.
    pub name: String,
    /// Different states.
    pub states: usize,
    /// Transitions looked at.
    pub steps: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// How long it took.
    pub time: Duration,
    /// Promises that some state breaks, with the way there.
    pub broken: Vec<(String, String)>,
    /// Things that should have happened somewhere and never did.
    pub never: Vec<String>,
}

impl Report {
    /// Whether every promise holds and everything that should happen happens.
    #[must_use]
    pub fn sound(&self) -> bool {
        self.broken.is_empty() && self.never.is_empty()
    }

    /// One line for a model with a planted mistake: which promise noticed it, and how far one had to look.
    #[must_use]
    pub fn verdict(&self) -> String {
        let Self { name, states, .. } = self;
        match self.broken.first() {
            Some((promise, way)) => {
                format!("planted {name:<26} {states:>9} states, {:>3} steps: {promise}", way.lines().count())
            }
            None => format!("planted {name:<26} {states:>9} states: NOBODY NOTICES"),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, states, steps, depth, time, .. } = self;
        let seconds = time.as_secs_f64();
        write!(f, "{name:<34} {states:>9} states {steps:>10} steps, depth {depth:>3}, {seconds:>6.1} s")?;
        for (promise, way) in &self.broken {
            write!(f, "\n  broken: {promise}\n{way}")?;
        }
        for what in &self.never {
            write!(f, "\n  never happened: {what}")?;
        }
        Ok(())
    }
}

/// How far to look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// At every state within the model's bounds.
    Whole,
    /// Until a promise is broken: what a planted mistake has to lead to.
    UntilBroken,
}

/// Looks at the states of `model`.
pub fn explore<M>(name: &str, model: M, extent: Extent) -> Report
where
    M: Model + Send + Sync + 'static,
    M::State: Clone + Debug + Hash + PartialEq + Send + Sync + 'static,
    M::Action: Clone + Debug + PartialEq,
{
    let begun = Instant::now();
    let mut builder = model.checker().threads(2);
    if extent == Extent::UntilBroken {
        builder = builder.finish_when(HasDiscoveries::AnyFailures);
    }
    let checker = builder.spawn_bfs().join();
    let found = checker.discoveries();
    let mut report = Report {
        name: name.to_owned(),
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        time: begun.elapsed(),
        broken: Vec::new(),
        never: Vec::new(),
    };
    for property in checker.model().properties() {
        match (property.expectation, found.get(property.name)) {
            (Expectation::Sometimes, None) => report.never.push(property.name.to_owned()),
            (Expectation::Always | Expectation::Eventually, Some(path)) => {
                let end = format!("    and then {:?}", path.last_state());
                let mut way: Vec<String> =
                    path.clone().into_actions().iter().map(|action| format!("    {action:?}")).collect();
                way.push(end);
                report.broken.push((property.name.to_owned(), way.join("\n")));
            }
            _ => {}
        }
    }
    report
}
