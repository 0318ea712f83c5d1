//! The same random statements on this VFS and on SQLite's own: the two databases stay the same, and
//! statements fail on both or on neither.

use datasync::volume::Options;
use rusqlite::Connection;

use super::common::{Place, Random, assert_sound, dump, run};

fn statement(random: &mut Random) -> String {
    let (table, id, size) = (random.below(3), random.below(400), random.below(3000));
    match random.below(20) {
        0 => format!("CREATE TABLE IF NOT EXISTS t{table}(id INTEGER PRIMARY KEY, a TEXT, b BLOB)"),
        1 => format!("CREATE INDEX IF NOT EXISTS i{table} ON t{table}(a)"),
        2 => format!("DROP INDEX IF EXISTS i{table}"),
        3 if random.below(6) == 0 => format!("DROP TABLE IF EXISTS t{table}"),
        3..=6 => format!("INSERT OR REPLACE INTO t{table} VALUES ({id}, 'text {size}', zeroblob({size}))"),
        7 => format!(
            "WITH RECURSIVE n(x) AS (SELECT {id} UNION ALL SELECT x + 1 FROM n WHERE x < {id} + 60)
             INSERT OR IGNORE INTO t{table} SELECT x, hex(x * {size}), zeroblob(x % {}) FROM n",
            size + 1
        ),
        8 | 9 => format!("UPDATE t{table} SET a = a || '+', b = zeroblob({size}) WHERE id % 7 = {}", id % 7),
        10 => format!("DELETE FROM t{table} WHERE id BETWEEN {id} AND {id} + 50"),
        11 => format!("INSERT INTO t{table} SELECT id + 1000, a, b FROM t{} WHERE id < 5", (table + 1) % 3),
        12 => "BEGIN".to_owned(),
        13 => "COMMIT".to_owned(),
        14 => "ROLLBACK".to_owned(),
        15 => format!("SAVEPOINT s{table}"),
        16 => format!("ROLLBACK TO s{table}"),
        17 => format!("RELEASE s{table}"),
        18 if random.below(4) == 0 => "VACUUM".to_owned(),
        18 => format!("PRAGMA page_size={}", 512 << random.below(8)),
        _ => format!("PRAGMA cache_size={}", 3 + random.below(30)),
    }
}

fn live(seed: u64, statements: u64) {
    let place = Place::new();
    let mut random = Random(seed);
    let plain = Connection::open(place.path("plain.db")).unwrap();
    // Every other store is a small one, whose transactions spill and whose log is folded all the time.
    let segment = if seed.is_multiple_of(2) { 16 << 20 } else { 128 << 10 };
    let options = Options::new().segment_bytes(segment).log_cap_bytes(2 * segment).reserve_bytes(32 << 10);
    let options = options.spill_bytes(segment / 8);
    let open = || place.store_with(options.clone()).connection().unwrap();
    let mut inside = open();
    let start = format!(
        "PRAGMA page_size={}; PRAGMA auto_vacuum={}; PRAGMA cache_size=8",
        512 << random.below(8),
        random.below(3)
    );
    let mode = ["delete", "truncate", "persist", "memory"][random.below(4) as usize];
    for connection in [&plain, &inside] {
        run(connection, &format!("{start}; PRAGMA journal_mode={mode}"));
        run(connection, "PRAGMA synchronous=OFF");
    }
    for at in 0..statements {
        let sql = statement(&mut random);
        let (expected, got) = (plain.execute_batch(&sql), inside.execute_batch(&sql));
        assert_eq!(got.is_ok(), expected.is_ok(), "seed {seed}, statement {at}: {sql}: {expected:?} {got:?}");
        if at % 50 == 49 {
            assert_eq!(dump(&inside), dump(&plain), "seed {seed}, after statement {at}");
            assert_sound(&inside);
        }
        if random.below(100) == 0 && plain.is_autocommit() {
            // A page size asked for and not yet used is the connection's own: ask for it again.
            let page_size: i64 = plain.query_row("PRAGMA page_size", [], |row| row.get(0)).unwrap();
            run(&plain, &format!("PRAGMA page_size={page_size}"));
            drop(inside);
            inside = open();
            run(
                &inside,
                &format!("PRAGMA page_size={page_size}; PRAGMA cache_size=8; PRAGMA synchronous=OFF"),
            );
        }
    }
    for connection in [&plain, &inside] {
        if !connection.is_autocommit() {
            run(connection, "COMMIT");
        }
    }
    let expected = dump(&plain);
    assert_eq!(dump(&inside), expected, "seed {seed}, at the end");
    drop(inside);
    let base = Connection::open(place.path("app.datasync/base.db")).unwrap();
    assert_eq!(dump(&base), expected, "seed {seed}, base.db after closing");
    assert_sound(&base);
}

#[test]
fn random_statements_do_here_what_they_do_in_plain_sqlite() {
    let seeds =
        std::env::var("DATASYNC_SEEDS").ok().map_or(8, |seeds| seeds.parse().expect("a number of seeds"));
    for seed in 0..seeds {
        live(seed, 400);
    }
}
