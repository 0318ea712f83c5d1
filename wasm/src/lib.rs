//! What the worker of the npm package calls: a database in a browser, through one connection.
//!
//! | module | holds |
//! |---|---|
//! | `wire` | rows as bytes, both ways |
//! | `raw` | SQLite's statements and sets of changes; the `unsafe` of this crate |
//! | `engine` | a session, without JavaScript |
//! | `settings` | how a database is opened |
//! | `transfer` | a whole database in and out |
//! | `web` | the classes that JavaScript sees |
//!
//! All but `web` compiles natively, where it is tested.

pub mod engine;
pub mod failure;
#[expect(unsafe_code, reason = "SQLite's C interface; nothing else here is unsafe")]
mod raw;
pub mod script;
pub mod settings;
pub mod transfer;
#[cfg(all(target_family = "wasm", target_os = "unknown"))]
#[expect(deprecated, reason = "wasm-bindgen marks what it calls experimental so: suspending exports")]
pub mod web;
pub mod wire;
