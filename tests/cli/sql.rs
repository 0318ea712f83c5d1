//! `datasync sql`: what it prints, what it makes, what it keeps.

use crate::Place;

#[test]
fn rows_are_printed_for_people_and_for_programs() {
    let place = Place::imported();
    let sql = "SELECT id, name, NULL AS n FROM artist WHERE id IN (9, 10)";
    let table =
        "id | name      | n\n---+-----------+-----\n 9 | artist 9  | NULL\n10 | artist 10 | NULL\n(2 rows)\n";
    assert_eq!(place.sql(sql).is(0).out, table);
    let json = place.run_args(&["sql", "music.datasync", "--json", sql], "").is(0);
    assert_eq!(
        json.out,
        "[\n  {\"id\": 9, \"name\": \"artist 9\", \"n\": null},\n  \
         {\"id\": 10, \"name\": \"artist 10\", \"n\": null}\n]\n"
    );
    let csv = place.run_args(&["sql", "music.datasync", "--csv", sql], "").is(0);
    assert_eq!(csv.out, "id,name,n\r\n9,artist 9,\r\n10,artist 10,\r\n");
}

#[test]
fn text_that_is_no_utf_8_is_printed_and_the_script_goes_on() {
    let place = Place::imported();
    let sql = "SELECT CAST(x'61ff62' AS TEXT) AS t; SELECT 'after' AS t";
    place.sql(sql).is(0).says("a\u{fffd}b\n(1 row)").says("after");
    place
        .run_args(&["sql", "music.datasync", "--json", sql], "")
        .is(0)
        .says("\"a\u{fffd}b\"")
        .says("\"after\"");
    let csv = place.command(&["sql", "music.datasync", "--csv", sql]).output().unwrap();
    assert!(csv.status.success() && csv.stdout == b"t\r\na\xffb\r\nt\r\nafter\r\n", "{csv:?}");
}

#[test]
fn a_script_runs_from_standard_input_and_names_the_line_that_fails() {
    let place = Place::imported();
    let script = "CREATE TABLE note(text);\n\
                  CREATE TRIGGER t AFTER INSERT ON note BEGIN\n  SELECT 1; SELECT 2;\nEND;\n\
                  INSERT INTO note VALUES ('a;b'), ('c');\n-- a comment;\nSELECT count(*) AS n FROM note;\n";
    place.run_args(&["sql", "music.datasync"], script).is(0).says("\n2\n(1 row)\n");
    let broken = "INSERT INTO note VALUES ('kept');\n\nINSERT INTO nowhere VALUES (1);\n\
                  INSERT INTO note VALUES ('never');\n";
    place.run_args(&["sql", "music.datasync"], broken).fails(5, "line 3: no such table: nowhere");
    place.sql("SELECT text FROM note").is(0).says("kept").says("(3 rows)");
    let open = "BEGIN; DELETE FROM note;";
    place.run_args(&["sql", "music.datasync"], open).fails(5, "inside a transaction, which was rolled back");
    place.sql("SELECT count(*) FROM note").is(0).says("3\n");
}

#[test]
fn a_store_is_only_made_when_that_was_asked_for() {
    let place = Place::new();
    place.run("sql nowhere.datasync SELECT").fails(3, "nowhere.datasync").advises("--create");
    assert!(!place.path("nowhere.datasync").exists());
    place
        .run_args(&["sql", "new.datasync", "--create", "CREATE TABLE t(a); SELECT 1;"], "")
        .is(0)
        .says("(1 row)");
    for line in [
        "stat nowhere.datasync",
        "verify nowhere.datasync",
        "compact nowhere.datasync",
        "log nowhere.datasync",
    ] {
        place.run(line).fails(3, "nowhere.datasync");
    }
    assert!(!place.path("nowhere.datasync").exists());
}

#[test]
fn an_acknowledged_commit_survives_a_killed_writer() {
    let place = Place::imported();
    place.crash_after(&[
        "INSERT INTO artist(id, name) VALUES (1000, 'one')",
        "UPDATE artist SET name = 'two' WHERE id = 1",
    ]);
    place.run("log music.datasync").is(0).says("META slot").says("commit ").says("being written");
    place.run("stat music.datasync").is(0).says("unclean");
    let before = place.files("music.datasync");
    place.run("verify music.datasync").is(0).says("clean: ");
    assert_eq!(place.files("music.datasync"), before, "stat and verify change nothing");
    place.sql("SELECT name FROM artist WHERE id IN (1, 1000)").is(0).says("two").says("one");
    place.run("stat music.datasync --json").is(0).says("\"opened\": \"clean\"");
}

#[test]
fn a_write_where_writing_was_ruled_out_is_told_how_to_write() {
    let place = Place::imported();
    let delete = "DELETE FROM album";
    place
        .run_args(&["sql", "music.datasync", "--read-only", delete], "")
        .fails(5, "readonly")
        .advises("leave --read-only out");
    place.sql("SELECT count(*) FROM album").is(0).says("300");
}
