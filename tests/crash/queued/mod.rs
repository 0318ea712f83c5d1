//! A store on a medium of transactions (IndexedDB as a model): exhaustively every word of a few steps, then long
//! seeded lives, with every step a use of the store, an end of a transaction, a crash, or another tab.
//! `DATASYNC_QUEUED=word` replays one word, `DATASYNC_SEED=n` one life.

pub mod run;
pub mod step;

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use datasync::backend::Source;
use datasync::backend::queue::{BATCH_BYTES, Memory};
use datasync::backend::sim::Random;
use datasync::block::{BLOCK_SIZE, Durability};
use datasync::log::plan::Area;
use datasync::planted::{Bug, plant};

use self::run::Run;
use self::step::{Step, Word, parse};
use crate::fired::Fired;
use crate::invariants::{Checked, no_panic, space_comes_back};
use crate::settings;
use crate::workload::unexpected;

/// On demand with a transaction for each op, in memory with one for everything, and in between.
pub const MEMORIES: [Memory; 3] = [
    Memory { resident: false, bytes: 0, batch_bytes: 0 },
    Memory { resident: true, bytes: 1 << 30, batch_bytes: BATCH_BYTES },
    Memory { resident: false, bytes: 0, batch_bytes: 3 * BLOCK_SIZE as u64 },
];

/// Where the words begin.
const BEGINNINGS: [&str; 4] = ["", "a01.S.*", "L.S.*.r.C.S.*", "L.C.h9.S.*.s1.r"];

fn run_word(word: &[Step], memory: Memory, fired: &Fired) -> Checked<()> {
    no_panic(|| {
        let mut run = Run::start(memory)?;
        let origin = run.origin.clone();
        word.iter().try_for_each(|step| run.step(*step))?;
        let ended = run.end();
        origin.book(&fired.0);
        ended
    })
    .map_err(|violation| violation.at(format!("replay: DATASYNC_QUEUED={} ({memory:?})", Word(word))))
}

/// Every word of `depth` steps after every beginning; how many.
pub fn exhaustive(depth: u32, bug: Option<Bug>, threads: usize, fired: &Fired) -> Checked<u64> {
    let steps = Step::ALL.len();
    let per_beginning = steps.pow(depth);
    let next = AtomicUsize::new(0);
    let tried = AtomicU64::new(0);
    let failed = Mutex::new(None);
    let deadline = settings::deadline();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                plant(bug);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let late = deadline.is_some_and(|deadline| std::time::Instant::now() > deadline);
                    let over = number >= per_beginning * BEGINNINGS.len();
                    if over || late || failed.lock().expect("unpoisoned").is_some() {
                        break;
                    }
                    let mut word = parse(BEGINNINGS[number / per_beginning]);
                    let mut rest = number % per_beginning;
                    for _ in 0..depth {
                        word.push(Step::ALL[rest % steps]);
                        rest /= steps;
                    }
                    tried.fetch_add(1, Ordering::Relaxed);
                    if let Err(violation) = run_word(&word, MEMORIES[number % 3], fired) {
                        failed.lock().expect("unpoisoned").get_or_insert(violation);
                    }
                }
            });
        }
    });
    match failed.into_inner().expect("unpoisoned") {
        Some(violation) => Err(violation),
        None => Ok(tried.into_inner()),
    }
}

/// One long life.
fn live(seed: u64, steps: usize, fired: &Fired) -> Checked<()> {
    let mut random = Random::new(seed);
    let mut run = Run::start(MEMORIES[(seed % 3) as usize])?;
    for _ in 0..steps {
        // Mostly use, sometimes trouble, never a database that vanished: that is the end of a life.
        let step = match random.below(10) {
            0..=4 => Step::ALL[random.below(9)],
            5..=8 => *random.pick(&[Step::Settle, Step::Complete, Step::Complete, Step::Drain, Step::Flush]),
            _ => *random.pick(&Step::ALL[9..Step::ALL.len() - 1]),
        };
        if step == Step::Power {
            run.crash(random.below(run.origin.losable() + 1))?;
        } else {
            run.step(step)?;
        }
        if run.tab.as_ref().is_some_and(|tab| tab.link.is_dead()) {
            run.crash(if random.chance(1, 2) { 0 } else { random.below(4) })?;
        }
    }
    run.crash(0)?;
    run.origin.book(&fired.0);
    empty(&mut run)
}

/// I11 at the end of a life.
fn empty(run: &mut Run) -> Checked<()> {
    let Some(tab) = &run.tab else { return Ok(()) };
    let emptied = (|| {
        let mut writer = tab.volume.begin()?;
        writer.set_size(0)?;
        writer.commit(Durability::Durable)?;
        tab.volume.rotate()?;
        tab.volume.compact()
    })();
    emptied.map_err(|error| unexpected(&error))?;
    tab.link.drain();
    let seen = run.origin.open(run.memory).map_err(|error| unexpected(&error))?;
    let segments = seen.segments().map_err(|error| unexpected(&error))?.len();
    let base = seen.len(Area::Base).map_err(|error| unexpected(&error))?.unwrap_or(0);
    space_comes_back(segments, base)
}

/// Lives from `first` on.
pub fn lives(first: u64, number: u64, steps: usize, fired: &Fired) -> Checked<()> {
    (first..first + number).try_for_each(|seed| {
        no_panic(|| live(seed, steps, fired))
            .map_err(|v| v.at(format!("replay: DATASYNC_SEED={seed} (queued)")))
    })
}

#[test]
fn every_short_word_on_a_queued_medium_keeps_every_promise() {
    if let Ok(word) = std::env::var("DATASYNC_QUEUED") {
        for memory in MEMORIES {
            run_word(&parse(&word), memory, &Fired::default())
                .unwrap_or_else(|violation| panic!("{violation}"));
        }
        return;
    }
    // A word has a beginning and an end besides, and five times as many letters as elsewhere.
    let depth = u32::try_from(settings::depth()).expect("a small number").clamp(2, 5) - 1;
    let fired = Fired::default();
    let tried = exhaustive(depth, None, settings::threads(), &fired).and_then(|words| {
        println!("queued: {words} words of {depth} steps");
        if depth < 2 || settings::deadline().is_some() { Ok(()) } else { fired.all_struck("queued words") }
    });
    tried.unwrap_or_else(|violation| panic!("{violation}"));
}

#[test]
fn long_lives_on_a_queued_medium_keep_every_promise() {
    let (first, number) = settings::only_seed().map_or((1, settings::seeds()), |seed| (seed, 1));
    let fired = Fired::default();
    let lived = lives(first, number, 200, &fired).and_then(|()| {
        println!("queued: lives {first}..{}", first + number);
        if number < 100 { Ok(()) } else { fired.all_struck("queued lives") }
    });
    lived.unwrap_or_else(|violation| panic!("{violation}"));
}

/// Words that broke a promise once.
const ONCE: [&str; 1] = ["a0.S.a01.1.h9.S.Q"];

/// Runs those with every memory.
pub fn once(fired: &Fired) -> Checked<()> {
    let all = ONCE.iter().flat_map(|word| MEMORIES.map(|memory| (parse(word), memory)));
    all.into_iter().try_for_each(|(word, memory)| run_word(&word, memory, fired))
}

#[test]
fn what_joins_a_batch_behind_a_flush_is_not_answered_with_it() {
    once(&Fired::default()).unwrap_or_else(|violation| panic!("{violation}"));
}

/// Words with much to wait for: extents to fetch, transactions of one op and of many.
const LONG_WAITS: [&str; 3] = ["a0.S.1.a01.S.*", "L.C.S.*.t.f.1.1.a0.S.*", "L.S.*.r.C.S.*.h9.c.S.*"];

/// Another tab takes the database over at every wait of this one for the medium; it only looks, or writes too.
pub fn intrusions(fired: &Fired) -> Checked<()> {
    for (word, memory) in LONG_WAITS.iter().flat_map(|word| MEMORIES.map(|memory| (word, memory))) {
        for (nth, writes) in (1..).flat_map(|nth| [(nth, false), (nth, true)]) {
            let came = no_panic(|| {
                let mut run = Run::start(memory)?;
                let came = run.intruded(nth, writes, &parse(word))?;
                run.origin.book(&fired.0);
                run.end().map(|()| came)
            });
            let context = format!("{word} ({memory:?}), another tab at wait {nth}, which writes: {writes}");
            if !came.map_err(|violation| violation.at(context))? {
                break;
            }
        }
    }
    Ok(())
}

#[test]
fn another_tab_at_any_wait_deposes_this_one_and_loses_nothing() {
    let fired = Fired::default();
    let tried = intrusions(&fired).and_then(|()| fired.all_struck("queued waits"));
    tried.unwrap_or_else(|violation| panic!("{violation}"));
}
