//! What the browser said, as an error that says what to do.
//!
//! Holds the one map from the names of DOM exceptions to [`ErrorKind`]. The rule it keeps: every message
//! names the file and the next step; the browser's own words follow as the cause.

use super::count::{QUOTA, Refusal};
use crate::error::{Error, ErrorKind};

/// What was being done when the browser refused. Decides between kinds and between next steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doing {
    /// Looking for, or taking a handle of, what should be there.
    Open,
    /// Making a file or directory.
    Create,
    /// Reading bytes or a length.
    Read,
    /// Changing bytes or a length.
    Write,
    /// Preparing space, with nothing at stake yet.
    Reserve,
    /// Making bytes durable.
    Barrier,
    /// Removing a segment or a database.
    Remove,
}

impl Doing {
    fn verb(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Create => "create",
            Self::Read => "read",
            Self::Write => "write",
            Self::Reserve => "reserve space in",
            Self::Barrier => "make durable",
            Self::Remove => "remove",
        }
    }
}

/// Turns the browser's refusal into ours.
pub(super) fn trouble(doing: Doing, path: &str, refusal: Refusal) -> Error {
    let (kind, next) = judge(doing, &refusal.name);
    Error::new(kind, format!("cannot {} {path}; {next}", doing.verb())).caused_by(refusal)
}

fn judge(doing: Doing, name: &str) -> (ErrorKind, &'static str) {
    let harmless = matches!(doing, Doing::Reserve | Doing::Create | Doing::Open);
    let looks = matches!(doing, Doing::Open | Doing::Remove);
    match name {
        QUOTA if harmless => (
            ErrorKind::Full,
            "nothing was harmed: free some of this site's storage, or ask for more with \
             navigator.storage.persist(), and try again",
        ),
        QUOTA => (ErrorKind::Full, "free some of this site's storage, then open the database again"),
        "NoModificationAllowedError" => {
            (ErrorKind::Busy, "another tab or worker has this database open: close it there, or wait for it")
        }
        "SecurityError" | "NotAllowedError" => (
            ErrorKind::Unsupported,
            "the browser gives this page no storage: leave the private window, or allow this site to keep data",
        ),
        "NotSupportedError" | "TypeError" => (
            ErrorKind::Unsupported,
            "this browser has no sync access handles here: update it, or use the backend \"indexeddb\"",
        ),
        "TypeMismatchError" => {
            (ErrorKind::NotAStore, "something else stands there: choose another name for the database")
        }
        "NotFoundError" if looks => {
            (ErrorKind::NotFound, "there is nothing of that name; create the database, or import it")
        }
        "NotFoundError" | "InvalidStateError" => (
            ErrorKind::Io,
            "the browser took the file away (was this site's data cleared?): open the database again",
        ),
        _ => (ErrorKind::Io, "open the database again; if it stays so, look at the browser's storage"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_become_kinds_that_say_what_to_do() {
        use ErrorKind as K;
        let cases = [
            (Doing::Write, "QuotaExceededError", K::Full),
            (Doing::Reserve, "QuotaExceededError", K::Full),
            (Doing::Open, "NoModificationAllowedError", K::Busy),
            (Doing::Open, "SecurityError", K::Unsupported),
            (Doing::Open, "NotFoundError", K::NotFound),
            (Doing::Write, "NotFoundError", K::Io),
            (Doing::Create, "TypeError", K::Unsupported),
            (Doing::Barrier, "InvalidStateError", K::Io),
            (Doing::Open, "TypeMismatchError", K::NotAStore),
            (Doing::Read, "SomethingNew", K::Io),
        ];
        for (doing, name, kind) in cases {
            let error = trouble(doing, "opfs:datasync/app/META", Refusal::new(name, "words"));
            assert_eq!(error.kind(), kind, "{name}");
            let text = error.to_string();
            assert!(text.contains("datasync/app/META") && text.contains("words"), "{text}");
        }
    }
}
