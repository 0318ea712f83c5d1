//! What the file backend asks of the system, counted by `strace` where it is installed.

use std::path::Path;
use std::process::Command;

use crate::child::arguments;

/// The lines of a trace between two marks.
pub struct Trace(String);

impl Trace {
    /// Runs the ignored test `child::name` on `store` under strace; `None`, with a word, without one.
    pub fn of(name: &str, store: &Path) -> Option<Self> {
        let log = tempfile::NamedTempFile::new().unwrap();
        let calls = "trace=desc,file,fsync,fdatasync,sync_file_range";
        let status = Command::new("strace")
            .args(["-f", "-y", "-e", calls, "-o"])
            .arg(log.path())
            .arg(std::env::current_exe().unwrap())
            .args(arguments(name))
            .env("DATASYNC_TEST_STORE", store)
            .output();
        if !status.is_ok_and(|output| output.status.success()) {
            eprintln!("skipped: no strace here, or it may not trace");
            return None;
        }
        Some(Self(std::fs::read_to_string(log.path()).unwrap()))
    }

    /// The calls from the mark `from` to the mark `to`, without resumed halves.
    pub fn between(&self, from: &str, to: &str) -> Vec<&str> {
        let lines = self.0.lines().skip_while(|line| !line.contains(&format!("/mark-{from}"))).skip(1);
        lines.take_while(|line| !line.contains(&format!("/mark-{to}"))).collect()
    }
}

pub fn count(lines: &[&str], call: &str) -> usize {
    lines.iter().filter(|line| line.contains(&format!(" {call}("))).count()
}

#[test]
fn write_and_barrier_are_one_call_each() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trace) = Trace::of("applies_ops_between_marks", &dir.path().join("app.datasync")) else {
        return;
    };
    let commit = trace.between("commit", "end");
    assert_eq!(commit.len(), 2, "more than a write and a barrier: {commit:#?}");
    assert_eq!((count(&commit, "pwrite64"), count(&commit, "fdatasync")), (1, 1), "{commit:#?}");
    let reserve = trace.between("reserve", "commit");
    assert_eq!((count(&reserve, "pwrite64"), count(&reserve, "fdatasync")), (4, 1), "{reserve:#?}");
}

#[test]
fn new_directory_is_durable_in_its_parent_before_anything_is_in_it() {
    let dir = tempfile::tempdir().unwrap();
    let real = std::fs::canonicalize(dir.path()).unwrap();
    let Some(trace) = Trace::of("applies_ops_between_marks", &dir.path().join("app.datasync")) else {
        return;
    };
    let create = trace.between("create", "reserve");
    let at = |what: &dyn Fn(&str) -> bool| create.iter().position(|line| what(line));
    let mkdir = at(&|line| line.contains("mkdir("));
    let parent = at(&|line| line.contains("fsync(") && line.contains(&format!("<{}>", real.display())));
    let lock = at(&|line| line.contains("O_CREAT") && line.contains("LOCK"));
    let meta = at(&|line| line.contains("O_CREAT") && line.contains("META"));
    let own = at(&|line| line.contains("fsync(") && line.contains("app.datasync>"));
    let order = [mkdir, parent, lock, meta, own];
    assert!(order.iter().all(Option::is_some) && order.is_sorted(), "{order:?} in {create:#?}");
}

#[test]
fn small_durable_commit_is_one_write_and_one_barrier() {
    let dir = tempfile::tempdir().unwrap();
    let Some(trace) = Trace::of("commits_between_marks", &dir.path().join("app.datasync")) else { return };
    let seen = |from, to| {
        let lines = trace.between(from, to);
        let counts = ["pwrite64", "fdatasync", "pread64"].map(|call| count(&lines, call));
        assert_eq!(counts.iter().sum::<usize>(), lines.len(), "another call: {lines:#?}");
        counts
    };
    assert_eq!(seen("durable", "applied"), [1, 1, 0]);
    assert_eq!(seen("applied", "sync"), [1, 0, 0]);
    assert_eq!(seen("sync", "read"), [0, 1, 0]);
    assert_eq!(seen("read", "end"), [0, 0, 1]);
}
