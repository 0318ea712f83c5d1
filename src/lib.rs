//! SQLite, unmodified, on a crash-consistent, log-structured store of 4 KiB blocks.
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

#[cfg(feature = "sqlite")]
pub use db::{Database, open};
pub use error::{Error, ErrorKind, Result};
pub use format::checksum::Checksum;
pub use volume::{Options, Volume};

/// Holds the examples of README.md to what they say.
#[cfg(all(doctest, feature = "sqlite"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
