//! Reading everything there is, to find damage before it is needed.

use std::sync::PoisonError;

use super::blocking::{Shared, Volume, lock};
use crate::block::{BLOCK_SIZE, BlockNo};
use crate::error::{ErrorKind, Result};
use crate::format::sums::BLOCKS_PER_PAGE;
use crate::store::base::Slots;
use crate::store::read::Found;
use crate::store::stats::{Damage, VerifyReport};

impl Volume {
    /// Verifies every block of the base, every version in the log and both copies of every page of
    /// `base.sum`. `progress(done, of)` is called after every few blocks. Changes nothing.
    ///
    /// # Errors
    /// `Io` if the medium refuses; damage is no error here but in the report.
    pub fn verify(&self, progress: &mut dyn FnMut(u64, u64)) -> Result<VerifyReport> {
        let shared = &*self.shared;
        shared.check_open()?;
        let view = self.snapshot()?;
        let (blocks, entries) = {
            let store = lock(&shared.store);
            (store.stats().base_blocks, store.log_entries())
        };
        let total = blocks + entries.len() as u64;
        let mut report = VerifyReport { damage: self.recovery().damage.clone(), ..VerifyReport::default() };
        for (done, address) in (1..).zip(&entries) {
            let _gate = shared.gate.read().unwrap_or_else(PoisonError::into_inner);
            if lock(&shared.store).still_in_log(address) {
                let mut out = [0; BLOCK_SIZE];
                report.log_blocks += 1;
                note(&mut report, shared.fetch(&Found::At(*address), &mut out), address.block, "the log")?;
            }
            if done % 64 == 0 {
                progress(done, total);
            }
        }
        for block in (0..blocks).map(BlockNo) {
            if block.0 % BLOCKS_PER_PAGE == 0 {
                shared.verify_sums(block.0 / BLOCKS_PER_PAGE, &mut report)?;
                progress(entries.len() as u64 + block.0, total);
            }
            shared.verify_base(block, &mut report)?;
        }
        progress(total, total);
        drop(view);
        for damage in self.damage() {
            if !report.damage.contains(&damage)
                && !report.damage.iter().any(|one| one.offset == damage.offset && one.block == damage.block)
            {
                report.damage.push(damage);
            }
        }
        Ok(report)
    }
}

impl Shared {
    /// Verifies a block of the base that the log does not hide.
    fn verify_base(&self, block: BlockNo, report: &mut VerifyReport) -> Result<()> {
        let _gate = self.gate.read().unwrap_or_else(PoisonError::into_inner);
        let found = {
            let mut store = lock(&self.store);
            let at = store.committed();
            store.find(&*self.backend, block, at)
        };
        let outcome = match found {
            Ok(Found::At(address)) if address.area == crate::log::plan::Area::Base => {
                report.base_blocks += 1;
                self.fetch(&Found::At(address), &mut [0; BLOCK_SIZE])
            }
            Ok(_) => Ok(()),
            Err(error) => Err(error),
        };
        note(report, outcome, block, "base.db")
    }

    /// Verifies that both copies of a page of sums are sound, unless a fold is at work on it.
    fn verify_sums(&self, page: u64, report: &mut VerifyReport) -> Result<()> {
        let _fold = lock(&self.fold);
        let store = lock(&self.store);
        let (from, to) = (BlockNo(page * BLOCKS_PER_PAGE), BlockNo((page + 1) * BLOCKS_PER_PAGE));
        if store.touches_log(from, to) {
            return Ok(());
        }
        let slots = Slots::read(&*self.backend, store.id(), page)?;
        if slots.winner().is_some() && !slots.level() {
            report.damage.push(Damage {
                what: format!("base.sum: one of the two copies of page {page}"),
                segment: None,
                offset: page * 2 * BLOCK_SIZE as u64,
                block: Some(from),
                version: None,
            });
        }
        Ok(())
    }
}

/// Takes damage into the report; lets other errors through.
fn note(report: &mut VerifyReport, outcome: Result<()>, block: BlockNo, place: &str) -> Result<()> {
    let Err(error) = outcome else { return Ok(()) };
    match error.kind() {
        ErrorKind::Corrupt | ErrorKind::AlgoMismatch | ErrorKind::Poisoned => {
            report.damage.push(Damage {
                what: format!("{place}: {}", error.message()),
                segment: None,
                offset: block.0 * BLOCK_SIZE as u64,
                block: Some(block),
                version: None,
            });
            Ok(())
        }
        ErrorKind::Io
        | ErrorKind::Unsupported
        | ErrorKind::NotAStore
        | ErrorKind::NotFound
        | ErrorKind::Busy
        | ErrorKind::Stale
        | ErrorKind::Expired
        | ErrorKind::Fenced
        | ErrorKind::Full
        | ErrorKind::Indeterminate(_)
        | ErrorKind::ReadOnly
        | ErrorKind::Misuse => Err(error),
    }
}
