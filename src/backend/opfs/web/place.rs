//! Directories: where the databases are, which there are, and how one is deleted.

use js_sys::Reflect;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    DedicatedWorkerGlobalScope, FileSystemDirectoryHandle, FileSystemGetDirectoryOptions,
    FileSystemRemoveOptions, StorageManager,
};

use super::calls::{patiently, refusal};
use crate::backend::opfs::name::{HOME, area_of, directory_of, name_of, path_of};
use crate::backend::opfs::trouble::{Doing, trouble};
use crate::error::{ErrorKind, Result, fail};
use crate::log::plan::Area;

/// The directory of all databases of this origin; `None` if there is none and it is not to be made.
pub(super) async fn home(create: bool) -> Result<Option<FileSystemDirectoryHandle>> {
    let storage = storage()?;
    let root = JsFuture::from(storage.get_directory()).await;
    let root = root.map_err(|why| trouble(Doing::Open, "opfs:", refusal(&why)))?;
    directory(root.unchecked_ref(), HOME, create).await
}

/// A directory inside another; `None` if it is not there and not to be made.
pub(super) async fn directory(
    above: &FileSystemDirectoryHandle,
    name: &str,
    create: bool,
) -> Result<Option<FileSystemDirectoryHandle>> {
    let options = FileSystemGetDirectoryOptions::new();
    options.set_create(create);
    match JsFuture::from(above.get_directory_handle_with_options(name, &options)).await {
        Ok(directory) => Ok(Some(directory.unchecked_into())),
        Err(why) if !create && refusal(&why).name == "NotFoundError" => Ok(None),
        Err(why) => {
            let path = if name == HOME { format!("opfs:{HOME}") } else { path_of(name) };
            Err(trouble(if create { Doing::Create } else { Doing::Open }, &path, refusal(&why)))
        }
    }
}

/// What this thread has of storage, or why it has none.
fn storage() -> Result<StorageManager> {
    let global = js_sys::global();
    let of = |object: &JsValue, name: &str| Reflect::get(object, &name.into()).unwrap_or(JsValue::UNDEFINED);
    let Ok(scope) = global.clone().dyn_into::<DedicatedWorkerGlobalScope>() else {
        let message = "OPFS databases live in a dedicated worker, and this is none: open the database through the \
                       package's own worker, or start one with new Worker(url, { type: \"module\" })";
        return fail(ErrorKind::Unsupported, message);
    };
    if of(&global, "isSecureContext").is_falsy() {
        let message = "this page is not a secure context, so the browser gives it no OPFS: serve it over https, or \
                       from localhost";
        return fail(ErrorKind::Unsupported, message);
    }
    let navigator = scope.navigator();
    let files = of(&of(&global, "FileSystemFileHandle"), "prototype");
    let storage = of(&navigator, "storage");
    if storage.is_falsy()
        || of(&storage, "getDirectory").is_falsy()
        || files.is_falsy()
        || of(&files, "createSyncAccessHandle").is_falsy()
    {
        let message = "this browser has no OPFS with sync access handles: update it (Chromium 108, Firefox 111, \
                       Safari 16.4 or newer), or use the backend \"indexeddb\"";
        return fail(ErrorKind::Unsupported, message);
    }
    Ok(navigator.storage())
}

/// The areas of which there are files, in order.
pub(super) async fn areas(directory: &FileSystemDirectoryHandle, path: &str) -> Result<Vec<Area>> {
    let mut areas: Vec<Area> =
        names(directory, path).await?.iter().filter_map(|name| area_of(name)).collect();
    areas.sort_unstable();
    Ok(areas)
}

/// The names in a directory.
async fn names(directory: &FileSystemDirectoryHandle, path: &str) -> Result<Vec<String>> {
    let refused = |why: JsValue| trouble(Doing::Read, path, refusal(&why));
    let keys = directory.keys();
    let mut names = Vec::new();
    loop {
        let next = JsFuture::from(keys.next().map_err(refused)?).await.map_err(refused)?;
        if Reflect::get(&next, &"done".into()).map_err(refused)?.is_truthy() {
            return Ok(names);
        }
        names.extend(Reflect::get(&next, &"value".into()).map_err(refused)?.as_string());
    }
}

/// The names of the databases that there are, in order.
///
/// # Errors
/// `Unsupported` where there is no OPFS, `Io`.
pub async fn list() -> Result<Vec<String>> {
    let Some(home) = home(false).await? else { return Ok(Vec::new()) };
    let mut databases = Vec::new();
    for entry in names(&home, &format!("opfs:{HOME}")).await? {
        let Some(name) = name_of(&entry) else { continue };
        // A file of that name is none of ours, and one that was just deleted is gone.
        let Ok(Some(directory)) = directory(&home, &entry, false).await else { continue };
        if areas(&directory, &path_of(&entry)).await?.contains(&Area::Meta) {
            databases.push(name);
        }
    }
    databases.sort_unstable();
    Ok(databases)
}

/// Deletes the database `name` with everything in it.
///
/// # Errors
/// * `Busy`: it is open, here or in another tab.
/// * `NotFound`: there is none. `Misuse`: no name for a database. `Unsupported`, `Io`.
pub async fn destroy(name: &str) -> Result<()> {
    let directory = directory_of(name)?;
    let path = path_of(&directory);
    let Some(home) = home(false).await? else {
        return fail(ErrorKind::NotFound, format!("{path} does not exist, so there is nothing to delete"));
    };
    let options = FileSystemRemoveOptions::new();
    options.set_recursive(true);
    let removed = patiently(|| home.remove_entry_with_options(&directory, &options)).await;
    removed.map(drop).map_err(|why| trouble(Doing::Remove, &path, refusal(&why)))
}
