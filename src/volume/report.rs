//! Numbers and reports as one line of JSON, for pragmas and for other languages.
//!
//! The rule it keeps: a member is never left out, so that its absence says "another version" and nothing else.

use std::fmt::{Display, Write};

use super::{Damage, OpenKind, RecoveryReport, Stats, VerifyReport};

/// How names of several words are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// `log_bytes`.
    Snake,
    /// `logBytes`.
    Camel,
}

/// An object, grown member by member.
#[derive(Debug)]
pub struct Object {
    text: String,
    names: Names,
}

impl Object {
    /// An object without members.
    #[must_use]
    pub fn new(names: Names) -> Self {
        Self { text: "{".to_owned(), names }
    }

    /// Adds the member `name`, given in snake case, whose value is JSON already: a number, `true`, another object.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        self.text.push_str(if self.text.len() > 1 { ",\"" } else { "\"" });
        let mut words = name.split('_');
        self.text.push_str(words.next().unwrap_or_default());
        for word in words {
            let (first, rest) = word.split_at(word.len().min(1));
            match self.names {
                Names::Snake => self.text.extend(["_", word]),
                Names::Camel => self.text.extend([&*first.to_ascii_uppercase(), rest]),
            }
        }
        write!(self.text, "\":{value}").expect("a String takes anything");
        self
    }

    /// The object as text.
    #[must_use]
    pub fn end(mut self) -> String {
        self.text.push('}');
        self.text
    }
}

/// A text as JSON.
#[must_use]
pub fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for sign in text.chars() {
        match sign {
            '"' | '\\' => out.extend(['\\', sign]),
            control if control < ' ' => {
                write!(out, "\\u{:04x}", u32::from(control)).expect("a String takes anything");
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// Values that are JSON already, as an array.
#[must_use]
pub fn array(values: impl IntoIterator<Item = String>) -> String {
    let values: Vec<String> = values.into_iter().collect();
    format!("[{}]", values.join(","))
}

fn damage(found: &[Damage]) -> String {
    array(found.iter().map(|damage| quoted(&damage.to_string())))
}

/// The numbers of a store, as the beginning of an object.
#[must_use]
pub fn stats(stats: &Stats, names: Names) -> Object {
    Object::new(names)
        .with("committed", stats.committed)
        .with("durable", stats.durable)
        .with("epoch", stats.epoch)
        .with("folded", stats.folded)
        .with("segments", stats.segments)
        .with("log_bytes", stats.log_bytes)
        .with("log_blocks", stats.log_blocks)
        .with("base_blocks", stats.base_blocks)
        .with("size_bytes", stats.size_bytes)
        .with("free_blocks", stats.free_blocks)
        .with("pins", stats.pins)
        .with("commits", stats.commits)
        .with("barriers", stats.barriers)
        .with("blocks_written", stats.blocks_written)
        .with("bytes_appended", stats.bytes_appended)
        .with("spills", stats.spills)
        .with("rotations", stats.rotations)
        .with("folds", stats.folds)
        .with("blocks_folded", stats.blocks_folded)
        .with("reads_log", stats.reads_log)
        .with("reads_base", stats.reads_base)
        .with("checksum_failures", stats.checksum_failures)
}

/// What opening found.
#[must_use]
pub fn recovery(report: &RecoveryReport, names: Names) -> Object {
    let kind = match report.kind {
        OpenKind::Created => "created",
        OpenKind::Clean => "clean",
        OpenKind::Unclean => "unclean",
    };
    Object::new(names)
        .with("kind", quoted(kind))
        .with("epoch", report.epoch)
        .with("last", report.last)
        .with("segments", report.segments)
        .with("commits", report.commits)
        .with("torn_tail_bytes", report.torn_tail_bytes)
        .with("rolled_back_batches", report.rolled_back_batches)
        .with("unproven_commits", report.unproven_commits)
        .with("relogged_bytes", report.relogged_bytes)
        .with("given_up_commits", report.given_up_commits)
        .with("damage", damage(&report.damage))
}

/// What a verification found.
#[must_use]
pub fn verification(report: &VerifyReport, names: Names) -> Object {
    Object::new(names)
        .with("ok", report.damage.is_empty())
        .with("base_blocks", report.base_blocks)
        .with("log_blocks", report.log_blocks)
        .with("damage", damage(&report.damage))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_json_whatever_the_text_holds() {
        let object = |names| {
            Object::new(names).with("n", 1).with("torn_tail_bytes", quoted("a \"b\" \\ c\nd\u{e9}")).end()
        };
        let text = "\"a \\\"b\\\" \\\\ c\\u000ad\u{e9}\"";
        assert_eq!(object(Names::Snake), format!("{{\"n\":1,\"torn_tail_bytes\":{text}}}"));
        assert_eq!(object(Names::Camel), format!("{{\"n\":1,\"tornTailBytes\":{text}}}"));
        assert_eq!(array([]), "[]");
        assert_eq!(array([quoted("a"), quoted("b")]), "[\"a\",\"b\"]");
    }
}
