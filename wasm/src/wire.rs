//! Rows as one run of bytes, the same in both directions: what crosses between JavaScript and the module.
//!
//! | part | bytes |
//! |---|---|
//! | header | 8 x u32: magic, columns, rows, flags (1 = the statement is done), text bytes, blob bytes, 0, 0 |
//! | tags | one byte a cell, row by row: 0 null, 1 integer, 2 real, 3 text, 4 blob; zeros up to a multiple of 8 |
//! | cells | 8 bytes for each cell that is not null: i64; f64; u32 UTF-8 bytes and u32 UTF-16 units; u32 bytes and 0 |
//! | text | all texts, end to end, in UTF-8 |
//! | blobs | all blobs, end to end |
//!
//! All numbers are little-endian. Must not know SQLite. The rule it keeps: bytes from JavaScript never panic, and
//! what is read as text is valid UTF-8.

use std::borrow::Cow;

const MAGIC: u32 = 0x4453_3031;
const HEADER_BYTES: usize = 32;
const FLAG_DONE: u32 = 1;

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cell<'a> {
    /// NULL.
    Null,
    /// INTEGER.
    Integer(i64),
    /// REAL.
    Real(f64),
    /// TEXT.
    Text(&'a str),
    /// BLOB.
    Blob(&'a [u8]),
}

/// Writes a chunk, cell by cell. Keeps its memory when it is begun again.
#[derive(Debug, Default)]
pub struct Encoder {
    columns: usize,
    header: [u8; HEADER_BYTES],
    tags: Vec<u8>,
    cells: Vec<u8>,
    text: Vec<u8>,
    blobs: Vec<u8>,
}

impl Encoder {
    /// Forgets what was written; the rows to come have `columns` cells.
    pub fn begin(&mut self, columns: usize) {
        self.columns = columns;
        for part in [&mut self.tags, &mut self.cells, &mut self.text, &mut self.blobs] {
            part.clear();
        }
    }

    /// Adds NULL.
    pub fn null(&mut self) {
        self.tags.push(0);
    }

    /// Adds an INTEGER.
    pub fn integer(&mut self, value: i64) {
        self.tags.push(1);
        self.cells.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds a REAL.
    pub fn real(&mut self, value: f64) {
        self.tags.push(2);
        self.cells.extend_from_slice(&value.to_le_bytes());
    }

    /// Adds a TEXT. What is not valid UTF-8 becomes U+FFFD.
    pub fn text(&mut self, bytes: &[u8]) {
        let text = if bytes.is_ascii() { Cow::Borrowed("") } else { String::from_utf8_lossy(bytes) };
        let (bytes, units) = if bytes.is_ascii() {
            (bytes, bytes.len())
        } else {
            (text.as_bytes(), utf16_units(text.as_bytes()))
        };
        self.tags.push(3);
        self.lengths(bytes.len(), units);
        self.text.extend_from_slice(bytes);
    }

    /// Adds a BLOB.
    pub fn blob(&mut self, bytes: &[u8]) {
        self.tags.push(4);
        self.lengths(bytes.len(), 0);
        self.blobs.extend_from_slice(bytes);
    }

    /// Adds any cell.
    pub fn cell(&mut self, cell: Cell<'_>) {
        match cell {
            Cell::Null => self.null(),
            Cell::Integer(value) => self.integer(value),
            Cell::Real(value) => self.real(value),
            Cell::Text(text) => self.text(text.as_bytes()),
            Cell::Blob(bytes) => self.blob(bytes),
        }
    }

    /// Bytes of the chunk as it is now, roughly.
    #[must_use]
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.tags.len() + self.cells.len() + self.text.len() + self.blobs.len()
    }

    /// Ends the chunk and returns its parts, which belong one behind the other. `rows` says how many there are,
    /// because rows without columns leave no trace.
    pub fn finish(&mut self, rows: usize, done: bool) -> [&[u8]; 5] {
        let words =
            [self.columns, rows, usize::from(done) * FLAG_DONE as usize, self.text.len(), self.blobs.len()];
        self.header.fill(0);
        self.header[..4].copy_from_slice(&MAGIC.to_le_bytes());
        for (at, word) in words.into_iter().enumerate() {
            // SQLite's limits keep every one of these below 2^31.
            let word = u32::try_from(word).unwrap_or(u32::MAX);
            self.header[4 * at + 4..4 * at + 8].copy_from_slice(&word.to_le_bytes());
        }
        self.tags.resize(self.tags.len().next_multiple_of(8), 0);
        [&self.header, &self.tags, &self.cells, &self.text, &self.blobs]
    }

    fn lengths(&mut self, bytes: usize, units: usize) {
        for length in [bytes, units] {
            self.cells.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_le_bytes());
        }
    }
}

/// How long valid UTF-8 is in UTF-16: one unit for every character, one more for those of four bytes.
fn utf16_units(bytes: &[u8]) -> usize {
    bytes.iter().map(|byte| usize::from(*byte & 0xc0 != 0x80) + usize::from(*byte >= 0xf0)).sum()
}

/// A chunk that was received, checked as a whole.
#[derive(Debug)]
pub struct Chunk<'a> {
    columns: usize,
    rows: usize,
    done: bool,
    tags: &'a [u8],
    cells: &'a [u8],
    text: &'a str,
    blobs: &'a [u8],
}

impl<'a> Chunk<'a> {
    /// Reads a chunk.
    ///
    /// # Errors
    /// A sentence that says what is wrong with it.
    pub fn read(bytes: &'a [u8]) -> Result<Self, &'static str> {
        let (header, rest) =
            bytes.split_first_chunk::<HEADER_BYTES>().ok_or("it is shorter than its header")?;
        let word = |at: usize| {
            u32::from_le_bytes([header[4 * at], header[4 * at + 1], header[4 * at + 2], header[4 * at + 3]])
        };
        if word(0) != MAGIC {
            return Err("it does not begin as one");
        }
        let [columns, rows, text, blobs] =
            [word(1), word(2), word(4), word(5)].map(|word| usize::try_from(word).unwrap_or(usize::MAX));
        let count = columns.checked_mul(rows).ok_or("it has too many cells")?;
        let (tags, rest) = cut(rest, count)?;
        let (_, rest) = cut(rest, count.next_multiple_of(8) - count)?;
        if tags.iter().any(|tag| *tag > 4) {
            return Err("a cell has no type that there is");
        }
        let (cells, rest) = cut(rest, 8 * tags.iter().filter(|tag| **tag != 0).count())?;
        let (text, rest) = cut(rest, text)?;
        let (blobs, rest) = cut(rest, blobs)?;
        if !rest.is_empty() {
            return Err("it is longer than it says");
        }
        let text = std::str::from_utf8(text).map_err(|_| "its text is not UTF-8")?;
        let chunk = Self { columns, rows, done: word(3) & FLAG_DONE != 0, tags, cells, text, blobs };
        let mut reader = chunk.cells();
        for _ in 0..count {
            reader.take()?;
        }
        if !reader.text.is_empty() || !reader.blobs.is_empty() {
            return Err("it has bytes that belong to no cell");
        }
        Ok(chunk)
    }

    /// Cells in a row.
    #[must_use]
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Rows.
    #[must_use]
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Whether there is nothing after it.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.done
    }

    /// Its cells, from the first.
    #[must_use]
    pub fn cells(&self) -> Cells<'a> {
        Cells { tags: self.tags, cells: self.cells, text: self.text, blobs: self.blobs }
    }
}

/// The cells of a chunk, one after the other.
#[derive(Clone, Debug)]
pub struct Cells<'a> {
    tags: &'a [u8],
    cells: &'a [u8],
    text: &'a str,
    blobs: &'a [u8],
}

impl<'a> Cells<'a> {
    /// The next cell.
    ///
    /// # Errors
    /// A sentence; none for as many cells as the chunk has, once it was read.
    pub fn take(&mut self) -> Result<Cell<'a>, &'static str> {
        let (tag, rest) = self.tags.split_first().ok_or("it has fewer cells than that")?;
        self.tags = rest;
        if *tag == 0 {
            return Ok(Cell::Null);
        }
        let (value, rest) = self.cells.split_first_chunk::<8>().ok_or("it has fewer cells than that")?;
        self.cells = rest;
        let length = u32::from_le_bytes([value[0], value[1], value[2], value[3]]) as usize;
        match tag {
            1 => Ok(Cell::Integer(i64::from_le_bytes(*value))),
            2 => Ok(Cell::Real(f64::from_le_bytes(*value))),
            3 => {
                let (text, rest) = self.text.split_at_checked(length).ok_or("a text is cut off")?;
                self.text = rest;
                Ok(Cell::Text(text))
            }
            _ => {
                let (blob, rest) = self.blobs.split_at_checked(length).ok_or("a blob is cut off")?;
                self.blobs = rest;
                Ok(Cell::Blob(blob))
            }
        }
    }
}

fn cut(bytes: &[u8], at: usize) -> Result<(&[u8], &[u8]), &'static str> {
    bytes.split_at_checked(at).ok_or("it is shorter than it says")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(columns: usize, rows: &[Vec<Cell<'_>>], done: bool) -> Vec<u8> {
        let mut encoder = Encoder::default();
        encoder.begin(columns);
        rows.iter().flatten().for_each(|cell| encoder.cell(*cell));
        encoder.finish(rows.len(), done).concat()
    }

    fn decode(bytes: &[u8]) -> Vec<Vec<Cell<'_>>> {
        let chunk = Chunk::read(bytes).unwrap();
        let mut cells = chunk.cells();
        let mut row = || (0..chunk.columns()).map(|_| cells.take().unwrap()).collect();
        (0..chunk.rows()).map(|_| row()).collect()
    }

    /// A small generator, so that a failure names the seed that repeats it.
    struct Random(u64);

    impl Random {
        fn next(&mut self) -> u64 {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut z = self.0;
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        }

        fn below(&mut self, bound: u64) -> usize {
            (self.next() % bound) as usize
        }
    }

    const TEXTS: [&str; 6] = ["", "plain", "na\u{ef}ve", "\u{20ac}", "\u{1f600} and more", "\u{feff}a\0b"];

    #[test]
    fn what_is_written_is_read_back() {
        for seed in 0..300 {
            let mut random = Random(seed);
            let (columns, count) = (random.below(6), random.below(20));
            let blobs: Vec<Vec<u8>> = (0..5).map(|n| vec![n as u8; random.below(40)]).collect();
            let mut rows = Vec::new();
            for _ in 0..count {
                let row = (0..columns).map(|_| match random.below(5) {
                    0 => Cell::Null,
                    1 => Cell::Integer(random.next() as i64),
                    2 => Cell::Real(random.next() as i64 as f64 / 3.0),
                    3 => Cell::Text(TEXTS[random.below(6)]),
                    _ => Cell::Blob(&blobs[random.below(5)]),
                });
                rows.push(row.collect::<Vec<_>>());
            }
            let bytes = encode(columns, &rows, seed % 2 == 0);
            assert_eq!(decode(&bytes), rows, "seed {seed}");
            assert_eq!(Chunk::read(&bytes).unwrap().is_done(), seed % 2 == 0, "seed {seed}");
        }
    }

    #[test]
    fn lengths_are_counted_as_javascript_counts_them() {
        for text in TEXTS {
            assert_eq!(utf16_units(text.as_bytes()), text.encode_utf16().count(), "{text:?}");
        }
    }

    #[test]
    fn text_that_is_not_utf8_is_made_valid_before_it_is_counted() {
        let mut encoder = Encoder::default();
        encoder.begin(1);
        encoder.text(b"a\xff\xf0\x9f");
        let bytes = encoder.finish(1, true).concat();
        let text = String::from_utf8_lossy(b"a\xff\xf0\x9f");
        assert_eq!(decode(&bytes), [[Cell::Text(&text)]]);
        assert_eq!(bytes[40..48], [&(text.len() as u32).to_le_bytes()[..], &3_u32.to_le_bytes()].concat());
    }

    #[test]
    fn an_encoder_begun_again_has_forgotten() {
        let mut encoder = Encoder::default();
        encoder.begin(2);
        encoder.text(b"old");
        encoder.begin(1);
        encoder.integer(7);
        assert_eq!(decode(&encoder.finish(1, true).concat()), [[Cell::Integer(7)]]);
    }

    #[test]
    fn no_bytes_panic_and_none_are_taken_for_others() {
        let good = encode(
            2,
            &[vec![Cell::Text("abc"), Cell::Blob(&[1, 2])], vec![Cell::Null, Cell::Real(1.5)]],
            true,
        );
        for end in 0..good.len() {
            assert!(Chunk::read(&good[..end]).is_err(), "cut at {end}");
        }
        for at in 0..good.len() {
            for value in [0, 1, 3, 4, 0x7f, 0xff] {
                let mut bad = good.clone();
                bad[at] = value;
                if let Ok(chunk) = Chunk::read(&bad) {
                    let mut cells = chunk.cells();
                    let count = chunk.rows() * chunk.columns();
                    assert!((0..count).all(|_| cells.take().is_ok()), "byte {at} as {value}");
                }
            }
        }
        assert!(Chunk::read(&[good, vec![0]].concat()).is_err());
    }

    #[test]
    fn a_text_cannot_be_cut_inside_a_character() {
        let mut bytes = encode(2, &[vec![Cell::Text("\u{e9}"), Cell::Text("x")]], true);
        bytes[40..44].copy_from_slice(&1_u32.to_le_bytes());
        bytes[48..52].copy_from_slice(&2_u32.to_le_bytes());
        assert!(Chunk::read(&bytes).is_err());
    }
}
