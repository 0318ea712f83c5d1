//! The classes that JavaScript sees: `Medium`, a place for a database, and `Session`, an open one.
//!
//! Everything that may read the medium is there twice: `x`, and `x_jspi`, which returns a promise and may be
//! suspended in the middle of a read. Must not know SQL. The rules it keeps: what is thrown is an `Error` with a
//! `kind`; and a call that comes while another is suspended is refused, never run inside of it.

mod place;
mod session;
mod stores;
mod thrown;

use std::cell::RefCell;

use js_sys::{JSON, Object, Reflect};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::engine::{Engine, Settings};
use crate::failure::{Failure, Outcome};
use place::Place;
pub use session::Session;
pub use stores::{StoreImport, destroy_database, list_databases};
use thrown::thrown;

thread_local! {
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// Runs once, when the module is there.
#[wasm_bindgen(start)]
pub fn begin() {
    std::panic::set_hook(Box::new(|panic| {
        PANIC.with(|kept| *kept.borrow_mut() = Some(panic.to_string()));
    }));
}

/// What the module had to say before it trapped (`RuntimeError: unreachable`); nothing in it may be called
/// afterwards but this.
#[wasm_bindgen(js_name = lastPanic)]
#[must_use]
pub fn last_panic() -> Option<String> {
    PANIC.with(|kept| kept.borrow().clone())
}

/// A place for one database, taken; nothing of it has been read yet.
#[wasm_bindgen]
pub struct Medium {
    place: RefCell<Option<Place>>,
}

#[wasm_bindgen]
impl Medium {
    /// A place in memory, which is gone with the worker.
    #[must_use]
    pub fn memory(name: &str) -> Self {
        Self { place: RefCell::new(Some(Place::memory(name))) }
    }

    /// The files of the database `name` in this origin's private file system, taken. `mode` is `create` (the
    /// default), `existing` or `readOnly`, as the options of `start` will say.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`: `Busy` when another tab has it, `Unsupported`, `NotFound`.
    pub async fn opfs(name: String, mode: Option<String>) -> Result<Medium, JsValue> {
        let place = Place::opfs(&name, mode.as_deref()).await.map_err(thrown)?;
        Ok(Self { place: RefCell::new(Some(place)) })
    }

    fn open(&self, options: &str) -> Outcome<Session> {
        let settings = settings(options)?;
        let place = self.place.borrow_mut().take();
        let Some(place) = place else { return Err(Failure::misuse("this place was started already")) };
        let (backend, keeper) = place.split();
        Ok(Session::new(Engine::open(backend, settings)?, keeper))
    }

    /// Opens the database, recovering it if need be. `options` is JSON: see `Settings` of the package.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub fn start(&self, options: &str) -> Result<Session, JsValue> {
        self.open(options).map_err(thrown)
    }

    /// As `start`, where reading the medium suspends.
    ///
    /// # Errors
    /// As `start`.
    #[wasm_bindgen(jspi)]
    pub fn start_jspi(&self, options: &str) -> Result<Session, JsValue> {
        self.open(options).map_err(thrown)
    }
}

/// Reads the options of `start`; what is not known is refused, not ignored.
fn settings(options: &str) -> Outcome<Settings> {
    let bad = |what: String| Failure::misuse(format!("options: {what}"));
    let parsed = JSON::parse(options).map_err(|_| bad(format!("{options} is not JSON")))?;
    let Ok(object) = wasm_bindgen::JsCast::dyn_into::<Object>(parsed) else {
        return Err(bad(format!("{options} is no object")));
    };
    let mut settings = Settings::default();
    for key in Object::keys(&object).iter() {
        let value = Reflect::get(&object, &key).unwrap_or(JsValue::UNDEFINED);
        let key = key.as_string().unwrap_or_default();
        if value.is_undefined() || value.is_null() {
            continue;
        }
        let number = || match value.as_f64() {
            Some(number) if number >= 0.0 && number.fract() == 0.0 && number < 9.0e15 => Ok(number as u64),
            _ => Err(bad(format!("{key} must be a whole number of bytes"))),
        };
        let truth = || value.as_bool().ok_or_else(|| bad(format!("{key} must be true or false")));
        match key.as_str() {
            "create" => settings.create = truth()?,
            "readOnly" => settings.read_only = truth()?,
            "foreignKeys" => settings.foreign_keys = truth()?,
            "segmentBytes" => settings.segment_bytes = number()?,
            "logCapBytes" => settings.log_cap_bytes = number()?,
            "reserveBytes" => settings.reserve_bytes = number()?,
            "spillBytes" => settings.spill_bytes = number()?,
            "cacheBytes" => settings.cache_bytes = number()?,
            "checksum" => {
                settings.checksum =
                    Some(value.as_string().ok_or_else(|| bad("checksum must be a name".into()))?);
            }
            _ => return Err(bad(format!("{key:?} is not known"))),
        }
    }
    Ok(settings)
}
