//! Which bytes, where, in which order. Pure: bytes and numbers in, bytes and plans out.

pub mod plan;
pub mod source;
