//! A volume on a medium that cannot open files in the middle of a call, as OPFS: what is at hand has to do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datasync::backend::memory::Memory;
use datasync::backend::{Backend, Source};
use datasync::block::{BlockNo, Durability, SegmentId};
use datasync::error::{Error, ErrorKind, Result};
use datasync::log::plan::{Area, Op};
use datasync::volume::Volume;

use crate::volume::{Expected, check, commit, content, options};

/// Memory that has only so many files ready for new segments.
struct Pool {
    memory: Memory,
    ready: Arc<AtomicUsize>,
}

impl Source for Pool {
    fn read(&self, area: Area, offset: u64, buf: &mut [u8]) -> Result<usize> {
        self.memory.read(area, offset, buf)
    }

    fn len(&self, area: Area) -> Result<Option<u64>> {
        self.memory.len(area)
    }

    fn segments(&self) -> Result<Vec<SegmentId>> {
        self.memory.segments()
    }
}

impl Backend for Pool {
    fn apply(&self, op: &Op) -> Result<()> {
        if let Op::Create(area @ Area::Segment(_)) = op
            && self.memory.len(*area)?.is_none()
        {
            let taken =
                self.ready.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |ready| ready.checked_sub(1));
            if taken.is_err() {
                return Err(Error::new(ErrorKind::Io, format!("{area}: no file was ready for it")));
            }
        }
        self.memory.apply(op)
    }

    fn can_create(&self) -> bool {
        self.ready.load(Ordering::SeqCst) > 0
    }

    fn name(&self) -> String {
        self.memory.name()
    }
}

fn open(memory: &Memory, files: usize) -> (Volume, Arc<AtomicUsize>) {
    let ready = Arc::new(AtomicUsize::new(files));
    let pool = Pool { memory: memory.clone(), ready: Arc::clone(&ready) };
    (Volume::open(pool, options()).unwrap(), ready)
}

#[test]
fn segment_grows_while_no_file_is_ready() {
    let (memory, mut expected) = (Memory::new(), Expected::new());
    let (volume, ready) = open(&memory, 3);
    for round in 1..100 {
        commit(&volume, &mut expected, &[0, round], round);
    }
    let most = 3;
    assert!(volume.stats().segments <= most && ready.load(Ordering::SeqCst) == 0);
    // Folding on request needs a next segment, too.
    let error = volume.compact().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Busy, "{error}");
    ready.store(2, Ordering::SeqCst);
    volume.compact().unwrap();
    assert_eq!(volume.stats().log_blocks, 0);
    commit(&volume, &mut expected, &[3, 4], 200);
    drop(volume);
    let (volume, _) = open(&memory, 3);
    check(&volume.snapshot().unwrap(), &expected);
}

#[test]
fn log_over_its_cap_is_folded_as_far_as_files_allow_and_close_needs_none() {
    let (memory, mut expected) = (Memory::new(), Expected::new());
    let (volume, ready) = open(&memory, 2);
    for round in 0..12 {
        let mut writer = volume.begin().unwrap();
        for block in 0..200 {
            writer.write(BlockNo(block), &content(block, round)).unwrap();
            expected.insert(block, round);
        }
        writer.commit(Durability::Durable).unwrap();
    }
    assert_eq!(ready.load(Ordering::SeqCst), 0);
    check(&volume.snapshot().unwrap(), &expected);
    volume.close().unwrap();
    drop(volume);
    check(&open(&memory, 2).0.snapshot().unwrap(), &expected);
}

/// What a page without threads does between two calls.
#[test]
fn tending_folds_whole_segments_and_proves_the_newest_commit() {
    let (memory, mut expected) = (Memory::new(), Expected::new());
    let (volume, _) = open(&memory, 100);
    for round in 1..100 {
        commit(&volume, &mut expected, &[0, round], round);
    }
    assert!(volume.stats().segments > 2);
    while volume.tend(true).unwrap() {}
    let folded = volume.stats().blocks_folded;
    assert!(folded > 80, "{folded}");
    let written = volume.stats().bytes_appended;
    assert!(!volume.tend(true).unwrap());
    assert_eq!(volume.stats().bytes_appended, written, "an idle volume writes nothing");
    check(&volume.snapshot().unwrap(), &expected);
}
