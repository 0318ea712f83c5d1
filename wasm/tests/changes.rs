//! Sets of changes, natively: what is recorded is applied as a whole or not at all, and what does not fit is told.

use datasync::backend::memory::Memory;
use datasync_web::engine::Engine;
use datasync_web::failure::Outcome;
use datasync_web::script::Script;
use datasync_web::settings::Settings;
use datasync_web::wire::{Cell, Chunk};

const NOTES: &str = "CREATE TABLE notes(id INTEGER PRIMARY KEY, body TEXT UNIQUE); CREATE TABLE plain(a);
                     INSERT INTO notes VALUES (1, 'one'), (2, 'two'), (3, 'three'); INSERT INTO plain VALUES ('p')";
const CHANGES: &str = "UPDATE notes SET body = 'ONE' WHERE id = 1; DELETE FROM notes WHERE id = 2;
                       INSERT INTO notes VALUES (4, 'four'); INSERT INTO plain VALUES ('q')";
/// Both tables as one text.
const ALL: &str =
    "SELECT (SELECT group_concat(id || body, ' ') FROM notes) || ' ' || (SELECT group_concat(a) FROM plain)";

fn open(sql: &str) -> Engine {
    let mut engine = Engine::open(Memory::new(), Settings::default()).unwrap();
    run(&mut engine, sql).unwrap();
    engine
}

/// Runs every statement; the text in the first cell of the last.
fn run(engine: &mut Engine, sql: &str) -> Outcome<String> {
    let mut script = Script::new(sql.to_owned())?;
    let mut last = String::new();
    while let Some(statement) = engine.prepare(&mut script)? {
        let bytes = engine.step(statement.id, usize::MAX, usize::MAX)?.concat();
        if let Ok(Cell::Text(text)) = Chunk::read(&bytes).unwrap().cells().take() {
            text.clone_into(&mut last);
        }
        engine.finalize(statement.id);
    }
    Ok(last)
}

fn all(engine: &mut Engine) -> String {
    run(engine, ALL).unwrap()
}

/// What `CHANGES` does to `NOTES`.
fn recorded(patch: bool) -> Vec<u8> {
    let mut engine = open(NOTES);
    let id = engine.record("").unwrap();
    run(&mut engine, CHANGES).unwrap();
    engine.recorded(id, patch).unwrap().to_vec()
}

#[test]
fn what_was_recorded_makes_another_database_the_same_and_its_opposite_takes_it_back() {
    let mut wanted = open(NOTES);
    run(&mut wanted, CHANGES).unwrap();
    for patch in [false, true] {
        let mut engine = open(NOTES);
        assert_eq!(engine.apply(&recorded(patch), "abort").unwrap(), 0);
        assert_eq!(all(&mut engine), all(&mut wanted));
    }
    let inverted = wanted.invert(&recorded(false)).unwrap().to_vec();
    assert_eq!(wanted.apply(&inverted, "abort").unwrap(), 0);
    assert_eq!(all(&mut wanted), all(&mut open(NOTES)));
    assert_eq!(
        wanted.invert(&recorded(true)).map(|_| ()).unwrap_err().kind,
        "Misuse",
        "a patchset has no opposite"
    );
    assert_eq!(wanted.apply(&[], "abort").unwrap(), 0, "no change at all is a changeset");
}

#[test]
fn only_the_tables_that_were_named_are_recorded_and_a_recording_ends() {
    let mut engine = open(NOTES);
    let (notes, plain) = (engine.record("NOTES\0").unwrap(), engine.record("plain\0notes\0").unwrap());
    run(&mut engine, CHANGES).unwrap();
    let sizes = |engine: &Engine| [notes, plain].map(|id| engine.recorded(id, false).unwrap().len());
    let [fewer, more] = sizes(&engine);
    assert!(0 < fewer && fewer < more, "{fewer} {more}");
    engine.unrecord(notes);
    engine.unrecord(notes);
    assert_eq!(engine.recorded(notes, false).map(|_| ()).unwrap_err().kind, "Expired");
    assert_eq!(engine.recorded(plain, false).unwrap().len(), more);
    assert_eq!(engine.record("cut off").unwrap_err().kind, "Misuse");
    engine.close().unwrap();
    assert_eq!(engine.recorded(plain, false).map(|_| ()).unwrap_err().kind, "Closed");
    assert_eq!(engine.apply(&[], "abort").unwrap_err().kind, "Closed");
}

#[test]
fn what_does_not_fit_stops_everything_or_is_left_out_or_wins() {
    let changes = recorded(false);
    // What is done before, and then: the kind of the error, conflicts and rows with omit and with replace.
    let cases = [
        (
            "UPDATE notes SET body = 'mine' WHERE id = 1",
            "Conflict",
            1,
            "1mine 3three 4four p,q",
            "1ONE 3three 4four p,q",
        ),
        ("DELETE FROM notes WHERE id = 1", "Conflict", 1, "3three 4four p,q", "3three 4four p,q"),
        (
            "INSERT INTO notes VALUES (4, 'mine')",
            "Conflict",
            1,
            "1ONE 3three 4mine p,q",
            "1ONE 3three 4four p,q",
        ),
        (
            "INSERT INTO notes VALUES (5, 'four')",
            "Constraint",
            1,
            "1ONE 3three 5four p,q",
            "1ONE 3three 5four p,q",
        ),
    ];
    for (before, kind, conflicts, omitted, replaced) in cases {
        let mut engine = open(&format!("{NOTES}; {before}"));
        let untouched = all(&mut engine);
        let failure = engine.apply(&changes, "abort").unwrap_err();
        assert_eq!((failure.kind, all(&mut engine)), (kind, untouched), "{before}: {}", failure.message);
        assert!(failure.message.contains("\"notes\"") && failure.message.ends_with("nothing was applied"));
        for (word, wanted) in [("omit", omitted), ("replace", replaced)] {
            let mut engine = open(&format!("{NOTES}; {before}"));
            assert_eq!(engine.apply(&changes, word).unwrap(), conflicts, "{before}: {word}");
            assert_eq!(all(&mut engine), wanted, "{before}: {word}");
        }
    }
    assert_eq!(open(NOTES).apply(&changes, "ignore").unwrap_err().kind, "Misuse");
}

#[test]
fn a_foreign_key_is_never_left_dangling() {
    let tables =
        "CREATE TABLE a(id INTEGER PRIMARY KEY); CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a)";
    let mut engine = open(&format!("{tables}; INSERT INTO a VALUES (1)"));
    let id = engine.record("").unwrap();
    run(&mut engine, "INSERT INTO b VALUES (1, 1)").unwrap();
    let changes = engine.recorded(id, false).unwrap().to_vec();
    for word in ["abort", "omit", "replace"] {
        let mut other = open(tables);
        assert_eq!(other.apply(&changes, word).unwrap_err().kind, "Constraint");
        assert_eq!(run(&mut other, "SELECT 'rows ' || count(*) FROM b").unwrap(), "rows 0");
    }
}

#[test]
fn changes_of_a_table_that_is_not_here_as_they_need_it_are_an_error() {
    let changes = recorded(false);
    let others = [
        "CREATE TABLE plain(a)",
        "CREATE TABLE notes(id INTEGER PRIMARY KEY); CREATE TABLE plain(a)",
        "CREATE TABLE notes(id, body PRIMARY KEY); CREATE TABLE plain(a)",
    ];
    for sql in others {
        let mut engine = open(sql);
        let failure = engine.apply(&changes, "replace").unwrap_err();
        assert_eq!(failure.kind, "Sql");
        assert!(failure.message.contains("\"notes\""), "{}", failure.message);
        assert_eq!(run(&mut engine, "SELECT 'rows ' || count(*) FROM plain").unwrap(), "rows 0", "{sql}");
    }
}

#[test]
fn bytes_that_are_no_changeset_change_nothing() {
    let good = recorded(false);
    let mut engine = open(NOTES);
    let untouched = all(&mut engine);
    for bytes in [b"garbage".as_slice(), &[0xff; 64], &good[..good.len() - 1], &good[1..]] {
        for failure in
            [engine.apply(bytes, "replace").unwrap_err(), engine.invert(bytes).map(|_| ()).unwrap_err()]
        {
            assert_eq!((failure.kind, failure.code), ("Misuse", None), "{}", failure.message);
        }
    }
    // Whatever single byte is damaged: an error and the database as it was, or changes that somebody may have made.
    for at in 0..good.len() {
        for value in [0, 1, 0x17, 0x7f, 0xff] {
            let mut bad = good.clone();
            bad[at] = value;
            run(&mut engine, "SAVEPOINT before").unwrap();
            if let Err(failure) = engine.apply(&bad, "omit") {
                assert!(
                    ["Misuse", "Sql", "Constraint"].contains(&failure.kind),
                    "byte {at} as {value}: {failure:?}"
                );
                assert_eq!(all(&mut engine), untouched, "byte {at} as {value}");
            }
            run(&mut engine, "ROLLBACK TO before; RELEASE before").unwrap();
        }
    }
    assert_eq!(run(&mut engine, "PRAGMA integrity_check").unwrap(), "ok");
}

#[test]
fn a_transaction_goes_on_after_changes_that_did_not_fit() {
    let mut engine = open(NOTES);
    run(
        &mut engine,
        "BEGIN; INSERT INTO plain VALUES ('before'); UPDATE notes SET body = 'mine' WHERE id = 1",
    )
    .unwrap();
    assert_eq!(engine.apply(&recorded(false), "abort").unwrap_err().kind, "Conflict");
    assert!(engine.in_transaction());
    run(&mut engine, "INSERT INTO plain VALUES ('after'); COMMIT").unwrap();
    assert_eq!(all(&mut engine), "1mine 2two 3three p,before,after");
}

#[test]
fn an_import_ends_recordings_and_says_so() {
    let mut engine = open(NOTES);
    let id = engine.record("").unwrap();
    let bytes = engine.export_start().unwrap();
    let file = engine.export_read(0, usize::try_from(bytes).unwrap()).unwrap();
    engine.export_end();
    engine.import_start(bytes).unwrap();
    engine.import_write(&file).unwrap();
    engine.import_end(false).unwrap();
    let failure = engine.recorded(id, false).map(|_| ()).unwrap_err();
    assert_eq!((failure.kind, failure.message.contains("import")), ("Expired", true));
    let id = engine.record("").unwrap();
    run(&mut engine, CHANGES).unwrap();
    assert_eq!(engine.recorded(id, false).unwrap().len(), recorded(false).len());
}
