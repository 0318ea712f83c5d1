//! What only IndexedDB has: transactions that fail, connections that die, tabs that take over, databases that
//! vanish. The browser is made to fail by functions put in the place of its own.

use datasync::backend::indexeddb::{Import, IndexedDb, Options, list};
use datasync::backend::{Backend, Source};
use datasync::block::{BlockNo, Durability};
use datasync::error::{Error, ErrorKind};
use datasync::log::plan::{Area, Op};
use datasync::volume::{OpenKind, Volume};

use crate::indexeddb::{InIndexedDb, files, flush, import, open_as, options, remove, script};
use crate::medium::{Medium, blocks, has, segment, write};
use crate::volume::{Expected, check, commit, content, fill, options as volume_options};
use crate::wait::wait;

type OnDemand = InIndexedDb<false>;

fn says(error: &Error, kind: ErrorKind, words: &[&str]) {
    assert_eq!(error.kind(), kind, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "does not say \"{word}\": {error}");
    }
}

fn opened(store: &IndexedDb) -> Volume {
    Volume::open(store.clone(), volume_options()).unwrap()
}

/// A store with some commits, flushed and left without closing.
fn crashed(medium: &OnDemand) -> Expected {
    let mut expected = Expected::new();
    let store = medium.open_store();
    fill(&opened(&store), &mut expected);
    flush(&store).unwrap();
    expected
}

fn check_all(medium: &OnDemand, expected: &Expected) {
    check(&opened(&medium.open_store()).snapshot().unwrap(), expected);
}

/// Puts a function in the place of one of the browser's. It is called with the old one and the `count`th time on;
/// what it returns is run in place of the call.
fn hijack(of: &str, name: &str, from: u32, upto: u32, body: &str) {
    let lines = format!(
        "const whose = globalThis[words[0]].prototype, old = whose[words[1]]; let calls = 0;
        whose[words[1]] = function (...given) {{
            calls += 1;
            if (calls >= {from} && calls <= {upto}) {{ {body} }}
            return old.apply(this, given);
        }};"
    );
    script(&lines, &[of, name]);
}

pub fn second_open_takes_over_and_the_first_is_fenced() {
    let medium = OnDemand::new();
    let mut expected = crashed(&medium);
    let first = medium.open_store();
    let zombie = opened(&first);
    flush(&first).unwrap();
    let second = medium.open_store();
    let volume = opened(&second);
    commit(&volume, &mut expected, &[3], 50);
    flush(&second).unwrap();
    let mut writer = zombie.begin().unwrap();
    writer.write(BlockNo(3), &content(3, 99)).unwrap();
    let written = writer.commit(Durability::Durable);
    says(&flush(&first).unwrap_err(), ErrorKind::Fenced, &[&medium.path(), "another tab"]);
    assert!(written.is_ok(), "the store learns of it when it is flushed");
    says(&first.apply(&Op::Create(segment(99))).unwrap_err(), ErrorKind::Fenced, &["open it again"]);
    says(&first.read(Area::Base, 0, &mut [0; 8]).unwrap_err(), ErrorKind::Fenced, &[]);
    check(&volume.snapshot().unwrap(), &expected);
    drop((volume, second));
    check_all(&medium, &expected);
}

pub fn unflushed_commits_of_a_dropped_store_are_lost_as_a_whole() {
    let medium = OnDemand::new();
    let expected = crashed(&medium);
    let store = medium.open_store();
    let volume = opened(&store);
    flush(&store).unwrap();
    commit(&volume, &mut Expected::new(), &[7], 70);
    drop((volume, store));
    check_all(&medium, &expected);
}

pub fn no_quota_is_full_and_nothing_of_it_is_there() {
    let medium = OnDemand::new();
    let expected = crashed(&medium);
    let store = medium.open_store();
    let volume = opened(&store);
    flush(&store).unwrap();
    commit(&volume, &mut Expected::new(), &[1, 2], 70);
    hijack("IDBObjectStore", "put", 2, 9, "throw new DOMException('no room', 'QuotaExceededError');");
    says(&flush(&store).unwrap_err(), ErrorKind::Full, &["no room", &medium.path()]);
    says(&store.apply(&Op::BarrierDirectory).unwrap_err(), ErrorKind::Poisoned, &["open it again"]);
    assert!(volume.rotate().is_err(), "a dead queue took a segment");
    drop((volume, store));
    script("for (let i = 0; i < 20; i += 1) try { IDBObjectStore.prototype.put(); } catch {}", &[]);
    check_all(&medium, &expected);
}

pub fn one_failed_request_takes_its_whole_transaction_along() {
    let medium = OnDemand::new();
    let expected = crashed(&medium);
    let store = medium.open_store();
    let volume = opened(&store);
    flush(&store).unwrap();
    commit(&volume, &mut Expected::new(), &(0..40).collect::<Vec<_>>(), 70);
    // Behind the first of several records one more request, for a key that is taken.
    hijack(
        "IDBObjectStore",
        "put",
        1,
        1,
        "const put = old.apply(this, given); this.add(...given); return put;",
    );
    says(&flush(&store).unwrap_err(), ErrorKind::Fenced, &[&medium.path()]);
    drop((volume, store));
    check_all(&medium, &expected);
}

pub fn aborted_transaction_is_tried_once_more() {
    let medium = OnDemand::new();
    let mut expected = crashed(&medium);
    let store = medium.open_store();
    let volume = opened(&store);
    flush(&store).unwrap();
    commit(&volume, &mut expected, &[1, 2], 70);
    let body = "const put = old.apply(this, given), one = this.transaction;
        one.commit = () => {};
        queueMicrotask(() => one.abort());
        return put;";
    hijack("IDBObjectStore", "put", 1, 1, body);
    flush(&store).unwrap();
    assert_eq!(store.traffic().reconnects, 1);
    drop((volume, store));
    check_all(&medium, &expected);
}

pub fn dead_connection_is_replaced_and_what_was_queued_is_given_again() {
    let medium = OnDemand::new();
    let mut expected = crashed(&medium);
    let store = medium.open_store();
    let volume = opened(&store);
    flush(&store).unwrap();
    hijack("IDBDatabase", "transaction", 1, 1, "throw new DOMException('closing', 'InvalidStateError');");
    commit(&volume, &mut expected, &[1, 2], 70);
    flush(&store).unwrap();
    assert_eq!(store.traffic().reconnects, 1);
    commit(&volume, &mut expected, &[3], 71);
    flush(&store).unwrap();
    drop((volume, store));
    check_all(&medium, &expected);
}

pub fn connection_that_stays_dead_ends_every_promise() {
    let medium = OnDemand::new();
    let expected = crashed(&medium);
    let store = medium.open_store();
    let volume = opened(&store);
    flush(&store).unwrap();
    hijack("IDBDatabase", "transaction", 1, 9, "throw new DOMException('closing', 'InvalidStateError');");
    commit(&volume, &mut Expected::new(), &[1, 2], 70);
    let (first, second) = (store.flush(), store.flush());
    says(&wait(first).unwrap_err(), ErrorKind::Io, &["connection"]);
    says(&wait(second).unwrap_err(), ErrorKind::Io, &["connection"]);
    drop((volume, store));
    script("for (let i = 0; i < 20; i += 1) try { IDBDatabase.prototype.transaction(); } catch {}", &[]);
    check_all(&medium, &expected);
}

pub fn read_on_a_dead_connection_connects_anew() {
    let medium = OnDemand::new();
    let store = medium.open_store();
    store.apply(&Op::Create(Area::Base)).unwrap();
    store.apply(&write(Area::Base, 0, &blocks(5, 200))).unwrap();
    flush(&store).unwrap();
    hijack("IDBDatabase", "transaction", 1, 1, "throw new DOMException('closing', 'InvalidStateError');");
    has(&store, Area::Base, &blocks(5, 200));
    assert_eq!(store.traffic().reconnects, 1);
}

pub fn read_that_is_never_answered_connects_anew_and_then_says_so() {
    // Patience in hundredths.
    script("const old = setTimeout; globalThis.setTimeout = (call, ms) => old(call, ms / 100);", &[]);
    let medium = OnDemand::new();
    let store = medium.open_store();
    store.apply(&Op::Create(Area::Base)).unwrap();
    store.apply(&write(Area::Base, 0, &blocks(5, 200))).unwrap();
    flush(&store).unwrap();
    // A request of which nothing is heard.
    hijack("IDBObjectStore", "get", 1, 1, "return {};");
    has(&store, Area::Base, &blocks(5, 200));
    assert_eq!(store.traffic().reconnects, 1);
    hijack("IDBObjectStore", "get", 1, 9, "return {};");
    let error = store.read(Area::Base, 0, &mut [0; 8]).unwrap_err();
    says(&error, ErrorKind::Io, &[&medium.path(), "not answered", "reload the page"]);
}

pub fn opening_that_is_never_answered_says_so_and_holds_nothing() {
    // Patience in hundredths.
    script(
        "const old = setTimeout; globalThis.setTimeout = (call, ms, ...words) => old(call, ms / 100, ...words);",
        &[],
    );
    let medium = OnDemand::new();
    let expected = crashed(&medium);
    let late = "const real = old.apply(this, given), seen = {};
        real.onsuccess = () => setTimeout(() => { seen.result = real.result; seen.onsuccess(); }, 60_000);
        return seen;";
    for body in ["return {};", late] {
        hijack("IDBFactory", "open", 1, 1, body);
        let error = open_as(&medium.name, options(false)).err().expect("nobody answered");
        says(&error, ErrorKind::Busy, &[&medium.path(), "not answered", "other tabs", "open it again"]);
        check_all(&medium, &expected);
    }
    script("await new Promise(resolve => setTimeout(resolve, 60_000));", &[]);
    // One that is held could not be removed.
    remove(&medium.name).unwrap();
}

pub fn what_a_deposed_owner_reads_is_fenced_once_it_has_looked() {
    let medium = OnDemand::new();
    let mut expected = Expected::new();
    let first = medium.open_store();
    let zombie = opened(&first);
    let all: Vec<u64> = (0..60).collect();
    commit(&zombie, &mut expected, &all, 40);
    zombie.compact().unwrap();
    flush(&first).unwrap();
    wait(owned(&first)).unwrap();
    let view = zombie.snapshot().unwrap();
    let second = medium.open_store();
    let volume = opened(&second);
    commit(&volume, &mut expected, &all, 50);
    volume.compact().unwrap();
    flush(&second).unwrap();
    let read = |block| view.read(BlockNo(block), &mut [0; 4096]).unwrap_err();
    assert_eq!(read(50).kind(), ErrorKind::Corrupt, "the new owner's bytes are not taken for ours");
    says(
        &wait(owned(&first)).unwrap_err(),
        ErrorKind::Fenced,
        &[&medium.path(), "another tab", "open it again"],
    );
    assert_eq!(read(51).kind(), ErrorKind::Fenced);
    wait(owned(&second)).unwrap();
    check(&volume.snapshot().unwrap(), &expected);
}

fn owned(store: &IndexedDb) -> impl Future<Output = Result<(), Error>> + use<> {
    let store = store.clone();
    async move { store.owned().await }
}

pub fn vanished_database_is_lost_until_it_is_destroyed() {
    let medium = OnDemand::new();
    crashed(&medium);
    // The sign is left after the first strict transaction, in its own time.
    script("await new Promise(resolve => setTimeout(resolve, 300));", &[]);
    script("await done(indexedDB.deleteDatabase('datasync:' + words[0]));", &[&medium.name]);
    for _ in 0..2 {
        let error = open_as(&medium.name, options(false)).err().expect("opened as new");
        says(&error, ErrorKind::Lost, &[&medium.path(), "delete the name"]);
    }
    remove(&medium.name).unwrap();
    let volume = opened(&medium.open_store());
    assert_eq!(volume.recovery().kind, OpenKind::Created);
}

pub fn database_deleted_by_another_tab_keeps_what_was_queued_and_is_fenced() {
    let medium = OnDemand::new();
    let store = medium.open_store();
    let volume = opened(&store);
    commit(&volume, &mut Expected::new(), &[1, 2], 70);
    let flushed = store.flush();
    remove(&medium.name).unwrap();
    wait(flushed).unwrap();
    says(&store.apply(&Op::BarrierDirectory).unwrap_err(), ErrorKind::Fenced, &["deletes"]);
}

pub fn database_too_large_for_memory_is_refused_with_the_limit() {
    let medium = OnDemand::new();
    let store = medium.open_store();
    store.apply(&Op::Create(Area::Base)).unwrap();
    store.apply(&write(Area::Base, 0, &blocks(5, 20))).unwrap();
    flush(&store).unwrap();
    let small = Options { resident: true, resident_limit_bytes: 60_000, ..Options::default() };
    let error = open_as(&medium.name, small).err().expect("it does not fit");
    says(&error, ErrorKind::TooLarge, &["60000", "81920", "residentLimitBytes"]);
    let large = Options { resident: true, resident_limit_bytes: 81_920, ..Options::default() };
    let store = open_as(&medium.name, large).unwrap();
    has(&store, Area::Base, &blocks(5, 20));
    says(&store.apply(&write(Area::Base, 81_920, &blocks(6, 1))).unwrap_err(), ErrorKind::Full, &["81920"]);
}

pub fn impossible_names_are_misuse_and_absent_ones_are_not_found() {
    for name in ["", ".", "..", "a/b"] {
        let error = open_as(name, options(false)).err().expect("no such name");
        says(&error, ErrorKind::Misuse, &["choose another"]);
    }
    let medium = OnDemand::new();
    let existing = Options { create: false, ..options(false) };
    let error = open_as(&medium.name, existing).err().expect("there is none");
    says(&error, ErrorKind::NotFound, &[&medium.path()]);
    assert!(!wait(list()).unwrap().contains(&medium.name), "looking made it");
}

pub fn databases_are_listed_and_destroyed() {
    let names = ["my notes", "\u{e9}t\u{e9} 100%", "a:b?c#d"];
    for name in names {
        remove(name).unwrap();
        flush(&open_as(name, options(false)).unwrap()).unwrap();
    }
    let listed = wait(list()).unwrap();
    assert!(listed.is_sorted());
    assert!(names.iter().all(|name| listed.contains(&(*name).to_owned())), "{listed:?}");
    names.iter().for_each(|name| remove(name).unwrap());
    let listed = wait(list()).unwrap();
    assert!(!names.iter().any(|name| listed.contains(&(*name).to_owned())), "{listed:?}");
}

pub fn store_is_exported_and_imported_byte_for_byte() {
    let (from, to) = (OnDemand::new(), OnDemand::new());
    let expected = crashed(&from);
    let before = files(&from.open_store());
    assert!(before.iter().any(|(name, _)| name == "META") && before.len() > 4, "{}", before.len());
    import(&to.name, before.clone()).unwrap();
    assert!(files(&to.open_store()) == before, "an import changed a byte");
    check_all(&to, &expected);
    says(&import(&to.name, before).unwrap_err(), ErrorKind::Misuse, &["remove it first"]);
}

pub fn import_without_meta_is_refused_and_leaves_nothing() {
    let medium = OnDemand::new();
    let error = import(&medium.name, vec![("base.db".into(), blocks(1, 2))]).unwrap_err();
    says(&error, ErrorKind::NotAStore, &["META"]);
    assert!(!wait(list()).unwrap().contains(&medium.name));
}

pub fn import_that_was_deposed_removes_nothing() {
    let medium = OnDemand::new();
    let name = medium.name.clone();
    let mut import = wait(async move { Import::begin(&name).await }).unwrap();
    let mut expected = Expected::new();
    let store = medium.open_store();
    let volume = opened(&store);
    commit(&volume, &mut expected, &[1, 2], 70);
    flush(&store).unwrap();
    let error = wait(async move {
        import.file("base.db").await.unwrap();
        import.cancel().await.unwrap_err()
    });
    says(&error, ErrorKind::Fenced, &[&medium.path(), "another tab"]);
    drop((volume, store));
    check_all(&medium, &expected);
}

pub fn no_value_has_64_kib() {
    let medium = OnDemand::new();
    let store = medium.open_store();
    let volume = opened(&store);
    let mut writer = volume.begin().unwrap();
    for block in 0..300 {
        writer.write(BlockNo(block), &content(block, 1)).unwrap();
    }
    writer.commit(Durability::Durable).unwrap();
    flush(&store).unwrap();
    let largest = || {
        let body = "const db = await done(indexedDB.open('datasync:' + words[0])); let largest = 0;
            for (const name of db.objectStoreNames)
                for (const value of await done(db.transaction(name).objectStore(name).getAll()))
                    largest = Math.max(largest, (value.packed ?? value).byteLength ?? 0);
            db.close(); return largest;";
        script(body, &[&medium.name]).as_f64().unwrap()
    };
    assert!((30_000.0..65_536.0).contains(&largest()), "{}", largest());
    volume.compact().unwrap();
    flush(&store).unwrap();
    assert!((61_440.0..65_536.0).contains(&largest()), "{}", largest());
}

/// Makes a database as version 1 of the layout had it: runs of pages as they are.
fn unpacked(medium: &OnDemand) {
    let body = "const name = 'datasync:' + words[0], stores = ['meta', 'base', 'sums', 'log'];
        const newer = await done(indexedDB.open(name)), transaction = newer.transaction(stores);
        const all = await Promise.all(stores.map(async store => {
            const records = transaction.objectStore(store);
            return Promise.all([done(records.getAllKeys()), done(records.getAll())]);
        }));
        newer.close();
        await done(indexedDB.deleteDatabase(name));
        const unpack = ({ packed, ...link }) => {
            const bytes = [], spans = new DataView(packed.buffer, packed.byteOffset, packed.byteLength);
            for (let at = 0; at < packed.length;) {
                const zeros = 16 * spans.getUint16(at, true), end = at + 4 + 16 * spans.getUint16(at + 2, true);
                bytes.push(...new Array(zeros).fill(0), ...packed.subarray(at + 4, end));
                at = end;
            }
            return 'n' in link ? { ...link, bytes: Uint8Array.from(bytes) } : Uint8Array.from(bytes);
        };
        const opening = indexedDB.open(name, 1);
        let packed = 0;
        opening.onupgradeneeded = () => stores.forEach((store, nth) => {
            const records = opening.result.createObjectStore(store);
            if (store === 'log') records.createIndex('links', 'n', { unique: true });
            all[nth][0].forEach((key, at) => {
                const value = all[nth][1][at];
                packed += value.packed ? 1 : 0;
                records.put(value.packed ? unpack(value) : value, key);
            });
        });
        (await done(opening)).close();
        return packed;";
    assert!(script(body, &[&medium.name]).as_f64().unwrap() > 3.0);
}

pub fn database_of_the_first_layout_is_read_and_goes_on() {
    let medium = OnDemand::new();
    let mut expected = crashed(&medium);
    unpacked(&medium);
    let store = medium.open_store();
    let volume = opened(&store);
    check(&volume.snapshot().unwrap(), &expected);
    commit(&volume, &mut expected, &[1, 3], 90);
    flush(&store).unwrap();
    drop((volume, store));
    check_all(&medium, &expected);
}
