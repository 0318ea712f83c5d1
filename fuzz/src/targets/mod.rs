//! Four of the five targets: those that need no SQL. Each takes any bytes and returns a broken promise, if
//! there is one; a panic is one too.
//!
//! | target | the bytes are | what must hold |
//! |---|---|---|
//! | `recovery` | operations, faults, crashes, cuts: several lives | every invariant of `tests/crash/` |
//! | `recovery_raw` | META, base, sums and segments, as they come | no panic, no unverified data, bounded memory |
//! | `recovery_fixup` | edits of a store's pages, whose digests are then made right | the same |
//! | `decode_group` | one page, as it is and with its digest made right | what decodes encodes to the same bytes |

mod media;
mod pages;

pub use media::{recovery_fixup, recovery_raw, spelled_out};
pub use pages::decode_group;

use crate::choices::Bytes;
use crate::invariants::Checked;
use crate::lives;

/// Most decisions about steps in one run: a life that long finds what a longer one finds, sooner.
const STEPS: usize = 48;

/// A store used, disturbed, crashed and reopened as the bytes say.
pub fn recovery(data: &[u8]) -> Checked<()> {
    lives::live(&mut Bytes(data), STEPS, &lives::Fates::default())
}
