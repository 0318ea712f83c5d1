//! What is allowed where. To change a rule of the tree, change a row here and say why beside it.

/// Longest Rust file, in lines.
pub const FILE_LINES_MAX: usize = 500;
/// Longest function outside tests, in lines.
pub const FUNCTION_LINES_MAX: usize = 70;
/// Longest line of a Rust file, in characters. rustfmt breaks code at 110; comments and sentences in strings,
/// which it leaves alone, get a little more.
pub const WIDTH_MAX: usize = 120;

/// Longest documents, in lines: words are a cost. The first row whose prefix fits counts.
pub const DOCUMENT_LINES_MAX: &[(&str, usize)] = &[
    ("README.md", 200),
    ("ARCHITECTURE.md", 300),
    ("CONTRIBUTING.md", 200),
    ("docs/format.md", 250),
    ("docs/guarantees.md", 150),
    ("docs/mutants.md", 150),
    ("docs/decisions/", 60),
];

/// The arrows between modules: each row's module may name the modules at its right, and itself.
/// Tests may name anything.
pub const ARROWS: &[(&str, &[&str])] = &[
    ("block", &[]),
    ("error", &["block"]),
    ("planted", &[]),
    ("format", &["block", "error", "planted"]),
    ("log", &["block", "error", "planted", "format"]),
    ("store", &["block", "error", "planted", "format", "log"]),
    ("backend", &["block", "error", "planted", "log"]),
    ("volume", &["block", "error", "planted", "format", "log", "store", "backend"]),
    // format: the name of a checksum, which is an option of a volume.
    ("vfs", &["block", "error", "planted", "format", "volume", "backend"]),
    ("db", &["block", "error", "planted", "volume", "backend", "vfs"]),
];

/// A word that may stand only in some files, with the reason that a reader is given.
pub struct Owned {
    pub word: &'static str,
    pub owners: &'static [&'static str],
    pub reason: &'static str,
}

/// Who owns what. Owners are path prefixes; tests may use anything but `unsafe`.
pub const OWNED: &[Owned] = &[
    Owned {
        word: "unsafe",
        owners: &["src/vfs/ffi", "extension/src/", "wasm/src/raw"],
        reason: "unsafe code stands in the SQLite shim and at the thinnest platform edges only",
    },
    Owned {
        word: "std::fs",
        owners: &[
            "src/backend/file",
            "src/vfs/place.rs",
            "src/bin/",
            "examples/",
            "benches/",
            "models/",
            "xtask/",
        ],
        reason: "files belong to the file backend, and where they are to the native `place`",
    },
    Owned {
        word: "Instant::now",
        owners: &["src/volume/", "src/bin/", "examples/", "benches/", "models/", "xtask/"],
        reason: "the clock is an argument; the volume reads it once",
    },
    Owned {
        word: "SystemTime::now",
        owners: &["src/volume/", "src/bin/", "examples/", "benches/", "models/", "xtask/"],
        reason: "the clock is an argument; the volume reads it once",
    },
    Owned {
        word: "thread::spawn",
        owners: &["src/volume/", "xtask/"],
        reason: "threads belong to the volume",
    },
    Owned {
        word: "thread::sleep",
        owners: &["src/vfs/place.rs", "src/bin/", "examples/", "benches/", "models/", "xtask/"],
        reason: "wait for a condition, not for time",
    },
    Owned {
        word: "println!",
        owners: &["src/bin/", "examples/", "benches/", "models/", "xtask/"],
        reason: "a library is silent",
    },
    Owned {
        word: "eprintln!",
        owners: &["src/bin/", "examples/", "benches/", "models/", "xtask/"],
        reason: "a library is silent",
    },
];

/// Words that stand nowhere in the program. Each with what to do instead.
pub const BANNED: &[(&str, &str)] = &[
    ("dbg!", "a leftover of debugging"),
    ("todo!", "main has no unfinished code: return a typed error"),
    ("unimplemented!", "main has no unfinished code: return a typed error"),
    ("#[allow(", "write #[expect(lint, reason = \"..\")]: it goes when its cause goes"),
    ("#![allow(", "write #![expect(lint, reason = \"..\")]: it goes when its cause goes"),
    ("#[ignore]", "a test that does not run proves nothing: give the reason, or run it"),
    ("#[should_panic", "say which panic: catch it and look at its message"),
];

/// Hosts that a file of the repository may link to.
pub const HOSTS: &[&str] = &[
    "github.com",
    "crates.io",
    "docs.rs",
    "doc.rust-lang.org",
    "www.apache.org",
    "www.sqlite.org",
    "sqlite.org",
    "rustsec.org",
    "keepachangelog.com",
    "semver.org",
    // The name of a namespace, which every SVG file must carry.
    "www.w3.org",
];
