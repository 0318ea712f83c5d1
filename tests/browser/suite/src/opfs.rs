//! The medium of the suite: a directory of its own in OPFS for every store.

use std::sync::atomic::{AtomicU32, Ordering};

use datasync::backend::OpenMode;
use datasync::backend::opfs::{Import, Keeper, Opfs, destroy};
use datasync::backend::{Backend, Source};
use datasync::block::SegmentId;
use datasync::error::{ErrorKind, Result};
use datasync::log::plan::{Area, Op};
use wasm_bindgen::JsValue;

use crate::medium::{Medium, read_all};
use crate::wait::{block, wait};

/// How many there are: each has a name of its own.
static MEDIA: AtomicU32 = AtomicU32::new(0);

pub struct InOpfs {
    pub name: String,
}

/// An open store that has a file ready whenever one is wanted: the suite makes segments of any number, and
/// nobody refills it between its calls.
pub struct Ahead {
    store: Opfs,
    keeper: Keeper,
}

impl InOpfs {
    pub fn path(&self) -> String {
        format!("opfs:datasync/{}", self.name)
    }

    pub fn open_as(&self, mode: OpenMode) -> Result<(Opfs, Keeper)> {
        let name = self.name.clone();
        wait(async move { Opfs::open(&name, mode).await })
    }
}

/// Runs the keeper until it has nothing left to do.
pub fn refill(keeper: &Keeper) -> Result<()> {
    let keeper = keeper.clone();
    wait(async move {
        while keeper.refill().await? {}
        Ok(())
    })
}

/// Puts these files where there is no store.
pub fn import(name: &str, files: Vec<(String, Vec<u8>)>) -> Result<()> {
    let name = name.to_owned();
    wait(async move {
        let mut import = Import::begin(&name).await?;
        for (file, bytes) in files {
            import.file(&file).await?;
            import.write(&bytes)?;
        }
        import.finish().await
    })
}

/// Deletes a database that is there.
pub fn delete(name: &str) -> Result<()> {
    let name = name.to_owned();
    wait(async move { destroy(&name).await })
}

/// Calls a function of JavaScript, given as its body, with the root directory and these words, and waits for it.
pub fn script(body: &str, words: &[&str]) -> JsValue {
    let lines = format!(
        "return navigator.storage.getDirectory().then(root => (async (root, ...words) => {{ {body} }})(root, ...words))"
    );
    let call = js_sys::Function::new_with_args("...words", &lines);
    let words: js_sys::Array = words.iter().map(|word| JsValue::from(*word)).collect();
    let promise = call.apply(&JsValue::UNDEFINED, &words).unwrap();
    block(&js_sys::Promise::from(promise))
}

/// Removes one file of a database behind everybody's back.
pub fn remove_file(name: &str, file: &str) {
    let body = "const home = await root.getDirectoryHandle('datasync');
        const directory = await home.getDirectoryHandle(words[0]);
        await directory.removeEntry(words[1]);";
    script(body, &[name, file]);
}

/// What the directory of a database lists.
pub fn listed(name: &str) -> Vec<String> {
    let body = "const home = await root.getDirectoryHandle('datasync');
        const directory = await home.getDirectoryHandle(words[0]);
        const names = []; for await (const name of directory.keys()) names.push(name); return names.sort();";
    js_sys::Array::from(&script(body, &[name])).iter().filter_map(|name| name.as_string()).collect()
}

impl Medium for InOpfs {
    type Opened = Ahead;

    fn new() -> Self {
        let name = format!("suite-{}", MEDIA.fetch_add(1, Ordering::Relaxed));
        let old = name.clone();
        // What a run that was cut off has left.
        let removed = wait(async move { destroy(&old).await });
        assert!(removed.is_ok() || removed.is_err_and(|error| error.kind() == ErrorKind::NotFound));
        Self { name }
    }

    fn open(&self) -> Ahead {
        let (store, keeper) = self.open_as(OpenMode::Create).unwrap();
        Ahead { store, keeper }
    }

    fn place(&self) -> String {
        self.path()
    }

    fn delete(&self, area: Area) {
        remove_file(&self.name, &area.to_string());
    }

    fn bytes(&self, area: Area) -> Option<Vec<u8>> {
        let store = self.open();
        // An empty file is as good as none in OPFS; natively it is an empty one.
        read_all(&store, area).or_else(|| store.len(Area::Meta).unwrap().map(|_| Vec::new()))
    }

    fn overwrite(&self, area: Area, bytes: &[u8]) {
        let mut files = self.files();
        files.retain(|(name, _)| *name != area.to_string());
        files.push((area.to_string(), bytes.to_vec()));
        delete(&self.name).unwrap();
        import(&self.name, files).unwrap();
    }
}

impl InOpfs {
    /// Every file of the store with its bytes.
    pub fn files(&self) -> Vec<(String, Vec<u8>)> {
        let (_store, keeper) = self.open_as(OpenMode::Create).unwrap();
        let read = |(name, len): (String, u64)| {
            let mut bytes = vec![0xEE; usize::try_from(len).unwrap()];
            assert_eq!(keeper.read(&name, 0, &mut bytes).unwrap(), bytes.len());
            (name, bytes)
        };
        keeper.files().unwrap().into_iter().map(read).collect()
    }
}

impl Ahead {
    fn make_ready(&self, segment: SegmentId) -> Result<()> {
        let keeper = self.keeper.clone();
        wait(async move { keeper.open_ahead(segment).await })
    }
}

impl Source for Ahead {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.store.read(area, offset, buf)
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        self.store.len(area)
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        self.store.segments()
    }
}

impl Backend for Ahead {
    fn apply(&self, op: &Op) -> Result<()> {
        if let Op::Create(Area::Segment(segment)) = op {
            self.make_ready(*segment)?;
        }
        self.store.apply(op)
    }

    fn release(&self) {
        self.store.release();
    }

    fn name(&self) -> String {
        self.store.name()
    }
}
