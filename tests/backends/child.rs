//! Runs one of this file's ignored tests in a process of its own.

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use datasync::backend::Backend;
use datasync::backend::OpenMode;
use datasync::backend::file::FileStore;
use datasync::block::{BlockNo, Durability, SegmentId};
use datasync::log::plan::{Area, Op};
use datasync::volume::{Options, Volume};

use crate::medium::{blocks, segment, write};

const STORE: &str = "DATASYNC_TEST_STORE";

/// A command that runs the ignored test `name` of this program, on `store`.
pub fn command(name: &str, store: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments(name)).env(STORE, store);
    command
}

pub fn arguments(name: &str) -> [String; 4] {
    ["--exact".into(), format!("child::{name}"), "--ignored".into(), "--nocapture".into()]
}

/// A process that holds a store open until it is killed or let go.
pub struct Holder(Child);

impl Holder {
    pub fn start(name: &str, store: &Path) -> Self {
        let mut child = command(name, store).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Not equal: the harness begins the line itself.
        assert!(lines.any(|line| line.unwrap().ends_with("held")), "the child could not open the store");
        std::thread::spawn(move || lines.for_each(drop));
        Self(child)
    }

    pub fn pid(&self) -> u32 {
        self.0.id()
    }

    pub fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

fn hold(mode: OpenMode) {
    let Some(path) = std::env::var_os(STORE) else { return };
    let _store = FileStore::open(path, mode).unwrap();
    println!("held");
    // Until the parent lets go or is gone.
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
#[ignore = "only as a child of another test"]
fn holds_for_writing() {
    hold(OpenMode::Create);
}

#[test]
#[ignore = "only as a child of another test"]
fn holds_for_reading() {
    hold(OpenMode::ReadOnly);
}

/// Says in a trace of system calls that something begins: a look at a name that nobody else looks at.
pub fn mark(name: &str) {
    let _ = std::fs::metadata(format!("/mark-{name}"));
}

#[test]
#[ignore = "only as a child of another test"]
fn applies_ops_between_marks() {
    let Some(path) = std::env::var_os(STORE) else { return };
    mark("create");
    let store = FileStore::open(path, OpenMode::Create).unwrap();
    store.apply(&Op::Create(Area::Meta)).unwrap();
    store.apply(&Op::BarrierDirectory).unwrap();
    store.apply(&Op::Create(segment(1))).unwrap();
    mark("reserve");
    store.apply(&Op::Reserve { segment: SegmentId(1), pages: 256 }).unwrap();
    store.apply(&Op::Barrier(segment(1))).unwrap();
    mark("commit");
    store.apply(&write(segment(1), 0, &blocks(1, 3))).unwrap();
    store.apply(&Op::Barrier(segment(1))).unwrap();
    mark("end");
}

#[test]
#[ignore = "only as a child of another test"]
fn commits_between_marks() {
    let Some(path) = std::env::var_os(STORE) else { return };
    let store = FileStore::open(path, OpenMode::Create).unwrap();
    let volume = Volume::open(store, Options::new().background(false)).unwrap();
    // As SQLite commits a row: the changed page, and page 1 with its counter.
    let commit = |round: u8, durability| {
        let mut writer = volume.begin().unwrap();
        for block in [0, u64::from(round)] {
            writer.write(BlockNo(block), &[round; 4096]).unwrap();
        }
        writer.commit(durability).unwrap();
    };
    for round in 0..10 {
        commit(round, Durability::Durable);
    }
    mark("durable");
    commit(10, Durability::Durable);
    mark("applied");
    commit(11, Durability::Applied);
    mark("sync");
    volume.sync().unwrap();
    mark("read");
    let mut bytes = [0; 4096];
    volume.snapshot().unwrap().read(BlockNo(3), &mut bytes).unwrap();
    mark("end");
}
