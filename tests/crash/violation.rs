//! A broken promise as a value, not a panic, so that the planted-bug suites can count them.

use std::fmt;

/// A broken promise.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which invariant.
    pub invariant: &'static str,
    /// What was seen, then how to see it again.
    pub what: String,
}

pub type Checked<T> = Result<T, Violation>;

impl Violation {
    pub fn new(invariant: &'static str, what: impl Into<String>) -> Self {
        Self { invariant, what: what.into() }
    }

    /// Adds a line that says where.
    #[must_use]
    pub fn at(mut self, context: impl fmt::Display) -> Self {
        self.what = format!("{}\n    {context}", self.what);
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} broken: {}", self.invariant, self.what)
    }
}

pub fn ensure(holds: bool, invariant: &'static str, what: impl FnOnce() -> String) -> Checked<()> {
    if holds { Ok(()) } else { Err(Violation::new(invariant, what())) }
}

/// I10 bounded: the store does not panic.
pub fn no_panic<T>(run: impl FnOnce() -> Checked<T>) -> Checked<T> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("no message");
        Err(Violation::new("I10 bounded", format!("panicked: {text}")))
    })
}
