//! Rows for people: aligned columns, numbers to the right. Also JSON and CSV of the same rows.
//!
//! Text need not be UTF-8 to SQLite. CSV has its bytes as they are; a table and JSON, which are text, have U+FFFD
//! in the place of what is none.
//!
//! Holds at most [`WINDOW`] rows at a time, so that any result can be printed in bounded memory; a column
//! may grow wider from one window to the next.

use std::borrow::Cow;
use std::io::{self, Write};

use rusqlite::types::ValueRef;
use unicode_width::UnicodeWidthStr;

/// Rows that are measured together.
const WINDOW: usize = 1000;

/// How rows are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Table,
    Json,
    Csv,
}

/// Prints the rows of one statement.
pub struct Printer<'a> {
    out: &'a mut dyn Write,
    format: Format,
    columns: Vec<String>,
    widths: Vec<usize>,
    window: Vec<Vec<Cell>>,
    rows: u64,
    header_printed: bool,
}

struct Cell {
    text: String,
    number: bool,
}

impl<'a> Printer<'a> {
    /// A printer for rows with these columns.
    pub fn new(out: &'a mut dyn Write, format: Format, columns: Vec<String>) -> Self {
        let widths = columns.iter().map(|name| name.width()).collect();
        Self { out, format, columns, widths, window: Vec::new(), rows: 0, header_printed: false }
    }

    /// Adds a row, which has one value for each column.
    pub fn row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.rows += 1;
        match self.format {
            Format::Json => self.json_row(values),
            Format::Csv => self.csv_row(values),
            Format::Table => {
                let cells: Vec<Cell> = values.iter().copied().map(cell).collect();
                for (width, cell) in self.widths.iter_mut().zip(&cells) {
                    *width = (*width).max(cell.text.width());
                }
                self.window.push(cells);
                if self.window.len() >= WINDOW { self.print_window() } else { Ok(()) }
            }
        }
    }

    /// Prints what is left and the closing line.
    pub fn finish(mut self) -> io::Result<()> {
        match self.format {
            Format::Json => self.out.write_all(if self.rows == 0 { b"[]\n" } else { b"\n]\n" }),
            Format::Csv => self.csv_header(),
            Format::Table => {
                self.print_window()?;
                let noun = if self.rows == 1 { "row" } else { "rows" };
                writeln!(self.out, "({} {noun})", self.rows)
            }
        }
    }

    fn print_window(&mut self) -> io::Result<()> {
        if !self.header_printed {
            self.header_printed = true;
            let names: Vec<Cell> =
                self.columns.iter().map(|name| Cell { text: one_line(name), number: false }).collect();
            self.line(&names)?;
            let rule: Vec<String> = self.widths.iter().map(|width| "-".repeat(*width)).collect();
            writeln!(self.out, "{}", rule.join("-+-"))?;
        }
        for cells in std::mem::take(&mut self.window) {
            self.line(&cells)?;
        }
        Ok(())
    }

    fn line(&mut self, cells: &[Cell]) -> io::Result<()> {
        let mut line = String::new();
        for (at, (cell, width)) in cells.iter().zip(&self.widths).enumerate() {
            if at > 0 {
                line.push_str(" | ");
            }
            let space = " ".repeat(width.saturating_sub(cell.text.width()));
            if cell.number {
                line.push_str(&space);
                line.push_str(&cell.text);
            } else {
                line.push_str(&cell.text);
                line.push_str(&space);
            }
        }
        writeln!(self.out, "{}", line.trim_end())
    }

    fn json_row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.out.write_all(if self.rows == 1 { b"[\n  {" } else { b",\n  {" })?;
        for (at, (name, value)) in self.columns.iter().zip(values).enumerate() {
            if at > 0 {
                self.out.write_all(b", ")?;
            }
            serde_json::to_writer(&mut self.out, name)?;
            self.out.write_all(b": ")?;
            serde_json::to_writer(&mut self.out, &json(*value))?;
        }
        self.out.write_all(b"}")
    }

    fn csv_header(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.header_printed, true) {
            return Ok(());
        }
        let names: Vec<Cow<'_, [u8]>> = self.columns.iter().map(|name| csv_field(name.as_bytes())).collect();
        self.out.write_all(&names.join(&b","[..]))?;
        self.out.write_all(b"\r\n")
    }

    fn csv_row(&mut self, values: &[ValueRef<'_>]) -> io::Result<()> {
        self.csv_header()?;
        for (at, value) in values.iter().enumerate() {
            if at > 0 {
                self.out.write_all(b",")?;
            }
            match value {
                ValueRef::Null => {}
                ValueRef::Text(text) => self.out.write_all(&csv_field(text))?,
                other => self.out.write_all(cell(*other).text.as_bytes())?,
            }
        }
        self.out.write_all(b"\r\n")
    }
}

/// JSON has no blobs: they stand as hexadecimal text. A real that JSON cannot say is null.
fn json(value: ValueRef<'_>) -> serde_json::Value {
    match value {
        ValueRef::Null => serde_json::Value::Null,
        ValueRef::Integer(number) => number.into(),
        ValueRef::Real(number) => number.into(),
        ValueRef::Text(text) => String::from_utf8_lossy(text).into(),
        ValueRef::Blob(bytes) => hex(bytes).into(),
    }
}

fn cell(value: ValueRef<'_>) -> Cell {
    match value {
        ValueRef::Null => Cell { text: "NULL".to_owned(), number: false },
        ValueRef::Integer(number) => Cell { text: number.to_string(), number: true },
        ValueRef::Real(number) => Cell { text: format!("{number:?}"), number: true },
        ValueRef::Text(text) => Cell { text: one_line(&String::from_utf8_lossy(text)), number: false },
        ValueRef::Blob(bytes) => Cell { text: format!("x'{}'", hex(bytes)), number: false },
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Control characters would tear the table, or worse: they are shown as Rust escapes.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        if letter.is_control() { line.extend(letter.escape_default()) } else { line.push(letter) }
    }
    line
}

fn csv_field(text: &[u8]) -> Cow<'_, [u8]> {
    if !text.iter().any(|byte| b",\"\n\r".contains(byte)) {
        return text.into();
    }
    let mut field = vec![b'"'];
    for byte in text {
        field.push(*byte);
        if *byte == b'"' {
            field.push(b'"');
        }
    }
    field.push(b'"');
    field.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes_of(format: Format, columns: &[&str], rows: &[Vec<ValueRef<'_>>]) -> Vec<u8> {
        let mut out = Vec::new();
        let mut printer =
            Printer::new(&mut out, format, columns.iter().map(|name| (*name).to_owned()).collect());
        for row in rows {
            printer.row(row).unwrap();
        }
        printer.finish().unwrap();
        out
    }

    fn printed(format: Format, columns: &[&str], rows: &[Vec<ValueRef<'_>>]) -> String {
        String::from_utf8(bytes_of(format, columns, rows)).unwrap()
    }

    fn rows() -> Vec<Vec<ValueRef<'static>>> {
        vec![
            vec![ValueRef::Integer(7), ValueRef::Text("a\nb, \u{4e2d}".as_bytes()), ValueRef::Null],
            vec![ValueRef::Real(1.0), ValueRef::Text(b"say \"x\""), ValueRef::Blob(&[0, 255])],
        ]
    }

    #[test]
    fn a_table_is_aligned_and_safe_to_print() {
        let text = printed(Format::Table, &["n", "text", "b"], &rows());
        let expected = "n   | text     | b\n----+----------+--------\n  7 | a\\nb, \u{4e2d} | NULL\n\
                        1.0 | say \"x\"  | x'00ff'\n(2 rows)\n";
        assert_eq!(text, expected);
        assert_eq!(printed(Format::Table, &["n"], &[]), "n\n-\n(0 rows)\n");
    }

    #[test]
    fn json_is_json() {
        let value: serde_json::Value =
            serde_json::from_str(&printed(Format::Json, &["n", "t", "b"], &rows())).unwrap();
        assert_eq!(value[0]["t"], "a\nb, \u{4e2d}");
        assert_eq!(value[1]["b"], "00ff");
        assert_eq!(printed(Format::Json, &["n"], &[]), "[]\n");
    }

    #[test]
    fn csv_quotes_what_needs_quotes() {
        let text = printed(Format::Csv, &["n", "t", "b"], &rows());
        assert_eq!(text, "n,t,b\r\n7,\"a\nb, \u{4e2d}\",\r\n1.0,\"say \"\"x\"\"\",x'00ff'\r\n");
        assert_eq!(printed(Format::Csv, &["n", "t"], &[]), "n,t\r\n");
    }

    #[test]
    fn text_that_is_no_utf_8_is_printed_all_the_same() {
        let rows = [vec![ValueRef::Integer(1), ValueRef::Text(b"a\xff,b")]];
        assert_eq!(printed(Format::Table, &["n", "t"], &rows), "n | t\n--+-----\n1 | a\u{fffd},b\n(1 row)\n");
        assert!(printed(Format::Json, &["n", "t"], &rows).contains("\"a\u{fffd},b\""));
        assert_eq!(bytes_of(Format::Csv, &["n", "t"], &rows), b"n,t\r\n1,\"a\xff,b\"\r\n");
    }
}
