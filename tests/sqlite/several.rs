//! One transaction over several stores in random modes, some of them on a medium that is nearly full.

use datasync::Database;
use datasync::backend::memory::Memory;
use datasync::volume::{Options, Volume};
use rusqlite::Connection;

use super::common::{Place, Random, run};

const ROWS: i64 = 150;

fn store(random: &mut Random) -> (Memory, Database) {
    let mut options = Options::new().background(false);
    if random.below(2) == 0 {
        options = options.segment_bytes(256 << 10).reserve_bytes(64 << 10).log_cap_bytes(8 << 20);
    }
    if random.below(3) == 0 {
        options = options.spill_bytes(64 << 10);
    }
    let memory = Memory::new();
    (memory.clone(), Database::over(Volume::open(memory, options).unwrap()).unwrap())
}

fn one_of<T: Copy>(random: &mut Random, of: &[T]) -> T {
    of[random.below(of.len() as u64) as usize]
}

/// A store with a table of `ROWS` zeros, attached as `s{at}`, and modes for it.
fn attach(connection: &Connection, at: usize, name: &str, random: &mut Random) {
    run(connection, &format!("ATTACH 'file:{name}?vfs=datasync' AS s{at}; CREATE TABLE s{at}.t{at}(x, y)"));
    let many = format!("WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < {ROWS})");
    run(connection, &format!("{many} INSERT INTO t{at} SELECT 0, zeroblob(2000) FROM n"));
    let modes = [
        ("journal_mode", one_of(random, &["delete", "truncate", "persist", "memory"])),
        ("synchronous", one_of(random, &["off", "normal", "full"])),
        ("locking_mode", one_of(random, &["normal", "normal", "exclusive"])),
        ("cache_size", one_of(random, &["5", "1000"])),
    ];
    for (pragma, value) in modes {
        run(connection, &format!("PRAGMA s{at}.{pragma}={value}"));
    }
}

fn sum(connection: &Connection, at: usize) -> rusqlite::Result<i64> {
    connection.query_row(&format!("SELECT sum(x) FROM t{at}"), [], |row| row.get(0))
}

/// Whether it was committed.
fn live(seed: u64) -> bool {
    let mut random = Random(seed);
    let place = Place::new();
    datasync::vfs::register().unwrap();
    let connection = match random.below(3) {
        0 => Connection::open(place.path("plain.db")).unwrap(),
        _ => datasync::open(place.path("main")).unwrap(),
    };
    run(&connection, "CREATE TABLE m(x); INSERT INTO m VALUES (0)");
    let stores: Vec<_> = (0..2 + random.below(2)).map(|_| store(&mut random)).collect();
    for (at, (_, database)) in stores.iter().enumerate() {
        attach(&connection, at, database.name(), &mut random);
    }
    run(&connection, one_of(&mut random, &["BEGIN", "BEGIN; UPDATE m SET x = 1"]));
    for at in 0..stores.len() {
        let bytes = one_of(&mut random, &[2000, 2100, 100]);
        run(&connection, &format!("UPDATE t{at} SET x = 1, y = randomblob({bytes})"));
    }
    for (memory, _) in &stores {
        let room = one_of(&mut random, &[0, 300_000, 700_000, 1_500_000, u64::MAX / 2, u64::MAX / 2]);
        memory.set_limit(Some(memory.used() + room));
    }
    let committed = connection.execute_batch("COMMIT").is_ok();
    if !connection.is_autocommit() {
        let _ = connection.execute_batch("ROLLBACK");
    }
    for (at, (memory, _)) in stores.iter().enumerate() {
        memory.set_limit(None);
        // In exclusive mode SQLite plays its journal back at the next use.
        let _ = sum(&connection, at);
    }
    drop(connection);
    for (at, (_, database)) in stores.iter().enumerate() {
        let found = database.connection().map(|connection| sum(&connection, at));
        match found {
            Ok(Ok(sum)) => assert_eq!(sum, if committed { ROWS } else { 0 }, "seed {seed}, store {at}"),
            // It could not be taken back, and its opening is over.
            Ok(Err(_)) | Err(_) => {
                assert!(!committed, "seed {seed}, store {at}: it said that it is committed")
            }
        }
    }
    committed
}

#[test]
fn a_transaction_over_several_stores_is_in_all_of_them_or_told_of() {
    let committed = (1..80).filter(|seed| live(*seed)).count();
    assert!((20..70).contains(&committed), "{committed} of them were committed");
}
