//! Wall clocks that jump, run backwards or stand still: every op, every answer, every state and every recovery is the
//! same as with a sound clock. What differs is what a clock is for: the time that a block was changed.

use std::cell::Cell;

use datasync::backend::queue::Memory;
use datasync::backend::sim::{Cut, DiskState, SimBrowser, SimDisk, Trouble};
use datasync::block::{BlockNo, Durability};
use datasync::volume::Volume;

use crate::fired::Fired;
use crate::images::check;
use crate::invariants::{BLOCKS, Checked, Expected, ensure, no_panic, read_state, snapshot};
use crate::reference::State;
use crate::settings::{CLOCK, options};
use crate::workload::{Run, parse, unexpected};
use crate::{opfs, queued};

const YEAR: u64 = 365 * 24 * 3600 * 1000;
/// A moment that a sound clock could show, ms since 1970.
const NOW: u64 = 1_750_000_000_000;

thread_local! {
    /// How often the clock was read, what it said last, and what was wrong with that.
    static READ: Cell<u64> = const { Cell::new(0) };
    static LAST: Cell<Option<u64>> = const { Cell::new(None) };
    static STRUCK: Cell<[u64; 3]> = const { Cell::new([0; 3]) };
}

/// Says `of(count)`, and counts how wrong that is beside what it said before.
fn read(of: fn(u64) -> u64) -> u64 {
    let count = READ.replace(READ.get() + 1);
    let now = of(count);
    if let Some(last) = LAST.replace(Some(now)) {
        let mut struck = STRUCK.get();
        struck[0] += u64::from(now.abs_diff(last) >= YEAR);
        struck[1] += u64::from(now < last);
        struck[2] += u64::from(now == last);
        STRUCK.set(struck);
    }
    now
}

fn sound() -> u64 {
    read(|count| NOW + count)
}

/// A year on, a year back, and where no clock can stand.
const WRONG: [fn() -> u64; 4] = [
    || read(|count| [NOW, NOW + YEAR, NOW - YEAR][(count % 3) as usize]),
    || read(|count| [NOW, 0, u64::MAX][(count % 3) as usize]),
    || read(|count| NOW - 1000 * count),
    || read(|_| NOW),
];

/// Runs with `clock`, from its beginning.
fn under<T>(clock: fn() -> u64, run: impl FnOnce() -> T) -> T {
    // From 1: at 0 all clocks say the same.
    READ.set(1);
    LAST.set(None);
    let before = CLOCK.replace(clock);
    let outcome = run();
    CLOCK.set(before);
    outcome
}

fn book(fired: &Fired) {
    let struck = STRUCK.take();
    for (trouble, times) in
        [Trouble::ClockLeaps, Trouble::ClockRunsBack, Trouble::ClockStands].into_iter().zip(struck)
    {
        fired.add(trouble, times);
    }
}

/// Everything that a user and a medium could tell of a life, in words, but for the time.
fn told(volume: &Volume) -> Checked<String> {
    let state = read_state(&snapshot(volume)?)?.map_err(|error| unexpected(&error))?;
    let report = volume.verify(&mut |_, _| {}).map_err(|error| unexpected(&error))?;
    let known = |block| volume.metadata(BlockNo(block)).map(|known| known.map(|m| (m.version, m.checksum)));
    let blocks: Vec<_> = (0..BLOCKS).map(|block| known(block).map_err(|error| error.kind())).collect();
    let request = volume.last_request(crate::workload::CLIENT);
    Ok(format!("{state:?} {report:?} {blocks:?} {request:?} {:?} {:?}", volume.stats(), volume.recovery()))
}

/// A life on a disk: each op, each answer, what is told of it at the end, and the media of its crashes.
fn on_files(word: &str) -> Checked<(Vec<String>, Vec<DiskState>)> {
    let disk = SimDisk::new(3);
    disk.start_trace();
    let mut run = Run::start(disk.clone())?;
    let mut life = Vec::new();
    for letter in parse(word) {
        let outcome = run.step(letter)?.map_err(|error| error.kind());
        life.push(format!("{} {outcome:?}", letter.text()));
    }
    let moments = disk.take_trace();
    life.extend(moments.iter().filter_map(|moment| moment.op.as_ref()).map(ToString::to_string));
    life.push(told(run.volume.as_ref().expect("open"))?);
    run.history.acknowledge_all(0);
    let newest = run.history.commits.len() - 1;
    let expected = Expected { commits: &run.history.commits, least: newest, most: newest };
    let _ = run.volume.as_ref().map(|volume| volume.sync());
    check(&disk.state().after(&Cut::default()), &expected)?;
    Ok((life, moments.into_iter().map(|moment| moment.state).collect()))
}

/// What a recovery makes of a medium, in words.
fn recovered(image: &DiskState) -> Checked<String> {
    match Volume::open(SimDisk::from_state(image.after(&Cut::default()), 1), options()) {
        Ok(volume) => told(&volume),
        Err(error) => Ok(format!("{:?}", error.kind())),
    }
}

const WORDS: [&str; 6] = [
    "d0.a1.w0.t0.y.z.d01.k",
    "d01.r.d0.C.td.r.c.c.c.c.k.d0",
    "L.C.s1.h9.r.C.z.L.x.d0.w0",
    "p.d01.C.td.k.C.u.L.L.L.L.L.L.L.L.L.d0",
    "a0.a1.x.k.a0.k.d0.r.r.C.y.z",
    "L.r.p.L.L.L.L.u.c.c.d0.C.z.t0.y",
];

fn files(fired: &Fired) -> Checked<()> {
    for word in WORDS {
        let (life, media) = under(sound, || on_files(word))?;
        let _ = STRUCK.take();
        for (number, clock) in WRONG.into_iter().enumerate() {
            let context =
                |violation: crate::invariants::Violation| violation.at(format!("{word}, clock {number}"));
            let (other, others) = under(clock, || on_files(word)).map_err(context)?;
            let first = life.iter().zip(&other).find(|(one, two)| one != two);
            ensure(life == other, "time", || format!("a clock changed {first:?}")).map_err(context)?;
            for (at, (one, two)) in media.iter().zip(&others).enumerate() {
                let (one, two) = (under(sound, || recovered(one))?, under(clock, || recovered(two))?);
                ensure(one == two, "time", || format!("after op {at}: {one} became {two}"))
                    .map_err(context)?;
            }
            book(fired);
        }
    }
    Ok(())
}

fn on_indexeddb(word: &str, memory: Memory) -> Checked<(State, String)> {
    let mut run = queued::run::Run::start(memory)?;
    queued::step::parse(word).into_iter().try_for_each(|step| run.step(step))?;
    let volume = &run.tab.as_ref().expect("nobody else came").volume;
    let (state, told) = (run.history.newest().state.clone(), told(volume)?);
    run.end()?;
    Ok((state, told))
}

fn indexeddb(fired: &Fired) -> Checked<()> {
    for word in ["a0.S.*.t.f.1.k.a01.S.*", "L.C.S.*.h9.r.c.S.*.P.s1.S.*", "a01.S.*.o.t.S.*.P.L.S.*"] {
        for memory in queued::MEMORIES {
            let wanted = under(sound, || on_indexeddb(word, memory))?;
            let _ = STRUCK.take();
            for clock in WRONG {
                let found = under(clock, || on_indexeddb(word, memory))?;
                ensure(found == wanted, "time", || format!("{word}: {wanted:?} became {found:?}"))?;
                book(fired);
            }
        }
    }
    Ok(())
}

fn on_opfs(word: &str) -> Checked<(State, String)> {
    let mut run = opfs::Run::stopped(SimBrowser::new(), crate::workload::nothing());
    run.open()?.map_err(|error| unexpected(&error))?;
    for letter in word.chars() {
        run.step(letter)?.map_err(|error| unexpected(&error))?;
    }
    let (volume, _) = run.open.as_ref().expect("open");
    Ok((run.history.newest().state.clone(), told(volume)?))
}

fn browser_files(fired: &Fired) -> Checked<()> {
    for word in opfs::WORDS {
        let wanted = under(sound, || on_opfs(word))?;
        let _ = STRUCK.take();
        for clock in WRONG {
            let found = under(clock, || on_opfs(word))?;
            ensure(found == wanted, "time", || format!("{word}: {wanted:?} became {found:?}"))?;
            book(fired);
        }
    }
    Ok(())
}

#[test]
fn nothing_but_the_time_of_a_change_depends_on_the_clock() {
    let tried = |run: fn(&Fired) -> Checked<()>, struck: fn(&Fired) -> Checked<()>| {
        let fired = Fired::default();
        no_panic(|| run(&fired))
            .and_then(|()| struck(&fired))
            .unwrap_or_else(|violation| panic!("{violation}"));
    };
    tried(files, |fired| fired.all_struck("clock on files"));
    tried(browser_files, |fired| fired.all_struck("clock on opfs"));
    tried(indexeddb, |fired| fired.all_struck("clock on indexeddb"));
}

#[test]
fn the_time_of_a_change_is_what_the_clock_said() {
    let times = [NOW + YEAR, 5, NOW];
    for time in times {
        let clock: fn() -> u64 = match time {
            5 => || 5,
            NOW => || NOW,
            _ => || NOW + YEAR,
        };
        let changed = under(clock, || {
            let volume = Volume::open(SimDisk::new(1), options())?;
            let mut writer = volume.begin()?;
            writer.write(BlockNo(0), &crate::reference::fill(0, 1))?;
            writer.commit(Durability::Durable)?;
            volume.rotate()?;
            volume.compact()?;
            volume.metadata(BlockNo(0))
        });
        let changed = changed.map_err(|error| error.kind());
        assert!(matches!(changed, Ok(Some(known)) if known.modified_ms == time), "{time}: {changed:?}");
    }
}
