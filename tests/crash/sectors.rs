//! Why three classes of a page are enough: tears at every sector and at many bytes recover like "garbage".

use datasync::backend::sim::{Cut, DiskState, Fate, Random, SimDisk};
use datasync::block::BLOCK_SIZE;
use datasync::log::plan::Area;

use crate::fired::Fired;
use crate::images::check;
use crate::invariants::{Checked, Expected};
use crate::settings;
use crate::workload::{Letter, Run, parse, unexpected};

/// Tears every page that `letter` leaves unsynced at any moment, `tries` times each moment.
pub fn run(beginning: &str, letter: Letter, tries: usize, fired: &Fired) -> Checked<usize> {
    let mut run = Run::start(SimDisk::new(2))?;
    for letter in parse(beginning) {
        run.step(letter)?.map_err(|error| unexpected(&error))?;
    }
    run.history.acknowledge_older();
    run.disk.start_trace();
    run.step(letter)?.map_err(|error| unexpected(&error))?;
    let moments = run.disk.take_trace();
    let history = run.before_recovery.as_ref().unwrap_or(&run.history);
    let mut random = Random::new(3);
    let mut checked = 0;
    for (at, moment) in moments.iter().enumerate().take(moments.len() - 1) {
        let (least, most) = history.bounds_at(at as u64);
        let expected = Expected { commits: &history.commits, least, most };
        for _ in 0..tries {
            let Some((cut, image)) = tear(&moment.state, &mut random) else { break };
            fired.cut(&moment.state, &cut);
            check(&image, &expected).map_err(|violation| violation.at(format!("after op {at}: {cut}")))?;
            checked += 1;
        }
    }
    Ok(checked)
}

/// One tear of all unsynced pages at once; nothing when there are none.
fn tear(state: &DiskState, random: &mut Random) -> Option<(Cut, DiskState)> {
    let mut cut = Cut::default();
    let mut pages = 0;
    for (area, page) in state.unsynced() {
        let fate = match random.below(if area == Area::Meta { 6 } else { 4 }) {
            0 => Fate::Old,
            1 => Fate::Version(usize::MAX),
            2 | 3 => Fate::Sectors(random.draw() as u8),
            _ => Fate::Bytes(random.below(BLOCK_SIZE)),
        };
        cut.page(area, page, fate);
        pages += 1;
    }
    for area in state.areas() {
        cut.len(area, state.len(area)?);
        cut.entry(area, usize::MAX);
    }
    (pages > 0).then(|| {
        let image = state.after(&cut);
        (cut, image)
    })
}

#[test]
fn torn_sectors_and_bytes_recover_like_any_other_loss() {
    let tries = 12 * (1 << settings::depth().min(8));
    let cases = [
        ("", Letter::Durable0),
        ("d01.r", Letter::Durable0),
        ("d01.r.d0", Letter::Compact),
        ("d0.a1", Letter::Kill),
    ];
    let fired = Fired::default();
    for (beginning, letter) in cases {
        match run(beginning, letter, tries, &fired) {
            Ok(checked) => println!("sectors: {checked} tears of {beginning}.{}", letter.text()),
            Err(violation) => panic!("{violation}"),
        }
    }
    fired.all_struck("sectors").unwrap_or_else(|violation| panic!("{violation}"));
}
