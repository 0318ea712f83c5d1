//! Sync access handles: taking them, and the five calls they have.

use std::fmt;
use std::time::Duration;

use js_sys::{Array, Promise, Reflect};
use send_wrapper::SendWrapper;
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::{JsFuture, future_to_promise};
use web_sys::{
    DedicatedWorkerGlobalScope, DomException, FileSystemDirectoryHandle, FileSystemFileHandle,
    FileSystemGetFileOptions, FileSystemReadWriteOptions, FileSystemSyncAccessHandle,
};

use super::Found;
use crate::backend::opfs::count::{Answer, Refusal};
use crate::backend::opfs::handle::{Handle, SyncFile};
use crate::backend::opfs::trouble::{Doing, trouble};
use crate::error::Result;
use crate::log::plan::Area;

/// How long a file that somebody else holds is asked for again.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first wait between two attempts; each is twice the one before, up to `NAP_MAX`.
const NAP_MIN: Duration = Duration::from_millis(5);
const NAP_MAX: Duration = Duration::from_millis(200);

/// A sync access handle, bound to the worker that took it.
pub struct JsFile(SendWrapper<Js>);

impl fmt::Debug for JsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JsFile")
    }
}

struct Js {
    handle: FileSystemSyncAccessHandle,
    /// Kept for every call: it says at which byte.
    options: FileSystemReadWriteOptions,
}

impl JsFile {
    fn new(handle: FileSystemSyncAccessHandle) -> Self {
        Self(SendWrapper::new(Js { handle, options: FileSystemReadWriteOptions::new() }))
    }
}

impl SyncFile for JsFile {
    fn read(&self, buf: &mut [u8], at: u64) -> Answer<f64> {
        self.0.options.set_at(at as f64);
        self.0.handle.read_with_u8_array_and_options(buf, &self.0.options).map_err(|why| refusal(&why))
    }

    fn write(&self, bytes: &[u8], at: u64) -> Answer<f64> {
        self.0.options.set_at(at as f64);
        self.0.handle.write_with_u8_array_and_options(bytes, &self.0.options).map_err(|why| refusal(&why))
    }

    fn truncate(&self, bytes: u64) -> Answer<()> {
        self.0.handle.truncate_with_f64(bytes as f64).map_err(|why| refusal(&why))
    }

    fn flush(&self) -> Answer<()> {
        self.0.handle.flush().map_err(|why| refusal(&why))
    }

    fn size(&self) -> Answer<f64> {
        self.0.handle.get_size().map_err(|why| refusal(&why))
    }

    fn close(&self) {
        self.0.handle.close();
    }
}

/// What was thrown, as words.
pub(super) fn refusal(thrown: &JsValue) -> Refusal {
    if let Some(exception) = thrown.dyn_ref::<DomException>() {
        return Refusal::new(exception.name(), exception.message());
    }
    match thrown.dyn_ref::<js_sys::Error>() {
        Some(error) => Refusal::new(String::from(error.name()), String::from(error.message())),
        None => Refusal::new("Error", format!("{thrown:?}")),
    }
}

/// Calls that may meet a file that somebody still holds: again and again, for [`PATIENCE`] at most.
pub(super) async fn patiently(mut call: impl FnMut() -> Promise) -> std::result::Result<JsValue, JsValue> {
    let (mut waited, mut nap) = (Duration::ZERO, NAP_MIN);
    loop {
        match JsFuture::from(call()).await {
            Err(why) if refusal(&why).name == "NoModificationAllowedError" && waited < PATIENCE => {
                sleep(nap).await?;
                waited += nap;
                nap = (nap * 2).min(NAP_MAX);
            }
            answer => return answer,
        }
    }
}

async fn sleep(time: Duration) -> std::result::Result<(), JsValue> {
    let scope = js_sys::global().dyn_into::<DedicatedWorkerGlobalScope>()?;
    let ms = i32::try_from(time.as_millis()).unwrap_or(i32::MAX);
    let promise = Promise::new(&mut |resolve, _| {
        // If there is no timer the promise stays open; a worker without one does not exist.
        let _ = scope.set_timeout_with_callback_and_timeout_and_arguments_0(&resolve, ms);
    });
    JsFuture::from(promise).await.map(drop)
}

/// Takes the handle of one file.
async fn take(
    directory: FileSystemDirectoryHandle,
    name: String,
    create: bool,
) -> std::result::Result<JsValue, JsValue> {
    let options = FileSystemGetFileOptions::new();
    options.set_create(create);
    let file = JsFuture::from(directory.get_file_handle_with_options(&name, &options)).await?;
    let file: FileSystemFileHandle = file.unchecked_into();
    patiently(|| file.create_sync_access_handle()).await
}

/// Takes the handles of some files, all at once. If one cannot be had, none is kept.
pub(super) async fn take_all(
    directory: &FileSystemDirectoryHandle,
    path: &str,
    areas: &[Area],
    create: bool,
) -> Result<Found> {
    let promises: Array = areas
        .iter()
        .map(|area| future_to_promise(take(directory.clone(), area.to_string(), create)))
        .collect();
    let doing = if create { Doing::Create } else { Doing::Open };
    let settled = JsFuture::from(Promise::all_settled(&promises)).await;
    let settled = settled.map_err(|why| trouble(doing, path, refusal(&why)))?;
    let (mut found, mut failure) = (Found::new(), None);
    for (area, outcome) in areas.iter().zip(Array::from(&settled).iter()) {
        let field = |name: &str| Reflect::get(&outcome, &name.into()).unwrap_or(JsValue::UNDEFINED);
        let file_path = format!("{path}/{area}");
        let taken = match field("value").dyn_into::<FileSystemSyncAccessHandle>() {
            Ok(handle) => Handle::new(JsFile::new(handle), file_path),
            Err(_) => Err(trouble(doing, &file_path, refusal(&field("reason")))),
        };
        match taken {
            Ok(handle) => drop(found.insert(*area, handle)),
            Err(error) => failure = failure.or(Some(error)),
        }
    }
    failure.map_or(Ok(found), Err)
}
