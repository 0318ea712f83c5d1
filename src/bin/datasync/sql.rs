//! `datasync sql`: runs statements one after another and prints what they return.
//!
//! The rule it keeps: the rows of a statement are printed when it is over, so what a person has seen of a
//! commit is durable.

use std::io::{BufRead, IsTerminal, Write, stdin};

use datasync::db::Database;
use datasync::error::ErrorKind;
use datasync::volume::Options;
use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::args;
use crate::fail::{Code, Done, Failure};
use crate::script::Statements;
use crate::store::{NO_FOLDER, warn_of_damage};
use crate::table::{Format, Printer};
use crate::words::count;

/// What ends the input on a terminal.
const END_KEYS: &str = "Ctrl-D (on Windows Ctrl-Z, Enter)";

/// Runs the command.
pub fn run(args: &args::Sql, quiet: bool, out: &mut dyn Write) -> Done {
    let options = Options::new().create(args.create).read_only(args.read_only);
    let database = Database::open_with(&args.store, options).map_err(|error| {
        let next = match args.create {
            true => NO_FOLDER,
            false => "check the path, or say --create to make a store there",
        };
        Failure::from(error).when(ErrorKind::NotFound, Code::NoStore, next)
    })?;
    warn_of_damage(&database);
    let done = statements(args, &database, quiet, out).map_err(|failure| match args.read_only {
        true => failure.when(ErrorKind::ReadOnly, Code::Sql, "leave --read-only out to write"),
        false => failure,
    });
    // Closed whatever happened: what was committed is kept, and folded into base.db.
    let closed = database.close().map_err(Failure::from);
    done.and(closed)
}

fn statements(args: &args::Sql, database: &Database, quiet: bool, out: &mut dyn Write) -> Done {
    let connection = database.connection()?;
    let format = match (args.json, args.csv) {
        (true, _) => Format::Json,
        (_, true) => Format::Csv,
        _ => Format::Table,
    };
    let ran = match &args.sql {
        Some(sql) => script(&connection, sql.as_bytes(), false, format, out),
        None => {
            if stdin().is_terminal() && !quiet {
                eprintln!(
                    "SQL is read from the terminal: a statement ends with `;`, the script with {END_KEYS}"
                );
            }
            script(&connection, stdin().lock(), true, format, out)
        }
    };
    out.flush()?;
    let open = !connection.is_autocommit();
    ran?;
    if open {
        return Err(Failure::new(
            Code::Sql,
            "the script ended inside a transaction, which was rolled back",
            "end it with COMMIT",
        ));
    }
    let changed = connection.total_changes();
    if !quiet && changed > 0 {
        eprintln!("{} changed", count(changed, "row"));
    }
    Ok(())
}

fn script(
    connection: &Connection,
    input: impl BufRead,
    numbered: bool,
    format: Format,
    out: &mut dyn Write,
) -> Done {
    for statement in Statements::new(input) {
        let statement = statement?;
        one(connection, &statement.text, format, out).map_err(|failure| {
            if numbered { failure.within(&format!("line {}", statement.line)) } else { failure }
        })?;
        // A reader on the other end of a pipe sees each result at once.
        out.flush()?;
    }
    Ok(())
}

/// Runs one statement.
fn one(connection: &Connection, text: &str, format: Format, out: &mut dyn Write) -> Done {
    let mut prepared = connection.prepare(text)?;
    let columns: Vec<String> = prepared.column_names().map(str::to_owned).collect();
    let width = columns.len();
    let mut rows = prepared.query([])?;
    if width == 0 {
        while rows.next()?.is_some() {}
        return Ok(());
    }
    let mut printer = Printer::new(out, format, columns);
    while let Some(row) = rows.next()? {
        let values: Vec<ValueRef<'_>> = (0..width).map(|at| row.get_ref(at)).collect::<Result<_, _>>()?;
        printer.row(&values)?;
    }
    printer.finish()?;
    Ok(())
}
