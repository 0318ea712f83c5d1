//! Whole reads and whole writes out of system calls that may do less than they were asked.
//!
//! Must not know: files, errors of ours. The rules it keeps: a short count is continued, an interruption is no
//! failure, and a count of zero is never waited for.

use std::io;

/// Fills `buf` from `offset` with as many calls of `read` as it takes; fewer bytes only at the end.
///
/// # Errors
/// The first error but an interruption.
pub(super) fn read_fully(
    mut read: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    buf: &mut [u8],
    offset: u64,
) -> io::Result<usize> {
    let mut done = 0;
    while done < buf.len() {
        match read(&mut buf[done..], offset + done as u64) {
            Ok(0) => break,
            Ok(n) => done += n,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(done)
}

/// Writes all of `bytes` at `offset` with as many calls of `write` as it takes.
///
/// # Errors
/// The first error but an interruption; `WriteZero` when a call takes nothing.
pub(super) fn write_fully(
    mut write: impl FnMut(&[u8], u64) -> io::Result<usize>,
    bytes: &[u8],
    offset: u64,
) -> io::Result<()> {
    let mut done = 0;
    while done < bytes.len() {
        match write(&bytes[done..], offset + done as u64) {
            Ok(0) => {
                return Err(io::Error::new(
                    io::ErrorKind::WriteZero,
                    "the system wrote nothing and gave no reason",
                ));
            }
            Ok(n) => done += n,
            Err(cause) if cause.kind() == io::ErrorKind::Interrupted => {}
            Err(cause) => return Err(cause),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_interrupted_writes_are_continued() {
        let mut calls = 0;
        let mut seen = Vec::new();
        let write = |bytes: &[u8], at: u64| {
            calls += 1;
            assert_eq!(at, 100 + seen.len() as u64);
            if calls % 2 == 0 {
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            let n = bytes.len().min(3);
            seen.extend_from_slice(&bytes[..n]);
            Ok(n)
        };
        write_fully(write, b"0123456789", 100).unwrap();
        assert_eq!(seen, b"0123456789");
    }

    #[test]
    fn write_of_nothing_is_an_error() {
        let error = write_fully(|_, _| Ok(0), b"x", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }

    #[test]
    fn short_and_interrupted_reads_are_continued() {
        let data = b"0123456789";
        let mut calls = 0;
        let read = |buf: &mut [u8], at: u64| {
            calls += 1;
            if calls % 2 == 0 {
                return Err(io::Error::from(io::ErrorKind::Interrupted));
            }
            let at = usize::try_from(at).unwrap();
            let n = buf.len().min(3).min(data.len() - at);
            buf[..n].copy_from_slice(&data[at..at + n]);
            Ok(n)
        };
        let mut buf = [0; 20];
        assert_eq!(read_fully(read, &mut buf, 2).unwrap(), 8);
        assert_eq!(&buf[..8], b"23456789");
    }
}
