//! The databases of a site: which there are, and removing one.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;

use super::js::{UNANSWERED, factory, in_time, promise_of, property};
use super::load::database_name;
use super::trouble::trouble;
use super::witness;
use crate::backend::opfs::{directory_of, name_of};
use crate::error::{Error, ErrorKind, Result, fail};

/// How long another tab may take to let go of a database that is to be removed.
const PATIENCE_MS: u32 = 5_000;

fn no_indexeddb() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "there is no IndexedDB here: leave the private window, or allow this site to keep data",
    )
}

/// The names of all databases in IndexedDB, in order.
///
/// # Errors
/// `Unsupported`, `Io`.
pub async fn list() -> Result<Vec<String>> {
    let refused = |thrown: JsValue| trouble("indexeddb", "list the databases", &thrown);
    let promise = factory().ok_or_else(no_indexeddb)?.databases().map_err(refused)?;
    let found: Array = JsFuture::from(promise).await.map_err(refused)?.unchecked_into();
    let prefix = database_name("");
    let name = |info: JsValue| {
        let name = property(&info, "name").as_string()?;
        name_of(name.strip_prefix(&prefix)?)
    };
    let mut names: Vec<String> = found.iter().filter_map(name).collect();
    names.sort_unstable();
    Ok(names)
}

/// Removes a database for good. A tab that has it open finishes what it had queued and is fenced. Absent is fine.
///
/// # Errors
/// * `Busy`: another tab does not let go of it. The browser removes it as soon as that tab does.
/// * `Misuse`, `Unsupported`, `Io`.
pub async fn destroy(name: &str) -> Result<()> {
    let directory = directory_of(name)?;
    let place = format!("indexeddb:{name}");
    let refused = |thrown: JsValue| trouble(&place, "remove it", &thrown);
    witness::remove(&directory).await;
    let factory = factory().ok_or_else(no_indexeddb)?;
    let request = factory.delete_database(&database_name(&directory)).map_err(refused)?;
    match in_time(&promise_of(&request), PATIENCE_MS).await {
        Err(late) if late == UNANSWERED => fail(
            ErrorKind::Busy,
            format!("{place}: another tab holds it; it will be gone when that tab is closed"),
        ),
        Ok(_) => Ok(()),
        Err(_) => Err(refused(request.error())),
    }
}
