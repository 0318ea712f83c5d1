//! SQLite, unmodified, on a crash-consistent, log-structured store of 4 KiB blocks.
#![deny(unsafe_code)]

pub mod backend;
pub mod block;
pub mod error;
pub mod format;
pub mod log;
pub mod planted;
pub mod store;
pub mod volume;
