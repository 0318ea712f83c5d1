//! `cargo xtask fuzz`: each target for a while, with cargo-fuzz on the nightly toolchain.
//!
//! New inputs stay in `target/fuzz/TARGET` and are gone on from by the next run; what broke a promise is in
//! `fuzz/artifacts/TARGET`. `--record` adds what was run to `tests/crash/LEDGER.json`, with the processor time it
//! took: on a busy machine a fuzzer gets less of it than the clock says.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::wasm::succeed;

/// Every target, in the order in which they are run.
const TARGETS: &[&str] = &["recovery", "recovery_raw", "recovery_fixup", "decode_group", "vfs_vs_sqlite"];

/// Runs the targets named, or all.
///
/// # Errors
/// A sentence that names the target that found something, or what is missing on this machine.
pub fn run(args: &[String]) -> Result<(), String> {
    let (mut seconds, mut record, mut targets) = (60_u64, false, Vec::new());
    let mut words = args.iter();
    while let Some(word) = words.next() {
        match word.as_str() {
            "--record" => record = true,
            "--seconds" => {
                let value = words.next().and_then(|value| value.parse().ok());
                seconds = value.ok_or("--seconds wants a number after it")?;
            }
            name if TARGETS.contains(&name) => targets.push(name),
            other => return Err(format!("there is no target `{other}`; there are {}", TARGETS.join(", "))),
        }
    }
    if targets.is_empty() {
        targets = TARGETS.to_vec();
    }
    let there = nightly(&["--version"]).stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        return Err("needs a nightly toolchain and `cargo install cargo-fuzz`".into());
    }
    for target in &targets {
        succeed(&mut nightly(&["build", "-s", "none", target]), "the target does not compile")?;
        let (begun, before) = (Instant::now(), children_seconds());
        let runs = one(target, seconds)?;
        let elapsed = begun.elapsed().as_secs();
        let core = before.zip(children_seconds()).map_or(elapsed, |(before, after)| after - before);
        println!("{target:<16} {runs} runs in {elapsed} s, {core} s of a core; nothing found");
        if record {
            let entry = format!(
                "{{\"suite\": \"fuzz\", \"commit\": \"{}\", \"target\": \"{target}\", \"runs\": {runs}, \
                 \"seconds\": {elapsed}, \"core_seconds\": {core}, \"violations\": 0}}",
                crate::ledger::commit()
            );
            crate::ledger::append(&entry)?;
        }
    }
    Ok(())
}

fn nightly(words: &[&str]) -> Command {
    // rustup's own `cargo`, not the one that runs us: only that one understands `+nightly`.
    let mut command = Command::new("cargo");
    command.env_remove("CARGO").env_remove("RUSTUP_TOOLCHAIN").current_dir(crate::root());
    command.args(["+nightly", "fuzz"]).args(words);
    command
}

/// Processor time of the programs that we have waited for, in seconds; `None` where the system has no `/proc`.
fn children_seconds() -> Option<u64> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // Behind the name, which may hold anything: cutime and cstime are fields 16 and 17, in hundredths of a second.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    Some((ticks(16)? + ticks(17)?) / 100)
}

/// Runs one target; how many inputs it tried.
fn one(target: &str, seconds: u64) -> Result<u64, String> {
    let found = crate::target().join("fuzz").join(target);
    std::fs::create_dir_all(&found).map_err(|error| format!("{}: {error}", found.display()))?;
    let seeds = PathBuf::from("fuzz/corpus").join(target);
    let mut command = nightly(&["run", "-s", "none", target]);
    command.arg(&found).arg(seeds).arg("--");
    command.args([&format!("-max_total_time={seconds}"), "-timeout=60", "-rss_limit_mb=3000"]);
    command.args(["-max_len=4096", "-print_final_stats=1"]);
    let output = command.output().map_err(|error| format!("cannot run cargo: {error}"))?;
    let log = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        let tail: Vec<&str> = log.lines().rev().take(40).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        return Err(format!("{target} found something:\n{}", tail.join("\n")));
    }
    let runs = log.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    Ok(runs.and_then(|runs| runs.trim().parse().ok()).unwrap_or(0))
}
