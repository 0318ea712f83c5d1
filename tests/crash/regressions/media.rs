//! Media that refuse, rot, lie or hold anything at all.

use super::*;

/// Damage to any page of the log below the newest proven commit is corruption, wherever it lies.
pub fn midlog_rot() -> Checked<()> {
    for word in ["d0.d01.d0.w0", "d0.r.d01.w0", "d0.d01.d0.d0", "d0.k.d01.w0", "d0.r.d01.c.c.c.c.c.c.c"] {
        let mut run = after(word)?;
        run.die();
        let wanted = run.history.newest().state.clone();
        // Everything here is durable, but for removals: without those an open has nothing to settle.
        let image = worst(&run);
        for segment in image.segments() {
            let area = Area::Segment(segment);
            // The window that remains without a witness, or a META published since: the newest commit, two pages.
            let window = if word.ends_with("w0") || word.ends_with('c') { 0 } else { 2 };
            let used =
                (0..image.len(area).unwrap_or(0) / PAGE).filter(|page| image.visible(area, *page).is_some());
            let used: Vec<u64> = used.collect();
            for page in &used[..used.len().saturating_sub(window)] {
                let disk = SimDisk::from_state(image.clone(), 1);
                disk.inject(Fault::Rot { area, byte: page * PAGE + 300, flip: 8 });
                let bad = disk.state().fingerprint();
                let opened = Volume::open(disk.clone(), options()).map_err(|error| error.kind());
                let touched = opened.is_err() && disk.state().fingerprint() != bad;
                ensure(!touched, "I8 no silence", || "a refused open changed the medium".into())?;
                match opened {
                    Err(ErrorKind::Corrupt) => {}
                    Err(other) => {
                        return Err(Violation::new(
                            "I8 no silence",
                            format!("{word} {area} page {page}: {other:?}"),
                        ));
                    }
                    Ok(volume) => {
                        let state = read_state(&snapshot(&volume)?)?;
                        let fine = state.map_or(true, |state| state == wanted);
                        ensure(fine, "I8 no silence", || {
                            format!("{word}: rot of {area} page {page} cut the log")
                        })?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Bytes that verify, but belong elsewhere, are rejected: pages swapped and moved within and between areas.
pub fn wrong_identity() -> Checked<()> {
    for word in ["d01.d01.w0", "L.C.d01.r.w0", "d01.z"] {
        let mut run = after(word)?;
        run.die();
        let image = run.disk.state();
        let wanted = &run.history.newest().state;
        let pages: Vec<(Area, u64)> = image
            .areas()
            .flat_map(|area| (0..image.len(area).unwrap_or(0) / PAGE).map(move |page| (area, page)))
            .filter(|(area, page)| image.visible(*area, *page).is_some())
            .collect();
        for (from, page) in &pages {
            for (to, to_page) in &pages {
                if (from, page) == (to, to_page) {
                    continue;
                }
                let disk = SimDisk::from_state(image.clone(), 1);
                let bytes = *bytes_of(&image.visible(*from, *page));
                let copy = Op::Write { area: *to, offset: to_page * PAGE, bytes: bytes.to_vec().into() };
                datasync::backend::Backend::apply(&disk, &copy).expect("nothing is wrong with the disk");
                let Ok(volume) = Volume::open(disk, options()) else { continue };
                let Ok(state) = read_state(&snapshot(&volume)?)? else { continue };
                ensure(state == *wanted, "I6 no wrong data", || {
                    format!(
                        "{word}: {from} page {page} over {to} page {to_page} shows {state:?}, not {wanted:?}"
                    )
                })?;
            }
        }
    }
    Ok(())
}

/// A failed barrier ends the life of the store: the commit is in doubt, later ones are refused, reads go on.
pub fn failed_barrier() -> Checked<()> {
    let fired = Fired::default();
    for how in BarrierFailure::ALL {
        let mut run = after("d01.d0")?;
        run.disk.inject(Fault::FailBarrier { nth: 1, how, kind: ErrorKind::Io });
        let error = match run.step(Letter::Durable0)? {
            Ok(()) => {
                return Err(Violation::new("I2 durability", "acknowledged although the barrier failed"));
            }
            Err(error) => error,
        };
        let ErrorKind::Indeterminate(id) = error.kind() else {
            return Err(Violation::new("I15 one outcome", format!("a failed barrier says {error}")));
        };
        let volume = run.volume.clone().expect("open");
        let refused = run.step(Letter::Durable0)?;
        let kind = refused.map_err(|error| error.kind());
        ensure(kind == Err(ErrorKind::Poisoned), "I2 durability", || {
            format!("after a failed barrier: {kind:?}")
        })?;
        let state = snapshot(&volume).and_then(|snapshot| read_state(&snapshot))?;
        let fine = state.is_ok_and(|state| state == run.history.commits[run.history.commits.len() - 2].state);
        ensure(fine, "I6 no wrong data", || "reads of durable data must go on".into())?;
        drop(volume);
        run.die();
        fired.book(&run.disk);
        run.open()?;
        let volume = run.volume.clone().expect("open");
        let first = volume.outcome_of(id);
        ensure(first != Outcome::Unknown, "I15 one outcome", || {
            "the outcome is unknown after reopening".into()
        })?;
        step(&mut run, "d0.k.d0.z")?;
        let again = run.volume.clone().expect("open").outcome_of(id);
        ensure(first == again, "I15 one outcome", || format!("{id} was {first:?}, then {again:?}"))?;
    }
    fired.all_struck("failed barrier")
}

/// A disk without a free byte lets a store be recovered and read, and used again once there is room.
pub fn zero_free_bytes() -> Checked<()> {
    for word in
        ["d0.a1", "d01.r.d0.a1", "L.C.a0", "a0.a1.a0", "L", "d0.L", "a0.a1.a0.a1.a0.y", "d0.a1.a0.a1.a0.d01"]
    {
        let mut run = after(word)?;
        run.die();
        run.disk.set_free_pages(Some(0));
        let context = |violation: Violation| violation.at(format!("{word}, no space left"));
        run.open().map_err(context)?;
        run.die();
        run.disk.set_free_pages(Some(0));
        run.open().map_err(|violation| context(violation.at("opened a second time")))?;
        run.disk.set_free_pages(None);
        step(&mut run, "d0.k.C.d01.z").map_err(context)?;
        // The power goes too, and somebody else takes whatever space that set free.
        let run = after(word)?;
        let cut = SimDisk::from_state(worst(&run), 1);
        cut.set_free_pages(Some(0));
        let mut next = Run::stopped(cut, run.history.clone());
        next.open().map_err(|violation| context(violation.at("after a power cut")))?;
    }
    Ok(())
}

/// A writer that lost its store without knowing goes on writing; nothing of it ever shows.
pub fn zombie() -> Checked<()> {
    for word in ["d0", "d0.a1", "d01.r.d0"] {
        let mut run = after(word)?;
        let zombie = run.volume.take().expect("open");
        let image = run.disk.clone();
        run.history.acknowledge_all(u64::MAX - 1);
        let mut next = Run::stopped(image.clone(), run.history.clone());
        next.open()?;
        for then in ["", "d01", "C"] {
            step(&mut next, then)?;
            if let Ok(mut writer) = zombie.begin() {
                let _ = writer.write(BlockNo(0), &fill(0, 1 << 30));
                let _ = writer.commit(Durability::Durable);
            }
            next.volume = None;
            let context = |violation: Violation| violation.at(format!("{word}, then {then}"));
            next.open().map_err(context)?;
            // Files have a lock, which this disk has not: what a deposed process is told is not asked here.
            let owner = next.volume.as_ref().expect("open");
            let seen = reads(read_state(&snapshot(owner)?)?)?;
            fenced(false, &seen, &next.history.newest().state).map_err(context)?;
        }
    }
    Ok(())
}

/// Bytes of any kind where META and segments should be: an error or a store, never a panic.
pub fn hostile_bytes() -> Checked<()> {
    let mut run = after("d01.r.d0.C.a1")?;
    run.die();
    let image = run.disk.state();
    let areas: Vec<Area> = image.areas().collect();
    let mut random = Random::new(8);
    for round in 0..600 {
        let disk = SimDisk::from_state(image.clone(), 1);
        for _ in 0..1 + random.below(6) {
            let area = *random.pick(&areas);
            let pages = image.len(area).unwrap_or(0) / PAGE;
            let page = random.below(pages as usize + 2) as u64;
            let mut bytes = *bytes_of(&image.visible(area, page));
            match random.below(4) {
                0 => bytes = *bytes_of(&datasync::backend::sim::garbage(random.draw())),
                1 => bytes = [0xff; BLOCK_SIZE],
                _ => (0..1 + random.below(9))
                    .for_each(|_| bytes[random.below(BLOCK_SIZE)] = random.draw() as u8),
            }
            let write = Op::Write { area, offset: page * PAGE, bytes: bytes.to_vec().into() };
            datasync::backend::Backend::apply(&disk, &write).expect("nothing is wrong with the disk");
        }
        no_panic(|| {
            for read_only in [true, false] {
                if let Ok(volume) = Volume::open(disk.clone(), options().read_only(read_only)) {
                    let _ = read_state(&snapshot(&volume)?)?;
                    let _ = volume.verify(&mut |_, _| ());
                }
            }
            Ok(())
        })
        .map_err(|violation| violation.at(format!("round {round}")))?;
    }
    Ok(())
}

/// With every copy of META unreadable, a store that held data is damaged. It is never "new".
pub fn lost_meta() -> Checked<()> {
    for word in ["d01.z", "d01", "L.C", "d01.C.s1.z"] {
        let mut run = after(word)?;
        if word.ends_with('z') {
            run.volume.take().expect("open").close().map_err(|error| unexpected(&error))?;
        }
        run.die();
        let image = run.disk.state();
        for blank in [false, true] {
            let disk = SimDisk::from_state(image.clone(), 1);
            let pages = image.len(Area::Meta).unwrap_or(0) / PAGE;
            for page in 0..pages {
                let old = *bytes_of(&image.visible(Area::Meta, page));
                let bytes: Vec<u8> = old.iter().map(|byte| if blank { 0 } else { byte ^ 0x11 }).collect();
                let write = Op::Write { area: Area::Meta, offset: page * PAGE, bytes: bytes.into() };
                datasync::backend::Backend::apply(&disk, &write).expect("nothing is wrong with the disk");
            }
            let kind = kind_of(&disk.state()).err();
            ensure(kind == Some(ErrorKind::Corrupt), "I8 no silence", || {
                format!("{word}: META gone (zeros: {blank}), open says {kind:?}")
            })?;
        }
    }
    Ok(())
}

/// A read that fails while opening makes the open fail or costs nothing; it never shortens the log.
pub fn read_errors() -> Checked<()> {
    let fired = Fired::default();
    for word in ["d0.a1.d01", "d01.r.d0.w0", "L.C.d0.k.d01"] {
        let mut run = after(word)?;
        run.die();
        let image = run.disk.state();
        for lasting in [false, true] {
            for area in image.areas().collect::<Vec<_>>() {
                for sector in 0..image.len(area).unwrap_or(0) / SECTOR as u64 {
                    let disk = SimDisk::from_state(image.clone(), 1);
                    disk.inject(Fault::Unreadable { area, sector, lasting });
                    let context = |broken: Violation| broken.at(format!("{word}: {area} sector {sector}"));
                    if let Ok(volume) = Volume::open(disk.clone(), options())
                        && let Ok(state) = read_state(&snapshot(&volume)?)?
                    {
                        ensure(state == run.history.newest().state, "I8 no silence", || {
                            format!("a read error made {state:?} of it")
                        })
                        .map_err(context)?;
                    }
                    disk.heal();
                    fired.book(&disk);
                    let after = disk.crash_process().state().after(&Cut::default());
                    check(&after, &expected(&run.history)).map_err(context)?;
                }
            }
        }
    }
    fired.all_struck("read errors")
}

/// No room is told before anything is written, and room makes the same store go on.
pub fn honest_full() -> Checked<()> {
    for free in 0..24 {
        let mut run = after("d01.r.d0")?;
        run.disk.set_free_pages(Some(free));
        let mut told = None;
        for letter in parse("L.L.L.d0.d0.d0.L") {
            if let Err(error) = run.step(letter)? {
                told = Some(error.kind());
                break;
            }
        }
        let honest = matches!(told, None | Some(ErrorKind::Full));
        ensure(honest, "I9 progress", || format!("with {free} pages free the store says {told:?}"))?;
        run.disk.set_free_pages(None);
        step(&mut run, "d01.C.d0")
            .map_err(|violation| violation.at(format!("{free} pages had been free")))?;
        check(&worst(&run), &expected(&run.history))
            .map_err(|violation| violation.at(format!("{free} pages free")))?;
    }
    Ok(())
}

/// Barriers that do nothing may cost a suffix; what is shown is still a prefix, and never wrong bytes.
pub fn lying_disk() -> Checked<()> {
    let fired = Fired::default();
    let mut random = Random::new(5);
    for word in ["d0.d01.w0", "d01.r.d0.C.d01", "L.C.d0"] {
        for nth in [1, 3, 6] {
            let mut run = Run::start(SimDisk::new(4))?;
            run.disk.inject(Fault::LyingBarriers { nth });
            step(&mut run, word)?;
            run.die();
            fired.book(&run.disk);
            for _ in 0..40 {
                let state = run.disk.state();
                let (cut, image) = state.draw_image(&mut random);
                fired.cut(&state, &cut);
                let commits = &run.history.commits;
                let Ok(volume) = kind_of(&image) else { continue };
                let opened = snapshot(&volume)?;
                let Ok(state) = read_state(&opened)? else { continue };
                ensure(commits.iter().any(|commit| commit.state == state), "I6 no wrong data", || {
                    format!("{word}: a lying disk made {state:?}")
                })?;
            }
        }
    }
    fired.all_struck("lying disk")
}

/// A header whose digest is right and whose content names another place, life, predecessor or batch.
pub fn forged_headers() -> Checked<()> {
    for word in ["d01.d0", "d01.r.d0", "L"] {
        let mut run = after(word)?;
        run.die();
        let image = run.disk.state();
        let segments = image.segments();
        for (number, segment) in segments.iter().enumerate() {
            let area = Area::Segment(*segment);
            let pages = image.len(area).unwrap_or(0) / PAGE;
            let last = (0..pages).rev().find_map(|page| {
                let (group, _) = Group::decode(bytes_of(&image.visible(area, page))).ok()?;
                matches!(group.role, Role::Batch { last: true, .. }).then_some((page, group))
            });
            let Some((page, group)) = last else { continue };
            let sealed =
                segments.get(number + 1).is_some_and(|next| image.visible(Area::Segment(*next), 0).is_some());
            for (what, forged) in forgeries(&group, sealed) {
                let mut bytes = [0; BLOCK_SIZE];
                forged.encode(&mut bytes);
                let disk = SimDisk::from_state(image.clone(), 1);
                let write = Op::Write { area, offset: page * PAGE, bytes: bytes.to_vec().into() };
                datasync::backend::Backend::apply(&disk, &write).expect("nothing is wrong with the disk");
                let Ok(volume) = Volume::open(disk, options()) else { continue };
                let Ok(state) = read_state(&snapshot(&volume)?)? else { continue };
                ensure(state != run.history.newest().state, "I6 no wrong data", || {
                    format!("{word}: {area} page {page} with {what} forged was accepted")
                })?;
            }
        }
    }
    Ok(())
}

fn forgeries(group: &Group, sealed: bool) -> Vec<(&'static str, Group)> {
    let mut forged: Vec<(&'static str, Group)> =
        ["chain", "batch", "salt", "epoch", "segment", "store", "page"]
            .map(|what| (what, group.clone()))
            .into();
    for (what, group) in &mut forged {
        match *what {
            "chain" => group.chain ^= 1,
            "batch" => group.batch ^= 1,
            "salt" => group.identity.salt ^= 1,
            "epoch" => group.identity.epoch = group.identity.epoch.next(),
            "segment" => group.identity.segment = group.identity.segment.next(),
            "store" => group.identity.store.0[3] ^= 1,
            _ => group.page += 1,
        }
    }
    if sealed {
        // Sound in itself; only META knows that the segment ended otherwise.
        forged.push(("time", Group { wall_ms: group.wall_ms + 1, ..group.clone() }));
    }
    forged
}

/// base.db of a closed store may be opened by any program; a store does not go on over what that changed.
pub fn changed_base() -> Checked<()> {
    let mut run = after("d01.h9")?;
    run.volume.take().expect("open").close().map_err(|error| unexpected(&error))?;
    let image = run.disk.state();
    let len = image.len(Area::Base).unwrap_or(0);
    let longer = Op::Resize { area: Area::Base, bytes: len + PAGE };
    let shorter = Op::Resize { area: Area::Base, bytes: len - PAGE };
    let other = Op::Write { area: Area::Base, offset: 0, bytes: vec![3; BLOCK_SIZE].into() };
    for change in [longer, shorter, other] {
        let disk = SimDisk::from_state(image.clone(), 1);
        datasync::backend::Backend::apply(&disk, &change).expect("nothing is wrong with the disk");
        let kind = Volume::open(disk, options()).map_err(|error| error.kind()).err();
        ensure(kind == Some(ErrorKind::Corrupt), "I8 no silence", || {
            format!("after `{change}` open says {kind:?}")
        })?;
    }
    Ok(())
}
