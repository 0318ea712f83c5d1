//! A store over a simulated browser: what the asynchronous opening and the keeper do, without promises.
//!
//! The twin of `web/`, for tests only. The rule it keeps: it asks the store and the browser what `web/` asks them,
//! in the same order.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use super::handle::Handle;
use super::name::{directory_of, path_of};
use super::trouble::{Doing, trouble};
use super::{OpfsStore, Shared};
use crate::backend::OpenMode;
use crate::backend::Source;
use crate::backend::sim::{SimBrowser, SimFile};
use crate::error::Result;
use crate::log::plan::Area;

/// What opens the next files of a store, and deletes those it has removed, between two of its calls.
#[derive(Clone, Debug)]
pub struct SimKeeper {
    pub(super) browser: SimBrowser,
    pub(super) shared: Weak<Shared<SimFile>>,
}

fn take(browser: &SimBrowser, path: &str, area: Area) -> Result<Handle<SimFile>> {
    let path = format!("{path}/{area}");
    let doing = if browser.len(area).is_some() { Doing::Open } else { Doing::Create };
    let file = browser.take(area).map_err(|refusal| trouble(doing, &path, refusal))?;
    Handle::new(file, path)
}

impl OpfsStore<SimFile> {
    /// Takes the handles of every file that `browser` has, and opens the next segments ahead.
    ///
    /// # Errors
    /// `Busy` when another tab has one. `Io`, `Full`: the browser refused.
    pub fn open_simulated(browser: &SimBrowser) -> Result<(Self, SimKeeper)> {
        let mut areas: BTreeSet<Area> = browser.listed();
        areas.extend([Area::Meta, Area::Base, Area::Sums]);
        let path = path_of(&directory_of("app")?);
        let handle = |area| Ok((area, take(browser, &path, area)?));
        let found = areas.into_iter().map(handle).collect::<Result<_>>()?;
        let shared = Shared::new(path, OpenMode::Create, found)?;
        let keeper = SimKeeper { browser: browser.clone(), shared: Arc::downgrade(&shared) };
        keeper.refill()?;
        Ok((Self { shared }, keeper))
    }
}

impl SimKeeper {
    /// Opens what will be needed, deletes what is not, writes zeros ahead.
    ///
    /// # Errors
    /// `Lost` when the files were deleted. `Io`, `Full`: the browser refused.
    pub fn refill(&self) -> Result<()> {
        let Some(shared) = self.shared.upgrade() else { return Ok(()) };
        if shared.len(Area::Meta)?.is_some() && self.browser.len(Area::Meta).is_none() {
            shared.lose();
        }
        shared.with(|pool| {
            for id in pool.take_leftover() {
                if self.browser.remove(Area::Segment(id)).is_err() {
                    pool.spare(id);
                }
            }
            for id in pool.wanted() {
                let area = Area::Segment(id);
                let mut handle = take(&self.browser, &shared.path, area)?;
                if handle.len() > 0 {
                    handle.clear()?;
                }
                pool.put(area, handle);
            }
            while pool.fill_step()? {}
            Ok(())
        })
    }
}
