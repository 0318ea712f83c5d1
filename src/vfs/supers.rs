//! Super-journals that are still needed: while one is there, SQLite can roll back what its transaction has done.
//!
//! A transaction over several files that fails is rolled back file by file. After each of them SQLite removes the
//! super-journal unless it finds the journal of another file that names it, and takes the others for committed if
//! it is gone. The journals of stores are in memory, and are not found. The rule kept here: a super-journal stays
//! as long as a journal of a store names it.

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::planted::{Bug, planted};

static NEEDED: Mutex<Vec<String>> = Mutex::new(Vec::new());

fn needed() -> MutexGuard<'static, Vec<String>> {
    // A list of names is valid between any two statements.
    NEEDED.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A journal that names a super-journal.
pub(super) struct Under(String);

impl Under {
    /// Of a write into a journal, if it is the name of a super-journal: SQLite writes nothing else with it.
    pub(super) fn written(bytes: &[u8]) -> Option<Self> {
        let end = bytes.last_chunk::<12>()?;
        let digits = end.strip_prefix(b"-mj")?;
        if digits[6] != b'9' || !digits.iter().all(u8::is_ascii_hexdigit) {
            return None;
        }
        let name = std::str::from_utf8(bytes).ok()?.to_owned();
        needed().push(name.clone());
        Some(Self(name))
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

/// Whether a journal that may have to be played back names the super-journal `name`.
pub(super) fn is_needed(name: &str) -> bool {
    !planted(Bug::ForgetSuperJournal) && needed().iter().any(|needed| needed == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_super_journal_is_needed_as_long_as_a_journal_names_it() {
        let name = "app.datasync-mj0A1B2C9FF";
        let two = [Under::written(name.as_bytes()), Under::written(name.as_bytes())];
        let [Some(one), Some(other)] = two else { panic!("a name of SQLite's") };
        drop(one);
        assert!(is_needed(name) && !is_needed("app.datasync"));
        drop(other);
        assert!(!is_needed(name));
        for no in
            ["", "-mj", "app.datasync-mj0A1B2C8FF", "app.datasync-mj0A1B2G9FF", "app.datasync-mk0A1B2C9FF"]
        {
            assert!(Under::written(no.as_bytes()).is_none(), "{no}");
        }
    }
}
