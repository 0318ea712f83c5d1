//! The invariants, one function each, that every suite calls. A broken one is a [`Violation`].

use datasync::block::{BLOCK_SIZE, BlockNo, CommitId, Durability};
use datasync::error::{Error, ErrorKind};
use datasync::volume::{Outcome, Snapshot, Volume};

use crate::reference::{Commit, State, fill};
pub use crate::violation::{Checked, Violation, ensure, no_panic};
use crate::workload::CLIENT;

/// What a suite knows about a store it opens: the commits that may be there, and between which two prefixes
/// the truth must lie.
#[derive(Clone, Debug)]
pub struct Expected<'a> {
    pub commits: &'a [Commit],
    pub least: usize,
    pub most: usize,
}

/// One more than the highest block any suite writes.
pub const BLOCKS: u64 = 14;

/// I6 no wrong data: every block holds the bytes of one stamp, or zeros, as a whole. Errors are passed on.
pub fn read_state(snapshot: &Snapshot) -> Checked<Result<State, Error>> {
    let mut state = State { size: snapshot.size(), ..State::default() };
    let mut bytes = [0; BLOCK_SIZE];
    for block in 0..BLOCKS {
        if let Err(error) = snapshot.read(BlockNo(block), &mut bytes) {
            return Ok(Err(error));
        }
        let (words, _) = bytes.as_chunks::<8>();
        let stamp = u64::from_le_bytes(words[0]);
        if bytes == [0; BLOCK_SIZE] {
            continue;
        }
        ensure(stamp != 0 && bytes == fill(block, stamp), "I6 no wrong data", || {
            format!("block {block} holds bytes that were never written to it")
        })?;
        state.blocks.insert(block, stamp);
    }
    Ok(Ok(state))
}

/// I1 prefix: `found` is what some prefix of the commits left. Which one; when several fit, the one named
/// by `lsn`, else the longest that is allowed.
pub fn prefix(found: &State, lsn: u64, expected: &Expected<'_>) -> Checked<usize> {
    let Expected { commits, least, most } = *expected;
    let fits = |number: &usize| commits[*number].state == *found;
    let named = |number: &usize| commits[*number].id.is_some_and(|id| id.lsn.0 == lsn);
    let allowed: Vec<usize> = (least..=most).filter(fits).collect();
    let best = allowed.iter().find(|number| named(number)).or(allowed.last());
    if let Some(number) = best {
        return Ok(*number);
    }
    let elsewhere = (0..commits.len()).rfind(fits);
    Err(match elsewhere {
        Some(number) if number < least => durability(number, least),
        Some(number) => Violation::new(
            "I4 no resurrection",
            format!("commit {number} is visible; no more than {most} can be"),
        ),
        None => atomicity(found, expected),
    })
}

/// I2 durability: the prefix holds every commit acknowledged as durable.
fn durability(found: usize, least: usize) -> Violation {
    Violation::new("I2 durability", format!("found commit {found} as the last; {least} was acknowledged"))
}

/// I3 atomicity: a state of no prefix; says what it was mixed from.
fn atomicity(found: &State, expected: &Expected<'_>) -> Violation {
    let of = |block: u64| {
        let stamp = found.blocks.get(&block);
        let holds = |commit: &Commit| commit.state.blocks.get(&block) == stamp;
        expected.commits.iter().rposition(holds)
    };
    let parts: Vec<String> = (0..BLOCKS).map(|block| format!("{:?}", of(block))).collect();
    let known = (0..BLOCKS).all(|block| of(block).is_some());
    let name = if known { "I3 atomicity" } else { "I1 prefix" };
    let Expected { least, most, .. } = *expected;
    let wanted: Vec<&State> = expected.commits[least..=most].iter().map(|commit| &commit.state).collect();
    Violation::new(name, format!("found {found:?}, blocks of commits {parts:?}; allowed were {wanted:?}"))
}

/// I5 idempotence, and I4 for what was recovered before: a second recovery shows what the first showed.
pub fn same_again(first: (&State, u64), second: (&State, u64)) -> Checked<()> {
    ensure(first == second, "I5 idempotence", || format!("recovered {first:?} first, then {second:?}"))
}

/// I7 no false alarm, I9 progress: on a healthy medium after mere crashes a store opens.
pub fn opens(opened: Result<Volume, Error>) -> Checked<Volume> {
    opened.map_err(|error| {
        let alarm =
            matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::AlgoMismatch | ErrorKind::NotAStore);
        let name = if alarm { "I7 no false alarm" } else { "I9 progress" };
        Violation::new(name, format!("open says {:?}: {error}", error.kind()))
    })
}

/// I7 for a read after mere crashes.
pub fn reads<T>(state: Result<T, Error>) -> Checked<T> {
    state.map_err(|error| {
        Violation::new("I7 no false alarm", format!("read says {:?}: {error}", error.kind()))
    })
}

/// I8 no silence: damage to acknowledged data was reported, by the open, by a read or by `verify`.
pub fn reported(damaged: &str, errors: &[Error]) -> Checked<()> {
    let report = |error: &Error| matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::AlgoMismatch);
    ensure(errors.iter().any(report), "I8 no silence", || {
        format!("{damaged}, and nobody said so: {errors:?}")
    })
}

/// I9 progress: a commit succeeds and is seen, and space that comes into being holds zeros.
pub fn progress(volume: &Volume, now: &State, stamp: u64) -> Checked<(State, CommitId)> {
    let mut wanted = now.clone();
    let commit = || -> Result<CommitId, Error> {
        let mut writer = volume.begin()?;
        writer.set_size(BLOCKS * BLOCK_SIZE as u64)?;
        writer.write(BlockNo(1), &fill(1, stamp))?;
        Ok(writer.commit(Durability::Durable)?.commit)
    };
    let id = commit().map_err(|error| {
        Violation::new("I9 progress", format!("a commit after recovery: {:?}: {error}", error.kind()))
    })?;
    wanted.size = BLOCKS * BLOCK_SIZE as u64;
    wanted.blocks.insert(1, stamp);
    let found = reads(read_state(&snapshot(volume)?)?)?;
    ensure(found == wanted, "I9 progress", || {
        format!("found {found:?} after a commit that left {wanted:?}")
    })?;
    Ok((wanted, id))
}

pub fn snapshot(volume: &Volume) -> Checked<Snapshot> {
    volume.snapshot().map_err(|error| Violation::new("I9 progress", format!("no snapshot: {error}")))
}

/// I11 space: with everything trimmed and folded, what is left does not depend on what there was.
pub fn space_comes_back(segments: usize, base_bytes: u64) -> Checked<()> {
    ensure(segments <= 2 && base_bytes <= BLOCKS * BLOCK_SIZE as u64, "I11 space", || {
        format!("{segments} segments and {base_bytes} bytes of base.db for an empty store")
    })
}

/// I12 fencing: who was deposed is not told that a commit of its is durable, and the owner sees nothing of it.
pub fn fenced(acknowledged: bool, seen: &State, owned: &State) -> Checked<()> {
    ensure(!acknowledged, "I12 fencing", || {
        "who was deposed was told that its commit is durable".to_owned()
    })?;
    ensure(seen == owned, "I12 fencing", || {
        format!("the owner left {owned:?}, and after a commit of who was deposed there is {seen:?}")
    })
}

/// I13 exactly once: the newest request the store knows is that of the newest commit it shows.
pub fn request_is_remembered(volume: &Volume, newest: &Commit) -> Checked<()> {
    let found = volume.last_request(CLIENT).map_or(0, |tag| tag.seq);
    ensure(found == newest.seq, "I13 exactly once", || {
        format!("the last request is {found}; the newest commit shown is of {}", newest.seq)
    })
}

/// I14 snapshots: a pinned reader sees the same bytes until it lets go.
pub fn snapshot_holds(snapshot: &Snapshot, pinned: &State) -> Checked<()> {
    match read_state(snapshot)? {
        Ok(found) => ensure(found == *pinned, "I14 snapshots", || {
            format!("a snapshot of {pinned:?} now shows {found:?}")
        }),
        Err(error) if matches!(error.kind(), ErrorKind::Expired | ErrorKind::Io | ErrorKind::Poisoned) => {
            Ok(())
        }
        Err(error) => Err(Violation::new("I14 snapshots", format!("a pinned reader was told {error}"))),
    }
}

/// I15 one outcome: the store calls exactly those commits done which it shows.
pub fn outcomes(volume: &Volume, expected: &Expected<'_>, shown: usize) -> Checked<()> {
    for (number, commit) in expected.commits.iter().enumerate() {
        let Some(id) = commit.id else { continue };
        let wrong = match volume.outcome_of(id) {
            Outcome::Committed => number > shown,
            Outcome::NotCommitted => number <= shown,
            Outcome::Unknown => false,
        };
        ensure(!wrong, "I15 one outcome", || {
            format!("outcome_of({id}) contradicts what is shown: commit {number}, shown up to {shown}")
        })?;
    }
    Ok(())
}
