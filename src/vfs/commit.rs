//! The writing half of a database file: staging, and the one moment that is the commit.
//!
//! SQLite writes pages, syncs, and then says COMMIT_PHASETWO. Only the last is the commit: until then
//! everything is a batch that an unlock drops. When a super-journal was named (one transaction over several
//! files) SQLite ignores what COMMIT_PHASETWO returns, so there the commit is where SQLite announces the sync (at
//! synchronous=OFF it announces one and makes none), and the slot is kept until the unlock, because SQLite may
//! still write the old pages back.

use std::sync::Arc;

use super::file::{Level, MainFile, Source, pieces};
use super::header;
use super::store::Store;
use crate::block::{BLOCK_SIZE, BlockBytes, CommitId};
use crate::error::{Error, ErrorKind, Result, fail};
use crate::planted::{Bug, planted};
use crate::volume::{Snapshot, Writer};

/// A batch under way.
pub(super) struct Writing {
    pub(super) writer: Writer,
    /// Logical length in bytes. The writer's own may be rounded up to whole blocks until the commit.
    pub(super) size: u64,
    /// SQLite wrote something since the last commit.
    pub(super) touched: bool,
    /// A commit was made before SQLite's own, which neither phase two has confirmed yet nor another taken back.
    pub(super) early: Option<Early>,
    /// Why a write, or a part of a transaction over several files, was refused. Nothing was written since.
    refused: Option<ErrorKind>,
    /// Page 1 is staged, and the change counter with it.
    counts: bool,
    /// This part of a transaction over several files was refused: nothing but a rollback can follow.
    failed: bool,
}

/// A commit that may be taken back: as long as this lives, others are shown what was before it.
pub(super) struct Early(Arc<Store>);

impl Drop for Early {
    fn drop(&mut self) {
        self.0.reveal();
    }
}

impl Writing {
    pub(super) fn new(writer: Writer) -> Self {
        let size = writer.size();
        Self { writer, size, touched: false, early: None, refused: None, counts: false, failed: false }
    }

    /// Gives up what is staged and keeps the slot.
    pub(super) fn abandon(&mut self) -> Result<()> {
        self.writer.abandon()?;
        self.size = self.writer.size();
        self.touched = false;
        self.refused = None;
        self.counts = false;
        self.failed = false;
        Ok(())
    }

    fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        self.touched = true;
        self.counts |= offset == 0;
        let done = self.stage(bytes, offset);
        self.refused = done.as_ref().err().map(Error::kind);
        done
    }

    fn stage(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut spare: Option<Box<BlockBytes>> = None;
        for piece in pieces(offset, bytes.len()) {
            let part = &bytes[piece.at..piece.at + piece.len];
            match <&BlockBytes>::try_from(part) {
                Ok(whole) => self.writer.write(piece.block, whole)?,
                Err(_) => {
                    let spare = spare.get_or_insert_with(|| Box::new([0; BLOCK_SIZE]));
                    self.writer.read(piece.block, spare)?;
                    spare[piece.within..piece.within + piece.len].copy_from_slice(part);
                    self.writer.write(piece.block, spare)?;
                }
            }
        }
        self.size = self.size.max(offset + bytes.len() as u64);
        Ok(())
    }

    fn truncate(&mut self, bytes: u64) -> Result<()> {
        self.touched = true;
        self.refused = None;
        if bytes < self.size {
            // What that leaves of the last block reads as zeros if the file grows again.
            self.writer.set_size(bytes)?;
        }
        self.size = bytes;
        Ok(())
    }

    fn settle_size(&mut self) -> Result<()> {
        if self.writer.size() != self.size { self.writer.set_size(self.size) } else { Ok(()) }
    }
}

impl MainFile {
    /// Stages `bytes` at `offset`; not page 1 of a transaction that only counts there. Whether a cache is good is
    /// told by the commit it came from, so nobody misses the count, and most commits are a page less. But once in each
    /// life of the volume it counts, for who reads `base.db` before and after.
    ///
    /// # Errors
    /// `Full` when the batch outgrew its bound and the log has no room, `Io` and `Poisoned` as the volume.
    pub(super) fn write(&mut self, bytes: &[u8], offset: u64) -> Result<()> {
        let mut copy: Option<Vec<u8>> = None;
        if header::says_wal(bytes, offset) {
            let mut page = bytes.to_vec();
            header::as_rollback_mode(&mut page, offset);
            // SQLite's own copy still says WAL: it must read this page again before it next looks.
            self.header.moved();
            copy = Some(page);
        }
        let bytes = copy.as_deref().unwrap_or(bytes);
        self.batch()?;
        if self.store().has_counted() && self.header.only_counts(bytes, offset, self.cached) {
            let writing = self.batch()?;
            writing.touched = true;
            writing.refused = None;
        } else {
            self.header.changes(offset);
            self.batch()?.write(bytes, offset)?;
        }
        self.header.note(bytes, offset, self.cached);
        Ok(())
    }

    /// Sets the logical length.
    ///
    /// # Errors
    /// As [`MainFile::write`].
    pub(super) fn truncate(&mut self, bytes: u64) -> Result<()> {
        self.batch()?;
        self.header.changes(bytes);
        self.batch()?.truncate(bytes)
    }

    /// SQLite is about to sync: the space is reserved now, while running out of it harms nothing. With a
    /// super-journal, and for what undoes such a commit, this is the last moment at which SQLite listens.
    ///
    /// Returns what was refused before, of which SQLite has to hear once more: it has not rolled it back.
    ///
    /// # Errors
    /// `Full`: nothing of the transaction was written. Else as [`MainFile::commit`].
    pub(super) fn before_sync(&mut self, super_journal: Option<&str>) -> Result<Option<ErrorKind>> {
        self.store().alive()?;
        if super_journal.is_some() && !planted(Bug::IgnoreSuperJournal) {
            let done = self.commit_early();
            if let (Err(error), Some(writing)) = (&done, &mut self.writing) {
                writing.refused = Some(error.kind());
                writing.failed = true;
            }
            return done.map(|()| None);
        }
        let refused = self.rolled_back()?;
        let Some(writing) = self.writing.as_mut().filter(|writing| writing.touched) else {
            return Ok(refused);
        };
        writing.settle_size()?;
        if writing.early.is_none() {
            writing.writer.reserve()?;
            return Ok(None);
        }
        self.commit_batch(true)?;
        if let Some(writing) = &mut self.writing {
            writing.early = None;
        }
        Ok(None)
    }

    /// The commit of a part of a transaction over several files. Nobody else sees it before SQLite confirms it.
    fn commit_early(&mut self) -> Result<()> {
        let Some(writing) = self.writing.as_mut().filter(|writing| writing.touched) else { return Ok(()) };
        writing.settle_size()?;
        // Should another file fail, this one must not lack the space to be as it was.
        writing.writer.reserve_with_undo()?;
        // What others are shown meanwhile is acknowledged.
        self.prove_seen()?;
        if let Some(view) = &self.view {
            self.store().hide_behind(view.again()?);
        }
        let early = Early(Arc::clone(self.store()));
        self.commit_batch(true)?;
        if let Some(writing) = &mut self.writing {
            writing.early = Some(early);
        }
        Ok(())
    }

    /// Gives up a batch that was refused, now that SQLite has rolled it back: what it wrote is what the store has, and
    /// no space is needed for that.
    ///
    /// But it has not if it did not write. It takes its transaction for committed if the super-journal is gone,
    /// removed by a plain file's rollback; and its cache keeps what was refused, but for an error now.
    fn rolled_back(&mut self) -> Result<Option<ErrorKind>> {
        let Some(writing) = &mut self.writing else { return Ok(None) };
        if writing.early.is_some() && !writing.touched {
            return Err(self.left_behind());
        }
        let refused = writing.refused.take().filter(|_| !planted(Bug::ForgetRefusal));
        if refused.is_some() || writing.failed {
            writing.abandon()?;
            self.header.forget();
        }
        if refused.is_some() {
            self.header.moved();
        }
        Ok(refused)
    }

    /// SQLite syncs: what had to be done for it is done.
    ///
    /// # Errors
    /// `Poisoned`.
    pub(super) fn sync(&mut self) -> Result<()> {
        self.store().alive()?;
        if planted(Bug::CommitAtSync) { self.commit_batch(true) } else { Ok(()) }
    }

    /// The commit (COMMIT_PHASETWO). On return it is as durable as this connection asked for.
    ///
    /// # Errors
    /// `Full`: nothing of it was written. `Indeterminate`, `Poisoned`, `Io`: reopening tells.
    pub(super) fn commit(&mut self) -> Result<()> {
        self.store().alive()?;
        let Some(writing) = &mut self.writing else { return Ok(()) };
        let early = writing.early.take();
        self.commit_batch(early.is_some() || self.mode.exclusive)
    }

    /// The error of a transaction over several files that failed, though its part in this one is committed.
    pub(super) fn left_behind(&self) -> Error {
        let store = self.store();
        // Before others are shown what was hidden from them.
        store.end();
        let id = CommitId { epoch: store.volume().stats().epoch, lsn: self.own };
        let text = "is of a transaction over several databases that failed in another one, and could not be taken back";
        let text = format!("{}: commit {id} {text}; open it again, and look what is there", store.name());
        Error::new(ErrorKind::Indeterminate(id), text)
    }

    fn commit_batch(&mut self, keep_slot: bool) -> Result<()> {
        let durability = self.mode.durability();
        let Some(writing) = &mut self.writing else { return Ok(()) };
        if writing.touched {
            writing.settle_size()?;
            let pending = writing.writer.append(durability)?;
            writing.touched = false;
            if std::mem::take(&mut writing.counts) {
                self.store().set_counted();
            }
            // Exactly this commit: while the slot is held nobody can have made a newer one.
            let view = self.store().volume().snapshot_newest()?;
            self.own = view.lsn();
            self.cached = Some(view.lsn());
            self.header.committed(view.lsn());
            self.view = Some(view);
            self.settle_slot(keep_slot);
            if !planted(Bug::SkipCommitWait) {
                pending.wait()?;
            }
        } else {
            self.settle_slot(keep_slot);
            // SQLite listens here, and not when it unlocks.
            self.prove_seen()?;
        }
        Ok(())
    }

    /// Hands the slot on before the barrier is waited for, so that one barrier can serve many commits; or
    /// keeps it, and everybody else out, for a connection in exclusive mode.
    fn settle_slot(&mut self, keep_slot: bool) {
        if !keep_slot {
            self.writing = None;
        } else if self.mode.exclusive {
            self.store().set_exclusive(self.number);
        }
    }

    /// The batch to stage in.
    ///
    /// A connection which was not seen to ask for exclusive mode (an attached database can be put into it
    /// unnoticed) writes again without locking; then the slot was handed on and is taken back.
    fn batch(&mut self) -> Result<&mut Writing> {
        self.store().alive()?;
        if self.writing.is_none() {
            if self.level < Level::Reserved {
                let text = "a write without the lock that allows it";
                return fail(ErrorKind::Misuse, format!("{}: {text}", self.store().name()));
            }
            self.take_slot_back()?;
        }
        Ok(self.writing.as_mut().expect("taken just above"))
    }

    fn take_slot_back(&mut self) -> Result<()> {
        let writer = self.store().volume().begin()?;
        let same = self.view.as_ref().map(Snapshot::lsn) == Some(writer.view_lsn());
        self.mode.exclusive = true;
        self.store().set_exclusive(self.number);
        self.writing = Some(Writing::new(writer));
        if same {
            return Ok(());
        }
        // Somebody else committed meanwhile. SQLite drops its cache upon this error, and begins anew on the
        // newest commit, now with the slot.
        let view = self.store().volume().snapshot_newest()?;
        self.look_at(view);
        let text = "another connection wrote before this one held the database exclusively; run it again";
        fail(ErrorKind::Stale, format!("{}: {text}", self.store().name()))
    }
}

impl Source<'_> {
    /// The commit it reads, for `PRAGMA datasync_snapshot`; a batch builds on it.
    pub(super) fn lsn(&self) -> crate::block::Lsn {
        match self {
            Self::Batch(writing) => writing.writer.view_lsn(),
            Self::View(view) => view.lsn(),
            Self::Glance(view) => view.lsn(),
        }
    }
}
