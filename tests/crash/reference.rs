//! What a store must hold: the blocks after each commit, in a few plain lines that share nothing with the
//! store. A suite replays its commits here and asks which prefixes a recovery may show.

use std::collections::BTreeMap;

use datasync::block::{BLOCK_SIZE, BlockBytes, CommitId, Lsn};

/// What a reader sees: a stamp for each block that is not zeros, and the size in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct State {
    pub blocks: BTreeMap<u64, u64>,
    pub size: u64,
}

/// One change of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// A block gets the bytes that this stamp stands for.
    Put(u64, u64),
    /// A block becomes zeros.
    Trim(u64),
    /// The size in blocks; what falls away becomes zeros.
    Size(u64),
}

impl State {
    pub fn apply(&mut self, change: Change) {
        match change {
            Change::Put(block, stamp) => {
                self.blocks.insert(block, stamp);
                self.size = self.size.max((block + 1) * BLOCK_SIZE as u64);
            }
            Change::Trim(block) => drop(self.blocks.remove(&block)),
            Change::Size(blocks) => {
                self.size = blocks * BLOCK_SIZE as u64;
                self.blocks.retain(|block, _| *block < blocks);
            }
        }
    }
}

/// The bytes of `block` under `stamp`: never zeros, different everywhere for every other pair.
pub fn fill(block: u64, stamp: u64) -> BlockBytes {
    let mut bytes = [0; BLOCK_SIZE];
    for (at, word) in bytes.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let salt = (stamp << 20 ^ block << 10 ^ at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        *word = (if at == 0 { stamp } else { salt }).to_le_bytes();
    }
    bytes
}

/// A commit that was asked for. What the store said about it is one of three: acknowledged, refused (then
/// it is not listed at all), or nothing certain.
#[derive(Clone, Debug)]
pub struct Commit {
    /// Its name, where the store got as far as giving one.
    pub id: Option<CommitId>,
    /// What a reader sees after it.
    pub state: State,
    /// How many ops the disk had seen when it began.
    pub begun: u64,
    /// How many when it was acknowledged as durable, if it was.
    pub acknowledged: Option<u64>,
    /// The request number it carries.
    pub seq: u64,
}

/// The commits of a life, oldest first; number 0 is where the life began.
#[derive(Clone, Debug)]
pub struct History {
    pub commits: Vec<Commit>,
}

impl History {
    /// A life that begins with `first`, which is durable.
    pub fn new(first: Commit) -> Self {
        Self { commits: vec![Commit { begun: 0, acknowledged: Some(0), ..first }] }
    }

    pub fn newest(&self) -> &Commit {
        self.commits.last().expect("a life has a beginning")
    }

    /// The fewest and the most commits that may be found after a crash right after this op.
    pub fn bounds_at(&self, op: u64) -> (usize, usize) {
        let acknowledged = |commit: &Commit| commit.acknowledged.is_some_and(|at| at <= op);
        let least = self.commits.iter().rposition(acknowledged).unwrap_or(0);
        let most = self.commits.iter().rposition(|commit| commit.begun <= op).unwrap_or(0);
        (least, most.max(least))
    }

    /// What was begun or acknowledged so far was so before the count of ops starts anew.
    pub fn acknowledge_older(&mut self) {
        for commit in &mut self.commits {
            commit.begun = 0;
            commit.acknowledged = commit.acknowledged.map(|_| 0);
        }
    }

    /// Everything up to commit `lsn` of this life was acknowledged as durable after `op` ops.
    pub fn acknowledge_up_to(&mut self, lsn: Lsn, op: u64) {
        for commit in self.commits.iter_mut().filter(|commit| commit.id.is_some_and(|id| id.lsn <= lsn)) {
            commit.acknowledged.get_or_insert(op);
        }
    }

    /// Everything so far was acknowledged as durable after `op` ops.
    pub fn acknowledge_all(&mut self, op: u64) {
        for commit in &mut self.commits {
            commit.acknowledged.get_or_insert(op);
        }
    }
}
