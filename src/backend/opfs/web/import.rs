//! A store's files, from somewhere else, into an empty place.

use std::fmt;

use wasm_bindgen_futures::JsFuture;
use web_sys::{FileSystemDirectoryHandle, FileSystemRemoveOptions};

use super::calls::{JsFile, refusal, take_all};
use super::place::{areas, directory, home};
use crate::backend::opfs::handle::Handle;
use crate::backend::opfs::name::{area_of, directory_of, path_of};
use crate::backend::opfs::trouble::{Doing, trouble};
use crate::error::{ErrorKind, Result, fail};
use crate::log::plan::Area;

/// An import of a store's own files (META, base.db, base.sum, log-NNNN), one after the other, as they are natively.
///
/// Nothing is checked here: opening the database does that. An import that was cut off leaves files that opening
/// reports as damage; [`destroy`](super::destroy) removes them.
pub struct Import {
    home: FileSystemDirectoryHandle,
    directory: FileSystemDirectoryHandle,
    directory_name: String,
    path: String,
    file: Option<(Handle<JsFile>, u64)>,
}

impl fmt::Debug for Import {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Import").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Import {
    /// Makes an empty place for the database `name`.
    ///
    /// # Errors
    /// * `Misuse`: there is a database of that name, or it is no name for one. `Unsupported`, `Full`, `Io`.
    pub async fn begin(name: &str) -> Result<Self> {
        let directory_name = directory_of(name)?;
        let path = path_of(&directory_name);
        let home = home(true).await?.expect("it was to be made");
        let directory = directory(&home, &directory_name, true).await?.expect("it was to be made");
        let there = areas(&directory, &path).await?;
        let taken = take_all(&directory, &path, &there, false).await?;
        if taken.values().any(|handle| handle.len() > 0) {
            let message = format!("{path} is there already; delete it first, or import under another name");
            return fail(ErrorKind::Misuse, message);
        }
        Ok(Self { home, directory, directory_name, path, file: None })
    }

    /// Begins the next file; the one before is durable when this returns.
    ///
    /// # Errors
    /// `Misuse` for a name that no file of a store has. `Full`, `Io`.
    pub async fn file(&mut self, name: &str) -> Result<()> {
        self.end_file()?;
        let Some(area) = area_of(name) else {
            let message = format!(
                "{name:?} is no file of a store: only META, base.db, base.sum and log-NNNN can be imported"
            );
            return fail(ErrorKind::Misuse, message);
        };
        let mut taken = take_all(&self.directory, &self.path, &[area], true).await?;
        self.file = taken.remove(&area).map(|handle| (handle, 0));
        Ok(())
    }

    /// Appends to the file that was begun last.
    ///
    /// # Errors
    /// `Misuse` if there is none. `Full`, `Io`.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        let Some((handle, end)) = &mut self.file else {
            return fail(ErrorKind::Misuse, format!("{}: begin a file before writing to it", self.path));
        };
        handle.write(*end, bytes)?;
        *end += bytes.len() as u64;
        Ok(())
    }

    /// Ends the import. Every file is durable when this returns.
    ///
    /// # Errors
    /// `Io`, `Full`; `NotAStore` if there was no META among the files.
    pub async fn finish(mut self) -> Result<()> {
        self.end_file()?;
        if !areas(&self.directory, &self.path).await?.contains(&Area::Meta) {
            let path = self.path.clone();
            self.cancel().await?;
            return fail(
                ErrorKind::NotAStore,
                format!(
                    "{path}: META is not among the files; to import a plain database file, open a new \
                         database and use its import"
                ),
            );
        }
        Ok(())
    }

    /// Gives up, and leaves nothing.
    ///
    /// # Errors
    /// `Io`.
    pub async fn cancel(mut self) -> Result<()> {
        drop(self.file.take());
        let options = FileSystemRemoveOptions::new();
        options.set_recursive(true);
        let removed =
            JsFuture::from(self.home.remove_entry_with_options(&self.directory_name, &options)).await;
        removed.map(drop).map_err(|why| trouble(Doing::Remove, &self.path, refusal(&why)))
    }

    fn end_file(&mut self) -> Result<()> {
        match self.file.take() {
            Some((mut handle, _)) => handle.barrier(),
            None => Ok(()),
        }
    }
}
