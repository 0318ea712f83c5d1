//! A set of 64-bit keys that are well mixed already: ten bytes each or so, for a hundred million of them.

use std::sync::Mutex;

/// What became of a key that was offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Offered {
    New,
    Known,
    /// Not known, and there is no room left to remember it.
    Forgotten,
}

/// The keys, in shards that several threads use at once. 0 and 1 count as one key.
pub struct Keys {
    shards: Vec<Mutex<Shard>>,
    /// Most slots of a shard.
    most: usize,
}

#[derive(Default)]
struct Shard {
    /// Open addressing; 0 is an empty slot. A power of two of them.
    slots: Vec<u64>,
    len: usize,
}

const SHARDS: usize = 64;

impl Keys {
    /// A set that takes up to `bytes` bytes of memory, and twice a 64th of it while it grows.
    pub fn within(bytes: usize) -> Self {
        let most = (bytes / 8 / SHARDS).max(64);
        let most = if most.is_power_of_two() { most } else { most.next_power_of_two() / 2 };
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), most }
    }

    /// Remembers `key`, if it is new and there is room.
    pub fn offer(&self, key: u64) -> Offered {
        let shard = (key >> 58) as usize % SHARDS;
        self.shards[shard].lock().expect("nobody panics with it").offer(key.max(1), self.most)
    }

    /// Whether `key` is remembered.
    pub fn contains(&self, key: u64) -> bool {
        let (shard, key) = (&self.shards[(key >> 58) as usize % SHARDS], key.max(1));
        let shard = shard.lock().expect("nobody panics with it");
        !shard.slots.is_empty() && shard.slots[shard.find(key)] == key
    }

    /// How many are remembered.
    pub fn len(&self) -> u64 {
        self.shards.iter().map(|shard| shard.lock().expect("nobody panics with it").len as u64).sum()
    }
}

impl Shard {
    fn offer(&mut self, key: u64, most: usize) -> Offered {
        if (self.len + 1) * 4 > self.slots.len() * 3 && self.slots.len() < most {
            let larger = vec![0; (self.slots.len() * 2).max(16)];
            for old in std::mem::replace(&mut self.slots, larger).into_iter().filter(|old| *old != 0) {
                let free = self.find(old);
                self.slots[free] = old;
            }
        }
        let at = self.find(key);
        if self.slots[at] == key {
            return Offered::Known;
        }
        if self.len * 8 > self.slots.len() * 7 {
            return Offered::Forgotten;
        }
        self.slots[at] = key;
        self.len += 1;
        Offered::New
    }

    /// The slot that holds `key`, or the empty one where it belongs.
    fn find(&self, key: u64) -> usize {
        let mask = self.slots.len() - 1;
        let mut at = key as usize & mask;
        while self.slots[at] != 0 && self.slots[at] != key {
            at = (at + 1) & mask;
        }
        at
    }
}

#[test]
fn a_key_is_new_once_and_a_full_set_says_so() {
    use datasync::backend::sim::mix;
    let keys = Keys::within(1 << 20);
    assert!((1..=60_000).all(|n| keys.offer(mix(n)) == Offered::New));
    assert!((1..=60_000).all(|n| keys.offer(mix(n)) == Offered::Known));
    assert_eq!(keys.len(), 60_000);
    assert!((1..=60_000).all(|n| keys.contains(mix(n))) && !keys.contains(mix(60_001)));
    assert!(!Keys::within(1 << 20).contains(7));
    let full = Keys::within(64 * 64 * 8);
    let new = (1..=60_000).filter(|n| full.offer(mix(*n)) == Offered::New).count();
    assert_eq!((new as u64, full.len()), (full.len(), new as u64));
    assert!(new > 64 * 40 && new <= 64 * 64, "{new}");
    assert!((1..=60_000).any(|n| full.offer(mix(n)) == Offered::Forgotten));
}
