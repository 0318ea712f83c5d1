//! A small web server for pages of this project: folders under prefixes, on the loopback address only.
//!
//! It knows GET and HEAD, the types of the files a page is made of, and the two headers of an isolated
//! page. It must not know what it serves. The rule kept here: nothing outside the mounted folders is ever
//! sent, and nothing is cached, so that what was just built is what a browser runs.

use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Longest line and most lines of a request that is read: more is refused.
const LINE_BYTES_MAX: u64 = 8 << 10;
const LINES_MAX: usize = 100;
/// How long a connection may say nothing.
const SILENCE: Duration = Duration::from_secs(30);

/// The type of each kind of file, by what its name ends with.
const TYPES: &[(&str, &str)] = &[
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("mjs", "text/javascript; charset=utf-8"),
    ("ts", "text/plain; charset=utf-8"),
    ("json", "application/json"),
    ("map", "application/json"),
    ("wasm", "application/wasm"),
    ("svg", "image/svg+xml"),
    ("png", "image/png"),
    ("ico", "image/x-icon"),
    ("sql", "text/plain; charset=utf-8"),
    ("md", "text/plain; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("db", "application/vnd.sqlite3"),
];

/// What makes a page cross-origin isolated. DataSync needs neither; they are served to show that it runs
/// with them as well.
const ISOLATION: &str = "Cross-Origin-Opener-Policy: same-origin\r\n\
    Cross-Origin-Embedder-Policy: require-corp\r\n";

/// Folders under prefixes.
#[derive(Clone, Debug, Default)]
pub struct Site {
    /// Longest prefix first.
    mounts: Vec<(String, PathBuf)>,
    isolated: bool,
}

impl Site {
    /// A site without a page.
    pub fn new() -> Self {
        Self::default()
    }

    /// Serves `folder` under `prefix`, which begins and ends with `/`.
    pub fn mount(mut self, prefix: &str, folder: impl Into<PathBuf>) -> Self {
        assert!(prefix.starts_with('/') && prefix.ends_with('/'), "{prefix} begins and ends with /");
        self.mounts.push((prefix.to_owned(), folder.into()));
        self.mounts.sort_by_key(|(prefix, _)| std::cmp::Reverse(prefix.len()));
        self
    }

    /// Whether to send the headers of an isolated page (COOP and COEP).
    pub fn isolated(mut self, isolated: bool) -> Self {
        self.isolated = isolated;
        self
    }

    /// Serves until the process ends; returns where, at once. Port 0 takes any that is free.
    ///
    /// # Errors
    /// A sentence when the port is taken.
    pub fn listen(self, port: u16) -> Result<SocketAddr, String> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port))
            .map_err(|error| format!("cannot listen on port {port}: {error}; choose another with --port"))?;
        let address = listener.local_addr().map_err(|error| format!("the port has no number: {error}"))?;
        let site = Arc::new(self);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let site = Arc::clone(&site);
                // A browser that goes away in the middle is no event.
                std::thread::spawn(move || drop(site.converse(&stream)));
            }
        });
        Ok(address)
    }

    /// Answers request after request of one connection.
    fn converse(&self, stream: &TcpStream) -> io::Result<()> {
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream);
        let mut writer = stream;
        while let Some((method, target)) = read_request(&mut reader)? {
            self.answer(&method, &target, &mut writer)?;
        }
        Ok(())
    }

    fn answer(&self, method: &str, target: &str, out: &mut impl Write) -> io::Result<()> {
        if method != "GET" && method != "HEAD" {
            return self.send(out, "405 Method Not Allowed", "text/plain", b"only GET and HEAD\n", true);
        }
        let found = self.find(target).and_then(|path| Some((fs::read(&path).ok()?, path)));
        match found {
            Some((bytes, path)) => self.send(out, "200 OK", type_of(&path), &bytes, method == "GET"),
            None => {
                let sentence = format!("there is no {target} here\n");
                self.send(out, "404 Not Found", "text/plain", sentence.as_bytes(), method == "GET")
            }
        }
    }

    fn send(
        &self,
        out: &mut impl Write,
        status: &str,
        kind: &str,
        body: &[u8],
        with_body: bool,
    ) -> io::Result<()> {
        let isolation = if self.isolated { ISOLATION } else { "" };
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\n\
             X-Content-Type-Options: nosniff\r\nCross-Origin-Resource-Policy: same-origin\r\n{isolation}\r\n",
            body.len()
        );
        out.write_all(head.as_bytes())?;
        if with_body {
            out.write_all(body)?;
        }
        out.flush()
    }

    /// The file that `target` names; a folder's is its `index.html`.
    fn find(&self, target: &str) -> Option<PathBuf> {
        let path = target.split(['?', '#']).next()?;
        let path = decode(path)?;
        let (prefix, folder) = self.mounts.iter().find(|(prefix, _)| path.starts_with(prefix))?;
        let mut file = folder.clone();
        for part in path[prefix.len()..].split('/').filter(|part| !part.is_empty()) {
            // One plain name each: neither `..`, nor a hidden file, nor a second separator or a drive.
            if part.starts_with('.') || part.contains(['\\', ':', '\0']) {
                return None;
            }
            file.push(part);
        }
        if file.is_dir() { Some(file.join("index.html")) } else { Some(file) }
    }
}

/// Reads a request up to its empty line: method and target. `None` when the connection is over.
fn read_request(reader: &mut impl BufRead) -> io::Result<Option<(String, String)>> {
    let mut first = String::new();
    for _ in 0..LINES_MAX {
        let mut line = String::new();
        let read = reader.by_ref().take(LINE_BYTES_MAX).read_line(&mut line)?;
        if read == 0 || !line.ends_with('\n') {
            return Ok(None);
        }
        let line = line.trim_end();
        if first.is_empty() {
            line.clone_into(&mut first);
        } else if line.is_empty() {
            let mut words = first.split(' ');
            return Ok(words.next().zip(words.next()).map(|(method, target)| (method.into(), target.into())));
        }
    }
    Ok(None)
}

/// Undoes `%20` and the like; `None` for what is not UTF-8 or no escape.
fn decode(path: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digits = std::str::from_utf8(rest.get(..2)?).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

fn type_of(path: &Path) -> &'static str {
    let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
    let known = TYPES.iter().find(|(known, _)| known.eq_ignore_ascii_case(ending));
    known.map_or("application/octet-stream", |(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with a page, a module and a secret beside it.
    fn folder(name: &str) -> PathBuf {
        let folder = crate::target().join(format!("xtask-serve-{}-{name}", std::process::id()));
        fs::create_dir_all(folder.join("site/sub")).unwrap();
        fs::write(folder.join("site/index.html"), "<p>page</p>").unwrap();
        fs::write(folder.join("site/sub/a b.wasm"), [0, b'a', b's', b'm']).unwrap();
        fs::write(folder.join("site/.hidden"), "no").unwrap();
        fs::write(folder.join("secret.txt"), "no").unwrap();
        folder
    }

    /// The answers to all of `requests`, sent over one connection.
    fn ask(address: SocketAddr, requests: &[&str]) -> String {
        let mut stream = TcpStream::connect(address).unwrap();
        let text: String =
            requests.iter().map(|line| format!("{line} HTTP/1.1\r\nHost: x\r\n\r\n")).collect();
        stream.write_all(text.as_bytes()).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8_lossy(&answer).into_owned()
    }

    #[test]
    fn pages_and_modules_are_served_with_their_types() {
        let folder = folder("types");
        let site = Site::new().mount("/", folder.join("site")).mount("/more/", folder.join("site/sub"));
        let address = site.listen(0).unwrap();
        let page = ask(address, &["GET /?query=1"]);
        let module = ask(address, &["GET /sub/a%20b.wasm"]);
        let mounted = ask(address, &["HEAD /more/a%20b.wasm", "GET /"]);
        fs::remove_dir_all(folder).unwrap();
        assert!(page.starts_with("HTTP/1.1 200") && page.ends_with("<p>page</p>"), "{page}");
        assert!(page.contains("text/html") && !page.contains("Embedder-Policy"), "{page}");
        assert!(module.contains("Content-Type: application/wasm") && module.ends_with("\0asm"), "{module}");
        assert_eq!(mounted.matches("HTTP/1.1 200").count(), 2, "one connection, two answers: {mounted}");
        assert!(!mounted.contains("\0asm"), "HEAD has no body: {mounted}");
    }

    #[test]
    fn nothing_outside_the_mounted_folder_is_sent() {
        let folder = folder("outside");
        let address = Site::new().mount("/", folder.join("site")).listen(0).unwrap();
        let targets = [
            "/../secret.txt",
            "/%2e%2e/secret.txt",
            "/sub/..%2f..%2fsecret.txt",
            "/.hidden",
            "/%zz",
            "/absent",
        ];
        let answers: Vec<_> = targets.map(|target| ask(address, &[&format!("GET {target}")])).into();
        let posted = ask(address, &["POST /"]);
        fs::remove_dir_all(folder).unwrap();
        assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 404")), "{answers:?}");
        assert!(posted.starts_with("HTTP/1.1 405"), "{posted}");
    }

    #[test]
    fn an_isolated_site_says_so() {
        let folder = folder("isolated");
        let address = Site::new().mount("/", folder.join("site")).isolated(true).listen(0).unwrap();
        let page = ask(address, &["GET /"]);
        fs::remove_dir_all(folder).unwrap();
        assert!(page.contains("Cross-Origin-Opener-Policy: same-origin\r\n"), "{page}");
        assert!(page.contains("Cross-Origin-Embedder-Policy: require-corp\r\n"), "{page}");
    }
}
