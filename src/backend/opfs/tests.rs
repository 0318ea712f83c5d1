//! The backend over handles that misbehave as browsers do, without a browser.

use std::sync::Arc;

use super::OpfsStore;
use super::simulated::SimKeeper;
use crate::backend::sim::{Misdeed, SimBrowser, SimFile};
use crate::backend::{Backend, Source};
use crate::block::{BlockNo, Durability, SegmentId};
use crate::error::{ErrorKind, Result};
use crate::log::plan::{Area, Op};
use crate::volume::{OpenKind, Options, Volume};

const LOG: fn(u64) -> Area = |number| Area::Segment(SegmentId(number));

fn kept(browser: &SimBrowser) -> (OpfsStore<SimFile>, SimKeeper) {
    OpfsStore::open_simulated(browser).unwrap()
}

fn open(browser: &SimBrowser) -> OpfsStore<SimFile> {
    kept(browser).0
}

/// From now on, until it behaves.
fn set(browser: &SimBrowser, deed: Misdeed) {
    browser.misbehave(deed, 1, true);
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
    let browser = SimBrowser::new();
    set(&browser, Misdeed::Short(1000));
    let volume = Volume::open(open(&browser), options()).unwrap();
    assert_eq!(volume.recovery().kind, OpenKind::Created);
    (0..9).for_each(|n| commit(&volume, n, n as u8 + 1).unwrap());
    drop(volume);
    assert!(browser.taken().is_empty(), "a dropped volume gives its handles back");
    let volume = Volume::open(open(&browser), options()).unwrap();
    assert_eq!(volume.recovery().kind, OpenKind::Unclean);
    (0..9).for_each(|n| assert_eq!(reads(&volume, n), n as u8 + 1));
    volume.close().unwrap();
    assert!(browser.taken().is_empty(), "a closed volume gives its handles back");
    let volume = Volume::open(open(&browser), options()).unwrap();
    assert_eq!(volume.recovery().kind, OpenKind::Clean);
    (0..9).for_each(|n| assert_eq!(reads(&volume, n), n as u8 + 1));
}

#[test]
fn commit_is_one_write_and_one_flush() {
    let browser = SimBrowser::new();
    let volume = Volume::open(open(&browser), options().segment_bytes(1 << 20)).unwrap();
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
    let browser = SimBrowser::new();
    let (store, keeper) = kept(&browser);
    let volume = Volume::open(store, options()).unwrap();
    for n in 0..400 {
        commit(&volume, n % 7, n as u8).unwrap();
    }
    let names = browser.listed();
    let logs = names.iter().filter(|area| matches!(area, Area::Segment(_))).count();
    assert!(logs <= 4, "a store that nobody refills made files: {names:?}");
    keeper.refill().unwrap();
    let before = volume.stats().rotations;
    commit(&volume, 3, 250).unwrap();
    assert!(volume.stats().rotations > before, "a refilled store goes on in a new segment");
    drop(volume);
    let volume = Volume::open(open(&browser), options()).unwrap();
    assert_eq!(reads(&volume, 3), 250);
    assert_eq!(reads(&volume, 0), 399_u32 as u8);
}

#[test]
fn used_up_quota_is_full_before_anything_is_written() {
    for deed in [Misdeed::Quota, Misdeed::NoSpaceCount] {
        let browser = SimBrowser::new();
        let store = open(&browser);
        let op = Op::Reserve { segment: SegmentId(1), pages: 10 };
        store.apply(&Op::Create(Area::Segment(SegmentId(1)))).unwrap();
        set(&browser, deed);
        let error = store.apply(&op).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Full, "{error}");
        let text = error.to_string();
        assert!(text.contains("datasync/app/log-0001") && text.contains("nothing was harmed"), "{text}");
        assert_eq!(browser.len(LOG(1)), Some(0), "a refused reservation keeps no space");
        browser.behave();
        store.apply(&op).unwrap();
        assert_eq!(store.len(Area::Segment(SegmentId(1))).unwrap(), Some(40_960));
    }
}

#[test]
fn senseless_answers_are_errors_and_nothing_is_acknowledged() {
    for deed in [Misdeed::Absurd, Misdeed::Nothing, Misdeed::TakenBack, Misdeed::FlushFails] {
        let browser = SimBrowser::new();
        let volume = Volume::open(open(&browser), options()).unwrap();
        commit(&volume, 0, 1).unwrap();
        set(&browser, deed);
        let error = commit(&volume, 0, 2).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::Indeterminate(_) | ErrorKind::Io), "{deed:?}: {error}");
        assert_eq!(commit(&volume, 0, 3).unwrap_err().kind(), ErrorKind::Poisoned, "{deed:?}");
        drop(volume);
        browser.behave();
        let volume = Volume::open(open(&browser), options()).unwrap();
        assert!((1..=2).contains(&reads(&volume, 0)), "{deed:?}");
    }
}

#[test]
fn failed_barrier_is_not_tried_again() {
    let browser = SimBrowser::new();
    let store = open(&browser);
    store.apply(&Op::Create(Area::Meta)).unwrap();
    store.apply(&Op::Write { area: Area::Meta, offset: 0, bytes: Arc::from([1; 4096]) }).unwrap();
    set(&browser, Misdeed::FlushFails);
    assert_eq!(store.apply(&Op::Barrier(Area::Meta)).unwrap_err().kind(), ErrorKind::Io);
    browser.behave();
    let flushes = browser.calls().1;
    let error = store.apply(&Op::Barrier(Area::Meta)).unwrap_err();
    assert!(error.message().contains("earlier barrier"), "{error}");
    drop(store);
    assert_eq!(browser.calls().1, flushes, "nothing flushes what a barrier has failed on");
}

#[test]
fn files_opened_ahead_are_not_there_until_created() {
    let browser = SimBrowser::new();
    drop(open(&browser));
    let (store, keeper) = kept(&browser);
    assert_eq!(store.segments().unwrap(), []);
    for area in [Area::Meta, Area::Base, Area::Segment(SegmentId(1))] {
        assert_eq!(store.len(area).unwrap(), None, "{area}");
        assert_eq!(store.read(area, 0, &mut [0; 8]).unwrap_err().kind(), ErrorKind::NotFound);
    }
    let error = store.apply(&Op::Create(Area::Segment(SegmentId(9)))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Full, "{error}");
    // What was asked for in vain is opened next.
    keeper.refill().unwrap();
    assert!(store.can_create());
    store.apply(&Op::Create(Area::Segment(SegmentId(9)))).unwrap();
    assert_eq!(store.segments().unwrap(), [SegmentId(9)]);
}

#[test]
fn removed_segments_are_emptied_deleted_and_their_numbers_not_used_again() {
    let browser = SimBrowser::new();
    let (store, keeper) = kept(&browser);
    let (one, two) = (SegmentId(1), SegmentId(2));
    for id in [one, two] {
        store.apply(&Op::Create(Area::Segment(id))).unwrap();
        store.apply(&Op::Reserve { segment: id, pages: 3 }).unwrap();
    }
    store.apply(&Op::Remove(one)).unwrap();
    assert_eq!(store.segments().unwrap(), [two]);
    assert_eq!(browser.len(LOG(1)), Some(0), "gone even if its entry stays");
    keeper.refill().unwrap();
    assert!(browser.len(LOG(1)).is_none());
    assert!(!browser.taken().contains(&LOG(1)));
    // What was written ahead is no part of a segment yet.
    assert_eq!(browser.len(LOG(3)), Some(3 * 4096));
    store.apply(&Op::Create(Area::Segment(SegmentId(3)))).unwrap();
    assert_eq!(store.len(Area::Segment(SegmentId(3))).unwrap(), Some(0));
    let writes = browser.calls().0;
    store.apply(&Op::Reserve { segment: SegmentId(3), pages: 3 }).unwrap();
    assert_eq!(browser.calls().0, writes, "the space was there already");
    assert_eq!(store.len(Area::Segment(SegmentId(3))).unwrap(), Some(3 * 4096));
}

#[test]
fn entry_that_cannot_be_deleted_yet_is_tried_again() {
    let browser = SimBrowser::new();
    let (store, keeper) = kept(&browser);
    store.apply(&Op::Create(Area::Segment(SegmentId(1)))).unwrap();
    store.apply(&Op::Remove(SegmentId(1))).unwrap();
    let held = store.shared.with(|pool| {
        let leftover = pool.take_leftover();
        leftover.iter().for_each(|id| pool.spare(*id));
        Ok(leftover)
    });
    assert!(held.unwrap().contains(&SegmentId(1)));
    keeper.refill().unwrap();
    assert!(browser.len(LOG(1)).is_none());
}

#[test]
fn nothing_is_written_ahead_where_there_is_no_room() {
    let browser = SimBrowser::new();
    let (store, keeper) = kept(&browser);
    store.apply(&Op::Create(Area::Segment(SegmentId(1)))).unwrap();
    store.apply(&Op::Reserve { segment: SegmentId(1), pages: 4 }).unwrap();
    store.apply(&Op::Remove(SegmentId(1))).unwrap();
    set(&browser, Misdeed::NoSpaceCount);
    keeper.refill().unwrap();
    browser.behave();
    assert!(browser.calls().0 > 0, "nothing was tried");
    assert_eq!(browser.len(LOG(2)), Some(0));
    assert!(store.can_create());
}

#[test]
fn new_store_takes_no_more_space_than_it_reserves() {
    let browser = SimBrowser::new();
    let (store, keeper) = kept(&browser);
    let volume = Volume::open(store, options()).unwrap();
    commit(&volume, 0, 1).unwrap();
    keeper.refill().unwrap();
    let sizes: Vec<u64> = browser
        .listed()
        .into_iter()
        .filter(|area| *area != Area::Meta)
        .filter_map(|area| browser.len(area))
        .collect();
    let logs = sizes.iter().sum::<u64>();
    // A segment and its spare, each with the reserve and its header.
    assert!(logs <= 2 * 5 * 4096, "{sizes:?}");
}

#[test]
fn appends_between_two_barriers_are_one_write() {
    let browser = SimBrowser::new();
    // With a reserve so large that nothing has to be proven besides.
    let roomy = options().segment_bytes(1 << 20).reserve_bytes(1 << 19);
    let volume = Volume::open(open(&browser), roomy).unwrap();
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
    let volume = Volume::open(open(&browser), options()).unwrap();
    (0..16).for_each(|n| assert_eq!(reads(&volume, n), n as u8 + 50));
}

#[test]
fn append_that_failed_late_fails_every_later_barrier() {
    let browser = SimBrowser::new();
    let store = open(&browser);
    let area = Area::Segment(SegmentId(1));
    store.apply(&Op::Create(area)).unwrap();
    store.apply(&Op::Write { area, offset: 0, bytes: Arc::from([1; 8192]) }).unwrap();
    set(&browser, Misdeed::NoSpaceCount);
    // Half of it is held back, half of it is behind it: it has to be written first.
    assert!(store.read(area, 4096, &mut [0; 8192]).is_err());
    browser.behave();
    assert_eq!(store.apply(&Op::Barrier(area)).unwrap_err().kind(), ErrorKind::Io);
}

#[test]
fn reserve_that_cannot_write_what_was_appended_is_not_harmless() {
    for deed in [Misdeed::Quota, Misdeed::NoSpaceCount] {
        let browser = SimBrowser::new();
        let store = open(&browser);
        let (segment, area) = (SegmentId(1), Area::Segment(SegmentId(1)));
        store.apply(&Op::Create(area)).unwrap();
        set(&browser, deed);
        let reserve = Op::Reserve { segment, pages: 8 };
        assert_eq!(store.apply(&reserve).unwrap_err().kind(), ErrorKind::Full, "{deed:?}: nothing at stake");
        store.apply(&Op::Write { area, offset: 0, bytes: Arc::from([1; 8192]) }).unwrap();
        assert_eq!(store.apply(&reserve).unwrap_err().kind(), ErrorKind::Io, "{deed:?}");
        browser.behave();
        assert_eq!(store.apply(&Op::Barrier(area)).unwrap_err().kind(), ErrorKind::Io);
    }
}

#[test]
fn segment_opened_ahead_whose_barrier_failed_is_never_used() {
    let browser = SimBrowser::new();
    let (store, keeper) = kept(&browser);
    let (one, two) = (SegmentId(1), SegmentId(2));
    store.apply(&Op::Create(Area::Segment(one))).unwrap();
    store.apply(&Op::Reserve { segment: one, pages: 4 }).unwrap();
    store.apply(&Op::Remove(one)).unwrap();
    set(&browser, Misdeed::FlushFails);
    let flushes = browser.calls().1;
    let filled = store.shared.with(|pool| pool.fill_step());
    assert_eq!(filled.unwrap_err().kind(), ErrorKind::Io);
    assert_eq!(browser.calls().1, flushes + 1, "a failed barrier is not tried again");
    browser.behave();
    assert!(!store.can_create() && !browser.taken().contains(&LOG(2)));
    keeper.refill().unwrap();
    store.apply(&Op::Create(Area::Segment(two))).unwrap();
    store.apply(&Op::Barrier(Area::Segment(two))).unwrap();
}

#[test]
fn segments_written_ahead_do_not_confuse_a_recovery() {
    let browser = SimBrowser::new();
    let (store, keeper) = kept(&browser);
    let volume = Volume::open(store, options()).unwrap();
    for n in 0..40 {
        commit(&volume, n % 5, n as u8).unwrap();
        keeper.refill().unwrap();
    }
    drop(volume);
    let state = browser.state();
    let mut there = state.areas().filter(|area| state.len(*area) > Some(0));
    assert!(there.any(|area| state.visible(area, 0).is_none()), "this test wants files that hold zeros only");
    let volume = Volume::open(open(&browser), options()).unwrap();
    assert_eq!(reads(&volume, 4), 39);
    commit(&volume, 4, 99).unwrap();
    drop(volume);
    assert_eq!(reads(&Volume::open(open(&browser), options()).unwrap(), 4), 99);
}

#[test]
fn released_and_lost_stores_say_so() {
    let browser = SimBrowser::new();
    let store = open(&browser);
    store.apply(&Op::Create(Area::Meta)).unwrap();
    store.release();
    assert!(browser.taken().is_empty());
    let error = store.apply(&Op::BarrierDirectory).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Misuse, "{error}");
    let store = open(&browser);
    store.shared.lose();
    assert!(!browser.taken().is_empty(), "closing a handle whose file is gone can hang");
    let error = store.read(Area::Meta, 0, &mut [0; 8]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Lost);
    assert!(error.message().contains("deleted while it was open"), "{error}");
}
