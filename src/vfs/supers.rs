//! Super-journals that are still needed: while one is there, SQLite can take back what its transaction has committed.
//!
//! A transaction over several files that fails is rolled back file by file. After each of them SQLite removes the
//! super-journal unless it finds the journal of another file that names it, and takes the others for committed if
//! it is gone. The journals of stores are in memory, and are not found. The rule kept here: a super-journal stays
//! as long as a store has a commit that was made under it and is neither confirmed nor taken back.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::planted::{Bug, planted};

static NEEDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn needed() -> MutexGuard<'static, Vec<String>> {
    // A list of names is valid between any two statements.
    NEEDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A commit that was made under a super-journal and may have to be taken back.
pub(super) struct Under(String);

impl Under {
    pub(super) fn new(name: &str) -> Self {
        needed().push(name.to_owned());
        Self(name.to_owned())
    }
}

impl Drop for Under {
    fn drop(&mut self) {
        let mut needed = needed();
        if let Some(at) = needed.iter().position(|name| *name == self.0) {
            needed.swap_remove(at);
        }
    }
}

/// Whether something was committed under the super-journal `name` that may have to be taken back.
pub(super) fn is_needed(name: &str) -> bool {
    !planted(Bug::ForgetSuperJournal) && needed().iter().any(|needed| needed == name)
}
