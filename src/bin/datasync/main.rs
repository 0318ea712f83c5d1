//! The command line program.
//!
//! Results go to standard output, everything else to standard error. The rule every command keeps: what it
//! cannot do it says in one sentence with the next step, and it never changes what it was not asked to.

mod args;
mod fail;
mod log;
mod progress;
mod salvage;
mod script;
mod sql;
mod store;
mod table;
mod verify;
mod words;

use std::io::{BufWriter, Write, stdout};
use std::process::ExitCode;

use args::{Cli, Command};
use clap::Parser;
use fail::Done;

fn run(cli: &Cli, out: &mut dyn Write) -> Done {
    match &cli.command {
        Command::Import(args) => store::import(args, cli.quiet),
        Command::Export(args) => store::export(args, cli.quiet),
        Command::Sql(args) => sql::run(args, cli.quiet, out),
        Command::Verify(args) => verify::run(args, cli.quiet, out),
        Command::Stat(args) => store::stat(args, out),
        Command::Log(args) => log::run(args, out),
        Command::Compact(args) => store::compact(args, cli.quiet),
        Command::Salvage(args) => salvage::run(args, cli.quiet, out),
    }
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let mut out = BufWriter::new(stdout().lock());
    let done = run(&cli, &mut out);
    let done = done.and(out.flush().map_err(Into::into));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) if failure.is_closed_pipe() => ExitCode::SUCCESS,
        Err(failure) => {
            // What was printed before the failure belongs before it.
            let _ = out.flush();
            eprintln!("{failure}");
            ExitCode::from(failure.code() as u8)
        }
    }
}
