//! Blocks without SQLite: read, write, allocate, give back, sync.

use super::blocking::Volume;
use super::writer::{Receipt, Writer};
use crate::block::{BLOCK_SIZE, BlockBytes, BlockNo, Durability};
use crate::error::Result;

/// A store of 4 KiB blocks.
///
/// Everything since the last [`BlockStorage::sync`] is one commit: after a crash all of it is there or none.
pub trait BlockStorage {
    /// Reads one block, staged writes included. Never written or given back reads as zeros.
    ///
    /// # Errors
    /// `Corrupt`, `AlgoMismatch`, `Io`.
    fn read_block(&mut self, block: BlockNo) -> Result<Box<BlockBytes>>;

    /// Stages the bytes of one block. Not durable when this returns.
    ///
    /// # Errors
    /// `Busy` if somebody else writes, `Misuse` for a block out of bounds, `Full`, `ReadOnly`, `Poisoned`.
    fn write_block(&mut self, block: BlockNo, bytes: &BlockBytes) -> Result<()>;

    /// A free block, or the one behind the end. It stays allocated once a sync has written it.
    ///
    /// # Errors
    /// As [`BlockStorage::write_block`].
    fn allocate_block(&mut self) -> Result<BlockNo>;

    /// Gives a block back: it reads as zeros and may be allocated again. Not durable when this returns.
    ///
    /// # Errors
    /// As [`BlockStorage::write_block`].
    fn deallocate_block(&mut self, block: BlockNo) -> Result<()>;

    /// Commits everything staged; durable when this returns, unless the volume's
    /// [`durability`](super::Options::durability) says otherwise. `None` if nothing was staged: then no version
    /// changes.
    ///
    /// # Errors
    /// * `Full`: nothing of it was committed, all of it is still staged.
    /// * `Indeterminate`: reopen and ask `outcome_of`.
    fn sync(&mut self) -> Result<Option<Receipt>>;

    /// Reads several blocks.
    ///
    /// # Errors
    /// As [`BlockStorage::read_block`], for the first that fails.
    fn read_blocks(&mut self, blocks: &[BlockNo]) -> Result<Vec<Box<BlockBytes>>> {
        blocks.iter().map(|block| self.read_block(*block)).collect()
    }

    /// Stages several blocks.
    ///
    /// # Errors
    /// As [`BlockStorage::write_block`], for the first that fails.
    fn write_blocks(&mut self, blocks: &[(BlockNo, &BlockBytes)]) -> Result<()> {
        blocks.iter().try_for_each(|(block, bytes)| self.write_block(*block, bytes))
    }
}

/// [`BlockStorage`] on a volume. Takes the writer slot with the first change and hands it on at `sync`.
#[derive(Debug)]
pub struct Blocks {
    volume: Volume,
    writer: Option<Writer>,
}

impl Blocks {
    /// The blocks of `volume`.
    #[must_use]
    pub fn new(volume: Volume) -> Self {
        Self { volume, writer: None }
    }

    /// Drops everything staged since the last sync.
    pub fn rollback(&mut self) {
        self.writer = None;
    }

    /// The volume underneath.
    #[must_use]
    pub fn volume(&self) -> &Volume {
        &self.volume
    }

    fn writer(&mut self) -> Result<&mut Writer> {
        if self.writer.is_none() {
            let wait = self.volume.shared.options.busy_timeout;
            self.writer = Some(self.volume.begin_within(wait)?);
        }
        Ok(self.writer.as_mut().expect("just set"))
    }
}

impl BlockStorage for Blocks {
    fn read_block(&mut self, block: BlockNo) -> Result<Box<BlockBytes>> {
        let mut out = Box::new([0; BLOCK_SIZE]);
        match &self.writer {
            Some(writer) => writer.read(block, &mut out)?,
            None => self.volume.snapshot()?.read(block, &mut out)?,
        }
        Ok(out)
    }

    fn write_block(&mut self, block: BlockNo, bytes: &BlockBytes) -> Result<()> {
        self.writer()?.write(block, bytes)
    }

    fn allocate_block(&mut self) -> Result<BlockNo> {
        self.writer()?.allocate()
    }

    fn deallocate_block(&mut self, block: BlockNo) -> Result<()> {
        let writer = self.writer()?;
        writer.trim(block)?;
        if (block.0 + 1) * BLOCK_SIZE as u64 == writer.size() {
            return writer.set_size(block.0 * BLOCK_SIZE as u64);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<Option<Receipt>> {
        let durability = self.volume.shared.options.durability.unwrap_or(Durability::Durable);
        let Some(writer) = &mut self.writer else { return Ok(None) };
        if writer.is_empty() {
            self.writer = None;
            return Ok(None);
        }
        let pending = writer.append(durability)?;
        self.writer = None;
        pending.wait().map(Some)
    }
}
