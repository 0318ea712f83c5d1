//! A sample of simulated images as plain directories, each with what recovery sees in it: for the independent
//! decoder (`tests/golden/decode.py --images`), which has to see the same and knows `docs/format.md` alone.
//!
//! `DATASYNC_IMAGES=DIR` says where they go. `DIR/expected.jsonl` has a line for each image.

use std::collections::HashSet;
use std::fmt::Write;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use datasync::backend::queue::Memory;
use datasync::backend::sim::{DiskState, Fault, Random, SimDisk, SimOrigin, bytes_of};
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, BlockBytes, BlockNo, Durability};
use datasync::error::{Error, ErrorKind, Result};
use datasync::format::checksum::digest;
use datasync::log::plan::{Area, Op};
use datasync::volume::{OpenKind, Volume};

use crate::damage::{WORDS, faults};
use crate::invariants::BLOCKS;
use crate::reference::fill;
use crate::settings::options;
use crate::workload::{Run, parse, unexpected};

/// Commits of every durability, rotations, folds cut in the middle, batches that spilled or were given up, closing,
/// dying: every op of each is a moment at which the power goes.
const USED: [&str; 8] = [
    "d0.a1.w0.r.a0.a1",
    "d01.r.d0.r.c.c.c.a1.C.s1.a0",
    "L.x.C.d0.L.r.c.c.c.c.c.c.c.w0",
    "d01.d0.C.td.z.a0.t0.r.a1",
    "a0.k.d01.t0.r.a1.k.x.d0.a1",
    "h9.s1.r.C.h9.a1.r.td.c.c.c.c.c.s1",
    "L.s1.r.a0.r.d01.x.a1.w0.a0",
    "d0.d01.x.c.c.c.c.c.c.c.c.d0.d0.a1",
];

/// What is damaged: everything proven, and a last segment that only META proves.
const DAMAGED: &str = "d0.r.d01.d0.c.c.c.c.c.c.c.c";

/// A folder with images, and the lines about them.
struct Images {
    folder: PathBuf,
    lines: String,
    number: usize,
    known: HashSet<u64>,
}

impl Images {
    /// One more image, unless it is known.
    fn add(&mut self, kind: &str, image: &DiskState) {
        if self.known.insert(image.fingerprint()) {
            let disk = SimDisk::from_state(image.clone(), 1);
            self.write(kind, &disk, || seen(Volume::open(disk.clone(), options())));
        }
    }

    /// Writes what `source` holds now, then what `seen` makes of it.
    fn write(&mut self, kind: &str, source: &dyn Source, seen: impl FnOnce() -> String) {
        self.number += 1;
        let name = format!("{:04}", self.number);
        dump(source, &self.folder.join(&name)).expect("the medium reads and the folder is writable");
        let seen = seen();
        writeln!(self.lines, r#"{{"image": "{name}", "kind": "{kind}", "seen": {seen}}}"#).expect("memory");
    }
}

fn dump(source: &dyn Source, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder).expect("writable");
    let segments = source.segments()?.into_iter().map(Area::Segment);
    for area in [Area::Meta, Area::Base, Area::Sums].into_iter().chain(segments) {
        let Some(len) = source.len(area)? else { continue };
        let mut bytes = vec![0; len as usize];
        source.read(area, 0, &mut bytes)?;
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        let mut file = fs::File::create(folder.join(area.to_string())).expect("writable");
        // Space written ahead becomes a hole.
        file.write_all(&bytes[..used]).and_then(|()| file.set_len(len)).expect("writable");
    }
    Ok(())
}

/// What recovery says: nothing there, corrupt, or everything a reader can see.
fn seen(opened: Result<Volume>) -> String {
    let volume = match opened {
        Err(error) if is_damage(&error) => return r#"{"verdict": "corrupt"}"#.to_owned(),
        other => other.expect("opens or is corrupt"),
    };
    if volume.recovery().kind == OpenKind::Created {
        return r#"{"verdict": "nothing"}"#.to_owned();
    }
    let snapshot = volume.snapshot().expect("just opened");
    let mut blocks = Vec::new();
    for block in (0..BLOCKS).map(BlockNo) {
        let mut bytes = [0; BLOCK_SIZE];
        let read = volume.metadata(block).and_then(|known| {
            snapshot.read(block, &mut bytes)?;
            Ok(known)
        });
        match read {
            Ok(Some(known)) => {
                blocks.push(format!(r#""{block}": [{}, "{:016x}"]"#, known.version, digest(&bytes)));
            }
            Ok(None) => {}
            Err(error) if is_damage(&error) => blocks.push(format!(r#""{block}": "damaged""#)),
            Err(error) => panic!("block {block}: {error}"),
        }
    }
    let (size, report, blocks) = (snapshot.size(), volume.recovery(), blocks.join(", "));
    format!(
        r#"{{"verdict": "readable", "size": {size}, "last": {}, "torn": {}, "blocks": {{{blocks}}}}}"#,
        report.last, report.torn_tail_bytes
    )
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::AlgoMismatch)
}

/// A store that has gone through `word`.
fn used(word: &str) -> Run {
    let mut run = Run::start(SimDisk::new(9)).expect("a new disk");
    go_on(&mut run, word);
    run
}

fn go_on(run: &mut Run, word: &str) {
    for letter in parse(word) {
        let stepped = run.step(letter).expect("no promise is broken");
        stepped.map_err(|error| unexpected(&error)).expect("nothing is wrong with the disk");
    }
}

/// Power cuts at every moment of a word, and in the recovery of some of them.
fn cuts(images: &mut Images, word: &str, random: &mut Random) {
    let disk = SimDisk::new(1);
    disk.start_trace();
    go_on(&mut Run::start(disk.clone()).expect("a new disk"), word);
    for (at, moment) in disk.take_trace().iter().enumerate() {
        if at % 8 == 7 {
            images.add(&format!("process crash in {word}"), &moment.state);
        }
        let (_, image) = moment.state.draw_image(random);
        images.add(&format!("power cut in {word}"), &image);
        if at % 12 == 5 {
            let disk = SimDisk::from_state(image, 1);
            disk.start_trace();
            let _ = Volume::open(disk.clone(), options()).expect("a crash is no damage");
            for moment in disk.take_trace().iter().step_by(3) {
                let (_, image) = moment.state.draw_image(random);
                images.add(&format!("power cut in the recovery of {word}"), &image);
            }
        }
    }
}

/// A proven store with one thing gone bad.
fn damaged(images: &mut Images, word: &str) {
    let mut run = used(word);
    run.die();
    let image = run.disk.state();
    for fault in faults(&image).into_iter().step_by(5) {
        let disk = SimDisk::from_state(image.clone(), 9);
        disk.inject(fault);
        if !matches!(fault, Fault::StaleRead { .. }) && disk.faults().unfired().is_empty() {
            images.add(&format!("{word} with {fault}"), &disk.state());
        }
    }
}

/// What takes more than one fault: a segment without its groups under a fold that has begun, the header of another
/// segment, and an older META under everything that came later.
fn lost(images: &mut Images) {
    let mut run = used("L.C.d0.r.td.r");
    let before = run.disk.state();
    go_on(&mut run, "c.c.c");
    let image = run.disk.state();
    for segment in before.segments() {
        let area = Area::Segment(segment);
        let disk = SimDisk::from_state(image.clone(), 1);
        let header = before.visible(Area::Segment(before.segments()[0]), 0);
        put(&disk, area, 0, *bytes_of(&header));
        images.add("the header of another segment", &disk.state());
        let disk = SimDisk::from_state(image.clone(), 1);
        (1..16).for_each(|page| put(&disk, area, page, [0; BLOCK_SIZE]));
        images.add("a segment that lost its groups", &disk.state());
    }
    for (word, later) in [("d0.r.a1.d0", "r.d01"), ("d0.r.a1.d0", "k.d0"), ("d0.r.d01.C.d0", "r.td.C.a0")] {
        let mut run = used(word);
        let before = run.disk.state();
        go_on(&mut run, later);
        let disk = SimDisk::from_state(run.disk.state(), 1);
        (0..16).for_each(|page| put(&disk, Area::Meta, page, *bytes_of(&before.visible(Area::Meta, page))));
        images.add("an older META", &disk.state());
    }
}

fn put(disk: &SimDisk, area: Area, page: u64, bytes: BlockBytes) {
    let offset = page * BLOCK_SIZE as u64;
    disk.apply(&Op::Write { area, offset, bytes: bytes.into() }).expect("nothing is wrong with the disk");
}

/// The queued medium, as it reads after a power cut took some of its last transactions.
fn queued(images: &mut Images, seed: u64) {
    let (mut random, origin) = (Random::new(seed), SimOrigin::new());
    let memory = Memory { resident: false, bytes: 0, batch_bytes: 0 };
    for life in 0..4 {
        let tab = origin.open(memory).expect("never lost").busy_fetch();
        if life > 0 {
            let opened = || seen(Volume::open(tab.clone(), options()));
            images.write(&format!("queued medium, seed {seed}"), &tab.clone(), opened);
        }
        let volume = Volume::open(tab.clone(), options()).expect("a crash is no damage");
        for step in 0..8 {
            let mut writer = volume.begin().expect("nobody else writes");
            for _ in 0..1 + random.below(3) {
                let block = random.below(6) as u64;
                writer.write(BlockNo(block), &fill(block, 1 + random.draw() % 1000)).expect("room");
            }
            writer.commit(Durability::Applied).expect("nothing is wrong");
            match random.below(6) {
                0 => volume.rotate().expect("nothing is wrong"),
                1 => volume.compact().expect("nothing is wrong"),
                2 => tab.drain(),
                _ => drop(tab.flush(step % 2 == 0)),
            }
        }
        drop(volume);
        tab.drain();
        origin.cut_power(random.below(origin.losable() + 1));
    }
}

#[test]
fn images_are_written_for_the_independent_decoder() {
    let scratch = tempfile::tempdir().expect("a folder that goes away");
    let folder = std::env::var_os("DATASYNC_IMAGES").map(PathBuf::from);
    let folder = folder.unwrap_or_else(|| scratch.path().to_owned());
    let mut images = Images { folder, lines: String::new(), number: 0, known: HashSet::new() };
    let mut random = Random::new(1);
    USED.iter().for_each(|word| cuts(&mut images, word, &mut random));
    WORDS.iter().chain([&DAMAGED]).for_each(|word| damaged(&mut images, word));
    lost(&mut images);
    (1..=8).for_each(|seed| queued(&mut images, seed));
    fs::write(images.folder.join("expected.jsonl"), &images.lines).expect("writable");
    let count = |what: &str| images.lines.lines().filter(|line| line.contains(what)).count();
    let kinds = [r#""readable""#, r#""corrupt""#, r#""damaged""#, "recovery of", "queued medium"].map(count);
    println!("images: {}, of the kinds {kinds:?}", images.number);
    assert!(images.number >= 300 && kinds.iter().all(|kind| *kind > 5), "a thin sample: {kinds:?}");
}
