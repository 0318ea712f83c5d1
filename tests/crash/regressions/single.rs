//! One thing is wrong and the store has what it takes to go on: nothing may be lost, and nothing hidden.

use datasync::backend::Backend;
use datasync::block::Lsn;
use datasync::format::segment::SegmentHeader;

use super::*;

/// Everything a user can ask of an opened store.
fn seen(volume: &Volume) -> Checked<(State, u64, Option<u64>)> {
    let view = snapshot(volume)?;
    let request = volume.last_request(crate::workload::CLIENT).map(|tag| tag.seq);
    Ok((reads(read_state(&view)?)?, view.lsn().0, request))
}

/// META has four copies and every page of sums two; one of them rots, or never got its last write, and the store
/// is the same in every answer.
pub fn one_rotten_copy() -> Checked<()> {
    for word in ["d01.r.t0.d0", "L.C.td.C", "L.C.s1.C.d0"] {
        let mut run = after(word)?;
        let before = seen(run.volume.as_ref().expect("open"))?;
        run.die();
        let image = run.disk.state();
        for area in [Area::Meta, Area::Sums] {
            for page in 0..image.len(area).unwrap_or(0) / PAGE {
                let bytes = *bytes_of(&image.visible(area, page));
                let used = bytes.iter().take(300).rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
                let rot = (0..used as u64).map(|byte| Fault::Rot {
                    area,
                    byte: page * PAGE + byte,
                    flip: 1 << (byte % 8),
                });
                let lost = (area == Area::Sums).then_some(Fault::LostWrite { area, page });
                for fault in rot.step_by(3).chain(lost) {
                    let disk = SimDisk::from_state(image.clone(), 1);
                    disk.inject(fault);
                    let context = |violation: Violation| violation.at(format!("{word} under {fault}"));
                    let volume = Volume::open(disk, options())
                        .map_err(|error| context(Violation::new("I9 progress", error.to_string())))?;
                    let found = seen(&volume).map_err(context)?;
                    ensure(found == before, "I6 no wrong data", || format!("{found:?}, not {before:?}"))
                        .map_err(context)?;
                }
            }
        }
    }
    Ok(())
}

/// A segment whose header is sound and says something else than META is damage, never an empty log.
pub fn misfit_segments() -> Checked<()> {
    for word in ["d01.r.d0", "d01.r.d0.r.d01"] {
        let mut run = after(word)?;
        run.die();
        let image = run.disk.state();
        let forgeries: [fn(&mut SegmentHeader); 6] = [
            |header| header.after = Lsn(header.after.0 + 1),
            |header| header.previous = None,
            |header| header.previous = header.previous.map(|(id, cut)| (id.next(), cut)),
            |header| header.previous.iter_mut().for_each(|(_, cut)| cut.chain ^= 1),
            |header| header.identity.store.0[0] ^= 1,
            |header| header.identity.salt ^= 1,
        ];
        for segment in image.segments().into_iter().skip(1) {
            let area = Area::Segment(segment);
            let Ok((header, _)) = SegmentHeader::decode(bytes_of(&image.visible(area, 0))) else { continue };
            for (number, forge) in forgeries.iter().enumerate() {
                let mut forged = header;
                forge(&mut forged);
                let mut bytes = [0; BLOCK_SIZE];
                forged.encode(&mut bytes);
                let disk = SimDisk::from_state(image.clone(), 1);
                write(&disk, area, 0, &bytes);
                let kind = kind_of(&disk.state()).err();
                ensure(kind == Some(ErrorKind::Corrupt), "I8 no silence", || {
                    format!("{word}: {area} with forgery {number}: open says {kind:?}")
                })?;
            }
        }
    }
    Ok(())
}

/// Sound headers with numbers that no store counts to, or that go back, are refused and do no harm.
pub fn impossible_numbers() -> Checked<()> {
    for word in ["d0.t0.y", "d01.C.t0.y"] {
        let mut run = after(word)?;
        run.die();
        let image = run.disk.state();
        let marker = |area: Area| {
            (0..image.len(area).unwrap_or(0) / PAGE).rev().find_map(|page| {
                let (group, _) = Group::decode(bytes_of(&image.visible(area, page))).ok()?;
                matches!(group.role, Role::Batch { last: true, .. }).then_some((area, page, group))
            })
        };
        let last = image.segments().into_iter().rev().find_map(|segment| marker(Area::Segment(segment)));
        let Some((area, page, group)) = last else { continue };
        let forgeries: [fn(&mut Group); 6] = [
            |group| group.identity.segment = group.identity.segment.next(),
            |group| group.page += 1,
            |group| group.lsn = Lsn(u64::MAX - 1),
            |group| group.size = u64::MAX - 5,
            |group| group.lsn = Lsn(0),
            |group| group.identity.checksum = datasync::Checksum::Crc32,
        ];
        for (number, forge) in forgeries.iter().enumerate() {
            let mut forged = group.clone();
            forge(&mut forged);
            let mut bytes = [0; BLOCK_SIZE];
            forged.encode(&mut bytes);
            let disk = SimDisk::from_state(image.clone(), 1);
            write(&disk, area, page, &bytes);
            let Ok(volume) = Volume::open(disk, options()) else { continue };
            let view = snapshot(&volume)?;
            let newest = run.history.newest().id.map(|id| id.lsn);
            ensure(newest.is_some_and(|newest| view.lsn() < newest), "I6 no wrong data", || {
                format!("{word}: a header with forgery {number} was taken for commit {}", view.lsn())
            })?;
        }
    }
    Ok(())
}

/// The log lost, to a disk that lied, what a fold had copied already: the base says so instead of mixing times.
pub fn base_ahead_of_log() -> Checked<()> {
    let mut run = after("L.C.d0.r.td.r")?;
    let segments = run.disk.state().segments();
    step(&mut run, "c.c.c")?;
    run.die();
    let image = run.disk.state();
    let mut shown = 0;
    for segment in segments {
        let area = Area::Segment(segment);
        let disk = SimDisk::from_state(image.clone(), 1);
        for page in 1..image.len(area).unwrap_or(0) / PAGE {
            write(&disk, area, page, &[0; BLOCK_SIZE]);
        }
        let Ok(volume) = Volume::open(disk, options()) else { continue };
        if let Ok(state) = read_state(&snapshot(&volume)?)? {
            shown += 1;
            let known = run.history.commits.iter().any(|commit| commit.state == state);
            ensure(known, "I6 no wrong data", || format!("{state:?} was never there"))?;
        }
    }
    ensure(shown < 2, "test", || "the log was never lost".into())
}

/// One read that is wrong, of any page, is read once more and is no damage.
pub fn wrong_once() -> Checked<()> {
    let fired = Fired::default();
    for word in ["d01.d0", "L.C"] {
        let run = after(word)?;
        let image = run.disk.state();
        let volume = run.volume.as_ref().expect("open");
        for area in image.areas().collect::<Vec<_>>() {
            for page in 0..image.len(area).unwrap_or(0) / PAGE {
                let ours = (0..BLOCKS).any(|block| is_payload(&image.visible(area, page), block));
                if !ours {
                    continue;
                }
                run.disk.heal();
                run.disk.inject(Fault::GarbledRead { area, page });
                let state = reads(read_state(&snapshot(volume)?)?)
                    .map_err(|violation| violation.at(format!("{word}: {area} page {page}")))?;
                ensure(state == run.history.newest().state, "I6 no wrong data", || format!("{state:?}"))?;
            }
        }
        fired.book(&run.disk);
    }
    fired.all_struck("read wrong once")
}

/// A block is given out by `allocate` to one commit only, and never while it holds data.
pub fn free_blocks() -> Checked<()> {
    for then in ["", "C", "k", "C.k", "z"] {
        let mut run = after("L.y")?;
        step(&mut run, "t0.y.C")?;
        step(&mut run, then)?;
        let volume = run.volume.clone().expect("open");
        let mut given = Vec::new();
        for _ in 0..3 {
            let mut writer = volume.begin().map_err(|error| unexpected(&error))?;
            let block = writer.allocate().map_err(|error| unexpected(&error))?;
            writer.write(block, &fill(block.0, 77)).map_err(|error| unexpected(&error))?;
            writer.commit(Durability::Durable).map_err(|error| unexpected(&error))?;
            given.push(block.0);
        }
        let fresh = given.iter().all(|block| *block == 0 || *block >= 12);
        let once = given[0] != given[1] && given[1] != given[2] && given[0] != given[2];
        ensure(fresh && once && given[0] == 0, "allocate", || format!("gave out {given:?} after `{then}`"))?;
    }
    Ok(())
}

/// What a transaction wrote and then cut off itself is zeros when the database grows again.
pub fn cut_off_itself() -> Checked<()> {
    for (kept, spill) in [(4096, false), (4096, true), (6000, false), (6000, true)] {
        let run = after("L.C")?;
        let volume = run.volume.clone().expect("open");
        let work = || -> datasync::Result<()> {
            let mut writer = volume.begin()?;
            for block in 0..if spill { 12 } else { 3 } {
                writer.write(BlockNo(block), &fill(block, 88))?;
            }
            writer.set_size(kept)?;
            writer.commit(Durability::Durable)?;
            let mut writer = volume.begin()?;
            writer.set_size(12 * PAGE)?;
            writer.commit(Durability::Durable).map(drop)
        };
        work().map_err(|error| unexpected(&error))?;
        let view = snapshot(&volume)?;
        for block in 0..12 {
            let mut bytes = [1; BLOCK_SIZE];
            reads(view.read(BlockNo(block), &mut bytes))?;
            let mut wanted = if block * PAGE < kept { fill(block, 88) } else { [0; BLOCK_SIZE] };
            let end = (kept.saturating_sub(block * PAGE) as usize).min(BLOCK_SIZE);
            wanted[end..].fill(0);
            ensure(bytes == wanted, "I6 no wrong data", || {
                format!("cut to {kept} bytes (spilled: {spill}), grown again: block {block} is not zeros")
            })?;
        }
    }
    Ok(())
}

/// Once `open` has returned, a new store is there for good, power cut or not.
pub fn new_store_stays() -> Checked<()> {
    let run = after("")?;
    let image = worst(&run);
    let there = Volume::open(SimDisk::from_state(image, 1), options().create(false));
    ensure(there.is_ok(), "I2 durability", || {
        format!("a store that was opened is gone after a power cut: {:?}", there.err().map(|e| e.to_string()))
    })
}

/// A copy of a store that was taken without its spare segment recovers, whatever crash comes in between.
pub fn copied_without_spare() -> Checked<()> {
    for word in ["d0.a1", "d01.r.a0.a1"] {
        let mut run = after(word)?;
        run.die();
        let spare = last_listed(&run.disk).next();
        let disk = run.disk.clone();
        for op in [Op::Remove(spare), Op::BarrierDirectory] {
            disk.apply(&op).expect("nothing is wrong with the disk");
        }
        run.history.acknowledge_older();
        disk.start_trace();
        let volume = Volume::open(disk.clone(), options()).map_err(|error| unexpected(&error))?;
        let shown = recovered(&volume, &expected(&run.history))?;
        for (at, moment) in disk.take_trace().iter().enumerate() {
            check(&moment.state.after(&Cut::default()), &expected(&run.history))
                .map_err(|violation| violation.at(format!("{word}, recovery op {at}")))?;
        }
        let exactly = Expected { commits: &run.history.commits, least: shown, most: shown };
        check(&disk.state().after(&Cut::default()), &exactly)?;
    }
    Ok(())
}

/// The number of the last segment that holds anything.
fn last_listed(disk: &SimDisk) -> datasync::block::SegmentId {
    let state = disk.state();
    let written = |id: &datasync::block::SegmentId| state.visible(Area::Segment(*id), 0).is_some();
    state.segments().into_iter().rev().find(written).expect("the store has a segment")
}

/// A fold that shrank the base is cut off anywhere; the database grows over what fell away and is closed, and
/// plain SQLite finds zeros there.
pub fn late_cut() -> Checked<()> {
    let mut run = after("L.C.s1.y")?;
    run.die();
    let history = run.history.clone();
    let mut folding = Run::stopped(run.disk.clone(), history.clone());
    folding.open()?;
    folding.disk.start_trace();
    step(&mut folding, "C")?;
    for (at, moment) in folding.disk.take_trace().iter().enumerate() {
        for image in [moment.state.clone(), moment.state.after(&Cut::default())] {
            let mut next = Run::stopped(SimDisk::from_state(image, 1), history.clone());
            let context = |violation: Violation| violation.at(format!("cut off at op {at} of the fold"));
            next.open().map_err(context)?;
            step(&mut next, "h9.z").map_err(context)?;
        }
    }
    Ok(())
}

fn write(disk: &SimDisk, area: Area, page: u64, bytes: &[u8; BLOCK_SIZE]) {
    let op = Op::Write { area, offset: page * PAGE, bytes: bytes.to_vec().into() };
    disk.apply(&op).expect("nothing is wrong with the disk");
}
