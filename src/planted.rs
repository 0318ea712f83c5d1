//! Deliberate bugs, so that the suites can prove they would notice real ones.
//!
//! Each barrier, order and check of the store asks [`planted`] whether to leave itself out. Without the
//! feature `sim` the answer is a constant `false` and the question compiles away. With it, a test switches
//! one bug on for its own thread, or the variable `DATASYNC_PLANT=Name` for a whole process.
//!
//! Rule: a new barrier or check arrives together with the bug that removes it.

macro_rules! bugs {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// The registry: one name per deliberate bug.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Bug { $($(#[$doc])* $name,)* }

        impl Bug {
            /// Every bug there is.
            pub const ALL: &[Bug] = &[$(Bug::$name,)*];
        }
    };
}

bugs! {
    /// The barrier behind `sync` and durable commits is left out.
    SkipCommitBarrier,
}

#[cfg(not(feature = "sim"))]
mod switch {
    use super::Bug;

    /// Whether `bug` is switched on. Never, in this build.
    #[inline(always)]
    pub const fn planted(_bug: Bug) -> bool {
        false
    }
}

#[cfg(feature = "sim")]
mod switch {
    use std::cell::Cell;
    use std::sync::OnceLock;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Whether `bug` is switched on for this thread or this process.
    pub fn planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug) || process_wide() == Some(bug)
    }

    /// Switches `bug` on for this thread, or all bugs off.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    fn process_wide() -> Option<Bug> {
        static CHOSEN: OnceLock<Option<Bug>> = OnceLock::new();
        *CHOSEN.get_or_init(|| {
            let name = std::env::var("DATASYNC_PLANT").ok()?;
            let bug = Bug::ALL.iter().find(|bug| format!("{bug:?}") == name);
            Some(*bug.unwrap_or_else(|| panic!("DATASYNC_PLANT={name} is no planted bug")))
        })
    }
}

#[cfg(feature = "sim")]
pub use switch::plant;
pub(crate) use switch::planted;
