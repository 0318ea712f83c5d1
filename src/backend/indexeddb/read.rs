//! Reading extents on demand: the caller is suspended (JSPI) while the browser fetches them; or waits while another
//! worker does.
//!
//! The rules it keeps: nothing of the queue is borrowed across a suspension, and the caller's buffer, which may
//! lie on the stack that is put aside meanwhile, is written to only after it.

use std::ops::Range;
use std::sync::Arc;

use js_sys::{Array, Function, Promise};
use wasm_bindgen::{JsCast, JsValue};

use super::js::{IDBKeyRange, Request, promise_and_end, promise_of, property};
use super::pump::Shared;
use super::records::{begin, bytes_of, number};
use super::trouble::trouble;
use crate::backend::queue::{Missing, VALUE_BYTES};
use crate::error::{ErrorKind, Result, fail};
use crate::log::plan::Area;

/// Requests for some extents: of one, its value; of several, their keys and values.
enum Fetch {
    One(Request),
    Many(Request, Request),
}

/// Extents in order, those that are there; or what was thrown.
type Values = std::result::Result<Vec<Option<Vec<u8>>>, JsValue>;

impl Shared {
    pub(super) fn read(self: &Arc<Self>, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        let mut done = 0;
        loop {
            // Piece by piece: one read may ask for more than the cache holds.
            let n = (buf.len() - done).min(VALUE_BYTES);
            let asked = self.queue().read(area, offset + done as u64, &mut buf[done..done + n])?;
            match asked {
                Ok(got) => {
                    done += got;
                    if got < n || done == buf.len() {
                        return Ok(done);
                    }
                }
                Err(Missing(extents)) => self.fetch(&extents)?,
            }
        }
    }

    /// Suspends the caller until the extents are in the cache.
    fn fetch(self: &Arc<Self>, extents: &Range<u64>) -> Result<()> {
        self.queue().fetch_begins();
        let mut fetched = match &self.link.reader {
            Some(reader) => self.fetch_by(reader, extents),
            None => self.try_fetch(extents),
        };
        // A reader replaces its connection by itself.
        if self.link.reader.is_none() && fetched.as_ref().is_err_and(is_dead_connection) {
            self.disconnected("a read found the connection closed, or had no answer");
            fetched = self.reconnected().and_then(|()| self.try_fetch(extents));
        }
        let mut queue = self.queue();
        if let Ok(values) = &fetched {
            for (extent, value) in extents.clone().zip(values) {
                queue.fetched(extent, value.as_deref());
            }
        }
        queue.fetch_ends();
        queue.check_alive()?;
        drop(queue);
        match fetched {
            Ok(_) => Ok(()),
            Err(thrown) if property(&thrown, "name") == "SuspendError" => fail(
                ErrorKind::Misuse,
                format!("{}: this call may have to wait for the browser; make it suspendable", self.place),
            ),
            Err(thrown) => Err(trouble(&self.place, "read base.db", &thrown)),
        }
    }

    /// Waits until the reader has fetched the extents.
    fn fetch_by(&self, reader: &Function, extents: &Range<u64>) -> Values {
        assert!(self.is_quiet(), "{}: read while a transaction changes base.db", self.place);
        read_by(reader, extents)
    }

    fn try_fetch(self: &Arc<Self>, extents: &Range<u64>) -> Values {
        let fetch = self.ask(extents)?;
        let (ended, end) = match &fetch {
            Fetch::One(value) => promise_and_end(value),
            Fetch::Many(keys, values) => {
                let (keys, end) = promise_and_end(keys);
                (Promise::all(&Array::of2(&keys, &promise_of(values))), end)
            }
        };
        let number = self.link.fetches.get() + 1;
        self.link.fetches.set(number);
        *self.link.fetch.borrow_mut() = Some((number, end));
        self.watch();
        let outcome = suspend_until(&ended);
        self.link.fetch.take();
        outcome.map_err(|thrown| error_of(&fetch, thrown))?;
        Ok(match fetch {
            Fetch::One(value) => vec![bytes_of(&value.result())],
            Fetch::Many(keys, values) => {
                let mut found: Vec<Option<Vec<u8>>> = extents.clone().map(|_| None).collect();
                let keys: Array = keys.result().unchecked_into();
                let values: Array = values.result().unchecked_into();
                for (key, value) in keys.iter().zip(values.iter()) {
                    let at = key.as_f64().unwrap_or(-1.0) - extents.start as f64;
                    if let Some(slot) = found.get_mut(at as usize) {
                        *slot = bytes_of(&value);
                    }
                }
                found
            }
        })
    }

    fn ask(&self, extents: &Range<u64>) -> std::result::Result<Fetch, JsValue> {
        let database = self.link.database.borrow().clone();
        let database = database.ok_or_else(|| super::js::object("name", &"InvalidStateError".into()))?;
        let base = begin(&database, &["base"], "readonly", false)?.object_store("base")?;
        let (first, last) = (number(extents.start), number(extents.end - 1));
        if first == last {
            return Ok(Fetch::One(base.get(&first)?));
        }
        let range = IDBKeyRange::bound(&first, &last)?;
        Ok(Fetch::Many(base.get_all_keys(&range, 0)?, base.get_all(&range, 0)?))
    }

    /// Suspends the caller until there is a new connection, or the queue is dead.
    fn reconnected(self: &Arc<Self>) -> std::result::Result<(), JsValue> {
        let drained = self.drained();
        let promise = wasm_bindgen_futures::future_to_promise(async move {
            drained.await;
            Ok(JsValue::UNDEFINED)
        });
        suspend_until(&promise)
    }
}

/// Asks the reader, which blocks.
pub(super) fn read_by(reader: &Function, extents: &Range<u64>) -> Values {
    let count = number(extents.end - extents.start);
    let values: Array = reader.call2(&JsValue::UNDEFINED, &number(extents.start), &count)?.dyn_into()?;
    Ok(values.iter().map(|value| bytes_of(&value)).collect())
}

/// What a promise of requests was rejected with says nothing (an event); the requests do.
fn error_of(fetch: &Fetch, thrown: JsValue) -> JsValue {
    // Nor do the requests when it was the promise that failed.
    if property(&thrown, "name") == "SuspendError" || thrown.is_string() {
        return thrown;
    }
    match fetch {
        Fetch::One(value) => value.error(),
        Fetch::Many(keys, values) if keys.error().is_null() => values.error(),
        Fetch::Many(keys, _) => keys.error(),
    }
}

fn is_dead_connection(thrown: &JsValue) -> bool {
    let name = property(thrown, "name").as_string().unwrap_or_default();
    matches!(name.as_str(), "InvalidStateError" | "AbortError" | "UnknownError") || thrown.is_string()
}

#[expect(deprecated, reason = "that is how wasm-bindgen marks JSPI as experimental")]
fn suspend_until(promise: &Promise) -> std::result::Result<(), JsValue> {
    js_sys::futures::jspi_block_on_promise(promise).map(drop)
}
