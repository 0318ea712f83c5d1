//! The classes that JavaScript sees: `Medium`, a place for a database, and `Session`, an open one.
//!
//! Everything that may read the medium is there twice: `x`, and `x_jspi`, which returns a promise and may be
//! suspended in the middle of a read. Must not know SQL. The rules it keeps: what is thrown is an `Error` with a
//! `kind`; and a call that comes while another is suspended is refused, never run inside of it.

mod options;
mod place;
mod session;
mod stores;
mod thrown;

use std::cell::RefCell;

use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::engine::Engine;
use crate::failure::{Failure, Outcome};
use place::{Keeper, Place};
pub use session::Session;
pub use stores::StoreImport;
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
    /// What looks after a place in which no database could be opened.
    refused: RefCell<Option<Keeper>>,
}

impl Medium {
    fn at(place: Place) -> Self {
        Self { place: RefCell::new(Some(place)), refused: RefCell::new(None) }
    }
}

#[wasm_bindgen]
impl Medium {
    /// A place in memory, which is gone with the worker.
    #[must_use]
    pub fn memory(name: &str) -> Self {
        Self::at(Place::memory(name))
    }

    /// The files of the database `name` in this origin's private file system, taken. `mode` is `create` (the
    /// default), `existing` or `readOnly`, as the options of `start` will say.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`: `Busy` when another tab has it, `Unsupported`, `NotFound`.
    pub async fn opfs(name: String, mode: Option<String>) -> Result<Medium, JsValue> {
        let place = Place::opfs(&name, mode.as_deref()).await.map_err(thrown)?;
        Ok(Self::at(place))
    }

    /// The records of the database `name` in this origin's IndexedDB, taken from whoever has it. `options` is JSON:
    /// `{resident, residentLimitBytes, cacheBytes, create, strict}`; what is not resident needs the suspending twins,
    /// or a `reader`: a function of an extent's number and how many that returns them, and calls made after `quiet`.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`: `Lost`, `TooLarge`, `NotFound`, `Unsupported`.
    pub async fn indexeddb(
        name: String,
        options: String,
        reader: Option<Function>,
    ) -> Result<Medium, JsValue> {
        let options = options::of_indexed_db(&options).map_err(thrown)?;
        let place = Place::indexed_db(&name, options, reader).await.map_err(thrown)?;
        Ok(Self::at(place))
    }

    fn open(&self, options: &str) -> Outcome<Session> {
        let mut settings = options::of_start(options)?;
        let place = self.place.borrow_mut().take();
        let Some(place) = place else { return Err(Failure::misuse("this place was started already")) };
        settings.usual_log_bytes = place.usual_log_bytes();
        let (backend, keeper) = place.split();
        match Engine::open(backend, settings) {
            Ok(engine) => Ok(Session::new(engine, keeper)),
            Err(failure) => {
                *self.refused.borrow_mut() = Some(keeper);
                Err(failure)
            }
        }
    }

    /// Resolves if the place in which `start` could not open a database is still this worker's: what looks damaged
    /// may be what a new owner has written meanwhile. Gives the place back.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`: `Fenced`, `Lost`.
    pub async fn owned(&self) -> Result<(), JsValue> {
        let refused = self.refused.take();
        match refused {
            Some(keeper) => keeper.owned().await.map_err(|error| thrown(error.into())),
            None => Ok(()),
        }
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
