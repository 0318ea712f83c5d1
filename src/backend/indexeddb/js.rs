//! IndexedDB and the few other things of a worker's global scope, as far as the backend calls them.
//!
//! Declarations only. Every call that may throw says so; nothing here decides anything.

use js_sys::{Array, Function, Object, Promise, Reflect};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;

#[wasm_bindgen]
extern "C" {
    pub(super) type Factory;

    #[wasm_bindgen(method, catch)]
    pub(super) fn open(this: &Factory, name: &str, version: u32) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch, js_name = deleteDatabase)]
    pub(super) fn delete_database(this: &Factory, name: &str) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn databases(this: &Factory) -> Result<Promise, JsValue>;

    #[derive(Clone)]
    pub(super) type Request;

    #[wasm_bindgen(method, getter)]
    pub(super) fn result(this: &Request) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub(super) fn error(this: &Request) -> JsValue;
    #[wasm_bindgen(method, getter)]
    pub(super) fn transaction(this: &Request) -> Transaction;
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onsuccess(this: &Request, handler: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onerror(this: &Request, handler: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onupgradeneeded(this: &Request, handler: Option<&Function>);

    #[derive(Clone)]
    pub(super) type Database;

    #[wasm_bindgen(method, catch, js_name = transaction)]
    pub(super) fn begin(
        this: &Database,
        stores: &Array,
        mode: &str,
        options: &Object,
    ) -> Result<Transaction, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createObjectStore)]
    pub(super) fn create_object_store(this: &Database, name: &str) -> Result<Store, JsValue>;
    #[wasm_bindgen(method)]
    pub(super) fn close(this: &Database);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onclose(this: &Database, handler: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onversionchange(this: &Database, handler: Option<&Function>);

    #[derive(Clone)]
    pub(super) type Transaction;

    #[wasm_bindgen(method, catch, js_name = objectStore)]
    pub(super) fn object_store(this: &Transaction, name: &str) -> Result<Store, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn commit(this: &Transaction) -> Result<(), JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn abort(this: &Transaction) -> Result<(), JsValue>;
    #[wasm_bindgen(method, getter, js_name = error)]
    pub(super) fn failure(this: &Transaction) -> JsValue;
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_oncomplete(this: &Transaction, handler: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onabort(this: &Transaction, handler: Option<&Function>);
    #[wasm_bindgen(method, setter)]
    pub(super) fn set_onerror(this: &Transaction, handler: Option<&Function>);

    #[derive(Clone)]
    pub(super) type Store;

    #[wasm_bindgen(method, catch)]
    pub(super) fn put(this: &Store, value: &JsValue, key: &JsValue) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn get(this: &Store, key: &JsValue) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getAll)]
    pub(super) fn get_all(this: &Store, range: &JsValue, count: u32) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch, js_name = getAllKeys)]
    pub(super) fn get_all_keys(this: &Store, range: &JsValue, count: u32) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch, js_name = delete)]
    pub(super) fn delete(this: &Store, range: &JsValue) -> Result<Request, JsValue>;
    #[wasm_bindgen(method, catch, js_name = createIndex)]
    pub(super) fn create_index(
        this: &Store,
        name: &str,
        path: &str,
        options: &Object,
    ) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(method, catch)]
    pub(super) fn index(this: &Store, name: &str) -> Result<Index, JsValue>;

    pub(super) type Index;

    #[wasm_bindgen(method, catch, js_name = openCursor)]
    pub(super) fn open_cursor(this: &Index, range: &JsValue, direction: &str) -> Result<Request, JsValue>;

    pub(super) type IDBKeyRange;

    #[wasm_bindgen(static_method_of = IDBKeyRange, catch)]
    pub(super) fn bound(low: &JsValue, high: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(static_method_of = IDBKeyRange, catch, js_name = lowerBound)]
    pub(super) fn lower_bound(low: &JsValue, open: bool) -> Result<JsValue, JsValue>;

    pub(super) type Caches;

    #[wasm_bindgen(method)]
    pub(super) fn open(this: &Caches, name: &str) -> Promise;

    pub(super) type Cache;

    #[wasm_bindgen(method, js_name = match)]
    pub(super) fn find(this: &Cache, url: &str) -> Promise;
    #[wasm_bindgen(method, js_name = put)]
    pub(super) fn store(this: &Cache, url: &str, response: &Response) -> Promise;
    #[wasm_bindgen(method, js_name = delete)]
    pub(super) fn forget(this: &Cache, url: &str) -> Promise;

    pub(super) type Response;

    #[wasm_bindgen(constructor, catch)]
    pub(super) fn new(body: &str) -> Result<Response, JsValue>;

    #[wasm_bindgen(js_name = setTimeout)]
    pub(super) fn set_timeout(handler: &Function, ms: u32) -> JsValue;
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout_with(handler: &Function, ms: u32, word: &str) -> JsValue;
}

/// The browser is given this long for one answer while a database is opened, ms.
const PATIENCE_MS: u32 = 30_000;

/// What is thrown when it says nothing until then.
pub(super) const UNANSWERED: &str = "the browser has not answered in time";

/// Waits for a promise, but not for ever: then [`UNANSWERED`] is thrown.
pub(super) async fn in_time(promise: &Promise, ms: u32) -> Result<JsValue, JsValue> {
    let late = Promise::new(&mut |_, reject| {
        set_timeout_with(&reject, ms, UNANSWERED);
    });
    JsFuture::from(Promise::race(&Array::of2(promise, &late))).await
}

/// The same, for as long as an opening waits.
pub(super) async fn patiently(promise: &Promise) -> Result<JsValue, JsValue> {
    in_time(promise, PATIENCE_MS).await
}

/// Something of the global scope, if it is there and may be looked at.
pub(super) fn global(name: &str) -> Option<JsValue> {
    let found = Reflect::get(&js_sys::global(), &name.into()).ok()?;
    (!found.is_undefined() && !found.is_null()).then_some(found)
}

/// IndexedDB itself.
pub(super) fn factory() -> Option<Factory> {
    global("indexedDB").map(JsCast::unchecked_into)
}

/// An object with one property.
pub(super) fn object(name: &str, value: &JsValue) -> Object {
    let object = Object::new();
    // Setting a property of a plain object cannot fail.
    let _ = Reflect::set(&object, &name.into(), value);
    object
}

/// A property, `undefined` if there is none.
pub(super) fn property(of: &JsValue, name: &str) -> JsValue {
    Reflect::get(of, &name.into()).unwrap_or(JsValue::UNDEFINED)
}

/// A promise of the request's end: fulfilled by `success`, rejected by `error`.
pub(super) fn promise_of(request: &Request) -> Promise {
    promise_and_end(request).0
}

/// The same, and a function that rejects it.
pub(super) fn promise_and_end(request: &Request) -> (Promise, Function) {
    let mut end = None;
    let promise = Promise::new(&mut |resolve, reject| {
        request.set_onsuccess(Some(&resolve));
        request.set_onerror(Some(&reject));
        end = Some(reject);
    });
    (promise, end.expect("a promise calls its function at once"))
}

/// Waits for a request and returns its result.
pub(super) async fn result_of(request: &Request) -> Result<JsValue, JsValue> {
    match patiently(&promise_of(request)).await {
        Ok(_) => Ok(request.result()),
        Err(late) if late == UNANSWERED => Err(late),
        Err(_) => Err(request.error()),
    }
}

/// Waits until a transaction is complete.
pub(super) async fn end_of(transaction: &Transaction) -> Result<(), JsValue> {
    let promise = Promise::new(&mut |resolve, reject| {
        transaction.set_oncomplete(Some(&resolve));
        transaction.set_onabort(Some(&reject));
    });
    match patiently(&promise).await {
        Ok(_) => Ok(()),
        Err(late) if late == UNANSWERED => Err(late),
        Err(_) => Err(transaction.failure()),
    }
}
