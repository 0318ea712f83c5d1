//! A store without a volume around it: what it says before a step, and what it refuses.

use datasync::backend::memory::Memory;
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, BlockNo, Durability};
use datasync::error::ErrorKind;
use datasync::log::plan::{Area, Effect, Op, Plan};
use datasync::store::recovery::Recovery;
use datasync::store::{Limits, Setup, Store};
use datasync::volume::Volume;

use super::attack::put;
use crate::settings::options;

/// Each of them, for the planted bugs.
pub const ALL: &[fn()] = &[
    a_fold_says_beforehand_what_its_next_step_needs,
    a_store_with_a_log_or_a_fold_does_not_close,
    an_empty_segment_is_not_ended,
];

fn run(memory: &Memory, plan: &Plan) {
    plan.ops.iter().try_for_each(|op| memory.apply(op)).expect("memory");
}

/// What a store is after it was opened.
fn opened(memory: &Memory) -> Store {
    let setup = Setup {
        limits: Limits { segment_pages: 16, reserve_pages: 8, log_cap_pages: 96 },
        checksum: None,
        seed: [9; 16],
        now_ms: 0,
        read_only: false,
        create: true,
        name: "by hand".into(),
    };
    let mut recovery = Recovery::new(setup);
    while let Some(plan) = recovery.next(memory).expect("a sound store") {
        run(memory, &plan);
    }
    recovery.finish().0
}

/// A base of which most falls away, and a log that says so.
fn shrinking() -> Memory {
    let memory = Memory::new();
    let volume = Volume::open(memory.clone(), options()).expect("a new store");
    put(&volume, &(0..100).collect::<Vec<_>>(), 1, Durability::Durable);
    volume.compact().expect("folds");
    let mut writer = volume.begin().expect("the slot is free");
    writer.set_size(2 * BLOCK_SIZE as u64).expect("in memory");
    writer.trim(BlockNo(0)).expect("in memory");
    writer.commit(Durability::Witnessed).expect("in memory");
    memory
}

#[test]
pub fn a_fold_says_beforehand_what_its_next_step_needs() {
    let memory = shrinking();
    let mut store = opened(&memory);
    assert!(store.can_fold());
    let mut seen = [0; 2];
    loop {
        let said = [store.fold_publishes_next(), store.fold_removes_next()];
        let can = store.can_fold();
        let Some(plan) = store.fold_step(&memory).expect("memory") else { break };
        let takes = |op: &Op| matches!(op, Op::Remove(_) | Op::Resize { .. });
        let publishes = matches!(plan.effect, Effect::FoldPublished { .. });
        assert_eq!((said, can), ([publishes, plan.ops.iter().any(takes)], true), "{plan}");
        seen = [seen[0] + usize::from(said[0]), seen[1] + usize::from(said[1])];
        run(&memory, &plan);
        store.complete(&plan);
    }
    assert_eq!(seen, [1, 2], "META; the cut, the segments");
    assert!(!store.can_fold());
    assert_eq!(memory.len(Area::Base).expect("memory"), Some(2 * BLOCK_SIZE as u64));
}

#[test]
pub fn a_store_with_a_log_or_a_fold_does_not_close() {
    let memory = shrinking();
    let mut store = opened(&memory);
    let refused = |store: &mut Store| store.close().map(drop).expect_err("not yet").kind();
    while store.can_fold() {
        assert_eq!(refused(&mut store), ErrorKind::Busy);
        let Some(plan) = store.fold_step(&memory).expect("memory") else { break };
        run(&memory, &plan);
        store.complete(&plan);
    }
    let plan = store.close().expect("nothing is left to do");
    run(&memory, &plan);
    store.complete(&plan);
    Volume::open(memory, options()).expect("a sound store").close().expect("folds");
}

#[test]
pub fn an_empty_segment_is_not_ended() {
    let memory = Memory::new();
    let mut store = opened(&memory);
    while let Some(plan) = store.prepare(1, true).expect("memory") {
        run(&memory, &plan);
        store.complete(&plan);
    }
    assert_eq!(store.stats().segments, 1);
    assert_eq!(store.seal_for_fold().expect("memory"), None);
    assert!(!store.can_fold());
    let plan = store.close().expect("there is nothing in the log");
    run(&memory, &plan);
    assert_eq!(memory.segments().expect("memory"), []);
}
