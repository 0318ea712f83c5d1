//! Media that no crash could leave: any bytes at all, and sound stores with forged pages.

use std::sync::OnceLock;

use datasync::backend::sim::{DiskState, SimDisk, bytes_of};
use datasync::backend::{Backend, Source};
use datasync::block::{BLOCK_SIZE, SegmentId};
use datasync::format::checksum::digest;
use datasync::format::meta::META_BYTES;
use datasync::log::plan::{Area, Op};
use datasync::volume::Volume;

use crate::choices::{Bytes, Choices};
use crate::cuts::Cuts;
use crate::invariants::{Checked, read_state, snapshot};
use crate::settings::options;
use crate::workload::{Run, parse, unexpected};

const PAGE: u64 = BLOCK_SIZE as u64;

/// Where bytes can be put.
const AREAS: [Area; 6] = [
    Area::Meta,
    Area::Base,
    Area::Sums,
    Area::Segment(SegmentId(1)),
    Area::Segment(SegmentId(2)),
    Area::Segment(SegmentId(3)),
];

/// Stores to start from: one segment, several, a folded base, an unproven tail, a clean close.
const STORES: [&str; 6] = ["d0", "d01.r.d0.w0", "L.C.s1.d0", "d0.k.a1.t0", "d01.z", "x.L.p.C.td.y"];

/// The bytes are written into an empty store's files piece by piece.
pub fn recovery_raw(data: &[u8]) -> Checked<()> {
    look(&spelled_out(data))
}

/// The medium that the bytes spell.
pub fn spelled_out(data: &[u8]) -> SimDisk {
    let disk = SimDisk::new(1);
    let mut bytes = Bytes(data);
    for area in AREAS {
        run(&disk, &Op::Create(area));
    }
    while !bytes.is_over() {
        edit(&disk, &mut bytes);
    }
    disk
}

/// A store whose pages are edited and sealed again, so that what lies behind the digests is reached.
pub fn recovery_fixup(data: &[u8]) -> Checked<()> {
    let mut bytes = Bytes(data);
    let disk = SimDisk::from_state(stores()?[bytes.below(STORES.len())].clone(), 1);
    while !bytes.is_over() {
        let (area, page) = edit(&disk, &mut bytes);
        if bytes.below(8) > 0 {
            seal(&disk, area, page);
        }
    }
    look(&disk)
}

fn stores() -> Checked<&'static [DiskState]> {
    static STATES: OnceLock<Vec<DiskState>> = OnceLock::new();
    if STATES.get().is_none() {
        let mut states = Vec::new();
        for word in STORES {
            let mut run = Run::start(SimDisk::new(4))?;
            for letter in parse(word) {
                run.step(letter)?.map_err(|error| unexpected(&error))?;
            }
            run.die();
            states.push(run.disk.state());
        }
        let _ = STATES.set(states);
    }
    Ok(STATES.get().map_or(&[], Vec::as_slice))
}

fn run(disk: &SimDisk, op: &Op) {
    disk.apply(op).expect("nothing is wrong with the disk");
}

/// One edit: where, and what is there afterwards. Returns the page.
fn edit(disk: &SimDisk, bytes: &mut Bytes<'_>) -> (Area, u64) {
    let there: Vec<Area> = disk.state().areas().collect();
    let area = *bytes.pick(&there);
    let pages = disk.state().len(area).unwrap_or(0) / PAGE;
    let page = bytes.below(pages as usize + 2).min(40) as u64;
    let mut whole = *bytes_of(&disk.state().visible(area, page));
    let at = bytes.below(BLOCK_SIZE);
    match bytes.below(8) {
        // Another page of the store, in this one's place.
        0 => {
            let from = *bytes.pick(&there);
            let pages = disk.state().len(from).unwrap_or(0) / PAGE;
            whole = *bytes_of(&disk.state().visible(from, bytes.below(pages as usize) as u64));
        }
        1 => whole[at..].fill(0),
        2 => whole[at..].fill(0xff),
        3 => whole[at] ^= 1 << bytes.below(8),
        4 => whole[at] = whole[at].wrapping_add(1),
        // As many bytes as come.
        _ => {
            let count = bytes.below(256).min(bytes.0.len()).min(BLOCK_SIZE - at);
            whole[at..at + count].copy_from_slice(&bytes.0[..count]);
            bytes.0 = &bytes.0[count..];
        }
    }
    run(disk, &Op::Write { area, offset: page * PAGE, bytes: whole.to_vec().into() });
    (area, page)
}

/// Makes the digest right: of a page of the log or the sums, or of the copy of META that the page is in.
fn seal(disk: &SimDisk, area: Area, page: u64) {
    let (from, len) = match area {
        Area::Meta => (page * PAGE / META_BYTES as u64 * META_BYTES as u64, META_BYTES),
        Area::Base => return,
        Area::Sums | Area::Segment(_) => (page * PAGE, BLOCK_SIZE),
    };
    let mut bytes = vec![0; len];
    let got = disk.read(area, from, &mut bytes).expect("nothing is wrong with the disk");
    bytes[got..].fill(0);
    let sum = digest(&bytes[..len - 8]);
    bytes[len - 8..].copy_from_slice(&sum.to_le_bytes());
    run(disk, &Op::Write { area, offset: from, bytes: bytes.into() });
}

/// Opens it in both ways and reads everything: any answer is right but a panic, or bytes nobody wrote.
fn look(disk: &SimDisk) -> Checked<()> {
    for read_only in [true, false] {
        let Ok(volume) = Volume::open(disk.clone(), options().read_only(read_only)) else { continue };
        let _ = read_state(&snapshot(&volume)?)?;
        let _ = volume.verify(&mut |_, _| ());
        if !read_only {
            use_it(&volume)?;
        }
    }
    Ok(())
}

/// A store that opened can be written, folded and closed, or says why not.
fn use_it(volume: &Volume) -> Checked<()> {
    use datasync::block::{BlockNo, Durability};
    if let Ok(mut writer) = volume.begin() {
        let _ = writer.allocate();
        let _ = writer.write(BlockNo(1), &crate::reference::fill(1, 9));
        let _ = writer.commit(Durability::Durable);
    }
    let _ = volume.compact();
    let _ = read_state(&snapshot(volume)?)?;
    let _ = volume.close();
    Ok(())
}
