//! Transfers between accounts, the power cut after every op: the total never changes, an acknowledged transfer is
//! there, and what is there is a prefix.

use datasync::Database;
use datasync::backend::sim::{Cut, DiskState, Moment, Random, SimDisk};
use datasync::volume::{Options, Volume};
use rusqlite::Connection;

use crate::violation::{Checked, Violation, ensure};

const ACCOUNTS: i64 = 12;
const EACH: i64 = 100;

pub fn options() -> Options {
    Options::new()
        .background(false)
        .segment_bytes(64 << 12)
        .reserve_bytes(16 << 12)
        .spill_bytes(8 << 12)
        .log_cap_bytes(256 << 12)
        .seed([9; 16])
}

pub fn sql(connection: &Connection, text: &str) -> Checked<()> {
    connection.execute_batch(text).map_err(|error| Violation::new("SQL", format!("{text}: {error}")))
}

pub fn number(connection: &Connection, text: &str) -> Checked<i64> {
    connection
        .query_row(text, [], |row| row.get(0))
        .map_err(|error| Violation::new("SQL", format!("{text}: {error}")))
}

pub fn database(disk: &SimDisk) -> Checked<Database> {
    let opened = Volume::open(disk.clone(), options()).and_then(Database::over);
    opened.map_err(|error| Violation::new("I9 progress", error.to_string()))
}

pub fn connect(database: &Database) -> Checked<Connection> {
    database.connection().map_err(|error| Violation::new("I9 progress", error.to_string()))
}

fn bank(disk: &SimDisk) -> Checked<(Database, Connection)> {
    let database = database(disk)?;
    let connection = connect(&database)?;
    sql(
        &connection,
        "CREATE TABLE account(id INTEGER PRIMARY KEY, money); CREATE TABLE done(number INTEGER)",
    )?;
    for id in 0..ACCOUNTS {
        sql(&connection, &format!("INSERT INTO account VALUES ({id}, {EACH})"))?;
    }
    Ok((database, connection))
}

fn transfer(connection: &Connection, number: i64) -> Checked<()> {
    let (from, to, amount) = (number * 5 % ACCOUNTS, (number * 7 + 1) % ACCOUNTS, number % 40);
    sql(
        connection,
        &format!(
            "BEGIN IMMEDIATE; UPDATE account SET money = money - {amount} WHERE id = {from};
             UPDATE account SET money = money + {amount} WHERE id = {to};
             INSERT INTO done VALUES ({number}); COMMIT"
        ),
    )
}

/// How many transfers the medium holds; fails if money was made or lost, or a transfer is missing in between.
fn inspect(image: &DiskState) -> Checked<i64> {
    let database = database(&SimDisk::from_state(image.clone(), 1))?;
    let connection = connect(&database)?;
    let total = number(&connection, "SELECT sum(money) FROM account")?;
    ensure(total == ACCOUNTS * EACH, "I3 atomicity", || format!("{total} in all accounts"))?;
    let (count, highest) = (
        number(&connection, "SELECT count(*) FROM done")?,
        number(&connection, "SELECT coalesce(max(number), 0) FROM done")?,
    );
    ensure(count == highest, "I1 prefix", || format!("{count} transfers, the last is {highest}"))?;
    let sound: String = connection
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .map_err(|error| Violation::new("SQL", error.to_string()))?;
    ensure(sound == "ok", "I3 atomicity", || sound.clone())?;
    sql(&connection, "INSERT INTO done VALUES (0); DELETE FROM done WHERE number = 0")?;
    Ok(count)
}

/// `synchronous=level`, `transfers` of them, the power cut after every op in `cuts` ways.
pub fn crashes(level: &str, transfers: i64, cuts: usize) -> Checked<u64> {
    let disk = SimDisk::new(3);
    let (database, connection) = bank(&disk)?;
    sql(&connection, &format!("PRAGMA synchronous={level}; PRAGMA cache_size=6"))?;
    disk.start_trace();
    let mut acknowledged = vec![0];
    for number in 1..=transfers {
        transfer(&connection, number)?;
        acknowledged.push(disk.ops());
        if number % 7 == 0 {
            database.compact().map_err(|error| Violation::new("I9 progress", error.to_string()))?;
        }
    }
    let moments: Vec<Moment> = disk.take_trace();
    drop((connection, database));
    let mut random = Random::new(5);
    let mut images = 0;
    for (at, moment) in moments.iter().enumerate() {
        let told = acknowledged.iter().rposition(|op| *op <= at as u64).unwrap_or(0) as i64;
        let least = if level == "FULL" { told } else { 0 };
        let most = (told + 1).min(transfers);
        let drawn = (0..cuts).map(|_| moment.state.draw_image(&mut random).1);
        for image in std::iter::once(moment.state.after(&Cut::default())).chain(drawn) {
            let found = inspect(&image).map_err(|violation| violation.at(format!("after op {at}")))?;
            ensure((least..=most).contains(&found), "I2 durability", || {
                format!("{found} transfers after op {at}; {least} to {most} can be there ({level})")
            })?;
            images += 1;
        }
    }
    Ok(images)
}

#[test]
fn money_is_neither_made_nor_lost_by_any_crash() {
    for (level, transfers) in [("FULL", 24), ("NORMAL", 24), ("OFF", 8)] {
        match crashes(level, transfers, 2) {
            Ok(images) => println!("bank: {images} media at synchronous={level}"),
            Err(violation) => panic!("{violation}"),
        }
    }
}
