//! `cargo xtask demo`: builds the package and serves the page that shows it.
//!
//! The page is `demo/`, served as it is written; the package is what `cargo xtask npm` made, under
//! `/datasync/`. The rule kept here: the page gets nothing that a user of the package would not have.

use std::time::Duration;

use crate::serve::Site;

/// The port unless another is asked for: part of the origin, so the page's databases stay with it.
const PORT: u16 = 8471;

struct Options {
    port: u16,
    isolated: bool,
    build: bool,
}

/// Builds, serves, prints the address, and stays.
///
/// # Errors
/// A sentence when the build fails or the port is taken.
pub fn run(args: &[String]) -> Result<(), String> {
    let options = Options::read(args)?;
    if options.build {
        crate::npm::run(&[])?;
    }
    let address = site()?.isolated(options.isolated).listen(options.port)?;
    println!("http://localhost:{}/", address.port());
    println!("The page runs DataSync in this browser, and only there. Ctrl+C ends the server.");
    if options.isolated {
        println!("Served with COOP and COEP: the page is cross-origin isolated.");
    }
    loop {
        std::thread::sleep(Duration::from_secs(3600));
    }
}

/// The page and the package.
fn site() -> Result<Site, String> {
    let package = crate::root().join("js").join("dist");
    if !package.is_dir() {
        return Err(format!("{} is not there: run without --no-build", package.display()));
    }
    Ok(Site::new().mount("/", crate::root().join("demo")).mount("/datasync/", package))
}

impl Options {
    fn read(args: &[String]) -> Result<Self, String> {
        let mut options = Self { port: PORT, isolated: false, build: true };
        let mut words = args.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "--isolated" => options.isolated = true,
                "--no-build" => options.build = false,
                "--port" => {
                    let number = words.next().and_then(|number| number.parse().ok());
                    options.port = number.ok_or("--port wants a number up to 65535")?;
                }
                other => return Err(format!("`{other}` is unknown; cargo xtask demo --help")),
            }
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Result<(u16, bool, bool), &str>) {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        let read = Options::read(&words).map(|options| (options.port, options.isolated, options.build));
        match (read, expected) {
            (Err(sentence), Err(part)) => assert!(sentence.contains(part), "{line}: {sentence}"),
            (read, expected) => assert_eq!(read, expected.map_err(str::to_owned), "{line}"),
        }
    }

    #[test]
    fn options_are_read_and_slips_are_named() {
        check("", Ok((PORT, false, true)));
        check("--isolated --port 0 --no-build", Ok((0, true, false)));
        check("--port many", Err("--port wants a number"));
        check("--prot 80", Err("`--prot` is unknown"));
    }
}
