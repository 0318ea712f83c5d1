//! `cargo xtask wasm`: the module for browsers, as the npm package ships it.
//!
//! cargo builds it, wasm-bindgen writes the JavaScript around it, wasm-opt makes it smaller; then it is weighed.
//! What was made from the same bytes before is not made again. Other commands get their cargo for this target
//! from [`cargo`].

mod toolchain;

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{root, target};
pub use toolchain::{TARGET, cargo};

/// What the module may weigh when it travels, in bytes of gzip (docs/decisions/0014-what-the-browser-module-weighs.md).
const BUDGET_GZIP: u64 = 620 << 10;

/// wasm-opt's passes. LLVM has made the code small; these take out what is there twice, and put functions that
/// look alike beside each other, where compression finds them (5 % of gzip; `-Oz` would cost 2 %). The features
/// are those that suspending exports need; asking for all of them makes modules that no engine takes.
const OPTIMIZE: &[&str] = &[
    "--enable-exception-handling",
    "--enable-reference-types",
    "--enable-multivalue",
    "--enable-bulk-memory",
    "--enable-bulk-memory-opt",
    "--enable-sign-ext",
    "--enable-mutable-globals",
    "--enable-nontrapping-float-to-int",
    "--duplicate-function-elimination",
    "--remove-unused-module-elements",
    "--simplify-locals-nostructure",
    "--coalesce-locals",
    "--merge-blocks",
    "--vacuum",
    "--reorder-locals",
    "--reorder-functions-by-name",
    "--strip-debug",
    "--strip-producers",
];

const NAME: &str = "datasync";

pub fn run(words: &[String]) -> Result<(), String> {
    if let Some(word) = words.first() {
        return Err(format!("`{word}` is not known; this command takes nothing"));
    }
    build().map(drop)
}

/// The folder with the finished module in it.
pub fn build() -> Result<PathBuf, String> {
    let module = compile()?;
    let package = target().join("web/pkg");
    let finished = package.join(format!("{NAME}_bg.wasm"));
    let stamp = target().join("web/stamp");
    let key = key(&module)?;
    if finished.is_file() && std::fs::read_to_string(&stamp).is_ok_and(|last| last == key) {
        println!("{} is up to date", shown(&package));
    } else {
        let work = target().join("web/work");
        bindgen(&module, &work, NAME)?;
        optimize(&work.join(format!("{NAME}_bg.wasm")))?;
        replace(&work, &package)?;
        std::fs::write(&stamp, key).map_err(|error| format!("{}: {error}", stamp.display()))?;
    }
    weigh(&finished)?;
    Ok(package)
}

/// Everything that the finished module follows from.
fn key(module: &Path) -> Result<String, String> {
    let mut hasher = DefaultHasher::new();
    for input in
        [module.to_owned(), root().join("xtask/bindgen/Cargo.lock"), root().join("js/package-lock.json")]
    {
        std::fs::read(&input).map_err(|error| format!("{}: {error}", input.display()))?.hash(&mut hasher);
    }
    OPTIMIZE.hash(&mut hasher);
    Ok(format!("{:016x}", hasher.finish()))
}

fn compile() -> Result<PathBuf, String> {
    succeed(crate_cargo("build")?.arg("--quiet"), "the module does not compile")?;
    Ok(target().join("web/cargo").join(TARGET).join("release/datasync_web.wasm"))
}

/// A cargo that does `verb` to the crate of the module, as it ships.
///
/// # Errors
/// As [`cargo`].
pub fn crate_cargo(verb: &str) -> Result<Command, String> {
    let mut command = cargo()?;
    command.current_dir(root().join("wasm")).env("CARGO_TARGET_DIR", target().join("web/cargo"));
    command.args([verb, "--locked", "--release", "--target", TARGET]);
    // Sentences of broken invariants name their file: as it stands in the repository, wherever that is.
    let mut flags = format!("--remap-path-prefix={}=datasync", root().display());
    if let Some(home) = cargo_home() {
        flags.push_str(&format!("\u{1f}--remap-path-prefix={}=crates", home.join("registry/src").display()));
    }
    command.env("CARGO_ENCODED_RUSTFLAGS", flags);
    Ok(command)
}

fn cargo_home() -> Option<PathBuf> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
}

/// Writes the JavaScript around a module: `NAME.js`, `NAME_bg.wasm` and their types.
///
/// # Errors
/// A sentence that says what does not compile, or that the module was refused.
pub fn bindgen(module: &Path, into: &Path, name: &str) -> Result<(), String> {
    let folder = target().join("web/bindgen");
    let mut build = crate::cargo();
    build.current_dir(root().join("xtask/bindgen")).env("CARGO_TARGET_DIR", &folder);
    build.args(["build", "--quiet", "--locked", "--release"]);
    succeed(&mut build, "wasm-bindgen does not compile")?;
    let program = folder.join("release").join(format!("datasync-bindgen{}", std::env::consts::EXE_SUFFIX));
    let mut run = Command::new(program);
    succeed(run.arg(module).arg(into).arg(name), "wasm-bindgen refused the module")
}

fn optimize(module: &Path) -> Result<(), String> {
    let js = root().join("js");
    let wasm_opt = js.join("node_modules/binaryen/bin/wasm-opt");
    crate::npm::install(&js)?;
    let mut run = Command::new("node");
    run.arg(&wasm_opt).args(OPTIMIZE).arg(module).arg("-o").arg(module);
    succeed(&mut run, "wasm-opt refused the module")
}

/// Puts the finished files where they are looked for.
fn replace(work: &Path, package: &Path) -> Result<(), String> {
    let trouble = |error: std::io::Error| format!("{}: {error}", package.display());
    std::fs::create_dir_all(package).map_err(trouble)?;
    for entry in std::fs::read_dir(work).map_err(trouble)? {
        let entry = entry.map_err(trouble)?;
        if entry.path().is_file() {
            std::fs::copy(entry.path(), package.join(entry.file_name())).map_err(trouble)?;
        }
    }
    Ok(())
}

/// Prints what the module weighs.
fn weigh(module: &Path) -> Result<(), String> {
    let script = "const z = require('zlib'), b = require('fs').readFileSync(process.argv[1]);\
                  console.log(b.length, z.gzipSync(b, { level: 9 }).length, z.brotliCompressSync(b).length)";
    let output = Command::new("node").args(["-e", script]).arg(module).output();
    let output = output.map_err(|error| format!("node, which weighs the module: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let numbers: Vec<u64> = text.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [raw, gzip, brotli] = numbers.as_slice() else {
        return Err(format!("{} could not be weighed", module.display()));
    };
    let kib = |bytes: u64| format!("{:.1} KiB", bytes as f64 / 1024.0);
    println!(
        "{}: {} raw, {} gzip (budget {}), {} brotli",
        shown(module),
        kib(*raw),
        kib(*gzip),
        kib(BUDGET_GZIP),
        kib(*brotli)
    );
    if *gzip > BUDGET_GZIP {
        return Err(format!("the module is over its budget by {} of gzip", kib(gzip - BUDGET_GZIP)));
    }
    Ok(())
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// Runs a command to its end; the sentence says what it means if it fails.
///
/// # Errors
/// The sentence, with how the program ended.
pub fn succeed(command: &mut Command, sentence: &str) -> Result<(), String> {
    let program = command.get_program().to_string_lossy().into_owned();
    match command.status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{sentence} ({program}: {status})")),
        Err(error) => Err(format!("{sentence}: {program} did not start: {error}")),
    }
}
