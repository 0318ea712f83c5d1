//! A sign in another kind of storage (the Cache API) that a database was there, so that a browser which removed
//! it is found out.
//!
//! The rule it keeps: the sign comes after the database's first strict transaction and goes before the database does. A
//! crash in between leaves a database without a sign, which the next opening mends, never a false alarm.
//! Without the Cache API (an insecure page) there is no sign and no alarm.

use wasm_bindgen::JsCast;
use wasm_bindgen::JsValue;

use super::js::{Cache, Caches, Response, global, patiently, property};

const CACHE: &str = "datasync-witness";

/// The cache and the address of one database's sign in it.
async fn open(directory: &str) -> Option<(Cache, String)> {
    let origin = property(&global("location")?, "origin").as_string()?;
    let caches: Caches = global("caches")?.unchecked_into();
    let cache = patiently(&caches.open(CACHE)).await.ok()?;
    Some((cache.unchecked_into(), format!("{origin}/{CACHE}/{directory}")))
}

/// Whether the sign is there.
pub(super) async fn is_there(directory: &str) -> bool {
    let Some((cache, url)) = open(directory).await else { return false };
    patiently(&cache.find(&url)).await.is_ok_and(|found| !found.is_undefined())
}

/// Leaves the sign. A refusal is no harm to the database.
pub(super) async fn leave(directory: &str) {
    if is_there(directory).await {
        return;
    }
    if let (Some((cache, url)), Ok(response)) = (open(directory).await, Response::new("1")) {
        let _: Result<JsValue, JsValue> = patiently(&cache.store(&url, &response)).await;
    }
}

/// Takes the sign away.
pub(super) async fn remove(directory: &str) {
    if let Some((cache, url)) = open(directory).await {
        let _: Result<JsValue, JsValue> = patiently(&cache.forget(&url)).await;
    }
}
