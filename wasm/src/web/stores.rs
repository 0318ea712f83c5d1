//! Bringing the files of a store in.
//!
//! Must not know what is in them. The rule it keeps: nothing that is there already is written over.

use datasync::backend::{indexeddb, opfs};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use super::thrown::thrown;
use crate::failure::{Failure, Outcome};

fn no_such(backend: &str) -> Failure {
    Failure::misuse(format!("backend is {backend:?}; stored databases are in \"opfs\" or \"indexeddb\""))
}

enum Way {
    Opfs(opfs::Import),
    IndexedDb(indexeddb::Import),
}

impl Way {
    async fn begin(backend: &str, name: &str) -> Outcome<Self> {
        match backend {
            "opfs" => Ok(Self::Opfs(opfs::Import::begin(name).await?)),
            "indexeddb" => Ok(Self::IndexedDb(indexeddb::Import::begin(name).await?)),
            other => Err(no_such(other)),
        }
    }

    async fn file(&mut self, name: &str) -> Outcome<()> {
        match self {
            Self::Opfs(import) => import.file(name).await,
            Self::IndexedDb(import) => import.file(name).await,
        }
        .map_err(Failure::from)
    }

    async fn write(&mut self, bytes: &[u8]) -> Outcome<()> {
        match self {
            Self::Opfs(import) => import.write(bytes),
            Self::IndexedDb(import) => import.write(bytes).await,
        }
        .map_err(Failure::from)
    }

    async fn finish(self) -> Outcome<()> {
        match self {
            Self::Opfs(import) => import.finish().await,
            Self::IndexedDb(import) => import.finish().await,
        }
        .map_err(Failure::from)
    }

    async fn cancel(self) -> Outcome<()> {
        match self {
            Self::Opfs(import) => import.cancel().await,
            Self::IndexedDb(import) => import.cancel().await,
        }
        .map_err(Failure::from)
    }
}

/// An import of a store's own files (META, base.db, base.sum, log-NNNN) into an empty place, one after the other.
/// They are checked when the database is opened. An import of which nothing more is heard leaves what opening
/// reports as damage: `cancel` it, or destroy the database.
#[wasm_bindgen]
pub struct StoreImport {
    way: Option<Way>,
}

#[wasm_bindgen]
impl StoreImport {
    /// Takes an empty place for the database `name`.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`: `Misuse` when there is a database of that name.
    pub async fn begin(backend: String, name: String) -> Result<StoreImport, JsValue> {
        let way = Way::begin(&backend, &name).await.map_err(thrown)?;
        Ok(Self { way: Some(way) })
    }

    /// Begins the next file; the one before is durable then.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub async fn file(&mut self, name: String) -> Result<(), JsValue> {
        self.way()?.file(&name).await.map_err(thrown)
    }

    /// Appends to the file that was begun last.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub async fn write(&mut self, bytes: Vec<u8>) -> Result<(), JsValue> {
        self.way()?.write(&bytes).await.map_err(thrown)
    }

    /// Ends the import: every file is durable.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`: `NotAStore` when there was no META.
    pub async fn finish(&mut self) -> Result<(), JsValue> {
        self.way()?;
        match self.way.take() {
            Some(way) => way.finish().await.map_err(thrown),
            None => Ok(()),
        }
    }

    /// Gives up, and leaves nothing.
    ///
    /// # Errors
    /// Thrown as an `Error` with a `kind`.
    pub async fn cancel(&mut self) -> Result<(), JsValue> {
        match self.way.take() {
            Some(way) => way.cancel().await.map_err(thrown),
            None => Ok(()),
        }
    }

    fn way(&mut self) -> Result<&mut Way, JsValue> {
        self.way.as_mut().ok_or_else(|| thrown(Failure::misuse("the import has ended; begin another")))
    }
}
