//! A store's files, as they lie natively, put into an empty place in the browser.
//!
//! The rule it keeps: META is written last, so an import that was cut off never looks like a store.

use std::fmt;

use super::{IndexedDb, Options, destroy};
use crate::backend::Backend;
use crate::backend::opfs::area_of;
use crate::block::BLOCK_SIZE;
use crate::error::{ErrorKind, Result, fail};
use crate::log::plan::{Area, Op};

/// More than this is not queued before what is there has gone out.
const QUEUED_MAX: u64 = 16 << 20;

/// Bytes written with one op.
const CHUNK: usize = 64 * BLOCK_SIZE;

/// META is four copies of 16 KiB.
const META_BYTES: usize = 64 << 10;

/// An import under way.
pub struct Import {
    name: String,
    store: IndexedDb,
    meta: Vec<u8>,
    /// The file being written, how many bytes of it are, and what is not a chunk yet.
    file: Option<(Area, u64, Vec<u8>)>,
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Import {
    /// Begins an import into `name`, where nothing may be.
    ///
    /// # Errors
    /// `Misuse` if there is a database of that name already, or the name cannot be one; else as
    /// [`IndexedDb::open`].
    pub async fn begin(name: &str) -> Result<Self> {
        let options = Options { resident: false, ..Options::default() };
        let store = IndexedDb::open(name, options).await?;
        if !store.is_empty() {
            store.abandon();
            return fail(
                ErrorKind::Misuse,
                format!(
                    "{}: there is a database of that name; remove it first, or choose another",
                    store.name()
                ),
            );
        }
        Ok(Self { name: name.to_owned(), store, meta: Vec::new(), file: None })
    }

    /// Begins the file called `name`, natively: `META`, `base.db`, `base.sum`, `log-0001`. Any order will do. A
    /// `LOCK` or anything else that is no part of a store is `NotAStore`.
    ///
    /// # Errors
    /// `NotAStore`; else as [`IndexedDb::flush`].
    pub async fn file(&mut self, name: &str) -> Result<()> {
        self.finish_file()?;
        let Some(area) = area_of(name) else {
            return fail(ErrorKind::NotAStore, format!("{name} is no file of a store"));
        };
        if area != Area::Meta {
            self.store.apply(&Op::Create(area))?;
        }
        self.file = Some((area, 0, Vec::new()));
        self.breathe().await
    }

    /// Adds bytes to the file.
    ///
    /// # Errors
    /// `Misuse` before the first file, `NotAStore` for a META that is too long; else as [`IndexedDb::flush`].
    pub async fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.file {
            None => return fail(ErrorKind::Misuse, "an import begins with a file"),
            Some((Area::Meta, ..)) => {
                if self.meta.len() + bytes.len() > META_BYTES {
                    return fail(ErrorKind::NotAStore, "META is not the META of a store");
                }
                self.meta.extend_from_slice(bytes);
                return Ok(());
            }
            Some((_, _, rest)) => rest.extend_from_slice(bytes),
        }
        self.write_out(CHUNK)?;
        self.breathe().await
    }

    /// Ends the import; durable when this returns. The store can be opened now.
    ///
    /// # Errors
    /// `NotAStore` if there was no META; else as [`IndexedDb::flush`].
    pub async fn finish(mut self) -> Result<()> {
        self.finish_file()?;
        if self.meta.is_empty() {
            self.cancel().await?;
            return fail(ErrorKind::NotAStore, "there was no META among the files");
        }
        self.store.flush().await?;
        self.meta.resize(self.meta.len().next_multiple_of(BLOCK_SIZE), 0);
        self.store.apply(&Op::Create(Area::Meta))?;
        self.store.apply(&Op::Write { area: Area::Meta, offset: 0, bytes: self.meta.into() })?;
        self.store.closed().await
    }

    /// Gives up and removes what was written.
    ///
    /// # Errors
    /// `Fenced`: somebody else has opened the place meanwhile; it is theirs, and stays. Else as [`destroy`].
    pub async fn cancel(self) -> Result<()> {
        let owned = self.store.owned().await;
        self.store.abandon();
        if let Err(error) = owned
            && error.kind() == ErrorKind::Fenced
        {
            return Err(error);
        }
        destroy(&self.name).await
    }

    /// Writes the end of the present file, which may not be whole blocks.
    fn finish_file(&mut self) -> Result<()> {
        self.write_out(BLOCK_SIZE)?;
        let Some((area, at, mut rest)) = self.file.take() else { return Ok(()) };
        if rest.is_empty() {
            return Ok(());
        }
        let len = at + rest.len() as u64;
        rest.resize(BLOCK_SIZE, 0);
        self.store.apply(&Op::Write { area, offset: at, bytes: rest.into() })?;
        if matches!(area, Area::Base | Area::Sums) {
            self.store.apply(&Op::Resize { area, bytes: len })?;
        }
        Ok(())
    }

    /// Writes out whole blocks while there are at least `least` bytes.
    fn write_out(&mut self, least: usize) -> Result<()> {
        let Some((area, at, rest)) = &mut self.file else { return Ok(()) };
        while rest.len() >= least {
            let n = rest.len().min(CHUNK) / BLOCK_SIZE * BLOCK_SIZE;
            let bytes: Vec<u8> = rest.drain(..n).collect();
            self.store.apply(&Op::Write { area: *area, offset: *at, bytes: bytes.into() })?;
            *at += n as u64;
        }
        Ok(())
    }

    async fn breathe(&self) -> Result<()> {
        if self.store.traffic().queued_bytes > QUEUED_MAX {
            return self.store.flush().await;
        }
        Ok(())
    }
}
