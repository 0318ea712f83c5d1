//! What every backend asks of an op before it touches the medium.
//!
//! Must not know: any medium. The rule it keeps: an op that breaks the contract of `log::plan` is `Misuse`
//! here, before a byte has moved, and never a panic or a half-done write further down.

use crate::block::BLOCK_SIZE;
use crate::error::{ErrorKind, Result, fail};
use crate::log::plan::{Area, Op};

/// One block, as a length in bytes.
pub(super) const PAGE: u64 = BLOCK_SIZE as u64;

/// No area may end beyond this: what a signed file offset can say on every platform.
const AREA_BYTES_MAX: u64 = i64::MAX as u64;

/// Refuses an op that no store may ask for.
///
/// # Errors
/// `Misuse`, with nothing changed.
pub(super) fn check(op: &Op) -> Result<()> {
    match op {
        Op::Write { area, offset, bytes } => check_write(*area, *offset, bytes.len()),
        Op::Resize { area: area @ (Area::Meta | Area::Segment(_)), .. } => {
            fail(ErrorKind::Misuse, format!("{area} may not be resized, only base.db and base.sum may"))
        }
        Op::Resize { area, bytes } if *bytes > AREA_BYTES_MAX => {
            fail(ErrorKind::Misuse, format!("{area} cannot have {bytes} bytes"))
        }
        _ => Ok(()),
    }
}

fn check_write(area: Area, offset: u64, len: usize) -> Result<()> {
    let aligned = offset.is_multiple_of(PAGE) && len.is_multiple_of(BLOCK_SIZE);
    let end = offset.checked_add(len as u64);
    if aligned && end.is_some_and(|end| end <= AREA_BYTES_MAX) {
        return Ok(());
    }
    fail(
        ErrorKind::Misuse,
        format!(
            "a write of {len} bytes to {area} at byte {offset} is not one of whole {BLOCK_SIZE}-byte blocks"
        ),
    )
}
