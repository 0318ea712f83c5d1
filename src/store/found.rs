//! What META and the files beside the log say before the log is read: which META counts, and whether
//! something shows that it is not the newest there was, or that somebody else changed the base.
//!
//! Only looks; decides nothing about the log itself (`scan`) and changes nothing (`recovery`).

use super::publish::first_copy;
use super::stats::Damage;
use super::{Limits, Setup, Store};
use crate::block::{BLOCK_SIZE, BlockBytes, BlockNo, Lsn, SegmentId};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::format::Flaw;
use crate::format::meta::{META_BYTES, Meta};
use crate::format::segment::SegmentHeader;
use crate::format::sums::{BLOCKS_PER_PAGE, SumsPage};
use crate::log::plan::{Address, Area};
use crate::log::reader::{group_in, read_page};
use crate::log::source::Source;
use crate::planted::{Bug, planted};

/// The META that counts: the valid copy with the highest sequence number.
///
/// # Errors
/// `Unsupported` if a copy is of a newer format, `NotAStore` if META is no META, `Io`.
pub(crate) fn find_meta(source: &dyn Source, name: &str) -> Result<Option<Meta>> {
    let Some(len) = source.len(Area::Meta)? else { return Ok(None) };
    let mut best: Option<Meta> = None;
    for copy in (0..4).step_by(if planted(Bug::ReadOneCopy) { 2 } else { 1 }) {
        let mut bytes = vec![0; META_BYTES];
        let got = source.read(Area::Meta, copy * META_BYTES as u64, &mut bytes)?;
        match Meta::decode(&bytes[..got.min(META_BYTES)]) {
            Ok(meta) if best.as_ref().is_none_or(|best| newer(&meta, best)) => best = Some(meta),
            Err(Flaw::Newer { version }) => {
                let message = format!(
                    "{name}: META has format version {version}; a newer version of datasync wrote it: upgrade"
                );
                return fail(ErrorKind::Unsupported, message);
            }
            _ => {}
        }
    }
    if best.is_none() && len > 4 * META_BYTES as u64 {
        return fail(ErrorKind::NotAStore, format!("{name}: META is not the META of a store"));
    }
    Ok(best)
}

fn newer(meta: &Meta, best: &Meta) -> bool {
    if planted(Bug::TakeOldestMeta) { meta.seq < best.seq } else { meta.seq > best.seq }
}

/// Which copy of its slot to write first when `meta`, the winner, is written again: one that is not sound; the
/// newer one if a recovery got no further than that; else the one that such a recovery wrote last.
pub(crate) fn first_to_prove(source: &dyn Source, meta: &Meta) -> Result<u64> {
    let sequence = |copy: u64| -> Result<Option<u64>> {
        let mut bytes = vec![0; META_BYTES];
        let at = (meta.seq % 2 * 2 + copy) * META_BYTES as u64;
        let got = source.read(Area::Meta, at, &mut bytes)?;
        Ok(Meta::decode(&bytes[..got.min(META_BYTES)]).ok().map(|found| found.seq))
    };
    Ok(match (sequence(0)?, sequence(1)?) {
        (None, _) => 0,
        (_, None) => 1,
        (first, second) if first == second && planted(Bug::ProveSameCopyFirst) => 0,
        (first, second) if first == second => 1 - first_copy(meta.seq),
        (first, _) => u64::from(first != Some(meta.seq)),
    })
}

/// A segment that META does not know and that could not be what it is unless a newer META had been durable:
/// that META is damaged, and to go on with this one would take acknowledged commits back.
pub(crate) fn lost_meta_damage(source: &dyn Source, meta: &Meta) -> Result<Option<Damage>> {
    if planted(Bug::SkipLostMetaCheck) {
        return Ok(None);
    }
    let listed = |id: &SegmentId| meta.body.segments.iter().any(|record| record.id == *id);
    for id in source.segments()?.into_iter().filter(|id| !listed(id)) {
        let mut page = [0; BLOCK_SIZE];
        read_page(source, Area::Segment(id), 0, &mut page)?;
        let Ok((header, _)) = SegmentHeader::decode(&page) else { continue };
        let ours = header.identity.store == meta.store && header.identity.segment == id;
        let written_on = || -> Result<bool> {
            let behind = header.born_pages;
            let mut page = [0; BLOCK_SIZE];
            read_page(source, Area::Segment(id), u64::from(behind), &mut page)?;
            Ok(group_in(&page, &header.identity, behind).is_some())
        };
        let unknown = header.identity.epoch > meta.epoch || (id >= meta.body.next_segment && written_on()?);
        if ours && unknown {
            let what = format!(
                "META: the newest is damaged, {} belongs to a newer one than is left",
                Area::Segment(id)
            );
            return Ok(Some(Damage { what, segment: Some(id), offset: 0, block: None, version: None }));
        }
    }
    Ok(None)
}

pub(crate) fn damaged(name: &str, damage: &Damage, last: Lsn) -> Error {
    Error::new(
        ErrorKind::Corrupt,
        format!(
            "{name}: {damage}; nothing was changed. Open it read-only to use it as of commit {last}, \
                 `datasync verify` lists the damage, `datasync salvage` saves what is left"
        ),
    )
}

/// Every page of `base.sum` was durable before META said how many there are.
pub(crate) fn short_sums_damage(source: &dyn Source, meta: &Meta) -> Result<Option<Damage>> {
    let Some(len) = source.len(Area::Sums)? else { return Ok(None) };
    let pages = meta.body.base_blocks.div_ceil(BLOCKS_PER_PAGE);
    if len >= SumsPage::offset(pages, 0) || planted(Bug::SkipShortSumsCheck) {
        return Ok(None);
    }
    let what = format!("base.sum has {len} bytes, META knows of {pages} pages");
    Ok(Some(Damage { what, segment: None, offset: len, block: None, version: None }))
}

/// After a clean close the base is exactly what we left: another program that opened it shows here.
pub(crate) fn clean_base_damage(source: &dyn Source, meta: &Meta) -> Result<Option<Damage>> {
    if !meta.body.clean || planted(Bug::SkipCleanBaseCheck) {
        return Ok(None);
    }
    let damage = |what: String, block| Damage { what, segment: None, offset: 0, block, version: None };
    let len = source.len(Area::Base)?.unwrap_or(0);
    if len != meta.body.size {
        let what = format!(
            "base.db is {len} bytes, the store left {}: another program changed it (to keep its changes, \
                 `datasync import` it into a new store)",
            meta.body.size
        );
        return Ok(Some(damage(what, None)));
    }
    if meta.body.base_blocks == 0 {
        return Ok(None);
    }
    let mut probe = empty_probe(meta);
    let known = match probe.metadata(source, BlockNo(0)) {
        Ok(Some(known)) => known,
        Ok(None) => return Ok(None),
        // Blocks whose sums stand on other pages can be read all the same.
        Err(error) if matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::AlgoMismatch) => {
            return Ok(Some(damage("base.sum: no copy of its first page is sound".into(), Some(BlockNo(0)))));
        }
        Err(error) => return Err(error),
    };
    let address = Address {
        block: BlockNo(0),
        version: known.version,
        sum: known.checksum,
        area: Area::Base,
        offset: 0,
    };
    let mut bytes: BlockBytes = [0; BLOCK_SIZE];
    read_page(source, Area::Base, 0, &mut bytes)?;
    let sound = crate::store::read::verify(meta.checksum(), meta.store, &address, &bytes).is_ok();
    let what = "base.db: its first block is not what the store left: another program changed it (to keep \
         its changes, `datasync import` it into a new store)";
    Ok((!sound).then(|| damage(what.into(), Some(BlockNo(0)))))
}

/// A store that can only be asked about base blocks.
fn empty_probe(meta: &Meta) -> Store {
    let setup = Setup {
        limits: Limits { segment_pages: 0, reserve_pages: 0, log_cap_pages: 0 },
        checksum: None,
        seed: [0; 16],
        now_ms: 0,
        read_only: true,
        create: false,
        name: String::new(),
    };
    Store::empty(&setup, meta.clone())
}
