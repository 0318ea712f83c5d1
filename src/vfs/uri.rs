//! What can be said in the name of a database: the parameters of `file:app.datasync?vfs=datasync&...`.
//!
//! Each has a line in the table of `vfs/mod.rs`, where users read it.
//! The rule it keeps: a parameter that is not understood is an error, never ignored.

use super::pragma::Wanted;
use crate::error::{ErrorKind, Result, fail};
use crate::format::checksum::Checksum;
use crate::volume::Options;

/// The parameters of one name, read.
#[derive(Clone, Debug, Default)]
pub(super) struct Wishes {
    pub immutable: bool,
    pub wanted: Wanted,
    checksum: Option<Checksum>,
    segment_bytes: Option<u64>,
    log_cap: Option<u64>,
    reserve: Option<u64>,
    spill: Option<u64>,
}

impl Wishes {
    /// Reads key-value pairs.
    ///
    /// # Errors
    /// `Misuse` for an unknown key or a value that is none of the key's.
    pub(super) fn read(pairs: &[(String, String)]) -> Result<Self> {
        let mut wishes = Self::default();
        for (key, value) in pairs {
            wishes.take(key, value)?;
        }
        Ok(wishes)
    }

    fn take(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "vfs" | "mode" | "cache" | "psow" | "modeof" => {}
            "immutable" => self.immutable = boolean(key, value)?,
            "nolock" if boolean(key, value)? => {
                return fail(
                    ErrorKind::Misuse,
                    "nolock=1: without locks there is no transaction; leave it out",
                );
            }
            "nolock" => {}
            "checksum" => self.checksum = Some(checksum(value)?),
            "segment_bytes" => self.segment_bytes = Some(bytes(key, value)?),
            "log_cap" => self.log_cap = Some(bytes(key, value)?),
            "reserve" => self.reserve = Some(bytes(key, value)?),
            "spill" => self.spill = Some(bytes(key, value)?),
            "durability" => self.wanted = Wanted::read(value)?,
            _ => {
                return fail(
                    ErrorKind::Misuse,
                    format!(
                        "unknown parameter {key:?} in the database's name; there are checksum, segment_bytes, \
                         log_cap, reserve, spill, durability, immutable and SQLite's own"
                    ),
                );
            }
        }
        Ok(())
    }

    /// The volume's options.
    pub(super) fn options(&self) -> Options {
        let mut options = Options::new();
        if let Some(checksum) = self.checksum {
            options = options.checksum(checksum);
        }
        if let Some(bytes) = self.segment_bytes {
            options = options.segment_bytes(bytes);
        }
        if let Some(bytes) = self.log_cap {
            options = options.log_cap_bytes(bytes);
        }
        if let Some(bytes) = self.reserve {
            options = options.reserve_bytes(bytes);
        }
        if let Some(bytes) = self.spill {
            options = options.spill_bytes(bytes);
        }
        options
    }
}

fn checksum(value: &str) -> Result<Checksum> {
    match Checksum::from_name(value) {
        Some(checksum) => Ok(checksum),
        None => fail(ErrorKind::Misuse, format!("checksum={value}: it is crc32 or xxh3")),
    }
}

fn boolean(key: &str, value: &str) -> Result<bool> {
    match value.to_ascii_lowercase().as_str() {
        "1" | "on" | "yes" | "true" => Ok(true),
        "0" | "off" | "no" | "false" => Ok(false),
        _ => fail(ErrorKind::Misuse, format!("{key}={value}: it is 1 or 0")),
    }
}

fn bytes(key: &str, value: &str) -> Result<u64> {
    let (digits, unit) = match value.char_indices().next_back() {
        Some((at, 'k' | 'K')) => (&value[..at], 1_u64 << 10),
        Some((at, 'm' | 'M')) => (&value[..at], 1 << 20),
        Some((at, 'g' | 'G')) => (&value[..at], 1 << 30),
        _ => (value, 1),
    };
    let number = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match number {
        Some(number) => Ok(number),
        None => fail(
            ErrorKind::Misuse,
            format!("{key}={value}: a number of bytes is expected, such as 65536 or 64M"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(key: &str, value: &str) -> Result<Wishes> {
        Wishes::read(&[(key.to_owned(), value.to_owned())])
    }

    #[test]
    fn sizes_take_units_and_nothing_else() {
        assert_eq!(bytes("spill", "64M").unwrap(), 64 << 20);
        assert_eq!(bytes("spill", "4096").unwrap(), 4096);
        for bad in ["", "M", "-1", "1T", "1.5M", "99999999999G"] {
            assert_eq!(bytes("spill", bad).unwrap_err().kind(), ErrorKind::Misuse, "{bad}");
        }
    }

    #[test]
    fn what_is_not_understood_is_an_error_that_names_it() {
        let error = read("chekcsum", "crc32").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Misuse);
        assert!(error.message().contains("chekcsum"));
        for (key, value) in
            [("checksum", "md5"), ("durability", "maybe"), ("immutable", "2"), ("nolock", "1")]
        {
            assert_eq!(read(key, value).unwrap_err().kind(), ErrorKind::Misuse, "{key}={value}");
        }
    }
}
