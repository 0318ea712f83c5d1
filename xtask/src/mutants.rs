//! `cargo xtask mutants`: every small change to `format`, `log` and `store`, and whether a test notices it.
//!
//! The work is cut into pieces of a file, the important files first. What a finished piece found is kept in
//! `target/mutants/FILE/KofN` and not done again while the file stays as it is, so a stopped run loses one piece.
//! Mutants are made in a checkout of HEAD in `target/mutants/tree`, never in the files that somebody edits.
//! `.cargo/mutants.toml` says which mutants there are and which tests judge them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Every file with mutants, what a crash depends on first.
const FILES: &[&str] = &[
    "src/store/commit.rs",
    "src/store/recovery.rs",
    "src/store/scan.rs",
    "src/store/relog.rs",
    "src/store/compaction.rs",
    "src/store/fold_ops.rs",
    "src/store/publish.rs",
    "src/store/found.rs",
    "src/store/base.rs",
    "src/log/ahead.rs",
    "src/log/plan.rs",
    "src/log/reader.rs",
    "src/log/writer.rs",
    "src/format/checksum.rs",
    "src/format/group.rs",
    "src/format/meta.rs",
    "src/format/mod.rs",
    "src/format/segment.rs",
    "src/format/sums.rs",
    "src/store/batch.rs",
    "src/store/free.rs",
    "src/store/index.rs",
    "src/store/mod.rs",
    "src/store/read.rs",
    "src/store/stats.rs",
];

/// Mutants in a piece, about.
const PIECE: usize = 12;

/// What cargo-mutants calls the outcomes; each has a file of that name with a line for each mutant.
const OUTCOMES: [&str; 4] = ["caught", "missed", "timeout", "unviable"];

/// The tests that judge every mutant: the unit tests, the golden files, the crash suites in their fast versions up to
/// the first that complains.
const QUICK: [&str; 5] = [
    "tests::",
    "version_1",
    "any_flipped_bit_is_refused",
    "a_decoder_accepts_only_what_its_encoder_writes",
    "no_quick_suite_complains_about_a_sound_store",
];

/// What judges only the survivors of those, which are judged by all.
const THOROUGH: &str = "no_thorough_suite_complains_about_a_sound_store";

/// A run of neighbouring mutants of one file.
struct Piece {
    file: &'static str,
    number: usize,
    of: usize,
}

impl Piece {
    fn folder(&self) -> PathBuf {
        let name = self.file.trim_start_matches("src/").trim_end_matches(".rs").replace('/', "-");
        home().join(name).join(format!("{}of{}", self.number + 1, self.of))
    }

    /// Done for this content of the file?
    fn is_done(&self) -> bool {
        let done = std::fs::read_to_string(self.folder().join("done"));
        done.is_ok_and(|blob| blob == content(self.file))
    }

    fn lines(&self, outcome: &str) -> Vec<String> {
        lines(&self.folder(), outcome)
    }
}

fn lines(folder: &Path, outcome: &str) -> Vec<String> {
    let path = folder.join("mutants.out").join(format!("{outcome}.txt"));
    std::fs::read_to_string(path).unwrap_or_default().lines().map(str::to_owned).collect()
}

#[derive(Default)]
struct Wish {
    files: Vec<String>,
    shard: Option<(usize, usize)>,
    budget: Option<Duration>,
    again: bool,
    survivors: bool,
    sum: bool,
    record: bool,
}

/// Runs the pieces that are not done yet, and sums up all that are.
///
/// # Errors
/// A sentence when cargo-mutants is missing, or a word is not understood. A mutant that no test notices is no error:
/// docs/mutants.md has the reasons.
pub fn run(args: &[String]) -> Result<(), String> {
    let wish = wish(args)?;
    let there = tool(&["--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Err("needs `cargo install cargo-mutants`".into());
    }
    let _alone = alone()?;
    check_out()?;
    let pieces = pieces(&wish)?;
    let begun = Instant::now();
    for piece in pieces.iter().filter(|_| !wish.sum) {
        if wish.budget.is_some_and(|budget| begun.elapsed() >= budget) {
            break;
        }
        if wish.again || !piece.is_done() {
            judge(piece)?;
        }
        if wish.survivors && !piece.lines("missed").is_empty() {
            judge_survivors(piece)?;
        }
    }
    sum_up(&pieces, wish.record)
}

fn wish(args: &[String]) -> Result<Wish, String> {
    let mut wish = Wish::default();
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--again" => wish.again = true,
            "--survivors" => wish.survivors = true,
            "--sum" => wish.sum = true,
            "--record" => wish.record = true,
            "--file" => {
                let file = words.next().filter(|file| FILES.contains(&file.as_str()));
                let file = file.ok_or_else(|| format!("--file wants one of {}", FILES.join(", ")))?;
                wish.files.push(file.clone());
            }
            "--shard" => {
                let shard = words.next().and_then(|text| shard(text));
                wish.shard = Some(shard.ok_or("--shard wants K/N after it, K from 1 to N")?);
            }
            "--budget" => {
                let minutes = words.next().and_then(|text| text.strip_suffix('m')?.parse::<u64>().ok());
                let minutes = minutes.ok_or("--budget wants minutes after it, as in 30m")?;
                wish.budget = Some(Duration::from_secs(minutes * 60));
            }
            other => return Err(format!("mutants has no option `{other}`; --help lists them")),
        }
    }
    Ok(wish)
}

fn shard(text: &str) -> Option<(usize, usize)> {
    let (number, of) = text.split_once('/')?;
    let (number, of) = (number.parse().ok()?, of.parse().ok()?);
    (1 <= number && number <= of).then_some((number, of))
}

fn home() -> PathBuf {
    crate::target().join("mutants")
}

fn tree() -> PathBuf {
    home().join("tree")
}

fn tool(words: &[&str]) -> Command {
    let mut command = crate::cargo();
    command.arg("mutants").args(words);
    command
}

fn git(folder: &Path, words: &[&str]) -> Option<String> {
    let output = Command::new("git").current_dir(folder).args(words).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What names the content of a file at HEAD.
fn content(file: &str) -> String {
    git(&crate::root(), &["rev-parse", &format!("HEAD:{file}")]).unwrap_or_default()
}

/// Held as long as somebody works in the checkout: bringing it to HEAD would undo the mutant under way.
fn alone() -> Result<std::fs::File, String> {
    let path = home().join("lock");
    let said = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    std::fs::create_dir_all(home()).map_err(|error| said(&error))?;
    let file = std::fs::File::create(&path).map_err(|error| said(&error))?;
    file.try_lock().map_err(|_| "another run is under way".to_owned())?;
    Ok(file)
}

/// Brings the checkout to HEAD, whatever a stopped run left in it.
fn check_out() -> Result<(), String> {
    let head = git(&crate::root(), &["rev-parse", "HEAD"]).ok_or("needs git")?;
    let done = if tree().join("Cargo.toml").exists() {
        git(&tree(), &["checkout", "--quiet", "--force", "--detach", &head])
    } else {
        let path = tree().display().to_string();
        git(&crate::root(), &["worktree", "add", "--quiet", "--force", "--detach", &path, &head])
    };
    done.map(drop).ok_or_else(|| format!("cannot check out HEAD into {}", tree().display()))
}

/// The pieces wished for, in the order of `FILES`.
fn pieces(wish: &Wish) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut mutants = 0;
    for &file in
        FILES.iter().filter(|file| wish.files.is_empty() || wish.files.iter().any(|one| one == *file))
    {
        let listed = tool(&["--list", "--file", file]).current_dir(tree()).output();
        let listed = listed.map_err(|error| format!("cannot run cargo mutants: {error}"))?;
        let count = String::from_utf8_lossy(&listed.stdout).lines().count();
        let of = count.div_ceil(PIECE);
        mutants += count;
        pieces.extend((0..of).map(|number| Piece { file, number, of }));
    }
    println!("{mutants} mutants in {} pieces", pieces.len());
    if let Some((number, of)) = wish.shard {
        let mut at = 0..;
        pieces.retain(|_| at.next().is_some_and(|at: usize| at % of == number - 1));
    }
    Ok(pieces)
}

/// Tries every mutant of a piece.
fn judge(piece: &Piece) -> Result<(), String> {
    let folder = piece.folder();
    // What an older content of the file gave.
    let _ = std::fs::remove_dir_all(&folder);
    let shard = format!("{}/{}", piece.number, piece.of);
    cargo_mutants(&folder, &["--file", piece.file, "--sharding", "slice", "--shard", &shard], &QUICK, 12)?;
    let done = folder.join("done");
    std::fs::write(&done, content(piece.file)).map_err(|error| format!("{}: {error}", done.display()))?;
    let [caught, missed, timeout, unviable] = OUTCOMES.map(|outcome| piece.lines(outcome).len());
    println!(
        "{} {}/{}: {caught} caught, {missed} missed, {timeout} timeout, {unviable} unviable",
        piece.file,
        piece.number + 1,
        piece.of
    );
    Ok(())
}

/// Tries what was missed of a piece once more: with the quick tests, of which some are new, then with the thorough.
fn judge_survivors(piece: &Piece) -> Result<(), String> {
    let again = piece.folder().join("survivors");
    let before = piece.lines("missed").len();
    for (tests, seconds) in [(QUICK.as_slice(), 12), (&[THOROUGH], 120)] {
        let missed = piece.lines("missed");
        if missed.is_empty() {
            break;
        }
        let names: Vec<String> = missed.iter().map(|mutant| format!("^{}$", literally(mutant))).collect();
        let which = names.iter().flat_map(|name| ["--re", name]).chain(["--file", piece.file]);
        cargo_mutants(&again, &which.collect::<Vec<_>>(), tests, seconds)?;
        for outcome in OUTCOMES {
            let mut all = if outcome == "missed" { Vec::new() } else { piece.lines(outcome) };
            // Deleted fields of a struct are tried whatever the patterns say.
            all.extend(lines(&again, outcome).into_iter().filter(|mutant| missed.contains(mutant)));
            let all: String = all.iter().map(|mutant| format!("{mutant}\n")).collect();
            let path = piece.folder().join("mutants.out").join(format!("{outcome}.txt"));
            std::fs::write(&path, all).map_err(|error| format!("{}: {error}", path.display()))?;
        }
    }
    let left = piece.lines("missed").len();
    println!("{} {}/{}: {left} of {before} still missed", piece.file, piece.number + 1, piece.of);
    Ok(())
}

/// A pattern that matches `text` alone.
fn literally(text: &str) -> String {
    text.chars()
        .flat_map(|c| (!c.is_alphanumeric() && !" <>".contains(c)).then_some('\\').into_iter().chain([c]))
        .collect()
}

/// Runs cargo-mutants in the checkout; what it finds goes to `folder`.
fn cargo_mutants(folder: &Path, which: &[&str], tests: &[&str], seconds: u32) -> Result<(), String> {
    std::fs::create_dir_all(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    // A life without end stops at its limit of processor time, however busy the machine, and fails.
    let limited = format!("ulimit -t {seconds} && ulimit -v 6000000 && exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &limited, "sh", "cargo", "mutants", "--in-place", "--no-shuffle"]);
    command.args(["--baseline", "skip", "--timeout", "600"]).args(which).arg("--output").arg(folder);
    command.args(["--", "--"]).args(tests);
    command.current_dir(tree()).env("CARGO_TARGET_DIR", home().join("build")).env("CARGO_INCREMENTAL", "1");
    command.env("GLIBC_TUNABLES", crate::crash::KEEP_MEMORY);
    // A panic in a hundred caught ones needs no trace.
    command.env("RUST_BACKTRACE", "0").stdout(Stdio::null()).stderr(Stdio::null());
    let status = command.status().map_err(|error| format!("cannot run cargo mutants: {error}"))?;
    // 0: all noticed; 2: some not; 3: some never ended. Anything else says nothing about the mutants.
    if !matches!(status.code(), Some(0 | 2 | 3)) {
        return Err(format!("cargo mutants ended with {status} on {}", folder.display()));
    }
    Ok(())
}

/// Prints the counts of what is done, each mutant that nothing noticed, and what is left.
fn sum_up(pieces: &[Piece], record: bool) -> Result<(), String> {
    let done: Vec<&Piece> = pieces.iter().filter(|piece| piece.is_done()).collect();
    let [caught, missed, timeout, unviable] =
        OUTCOMES.map(|outcome| done.iter().flat_map(|piece| piece.lines(outcome)).collect::<Vec<_>>());
    for survivor in missed.iter() {
        println!("missed   {survivor}");
    }
    for endless in timeout.iter() {
        println!("timeout  {endless}");
    }
    for piece in pieces.iter().filter(|piece| !piece.is_done()) {
        println!("left     {} {}/{}", piece.file, piece.number + 1, piece.of);
    }
    let [caught, missed, timeout, unviable] = [caught, missed, timeout, unviable].map(|list| list.len());
    println!(
        "{} of {} pieces done: {caught} caught, {missed} missed, {timeout} timeout, {unviable} unviable",
        done.len(),
        pieces.len()
    );
    if record {
        crate::ledger::append(&format!(
            "{{\"suite\": \"mutants\", \"commit\": \"{}\", \"bounds\": \"{} of {} pieces\", \"caught\": {caught}, \
             \"missed\": {missed}, \"timeout\": {timeout}, \"unviable\": {unviable}}}",
            crate::ledger::commit(),
            done.len(),
            pieces.len()
        ))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_one_of_its_number() {
        assert_eq!(shard("1/1"), Some((1, 1)));
        assert_eq!(shard("3/4"), Some((3, 4)));
        assert_eq!((shard("0/4"), shard("5/4"), shard("4"), shard("a/b")), (None, None, None, None));
    }

    #[test]
    fn a_pattern_means_what_it_says() {
        assert_eq!(literally("a.rs:1: replace > with *"), r"a\.rs\:1\: replace > with \*");
    }

    #[test]
    fn every_file_of_the_core_is_judged_once_or_has_no_code_to_change() {
        for folder in ["src/format", "src/log", "src/store"] {
            for entry in std::fs::read_dir(crate::root().join(folder)).unwrap() {
                let name = format!("{folder}/{}", entry.unwrap().file_name().to_str().unwrap());
                let listed = FILES.iter().filter(|file| **file == name).count();
                // Modules and a trait only.
                let empty = ["src/log/mod.rs", "src/log/source.rs"].contains(&name.as_str());
                assert_eq!(listed, usize::from(!empty), "{name}");
            }
        }
    }
}
