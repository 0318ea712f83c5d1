//! Reading everything there is, to find damage before it is needed.

use std::sync::PoisonError;

use super::blocking::{Shared, Volume};
use super::sync::lock;
use crate::block::{BLOCK_SIZE, BlockNo};
use crate::error::{Error, ErrorKind, Result};
use crate::format::sums::{BLOCKS_PER_PAGE, SumsPage};
use crate::log::plan::Area;
use crate::store::Store;
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
        // Beyond the end of `base.sum` there is nothing to verify; that it is too short was said at opening.
        let held = shared.backend.len(Area::Sums)?.unwrap_or(0).div_ceil(SumsPage::offset(1, 0));
        let blocks = blocks.min(held * BLOCKS_PER_PAGE);
        let total = blocks + entries.len() as u64;
        let mut report = VerifyReport { damage: self.recovery().damage.clone(), ..VerifyReport::default() };
        for (done, address) in (1..).zip(&entries) {
            let _gate = shared.gate.read().unwrap_or_else(PoisonError::into_inner);
            if lock(&shared.store).still_in_log(address) {
                let mut out = [0; BLOCK_SIZE];
                report.log_blocks += 1;
                noted(shared.fetch(&Found::At(*address), &mut out, |_| true))?;
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
            if !report.damage.contains(&damage) {
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
        match found {
            Ok(Found::At(address)) if address.area == Area::Base => {
                report.base_blocks += 1;
                // No view holds a fold back if the report's own has been expired.
                let still = |store: &mut Store| {
                    let (at, source) = (store.committed(), &*self.backend);
                    matches!(store.find(source, block, at), Ok(Found::At(again)) if again == address)
                };
                noted(self.fetch(&Found::At(address), &mut [0; BLOCK_SIZE], still))
            }
            Ok(_) => Ok(()),
            Err(error) if is_damage(&error) => {
                let (page, _) = SumsPage::place(block);
                let damage = sums_damage(format!("base.sum: both copies of page {page}"), page);
                if !report.damage.contains(&damage) {
                    report.damage.push(damage);
                }
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Verifies that both copies of a page of sums are sound, unless a fold is at work on it.
    fn verify_sums(&self, page: u64, report: &mut VerifyReport) -> Result<()> {
        let _fold = lock(&self.fold);
        let store = lock(&self.store);
        let (from, to) = (BlockNo(page * BLOCKS_PER_PAGE), BlockNo((page + 1) * BLOCKS_PER_PAGE));
        if store.touches_log(from, to) {
            return Ok(());
        }
        if self.backend.len(Area::Sums)?.is_none() {
            return Ok(());
        }
        let slots = Slots::read(&*self.backend, store.id(), page)?;
        if slots.winner().is_some() && !slots.level() {
            report.damage.push(sums_damage(format!("base.sum: one of the two copies of page {page}"), page));
        }
        Ok(())
    }
}

fn sums_damage(what: String, page: u64) -> Damage {
    let block = Some(BlockNo(page * BLOCKS_PER_PAGE));
    Damage { what, segment: None, offset: SumsPage::offset(page, 0), block, version: None }
}

/// Lets errors through, but not damage: whoever met that has taken it down.
fn noted(outcome: Result<()>) -> Result<()> {
    match outcome {
        Err(error) if is_damage(&error) => Ok(()),
        other => other,
    }
}

fn is_damage(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::AlgoMismatch | ErrorKind::Poisoned)
}
