//! One file of a store behind its sync access handle: whole reads, whole writes, barriers that are never
//! tried twice.
//!
//! Must not know: which area it is, JavaScript. The rules it keeps: every count is checked before it is
//! believed, a short one is continued and a zero one is an error; after one failed barrier every later one
//! fails too; bytes written ahead of need are not part of the file until the store asks for them; appends that
//! follow each other are one write, at the latest in the barrier that covers them.

use super::count::{Answer, Refusal, believe};
use super::trouble::{Doing, trouble};
use crate::backend::rules::PAGE;
use crate::error::{Error, ErrorKind, Result};

/// Appended bytes are held back up to this many.
const HELD_MAX: usize = 1 << 20;

/// Zeros are written in pieces of at most this many bytes.
const ZEROS: usize = 256 * 1024;

/// The calls of a sync access handle, with its counts as they come.
pub trait SyncFile: Send {
    /// Fills `buf` from byte `at`; the count of bytes read, unchecked.
    ///
    /// # Errors
    /// The browser's refusal.
    fn read(&self, buf: &mut [u8], at: u64) -> Answer<f64>;

    /// Writes `bytes` at byte `at`; the count of bytes written, unchecked.
    ///
    /// # Errors
    /// The browser's refusal.
    fn write(&self, bytes: &[u8], at: u64) -> Answer<f64>;

    /// Sets the length in bytes.
    ///
    /// # Errors
    /// The browser's refusal.
    fn truncate(&self, bytes: u64) -> Answer<()>;

    /// Makes what was written durable.
    ///
    /// # Errors
    /// The browser's refusal.
    fn flush(&self) -> Answer<()>;

    /// Length in bytes, unchecked.
    ///
    /// # Errors
    /// The browser's refusal.
    fn size(&self) -> Answer<f64>;

    /// Gives the handle back. Nothing is called after it.
    fn close(&self);
}

/// A file with its handle. Closed when dropped, with everything written to it flushed first.
#[derive(Debug)]
pub(super) struct Handle<F: SyncFile> {
    file: F,
    /// Where it is, for messages.
    path: String,
    /// Length as the store knows it, in bytes.
    len: u64,
    /// Length in the browser, in bytes: behind `len` there are zeros, written ahead.
    size: u64,
    /// Appended and not written yet: `held` belongs at byte `held_at`.
    held: Vec<u8>,
    held_at: u64,
    /// Changed since the last barrier.
    dirty: bool,
    /// A barrier has failed.
    broken: bool,
}

impl<F: SyncFile> Handle<F> {
    /// Wraps a handle that was just taken; the whole file counts.
    pub(super) fn new(file: F, path: String) -> Result<Self> {
        match file.size().and_then(|size| believe(size, usize::MAX)) {
            Ok(size) => {
                let size = size as u64;
                let (held, held_at) = (Vec::new(), 0);
                Ok(Self { file, path, len: size, size, held, held_at, dirty: false, broken: false })
            }
            Err(refusal) => {
                file.close();
                Err(trouble(Doing::Open, &path, refusal))
            }
        }
    }

    /// Length as the store knows it, in bytes.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Length in the browser, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Fills `buf` from `offset`; fewer bytes only at the end of the file.
    pub(super) fn read(&mut self, offset: u64, buf: &mut [u8]) -> Result<usize> {
        if self.read_held(offset, buf) {
            return Ok(buf.len());
        }
        if self.overlaps_held(offset, buf.len()) {
            self.write_held()?;
        }
        let there = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX).min(buf.len());
        let mut done = 0;
        while done < there {
            let at = offset + done as u64;
            let rest = &mut buf[done..there];
            let asked = rest.len();
            match self.file.read(rest, at).and_then(|count| believe(count, asked)) {
                Ok(0) => {
                    let message = format!("it ends at byte {at}, and had {} bytes before", self.len);
                    return Err(trouble(Doing::Read, &self.path, Refusal::new("NotReadableError", message)));
                }
                Ok(n) => done += n,
                Err(refusal) => return Err(self.at_byte(Doing::Read, at, refusal)),
            }
        }
        Ok(there)
    }

    /// Fills `buf` from what is held back, if all of it is there.
    fn read_held(&self, offset: u64, buf: &mut [u8]) -> bool {
        let from = offset.checked_sub(self.held_at).and_then(|from| usize::try_from(from).ok());
        let held = from.and_then(|from| self.held.get(from..)?.get(..buf.len()));
        if let Some(bytes) = held {
            buf.copy_from_slice(bytes);
        }
        held.is_some()
    }

    fn overlaps_held(&self, offset: u64, len: usize) -> bool {
        let end = self.held_at + self.held.len() as u64;
        offset < end && self.held_at < offset.saturating_add(len as u64)
    }

    /// Appends `bytes` at `offset`: with the next barrier, or before, together with what follows them.
    pub(super) fn append(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let follows = offset == self.held_at + self.held.len() as u64;
        if !follows || self.held.len() + bytes.len() > HELD_MAX {
            self.write_held()?;
        }
        if self.held.is_empty() {
            self.held_at = offset;
        }
        self.held.extend_from_slice(bytes);
        self.dirty = true;
        self.len = self.len.max(offset + bytes.len() as u64);
        Ok(())
    }

    /// Writes what is held back, with one call.
    fn write_held(&mut self) -> Result<()> {
        if self.held.is_empty() {
            return Ok(());
        }
        let mut held = std::mem::take(&mut self.held);
        let written = self.write_as(Doing::Write, self.held_at, &held);
        // What could not be written now never will be: no barrier may say that it was.
        self.broken |= written.is_err();
        held.clear();
        self.held = held;
        written
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        self.write_held()?;
        self.write_as(Doing::Write, offset, bytes)?;
        self.len = self.len.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn write_as(&mut self, doing: Doing, offset: u64, bytes: &[u8]) -> Result<()> {
        self.dirty = true;
        let mut done = 0;
        while done < bytes.len() {
            let at = offset + done as u64;
            let rest = &bytes[done..];
            match self.file.write(rest, at).and_then(|count| believe(count, rest.len())) {
                Ok(0) => {
                    let refusal =
                        Refusal::new("UnknownError", "the browser wrote nothing and gave no reason");
                    return Err(self.at_byte(doing, at, refusal));
                }
                Ok(n) => done += n,
                Err(refusal) => return Err(self.at_byte(doing, at, refusal)),
            }
            self.size = self.size.max(offset + done as u64);
        }
        Ok(())
    }

    /// Sets the length.
    pub(super) fn resize(&mut self, bytes: u64) -> Result<()> {
        self.write_held()?;
        self.resize_as(Doing::Write, bytes)?;
        self.len = bytes;
        Ok(())
    }

    fn resize_as(&mut self, doing: Doing, bytes: u64) -> Result<()> {
        self.dirty = true;
        self.file.truncate(bytes).map_err(|refusal| trouble(doing, &self.path, refusal))?;
        self.size = bytes;
        Ok(())
    }

    /// Makes sure of written, zero-filled space up to `bytes`; on any failure goes back to the old length.
    ///
    /// Zeros and not `truncate`: a write into a hole allocates, and may then find no space.
    ///
    /// # Errors
    /// `Full`: nothing was harmed. `Io`, also if what was appended before could not be written for lack of space:
    /// that is no harmless refusal.
    pub(super) fn reserve(&mut self, bytes: u64) -> Result<()> {
        if let Err(error) = self.write_held() {
            let message = format!("cannot write what was appended to {}; open the database again", self.path);
            return Err(Error::new(ErrorKind::Io, message).caused_by(error));
        }
        self.write_ahead(bytes)?;
        self.len = self.len.max(bytes);
        Ok(())
    }

    /// The same without making the space part of the file yet.
    pub(super) fn write_ahead(&mut self, bytes: u64) -> Result<()> {
        let old = self.size;
        let grown = self.write_zeros(old, bytes);
        if grown.is_err() && self.resize_as(Doing::Reserve, old).is_err() {
            // The space stays taken, and the caller's `Full` is still the truth.
            self.size = old;
        }
        grown
    }

    fn write_zeros(&mut self, old: u64, bytes: u64) -> Result<()> {
        let mut at = old.next_multiple_of(PAGE);
        if at >= bytes {
            return if old < bytes { self.resize_as(Doing::Reserve, bytes) } else { Ok(()) };
        }
        let zeros = vec![0; ZEROS];
        while at < bytes {
            let n = usize::try_from((bytes - at).min(ZEROS as u64)).expect("at most ZEROS");
            self.write_as(Doing::Reserve, at, &zeros[..n])?;
            at += n as u64;
        }
        Ok(())
    }

    /// Forgets the content: the file is empty, to be used again.
    pub(super) fn clear(&mut self) -> Result<()> {
        self.held.clear();
        self.resize_as(Doing::Remove, 0)?;
        self.len = 0;
        Ok(())
    }

    /// Makes everything written before durable, the length included.
    pub(super) fn barrier(&mut self) -> Result<()> {
        if self.broken {
            return Err(Error::new(
                ErrorKind::Io,
                format!(
                    "an earlier barrier of {} failed, so nothing written since is sure to last; open the \
                     database again",
                    self.path
                ),
            ));
        }
        let written = self.write_held();
        let flushed = written
            .and_then(|()| self.file.flush().map_err(|refusal| trouble(Doing::Barrier, &self.path, refusal)));
        self.dirty = flushed.is_err();
        self.broken = flushed.is_err();
        flushed
    }

    fn at_byte(&self, doing: Doing, at: u64, refusal: Refusal) -> Error {
        let message = format!("at byte {at}: {}", refusal.message);
        trouble(doing, &self.path, Refusal { message, ..refusal })
    }
}

impl<F: SyncFile> Drop for Handle<F> {
    fn drop(&mut self) {
        if self.dirty && !self.broken {
            // Nobody waits for it: what was acknowledged had its barrier.
            let _ = self.barrier();
        }
        self.file.close();
    }
}
