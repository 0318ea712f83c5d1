//! The project's own commands, `cargo xtask NAME`: one row each, one file each.
//!
//! A command takes the words after its name and returns a sentence when it fails. Nothing here depends on
//! the current folder: every path starts at the top of the repository.

mod bench;
mod bench_browser;
mod browser;
mod crash;
mod demo;
mod fuzz;
mod generate;
mod kill;
mod kill_browser;
mod ledger;
mod licences;
mod models;
mod mutants;
mod npm;
mod planted;
mod test;
mod tidy;
mod tour;
mod wasm;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// What runs a command; the error is a sentence for people.
type Run = fn(&[String]) -> Result<(), String>;

struct Command {
    name: &'static str,
    usage: &'static str,
    about: &'static str,
    run: Run,
}

/// Every command, under the heading that the help shows it with.
const COMMANDS: &[(&str, &[Command])] = &[
    (
        "see it",
        &[
            Command {
                name: "demo",
                usage: "[--port N] [--isolated] [--no-build]",
                about: "build everything and serve the page that shows it in your browser",
                run: demo::run,
            },
            Command {
                name: "tour",
                usage: "",
                about: "a tour on a real database, with a real crash in it",
                run: tour::run,
            },
            Command {
                name: "generate",
                usage: "PATH [--megabytes N] [--seed S]",
                about: "a plain SQLite database of that size, the same for the same seed",
                run: generate::run,
            },
        ],
    ),
    (
        "build it",
        &[
            Command {
                name: "wasm",
                usage: "",
                about: "the module for browsers: compiled, wrapped, made small, weighed against its budget",
                run: wasm::run,
            },
            Command {
                name: "npm",
                usage: "",
                about: "the npm package: js/dist, and the tarball target/web/datasync.tgz",
                run: npm::run,
            },
        ],
    ),
    (
        "check it",
        &[
            Command {
                name: "test",
                usage: "[STEP..] [--list]",
                about: "everything CI runs, in the same order; or only the steps named",
                run: test::run,
            },
            Command {
                name: "browser",
                usage: "[--in firefox] [WORD..]",
                about: "the backends' behaviour suite in a headless browser; or only tests with these words",
                run: browser::run,
            },
            Command {
                name: "tidy",
                usage: "",
                about: "the rules no compiler checks: arrows, sizes, who may use what, true documents",
                run: tidy::run,
            },
            Command {
                name: "licences",
                usage: "",
                about: "every dependency's licence against the list in deny.toml",
                run: licences::run,
            },
        ],
    ),
    (
        "hurt it",
        &[
            Command {
                name: "crash",
                usage: "[--depth K] [--double] [--seeds N] [--seed S] [--budget 5m] [--replay WORKLOAD] [--resume] \
                        [--record]",
                about: "cut the power of a simulated disk at every point; --resume goes on where the last run stopped",
                run: crash::run,
            },
            Command {
                name: "models",
                usage: "[--big]",
                about: "every state of the protocols' models, and every mistake planted in them",
                run: models::run,
            },
            Command {
                name: "planted",
                usage: "[--bug NAME] [--all] [--write]",
                about: "switch every deliberate bug on and see which suite notices; --all lets every suite try",
                run: planted::run,
            },
            Command {
                name: "mutants",
                usage: "[--file F].. [--shard K/N] [--budget 5m] [--survivors] [--again] [--sum] [--record]",
                about: "change the store's code in every small way and see which change no test notices; goes on where \
                        the last run stopped",
                run: mutants::run,
            },
            Command {
                name: "fuzz",
                usage: "[TARGET..] [--seconds N] [--record]",
                about: "a while of fuzzing of each target, with the nightly toolchain and cargo-fuzz",
                run: fuzz::run,
            },
            Command {
                name: "kill",
                usage: "--native [--release] | --browser chromium|firefox [--backend B].. [--side ID].. [--minutes N] \
                        [--cheat C] [--no-build] [--verbose]; both [--rounds N] [--seed S] [--scenario S] [--record]",
                about: "kill a real writer, or a whole browser, in mid-commit, again and again, and look what is left",
                run: kill::run,
            },
        ],
    ),
    (
        "measure it",
        &[Command {
            name: "bench",
            usage: "[--quick] [--json] [--runs N] [--commits N] [--dir DIR] [--large FILE] | --browser [--quick] \
                    [--json FILE] [--runs N] [--sides A,B] [--from-page] [--cold | --memory | --no-cold] [--verbose] \
                    [--no-build]",
            about: "commits beside SQLite's own WAL, opening, memory; --quick leaves the 1 GiB database out",
            run: bench::run,
        }],
    ),
];

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let Some((name, rest)) = words.split_first() else {
        print!("{}", help());
        return ExitCode::SUCCESS;
    };
    if ["help", "--help", "-h"].contains(&name.as_str()) {
        print!("{}", help());
        return ExitCode::SUCCESS;
    }
    let Some(command) = COMMANDS.iter().flat_map(|(_, commands)| *commands).find(|known| known.name == name)
    else {
        eprintln!("cargo xtask has no command `{name}`; without arguments it lists them all");
        return ExitCode::from(2);
    };
    if rest.iter().any(|word| word == "--help" || word == "-h") {
        println!("cargo xtask {} {}\n\n{}", command.name, command.usage, command.about);
        return ExitCode::SUCCESS;
    }
    match (command.run)(rest) {
        Ok(()) => ExitCode::SUCCESS,
        Err(sentence) => {
            eprintln!("\n{name}: {sentence}");
            ExitCode::FAILURE
        }
    }
}

fn help() -> String {
    let mut text = String::from("cargo xtask COMMAND        DataSync's own commands\n");
    for (heading, commands) in COMMANDS {
        text.push_str(&format!("\n  {heading}\n"));
        for command in *commands {
            text.push_str(&format!("    {:<10} {}\n", command.name, command.about));
            if !command.usage.is_empty() {
                text.push_str(&format!("    {:<10}   {}\n", "", command.usage));
            }
        }
    }
    text.push_str("\nNew here? `cargo xtask test` first, then README.md and ARCHITECTURE.md.\n");
    text
}

/// The top of the repository.
pub fn root() -> PathBuf {
    // Cargo says where we are being run; two checkouts that share a target folder would else mix themselves up.
    let ours = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or(env!("CARGO_MANIFEST_DIR").into());
    Path::new(&ours).parent().expect("xtask lies in the repository").to_owned()
}

/// Where cargo builds to.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or(root().join("target"), |folder| root().join(folder))
}

/// The cargo that runs us.
pub fn cargo() -> std::process::Command {
    let mut command = std::process::Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    command.current_dir(root());
    command
}
