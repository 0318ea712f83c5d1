//! The browser's side: directories, promises, handles.
//!
//! Everything here that waits is an async function that runs between the store's calls, never inside one.
//! The rule it keeps: a handle that was taken is either in a store or closed, on every way out.

mod calls;
mod import;
mod keeper;
mod place;

use std::collections::BTreeMap;
use std::sync::Arc;

use super::handle::Handle;
use super::name::{directory_of, path_of};
use super::{OpfsStore, Shared};
use crate::backend::OpenMode;
use crate::error::{ErrorKind, Result, fail};
use crate::log::plan::Area;
pub use calls::JsFile;
pub use import::Import;
pub use keeper::Keeper;
pub use place::{destroy, list};

/// A store in this origin's private file system.
pub type Opfs = OpfsStore<JsFile>;

impl OpfsStore<JsFile> {
    /// Takes the handles of every file of the database `name`, and opens the next segments ahead.
    ///
    /// Files that another worker holds are asked for again for up to 5 s: after a reload the old page may still
    /// be giving them back.
    ///
    /// # Errors
    /// * `Busy`: another tab or worker has it.
    /// * `NotFound`: there is nothing of that name and creating was not asked for.
    /// * `Unsupported`: not in a dedicated worker, not a secure page, a private window, or a browser without
    ///   sync access handles; the message says which.
    /// * `Misuse`: no name for a database. `Full`, `Io`: the browser refused.
    pub async fn open(name: &str, mode: OpenMode) -> Result<(Self, Keeper)> {
        let directory_name = directory_of(name)?;
        let path = path_of(&directory_name);
        let home = place::home(mode == OpenMode::Create).await?;
        let directory = match &home {
            Some(home) => place::directory(home, &directory_name, mode == OpenMode::Create).await?,
            None => None,
        };
        let Some(directory) = directory else {
            let message =
                format!("{path} does not exist; create the database, or look whether the name is right");
            return fail(ErrorKind::NotFound, message);
        };
        let listed = place::areas(&directory, &path).await?;
        let creates = match mode {
            OpenMode::Create => true,
            OpenMode::Existing => listed.contains(&Area::Meta),
            OpenMode::ReadOnly => false,
        };
        let wanted = |area: &Area| creates || listed.contains(area);
        let meta: Vec<Area> = [Area::Meta].into_iter().filter(wanted).collect();
        let mut others: Vec<Area> = [Area::Base, Area::Sums].into_iter().filter(wanted).collect();
        others.extend(listed.iter().filter(|area| matches!(area, Area::Segment(_))));

        // META first: of two tabs that open at the same moment one gets it, and the other nothing else.
        let mut found = calls::take_all(&directory, &path, &meta, creates).await?;
        found.extend(calls::take_all(&directory, &path, &others, creates).await?);
        let shared = Shared::new(path, mode, found)?;
        let keeper = Keeper::new(&shared, directory);
        keeper.open_wanted().await?;
        Ok((Self { shared }, keeper))
    }
}

/// Files by area, as they are found.
type Found = BTreeMap<Area, Handle<JsFile>>;

/// What a keeper holds of its store.
type Files = Arc<Shared<JsFile>>;
