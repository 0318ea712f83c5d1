//! `cargo xtask kill --native`: kills a real writer with SIGKILL, again and again, and looks what is left.
//!
//! Each round starts `examples/kill_child.rs` as a writer on a real store, reads its acknowledgements off a
//! pipe, kills it at a moment drawn from the seed, and has a second process open the store and compare.
//! A store lives through several rounds, so that crashes meet the leftovers of crashes.
//!
//! With `--browser`, `kill_browser.rs` does the work.
//!
//! What a SIGKILL cannot show (bytes that only the page cache had) is `cargo xtask crash`'s part.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const SCENARIOS: [&str; 4] = ["rows", "large", "writers", "compaction"];
/// Rounds that one store lives through.
const LIVES: u64 = 10;
/// A child that is silent for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Asked {
    rounds: u64,
    seed: u64,
    record: bool,
    release: bool,
    scenario: Option<String>,
}

/// Runs the rounds.
///
/// # Errors
/// A sentence when an option is not understood, a child cannot run, or a promise was broken.
pub fn run(args: &[String]) -> Result<(), String> {
    if args.iter().any(|word| word == "--browser") {
        return crate::kill_browser::run(args);
    }
    let asked = parse(args)?;
    let child = build(asked.release)?;
    println!("seed {} (replay the same moments with --seed {})", asked.seed, asked.seed);
    let begun = Instant::now();
    let mut dice = Dice(asked.seed);
    let mut totals = Totals::default();
    let mut store = Store::new(asked.seed)?;
    for round in 1..=asked.rounds {
        if store.lives == LIVES {
            store.remove();
            store = Store::new(dice.roll())?;
        }
        let scenario = match &asked.scenario {
            Some(name) => *SCENARIOS.iter().find(|known| *known == name).ok_or("no such scenario")?,
            None => SCENARIOS[usize::try_from((round - 1) % 4).expect("below four")],
        };
        match one_round(&child, &mut store, scenario, &mut dice, &mut totals) {
            Ok(line) => println!("round {round:>4}  {scenario:<10} {line}"),
            Err(sentence) => {
                println!("round {round:>4}  {scenario:<10} VIOLATION");
                return Err(format!(
                    "{sentence}. Seed {}, round {round}; the store is kept at {}",
                    asked.seed,
                    store.path.display()
                ));
            }
        }
    }
    store.remove();
    println!(
        "{} rounds, {} kills, {} acknowledged commits, {} recoveries after a kill, 0 violations, {:.1} s, seed {}",
        asked.rounds,
        totals.kills,
        totals.acks,
        totals.unclean,
        begun.elapsed().as_secs_f64(),
        asked.seed
    );
    if asked.record { record(&asked, &totals, begun.elapsed()) } else { Ok(()) }
}

fn parse(args: &[String]) -> Result<Asked, String> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |since| since.as_millis());
    let seed = u64::try_from(now).unwrap_or(1);
    let mut asked = Asked { rounds: 20, seed, record: false, release: false, scenario: None };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut number = || {
            let value = words.next().ok_or_else(|| format!("{word} wants a number after it"))?;
            value.parse::<u64>().map_err(|_| format!("{word} {value} is not a number"))
        };
        match word.as_str() {
            "--native" => {}
            "--record" => asked.record = true,
            "--release" => asked.release = true,
            "--rounds" => asked.rounds = number()?,
            "--seed" => asked.seed = number()?,
            "--scenario" => asked.scenario = words.next().cloned(),
            other => return Err(format!("kill has no option `{other}`; --help lists them")),
        }
    }
    Ok(asked)
}

/// Builds the child with the tests' profile, whose SQLite is compiled already, or optimised.
fn build(release: bool) -> Result<PathBuf, String> {
    let mut command = crate::cargo();
    command.args(["build", "--quiet", "--locked", "--example", "kill_child"]);
    command.args(if release { ["--profile", "release"] } else { ["--profile", "test"] });
    let status = command.status().map_err(|error| format!("cannot run cargo: {error}"))?;
    if !status.success() {
        return Err("examples/kill_child.rs does not build".into());
    }
    let folder = if release { "release" } else { "debug" };
    Ok(crate::target()
        .join(folder)
        .join("examples")
        .join(format!("kill_child{}", std::env::consts::EXE_SUFFIX)))
}

#[derive(Default)]
struct Totals {
    acks: u64,
    kills: u64,
    unclean: u64,
}

/// A store and what is known of it.
struct Store {
    path: PathBuf,
    lives: u64,
    /// For each writer: the newest transaction that must be there.
    known: BTreeMap<u64, u64>,
    /// Kills since the last look: each may have left one commit that nobody was told of.
    unseen: u64,
}

impl Store {
    fn new(salt: u64) -> Result<Self, String> {
        let folder = crate::root().join("target").join("kill");
        fs::create_dir_all(&folder).map_err(|error| format!("cannot make {}: {error}", folder.display()))?;
        let path = folder.join(format!("{}-{salt:016x}.datasync", std::process::id()));
        Ok(Self { path, lives: 0, known: BTreeMap::new(), unseen: 0 })
    }

    fn remove(&self) {
        // What is left of a good round is only disk space.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn one_round(
    child: &Path,
    store: &mut Store,
    scenario: &str,
    dice: &mut Dice,
    totals: &mut Totals,
) -> Result<String, String> {
    store.lives += 1;
    // One round in five is over before the writer is ready: a crash inside recovery.
    let early = dice.below(5) == 0;
    let moment = Duration::from_micros(if early { dice.below(30_000) } else { 5_000 + dice.below(400_000) });
    let acks = write_and_kill(child, store, scenario, early, moment)?;
    totals.kills += 1;
    totals.acks += acks;
    store.unseen += 1;
    let killed = format!(
        "killed {:>3} ms {}",
        moment.as_millis(),
        if early { "after its start" } else { "into its work" }
    );
    if store.lives < LIVES && dice.below(4) == 0 {
        return Ok(format!("{killed}, {acks:>4} acks, not looked at before the next life"));
    }
    let leave = store.lives < LIVES && dice.below(2) == 0;
    let found = check(child, store, leave)?;
    totals.unclean += u64::from(found.contains("Unclean"));
    let end = if leave { "left unclosed" } else { "closed, base.db is sound" };
    Ok(format!("{killed}, {acks:>4} acks, {found}, {end}"))
}

/// Starts a writer, kills it, and takes its acknowledgements into what is known.
fn write_and_kill(
    child: &Path,
    store: &mut Store,
    scenario: &str,
    early: bool,
    moment: Duration,
) -> Result<u64, String> {
    let mut command = Command::new(child);
    command.arg("write").arg(&store.path).arg(scenario).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut writer = command.spawn().map_err(|error| format!("cannot start {}: {error}", child.display()))?;
    let lines = lines_of(&mut writer);
    let mut acks = 0;
    if !early && !wait_ready(&lines, &mut acks, store) {
        return Err(format!("the writer never got ready: {}", last_words(&mut writer)));
    }
    std::thread::sleep(moment);
    let ended = writer.try_wait().map_err(|error| error.to_string())?;
    if ended.is_some() {
        return Err(format!("the writer ended by itself: {}", last_words(&mut writer)));
    }
    writer.kill().map_err(|error| format!("cannot kill the writer: {error}"))?;
    writer.wait().map_err(|error| format!("lost the writer: {error}"))?;
    // Everything that was in the pipe when the writer died was said, and counts.
    while let Ok(line) = lines.recv() {
        acks += take_ack(&line, store);
    }
    Ok(acks)
}

fn wait_ready(lines: &Receiver<String>, acks: &mut u64, store: &mut Store) -> bool {
    while let Ok(line) = lines.recv_timeout(PATIENCE) {
        if line.starts_with("ready") {
            return true;
        }
        *acks += take_ack(&line, store);
    }
    false
}

fn lines_of(writer: &mut Child) -> Receiver<String> {
    let (send, receive) = mpsc::channel();
    let pipe = writer.stdout.take().expect("the writer's output is piped");
    std::thread::spawn(move || {
        let lines = BufReader::new(pipe).lines();
        for line in lines.map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    receive
}

fn last_words(writer: &mut Child) -> String {
    let _ = writer.kill();
    let mut words = String::new();
    if let Some(mut pipe) = writer.stderr.take() {
        let _ = pipe.read_to_string(&mut words);
    }
    let _ = writer.wait();
    words.trim().to_owned()
}

fn take_ack(line: &str, store: &mut Store) -> u64 {
    let mut words = line.split(' ');
    let (Some("ack"), Some(writer), Some(txn)) = (words.next(), words.next(), words.next()) else { return 0 };
    let (Ok(writer), Ok(txn)) = (writer.parse::<u64>(), txn.parse::<u64>()) else { return 0 };
    let newest = store.known.entry(writer).or_insert(0);
    *newest = txn.max(*newest);
    1
}

/// Has a process of its own open the store and compare; what it found becomes what must stay.
fn check(child: &Path, store: &mut Store, leave: bool) -> Result<String, String> {
    let mut command = Command::new(child);
    command.arg("check").arg(&store.path);
    if leave {
        command.arg("--leave");
    }
    for writer in 0..4 {
        let least = store.known.get(&writer).copied().unwrap_or(0);
        command.arg(format!("{writer}={least}:{}", least + store.unseen));
    }
    let output = command.output().map_err(|error| format!("cannot start {}: {error}", child.display()))?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
    }
    let found = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    for word in found.split(' ') {
        if let Some((writer, newest)) = word.split_once('=')
            && let (Ok(writer), Ok(newest)) = (writer.parse(), newest.parse())
        {
            store.known.insert(writer, newest);
        }
    }
    store.unseen = 0;
    Ok(found)
}

/// Adds a line to the ledger of record runs.
fn record(asked: &Asked, totals: &Totals, took: Duration) -> Result<(), String> {
    append_to_ledger(&format!(
        "  {{\"suite\": \"kill-native\", \"commit\": \"{}\", \"rounds\": {}, \"acknowledged\": {}, \
         \"recoveries\": {}, \"violations\": 0, \"seconds\": {}, \"seed\": {}}}",
        commit(),
        asked.rounds,
        totals.acks,
        totals.unclean,
        took.as_secs(),
        asked.seed
    ))
}

/// The commit that is checked out; empty where git does not say.
pub fn commit() -> String {
    let output =
        Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(crate::root()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()).unwrap_or_default()
}

/// Adds `entry`, one JSON object, to the ledger.
pub fn append_to_ledger(entry: &str) -> Result<(), String> {
    let path = crate::root().join("tests").join("crash").join("LEDGER.json");
    let old = fs::read_to_string(&path).unwrap_or_default();
    let kept = old.trim_end().strip_suffix(']').map(|list| list.trim_end().to_owned());
    let text = match kept.as_deref() {
        None | Some("[") => format!("[\n{entry}\n]\n"),
        Some(list) => format!("{list},\n{entry}\n]\n"),
    };
    fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))
}

/// SplitMix64 (Steele, Lea, Flood 2014).
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.roll() % bound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_strangers_refused() {
        let words = |line: &str| line.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let asked = parse(&words("--native --rounds 7 --seed 3 --record")).unwrap();
        assert_eq!((asked.rounds, asked.seed, asked.record), (7, 3, true));
        for line in ["--rounds", "--rounds x", "--browser"] {
            assert!(parse(&words(line)).is_err(), "{line}");
        }
    }

    #[test]
    fn acknowledgements_only_raise_what_is_known() {
        let mut store = Store { path: PathBuf::new(), lives: 0, known: BTreeMap::new(), unseen: 0 };
        let told: u64 = ["ack 1 5", "ack 1 4", "ready Clean", "ack 1"]
            .iter()
            .map(|line| take_ack(line, &mut store))
            .sum();
        assert_eq!((told, store.known[&1]), (2, 5));
    }
}
