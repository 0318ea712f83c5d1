//! A rollback journal: bytes that only the connection which wrote them ever reads, and only to undo.
//!
//! After a crash nobody wants it (the store itself is whole), so it lives in memory and is gone when closed.
//! Past [`SPILL_BYTES`] it moves to a temporary file of the host's, so that one huge transaction does not
//! need as much memory as it has pages.

use super::ffi::TempFile;
use super::supers::Under;
use crate::error::Result;

const CHUNK: usize = 64 << 10;

/// Larger journals are kept in a temporary file.
const SPILL_BYTES: u64 = 16 << 20;

/// The journal of one connection.
#[derive(Default)]
pub(super) struct Journal {
    kept: Kept,
    /// The super-journal that it names.
    under: Option<Under>,
}

enum Kept {
    Memory { chunks: Vec<Box<[u8; CHUNK]>>, size: u64 },
    Spilled(TempFile),
}

impl Default for Kept {
    fn default() -> Self {
        Self::Memory { chunks: Vec::new(), size: 0 }
    }
}

impl Journal {
    /// Fills `buf` from `offset` and returns how many bytes there were.
    ///
    /// # Errors
    /// `Io` from the temporary file of a large journal.
    pub(super) fn read(&mut self, buf: &mut [u8], offset: u64) -> Result<usize> {
        match &mut self.kept {
            Kept::Memory { chunks, size } => {
                let there = size.saturating_sub(offset).min(buf.len() as u64);
                let there = usize::try_from(there).expect("no longer than the buffer");
                for (at, len, chunk, within) in pieces(offset, there) {
                    buf[at..at + len].copy_from_slice(&chunks[chunk][within..within + len]);
                }
                Ok(there)
            }
            Kept::Spilled(file) => file.read(buf, offset),
        }
    }

    /// Writes all of `bytes` at `offset`; what lies between the end and there reads as zeros.
    ///
    /// # Errors
    /// `Io` or `Full` from the temporary file of a large journal.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let end = offset.saturating_add(bytes.len() as u64);
        self.under = Under::written(bytes).or(self.under.take());
        if end > SPILL_BYTES {
            self.spill()?;
        }
        match &mut self.kept {
            Kept::Memory { chunks, size } => {
                let needed = usize::try_from(end).expect("within SPILL_BYTES").div_ceil(CHUNK);
                while chunks.len() < needed {
                    chunks.push(Box::new([0; CHUNK]));
                }
                for (at, len, chunk, within) in pieces(offset, bytes.len()) {
                    chunks[chunk][within..within + len].copy_from_slice(&bytes[at..at + len]);
                }
                *size = end.max(*size);
                Ok(())
            }
            Kept::Spilled(file) => file.write(bytes, offset),
        }
    }

    /// Shortens it to `bytes`.
    ///
    /// # Errors
    /// `Io` from the temporary file of a large journal.
    pub(super) fn truncate(&mut self, bytes: u64) -> Result<()> {
        if bytes == 0 {
            self.under = None;
        }
        match &mut self.kept {
            Kept::Memory { chunks, size } => {
                if bytes < *size {
                    *size = bytes;
                    let kept = usize::try_from(bytes).expect("within SPILL_BYTES");
                    chunks.truncate(kept.div_ceil(CHUNK));
                    if let Some(last) = chunks.last_mut()
                        && kept % CHUNK != 0
                    {
                        last[kept % CHUNK..].fill(0);
                    }
                }
                Ok(())
            }
            Kept::Spilled(file) => file.truncate(bytes),
        }
    }

    /// Its length in bytes.
    ///
    /// # Errors
    /// `Io` from the temporary file of a large journal.
    pub(super) fn size(&mut self) -> Result<u64> {
        match &mut self.kept {
            Kept::Memory { size, .. } => Ok(*size),
            Kept::Spilled(file) => file.size(),
        }
    }

    fn spill(&mut self) -> Result<()> {
        if let Kept::Memory { chunks, size } = &mut self.kept {
            let mut file = TempFile::create()?;
            let mut left = usize::try_from(*size).expect("within SPILL_BYTES");
            for (at, chunk) in chunks.iter().enumerate() {
                let len = left.min(CHUNK);
                file.write(&chunk[..len], (at * CHUNK) as u64)?;
                left -= len;
            }
            self.kept = Kept::Spilled(file);
        }
        Ok(())
    }
}

/// Cuts `len` bytes at `offset` into (position in the buffer, length, chunk, position in the chunk).
fn pieces(offset: u64, len: usize) -> impl Iterator<Item = (usize, usize, usize, usize)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let position = usize::try_from(offset).expect("within SPILL_BYTES") + done;
        let within = position % CHUNK;
        let piece = (CHUNK - within).min(len - done);
        let at = done;
        done += piece;
        Some((at, piece, position / CHUNK, within))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_journal_reads_back_what_was_written_across_chunks_and_past_the_spill() {
        crate::vfs::register().unwrap();
        let mut journal = Journal::default();
        let mut model = vec![0_u8; 0];
        let mut at = 0_u64;
        for round in 0..40_u64 {
            let bytes = vec![round as u8 + 1; 700_001];
            let end = at as usize + bytes.len();
            model.resize(model.len().max(end), 0);
            model[at as usize..end].copy_from_slice(&bytes);
            journal.write(&bytes, at).unwrap();
            at += 500_003;
        }
        assert!(matches!(journal.kept, Kept::Spilled(_)));
        assert_eq!(journal.size().unwrap(), model.len() as u64);
        let mut read = vec![0; model.len() + 10];
        assert_eq!(journal.read(&mut read, 0).unwrap(), model.len());
        assert!(read[..model.len()] == model[..]);
    }

    #[test]
    fn bytes_cut_off_come_back_as_zeros() {
        let mut journal = Journal::default();
        journal.write(&[7; 200_000], 0).unwrap();
        journal.truncate(100_000).unwrap();
        journal.write(&[9], 150_000).unwrap();
        let mut read = vec![1; 50_001];
        assert_eq!(journal.read(&mut read, 100_000).unwrap(), 50_001);
        assert!(read[..50_000].iter().all(|byte| *byte == 0) && read[50_000] == 9);
        assert_eq!(journal.read(&mut read, 150_001).unwrap(), 0);
    }
}
