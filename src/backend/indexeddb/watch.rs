//! The watchdog: a browser that says nothing any more is not waited for.
//!
//! Must not know: what becomes of a connection that is given up. The rule it keeps: whoever waits for a transaction or
//! for a fetch is told within two looks.

use std::sync::Arc;

use wasm_bindgen::JsValue;

use super::pump::Shared;

/// Without a word from the browser for this long, the connection is taken for dead.
pub(super) const PATIENCE_MS: u32 = 30_000;

/// Which transaction and which fetch are under way, counted.
type UnderWay = (Option<u64>, Option<u64>);

/// What ends with this is no longer waited for.
pub(super) const TOO_LATE: &str = "the browser has not answered for a long time";

impl Shared {
    /// Sees that what is under way now does not stay so for ever. One timer, whatever there is to watch.
    pub(super) fn watch(self: &Arc<Self>) {
        if !self.link.watchdog_runs.replace(true) {
            self.look_later((None, None));
        }
    }

    fn look_later(self: &Arc<Self>, before: UnderWay) {
        self.later(PATIENCE_MS, move |shared| shared.look(before));
    }

    /// Looks whether something has been under way for too long: it was so when this looked `before`.
    fn look(self: &Arc<Self>, before: UnderWay) {
        // Not the number: a transaction that was given again has its number still, and its time before it.
        let transaction = self.link.under_way.borrow().is_some().then(|| self.link.transactions.get());
        let fetch = self.link.fetch.borrow().clone();
        let now = (transaction, fetch.as_ref().map(|(number, _)| *number));
        if now != (None, None) {
            self.look_later(now);
        } else {
            self.link.watchdog_runs.set(false);
        }
        if let Some((number, end)) = fetch
            && before.1 == Some(number)
        {
            // A function that only settles a promise does not throw.
            let _ = end.call1(&JsValue::UNDEFINED, &TOO_LATE.into());
        }
        if transaction.is_some() && transaction == before.0 {
            self.disconnected(TOO_LATE);
        }
    }
}
