//! A store behind the handles of a browser that misbehaves in each of its ways, at every call: then the tab dies, or
//! the power too. The same invariants as on a disk; the names of files are durable when they were made ahead.

use datasync::backend::opfs::{OpfsStore, SimKeeper};
use datasync::backend::sim::{Cut, DiskState, Misdeed, Random, SimBrowser, Trouble};
use datasync::block::Durability;
use datasync::error::{Error, ErrorKind};
use datasync::log::plan::Area;
use datasync::volume::Volume;

use crate::fired::Fired;
use crate::invariants::{
    Checked, Expected, Violation, ensure, fenced, no_panic, opens, progress, read_state, reads, same_again,
    snapshot,
};
use crate::reference::{Change, Commit, History};
use crate::settings::options;
use crate::workload::{commit, nothing, shown, unexpected};

/// What is done, one letter a step: a commit that is durable, applied or witnessed, of b0 or of twelve blocks; a size;
/// a segment ended; everything folded; closed and opened again.
pub const WORDS: [&str; 4] = ["dadr", "adrdC", "LrsCdz", "aLCdzad"];

/// A store in use.
pub struct Run {
    pub browser: SimBrowser,
    pub open: Option<(Volume, SimKeeper)>,
    pub history: History,
    stamp: u64,
}

impl Run {
    /// A store that is not open yet.
    pub fn stopped(browser: SimBrowser, history: History) -> Self {
        Self { browser, open: None, history, stamp: 0 }
    }

    pub fn open(&mut self) -> Checked<Result<(), Error>> {
        let opened = OpfsStore::open_simulated(&self.browser).and_then(|(store, keeper)| {
            self.browser.settle_names();
            Ok((Volume::open(store, options())?, keeper))
        });
        let (volume, keeper) = match opened {
            Ok(opened) => opened,
            Err(error) => return Ok(Err(error)),
        };
        let shown = match shown(&volume, &expected(&self.history))? {
            Ok(shown) => shown,
            Err(error) => return Ok(Err(error)),
        };
        self.history.commits.truncate(shown + 1);
        self.history.acknowledge_all(0);
        self.open = Some((volume, keeper));
        Ok(Ok(()))
    }

    pub fn step(&mut self, letter: char) -> Checked<Result<(), Error>> {
        let Some((volume, keeper)) = self.open.clone() else { return Ok(Ok(())) };
        // What was opened ahead after the last step has its name on the disk by now; what is opened next has not.
        self.browser.settle_names();
        self.stamp += 1;
        let stamp = self.stamp;
        let outcome = match letter {
            'd' => self.commit(&volume, &[Change::Put(0, stamp)], Durability::Durable),
            'a' => self.commit(&volume, &[Change::Put(1, stamp)], Durability::Applied),
            'w' => self.commit(&volume, &[Change::Put(0, stamp)], Durability::Witnessed),
            's' => self.commit(&volume, &[Change::Size(1)], Durability::Durable),
            'L' => {
                let changes: Vec<Change> = (0..12).map(|block| Change::Put(block, stamp)).collect();
                self.commit(&volume, &changes, Durability::Durable)
            }
            'r' => volume.rotate(),
            'C' => volume.compact(),
            'z' => match volume.close() {
                Ok(()) => {
                    self.history.acknowledge_all(0);
                    self.open = None;
                    drop(volume);
                    return self.open();
                }
                Err(error) => Err(error),
            },
            letter => panic!("`{letter}` is no step"),
        };
        // Between two calls the next files are opened ahead, and those that are not needed are deleted.
        Ok(outcome.and_then(|()| keeper.refill()))
    }

    fn commit(&mut self, volume: &Volume, changes: &[Change], durability: Durability) -> Result<(), Error> {
        let mut state = self.history.newest().state.clone();
        changes.iter().for_each(|change| state.apply(*change));
        let outcome = commit(volume, changes, durability, self.stamp);
        let id = match &outcome {
            Ok(id) => *id,
            Err(error) => match error.kind() {
                ErrorKind::Indeterminate(id) => id,
                _ => return outcome.map(drop),
            },
        };
        self.history.commits.push(Commit {
            id: Some(id),
            state,
            begun: 0,
            acknowledged: None,
            seq: self.stamp,
        });
        if outcome.is_ok() && durability >= Durability::Durable {
            self.history.acknowledge_up_to(id.lsn, 0);
        }
        outcome.map(drop)
    }
}

fn expected(history: &History) -> Expected<'_> {
    let (least, most) = history.bounds_at(u64::MAX);
    Expected { commits: &history.commits, least, most }
}

/// All that must hold of what a crash left: it opens, shows a prefix, takes a commit, and shows that ever after.
fn check(image: &DiskState, history: &History) -> Checked<()> {
    let browser = SimBrowser::from_state(image.clone());
    let mut run = Run::stopped(browser, history.clone());
    run.open()?.map_err(|error| match error.kind() {
        ErrorKind::Corrupt => Violation::new("I7 no false alarm", error.to_string()),
        _ => unexpected(&error),
    })?;
    let (volume, _) = run.open.take().expect("just opened");
    let (state, _) = progress(&volume, &run.history.newest().state, 1 << 40)?;
    drop(volume);
    let last = run.browser.crash().state().after(&Cut::default());
    let (store, _) =
        OpfsStore::open_simulated(&SimBrowser::from_state(last)).map_err(|error| unexpected(&error))?;
    let volume = opens(Volume::open(store, options()))?;
    let found = reads(read_state(&snapshot(&volume)?)?)?;
    same_again((&state, 0), (&found, 0))
}

/// One word under one misdeed; false if it never struck.
fn one(word: &str, deed: Misdeed, nth: u64, lasting: bool, fired: &Fired) -> Checked<bool> {
    let browser = SimBrowser::new();
    browser.misbehave(deed, nth, lasting);
    let mut run = Run::stopped(browser.clone(), nothing());
    let mut at = 'o';
    let mut outcome = run.open()?;
    for letter in word.chars().filter(|_| outcome.is_ok()).collect::<Vec<_>>() {
        if outcome.is_ok() {
            at = letter;
            outcome = run.step(letter)?;
        }
    }
    if let Err(error) = &outcome {
        ensure(is_honest(error.kind()), "I7 no false alarm", || format!("the caller was told {error}"))?;
    }
    if !browser.has_struck() {
        return Ok(false);
    }
    if deed == Misdeed::Off {
        let opening = at == 'o' || (at == 'z' && run.open.is_none());
        fired.add(Trouble::CrashInOpening, u64::from(opening));
        fired.add(Trouble::CrashInFold, u64::from(at == 'C'));
    }
    let next = browser.crash();
    run.open = None;
    browser.book(&fired.0);
    after_a_crash(&next.state(), &run.history, deed == Misdeed::FlushLies, nth, fired)?;
    Ok(true)
}

/// The tab is dead, and then perhaps the power is cut: a prefix with all that was acknowledged, but for a browser
/// whose flush did nothing, of which it is any prefix or an error.
fn after_a_crash(state: &DiskState, history: &History, lied: bool, seed: u64, fired: &Fired) -> Checked<()> {
    check(state, history).map_err(|violation| violation.at("after the tab died"))?;
    let mut random = Random::new(seed);
    let worst = Cut::default();
    let mut cuts = vec![(worst.clone(), state.after(&worst))];
    cuts.extend((0..3).map(|_| state.draw_image(&mut random)));
    for (cut, image) in cuts {
        fired.cut(state, &cut);
        let checked = if lied { check_any(&image, history) } else { check(&image, history) };
        checked.map_err(|violation| violation.at(format!("after a power cut: {cut}")))?;
    }
    Ok(())
}

/// I6, for what a flush that does nothing has left.
fn check_any(image: &DiskState, history: &History) -> Checked<()> {
    let Ok((store, _)) = OpfsStore::open_simulated(&SimBrowser::from_state(image.clone())) else {
        return Ok(());
    };
    let Ok(volume) = Volume::open(store, options()) else { return Ok(()) };
    let Ok(state) = read_state(&snapshot(&volume)?)? else { return Ok(()) };
    ensure(history.commits.iter().any(|commit| commit.state == state), "I6 no wrong data", || {
        format!("a browser that lies made {state:?}")
    })
}

fn is_honest(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::Io | ErrorKind::Full | ErrorKind::Indeterminate(_) | ErrorKind::Poisoned)
}

/// Every word under every misdeed at every call, or at every `step`-th; how many runs.
pub fn misbehaving(words: &[&str], step: usize, fired: &Fired) -> Checked<u64> {
    let mut tried = 0;
    for (word, deed) in words
        .iter()
        .flat_map(|word| Misdeed::ALL.into_iter().chain([Misdeed::Off]).map(move |deed| (*word, deed)))
    {
        for lasting in [false, true] {
            for nth in (1..).step_by(step) {
                let context = |violation: Violation| {
                    violation.at(format!("{word}: {deed:?} at call {nth}, lasting: {lasting}"))
                };
                if !no_panic(|| one(word, deed, nth, lasting, fired)).map_err(context)? {
                    break;
                }
                tried += 1;
            }
        }
    }
    Ok(tried)
}

#[test]
fn a_browser_that_misbehaves_costs_nothing_that_was_acknowledged() {
    let fired = Fired::default();
    let tried = misbehaving(&WORDS, 1, &fired).and_then(|runs| {
        println!("opfs: {runs} runs");
        fired.all_struck("opfs")
    });
    tried.unwrap_or_else(|violation| panic!("{violation}"));
}

/// A store that has been through this, on a browser that behaves.
pub fn used(word: &str) -> Checked<Run> {
    let mut run = Run::stopped(SimBrowser::new(), nothing());
    run.open()?.map_err(|error| unexpected(&error))?;
    for letter in word.chars() {
        run.step(letter)?.map_err(|error| unexpected(&error))?;
    }
    Ok(run)
}

/// Several segments, a fold, and a newest commit that is not durable.
const USED: &str = "drLCda";

/// I8: whichever file is missing, nobody is shown an older state, or a new store, as if nothing were wrong.
fn missing(fired: &Fired) -> Checked<()> {
    let mut run = used(USED)?;
    run.open = None;
    let next = run.browser.crash();
    let image = next.state();
    for area in image.areas().filter(|area| image.len(*area) > Some(0)) {
        let browser = SimBrowser::from_state(image.clone());
        browser.lose(area);
        browser.book(&fired.0);
        let mut again = Run::stopped(browser, run.history.clone());
        if let Err(error) = again.open().map_err(|violation| violation.at(format!("{area} is missing")))? {
            let named = error.kind() == ErrorKind::Corrupt && error.to_string().contains(&area.to_string());
            ensure(named, "I8 no silence", || format!("{area} is missing, and opening says: {error}"))?;
        }
    }
    // The files of a store that is open: what the browser says yes to is told as lost at the next look.
    let run = used(USED)?;
    run.browser.lose(Area::Meta);
    run.browser.book(&fired.0);
    let (volume, keeper) = run.open.as_ref().expect("open");
    let told = keeper.refill().map_err(|error| error.kind());
    ensure(told == Err(ErrorKind::Lost), "I8 no silence", || {
        format!("META is gone, a refill says {told:?}")
    })?;
    let outcome = commit(volume, &[Change::Put(0, 1)], Durability::Durable, 1 << 30);
    ensure(outcome.is_err(), "I2 durability", || "a commit into deleted files was acknowledged".into())
}

/// I12: the second tab is told `Busy`, and changes nothing of what the first one holds.
fn held(fired: &Fired) -> Checked<()> {
    let run = used(USED)?;
    let before = run.browser.state().fingerprint();
    let kind = OpfsStore::open_simulated(&run.browser).map_err(|error| error.kind()).err();
    run.browser.book(&fired.0);
    ensure(run.browser.state().fingerprint() == before, "I12 fencing", || {
        "a second tab changed the files".into()
    })?;
    let (owner, _) = run.open.as_ref().expect("open");
    let seen = reads(read_state(&snapshot(owner)?)?)?;
    fenced(kind != Some(ErrorKind::Busy), &seen, &run.history.newest().state)
}

#[test]
fn a_file_that_is_missing_or_held_elsewhere_is_told() {
    let fired = Fired::default();
    let tried = no_panic(|| missing(&fired)).and_then(|()| no_panic(|| held(&fired)));
    tried.and_then(|()| fired.all_struck("opfs files")).unwrap_or_else(|violation| panic!("{violation}"));
}
