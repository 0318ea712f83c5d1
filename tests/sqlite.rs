//! SQLite on the VFS: every lock, mode and page size answered as `docs/` promises, on real stores in files.

#[path = "sqlite/attach.rs"]
mod attach;
#[path = "sqlite/common.rs"]
mod common;
#[path = "sqlite/concurrency.rs"]
mod concurrency;
#[path = "sqlite/differential.rs"]
mod differential;
#[path = "sqlite/locks.rs"]
mod locks;
#[path = "sqlite/modes.rs"]
mod modes;
#[path = "sqlite/names.rs"]
mod names;
#[path = "sqlite/pending.rs"]
mod pending;
#[path = "sqlite/pragmas.rs"]
mod pragmas;
#[path = "sqlite/several.rs"]
mod several;
#[path = "sqlite/transfer.rs"]
mod transfer;
#[path = "sqlite/trouble.rs"]
mod trouble;
#[path = "sqlite/wal.rs"]
mod wal;
