//! Names: of databases as directories, of areas as files.
//!
//! Must not know: handles. The rule it keeps: two databases never share a directory, and every directory
//! name leads back to the one database name it came from.

use crate::block::SegmentId;
use crate::error::{ErrorKind, Result, fail};
use crate::log::plan::Area;

/// The directory that holds one directory per database.
pub(super) const HOME: &str = "datasync";

/// Longest name of a database in bytes.
const NAME_BYTES_MAX: usize = 200;

/// The directory name of a database: what `encodeURIComponent` makes of its name.
///
/// # Errors
/// `Misuse` for a name that is empty, `.`, `..`, longer than 200 bytes or has a slash in it.
pub fn directory_of(name: &str) -> Result<String> {
    let wrong = if name.is_empty() {
        "is empty"
    } else if name == "." || name == ".." {
        "is a directory's name for itself or its parent"
    } else if name.contains('/') {
        "has a slash in it"
    } else if name.len() > NAME_BYTES_MAX {
        "is longer than 200 bytes"
    } else {
        let escape = |byte: u8| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => char::from(byte).to_string(),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        };
        return Ok(name.bytes().map(escape).collect());
    };
    fail(ErrorKind::Misuse, format!("the database name {name:?} {wrong}; choose another"))
}

/// A database's directory, as messages name it.
pub(super) fn path_of(directory: &str) -> String {
    format!("opfs:{HOME}/{directory}")
}

/// The database whose directory this is; `None` for a directory that is none of ours.
#[must_use]
pub fn name_of(directory: &str) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = directory.as_bytes();
    while let Some((first, behind)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(behind.get(..2)?).ok()?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &behind[2..];
        } else {
            bytes.push(*first);
            rest = behind;
        }
    }
    let name = String::from_utf8(bytes).ok()?;
    (directory_of(&name).ok()? == directory).then_some(name)
}

/// The area that a file of a store holds; `None` for a file that is none of ours.
#[must_use]
pub fn area_of(file: &str) -> Option<Area> {
    let fixed = [Area::Meta, Area::Base, Area::Sums].into_iter().find(|area| area.to_string() == file);
    fixed.or_else(|| {
        let area = Area::Segment(SegmentId(file.strip_prefix("log-")?.parse().ok()?));
        (area.to_string() == file).then_some(area)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_lead_back_to_their_databases() {
        let names = [
            "app",
            "My notes",
            "a%2Fb",
            "\u{e9}t\u{e9}",
            "\u{1F980}",
            "x.y-z_(1)!~*'",
            "...",
            "%",
            "a:b?c#d",
        ];
        for name in names {
            let directory = directory_of(name).unwrap();
            assert!(!directory.contains(['/', '\\', ':', '?']), "{directory}");
            assert_eq!(name_of(&directory).as_deref(), Some(name), "{directory}");
        }
        assert_eq!(path_of(&directory_of("My notes").unwrap()), "opfs:datasync/My%20notes");
    }

    #[test]
    fn impossible_names_are_misuse() {
        for name in ["", ".", "..", "a/b", &"x".repeat(201)] {
            assert_eq!(directory_of(name).unwrap_err().kind(), ErrorKind::Misuse, "{name}");
        }
        directory_of(&"x".repeat(200)).unwrap();
    }

    #[test]
    fn directories_of_others_are_nobodys() {
        for directory in ["a%2fb", "%", "%4", "%zz", "%41", "a b", "", "%FF"] {
            assert_eq!(name_of(directory), None, "{directory}");
        }
    }

    #[test]
    fn files_are_told_apart() {
        for area in [Area::Meta, Area::Base, Area::Sums, Area::Segment(SegmentId(7))] {
            assert_eq!(area_of(&area.to_string()), Some(area));
        }
        assert_eq!(area_of("log-123456"), Some(Area::Segment(SegmentId(123_456))));
        for file in ["log-7", "log-00007", "log-", "log-+007", "LOCK", "meta", "base.db.crswap"] {
            assert_eq!(area_of(file), None, "{file}");
        }
    }
}
