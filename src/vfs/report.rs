//! The volume's reports as one line of text, for pragmas: JSON of numbers and names.

use std::fmt::Write;

use crate::volume::{Damage, OpenKind, RecoveryReport, Stats, VerifyReport};

/// An object, grown member by member.
struct Object(String);

impl Object {
    fn new() -> Self {
        Self("{".to_owned())
    }

    /// Adds a member whose value is JSON already.
    fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        write!(self.0, "\"{name}\":{value}").expect("a String takes anything");
        self
    }

    fn end(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

fn quoted(text: &str) -> String {
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

fn damage(found: &[Damage]) -> String {
    let list: Vec<String> = found.iter().map(|damage| quoted(&damage.to_string())).collect();
    format!("[{}]", list.join(","))
}

pub(super) fn stats(stats: &Stats) -> String {
    Object::new()
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
        .end()
}

pub(super) fn recovery(report: &RecoveryReport) -> String {
    let kind = match report.kind {
        OpenKind::Created => "created",
        OpenKind::Clean => "clean",
        OpenKind::Unclean => "unclean",
    };
    Object::new()
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
        .end()
}

/// `ok`, or one line for each damaged place.
pub(super) fn verify(report: &VerifyReport) -> String {
    if report.damage.is_empty() {
        return "ok".to_owned();
    }
    let lines: Vec<String> = report.damage.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_in_json_is_escaped() {
        assert_eq!(quoted("a \"b\" \\ c\nd"), "\"a \\\"b\\\" \\\\ c\\u000ad\"");
        assert_eq!(Object::new().with("a", 1).with("b", quoted("x")).end(), "{\"a\":1,\"b\":\"x\"}");
    }
}
