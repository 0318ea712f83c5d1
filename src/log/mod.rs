//! Which bytes, where, in which order. Pure: bytes and numbers in, bytes and plans out.
//!
//! `plan` is the alphabet of I/O, `writer` turns a batch into groups, `reader` turns segments back into
//! groups and stops at the first page that is not the next one. Whether that page is a torn tail or damage
//! is not decided here: only `store::scan` knows what else there is.

pub mod ahead;
pub mod plan;
pub mod reader;
pub mod source;
pub mod writer;
