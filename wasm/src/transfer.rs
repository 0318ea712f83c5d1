//! A whole database out and in, as the plain file that SQLite reads everywhere.
//!
//! Must not know SQL. The rules it keeps: what leaves is one commit, and what arrives is one commit or nothing.

use datasync::block::{BLOCK_SIZE, BlockBytes, BlockNo, Durability};
use datasync::volume::{Snapshot, Writer};

use crate::failure::{Failure, Outcome};

/// What every database file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// The part of the header that is looked at.
const HEADER_BYTES: usize = 100;

/// A database on its way out.
pub struct Export(Snapshot);

impl Export {
    /// The database as `snapshot` shows it.
    #[must_use]
    pub fn new(snapshot: Snapshot) -> Self {
        Self(snapshot)
    }

    /// Its length in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.size()
    }

    /// At most `length` bytes from `offset` on; fewer only at the end.
    ///
    /// # Errors
    /// `Expired`, `Corrupt`, `AlgoMismatch`, `Io`.
    pub fn read(&self, offset: u64, length: usize) -> Outcome<Vec<u8>> {
        let end = offset.saturating_add(length as u64).min(self.bytes());
        let mut out = Vec::with_capacity(usize::try_from(end.saturating_sub(offset)).unwrap_or(0));
        let mut at = offset;
        while at < end {
            let mut block = [0; BLOCK_SIZE];
            self.0.read(BlockNo(at / BLOCK_SIZE as u64), &mut block)?;
            let from = within(at);
            let to = usize::try_from(end - at).map_or(BLOCK_SIZE, |left| BLOCK_SIZE.min(from + left));
            out.extend_from_slice(&block[from..to]);
            at += (to - from) as u64;
        }
        Ok(out)
    }
}

/// A database on its way in.
pub struct Import {
    writer: Writer,
    bytes: u64,
    at: u64,
    block: Box<BlockBytes>,
}

impl Import {
    /// Takes the place of everything that `writer` writes to, once it is finished. `bytes` is how long it will be.
    ///
    /// # Errors
    /// `NotAStore` for a length that no database has; as the store says.
    pub fn new(mut writer: Writer, bytes: u64) -> Outcome<Self> {
        if bytes < 512 || !bytes.is_multiple_of(512) {
            return Err(no_database(format!("{bytes} bytes is no length that a database has")));
        }
        writer.set_size(0)?;
        Ok(Self { writer, bytes, at: 0, block: Box::new([0; BLOCK_SIZE]) })
    }

    /// The next bytes.
    ///
    /// # Errors
    /// `NotAStore`: no database. `Misuse`: more than was announced. As the store says.
    pub fn write(&mut self, bytes: &[u8]) -> Outcome<()> {
        if self.bytes - self.at < bytes.len() as u64 {
            return Err(Failure::misuse(format!("more than the {} bytes that were announced", self.bytes)));
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let from = within(self.at);
            let (now, later) = rest.split_at(rest.len().min(BLOCK_SIZE - from));
            self.block[from..from + now.len()].copy_from_slice(now);
            self.at += now.len() as u64;
            rest = later;
            if within(self.at) == 0 {
                self.put()?;
            }
        }
        Ok(())
    }

    /// Writes the block that was gathered, which ends where the import stands.
    fn put(&mut self) -> Outcome<()> {
        let number = (self.at - 1) / BLOCK_SIZE as u64;
        if number == 0 {
            self.check_header()?;
        }
        self.writer.write(BlockNo(number), &self.block)?;
        self.block.fill(0);
        Ok(())
    }

    fn check_header(&mut self) -> Outcome<()> {
        let header = &mut self.block[..HEADER_BYTES];
        if header[..16] != *MAGIC {
            return Err(no_database("it does not begin as one".to_owned()));
        }
        let page = match u16::from_be_bytes([header[16], header[17]]) {
            1 => 65536,
            size => u64::from(size),
        };
        if !(512..=65536).contains(&page) || !page.is_power_of_two() || !self.bytes.is_multiple_of(page) {
            return Err(no_database(format!("pages of {page} bytes do not fit {} bytes", self.bytes)));
        }
        if header[18] > 2 || header[19] > 2 {
            let text =
                "the file was written by a newer version of SQLite, whose format this one does not know";
            return Err(Failure { kind: "Unsupported", ..Failure::misuse(text) });
        }
        // There is no WAL mode here, and no WAL beside the file.
        header[18..20].fill(1);
        Ok(())
    }

    /// Makes it the newest commit, and waits until it is that durable.
    ///
    /// # Errors
    /// `Misuse`: bytes are missing. As the store says.
    pub fn finish(mut self, durability: Durability) -> Outcome<()> {
        if self.at < self.bytes {
            let text = format!("the import was ended after {} of {} bytes", self.at, self.bytes);
            return Err(Failure::misuse(text));
        }
        if within(self.at) != 0 {
            self.put()?;
        }
        self.writer.set_size(self.bytes)?;
        self.writer.append(durability)?.wait()?;
        Ok(())
    }
}

fn no_database(why: String) -> Failure {
    Failure { kind: "NotAStore", ..Failure::misuse(format!("this is no SQLite database: {why}")) }
}

fn within(at: u64) -> usize {
    usize::try_from(at % BLOCK_SIZE as u64).expect("less than a block")
}
