//! How a database is opened in a browser: what it is when nothing is said.
//!
//! Must not know JavaScript.

use datasync::{Checksum, Database, Options};
use rusqlite::{Connection, ffi};

use crate::failure::{Failure, Outcome};
use crate::raw;

/// How to open a database.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Make the store if there is none.
    pub create: bool,
    /// Write nothing, not even recovery.
    pub read_only: bool,
    /// Soft size of a log segment, bytes; 4 MiB, or what fits under the cap.
    pub segment_bytes: Option<u64>,
    /// The log is folded when it is larger than this, bytes; what is usual, or two segments if that is more.
    pub log_cap_bytes: Option<u64>,
    /// What is usual, bytes; depends on the place.
    pub usual_log_bytes: u64,
    /// Space kept ready for recovery, bytes; 1 MiB, or a segment if that is less.
    pub reserve_bytes: Option<u64>,
    /// A transaction keeps this much in memory, bytes.
    pub spill_bytes: u64,
    /// SQLite's page cache, bytes.
    pub cache_bytes: u64,
    /// Checksum algorithm of a new store: `crc32` or `xxh3`.
    pub checksum: Option<String>,
    /// Whether foreign keys are enforced.
    pub foreign_keys: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            create: true,
            read_only: false,
            segment_bytes: None,
            log_cap_bytes: None,
            usual_log_bytes: 16 << 20,
            reserve_bytes: None,
            spill_bytes: 4 << 20,
            cache_bytes: 8 << 20,
            checksum: None,
            foreign_keys: true,
        }
    }
}

impl Settings {
    /// What the store is told of them.
    ///
    /// # Errors
    /// `Misuse` for a checksum that there is not.
    pub fn options(&self) -> Outcome<Options> {
        let half = self.log_cap_bytes.map_or(u64::MAX, |cap| cap / 2);
        let segment = self.segment_bytes.unwrap_or((4 << 20).min(half).max(16 << 10));
        let options = Options::new()
            .create(self.create && !self.read_only)
            .read_only(self.read_only)
            .segment_bytes(segment)
            .log_cap_bytes(self.log_cap_bytes.unwrap_or(self.usual_log_bytes.max(segment.saturating_mul(2))))
            .reserve_bytes(self.reserve_bytes.unwrap_or(1 << 20).min(segment))
            .spill_bytes(self.spill_bytes)
            .background(false);
        match &self.checksum {
            None => Ok(options),
            Some(name) => match Checksum::from_name(name) {
                Some(checksum) => Ok(options.checksum(checksum)),
                None => Err(Failure::misuse(format!("checksum is {name:?}; it can be crc32 or xxh3"))),
            },
        }
    }

    /// A connection set up as they say. The last statement reads the schema.
    ///
    /// # Errors
    /// As SQLite says.
    pub fn connect(&self, database: &Database) -> Outcome<Connection> {
        let connection = database.connection()?;
        let setup = format!(
            "PRAGMA datasync_durability = applied; PRAGMA foreign_keys = {}; PRAGMA cache_size = -{}",
            u8::from(self.foreign_keys),
            (self.cache_bytes / 1024).clamp(64, 1 << 20),
        );
        match raw::execute(&connection, setup) {
            // The last of them reads the schema. A database in which SQLite finds that damaged opens all the same:
            // it can be exported, or replaced by an import.
            Err(Failure { code: Some(ffi::SQLITE_CORRUPT | ffi::SQLITE_NOTADB), .. }) | Ok(()) => {
                Ok(connection)
            }
            Err(failure) => Err(failure),
        }
    }
}
