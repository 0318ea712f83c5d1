//! Folds: nothing is removed too early, nothing comes back, nothing rotten is made to look sound.

use super::*;

/// A payload that rotted in the log stays detectable after a fold, and does not stop it.
pub fn rot_is_never_folded() -> Checked<()> {
    let run = after("d01.d0.w0.p.r")?;
    let image = run.disk.state();
    let volume = run.volume.clone().expect("open");
    for segment in image.segments() {
        let area = Area::Segment(segment);
        for page in 1..image.len(area).unwrap_or(0) / PAGE {
            let bytes = image.visible(area, page);
            let ours = (0..BLOCKS).any(|block| is_payload(&bytes, block));
            if ours {
                run.disk.inject(Fault::Rot { area, byte: page * PAGE + 1000, flip: 1 });
            }
        }
    }
    let rotten = run.history.newest().state.clone();
    drop(run.volume);
    let _ = volume.compact();
    let look = |volume: &Volume| -> Checked<()> {
        match read_state(&snapshot(volume)?)? {
            Ok(state) => Err(Violation::new(
                "I8 no silence",
                format!("all payloads of {rotten:?} rotted, yet {state:?}"),
            )),
            Err(error) => {
                ensure(error.kind() == ErrorKind::Corrupt, "I8 no silence", || format!("told {error}"))
            }
        }
    };
    look(&volume)?;
    let mut writer = volume.begin().map_err(|error| unexpected(&error))?;
    writer.write(BlockNo(5), &fill(5, 99)).map_err(|error| unexpected(&error))?;
    writer
        .commit(Durability::Durable)
        .map_err(|error| unexpected(&error).at("rot must not stop writes"))
        .map(drop)
}

/// Segments go only after the META without them is durable; a failed publish forbids it for good.
pub fn no_early_removal() -> Checked<()> {
    let fired = Fired::default();
    for how in BarrierFailure::ALL {
        for nth in 1..12 {
            let mut run = after("d01.d0.r.d01")?;
            run.disk.inject(Fault::FailBarrier { nth, how, kind: ErrorKind::Io });
            let _ = run.step(Letter::Compact)?;
            let _ = run.step(Letter::Compact)?;
            fired.book(&run.disk);
            check(&worst(&run), &expected(&run.history))
                .map_err(|violation| violation.at(format!("barrier {nth} of a fold failed: {how:?}")))?;
        }
    }
    fired.all_struck("failed fold")
}

/// A trimmed block stays trimmed, whatever is folded when.
pub fn trim_survives() -> Checked<()> {
    for word in [
        "d0.C.t0.y.C.z",
        "d0.t0.y.C.k",
        "d0.C.t0.r.c.k.C.z",
        "d0.r.t0.r.C.k",
        "d01.C.td.C.d0.C.t0.z.z",
        "L.C.s1.C.z.k",
        "d0.C.t0.k.C.k.C.z",
        "d01.C.s1.k.C.L.C.s1.z",
        "L.C.s1.h9.C.z",
        "L.C.s1.h9.r.k.C.k",
        "L.C.s1.y.r.L.s1.h9.C.z",
    ] {
        let run = after(word)?;
        check(&worst(&run), &expected(&run.history)).map_err(|violation| violation.at(word))?;
    }
    Ok(())
}

/// A database that shrank and grows again holds zeros there, through folds and crashes at every op.
pub fn shrunk_blocks() -> Checked<()> {
    for word in ["L.C", "L.C.s1", "L.C.s1.C", "L.z.s1"] {
        let mut run = after(word)?;
        run.history.acknowledge_older();
        run.disk.start_trace();
        step(&mut run, if word.ends_with("s1") { "C" } else { "s1" })?;
        let (history, moments) = (&run.history, run.disk.take_trace());
        for (at, moment) in moments.iter().enumerate() {
            let (least, most) = history.bounds_at(at as u64);
            let allowed = Expected { commits: &history.commits, least, most };
            for image in [moment.state.clone(), moment.state.after(&Cut::default())] {
                check(&image, &allowed).map_err(|violation| violation.at(format!("{word} op {at}")))?;
            }
        }
    }
    Ok(())
}

/// A pinned reader is read after everything under it was rewritten, folded and truncated.
pub fn snapshot_across_folds() -> Checked<()> {
    for word in [
        "d01.p.d0.C.d01.C.u.C",
        "d01.C.p.td.r.C.s1.C.d01.C",
        "L.p.s1.y.r.c.c.c.L.C.u.C",
        "d0.C.p.t0.y.C.d0.C",
    ] {
        let mut run = Run::start(SimDisk::new(4))?;
        step(&mut run, word).map_err(|violation| violation.at(word))?;
    }
    Ok(())
}

/// A batch that spilled and was dropped stays out of every recovery, replay and fold.
pub fn abandoned() -> Checked<()> {
    for word in ["x.k", "d0.x.d1.k", "d0.x.x.C.k", "L.x.r.C.z", "x.a0.k.C", "d01.x.L.x.k.C.z"] {
        let word = word.replace("d1", "a1.y");
        let run = after(&word)?;
        check(&worst(&run), &expected(&run.history)).map_err(|violation| violation.at(&word))?;
        check(&run.disk.state(), &expected(&run.history)).map_err(|violation| violation.at(&word))?;
    }
    Ok(())
}

/// A barrier of a fold fails and leaves garbage under a clean cache; the next life folds again and is crashed at
/// every op of that.
pub fn spoilt_sums() -> Checked<()> {
    let bounds = Bounds { product: 81, pairs: true, drawn: 2, seed: 4 };
    for beginning in ["L.C.d0", "L.z.d0", "d01.z.d0.C.a0"] {
        for nth in 1.. {
            let mut run = after(beginning)?;
            run.disk.inject(Fault::FailBarrier { nth, how: BarrierFailure::Spoils, kind: ErrorKind::Io });
            if run.step(Letter::Compact)?.is_ok() {
                break;
            }
            run.die();
            run.open()?;
            run.history.acknowledge_older();
            run.disk.start_trace();
            step(&mut run, "C")?;
            for (at, moment) in run.disk.take_trace().iter().enumerate() {
                let mut checked = Ok(());
                moment.state.each_image(&bounds, |cut, image| {
                    checked = check(&image, &expected(&run.history)).map_err(|violation| {
                        violation
                            .at(format!("{beginning}, barrier {nth} spoilt, op {at} of the next fold: {cut}"))
                    });
                    checked.is_ok()
                });
                checked?;
            }
        }
    }
    Ok(())
}

/// Whatever step a fold has reached, a close goes on from there and folds what came after it too.
pub fn close_during_fold() -> Checked<()> {
    for steps in 0..9 {
        for word in ["d01.r.d0", "L.a0.r.t0", "d01.C.s1.r.h9"] {
            let mut run = after(word)?;
            let context = |violation: Violation| violation.at(format!("{word}, {steps} steps of a fold"));
            for _ in 0..steps {
                step(&mut run, "c").map_err(context)?;
            }
            step(&mut run, "a1.z").map_err(context)?;
        }
    }
    Ok(())
}

/// A barrier of a fold fails, and what the cache shows the disk never got; the next fold writes all of it again, so
/// that `base.db` is the database after a clean close and a power cut.
pub fn spoilt_base() -> Checked<()> {
    for (beginning, then) in
        [("L.C.s1.h9", ""), ("L.C.t0.y", ""), ("L.C.s1", "h9"), ("L.C.s1.h9", "d0.s1.h9")]
    {
        for (how, kind) in
            BarrierFailure::ALL.iter().flat_map(|how| [(*how, ErrorKind::Io), (*how, ErrorKind::Full)])
        {
            for nth in 1.. {
                let mut run = after(beginning)?;
                run.disk.inject(Fault::FailBarrier { nth, how, kind });
                if run.step(Letter::Compact)?.is_ok() {
                    break;
                }
                let context = |violation: Violation| {
                    violation
                        .at(format!("{beginning}, barrier {nth} of a fold: {how:?}, {kind:?}; then {then}"))
                };
                if run.volume.as_ref().is_some_and(|volume| volume.begin().is_err()) {
                    run.die();
                    run.open().map_err(context)?;
                }
                step(&mut run, then).and_then(|()| step(&mut run, "z")).map_err(context)?;
                let cut = SimDisk::from_state(worst(&run), 1);
                plain_database(&cut, &run.history.newest().state).map_err(context)?;
            }
        }
    }
    Ok(())
}
