//! An open database, as JavaScript calls it.
//!
//! Must not decide anything: each method hands its arguments to the engine and throws what fails. The rule it
//! keeps: the engine is borrowed for one call at a time, also when that call is suspended.

use std::cell::{Cell, RefCell, RefMut};

use datasync::block::Lsn;
use datasync::volume::report::{Names, Object as Json, array, quoted};
use js_sys::{Array, JsString, Object, Reflect, Uint8Array};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::place::Keeper;
use super::thrown::{joined, thrown};
use crate::engine::{Engine, Prepared};
use crate::failure::{Failure, Outcome};
use crate::script::Script;

/// An open database with its one connection.
#[wasm_bindgen]
pub struct Session {
    engine: RefCell<Engine>,
    /// The text that statements were prepared from last: asked for the next one, it is not read again.
    script: RefCell<(JsValue, Script)>,
    keeper: Keeper,
    /// The last commit that has reached the place.
    flushed: Cell<Lsn>,
    /// Whether that is sure to stay: what was found may have reached no more than a cache.
    lasts: Cell<bool>,
}

impl Session {
    pub(super) fn new(engine: Engine, keeper: Keeper) -> Self {
        // What was found was there; what recovery adds to it is no commit.
        let flushed = Cell::new(engine.settled());
        let lasts = Cell::new(!keeper.lags());
        Self { engine: RefCell::new(engine), script: RefCell::default(), keeper, flushed, lasts }
    }

    /// Everything up to this commit has reached the place.
    fn reached(&self, lsn: Lsn) {
        self.flushed.set(self.flushed.get().max(lsn));
        self.lasts.set(self.keeper.is_strict());
    }

    fn engine(&self) -> Outcome<RefMut<'_, Engine>> {
        self.engine
            .try_borrow_mut()
            .map_err(|_| Failure::misuse("another call on this database is under way: wait for it"))
    }

    fn run<T>(&self, call: impl FnOnce(&mut Engine) -> Outcome<T>) -> Result<T, JsValue> {
        let mut engine = self.engine().map_err(thrown)?;
        let outcome = call(&mut engine);
        engine.note(outcome).map_err(thrown)
    }

    fn prepare_in(&self, sql: &JsString, from: usize) -> Result<JsValue, JsValue> {
        let mut script = self.script.borrow_mut();
        if !Object::is(&script.0, sql) {
            *script = (sql.into(), Script::new(String::from(sql)).map_err(thrown)?);
        }
        script.1.seek(from).map_err(thrown)?;
        let prepared = self.run(|engine| engine.prepare(&mut script.1))?;
        Ok(prepared.map_or(JsValue::UNDEFINED, |prepared| described(&prepared)))
    }

    fn step_on(&self, id: u32, rows: u32, bytes: u32) -> Result<Uint8Array, JsValue> {
        self.run(|engine| engine.step(id, rows as usize, bytes as usize).map(|parts| joined(&parts)))
    }

    fn read_store(&self, name: &str, offset: f64, length: u32) -> Result<Uint8Array, JsValue> {
        let mut bytes = vec![0; length as usize];
        self.run(|_| {
            let there = self.keeper.read(name, offset as u64, &mut bytes)?;
            Ok(Uint8Array::from(&bytes[..there]))
        })
    }

    fn export_part(&self, offset: f64, length: u32) -> Result<Uint8Array, JsValue> {
        self.run(|engine| {
            let bytes = engine.export_read(offset as u64, length as usize)?;
            Ok(Uint8Array::from(&bytes[..]))
        })
    }
}

fn described(prepared: &Prepared) -> JsValue {
    let object = Object::new();
    let columns: Array = prepared.columns.iter().map(JsValue::from).collect();
    let name = |name: &Option<String>| name.as_ref().map_or(JsValue::NULL, JsValue::from);
    let parameters: Array = prepared.parameters.iter().map(name).collect();
    let members: [(&str, JsValue); 5] = [
        ("id", prepared.id.into()),
        ("tail", (prepared.tail as f64).into()),
        ("columns", columns.into()),
        ("parameters", parameters.into()),
        ("readonly", prepared.readonly.into()),
    ];
    for (name, value) in members {
        // A new object takes properties.
        let _ = Reflect::set(&object, &name.into(), &value);
    }
    object.into()
}

/// Writes a method twice: as it is, and as one that may be suspended while it reads the medium.
macro_rules! twice {
    ($($(#[$doc:meta])* $name:ident $plain:literal $jspi_name:ident $suspending:literal
        ($($arg:ident: $type:ty),*) -> $out:ty = $body:expr;)*) => {
        #[wasm_bindgen]
        impl Session {
            $(
                $(#[$doc])*
                ///
                /// # Errors
                /// Thrown as an `Error` with a `kind`.
                #[wasm_bindgen(js_name = $plain)]
                pub fn $name(&self, $($arg: $type),*) -> Result<$out, JsValue> {
                    let call: fn(&Self, $($type),*) -> Result<$out, JsValue> = $body;
                    call(self, $($arg),*)
                }

                /// The same, where reading the medium suspends.
                ///
                /// # Errors
                /// Thrown as an `Error` with a `kind`.
                #[wasm_bindgen(jspi, js_name = $suspending)]
                pub fn $jspi_name(&self, $($arg: $type),*) -> Result<$out, JsValue> {
                    self.$name($($arg),*)
                }
            )*
        }
    };
}

twice! {
    /// The statement that begins at UTF-16 unit `from` of `sql`: `{id, tail, columns, parameters, readonly}`;
    /// undefined if there is none left.
    prepare "prepare" prepare_jspi "prepare_jspi" (sql: &JsString, from: u32) -> JsValue =
        |session, sql, from| session.prepare_in(sql, from as usize);

    /// Runs on for at most so many rows or bytes; a wire chunk, which says whether the statement is done.
    step "step" step_jspi "step_jspi" (id: u32, max_rows: u32, max_bytes: u32) -> Uint8Array =
        |session, id, rows, bytes| session.step_on(id, rows, bytes);

    /// For each row of a wire chunk: binds it and runs the statement to its end.
    run_many "runMany" run_many_jspi "runMany_jspi" (id: u32, params: Vec<u8>) -> () =
        |session, id, params| session.run(|engine| engine.run_many(id, params));

    /// Begins to record what changes in tables, whose names each end in a NUL, or in all; its number.
    record "record" record_jspi "record_jspi" (tables: &str) -> u32 =
        |session, tables| session.run(|engine| engine.record(tables));

    /// What was recorded so far: a changeset, or a patchset.
    recorded "recorded" recorded_jspi "recorded_jspi" (id: u32, patch: bool) -> Uint8Array =
        |session, id, patch| session.run(|engine| Ok(Uint8Array::from(&engine.recorded(id, patch)?[..])));

    /// Applies a changeset or a patchset, as a whole or not at all; how many of its changes did not fit.
    apply "apply" apply_jspi "apply_jspi" (changes: &[u8], on_conflict: &str) -> u32 =
        |session, changes, on_conflict| session.run(|engine| engine.apply(changes, on_conflict));

    /// Makes everything committed durable as far as a blocking call can; false: await `settle`.
    settle_now "settleNow" settle_now_jspi "settleNow_jspi" () -> bool = |session| {
        let settled = session.run(|engine| engine.settle().map(|()| engine.settled()))?;
        let flushed = session.keeper.is_flushed();
        if flushed {
            session.reached(settled);
        }
        Ok(flushed)
    };

    /// One bounded step of background work; true: there is more. `idle`: nobody has committed for a while.
    tend "tend" tend_jspi "tend_jspi" (idle: bool) -> bool =
        |session, idle| session.run(|engine| engine.tend(idle));

    /// Reads and checks every byte of the store; a report as JSON.
    verify "verify" verify_jspi "verify_jspi" () -> String = |session| session.run(Engine::verify);

    /// Begins an export of the newest commit as a plain database file; how many bytes it has.
    export_start "exportStart" export_start_jspi "exportStart_jspi" () -> f64 =
        |session| session.run(Engine::export_start).map(|bytes| bytes as f64);

    /// Reads of the export.
    export_read "exportRead" export_read_jspi "exportRead_jspi" (offset: f64, length: u32) -> Uint8Array =
        |session, offset, length| session.export_part(offset, length);

    /// Begins to replace everything by a database file of so many bytes.
    import_start "importStart" import_start_jspi "importStart_jspi" (bytes: f64) -> () =
        |session, bytes| session.run(|engine| engine.import_start(bytes as u64));

    /// The next bytes of that file. After an error the import is over, and the database is as it was.
    import_write "importWrite" import_write_jspi "importWrite_jspi" (bytes: &[u8]) -> () =
        |session, bytes| session.run(|engine| engine.import_write(bytes));

    /// Commits the import, with its proof if it is to be `witnessed`. Every statement is gone then, and the connection
    /// is a new one.
    import_end "importEnd" import_end_jspi "importEnd_jspi" (witnessed: bool) -> () =
        |session, witnessed| session.run(|engine| engine.import_end(witnessed));

    /// The store's own files: JSON of `[{name, bytes}]`.
    store_files "storeFiles" store_files_jspi "storeFiles_jspi" () -> String = |session| session.run(|_| {
        let files = session.keeper.files()?.into_iter();
        let file = |(name, bytes): (String, u64)| {
            Json::new(Names::Camel).with("name", quoted(&name)).with("bytes", bytes).end()
        };
        Ok(array(files.map(file)))
    });

    /// Raw bytes of one of them.
    store_read "storeRead" store_read_jspi "storeRead_jspi" (name: &str, offset: f64, length: u32) -> Uint8Array =
        |session, name, offset, length| session.read_store(name, offset, length);

    /// Rolls back what is open, folds the log and ends; await `closed` afterwards.
    close "close" close_jspi "close_jspi" () -> () = |session| session.run(Engine::close);
}

#[wasm_bindgen]
impl Session {
    /// Binds the one row of a wire chunk by position.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub fn bind(&self, id: u32, params: Vec<u8>) -> Result<(), JsValue> {
        self.run(|engine| engine.bind(id, params))
    }

    /// Gives up what the statement is in the middle of, and what is bound to it.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub fn reset(&self, id: u32) -> Result<(), JsValue> {
        self.run(|engine| {
            engine.reset(id);
            Ok(())
        })
    }

    /// Forgets the statement.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub fn finalize(&self, id: u32) -> Result<(), JsValue> {
        self.run(|engine| {
            engine.finalize(id);
            Ok(())
        })
    }

    /// Ends a recording.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub fn unrecord(&self, id: u32) -> Result<(), JsValue> {
        self.run(|engine| {
            engine.unrecord(id);
            Ok(())
        })
    }

    /// The changeset that takes back what `changes` does.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub fn invert(&self, changes: &[u8]) -> Result<Uint8Array, JsValue> {
        self.run(|engine| Ok(Uint8Array::from(&engine.invert(changes)?[..])))
    }

    /// Resolves when everything committed before the call is durable.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`: what survived is known after reopening.
    pub async fn settle(&self) -> Result<(), JsValue> {
        let settled = self.run(|engine| engine.settle().map(|()| engine.settled()))?;
        let flushed = self.keeper.flushed().await;
        self.run(|engine| flushed.map_err(|error| engine.in_doubt(error, self.flushed.get())))?;
        self.reached(settled);
        Ok(())
    }

    /// Whether `settle` is to be awaited before more is done: what is on its way to the place takes memory.
    #[wasm_bindgen(js_name = isBehind)]
    #[must_use]
    pub fn is_behind(&self) -> bool {
        self.keeper.is_behind()
    }

    /// Resolves if the database is still this worker's: asked when bytes look damaged that may be a new owner's.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`: `Fenced`, `Lost`.
    pub async fn owned(&self) -> Result<(), JsValue> {
        self.keeper.owned().await.map_err(|error| thrown(error.into()))
    }

    /// Whether calls may read now; always, unless a `reader` was given.
    #[wasm_bindgen(js_name = isQuiet)]
    #[must_use]
    pub fn is_quiet(&self) -> bool {
        self.keeper.is_quiet()
    }

    /// Resolves when calls may read.
    pub async fn quiet(&self) {
        self.keeper.quiet().await;
    }

    /// Whether a transaction is open.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    #[wasm_bindgen(js_name = inTransaction)]
    pub fn in_transaction(&self) -> Result<bool, JsValue> {
        self.run(|engine| Ok(engine.in_transaction()))
    }

    /// Whether a transaction may be begun that commits in one step: none is open, and nothing is attached.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    #[wasm_bindgen(js_name = mayJoin)]
    pub fn may_join(&self) -> Result<bool, JsValue> {
        self.run(|engine| Ok(engine.may_join()))
    }

    /// Whether a transaction is open that keeps all foreign keys, those too which are deferred to its end.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    #[wasm_bindgen(js_name = isWhole)]
    pub fn is_whole(&self) -> Result<bool, JsValue> {
        self.run(|engine| Ok(engine.is_whole()))
    }

    /// Makes ready what later calls will need; true: call it again.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`; nothing of the database is at stake.
    pub async fn refill(&self) -> Result<bool, JsValue> {
        self.keeper.refill().await.map_err(|error| thrown(error.into()))
    }

    /// Numbers about the store, as JSON.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub fn status(&self) -> Result<String, JsValue> {
        let flushed = match (self.lasts.get(), self.keeper.lags()) {
            (false, _) => Lsn(0),
            (true, true) => self.flushed.get(),
            (true, false) => Lsn(u64::MAX),
        };
        self.run(|engine| Ok(self.keeper.describe(engine.status(self.keeper.backend(), flushed)).end()))
    }

    /// What opening found, as JSON.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub fn recovery(&self) -> Result<String, JsValue> {
        self.run(|engine| Ok(engine.recovery()))
    }

    /// Rows that the last statement has changed.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub fn changes(&self) -> Result<f64, JsValue> {
        self.run(|engine| Ok(engine.changes() as f64))
    }

    /// Rows that were changed since opening.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    #[wasm_bindgen(js_name = totalChanges)]
    pub fn total_changes(&self) -> Result<f64, JsValue> {
        self.run(|engine| Ok(engine.total_changes() as f64))
    }

    /// The rowid that was inserted last.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    #[wasm_bindgen(js_name = lastInsertRowid)]
    pub fn last_insert_rowid(&self) -> Result<i64, JsValue> {
        self.run(|engine| Ok(engine.last_insert_rowid()))
    }

    /// Sets the rowid that counts as inserted last.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    #[wasm_bindgen(js_name = setLastInsertRowid)]
    pub fn set_last_insert_rowid(&self, rowid: i64) -> Result<(), JsValue> {
        self.run(|engine| {
            engine.set_last_insert_rowid(rowid);
            Ok(())
        })
    }

    /// Ends the export.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    #[wasm_bindgen(js_name = exportEnd)]
    pub fn export_end(&self) -> Result<(), JsValue> {
        self.run(|engine| {
            engine.export_end();
            Ok(())
        })
    }

    /// Gives the import up; the database is as it was.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    #[wasm_bindgen(js_name = importCancel)]
    pub fn import_cancel(&self) -> Result<(), JsValue> {
        self.run(|engine| {
            engine.import_cancel();
            Ok(())
        })
    }

    /// Resolves when everything queued is written and the place is given back; to be called after `close`.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub async fn closed(&self) -> Result<(), JsValue> {
        self.keeper.closed().await.map_err(|error| thrown(error.into()))
    }

    /// Gives the place back at once, without folding: the next open recovers. Works while a call is suspended.
    pub fn release(&self) {
        self.keeper.release();
    }
}
