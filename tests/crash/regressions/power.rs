//! Power and process crashes: what a barrier covered, what it did not, and what recovery does about it.

use super::*;

/// What a durable commit acknowledged is there when everything unsynced is lost, at once.
pub fn ack_implies_barrier() -> Checked<()> {
    for word in
        ["d0", "a0.d01", "a0.y", "L", "r.d0", "d0.r.a1.r.y", "w0", "a0.a1.a0.a1.y", "d0.C.d0", "s1", "a0.z"]
    {
        let run = after(word)?;
        check(&worst(&run), &expected(&run.history)).map_err(|violation| violation.at(word))?;
    }
    Ok(())
}

/// What a recovery served from the cache is durable before it is served.
pub fn process_crash_then_power_cut() -> Checked<()> {
    let fired = Fired::default();
    for word in ["a0.k", "d0.a1.k", "a0.r.a1.k", "L.a0.k.a1.k", "a0.C.k", "a0.k.k"] {
        let mut run = after(word)?;
        check(&worst(&run), &expected(&run.history)).map_err(|violation| violation.at(word))?;
        // Once more, with all that the last process has left unsynced in the cache.
        run.die();
        let unsynced = !run.disk.state().is_settled();
        run.open()?;
        fired.add(Trouble::CutAfterOpening, u64::from(unsynced));
        check(&worst(&run), &expected(&run.history)).map_err(|violation| violation.at(word))?;
        fired.book(&run.disk);
    }
    fired.all_struck("late power cut")
}

/// A recovery with much to do is crashed after each of its ops.
pub fn every_recovery_op() -> Checked<()> {
    for word in ["d0.a1", "d01.r.a0", "L.C.t0"] {
        let mut run = after(word)?;
        run.die();
        let bounds = Bounds { product: 81, pairs: true, drawn: 4, seed: 2 };
        let tried = Tried::new();
        crash_recovery(&run.disk.state(), &expected(&run.history), &bounds, &tried)
            .map_err(|violation| violation.at(word))?;
    }
    Ok(())
}

/// Every combination of lost entries, with all data durable or all lost, around creation and rotation.
pub fn entries_are_independent() -> Checked<()> {
    for (beginning, letter) in [("", "r"), ("d0", "r"), ("d01.r.d0", "C"), ("d0.a1", "k"), ("d0", "z")] {
        let mut run = after(beginning)?;
        run.history.acknowledge_older();
        run.disk.start_trace();
        step(&mut run, letter)?;
        let moments = run.disk.take_trace();
        let history = run.before_recovery.as_ref().unwrap_or(&run.history);
        for (at, moment) in moments.iter().enumerate().take(moments.len() - 1) {
            let (least, most) = history.bounds_at(at as u64);
            let allowed = Expected { commits: &history.commits, least, most };
            let areas: Vec<Area> = moment.state.known_areas();
            for mask in 0..1u32 << areas.len().min(6) {
                for kept in [false, true] {
                    let mut cut = Cut::default();
                    for (number, area) in areas.iter().enumerate() {
                        cut.entry(*area, if mask >> number & 1 == 1 { usize::MAX } else { 0 });
                        if kept {
                            cut.len(*area, moment.state.len(*area).unwrap_or(0));
                        }
                    }
                    for (area, page) in moment.state.unsynced() {
                        cut.page(area, page, if kept { Fate::Version(usize::MAX) } else { Fate::Old });
                    }
                    check(&moment.state.after(&cut), &allowed)
                        .map_err(|violation| violation.at(format!("{beginning}.{letter} op {at}: {cut}")))?;
                }
            }
        }
    }
    Ok(())
}

/// The tail that one recovery cut is in a segment that is no longer the last; it stays cut, and no alarm.
pub fn torn_tail_not_last() -> Checked<()> {
    for word in ["d0.a1.a0.a1", "L.a0.a1.a0", "a0.a1.a0.a1"] {
        let mut run = after(word)?;
        run.die();
        let area = last_segment(&run.disk)?;
        let state = run.disk.state();
        for (_, lost) in state.unsynced().into_iter().filter(|(of, _)| *of == area) {
            let mut cut = Cut::default();
            state
                .unsynced()
                .iter()
                .for_each(|(area, page)| cut.page(*area, *page, Fate::Version(usize::MAX)));
            state.areas().for_each(|area| {
                cut.entry(area, usize::MAX);
                cut.len(area, state.len(area).unwrap_or(0));
            });
            cut.page(area, lost, Fate::Garbage(1));
            let disk = SimDisk::from_state(state.after(&cut), 1);
            let mut later = Run::stopped(disk, run.history.clone());
            let context = |violation: Violation| violation.at(format!("{word}, page {lost} lost"));
            later.open().map_err(context)?;
            step(&mut later, "d0.k.r.d01.k.a0.k.C.d0.z").map_err(context)?;
        }
    }
    Ok(())
}

/// Length without content and content without length, at every moment of growth.
pub fn size_and_content() -> Checked<()> {
    for (beginning, letter) in
        [("", "d0"), ("", "L"), ("d0", "r"), ("L", "C"), ("L.C.s1", "C"), ("d0.a1", "k")]
    {
        let mut run = after(beginning)?;
        run.history.acknowledge_older();
        run.disk.start_trace();
        step(&mut run, letter)?;
        let moments = run.disk.take_trace();
        let history = run.before_recovery.as_ref().unwrap_or(&run.history);
        for (at, moment) in moments.iter().enumerate().take(moments.len() - 1) {
            let (least, most) = history.bounds_at(at as u64);
            let allowed = Expected { commits: &history.commits, least, most };
            for (grown, kept) in [(true, false), (false, true)] {
                let mut cut = Cut::default();
                for area in moment.state.known_areas() {
                    cut.entry(area, usize::MAX);
                    if grown {
                        cut.len(area, moment.state.len(area).unwrap_or(0));
                    }
                }
                for (area, page) in moment.state.unsynced() {
                    cut.page(area, page, if kept { Fate::Version(usize::MAX) } else { Fate::Old });
                }
                check(&moment.state.after(&cut), &allowed)
                    .map_err(|violation| violation.at(format!("{beginning}.{letter} op {at}: {cut}")))?;
            }
        }
    }
    Ok(())
}

/// Recovery rewrites the winning META in place; torn there, and torn again in the recovery after that, it must
/// not take the store with it.
pub fn torn_meta_rewrite() -> Checked<()> {
    let mut run = after("d01.r.d0.C.d0.C.r.d01")?;
    run.die();
    run.history.acknowledge_older();
    let history = run.history.clone();
    let tried = Tried::new();
    for fate in [Fate::Garbage(0), Fate::Zero, Fate::Old, Fate::Bytes(700)] {
        for (at, once) in torn_while_opening(&run.disk.state(), &history, fate)?.iter().enumerate() {
            if !tried.is_new_inside(once, &expected(&history), &Bounds::default()) {
                continue;
            }
            for (then, twice) in torn_while_opening(once, &history, Fate::Garbage(1))?.iter().enumerate() {
                if !tried.is_new(twice, &expected(&history)) {
                    continue;
                }
                check(twice, &expected(&history)).map_err(|violation| {
                    violation.at(format!(
                        "META pages {fate:?} at op {at}, garbage at op {then} of the next recovery"
                    ))
                })?;
            }
        }
    }
    Ok(())
}

/// The media left when a recovery is cut off after each op, with the META pages then unsynced gone as `fate`
/// says.
fn torn_while_opening(image: &DiskState, history: &History, fate: Fate) -> Checked<Vec<DiskState>> {
    let mut run = Run::stopped(SimDisk::from_state(image.clone(), 4), history.clone());
    run.disk.start_trace();
    run.open()?;
    let mut images = Vec::new();
    for moment in run.disk.take_trace() {
        let mut cut = Cut::default();
        let torn = moment.state.unsynced().into_iter().filter(|(area, _)| *area == Area::Meta);
        torn.for_each(|(area, page)| cut.page(area, page, fate));
        images.push(moment.state.after(&cut));
    }
    Ok(images)
}

/// A recovery that died after writing its new segment but before publishing it proves nothing: the tail it
/// copied may be gone after a power cut, and that is no corruption.
pub fn unlisted_segment() -> Checked<()> {
    for word in ["d0.a1", "d0.a1.a0", "a0", "d01.r.a0.a1"] {
        let mut run = after(word)?;
        run.die();
        run.history.acknowledge_older();
        let history = run.history.clone();
        let old: Vec<Area> = run.disk.state().areas().collect();
        run.disk.start_trace();
        run.open()?;
        for (at, moment) in run.disk.take_trace().iter().enumerate() {
            let mut cut = Cut::default();
            for area in moment.state.known_areas().into_iter().filter(|area| !old.contains(area)) {
                cut.entry(area, usize::MAX);
                cut.len(area, moment.state.len(area).unwrap_or(0));
                let pages = moment.state.unsynced().into_iter().filter(|(of, _)| *of == area);
                pages.for_each(|(_, page)| cut.page(area, page, Fate::Version(usize::MAX)));
            }
            check(&moment.state.after(&cut), &expected(&history))
                .map_err(|violation| violation.at(format!("{word}, recovery op {at}: {cut}")))?;
        }
    }
    Ok(())
}
