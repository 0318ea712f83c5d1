//! What a backend that has to open files ahead of need must know of META: the number of the next segment.
//!
//! Only a hint: nothing but speed depends on it. Must not know: which META counts, `store::found` decides that.

use crate::block::SegmentId;
use crate::error::Result;
use crate::format::meta::{META_BYTES, Meta};
use crate::log::plan::Area;
use crate::log::source::Source;

/// The highest number that any copy of META says comes next; `None` if there is no valid copy.
///
/// # Errors
/// As the source's.
pub fn next_segment(source: &dyn Source) -> Result<Option<SegmentId>> {
    if source.len(Area::Meta)?.is_none() {
        return Ok(None);
    }
    let mut next = None;
    for copy in 0..4 {
        let mut bytes = vec![0; META_BYTES];
        let got = source.read(Area::Meta, copy * META_BYTES as u64, &mut bytes)?;
        let meta = Meta::decode(&bytes[..got.min(META_BYTES)]).ok();
        next = next.max(meta.map(|meta| meta.body.next_segment));
    }
    Ok(next)
}
