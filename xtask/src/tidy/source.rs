//! One Rust file as the rules see it: its text, and its text without comments and strings.
//!
//! A small lexer, not a parser: it knows comments, strings, characters and braces, which is all that the
//! rules ask about. `code` has the same bytes at the same places as `text`, except that everything a
//! compiler would skip or keep as data is blank, so a word found in `code` is a word of the program.

use std::ops::Range;

/// A Rust source file, read once and asked by every rule.
pub struct Source {
    /// Path from the top of the repository, with `/`.
    pub path: String,
    /// The file as it is.
    pub text: String,
    /// The same length, comments and literals blanked.
    pub code: String,
    /// Byte ranges that only tests compile.
    test_ranges: Vec<Range<usize>>,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Self {
        let code = blank(text);
        let test_ranges = test_ranges(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, test_ranges }
    }

    /// Whether the whole file belongs to tests.
    pub fn is_test_file(&self) -> bool {
        let in_test_folder = ["tests/", "benches/", "fuzz/"]
            .iter()
            .any(|folder| self.path.starts_with(folder) || self.path.contains(&format!("/{folder}")));
        in_test_folder || self.path.ends_with("/tests.rs")
    }

    /// Whether the byte at `at` is compiled for tests only.
    pub fn in_test(&self, at: usize) -> bool {
        self.is_test_file() || self.test_ranges.iter().any(|range| range.contains(&at))
    }

    /// Line number of the byte at `at`, from 1.
    pub fn line_of(&self, at: usize) -> usize {
        self.text.as_bytes()[..at].iter().filter(|&&byte| byte == b'\n').count() + 1
    }

    /// Every place where `word` stands in the program as a word of its own.
    pub fn words<'a>(&'a self, word: &'a str) -> impl Iterator<Item = usize> + 'a {
        self.code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
            let before = self.code[..at].bytes().next_back();
            let after = self.code[at + word.len()..].bytes().next();
            let starts = !is_word(word.as_bytes()[0]) || !before.is_some_and(is_word);
            let ends = !is_word(word.as_bytes()[word.len() - 1]) || !after.is_some_and(is_word);
            starts && ends
        })
    }

    /// Every function with a body: its name and the bytes from `fn` to the closing brace.
    pub fn functions(&self) -> Vec<(String, Range<usize>)> {
        let mut found = Vec::new();
        for at in self.words("fn") {
            let rest = self.code[at + 2..].trim_start();
            let name: String = rest.bytes().take_while(|&byte| is_word(byte)).map(char::from).collect();
            if name.is_empty() {
                continue; // A function pointer type.
            }
            if let Some(open) = body(&self.code, at) {
                found.push((name, at..closing(&self.code, open)));
            }
        }
        found
    }
}

/// Whether `byte` can be part of an identifier.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// The byte after the bracket that closes the one at `open`; the end of the text if none does.
pub fn closing(code: &str, open: usize) -> usize {
    let (up, down) = match code.as_bytes()[open] {
        b'(' => (b'(', b')'),
        b'[' => (b'[', b']'),
        _ => (b'{', b'}'),
    };
    let mut depth = 0_usize;
    for (at, byte) in code.bytes().enumerate().skip(open) {
        if byte == up {
            depth += 1;
        } else if byte == down {
            depth -= 1;
            if depth == 0 {
                return at + 1;
            }
        }
    }
    code.len()
}

/// Where the braces of the item at `from` open; `None` when it ends in a semicolon instead.
fn body(code: &str, from: usize) -> Option<usize> {
    let mut at = from;
    while let Some(byte) = code.as_bytes().get(at) {
        match byte {
            b'(' | b'[' => at = closing(code, at),
            b'{' => return Some(at),
            b';' => return None,
            _ => at += 1,
        }
    }
    None
}

/// The items under `#[test]` and under a `#[cfg(..)]` that names `test` without `not`.
fn test_ranges(code: &str) -> Vec<Range<usize>> {
    let mut ranges = Vec::new();
    for (at, _) in code.match_indices("#[") {
        let end = closing(code, at + 1);
        let attribute = code[at + 2..end - 1].trim();
        let inside = attribute.strip_prefix("cfg").unwrap_or("");
        let names_test =
            inside.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == "test");
        if attribute != "test" && (!names_test || inside.contains("not(")) {
            continue;
        }
        ranges.push(at..body(code, end).map_or(end, |open| closing(code, open)));
    }
    ranges
}

/// `text` with comments, strings and characters turned into spaces; newlines stay.
fn blank(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out: Vec<u8> = bytes.iter().map(|&byte| if byte.is_ascii() { byte } else { b' ' }).collect();
    let mut at = 0;
    while at < bytes.len() {
        let previous = at.checked_sub(1).map(|before| bytes[before]);
        let skip = match bytes[at] {
            b'/' if bytes[at..].starts_with(b"//") => line_comment(&bytes[at..]),
            b'/' if bytes[at..].starts_with(b"/*") => block_comment(&bytes[at..]),
            b'r' | b'b' | b'c' if !previous.is_some_and(is_word) => prefixed_string(&bytes[at..]),
            b'"' => string(&bytes[at..]),
            b'\'' => character(&bytes[at..]),
            _ => 0,
        };
        let end = (at + skip).min(bytes.len());
        out[at..end].iter_mut().filter(|byte| **byte != b'\n').for_each(|byte| *byte = b' ');
        at = end.max(at + 1);
    }
    String::from_utf8(out).expect("every byte was made ASCII")
}

fn line_comment(rest: &[u8]) -> usize {
    rest.iter().position(|&byte| byte == b'\n').unwrap_or(rest.len())
}

fn block_comment(rest: &[u8]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if rest[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

fn string(rest: &[u8]) -> usize {
    let mut at = 1;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// `b".."`, `c".."`, `r".."`, `br#".."#`; 0 when it is only an identifier that starts with that letter.
fn prefixed_string(rest: &[u8]) -> usize {
    let letters = rest.iter().take(2).take_while(|byte| b"rbc".contains(byte)).count();
    let hashes = rest[letters..].iter().take_while(|&&byte| byte == b'#').count();
    let quote = letters + hashes;
    match rest.get(quote) {
        Some(b'"') if rest[..letters].contains(&b'r') => {
            let mut end = vec![b'"'];
            end.resize(hashes + 1, b'#');
            let body = &rest[quote + 1..];
            let length = body.windows(end.len()).position(|window| window == end);
            length.map_or(rest.len(), |length| quote + 1 + length + end.len())
        }
        Some(b'"') if hashes == 0 => letters + string(&rest[letters..]),
        Some(b'\'') if rest[..letters] == *b"b" => 1 + character(&rest[1..]),
        _ => 0,
    }
}

/// A character literal; 0 for a lifetime.
fn character(rest: &[u8]) -> usize {
    match rest.get(1) {
        Some(b'\\') => {
            rest[2..].iter().skip(1).position(|&byte| byte == b'\'').map_or(rest.len(), |end| end + 4)
        }
        Some(first) => {
            let width = match first {
                0..0x80 => 1,
                0x80..0xe0 => 2,
                0xe0..0xf0 => 3,
                _ => 4,
            };
            if rest.get(1 + width) == Some(&b'\'') { width + 2 } else { 0 }
        }
        None => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_not_code() {
        let text = concat!(
            "let a = \"unsafe\"; // unsafe\n/* unsafe /* x */ unsafe */ ",
            "let b = r#\"un\"safe\"#; 'x'; b'\\''; '\\n'; f::<'a>();",
        );
        let code = blank(text);
        assert_eq!(code.len(), text.len());
        assert!(!code.contains("safe"), "{code}");
        assert!(code.contains("let b =") && code.contains("<'a>()"), "{code}");
    }

    #[test]
    fn items_of_tests_are_told_from_the_program() {
        let source = Source::new(
            "src/a.rs",
            concat!(
                "fn run() { x }\n#[cfg(all(test, feature = \"sim\"))]\nmod tests { fn y() {} }\n",
                "#[cfg(not(test))]\nfn z() {}",
            ),
        );
        assert!(!source.in_test(source.text.find("run").unwrap()));
        assert!(source.in_test(source.text.find("fn y").unwrap()));
        assert!(!source.in_test(source.text.find("fn z").unwrap()));
    }

    #[test]
    fn functions_end_at_their_own_brace() {
        let source = Source::new(
            "src/a.rs",
            "fn a() { if x { \"}\" } }\ntrait T { fn b() -> [u8; 4]; }\nfn c(f: fn(u8)) -> [u8; 4] {\n}\n",
        );
        let found: Vec<_> = source
            .functions()
            .into_iter()
            .map(|(name, range)| (name, source.text[range].to_owned()))
            .collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0], ("a".to_owned(), "fn a() { if x { \"}\" } }".to_owned()));
        assert_eq!(found[1].0, "c");
    }
}
