//! Numbers and reports as JSON, in the names that JavaScript gives them.
//!
//! Must not know where they come from. The rule it keeps: a member is never left out, so that its absence says
//! "another version" and nothing else.

use std::fmt::{Display, Write};

use datasync::volume::{Damage, OpenKind, RecoveryReport, Stats, VerifyReport};

/// An object, grown member by member.
pub struct Object(String);

impl Default for Object {
    fn default() -> Self {
        Self("{".to_owned())
    }
}

impl Object {
    /// Adds a member whose value is JSON already: a number, `true`, another object.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Display) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        write!(self.0, "\"{name}\":{value}").expect("a String takes anything");
        self
    }

    /// The object.
    #[must_use]
    pub fn end(mut self) -> String {
        self.0.push('}');
        self.0
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

/// The numbers of a store, as the beginning of an object.
#[must_use]
pub fn stats(stats: &Stats) -> Object {
    Object::default()
        .with("committed", stats.committed)
        .with("durable", stats.durable)
        .with("epoch", stats.epoch)
        .with("folded", stats.folded)
        .with("segments", stats.segments)
        .with("logBytes", stats.log_bytes)
        .with("logBlocks", stats.log_blocks)
        .with("baseBlocks", stats.base_blocks)
        .with("sizeBytes", stats.size_bytes)
        .with("freeBlocks", stats.free_blocks)
        .with("pins", stats.pins)
        .with("commits", stats.commits)
        .with("barriers", stats.barriers)
        .with("blocksWritten", stats.blocks_written)
        .with("bytesAppended", stats.bytes_appended)
        .with("spills", stats.spills)
        .with("rotations", stats.rotations)
        .with("folds", stats.folds)
        .with("blocksFolded", stats.blocks_folded)
        .with("readsLog", stats.reads_log)
        .with("readsBase", stats.reads_base)
        .with("checksumFailures", stats.checksum_failures)
}

/// What opening found.
#[must_use]
pub fn recovery(report: &RecoveryReport) -> String {
    let kind = match report.kind {
        OpenKind::Created => "created",
        OpenKind::Clean => "clean",
        OpenKind::Unclean => "unclean",
    };
    Object::default()
        .with("kind", quoted(kind))
        .with("epoch", report.epoch)
        .with("last", report.last)
        .with("segments", report.segments)
        .with("commits", report.commits)
        .with("tornTailBytes", report.torn_tail_bytes)
        .with("rolledBackBatches", report.rolled_back_batches)
        .with("unprovenCommits", report.unproven_commits)
        .with("reloggedBytes", report.relogged_bytes)
        .with("givenUpCommits", report.given_up_commits)
        .with("damage", damage(&report.damage))
        .end()
}

/// What a verification found.
#[must_use]
pub fn verified(report: &VerifyReport) -> String {
    Object::default()
        .with("ok", report.damage.is_empty())
        .with("baseBlocks", report.base_blocks)
        .with("logBlocks", report.log_blocks)
        .with("damage", damage(&report.damage))
        .end()
}

fn damage(found: &[Damage]) -> String {
    array(found.iter().map(|damage| quoted(&damage.to_string())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_is_json_whatever_the_text_holds() {
        let object = Object::default().with("n", 1).with("text", quoted("a\"b\\c\nd\u{e9}")).end();
        assert_eq!(object, "{\"n\":1,\"text\":\"a\\\"b\\\\c\\u000ad\u{e9}\"}");
        assert_eq!(array([]), "[]");
        assert_eq!(array([quoted("a"), quoted("b")]), "[\"a\",\"b\"]");
    }
}
