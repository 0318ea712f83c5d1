//! The protocols of DataSync, small enough to look at every state of them.
//!
//! Three models, each with safety promises, with `sometimes` properties that a model in which nothing
//! happens cannot have, and with mistakes that can be planted: [`log`] (commit, fold, recovery, crashes), `queue`
//! (commits through IndexedDB), `leader` (tabs that hand the store over). Must not know the library.

#[cfg(feature = "checker")]
pub mod check;
#[cfg(feature = "checker")]
pub mod leader;
pub mod log;
#[cfg(feature = "checker")]
pub mod queue;
#[cfg(feature = "checker")]
pub mod suite;
