//! Rows for people: aligned columns, numbers to the right. Also JSON and CSV of the same rows.
//!
//! Holds at most [`WINDOW`] rows at a time, so that any result can be printed in bounded memory; a column
//! may grow wider from one window to the next.

use std::io::{self, Write};

use rusqlite::types::Value;
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
    pub fn row(&mut self, values: &[Value]) -> io::Result<()> {
        self.rows += 1;
        match self.format {
            Format::Json => self.json_row(values),
            Format::Csv => self.csv_row(values),
            Format::Table => {
                let cells: Vec<Cell> = values.iter().map(cell).collect();
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

    fn json_row(&mut self, values: &[Value]) -> io::Result<()> {
        self.out.write_all(if self.rows == 1 { b"[\n  {" } else { b",\n  {" })?;
        for (at, (name, value)) in self.columns.iter().zip(values).enumerate() {
            if at > 0 {
                self.out.write_all(b", ")?;
            }
            serde_json::to_writer(&mut self.out, name)?;
            self.out.write_all(b": ")?;
            serde_json::to_writer(&mut self.out, &json(value))?;
        }
        self.out.write_all(b"}")
    }

    fn csv_header(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.header_printed, true) {
            return Ok(());
        }
        let names: Vec<String> = self.columns.iter().map(|name| csv_field(name)).collect();
        write!(self.out, "{}\r\n", names.join(","))
    }

    fn csv_row(&mut self, values: &[Value]) -> io::Result<()> {
        self.csv_header()?;
        let fields: Vec<String> = values
            .iter()
            .map(|value| match value {
                Value::Null => String::new(),
                Value::Text(text) => csv_field(text),
                other => cell(other).text,
            })
            .collect();
        write!(self.out, "{}\r\n", fields.join(","))
    }
}

/// JSON has no blobs: they stand as hexadecimal text. A real that JSON cannot say is null.
fn json(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Integer(number) => (*number).into(),
        Value::Real(number) => (*number).into(),
        Value::Text(text) => text.as_str().into(),
        Value::Blob(bytes) => hex(bytes).into(),
    }
}

fn cell(value: &Value) -> Cell {
    match value {
        Value::Null => Cell { text: "NULL".to_owned(), number: false },
        Value::Integer(number) => Cell { text: number.to_string(), number: true },
        Value::Real(number) => Cell { text: format!("{number:?}"), number: true },
        Value::Text(text) => Cell { text: one_line(text), number: false },
        Value::Blob(bytes) => Cell { text: format!("x'{}'", hex(bytes)), number: false },
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

fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn printed(format: Format, columns: &[&str], rows: &[Vec<Value>]) -> String {
        let mut out = Vec::new();
        let mut printer =
            Printer::new(&mut out, format, columns.iter().map(|name| (*name).to_owned()).collect());
        for row in rows {
            printer.row(row).unwrap();
        }
        printer.finish().unwrap();
        String::from_utf8(out).unwrap()
    }

    fn rows() -> Vec<Vec<Value>> {
        vec![
            vec![Value::Integer(7), Value::Text("a\nb, \u{4e2d}".into()), Value::Null],
            vec![Value::Real(1.0), Value::Text("say \"x\"".into()), Value::Blob(vec![0, 255])],
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
}
