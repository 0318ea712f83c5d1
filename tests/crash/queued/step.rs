//! What happens to a store on a queued medium, one step a word, so that a life can be printed and replayed.

use std::fmt;

macro_rules! steps {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// One step of a life on the queued medium.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Step { $($(#[$doc])* $name,)* }

        impl Step {
            pub const ALL: &[Step] = &[$(Step::$name,)*];

            pub fn text(self) -> &'static str {
                match self { $(Step::$name => $text,)* }
            }
        }
    };
}

steps! {
    /// Put b0.
    Put0 "a0",
    /// Put b0 and b1.
    Put01 "a01",
    /// Trim b0, put b1.
    Swap "t",
    /// One block is left of the database.
    Shrink "s1",
    /// Put b9: the database grows over what fell away.
    High "h9",
    /// Twelve blocks: more than the spill bound.
    Large "L",
    /// A new segment.
    Rotate "r",
    /// One step of a fold.
    Fold "c",
    /// Fold everything.
    Compact "C",
    /// Everything committed is to be durable: answers wait for it.
    Settle "S",
    /// Everything committed is to be on the medium.
    Flush "f",
    /// The next transaction completes.
    Complete "1",
    /// All transactions complete.
    Drain "*",
    /// The next transaction is aborted.
    Abort "A",
    /// The next transaction finds no quota.
    Quota "Q",
    /// The connection ends under the next transaction, which was taken.
    LoseTaken "Dt",
    /// The same, and it was not taken.
    LoseUntaken "Dn",
    /// The next transaction is taken, and nobody ever says so.
    SilentTaken "Nt",
    /// The next transaction never ends.
    Silent "Nn",
    /// The connection ends, or a watchdog ends it.
    Disconnect "e",
    /// The process dies; another opens the database.
    Kill "k",
    /// The power fails, taking all it can.
    Power "P",
    /// Another tab takes the database over; the old one goes on.
    OtherTab "o",
    /// The old tab commits, and waits for its answer.
    Zombie "z",
    /// The browser removes the database.
    Vanish "V",
}

/// A word as people and the replay variable spell it.
pub struct Word<'a>(pub &'a [Step]);

impl fmt::Display for Word<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let steps: Vec<&str> = self.0.iter().map(|step| step.text()).collect();
        f.write_str(&steps.join("."))
    }
}

/// Reads what [`Word`] printed.
pub fn parse(word: &str) -> Vec<Step> {
    let step = |text: &str| {
        let found = Step::ALL.iter().find(|step| step.text() == text);
        *found.unwrap_or_else(|| panic!("`{text}` is no step on a queued medium"))
    };
    word.split('.').filter(|text| !text.is_empty()).map(step).collect()
}
