//! The medium of the suite: a database of its own in IndexedDB for every store, read on demand or held in memory.

use std::sync::atomic::{AtomicU32, Ordering};

use datasync::backend::indexeddb::{Import, IndexedDb, Options, destroy};
use datasync::backend::{Backend, Source};
use datasync::block::SegmentId;
use datasync::error::Result;
use datasync::log::plan::{Area, Op};
use wasm_bindgen::JsValue;

use crate::medium::{Medium, read_all, write};
use crate::wait::{block, wait};

/// How many there are: each has a name of its own.
static MEDIA: AtomicU32 = AtomicU32::new(0);

/// A database in IndexedDB; with `RESIDENT` all of it is in memory.
pub struct InIndexedDb<const RESIDENT: bool> {
    pub name: String,
}

/// A store that writes out what is queued before it goes away, as a file would.
pub struct Flushing(pub IndexedDb);

/// The cache is as small as it may be, so that reads go to the browser.
pub fn options(resident: bool) -> Options {
    Options { resident, cache_bytes: 0, ..Options::default() }
}

pub fn open_as(name: &str, options: Options) -> Result<IndexedDb> {
    let name = name.to_owned();
    wait(async move { IndexedDb::open(&name, options).await })
}

/// Waits until everything applied is on the medium.
pub fn flush(store: &IndexedDb) -> Result<()> {
    wait(store.flush())
}

/// Puts these files where there is no store.
pub fn import(name: &str, files: Vec<(String, Vec<u8>)>) -> Result<()> {
    let name = name.to_owned();
    wait(async move {
        let mut import = Import::begin(&name).await?;
        for (file, bytes) in files {
            import.file(&file).await?;
            // In pieces that are no whole blocks, as a reader of a file hands them on.
            for piece in bytes.chunks(70_000) {
                import.write(piece).await?;
            }
        }
        import.finish().await
    })
}

pub fn remove(name: &str) -> Result<()> {
    let name = name.to_owned();
    wait(async move { destroy(&name).await })
}

/// Calls a function of JavaScript, given as its body, with a helper and these words, and waits for it.
pub fn script(body: &str, words: &[&str]) -> JsValue {
    let lines = format!(
        "const done = request => new Promise((resolve, reject) => {{
            request.onsuccess = () => resolve(request.result);
            request.onerror = () => reject(request.error);
        }});
        return (async (...words) => {{ {body} }})(...words)"
    );
    let call = js_sys::Function::new_with_args("...words", &lines);
    let words: js_sys::Array = words.iter().map(|word| JsValue::from(*word)).collect();
    let promise = call.apply(&JsValue::UNDEFINED, &words).unwrap();
    block(&js_sys::Promise::from(promise))
}

/// Every file of the store with its bytes.
pub fn files(store: &impl Source) -> Vec<(String, Vec<u8>)> {
    let fixed = [Area::Meta, Area::Base, Area::Sums].into_iter();
    let segments = store.segments().unwrap().into_iter().map(Area::Segment);
    fixed.chain(segments).filter_map(|area| Some((area.to_string(), read_all(store, area)?))).collect()
}

impl<const RESIDENT: bool> InIndexedDb<RESIDENT> {
    pub fn path(&self) -> String {
        format!("indexeddb:{}", self.name)
    }

    pub fn open_store(&self) -> IndexedDb {
        open_as(&self.name, options(RESIDENT)).unwrap()
    }
}

impl<const RESIDENT: bool> Medium for InIndexedDb<RESIDENT> {
    type Opened = Flushing;

    fn new() -> Self {
        let name = format!("suite-{}", MEDIA.fetch_add(1, Ordering::Relaxed));
        // What a run that was cut off has left.
        remove(&name).unwrap();
        Self { name }
    }

    fn open(&self) -> Flushing {
        Flushing(self.open_store())
    }

    fn place(&self) -> String {
        self.path()
    }

    fn delete(&self, area: Area) {
        let body = "const db = await done(indexedDB.open('datasync:' + words[0]));
            const store = words[1] === 'base.db' ? 'base' : words[1] === 'base.sum' ? 'sums'
                : words[1] === 'META' ? 'meta' : 'log';
            const transaction = db.transaction(['meta', store], 'readwrite');
            transaction.objectStore('meta').delete(words[1]);
            if (store === 'meta') transaction.objectStore('meta').delete(IDBKeyRange.bound(0, 1e9));
            else if (store === 'log') {
                const n = Number(words[1].slice(4));
                transaction.objectStore('log').delete(IDBKeyRange.bound([n], [n, []]));
            } else transaction.objectStore(store).clear();
            await new Promise(resolve => { transaction.oncomplete = resolve; });
            db.close();";
        script(body, &[&self.name, &area.to_string()]);
    }

    fn bytes(&self, area: Area) -> Option<Vec<u8>> {
        read_all(&self.open_store(), area)
    }

    fn overwrite(&self, area: Area, bytes: &[u8]) {
        self.delete(area);
        let store = self.open_store();
        store.apply(&Op::Create(area)).unwrap();
        let mut whole = bytes.to_vec();
        whole.resize(bytes.len().next_multiple_of(4096), 0);
        if !whole.is_empty() {
            store.apply(&write(area, 0, &whole)).unwrap();
        }
        if matches!(area, Area::Base | Area::Sums) {
            store.apply(&Op::Resize { area, bytes: bytes.len() as u64 }).unwrap();
        }
        flush(&store).unwrap();
    }
}

impl Drop for Flushing {
    fn drop(&mut self) {
        let store = self.0.clone();
        // A test that killed its own queue has nothing to write out.
        let _ = wait(async move { store.closed().await });
    }
}

impl Source for Flushing {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.0.read(area, offset, buf)
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        self.0.len(area)
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        self.0.segments()
    }
}

impl Backend for Flushing {
    fn apply(&self, op: &Op) -> Result<()> {
        self.0.apply(op)
    }

    fn release(&self) {
        self.0.release();
    }

    fn name(&self) -> String {
        self.0.name()
    }
}
