//! The media that only a native process has: files, and the simulated disk.

use std::fs;
use std::path::PathBuf;

#[cfg(feature = "sim")]
use datasync::backend::Backend;
use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::log::plan::Area;
use tempfile::TempDir;

use crate::medium::Medium;
#[cfg(feature = "sim")]
use crate::medium::read_all;

pub struct InFiles {
    pub dir: TempDir,
}

impl InFiles {
    pub fn path(&self) -> PathBuf {
        self.dir.path().join("app.datasync")
    }

    pub fn file(&self, area: Area) -> PathBuf {
        self.path().join(area.to_string())
    }
}

impl Medium for InFiles {
    type Opened = FileStore;

    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn open(&self) -> FileStore {
        FileStore::open(self.path(), OpenMode::Create).unwrap()
    }

    fn place(&self) -> String {
        self.path().display().to_string()
    }

    fn delete(&self, area: Area) {
        fs::remove_file(self.file(area)).unwrap();
    }

    fn bytes(&self, area: Area) -> Option<Vec<u8>> {
        fs::read(self.file(area)).ok()
    }

    fn overwrite(&self, area: Area, bytes: &[u8]) {
        fs::write(self.file(area), bytes).unwrap();
    }
}

/// The simulated disk without faults: it has to behave as the real ones do.
#[cfg(feature = "sim")]
pub struct InSim(datasync::backend::sim::SimDisk);

#[cfg(feature = "sim")]
impl Medium for InSim {
    type Opened = datasync::backend::sim::SimDisk;

    fn new() -> Self {
        Self(datasync::backend::sim::SimDisk::new(1))
    }

    fn open(&self) -> Self::Opened {
        self.0.clone()
    }

    fn place(&self) -> String {
        self.0.name()
    }

    fn delete(&self, area: Area) {
        unreachable!("nobody deletes {area} of a simulated disk by hand");
    }

    fn bytes(&self, area: Area) -> Option<Vec<u8>> {
        read_all(&self.0, area)
    }

    fn overwrite(&self, area: Area, _bytes: &[u8]) {
        unreachable!("nobody edits {area} of a simulated disk by hand");
    }
}
