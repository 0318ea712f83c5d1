//! The extension in real host programs: the sqlite3 shell and Python, where they are installed.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The library that cargo built for this test program: the newest, for `cargo build` puts its own elsewhere.
fn library() -> PathBuf {
    let program = std::env::current_exe().expect("a test has a path");
    let target = program.parent().and_then(Path::parent).expect("target/debug/deps/...").to_owned();
    let name = format!("{}datasync{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    [target.join(&name), target.join("deps").join(&name)]
        .into_iter()
        .filter(|path| path.exists())
        .max_by_key(|path| path.metadata().and_then(|found| found.modified()).expect("a file has a time"))
        .expect("cargo builds the library before its tests")
}

fn run(program: &str, args: &[&str], input: &str) -> Option<Output> {
    use std::io::Write;
    let mut child = Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    Some(child.wait_with_output().unwrap())
}

fn text(output: &Output) -> (String, String) {
    (
        String::from_utf8_lossy(&output.stdout).into_owned(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
    )
}

/// Runs a script in the sqlite3 shell with the extension loaded; `None` without a shell.
fn shell(script: &str) -> Option<(String, String)> {
    let load = format!(".load {}\n{script}", library().display());
    let output = run("sqlite3", &["-batch", ":memory:"], &load);
    if output.is_none() {
        println!("skipped: no sqlite3 shell");
    }
    output.as_ref().map(text)
}

/// A Python that can load extensions, if there is one.
fn python() -> Option<&'static str> {
    let able =
        "import sqlite3, sys; sys.exit(not hasattr(sqlite3.connect(':memory:'), 'enable_load_extension'))";
    let found = ["/usr/bin/python3", "python3"]
        .into_iter()
        .find(|python| run(python, &["-c", able], "").is_some_and(|output| output.status.success()));
    if found.is_none() {
        println!("skipped: no Python whose sqlite3 loads extensions");
    }
    found
}

#[test]
fn the_shell_opens_a_store_and_finds_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("shell.datasync");
    let open = format!(".open file:{}?vfs=datasync\n", store.display());
    let write = "CREATE TABLE note(text); INSERT INTO note VALUES ('kept'); PRAGMA integrity_check;\n";
    let Some((out, err)) = shell(&format!("{open}{write}")) else { return };
    assert_eq!((out.as_str(), err.as_str()), ("ok\n", ""));
    let (out, err) = shell(&format!("{open}SELECT text FROM note;\n")).unwrap();
    assert_eq!((out.as_str(), err.as_str()), ("kept\n", ""));
    let plain =
        run("sqlite3", &[store.join("base.db").to_str().unwrap(), "SELECT text FROM note"], "").unwrap();
    assert_eq!(text(&plain).0, "kept\n", "after a clean close base.db is a plain database");
}

#[test]
fn the_shell_attaches_a_store_to_a_plain_database() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("side.datasync");
    let script = format!(
        ".open file:{}/plain.db\nCREATE TABLE a(x); INSERT INTO a VALUES (1), (2);\n\
         ATTACH 'file:{}?vfs=datasync' AS side;\nCREATE TABLE side.b AS SELECT x * 10 AS y FROM a;\n\
         SELECT sum(y) FROM side.b;\n",
        dir.path().display(),
        store.display()
    );
    let Some((out, err)) = shell(&script) else { return };
    assert_eq!((out.as_str(), err.as_str()), ("30\n", ""));
}

#[test]
fn python_commits_and_a_second_process_reads() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let script = format!(
        "import sqlite3\n\
         db = sqlite3.connect(':memory:')\n\
         db.enable_load_extension(True)\n\
         db.load_extension({:?})\n\
         db.close()\n\
         db = sqlite3.connect('file:{}?vfs=datasync', uri=True)\n\
         db.execute('CREATE TABLE IF NOT EXISTS t(x)')\n\
         with db:\n    db.executemany('INSERT INTO t VALUES (?)', [(n,) for n in range(1000)])\n\
         print(db.execute('SELECT count(*), sum(x) FROM t').fetchone())\n\
         db.close()\n",
        library(),
        dir.path().join("py.datasync").display()
    );
    for expected in ["(1000, 499500)\n", "(2000, 999000)\n"] {
        let (out, err) = text(&run(python, &["-c", &script], "").unwrap());
        assert_eq!((out.as_str(), err.as_str()), (expected, ""));
    }
}

#[test]
fn a_path_that_is_no_store_is_an_error_not_a_crash() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("text.txt");
    std::fs::write(&file, "not a store").unwrap();
    let open = format!(".open file:{}?vfs=datasync\nCREATE TABLE t(x);\n", file.display());
    let Some((_, err)) = shell(&open) else { return };
    assert!(err.contains("unable to open"), "{err}");
    assert_eq!(std::fs::read(&file).unwrap(), b"not a store");
}
