//! What is left of a damaged store, block by block: through the store's own recovery where META is sound,
//! and by `base.sum` alone where it is not.
//!
//! The rule kept here: a block is called sound only when a checksum says so.

use std::fs::File;
use std::io::{self, ErrorKind as IoKind, Read, Seek, SeekFrom};
use std::path::Path;

use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::block::{BLOCK_SIZE, BlockBytes, BlockNo, StoreId};
use datasync::error::ErrorKind;
use datasync::format::sums::{BLOCKS_PER_PAGE, BaseEntry, SumsPage};
use datasync::volume::{Options, Snapshot, Volume};

use crate::fail::{Code, Failure};
use crate::words::cause;

/// A block of a wreck.
pub enum Found {
    /// It verifies.
    Sound,
    /// It does not; why.
    Lost(String),
}

/// A damaged store, opened for reading.
pub struct Wreck {
    source: Source,
    /// Logical size, bytes.
    pub size: u64,
    /// What is known to be damaged, or lost as a whole.
    pub damage: Vec<String>,
    /// The last commit that is there; unknown without META.
    pub last: Option<u64>,
    base: Option<File>,
}

enum Source {
    Recovered { name: String, snapshot: Snapshot },
    Base(Sums),
}

impl Wreck {
    /// Opens what is at `store`. Nothing of it is changed.
    pub fn open(store: &Path) -> Result<Self, Failure> {
        let base = File::open(store.join("base.db")).ok();
        let opened = FileStore::open(store, OpenMode::ReadOnly)
            .and_then(|files| Volume::open(files, Options::new().read_only(true)));
        match opened {
            Ok(volume) => {
                let (recovery, snapshot) = (volume.recovery(), volume.snapshot()?);
                let name = std::path::absolute(store)?.display().to_string();
                let damage =
                    recovery.damage.iter().map(|one| cause(&one.to_string(), &name).to_owned()).collect();
                let (size, last) = (snapshot.size(), Some(recovery.last.0));
                Ok(Self { source: Source::Recovered { name, snapshot }, size, damage, last, base })
            }
            // Without META, or without the sums beside it.
            Err(error) if error.kind() == ErrorKind::Corrupt && base.is_some() => {
                let Some(sums) = Sums::open(store)? else { return Err(error.into()) };
                let size = base.as_ref().map_or(Ok(0), |file| file.metadata().map(|found| found.len()))?;
                let damage = vec![
                    cause(error.message(), &store.display().to_string()).to_owned(),
                    "the log: which of it counts only META knows; base.db alone is read".to_owned(),
                ];
                Ok(Self { source: Source::Base(sums), size, damage, last: None, base })
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Reads a block and tells whether it verifies.
    pub fn block(&mut self, number: u64, out: &mut BlockBytes) -> Result<Found, Failure> {
        match &mut self.source {
            Source::Recovered { name, snapshot } => match snapshot.read(BlockNo(number), out) {
                Ok(()) => Ok(Found::Sound),
                Err(error) if is_loss(error.kind()) => {
                    Ok(Found::Lost(cause(error.message(), name).to_owned()))
                }
                Err(error) => Err(error.into()),
            },
            Source::Base(sums) => {
                let there = read_at(self.base.as_mut(), number, out)?;
                Ok(sums.judge(number, there.then_some(&*out))?)
            }
        }
    }

    /// Reads the bytes of a block as they lie in base.db; false when there are none.
    pub fn raw(&mut self, number: u64, out: &mut BlockBytes) -> io::Result<bool> {
        read_at(self.base.as_mut(), number, out)
    }
}

fn is_loss(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Corrupt | ErrorKind::AlgoMismatch | ErrorKind::Io | ErrorKind::NotFound)
}

/// Reads one block of a file; false when the file ends before it.
fn read_at(file: Option<&mut File>, number: u64, out: &mut BlockBytes) -> io::Result<bool> {
    let Some(file) = file else { return Ok(false) };
    file.seek(SeekFrom::Start(number * BLOCK_SIZE as u64))?;
    match file.read_exact(out) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == IoKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

/// `base.sum`, read without META.
struct Sums {
    file: File,
    store: StoreId,
    page: Option<(u64, Option<SumsPage>)>,
}

impl Sums {
    /// Opens `base.sum` and learns from its first sound page which store it belongs to.
    fn open(store: &Path) -> io::Result<Option<Self>> {
        let Ok(mut file) = File::open(store.join("base.sum")) else { return Ok(None) };
        let mut bytes = [0; BLOCK_SIZE];
        let mut at = 0;
        while read_at(Some(&mut file), at, &mut bytes)? {
            let mut id = [0; 16];
            id.copy_from_slice(&bytes[8..24]);
            let (page, slot) = (at / 2, u8::from(at % 2 == 1));
            if SumsPage::decode(&bytes, StoreId(id), page, slot).is_ok() {
                return Ok(Some(Self { file, store: StoreId(id), page: None }));
            }
            at += 1;
        }
        Ok(None)
    }

    /// The better of the two copies of a page.
    fn page(&mut self, number: u64) -> io::Result<Option<&SumsPage>> {
        if self.page.as_ref().is_none_or(|(held, _)| *held != number) {
            let mut best: Option<SumsPage> = None;
            let mut bytes = [0; BLOCK_SIZE];
            for slot in [0, 1] {
                if read_at(Some(&mut self.file), number * 2 + u64::from(slot), &mut bytes)?
                    && let Ok(page) = SumsPage::decode(&bytes, self.store, number, slot)
                    && best.as_ref().is_none_or(|held| held.seq < page.seq)
                {
                    best = Some(page);
                }
            }
            self.page = Some((number, best));
        }
        Ok(self.page.as_ref().and_then(|(_, page)| page.as_ref()))
    }

    /// Whether a block's bytes are what its sum says.
    fn judge(&mut self, number: u64, bytes: Option<&BlockBytes>) -> io::Result<Found> {
        let store = self.store;
        let Some(page) = self.page(number / BLOCKS_PER_PAGE)? else {
            return Ok(Found::Lost("no sound page of base.sum knows it".to_owned()));
        };
        let at = usize::try_from(number % BLOCKS_PER_PAGE).unwrap_or(0);
        Ok(match (page.entries[at], bytes) {
            (BaseEntry::Present { version, sum, .. }, Some(bytes))
                if page.checksum.sum(store, BlockNo(number), version, bytes) == sum =>
            {
                Found::Sound
            }
            (BaseEntry::Present { version, .. }, _) => {
                Found::Lost(format!("base.db does not have what commit {version} wrote"))
            }
            (BaseEntry::Absent | BaseEntry::Trimmed { .. }, Some(bytes)) if *bytes == [0; BLOCK_SIZE] => {
                Found::Sound
            }
            (BaseEntry::Absent | BaseEntry::Trimmed { .. }, _) => {
                Found::Lost("base.sum does not know it".to_owned())
            }
        })
    }
}

/// Why there is nothing to salvage.
pub fn nothing(store: &Path) -> Failure {
    Failure::new(
        Code::Damaged,
        format!("nothing is left of {}", store.display()),
        "restore a copy of it, if there is one; nothing was changed",
    )
}
