//! The two sides: a DataSync store, and a plain file in SQLite's WAL mode.

use std::path::{Path, PathBuf};
use std::time::Duration;

use datasync::db::Database;
use rusqlite::Connection;

use crate::Outcome;

/// Which side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    DataSync,
    Wal,
}

impl Side {
    pub const BOTH: [Self; 2] = [Self::DataSync, Self::Wal];

    pub fn name(self) -> &'static str {
        match self {
            Self::DataSync => "datasync",
            Self::Wal => "wal",
        }
    }

    pub fn named(name: &str) -> Option<Self> {
        Self::BOTH.into_iter().find(|side| side.name() == name)
    }
}

/// A fresh database of one side with the table that is written to.
pub struct Opened {
    side: Side,
    path: PathBuf,
    database: Option<Database>,
}

impl Opened {
    /// Makes an empty database of this side in `dir`, replacing what an earlier run left.
    pub fn fresh(side: Side, dir: &Path, name: &str) -> Outcome<Self> {
        let path = dir.join(format!("{name}.{}", side.name()));
        remove(&path)?;
        let database = match side {
            Side::DataSync => Some(Database::open(&path)?),
            Side::Wal => None,
        };
        let opened = Self { side, path, database };
        opened.connection()?.execute_batch("CREATE TABLE note(id INTEGER PRIMARY KEY, body TEXT)")?;
        Ok(opened)
    }

    /// A connection at `synchronous=FULL`.
    pub fn connection(&self) -> Outcome<Connection> {
        let connection = match &self.database {
            Some(database) => database.connection()?,
            None => {
                let connection = Connection::open(&self.path)?;
                let mode: String = connection.query_row("PRAGMA journal_mode=WAL", [], |row| row.get(0))?;
                assert_eq!(mode, "wal", "the plain side is in WAL mode");
                connection
            }
        };
        connection.busy_timeout(Duration::from_secs(60))?;
        connection.execute_batch("PRAGMA synchronous=FULL")?;
        let level: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
        assert_eq!(level, 2, "{} is at synchronous=FULL", self.side.name());
        Ok(connection)
    }

    /// Closes it and removes its files.
    pub fn remove(self) -> Outcome<()> {
        if let Some(database) = self.database {
            database.close()?;
        }
        remove(&self.path)
    }
}

/// Removes a store or a plain database with its WAL.
pub fn remove(path: &Path) -> Outcome<()> {
    if path.is_dir() {
        std::fs::remove_dir_all(path)?;
    }
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut file = path.as_os_str().to_owned();
        file.push(suffix);
        match std::fs::remove_file(&file) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    Ok(())
}
