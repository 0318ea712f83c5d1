//! SQLite, unmodified, on a crash-consistent, log-structured store of 4 KiB blocks.
//!
//! **What was acknowledged is there after any crash, and nothing else is.** A database is a directory. Each commit is
//! appended to a log with a checksum on every block and a marker at its end; opening rolls what a crash left either
//! forward or back; compaction folds the log into `base.db`, which after a clean close is a plain SQLite database.
//!
//! # A database
//!
//! [`open`] returns a plain [`rusqlite::Connection`]. A [`Database`] has a handle on the store besides: connections for
//! many threads, import and export, verification, statistics ([`db`]). [`datasync::rusqlite`](rusqlite) is the version
//! that they are of.
//!
#![cfg_attr(feature = "sqlite", doc = "```")]
#![cfg_attr(not(feature = "sqlite"), doc = "```ignore")]
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("app.datasync");
//! let database = datasync::Database::open(&path)?;
//! let mut connection = database.connection()?;
//! connection.execute_batch("CREATE TABLE note(text)")?;
//!
//! let transaction = connection.transaction()?;
//! transaction.execute("INSERT INTO note VALUES (?1)", ["remember this"])?;
//! transaction.commit()?; // durable when it returns
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Connections of your own, from any program that speaks SQLite, name the VFS: `file:app.datasync?vfs=datasync`. Its
//! parameters and pragmas are in [`vfs`].
//!
//! # Blocks without SQL
//!
//! ```
//! use datasync::backend::memory::Memory;
//! use datasync::{BlockStorage, Blocks, Options, Volume};
//!
//! let disk = Memory::new(); // or backend::file::FileStore, for files
//! let mut blocks = Blocks::new(Volume::open(disk.clone(), Options::new())?);
//! let block = blocks.allocate_block()?;
//! blocks.write_block(block, &[7; 4096])?;
//! blocks.sync()?; // one commit, durable when it returns
//! blocks.write_block(block, &[8; 4096])?;
//! drop(blocks); // not synced: as if it had never been
//!
//! let mut blocks = Blocks::new(Volume::open(disk, Options::new())?);
//! assert_eq!(*blocks.read_block(block)?, [7; 4096]);
//! # Ok::<(), datasync::Error>(())
//! ```
//!
//! A [`Volume`] has more: snapshots beside a writer, a [`Durability`] for each commit, what became of a [`CommitId`].
//!
//! # Modules
//!
//! | module | holds |
//! |---|---|
//! | [`db`], [`vfs`] | databases; SQLite's VFS with its URI parameters and pragmas |
//! | [`volume`] | what one opens without SQL: volumes, blocks, snapshots, options |
//! | [`backend`] | where the bytes are: files, memory, and in browsers OPFS and IndexedDB |
//! | [`error`], [`block`] | the one error type, whose kind says what to do next; the numbers |
//! | [`store`], [`log`], [`format`](mod@format) | the state machine, which does no I/O, and its bytes |
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | `bundled` (default) | `sqlite`, with SQLite itself compiled in |
//! | `sqlite` | [`db`] and [`vfs`], over the SQLite that `rusqlite` links; without it there are blocks alone |
//! | `loadable-extension` | `sqlite` over the SQLite of the program that loads an extension |
//! | `web` | `sqlite` and the backends of a browser's worker, on wasm32 |
//! | `cli` | the command line program |
//! | `sim`, `loom`, `shuttle` | for tests of this crate only: a build with `sim` can be told to lose data |
//!
//! # The environment
//!
//! `DATASYNC_CHECKSUM_ALGO` (`crc32`, or `xxh3`, also as `fast`) names the checksum of stores that are created where
//! [`Options::checksum`] does not. A store that is there keeps its own. An unknown name is `Misuse`.
//!
//! # What is guaranteed
//!
//! `docs/guarantees.md` in the repository has the promises of each durability, what they assume of a disk, and what is
//! not promised; `docs/proof.md` how they are tested, `docs/format.md` the bytes.
#![deny(unsafe_code)]

pub mod backend;
pub mod block;
#[cfg(feature = "sqlite")]
pub mod db;
pub mod error;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, reason = "pure, see clippy.toml")]
pub mod format;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, reason = "pure, see clippy.toml")]
pub mod log;
pub mod planted;
#[deny(clippy::disallowed_methods, clippy::disallowed_types, reason = "pure, see clippy.toml")]
pub mod store;
#[cfg(feature = "sqlite")]
pub mod vfs;
pub mod volume;

pub use block::{BlockNo, CommitId, Durability, Lsn};
#[cfg(feature = "sqlite")]
pub use db::{Database, open};
pub use error::{Error, ErrorKind, Result};
pub use format::checksum::Checksum;
/// SQLite's connections, in the version that [`open`] and [`Database::connection`] return them in: a program that
/// names their types needs no dependency of its own, and cannot get another version.
#[cfg(feature = "sqlite")]
pub use rusqlite;
pub use volume::{BlockStorage, Blocks, Options, Volume};

/// Holds the examples of README.md to what they say.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
