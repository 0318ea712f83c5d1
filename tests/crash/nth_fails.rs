//! Every call of a workload refused in turn, once and for good, with what a refusal may leave behind; every
//! barrier failed in each of its ways; every system call taken in pieces. Afterwards the process dies, or the
//! power too.

use datasync::backend::sim::{BarrierFailure, Bounds, Call, Cut, Fault, Leaves, Piece, Random, SimDisk};
use datasync::error::ErrorKind;
use datasync::volume::Volume;

use crate::fired::Fired;
use crate::images::{Tried, check, crash_recovery};
use crate::invariants::{Checked, Expected, Violation, no_panic};
use crate::settings::options;
use crate::workload::{Letter, Run, Word, nothing, parse};

/// Together: both kinds of commit, spilling, rotation, folding, trimming, both ways to reopen.
pub const WORDS: [&str; 4] =
    ["d0.a1.r.d01.t0.C.s1.y", "L.x.d0.z.a0.w0", "d0.a1.k.L.c.c.d0.z", "p.d01.C.td.k.C"];

/// How often each kind of fault struck.
#[derive(Debug, Default)]
pub struct Struck {
    pub fired: Fired,
    pub refusals: u64,
    pub barriers: u64,
    pub states: u64,
}

/// Runs every word of `words` under every fault. `every` thins the counts out for quick runs.
pub fn run(words: &[&str], every: u64) -> Checked<Struck> {
    let mut struck = Struck::default();
    for word in words {
        for fault in faults() {
            let mut nth = 1;
            while let Some(states) = one(&parse(word), numbered(fault, nth), &struck.fired)? {
                struck.states += states;
                match fault {
                    Fault::FailBarrier { .. } => struck.barriers += 1,
                    _ => struck.refusals += 1,
                }
                nth += if matches!(fault, Fault::FailBarrier { .. }) { 1 } else { every };
            }
        }
    }
    Ok(struck)
}

fn faults() -> Vec<Fault> {
    let kinds = [ErrorKind::Io, ErrorKind::Full];
    let barriers = BarrierFailure::ALL.iter().flat_map(|how| kinds.map(|kind| (*how, kind)));
    let mut faults: Vec<Fault> =
        barriers.map(|(how, kind)| Fault::FailBarrier { nth: 1, how, kind }).collect();
    for how in Piece::ALL {
        faults.extend([false, true].map(|lasting| Fault::InPieces { how, nth: 1, lasting }));
    }
    for call in Call::ALL {
        for kind in kinds {
            let looks = matches!(call, Call::Read | Call::Len | Call::List);
            let grows = matches!(call, Call::Create | Call::Write | Call::Reserve | Call::AnyOp);
            if kind == ErrorKind::Full && !grows {
                continue;
            }
            for lasting in [false, true] {
                let leaves: &[Leaves] = match call {
                    Call::Write => &[Leaves::Nothing, Leaves::Everything, Leaves::Garbage],
                    _ if looks => &[Leaves::Nothing],
                    _ => &[Leaves::Nothing, Leaves::Everything],
                };
                faults.extend(leaves.iter().map(|leaves| Fault::Refuse {
                    call,
                    nth: 1,
                    kind,
                    lasting,
                    leaves: *leaves,
                }));
            }
        }
    }
    faults
}

fn numbered(fault: Fault, number: u64) -> Fault {
    match fault {
        Fault::Refuse { call, kind, lasting, leaves, .. } => {
            Fault::Refuse { call, nth: number, kind, lasting, leaves }
        }
        Fault::FailBarrier { how, kind, .. } => Fault::FailBarrier { nth: number, how, kind },
        Fault::InPieces { how, lasting, .. } => Fault::InPieces { how, nth: number, lasting },
        other => other,
    }
}

/// One workload under one fault; how many states were checked, or nothing if the fault never struck.
fn one(word: &[Letter], fault: Fault, fired: &Fired) -> Checked<Option<u64>> {
    let context = |violation: Violation| violation.at(format!("{} under {fault}", Word(word)));
    no_panic(|| {
        let disk = SimDisk::new(5);
        disk.inject(fault);
        let mut run = Run::stopped(disk, nothing());
        match Volume::open(run.disk.clone(), options()) {
            Ok(volume) => drop(run.adopt(volume)?),
            Err(error) => honest(fault, error.kind())?,
        }
        for letter in word {
            if let Err(error) = run.step(*letter)? {
                honest(fault, error.kind()).map_err(|v| v.at(format!("at {}", letter.text())))?;
            }
        }
        if !run.disk.faults().unfired().is_empty() {
            return Ok(None);
        }
        run.die();
        fired.book(&run.disk);
        let (least, most) = run.history.bounds_at(u64::MAX);
        let expected = Expected { commits: &run.history.commits, least, most };
        let state = run.disk.state();
        check(&state, &expected).map_err(|v| v.at("after a process crash"))?;
        fired.cut(&state, &Cut::default());
        check(&state.after(&Cut::default()), &expected)
            .map_err(|v| v.at("after losing all that was unsynced"))?;
        if matches!(fault, Fault::FailBarrier { how: BarrierFailure::Spoils, kind: ErrorKind::Io, .. }) {
            // What the cache believes clean, no barrier of the recovery makes durable.
            let bounds = Bounds { product: 27, pairs: true, drawn: 2, seed: 1 };
            crash_recovery(&state, &expected, &bounds, &Tried::new())
                .map_err(|v| v.at("then in the recovery"))?;
        }
        let mut random = Random::new(11);
        for _ in 0..2 {
            let (cut, image) = state.draw_image(&mut random);
            fired.cut(&state, &cut);
            check(&image, &expected).map_err(|v| v.at(format!("after a power cut: {cut}")))?;
        }
        Ok(Some(4))
    })
    .map_err(context)
}

/// The store calls a fault by a name that tells the caller the truth: a refused call is not corruption.
fn honest(fault: Fault, kind: ErrorKind) -> Checked<()> {
    let wrong = match kind {
        ErrorKind::Corrupt | ErrorKind::AlgoMismatch | ErrorKind::NotAStore | ErrorKind::Unsupported => true,
        ErrorKind::Full => {
            use Fault::{FailBarrier, Refuse};
            !matches!(fault, Refuse { kind: ErrorKind::Full, .. } | FailBarrier { kind: ErrorKind::Full, .. })
        }
        _ => false,
    };
    if wrong {
        Err(Violation::new("I7 no false alarm", format!("the caller was told {kind:?}")))
    } else {
        Ok(())
    }
}

#[test]
fn a_call_that_fails_costs_nothing_that_was_acknowledged() {
    let tried = run(&WORDS, 1).and_then(|struck| {
        println!("nth fails: {struck:?}");
        assert!(struck.refusals > 500 && struck.barriers > 50, "faults hardly ever struck: {struck:?}");
        struck.fired.all_struck("nth call fails")
    });
    tried.unwrap_or_else(|violation| panic!("{violation}"));
}
