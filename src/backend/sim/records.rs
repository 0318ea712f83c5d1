//! The records of one simulated database, and what a transaction does to them.
//!
//! Must not know: connections, power cuts, who owns what. The rule it keeps: a transaction is done as a whole.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::backend::queue::{Clear, Fence, Key, Transaction, Work};

/// The records of one database.
#[derive(Clone, Debug, Default)]
pub(super) struct Records {
    pub(super) values: BTreeMap<Key, Value>,
    /// The links of takeovers, which stay, and the newest link.
    pub(super) chain: Vec<Fence>,
    pub(super) newest: Option<Fence>,
}

/// Values of extents by their key.
pub(super) type Extents = BTreeMap<Key, Arc<[u8]>>;

/// What a record holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Bytes(Arc<[u8]>),
    Length(u64),
}

impl Records {
    /// Does what the transaction says. `held`: the extents that its tab need not read.
    pub(super) fn run(&mut self, transaction: &Transaction, held: &Extents) {
        for clear in transaction.batch.clears() {
            self.values.retain(|key, _| !Clear::covers(clear, *key));
        }
        for (key, work) in transaction.batch.work() {
            let value = match work {
                Work::Put(bytes) => Value::Bytes(bytes[..].into()),
                Work::Length(bytes) => Value::Length(*bytes),
                Work::Patch(_) if held.contains_key(&key) => Value::Bytes(Arc::clone(&held[&key])),
                Work::Patch(patch) => {
                    let old = match self.values.get(&key) {
                        Some(Value::Bytes(bytes)) if patch.needs_old() => Arc::clone(bytes),
                        _ => Arc::default(),
                    };
                    Value::Bytes(patch.lay_over(&old).into())
                }
                Work::Delete => {
                    self.values.remove(&key);
                    continue;
                }
            };
            self.values.insert(key, value);
        }
    }
}
