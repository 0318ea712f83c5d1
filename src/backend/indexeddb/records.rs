//! Records of the queue as IndexedDB keeps them: object stores, keys, values, the fence.
//!
//! ```text
//! meta   "base.db", "log-0007", ...   length of the area in bytes, a number
//!        0, 4, 8, 12                  {packed}: pages of META, 16 KiB each
//! base   extent                       blocks 15 n .. 15 n + 14, bytes
//! sums   page                         {packed}: pages of base.sum, 16 KiB each
//! log    [segment, page]              {packed}, the first of a transaction {packed, n, owner}: up to 15 pages
//!        "link"                       {n, owner}: the last transaction, if it put nothing else here
//!        ["takeover", n]              {n, owner}: stays
//! ```
//! `packed` is bytes without their zeros ([`pack`]). Version 1 had the bytes as they are, as the value or, beside a
//! link, as `bytes`; such records are read, and stay until they are written again.
//!
//! The rule: `n`, the number of a transaction, has a unique index. A deposed owner's next transaction has the number
//! of the takeover, which the index refuses, and the whole transaction with it: a compare-and-set that takes no
//! turn of the event loop, and for most commits no record of its own.

use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};

use super::js::{Database, IDBKeyRange, Store, Transaction, object, property};
use crate::backend::opfs::area_of;
use crate::backend::queue::{Clear, Fence, Key, Queue, Slice, pack, unpack};
use crate::block::SegmentId;
use crate::log::plan::Area;

/// Every object store.
pub(super) const STORES: [&str; 4] = ["meta", "base", "sums", "log"];

/// The index of the links.
pub(super) const LINKS: &str = "links";

/// The version of this layout.
pub(super) const VERSION: u32 = 2;

/// Makes the object stores of a new database; one of an older version has them.
pub(super) fn create_stores(database: &Database, older: u32) -> Result<(), JsValue> {
    if older > 0 {
        return Ok(());
    }
    for name in STORES {
        let store = database.create_object_store(name)?;
        if name == "log" {
            store.create_index(LINKS, "n", &object("unique", &JsValue::TRUE))?;
        }
    }
    Ok(())
}

/// A transaction over `stores`.
pub(super) fn begin(
    database: &Database,
    stores: &[&str],
    mode: &str,
    strict: bool,
) -> Result<Transaction, JsValue> {
    let names: Array = stores.iter().map(|name| JsValue::from_str(name)).collect();
    let durability = if strict { "strict" } else { "relaxed" };
    database.begin(&names, mode, &object("durability", &durability.into()))
}

/// The object store of a record.
pub(super) fn store_of(key: Key) -> &'static str {
    match key {
        Key::Length(_) | Key::Run(Area::Meta, _) => "meta",
        Key::Run(Area::Sums, _) => "sums",
        Key::Run(Area::Segment(_), _) => "log",
        Key::Extent(_) | Key::Run(Area::Base, _) => "base",
    }
}

/// Its key there.
pub(super) fn key_of(key: Key) -> JsValue {
    match key {
        Key::Length(area) => area.to_string().into(),
        Key::Run(Area::Segment(id), page) => pair(id, &number(page)),
        Key::Run(_, page) | Key::Extent(page) => number(page),
    }
}

/// The object store that a clear concerns, and the range of keys.
pub(super) fn range_of(clear: Clear) -> Result<(&'static str, JsValue), JsValue> {
    Ok(match clear {
        // An array sorts behind every number.
        Clear::Segment(id) => ("log", IDBKeyRange::bound(&pair(id, &number(0)), &pair(id, &Array::new()))?),
        Clear::ExtentsFrom(extent) => ("base", IDBKeyRange::lower_bound(&number(extent), false)?),
    })
}

fn pair(id: SegmentId, second: &JsValue) -> JsValue {
    Array::of2(&number(id.0), second).into()
}

/// A number of ours; all that are written are below 2^53.
pub(super) fn number(number: u64) -> JsValue {
    JsValue::from_f64(number as f64)
}

/// A copy of bytes, as a value.
pub(super) fn value_of(bytes: &[u8]) -> JsValue {
    Uint8Array::from(bytes).into()
}

/// The bytes of a value; `None` if it is none of ours.
pub(super) fn bytes_of(value: &JsValue) -> Option<Vec<u8>> {
    value.dyn_ref::<Uint8Array>().map(Uint8Array::to_vec)
}

fn u64_of(value: &JsValue) -> Option<u64> {
    let number = value.as_f64().filter(|number| number.fract() == 0.0 && (0.0..9e15).contains(number))?;
    Some(number as u64)
}

/// Puts a link by itself. Refused, at the end, if there is one of that number.
pub(super) fn put_link(log: &Store, link: Fence) -> Result<(), JsValue> {
    log.put(&linked(link), &"link".into()).map(drop)
}

/// Puts the link of a takeover. It stays for good: a tab that slept through any number of them is refused.
pub(super) fn put_takeover(log: &Store, link: Fence) -> Result<(), JsValue> {
    let key: JsValue = Array::of2(&"takeover".into(), &number(link.number)).into();
    log.put(&linked(link), &key).map(drop)
}

/// A run of pages, which may carry its transaction's link.
pub(super) fn run_of(bytes: &[u8], link: Option<Fence>) -> JsValue {
    let record = link.map_or_else(Object::new, linked);
    // Setting a property of a plain object cannot fail.
    let _ = Reflect::set(&record, &"packed".into(), &value_of(&pack(bytes)));
    record.into()
}

/// The bytes of a run; `None` if it is none of ours.
fn bytes_of_run(value: &JsValue) -> Option<Vec<u8>> {
    if value.is_instance_of::<Uint8Array>() {
        return bytes_of(value);
    }
    match bytes_of(&property(value, "packed")) {
        Some(packed) => unpack(&packed),
        None => bytes_of(&property(value, "bytes")),
    }
}

fn linked(link: Fence) -> Object {
    let record = object("n", &number(link.number));
    let _ = Reflect::set(&record, &"owner".into(), &number(link.owner));
    record
}

/// The link that a record of the log carries.
pub(super) fn link_of(value: &JsValue) -> Option<Fence> {
    if value.is_instance_of::<Uint8Array>() {
        return None;
    }
    Some(Fence { owner: u64_of(&property(value, "owner"))?, number: u64_of(&property(value, "n"))? })
}

/// Gives the queue one record that was read; `false` for one that is none of ours.
pub(super) fn load(queue: &mut Queue, store: &str, key: &JsValue, value: &JsValue) -> bool {
    let run = |bytes: Vec<u8>| Slice::new(bytes.into());
    match store {
        "meta" if key.is_string() => {
            let area = key.as_string().and_then(|name| area_of(&name));
            let (Some(area), Some(bytes)) = (area, u64_of(value)) else { return false };
            queue.load_length(area, bytes);
        }
        "meta" | "sums" => {
            let area = if store == "meta" { Area::Meta } else { Area::Sums };
            let (Some(page), Some(bytes)) = (u64_of(key), bytes_of_run(value)) else { return false };
            queue.load_run(area, page, run(bytes));
        }
        "log" if key.is_string() || key.unchecked_ref::<Array>().get(0).is_string() => {
            return link_of(value).is_some();
        }
        "log" => {
            let pair: &Array = key.unchecked_ref();
            let (id, page) = (u64_of(&pair.get(0)), u64_of(&pair.get(1)));
            let (Some(id), Some(page), Some(bytes)) = (id, page, bytes_of_run(value)) else { return false };
            queue.load_run(Area::Segment(SegmentId(id)), page, run(bytes));
        }
        _ => {
            let (Some(extent), Some(bytes)) = (u64_of(key), bytes_of(value)) else { return false };
            queue.fetched(extent, Some(&bytes));
        }
    }
    true
}
