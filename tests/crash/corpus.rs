//! The fuzzers' seeds, made from words, golden files and images of the simulated disk; and every committed
//! input, seeds and what fuzzing found, run as an ordinary test.
//!
//! `DATASYNC_WRITE_SEEDS=1` writes the seeds anew. Files: `fuzz/corpus/TARGET/seed-*` and `found-*`.

use std::fs;
use std::path::{Path, PathBuf};

use datasync::backend::sim::{DiskState, Random, SimDisk, bytes_of};
use datasync::block::BLOCK_SIZE;
use datasync::log::plan::Area;

use crate::invariants::{Checked, no_panic};
use crate::targets::{decode_group, recovery, recovery_fixup, recovery_raw};
use crate::workload::{Letter, Run, parse};

type Target = fn(&[u8]) -> Checked<()>;

const TARGETS: [(&str, Target); 4] = [
    ("recovery", recovery),
    ("recovery_raw", recovery_raw),
    ("recovery_fixup", recovery_fixup),
    ("decode_group", decode_group),
];

fn folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target)
}

/// The inputs of a target that are committed, by name.
fn committed(target: &str) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(target)).expect("every target has a corpus");
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.expect("readable").path()).collect();
    files.sort();
    let name = |path: &Path| path.file_name().expect("a file").to_string_lossy().into_owned();
    files
        .iter()
        .filter(|path| name(path).starts_with("seed-") || name(path).starts_with("found-"))
        .map(|path| (name(path), fs::read(path).expect("readable")))
        .collect()
}

#[test]
fn every_committed_input_of_the_fuzzers_keeps_every_promise() {
    let mut total = 0;
    for (target, run) in TARGETS {
        for (name, bytes) in committed(target) {
            if let Err(violation) = no_panic(|| run(&bytes)) {
                panic!("fuzz/corpus/{target}/{name}: {violation}");
            }
            total += 1;
        }
    }
    println!("corpora: {total} inputs");
    assert!(total >= 20, "only {total} inputs");
}

#[test]
fn the_seeds_are_what_they_are_made_from() {
    let write = std::env::var_os("DATASYNC_WRITE_SEEDS").is_some();
    for (target, name, bytes) in seeds() {
        let path = folder(target).join(format!("seed-{name}"));
        if write {
            fs::create_dir_all(folder(target)).expect("writable");
            fs::write(&path, &bytes).expect("writable");
        }
        assert!(fs::read(&path).is_ok_and(|there| there == bytes), "{}: write it anew", path.display());
    }
}

fn seeds() -> Vec<(&'static str, String, Vec<u8>)> {
    let mut seeds = Vec::new();
    for word in ["d0.a1.k.L.c.c.d0.z", "L.x.d0.z.a0.w0", "p.d01.C.td.k.C", "d01.r.d0.C.h9.s1.y.C"] {
        seeds.push(("recovery", word.to_owned(), life(word)));
    }
    for seed in 1..=3 {
        let mut random = Random::new(seed);
        let bytes = (0..160).map(|_| random.draw() as u8).collect();
        seeds.push(("recovery", format!("random-{seed}"), bytes));
    }
    for word in ["d0", "d0.r.a1", "d01.z"] {
        seeds.push(("recovery_raw", word.to_owned(), spelled(&image(word))));
    }
    for store in 0..6_u8 {
        // Area, page, where, what is done there, and that the page is sealed.
        let edits = [[0, 0, 0, 40, 4, 1], [3, 1, 0, 60, 4, 1], [2, 0, 0, 56, 4, 1], [3, 1, 0, 130, 3, 5]];
        let bytes = std::iter::once(store).chain(edits.into_iter().flatten()).collect();
        seeds.push(("recovery_fixup", format!("store-{store}"), bytes));
    }
    for name in ["group", "meta", "segment", "sums", "watermark"] {
        let golden =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1").join(format!("{name}.bin"));
        let mut bytes = fs::read(golden).expect("a golden file");
        // The digest at the end is made right by the target; without it the zeros before it can go too.
        bytes.truncate(bytes.len() - 8);
        while bytes.last() == Some(&0) {
            bytes.pop();
        }
        seeds.push(("decode_group", name.to_owned(), bytes));
    }
    seeds
}

/// A word as the target `recovery` reads it, with a power cut in the middle and one at the end.
fn life(word: &str) -> Vec<u8> {
    let letters = parse(word);
    let mut bytes = Vec::new();
    for (at, letter) in letters.iter().enumerate() {
        let number = Letter::ALL.iter().position(|known| known == letter).expect("a letter");
        bytes.extend([39, number as u8]);
        if at + 1 == letters.len() || at == letters.len() / 2 {
            bytes.extend([0, 0]);
            bytes.extend([0, 6, 11, 1].repeat(4));
        }
    }
    bytes
}

fn image(word: &str) -> DiskState {
    let mut run = Run::start(SimDisk::new(4)).expect("a new store");
    for letter in parse(word) {
        run.step(letter).expect("no promise is broken").expect("a healthy disk");
    }
    run.die();
    run.disk.state()
}

/// A medium as the target `recovery_raw` reads it: edits that make it from nothing.
fn spelled(image: &DiskState) -> Vec<u8> {
    let areas = [Area::Meta, Area::Base, Area::Sums];
    let segments = image.segments().into_iter().take(3).map(Area::Segment);
    let mut out = Vec::new();
    for (number, area) in areas.into_iter().chain(segments).enumerate() {
        for page in 0..image.len(area).unwrap_or(0) / BLOCK_SIZE as u64 {
            let mut put = |at: usize, piece: &[u8]| {
                out.extend([number as u8, page as u8, (at >> 8) as u8, at as u8, 7, piece.len() as u8]);
                out.extend(piece);
            };
            put(0, &[]);
            let bytes = *bytes_of(&image.visible(area, page));
            for (chunk, piece) in bytes.chunks(240).enumerate() {
                let used = piece.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                if used > 0 {
                    put(chunk * 240, &piece[..used]);
                }
            }
        }
    }
    out
}

#[test]
fn a_spelled_store_is_that_store_again() {
    let image = image("d0.r.a1");
    let disk = crate::targets::spelled_out(&spelled(&image));
    for area in [Area::Meta, Area::Base] {
        for page in 0..image.len(area).unwrap_or(0) / BLOCK_SIZE as u64 {
            let (one, two) = (image.visible(area, page), disk.state().visible(area, page));
            assert!(bytes_of(&one) == bytes_of(&two), "{area} page {page}");
        }
    }
}
