//! The session without JavaScript, natively: what it promises to the worker.

use std::ops::Range;

use datasync::backend::memory::Memory;
use datasync::block::Lsn;
use datasync_web::engine::Engine;
use datasync_web::failure::Outcome;
use datasync_web::script::Script;
use datasync_web::settings::Settings;
use datasync_web::wire::{Cell, Chunk, Encoder};

fn open(memory: &Memory) -> Engine {
    Engine::open(memory.clone(), Settings::default()).unwrap()
}

fn row(cells: &[Cell<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    encoder.begin(cells.len());
    cells.iter().for_each(|cell| encoder.cell(*cell));
    encoder.finish(1, true).concat()
}

/// Runs every statement; how many rows the last one had, and its first integer.
fn run(engine: &mut Engine, sql: &str) -> Outcome<(usize, Option<i64>)> {
    let mut script = Script::new(sql.to_owned())?;
    let mut last = (0, None);
    while let Some(statement) = engine.prepare(&mut script)? {
        let bytes = engine.step(statement.id, usize::MAX, usize::MAX)?.concat();
        let chunk = Chunk::read(&bytes).unwrap();
        assert!(chunk.is_done());
        let first = chunk.cells().take();
        last = (chunk.rows(), if let Ok(Cell::Integer(value)) = first { Some(value) } else { None });
        engine.finalize(statement.id);
    }
    Ok(last)
}

#[test]
fn a_size_that_was_not_set_goes_with_those_that_were() {
    let open = |settings: Settings| Engine::open(Memory::new(), settings).map(drop);
    open(Settings { segment_bytes: Some(10 << 20), ..Settings::default() }).unwrap();
    open(Settings { log_cap_bytes: Some(1 << 20), ..Settings::default() }).unwrap();
    let both =
        Settings { segment_bytes: Some(10 << 20), log_cap_bytes: Some(16 << 20), ..Settings::default() };
    let refused = open(both).unwrap_err();
    assert!(refused.kind == "Misuse" && refused.message.contains("the log's cap of 16777216"), "{refused:?}");
}

#[test]
fn what_was_settled_is_there_after_a_crash_and_what_was_not_is_whole_or_gone() {
    let memory = Memory::new();
    let mut engine = open(&memory);
    run(&mut engine, "CREATE TABLE t(x); INSERT INTO t VALUES (1)").unwrap();
    engine.settle().unwrap();
    run(&mut engine, "BEGIN; INSERT INTO t VALUES (2), (3); COMMIT").unwrap();
    let crashed = memory.copy();
    drop(engine);
    let mut engine = open(&crashed);
    assert!(engine.recovery().contains("\"unclean\""));
    let (_, count) = run(&mut engine, "SELECT count(*) FROM t").unwrap();
    assert!(count == Some(1) || count == Some(3), "{count:?}");
}

#[test]
fn a_commit_is_answered_before_its_barrier_and_durable_after_settling() {
    let mut engine = open(&Memory::new());
    run(&mut engine, "CREATE TABLE t(x)").unwrap();
    engine.settle().unwrap();
    let barriers = |engine: &Engine| {
        let status = engine.status("memory", Lsn(u64::MAX)).end();
        let (_, rest) = status.split_once("\"barriers\":").unwrap();
        rest.split(',').next().unwrap().parse::<u64>().unwrap()
    };
    let before = barriers(&engine);
    for _ in 0..10 {
        run(&mut engine, "INSERT INTO t VALUES (1)").unwrap();
    }
    assert_eq!(barriers(&engine), before, "a commit waited for a barrier");
    engine.settle().unwrap();
    assert_eq!(barriers(&engine), before + 1, "ten commits take one barrier");
    engine.settle().unwrap();
    assert_eq!(barriers(&engine), before + 1, "nothing new takes none");
}

#[test]
fn values_that_are_bound_outlive_the_bytes_they_came_in() {
    let mut engine = open(&Memory::new());
    run(&mut engine, "CREATE TABLE t(x, y)").unwrap();
    let mut script = Script::new("INSERT INTO t VALUES (?, ?)".to_owned()).unwrap();
    let id = engine.prepare(&mut script).unwrap().unwrap().id;
    for n in 0..50 {
        let (text, blob) = (format!("text {n}"), vec![n as u8; 5000]);
        engine.bind(id, row(&[Cell::Text(&text), Cell::Blob(&blob)])).unwrap();
        let _fill = vec![0xaa_u8; 5000];
        engine.step(id, 1, usize::MAX).unwrap();
    }
    let wrong = "SELECT count(*) FROM t WHERE x <> 'text ' || (rowid - 1) OR length(y) <> 5000 \
                 OR hex(substr(y, 5000)) <> printf('%02X', rowid - 1)";
    assert_eq!(run(&mut engine, wrong).unwrap().1, Some(0));
}

#[test]
fn a_schema_that_changes_under_a_statement_changes_its_columns() {
    let mut engine = open(&Memory::new());
    run(&mut engine, "CREATE TABLE t(a); INSERT INTO t VALUES (1)").unwrap();
    let mut script = Script::new("SELECT * FROM t".to_owned()).unwrap();
    let id = engine.prepare(&mut script).unwrap().unwrap().id;
    run(&mut engine, "ALTER TABLE t ADD COLUMN b DEFAULT 7").unwrap();
    let bytes = engine.step(id, 10, usize::MAX).unwrap().concat();
    let chunk = Chunk::read(&bytes).unwrap();
    assert_eq!((chunk.columns(), chunk.rows()), (2, 1));
}

#[test]
fn wrong_calls_are_misuse_and_change_nothing() {
    let mut engine = open(&Memory::new());
    run(&mut engine, "CREATE TABLE t(x)").unwrap();
    let mut script = Script::new("INSERT INTO t VALUES (?)".to_owned()).unwrap();
    let id = engine.prepare(&mut script).unwrap().unwrap().id;
    let two = row(&[Cell::Null, Cell::Null]);
    let kinds = [
        engine.bind(id, two.clone()).unwrap_err().kind,
        engine.run_many(id, two).unwrap_err().kind,
        engine.run_many(id, vec![1, 2, 3]).unwrap_err().kind,
        engine.step(id + 1, 1, 1).map(|_| ()).unwrap_err().kind,
        engine.export_read(0, 1).unwrap_err().kind,
        engine.import_write(&[0]).unwrap_err().kind,
        engine.import_end(false).unwrap_err().kind,
    ];
    assert!(kinds.iter().all(|kind| *kind == "Misuse"), "{kinds:?}");
    run(&mut engine, "BEGIN").unwrap();
    assert_eq!(engine.import_start(4096).unwrap_err().kind, "Misuse");
    run(&mut engine, "COMMIT").unwrap();
    assert_eq!(engine.import_start(1000).unwrap_err().kind, "NotAStore");
    assert_eq!(run(&mut engine, "SELECT count(*) FROM t").unwrap().1, Some(0));
    engine.close().unwrap();
    engine.close().unwrap();
    assert_eq!(run(&mut engine, "SELECT 1").unwrap_err().kind, "Closed");
}

#[test]
fn a_full_medium_says_full_and_the_transaction_before_it_stays() {
    let memory = Memory::with_limit(12 << 20);
    let mut engine = open(&memory);
    run(&mut engine, "CREATE TABLE t(x); INSERT INTO t VALUES (1)").unwrap();
    let error = run(
        &mut engine,
        "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 4000) \
         SELECT randomblob(8000) FROM n",
    )
    .unwrap_err();
    assert_eq!(error.kind, "Full", "{error:?}");
    assert_eq!(run(&mut engine, "SELECT count(*) FROM t").unwrap().1, Some(1));
    run(&mut engine, "INSERT INTO t VALUES (2)").unwrap();
    engine.settle().unwrap();
}

#[test]
fn what_was_imported_is_one_commit_and_a_cancelled_import_none() {
    let mut engine = open(&Memory::new());
    run(&mut engine, "CREATE TABLE t(x); INSERT INTO t VALUES (zeroblob(50000))").unwrap();
    let bytes = engine.export_start().unwrap();
    let file = engine.export_read(0, usize::try_from(bytes).unwrap()).unwrap();
    engine.export_end();
    run(&mut engine, "INSERT INTO t VALUES (2)").unwrap();
    engine.import_start(bytes).unwrap();
    engine.import_write(&file[..10_000]).unwrap();
    engine.import_cancel();
    assert_eq!(run(&mut engine, "SELECT count(*) FROM t").unwrap().1, Some(2));
    engine.import_start(bytes).unwrap();
    file.chunks(777).for_each(|part| engine.import_write(part).unwrap());
    engine.import_end(false).unwrap();
    assert_eq!(run(&mut engine, "SELECT count(*) FROM t").unwrap().1, Some(1));
}

#[test]
fn a_witnessed_import_has_its_proof_when_its_call_returns() {
    for witnessed in [true, false] {
        let memory = Memory::new();
        let mut engine = open(&memory);
        run(&mut engine, "CREATE TABLE t(x)").unwrap();
        let bytes = engine.export_start().unwrap();
        let file = engine.export_read(0, usize::try_from(bytes).unwrap()).unwrap();
        engine.export_end();
        engine.import_start(bytes).unwrap();
        engine.import_write(&file).unwrap();
        engine.import_end(witnessed).unwrap();
        let recovery = open(&memory.copy()).recovery();
        assert_eq!(recovery.contains("\"unprovenCommits\":0"), witnessed, "{recovery}");
    }
}

#[test]
fn a_damaged_file_that_was_imported_can_be_replaced_by_another() {
    for (place, kind) in [(100..4096, "Corrupt"), (21..24, "NotAStore")] {
        damaged_import(place, kind);
    }
}

fn damaged_import(place: Range<usize>, kind: &str) {
    let memory = Memory::new();
    let mut engine = open(&memory);
    run(&mut engine, "CREATE TABLE t(x); INSERT INTO t VALUES (7)").unwrap();
    let bytes = engine.export_start().unwrap();
    let file = engine.export_read(0, usize::try_from(bytes).unwrap()).unwrap();
    engine.export_end();
    let mut damaged = file.clone();
    damaged[place].fill(0xff);
    let import = |engine: &mut Engine, file: &[u8]| {
        engine.import_start(bytes).unwrap();
        engine.import_write(file).unwrap();
        engine.import_end(false).unwrap();
    };
    import(&mut engine, &damaged);
    assert_eq!(run(&mut engine, "SELECT x FROM t").unwrap_err().kind, kind);
    engine.settle().unwrap();
    drop(engine);
    let mut engine = open(&memory);
    import(&mut engine, &file);
    assert_eq!(run(&mut engine, "SELECT x FROM t").unwrap(), (1, Some(7)));
}
