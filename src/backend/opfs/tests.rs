//! The backend over handles that misbehave as browsers do, without a browser.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use super::count::{Answer, QUOTA, Refusal};
use super::handle::{Handle, SyncFile};
use super::{OpenMode, OpfsStore, Shared};
use crate::backend::{Backend, Source};
use crate::block::{BlockNo, Durability, SegmentId};
use crate::error::{ErrorKind, Result};
use crate::log::plan::{Area, Op};
use crate::volume::{OpenKind, Options, Volume};

/// How a disk is to behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fault {
    #[default]
    None,
    /// No call writes or reads more than this many bytes.
    Short(usize),
    /// Writes are answered with -8 as an unsigned number.
    NoSpaceCount,
    /// Writes are refused with the exception for a used-up quota.
    Quota,
    /// Writes are answered with more than was asked for.
    Absurd,
    /// Writes are answered with zero.
    Nothing,
    /// Every call is refused: the browser took the handle back.
    TakenBack,
    /// Flushing fails.
    FlushFails,
}

#[derive(Debug, Default)]
struct Disk {
    files: BTreeMap<String, Vec<u8>>,
    taken: BTreeSet<String>,
    fault: Fault,
    writes: usize,
    flushes: usize,
}

#[derive(Clone, Default)]
struct Browser(Arc<Mutex<Disk>>);

struct FakeFile {
    browser: Browser,
    name: String,
}

impl Browser {
    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.0.lock().unwrap()
    }

    /// Writes and flushes so far.
    fn calls(&self) -> (usize, usize) {
        let disk = self.disk();
        (disk.writes, disk.flushes)
    }

    fn set(&self, fault: Fault) {
        self.disk().fault = fault;
    }

    fn take(&self, area: Area) -> Result<Handle<FakeFile>> {
        let name = area.to_string();
        self.disk().files.entry(name.clone()).or_default();
        assert!(self.disk().taken.insert(name.clone()), "{name} is taken twice");
        let path = format!("opfs:datasync/app/{name}");
        Handle::new(FakeFile { browser: self.clone(), name }, path)
    }

    /// What the asynchronous opening does, with segments opened ahead.
    fn open(&self) -> OpfsStore<FakeFile> {
        let listed: Vec<String> = self.disk().files.keys().cloned().collect();
        let mut areas: BTreeSet<Area> = listed.iter().filter_map(|name| super::area_of(name)).collect();
        areas.extend([Area::Meta, Area::Base, Area::Sums]);
        let found = areas.into_iter().map(|area| (area, self.take(area).unwrap())).collect();
        let shared = Shared::new("opfs:datasync/app".into(), OpenMode::Create, found).unwrap();
        let store = OpfsStore { shared };
        self.refill(&store);
        store
    }

    /// What a keeper does.
    fn refill(&self, store: &OpfsStore<FakeFile>) {
        let done = store.shared.with(|pool| {
            for id in pool.take_leftover() {
                self.disk().files.remove(&Area::Segment(id).to_string());
            }
            for id in pool.wanted() {
                pool.put(Area::Segment(id), self.take(Area::Segment(id))?);
            }
            while pool.fill_step()? {}
            Ok(())
        });
        done.unwrap();
    }
}

impl SyncFile for FakeFile {
    fn read(&self, buf: &mut [u8], at: u64) -> Answer<f64> {
        let disk = self.browser.disk();
        let most = match disk.fault {
            Fault::Short(most) => most.min(buf.len()),
            Fault::TakenBack => return Err(Refusal::new("InvalidStateError", "the handle is closed")),
            _ => buf.len(),
        };
        let bytes = &disk.files[&self.name];
        let from = (at as usize).min(bytes.len());
        let n = most.min(bytes.len() - from);
        buf[..n].copy_from_slice(&bytes[from..from + n]);
        Ok(n as f64)
    }

    fn write(&self, bytes: &[u8], at: u64) -> Answer<f64> {
        let mut disk = self.browser.disk();
        disk.writes += 1;
        let n = match disk.fault {
            Fault::Short(most) => most.min(bytes.len()),
            Fault::NoSpaceCount => return Ok(4_294_967_288.0),
            Fault::Quota => return Err(Refusal::new(QUOTA, "no capacity")),
            Fault::Absurd => return Ok(bytes.len() as f64 + 1.0),
            Fault::Nothing => return Ok(0.0),
            Fault::TakenBack => return Err(Refusal::new("InvalidStateError", "the handle is closed")),
            Fault::None | Fault::FlushFails => bytes.len(),
        };
        let (at, file) = (at as usize, disk.files.get_mut(&self.name).unwrap());
        file.resize(file.len().max(at + n), 0);
        file[at..at + n].copy_from_slice(&bytes[..n]);
        Ok(n as f64)
    }

    fn truncate(&self, bytes: u64) -> Answer<()> {
        self.browser.disk().files.get_mut(&self.name).unwrap().resize(bytes as usize, 0);
        Ok(())
    }

    fn flush(&self) -> Answer<()> {
        let mut disk = self.browser.disk();
        disk.flushes += 1;
        match disk.fault {
            Fault::FlushFails => Err(Refusal::new("UnknownError", "the disk failed")),
            Fault::TakenBack => Err(Refusal::new("InvalidStateError", "the handle is closed")),
            _ => Ok(()),
        }
    }

    fn size(&self) -> Answer<f64> {
        Ok(self.browser.disk().files[&self.name].len() as f64)
    }

    fn close(&self) {
        assert!(self.browser.disk().taken.remove(&self.name), "{} is closed twice", self.name);
    }
}

fn options() -> Options {
    Options::new().background(false).segment_bytes(64 * 1024).reserve_bytes(16 * 1024)
}

fn commit(volume: &Volume, block: u64, fill: u8) -> Result<()> {
    let mut writer = volume.begin()?;
    writer.write(BlockNo(block), &[fill; 4096])?;
    writer.commit(Durability::Durable).map(drop)
}

fn reads(volume: &Volume, block: u64) -> u8 {
    let mut bytes = [0; 4096];
    volume.snapshot().unwrap().read(BlockNo(block), &mut bytes).unwrap();
    assert!(bytes.iter().all(|byte| *byte == bytes[0]), "block {block} is mixed");
    bytes[0]
}

#[test]
fn commits_survive_closing_and_crashing_with_short_counts() {
    let browser = Browser::default();
    browser.set(Fault::Short(1000));
    let volume = Volume::open(browser.open(), options()).unwrap();
    assert_eq!(volume.recovery().kind, OpenKind::Created);
    (0..9).for_each(|n| commit(&volume, n, n as u8 + 1).unwrap());
    drop(volume);
    assert!(browser.disk().taken.is_empty(), "a dropped volume gives its handles back");
    let volume = Volume::open(browser.open(), options()).unwrap();
    assert_eq!(volume.recovery().kind, OpenKind::Unclean);
    (0..9).for_each(|n| assert_eq!(reads(&volume, n), n as u8 + 1));
    volume.close().unwrap();
    assert!(browser.disk().taken.is_empty(), "a closed volume gives its handles back");
    let volume = Volume::open(browser.open(), options()).unwrap();
    assert_eq!(volume.recovery().kind, OpenKind::Clean);
    (0..9).for_each(|n| assert_eq!(reads(&volume, n), n as u8 + 1));
}

#[test]
fn commit_is_one_write_and_one_flush() {
    let browser = Browser::default();
    let volume = Volume::open(browser.open(), options().segment_bytes(1 << 20)).unwrap();
    // Until there is space written ahead, a commit may have to make some.
    (0..8).for_each(|n| commit(&volume, n, 1).unwrap());
    for fill in 2..5 {
        let before = browser.calls();
        commit(&volume, 0, fill).unwrap();
        let after = browser.calls();
        assert_eq!((after.0 - before.0, after.1 - before.1), (1, 1));
    }
}

#[test]
fn without_a_file_ready_the_segment_grows_and_commits_go_on() {
    let browser = Browser::default();
    let store = browser.open();
    let shared = Arc::downgrade(&store.shared);
    let volume = Volume::open(store, options()).unwrap();
    for n in 0..400 {
        commit(&volume, n % 7, n as u8).unwrap();
    }
    let names: Vec<String> = browser.disk().files.keys().cloned().collect();
    let logs = names.iter().filter(|name| name.starts_with("log-")).count();
    assert!(logs <= 4, "a store that nobody refills made files: {names:?}");
    browser.refill(&OpfsStore { shared: shared.upgrade().unwrap() });
    let before = volume.stats().rotations;
    commit(&volume, 3, 250).unwrap();
    assert!(volume.stats().rotations > before, "a refilled store goes on in a new segment");
    drop(volume);
    let volume = Volume::open(browser.open(), options()).unwrap();
    assert_eq!(reads(&volume, 3), 250);
    assert_eq!(reads(&volume, 0), 399_u32 as u8);
}

#[test]
fn used_up_quota_is_full_before_anything_is_written() {
    for fault in [Fault::Quota, Fault::NoSpaceCount] {
        let browser = Browser::default();
        let store = browser.open();
        let op = Op::Reserve { segment: SegmentId(1), pages: 10 };
        store.apply(&Op::Create(Area::Segment(SegmentId(1)))).unwrap();
        browser.set(fault);
        let error = store.apply(&op).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        let text = error.to_string();
        assert!(text.contains("datasync/app/log-0001") && text.contains("nothing was harmed"), "{text}");
        assert_eq!(browser.disk().files["log-0001"].len(), 0, "a refused reservation keeps no space");
        browser.set(Fault::None);
        store.apply(&op).unwrap();
        assert_eq!(store.len(Area::Segment(SegmentId(1))).unwrap(), Some(40_960));
    }
}

#[test]
fn senseless_answers_are_errors_and_nothing_is_acknowledged() {
    for fault in [Fault::Absurd, Fault::Nothing, Fault::TakenBack, Fault::FlushFails] {
        let browser = Browser::default();
        let volume = Volume::open(browser.open(), options()).unwrap();
        commit(&volume, 0, 1).unwrap();
        browser.set(fault);
        let error = commit(&volume, 0, 2).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Indeterminate(_) | ErrorKind::Io), "{fault:?}: {error}");
        assert_eq!(commit(&volume, 0, 3).unwrap_err().kind(), ErrorKind::Poisoned, "{fault:?}");
        drop(volume);
        browser.set(Fault::None);
        let volume = Volume::open(browser.open(), options()).unwrap();
        assert!((1..=2).contains(&reads(&volume, 0)), "{fault:?}");
    }
}

#[test]
fn failed_barrier_is_not_tried_again() {
    let browser = Browser::default();
    let store = browser.open();
    store.apply(&Op::Create(Area::Meta)).unwrap();
    store.apply(&Op::Write { area: Area::Meta, offset: 0, bytes: Arc::from([1; 4096]) }).unwrap();
    browser.set(Fault::FlushFails);
    assert_eq!(store.apply(&Op::Barrier(Area::Meta)).unwrap_err().kind(), ErrorKind::Io);
    browser.set(Fault::None);
    let flushes = browser.disk().flushes;
    let error = store.apply(&Op::Barrier(Area::Meta)).unwrap_err();
    assert!(error.message().contains("earlier barrier"), "{error}");
    drop(store);
    assert_eq!(browser.disk().flushes, flushes, "nothing flushes what a barrier has failed on");
}

#[test]
fn files_opened_ahead_are_not_there_until_created() {
    let browser = Browser::default();
    drop(browser.open());
    let store = browser.open();
    assert_eq!(store.segments().unwrap(), []);
    for area in [Area::Meta, Area::Base, Area::Segment(SegmentId(1))] {
        assert_eq!(store.len(area).unwrap(), None, "{area}");
        assert_eq!(store.read(area, 0, &mut [0; 8]).unwrap_err().kind(), ErrorKind::NotFound);
    }
    let error = store.apply(&Op::Create(Area::Segment(SegmentId(9)))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    // What was asked for in vain is opened next.
    browser.refill(&store);
    assert!(store.can_create());
    store.apply(&Op::Create(Area::Segment(SegmentId(9)))).unwrap();
    assert_eq!(store.segments().unwrap(), [SegmentId(9)]);
}

#[test]
fn removed_segments_are_emptied_deleted_and_their_numbers_not_used_again() {
    let browser = Browser::default();
    let store = browser.open();
    let (one, two) = (SegmentId(1), SegmentId(2));
    for id in [one, two] {
        store.apply(&Op::Create(Area::Segment(id))).unwrap();
        store.apply(&Op::Reserve { segment: id, pages: 3 }).unwrap();
    }
    store.apply(&Op::Remove(one)).unwrap();
    assert_eq!(store.segments().unwrap(), [two]);
    assert_eq!(browser.disk().files["log-0001"].len(), 0, "gone even if its entry stays");
    browser.refill(&store);
    assert!(!browser.disk().files.contains_key("log-0001"));
    assert!(!browser.disk().taken.contains("log-0001"));
    // What was written ahead is no part of a segment yet.
    assert_eq!(browser.disk().files["log-0003"].len(), 3 * 4096);
    store.apply(&Op::Create(Area::Segment(SegmentId(3)))).unwrap();
    assert_eq!(store.len(Area::Segment(SegmentId(3))).unwrap(), Some(0));
    let writes = browser.disk().writes;
    store.apply(&Op::Reserve { segment: SegmentId(3), pages: 3 }).unwrap();
    assert_eq!(browser.disk().writes, writes, "the space was there already");
    assert_eq!(store.len(Area::Segment(SegmentId(3))).unwrap(), Some(3 * 4096));
}

#[test]
fn entry_that_cannot_be_deleted_yet_is_tried_again() {
    let browser = Browser::default();
    let store = browser.open();
    store.apply(&Op::Create(Area::Segment(SegmentId(1)))).unwrap();
    store.apply(&Op::Remove(SegmentId(1))).unwrap();
    let held = store.shared.with(|pool| {
        let leftover = pool.take_leftover();
        leftover.iter().for_each(|id| pool.spare(*id));
        Ok(leftover)
    });
    assert!(held.unwrap().contains(&SegmentId(1)));
    browser.refill(&store);
    assert!(!browser.disk().files.contains_key("log-0001"));
}

#[test]
fn nothing_is_written_ahead_where_there_is_no_room() {
    let browser = Browser::default();
    let store = browser.open();
    store.apply(&Op::Create(Area::Segment(SegmentId(1)))).unwrap();
    store.apply(&Op::Reserve { segment: SegmentId(1), pages: 4 }).unwrap();
    store.apply(&Op::Remove(SegmentId(1))).unwrap();
    browser.set(Fault::NoSpaceCount);
    browser.refill(&store);
    browser.set(Fault::None);
    assert!(browser.disk().writes > 0, "nothing was tried");
    assert_eq!(browser.disk().files["log-0002"].len(), 0);
    assert!(store.can_create());
}

#[test]
fn new_store_takes_no_more_space_than_it_reserves() {
    let browser = Browser::default();
    let store = browser.open();
    let shared = Arc::downgrade(&store.shared);
    let volume = Volume::open(store, options()).unwrap();
    commit(&volume, 0, 1).unwrap();
    browser.refill(&OpfsStore { shared: shared.upgrade().unwrap() });
    let sizes: Vec<usize> = browser.disk().files.values().map(Vec::len).collect();
    let logs = sizes.iter().sum::<usize>() - browser.disk().files["META"].len();
    // A segment and its spare, each with the reserve and its header.
    assert!(logs <= 2 * 5 * 4096, "{sizes:?}");
}

#[test]
fn appends_between_two_barriers_are_one_write() {
    let browser = Browser::default();
    // With a reserve so large that nothing has to be proven besides.
    let roomy = options().segment_bytes(1 << 20).reserve_bytes(1 << 19);
    let volume = Volume::open(browser.open(), roomy).unwrap();
    (0..8).for_each(|n| commit(&volume, n, 1).unwrap());
    let before = browser.calls();
    for n in 0..16 {
        let mut writer = volume.begin().unwrap();
        writer.write(BlockNo(n), &[n as u8 + 50; 4096]).unwrap();
        writer.commit(Durability::Applied).unwrap();
        assert_eq!(reads(&volume, n), n as u8 + 50, "what was not written yet is read all the same");
    }
    assert_eq!(browser.calls(), before);
    volume.sync().unwrap();
    assert_eq!(browser.calls(), (before.0 + 1, before.1 + 1));
    drop(volume);
    let volume = Volume::open(browser.open(), options()).unwrap();
    (0..16).for_each(|n| assert_eq!(reads(&volume, n), n as u8 + 50));
}

#[test]
fn append_that_failed_late_fails_every_later_barrier() {
    let browser = Browser::default();
    let store = browser.open();
    let area = Area::Segment(SegmentId(1));
    store.apply(&Op::Create(area)).unwrap();
    store.apply(&Op::Write { area, offset: 0, bytes: Arc::from([1; 8192]) }).unwrap();
    browser.set(Fault::NoSpaceCount);
    // Half of it is held back, half of it is behind it: it has to be written first.
    assert!(store.read(area, 4096, &mut [0; 8192]).is_err());
    browser.set(Fault::None);
    assert_eq!(store.apply(&Op::Barrier(area)).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn reserve_that_cannot_write_what_was_appended_is_not_harmless() {
    for fault in [Fault::Quota, Fault::NoSpaceCount] {
        let browser = Browser::default();
        let store = browser.open();
        let (segment, area) = (SegmentId(1), Area::Segment(SegmentId(1)));
        store.apply(&Op::Create(area)).unwrap();
        browser.set(fault);
        let reserve = Op::Reserve { segment, pages: 8 };
        assert_eq!(store.apply(&reserve).unwrap_err().kind(), ErrorKind::Full, "{fault:?}: nothing at stake");
        store.apply(&Op::Write { area, offset: 0, bytes: Arc::from([1; 8192]) }).unwrap();
        assert_eq!(store.apply(&reserve).unwrap_err().kind(), ErrorKind::Io, "{fault:?}");
        browser.set(Fault::None);
        assert_eq!(store.apply(&Op::Barrier(area)).unwrap_err().kind(), ErrorKind::Io);
    }
}

#[test]
fn segment_opened_ahead_whose_barrier_failed_is_never_used() {
    let browser = Browser::default();
    let store = browser.open();
    let (one, two) = (SegmentId(1), SegmentId(2));
    store.apply(&Op::Create(Area::Segment(one))).unwrap();
    store.apply(&Op::Reserve { segment: one, pages: 4 }).unwrap();
    store.apply(&Op::Remove(one)).unwrap();
    browser.set(Fault::FlushFails);
    let flushes = browser.disk().flushes;
    let filled = store.shared.with(|pool| pool.fill_step());
    assert_eq!(filled.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(browser.disk().flushes, flushes + 1, "a failed barrier is not tried again");
    browser.set(Fault::None);
    assert!(!store.can_create() && !browser.disk().taken.contains("log-0002"));
    browser.refill(&store);
    store.apply(&Op::Create(Area::Segment(two))).unwrap();
    store.apply(&Op::Barrier(Area::Segment(two))).unwrap();
}

#[test]
fn segments_written_ahead_do_not_confuse_a_recovery() {
    let browser = Browser::default();
    let store = browser.open();
    let shared = Arc::downgrade(&store.shared);
    let volume = Volume::open(store, options()).unwrap();
    for n in 0..40 {
        commit(&volume, n % 5, n as u8).unwrap();
        browser.refill(&OpfsStore { shared: shared.upgrade().unwrap() });
    }
    drop(volume);
    let ahead = browser.disk().files.values().filter(|bytes| !bytes.is_empty()).all(|bytes| bytes[0] != 0);
    assert!(!ahead, "this test wants files that hold zeros only");
    let volume = Volume::open(browser.open(), options()).unwrap();
    assert_eq!(reads(&volume, 4), 39);
    commit(&volume, 4, 99).unwrap();
    drop(volume);
    assert_eq!(reads(&Volume::open(browser.open(), options()).unwrap(), 4), 99);
}

#[test]
fn released_and_lost_stores_say_so() {
    let browser = Browser::default();
    let store = browser.open();
    store.apply(&Op::Create(Area::Meta)).unwrap();
    store.release();
    assert!(browser.disk().taken.is_empty());
    let error = store.apply(&Op::BarrierDirectory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    let store = browser.open();
    store.shared.lose();
    assert!(!browser.disk().taken.is_empty(), "closing a handle whose file is gone can hang");
    let error = store.read(Area::Meta, 0, &mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(error.message().contains("deleted while it was open"), "{error}");
}
