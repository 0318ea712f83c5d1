//! Where a life takes its decisions from: a seed, the bytes of a fuzzer, or a list that is being shrunk.
//!
//! The rule: whoever lives a life asks for every decision here, so that a list of answers is the whole life.

use datasync::backend::sim::Random;

/// A source of decisions.
pub trait Choices {
    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize;

    /// Whether nothing is left to decide from.
    fn is_over(&self) -> bool {
        false
    }

    /// True `of` times out of `out_of`.
    fn chance(&mut self, of: usize, out_of: usize) -> bool {
        self.below(out_of) < of
    }
}

impl Choices for Random {
    fn below(&mut self, bound: usize) -> usize {
        Random::below(self, bound)
    }
}

/// The bytes of a fuzzer: one for each small decision, so that a mutation changes one thing.
pub struct Bytes<'a>(pub &'a [u8]);

impl Choices for Bytes<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let mut number = 0;
        let mut most = 1_usize;
        while most < bound {
            let Some((first, rest)) = self.0.split_first() else { break };
            self.0 = rest;
            number = number << 8 | usize::from(*first);
            most = most.saturating_mul(256);
        }
        number % bound.max(1)
    }

    fn is_over(&self) -> bool {
        self.0.is_empty()
    }
}
