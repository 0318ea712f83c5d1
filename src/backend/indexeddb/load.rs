//! Connecting, taking a store over, and reading what is held in memory from the start.
//!
//! The rule it keeps: the owner is raised in the very transaction that reads, so nothing can be written by
//! somebody else between what is read and what is written next.

use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue, closure::Closure};

use super::js::{
    Database, Request, Store, Transaction, UNANSWERED, end_of, factory, patiently, promise_of, property,
    result_of,
};
use super::records::{LINKS, STORES, VERSION, begin, create_stores, link_of, load, number, put_takeover};
use super::trouble::trouble;
use super::{Options, witness};
use crate::backend::queue::{BATCH_BYTES, Fence, Memory, Queue, take_over};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::log::plan::Area;

/// Records read with one request.
const CHUNK: u32 = 256;

/// What to do if there is no database.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Absent {
    Create,
    Refuse,
}

/// The name that the browser knows the database by.
pub(super) fn database_name(directory: &str) -> String {
    format!("datasync:{directory}")
}

/// A connection; `None` if there is no database and none may be made.
pub(super) async fn connect(
    directory: &str,
    absent: Absent,
) -> std::result::Result<Option<Database>, JsValue> {
    let factory = factory().ok_or_else(|| JsValue::from_str("IndexedDB is not there"))?;
    let request = factory.open(&database_name(directory), VERSION)?;
    let upgraded: Request = request.clone();
    let upgrade = Closure::once(move |event: JsValue| {
        let older = property(&event, "oldVersion").as_f64().unwrap_or(0.0) as u32;
        let created = || create_stores(&upgraded.result().unchecked_into(), older);
        if (absent == Absent::Refuse && older == 0) || created().is_err() {
            // Aborting the upgrade takes the empty database away again; the request then fails.
            let _ = upgraded.transaction().abort();
        }
    });
    request.set_onupgradeneeded(Some(upgrade.as_ref().unchecked_ref()));
    match result_of(&request).await {
        Ok(database) => Ok(Some(database.unchecked_into())),
        Err(late) if late == UNANSWERED => {
            // Nobody waits for it any more; left open it would keep others from removing the database, and made new
            // it would be an empty one.
            let refused = request.clone();
            let refuse = Closure::once_into_js(move || refused.transaction().abort());
            request.set_onupgradeneeded(Some(refuse.unchecked_ref()));
            let opened = request.clone();
            let close = Closure::once_into_js(move || opened.result().unchecked_into::<Database>().close());
            request.set_onsuccess(Some(close.unchecked_ref()));
            Err(late)
        }
        Err(error) if absent == Absent::Refuse && property(&error, "name") == "AbortError" => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the browser lists the database, or does not say.
async fn is_listed(directory: &str) -> bool {
    let Some(promise) = factory().and_then(|factory| factory.databases().ok()) else { return true };
    let Ok(found) = patiently(&promise).await else { return true };
    let name = JsValue::from(database_name(directory));
    Array::from(&found).iter().any(|info| property(&info, "name") == name)
}

/// Takes the store over and reads what the queue holds from the start.
///
/// # Errors
/// `Lost`, `TooLarge`, `NotFound`, `NotAStore`, `Io`; `Busy` if the browser does not answer.
pub(super) async fn open(place: &str, directory: &str, options: Options) -> Result<(Database, Queue)> {
    let refused = |thrown: JsValue| trouble(place, "open it", &thrown);
    let absent = if options.create { Absent::Create } else { Absent::Refuse };
    // WebKit keeps an empty database whose making was refused: it is better not begun.
    let found = match options.create || is_listed(directory).await {
        true => connect(directory, absent).await.map_err(refused)?,
        false => None,
    };
    let Some(database) = found else {
        return fail(ErrorKind::NotFound, format!("{place}: there is no database of that name"));
    };
    match own(place, directory, &database, options).await {
        Ok(queue) => Ok((database, queue)),
        Err(error) => {
            database.close();
            Err(error)
        }
    }
}

/// Takes the store over by this connection.
async fn own(place: &str, directory: &str, database: &Database, options: Options) -> Result<Queue> {
    let refused = |thrown: JsValue| trouble(place, "open it", &thrown);
    let mut witnessed = None;
    loop {
        let transaction = begin(database, &STORES, "readwrite", false).map_err(refused)?;
        match take(place, &transaction, options, witnessed).await {
            Ok(Some(queue)) => {
                transaction.commit().map_err(refused)?;
                end_of(&transaction).await.map_err(refused)?;
                return Ok(queue);
            }
            Ok(None) => {
                // Nobody has ever owned it: new, or made again by the browser after it was lost.
                let _ = transaction.abort();
                witnessed = Some(witness::is_there(directory).await);
            }
            Err(error) => {
                let _ = transaction.abort();
                return Err(error);
            }
        }
    }
}

/// `None`: ask the witness first.
async fn take(
    place: &str,
    transaction: &Transaction,
    options: Options,
    witnessed: Option<bool>,
) -> Result<Option<Queue>> {
    let refused = |thrown: JsValue| trouble(place, "read it", &thrown);
    let meta = transaction.object_store("meta").map_err(refused)?;
    let records = Records::of(&meta, &JsValue::UNDEFINED, 0).await.map_err(refused)?;
    let log = transaction.object_store("log").map_err(refused)?;
    let found = newest_link_in(&log).await.map_err(refused)?;
    if found.is_none() && witnessed.is_none() {
        return Ok(None);
    }
    let draw = (js_sys::Math::random() * 9e15) as u64;
    let fence = take_over(place, found, witnessed == Some(true), draw)?;
    let memory = Memory {
        resident: options.resident,
        bytes: if options.resident { options.resident_limit_bytes } else { options.cache_bytes },
        batch_bytes: BATCH_BYTES,
    };
    let mut queue = Queue::new(place, fence, memory);
    // Lengths first: they say which areas there are.
    for lengths in [true, false] {
        records.give(&mut queue, "meta", |key| key.is_string() == lengths).map_err(|_| strange(place))?;
    }
    check_size(place, queue.len(Area::Base).unwrap_or(0), options)?;
    for name in ["sums", "log"] {
        let store = transaction.object_store(name).map_err(refused)?;
        read_all(place, &store, name, &mut queue).await?;
    }
    // ORDER: after everything was read, in the same transaction; the deposed owner cannot come in between.
    put_takeover(&log, fence).map_err(refused)?;
    let base = transaction.object_store("base").map_err(refused)?;
    if options.resident {
        read_all(place, &base, "base", &mut queue).await?;
    } else {
        // The first extent: every opening reads the database's first page and its schema.
        let request = base.get(&number(0)).map_err(refused)?;
        let value = result_of(&request).await.map_err(refused)?;
        if !value.is_undefined() && !load(&mut queue, "base", &number(0), &value) {
            return Err(strange(place));
        }
    }
    Ok(Some(queue))
}

fn check_size(place: &str, bytes: u64, options: Options) -> Result<()> {
    if options.resident && bytes > options.resident_limit_bytes {
        let message = format!(
            "{place}: the database has {bytes} bytes and would have to be held in memory, where {} are allowed; \
             raise `residentLimitBytes`, or use a browser with WebAssembly promise integration (JSPI)",
            options.resident_limit_bytes
        );
        return fail(ErrorKind::TooLarge, message);
    }
    Ok(())
}

fn strange(place: &str) -> Error {
    Error::new(
        ErrorKind::NotAStore,
        format!("{place}: there are records in it that this program did not write; choose another name"),
    )
}

async fn read_all(place: &str, store: &Store, name: &str, queue: &mut Queue) -> Result<()> {
    let refused = |thrown: JsValue| trouble(place, "read it", &thrown);
    let mut range = JsValue::UNDEFINED;
    loop {
        let records = Records::of(store, &range, CHUNK).await.map_err(refused)?;
        records.give(queue, name, |_| true).map_err(|_| strange(place))?;
        if records.keys.length() < CHUNK {
            return Ok(());
        }
        let last = records.keys.get(records.keys.length() - 1);
        range = super::js::IDBKeyRange::lower_bound(&last, true).map_err(refused)?;
    }
}

/// Keys and values of a range, in the same order.
struct Records {
    keys: Array,
    values: Array,
}

impl Records {
    /// At most `count` records of the range; 0 for all.
    async fn of(store: &Store, range: &JsValue, count: u32) -> std::result::Result<Self, JsValue> {
        let keys = store.get_all_keys(range, count)?;
        let values = store.get_all(range, count)?;
        let both = js_sys::Promise::all(&Array::of2(&promise_of(&keys), &promise_of(&values)));
        match patiently(&both).await {
            Ok(_) => {
                Ok(Self { keys: keys.result().unchecked_into(), values: values.result().unchecked_into() })
            }
            Err(late) if late == UNANSWERED => Err(late),
            Err(_) if keys.error().is_null() => Err(values.error()),
            Err(_) => Err(keys.error()),
        }
    }

    /// Gives the records to the queue; fails at one that is none of ours.
    fn give(
        &self,
        queue: &mut Queue,
        store: &str,
        wanted: impl Fn(&JsValue) -> bool,
    ) -> std::result::Result<(), ()> {
        for (key, value) in self.keys.iter().zip(self.values.iter()) {
            if wanted(&key) && !load(queue, store, &key, &value) {
                return Err(());
            }
        }
        Ok(())
    }
}

/// The newest link that a connection shows.
pub(super) async fn newest_link(database: &Database) -> std::result::Result<Option<Fence>, JsValue> {
    newest_link_in(&begin(database, &["log"], "readonly", false)?.object_store("log")?).await
}

async fn newest_link_in(log: &Store) -> std::result::Result<Option<Fence>, JsValue> {
    let request = log.index(LINKS)?.open_cursor(&JsValue::NULL, "prev")?;
    let cursor = result_of(&request).await?;
    Ok(if cursor.is_null() { None } else { link_of(&property(&cursor, "value")) })
}
