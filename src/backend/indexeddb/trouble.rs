//! What the browser said, as what the queue or the caller is told.
//!
//! Holds the one map from names of DOM exceptions to [`Failure`] and to [`ErrorKind`]. The rule it keeps: a
//! message says what to do, and the browser's own words follow.

use wasm_bindgen::JsValue;

use super::js::{UNANSWERED, property};
use crate::backend::queue::Failure;
use crate::error::{Error, ErrorKind};

/// Name and message of a thrown value.
pub(super) fn words(thrown: &JsValue) -> (String, String) {
    let text = |name: &str| property(thrown, name).as_string().unwrap_or_default();
    let (name, message) = (text("name"), text("message"));
    if name.is_empty() && message.is_empty() {
        return (String::new(), thrown.as_string().unwrap_or_else(|| format!("{thrown:?}")));
    }
    let message = if message.is_empty() { name.clone() } else { format!("{name}: {message}") };
    (name, message)
}

/// Why a transaction was aborted or could not begin. `null` is what a browser says that gave the connection up.
pub(super) fn failure(thrown: &JsValue) -> Failure {
    let (name, message) = words(thrown);
    match name.as_str() {
        "QuotaExceededError" => Failure::Full(message),
        // Records are put, never added: only the fence's index can be violated.
        "ConstraintError" => Failure::Fenced,
        "" | "AbortError" | "InvalidStateError" | "UnknownError" | "NotFoundError" => {
            Failure::Disconnected(message)
        }
        _ => Failure::Refused(message),
    }
}

/// Why a database could not be opened, read or removed.
pub(super) fn trouble(place: &str, doing: &str, thrown: &JsValue) -> Error {
    let (name, message) = words(thrown);
    let (kind, next) = match name.as_str() {
        "QuotaExceededError" => (
            ErrorKind::Full,
            "free some of this site's storage, or ask for more with navigator.storage.persist()",
        ),
        "VersionError" => (ErrorKind::Unsupported, "a newer version of datasync wrote it: reload the page"),
        // An object store or the index of the links is missing.
        "NotFoundError" => (
            ErrorKind::Unsupported,
            "it is laid out in a way that no released version writes: delete this database, or choose another name",
        ),
        "SecurityError" | "NotAllowedError" | "InvalidStateError" => (
            ErrorKind::Unsupported,
            "the browser gives this page no storage: leave the private window, or allow this site to keep data",
        ),
        _ if message == UNANSWERED => (
            ErrorKind::Busy,
            "another tab may hold it: close this site's other tabs, or start the browser anew, and open it again",
        ),
        _ => (ErrorKind::Io, "reload the page; if it stays so, look at the browser's storage"),
    };
    Error::new(kind, format!("{place}: cannot {doing} ({message}); {next}"))
}
