//! Cuts a stream of SQL text into statements, so that a script runs as it arrives.
//!
//! Holds one statement at a time, never the script. Knows the shape of SQL's quotes, comments and
//! triggers, nothing of its meaning. The rule it keeps: joining the pieces gives the text back.

use std::io::{self, BufRead};

/// One statement of a script, with its `;` if it had one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The text, comments included.
    pub text: String,
    /// Line of the script on which the text begins, from 1.
    pub line: u64,
    /// False when the script ended before the statement's `;`.
    pub complete: bool,
}

/// Reads statements off a script.
pub struct Statements<R> {
    input: R,
    pending: String,
    scanner: Scanner,
    scanned: usize,
    line: u64,
    ended: bool,
}

impl<R: BufRead> Statements<R> {
    /// A cutter over `input`, at line 1.
    pub fn new(input: R) -> Self {
        Self { input, pending: String::new(), scanner: Scanner::default(), scanned: 0, line: 1, ended: false }
    }

    fn take(&mut self, bytes: usize, complete: bool) -> Option<Statement> {
        let rest = self.pending.split_off(bytes);
        let text = std::mem::replace(&mut self.pending, rest);
        let blank_lines = newlines(&text[..text.len() - text.trim_start().len()]);
        let statement = Statement { line: self.line + blank_lines, complete, text };
        self.line += newlines(&statement.text);
        self.scanned = 0;
        let anything = self.scanner.something;
        self.scanner = Scanner::default();
        anything.then_some(statement)
    }
}

fn newlines(text: &str) -> u64 {
    text.bytes().filter(|byte| *byte == b'\n').count() as u64
}

impl<R: BufRead> Iterator for Statements<R> {
    type Item = io::Result<Statement>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            while self.scanned < self.pending.len() {
                let byte = self.pending.as_bytes()[self.scanned];
                self.scanned += 1;
                if self.scanner.ends_with(byte)
                    && let Some(statement) = self.take(self.scanned, true)
                {
                    return Some(Ok(statement));
                }
            }
            if self.ended {
                let left = self.pending.len();
                return self.take(left, false).map(Ok);
            }
            match self.input.read_line(&mut self.pending) {
                Ok(0) => self.ended = true,
                Ok(_) => {}
                Err(error) => {
                    self.ended = true;
                    self.pending.clear();
                    return Some(Err(error));
                }
            }
        }
    }
}

/// Where in the text the scanner stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Within {
    #[default]
    Code,
    /// Inside quotes that this byte closes.
    Quoted(u8),
    LineComment,
    BlockComment,
}

/// Finds the `;` that ends a statement.
#[derive(Debug, Default)]
struct Scanner {
    within: Within,
    before: u8,
    word: String,
    words: u32,
    trigger: Trigger,
    something: bool,
}

/// A trigger's body holds `;` of its own and ends with `; END ;`.
#[derive(Debug, Default, PartialEq, Eq)]
enum Trigger {
    /// Not decided yet: only EXPLAIN, CREATE, TEMP and the like have been seen.
    #[default]
    Maybe,
    No,
    Body,
    /// In the body, right after a `;`.
    AfterSemicolon,
    /// In the body, after `; END`.
    AfterEnd,
}

impl Scanner {
    /// Takes the next byte; true when the statement ends with it.
    fn ends_with(&mut self, byte: u8) -> bool {
        let before = std::mem::replace(&mut self.before, byte);
        match self.within {
            Within::Quoted(close) => {
                if byte == close {
                    self.within = Within::Code;
                }
                return false;
            }
            Within::LineComment => {
                if byte == b'\n' {
                    self.within = Within::Code;
                }
                return false;
            }
            Within::BlockComment => {
                if before == b'*' && byte == b'/' {
                    self.within = Within::Code;
                    self.before = 0;
                }
                return false;
            }
            Within::Code => {}
        }
        if byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80 {
            self.something = true;
            self.word.push(char::from(byte.to_ascii_uppercase()));
            return false;
        }
        self.end_word();
        match byte {
            b'-' if before == b'-' => self.within = Within::LineComment,
            b'*' if before == b'/' => {
                self.within = Within::BlockComment;
                self.before = 0;
            }
            b'\'' | b'"' | b'`' => self.quote(byte),
            b'[' => self.quote(b']'),
            b';' => return self.semicolon(),
            b' ' | b'\t' | b'\r' | b'\n' | b'-' | b'/' => {}
            _ => self.body_token(),
        }
        false
    }

    fn quote(&mut self, close: u8) {
        self.within = Within::Quoted(close);
        self.body_token();
    }

    /// Something other than a word, space or comment: inside a body it means "not right after `;`".
    fn body_token(&mut self) {
        self.something = true;
        if matches!(self.trigger, Trigger::AfterSemicolon | Trigger::AfterEnd) {
            self.trigger = Trigger::Body;
        }
    }

    fn end_word(&mut self) {
        if self.word.is_empty() {
            return;
        }
        self.words += 1;
        self.trigger = match (&self.trigger, self.word.as_str()) {
            (Trigger::Maybe, "EXPLAIN" | "QUERY" | "PLAN" | "TEMP" | "TEMPORARY") => Trigger::Maybe,
            (Trigger::Maybe, "CREATE") if self.words <= 4 => Trigger::Maybe,
            (Trigger::Maybe, "TRIGGER") if self.words >= 2 => Trigger::Body,
            (Trigger::Maybe | Trigger::No, _) => Trigger::No,
            (Trigger::AfterSemicolon, "END") => Trigger::AfterEnd,
            (Trigger::Body | Trigger::AfterSemicolon | Trigger::AfterEnd, _) => Trigger::Body,
        };
        self.word.clear();
    }

    fn semicolon(&mut self) -> bool {
        match self.trigger {
            Trigger::Maybe | Trigger::No | Trigger::AfterEnd => true,
            Trigger::Body | Trigger::AfterSemicolon => {
                self.trigger = Trigger::AfterSemicolon;
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(script: &str, expected: &[&str]) {
        let found: Vec<String> =
            Statements::new(script.as_bytes()).map(|one| one.unwrap().text.trim().to_owned()).collect();
        assert_eq!(found, expected, "{script:?}");
    }

    #[test]
    fn statements_end_where_sqlite_ends_them() {
        check("", &[]);
        check(" ;; \n ; ", &[]);
        check("select 1; select 2", &["select 1;", "select 2"]);
        check(
            "select ';' ; select \"a;b\", [c;d], `e;f`;",
            &["select ';' ;", "select \"a;b\", [c;d], `e;f`;"],
        );
        check("select 'it''s;';select 2;", &["select 'it''s;';", "select 2;"]);
        check("select 1 -- no; not here\n; select 2;", &["select 1 -- no; not here\n;", "select 2;"]);
        check("/* a;\n b; */ select 4/2 /**/;", &["/* a;\n b; */ select 4/2 /**/;"]);
        check("select 3-1; select '\u{20ac};';", &["select 3-1;", "select '\u{20ac};';"]);
    }

    #[test]
    fn a_trigger_is_one_statement() {
        let body = "create temp trigger t after insert on a begin\n update a set b=1; select 'end;';\n end;";
        check(&format!("{body} select 1;"), &[body, "select 1;"]);
        let case = "create trigger t after insert on a begin select case when 1 then 2 end; end;";
        check(case, &[case]);
        check("create table trigger_log(a); select 1;", &["create table trigger_log(a);", "select 1;"]);
        check("explain query plan select 1; end;", &["explain query plan select 1;", "end;"]);
    }

    #[test]
    fn every_statement_knows_its_line() {
        let lines: Vec<(u64, bool)> = Statements::new(&b"select 1;\n\nselect\n2;\n  select 3"[..])
            .map(|one| one.unwrap())
            .map(|one| (one.line, one.complete))
            .collect();
        assert_eq!(lines, [(1, true), (3, true), (5, false)]);
    }
}
