//! A text of several statements, and the place in it that was reached: positions as JavaScript counts them, in
//! UTF-16 units, and as Rust does, in bytes.
//!
//! Must not know SQL. The rule it keeps: going through a text statement by statement reads it once.

use crate::failure::{Failure, Outcome};

/// A text and a place in it.
#[derive(Debug, Default)]
pub struct Script {
    text: String,
    units: usize,
    bytes: usize,
}

impl Script {
    /// A text, from its beginning.
    ///
    /// # Errors
    /// `Misuse` for a NUL character, where SQLite would stop reading without a word.
    pub fn new(text: String) -> Outcome<Self> {
        if text.contains('\0') {
            return Err(Failure::misuse("the SQL has a NUL character in it, where SQLite stops reading"));
        }
        Ok(Self { text, units: 0, bytes: 0 })
    }

    /// Goes to the place that is `units` UTF-16 units from the beginning.
    ///
    /// # Errors
    /// `Misuse` for a place behind the end or inside a character.
    pub fn seek(&mut self, units: usize) -> Outcome<()> {
        if units < self.units {
            (self.units, self.bytes) = (0, 0);
        }
        let mut rest = self.text[self.bytes..].chars();
        while self.units < units {
            let Some(next) = rest.next() else { break };
            self.units += next.len_utf16();
            self.bytes += next.len_utf8();
        }
        if self.units == units {
            return Ok(());
        }
        (self.units, self.bytes) = (0, 0);
        Err(Failure::misuse(format!("no statement can begin at {units} of this SQL")))
    }

    /// What is left from the place on.
    #[must_use]
    pub fn rest(&self) -> &str {
        &self.text[self.bytes..]
    }

    /// Goes on by `bytes` bytes, which end between two characters.
    pub fn skip(&mut self, bytes: usize) {
        let passed = &self.text[self.bytes..self.bytes + bytes];
        self.units += passed.chars().map(char::len_utf16).sum::<usize>();
        self.bytes += bytes;
    }

    /// The place, in UTF-16 units from the beginning.
    #[must_use]
    pub fn place(&self) -> usize {
        self.units
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_in_both_ways_whichever_way_one_goes() {
        let mut script = Script::new("a\u{1f600}\u{e9}bc".to_owned()).unwrap();
        script.seek(3).unwrap();
        assert_eq!(script.rest(), "\u{e9}bc");
        script.skip(2);
        assert_eq!((script.place(), script.rest()), (4, "bc"));
        script.seek(1).unwrap();
        assert_eq!(script.rest(), "\u{1f600}\u{e9}bc");
        assert!(script.seek(2).is_err() && script.seek(7).is_err());
        script.seek(6).unwrap();
        assert_eq!(script.rest(), "");
    }

    #[test]
    fn a_nul_is_refused_because_what_follows_would_be_dropped() {
        assert!(Script::new("SELECT 1;\0SELECT 2".to_owned()).is_err());
    }
}
