//! `datasync log`: what lies in the log, page by page, as it lies there.
//!
//! Reads the files of a store without opening it, so nothing is locked, recovered or changed, and damage
//! is a line of the output. The rule it keeps: it decides nothing. What counts after a crash is
//! recovery's business; here a page is what it decodes to.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use datasync::block::{BLOCK_SIZE, BlockBytes, SegmentId};
use datasync::format::Flaw;
use datasync::format::group::{Change, Group, Role};
use datasync::format::meta::{META_BYTES, Meta, SegmentRecord};
use datasync::format::segment::SegmentHeader;

use crate::args;
use crate::fail::{Code, Done, Failure};
use crate::words::{bytes, when};

/// Runs the command.
pub fn run(args: &args::Log, out: &mut dyn Write) -> Done {
    let meta = read_meta(&args.store)?;
    let mut lines = Lines { out, tail: args.last.map(|most| (most, VecDeque::new())), blocks: args.blocks };
    let newest = describe_meta(&meta, &mut lines)?;
    let listed = newest.map(|meta| meta.body.segments.as_slice()).unwrap_or_default();
    let mut present = segment_files(&args.store)?;
    for record in listed {
        if let Some(at) = present.iter().position(|(id, _)| *id == record.id) {
            let (_, path) = present.remove(at);
            describe_segment(&path, Some(record), &mut lines)?;
        } else {
            lines
                .damage(&format!("{}  MISSING: META lists it and there is no such file", name(record.id)))?;
        }
    }
    if listed.is_empty() && present.is_empty() && newest.is_some() {
        lines.plain("the log is empty: everything is folded into base.db")?;
    }
    for (_, path) in present {
        describe_segment(&path, None, &mut lines)?;
    }
    lines.finish()?;
    Ok(())
}

/// Where lines go: at once, or only the last few groups and whatever is damaged.
struct Lines<'a> {
    out: &'a mut dyn Write,
    /// How many groups, and the lines of each.
    tail: Option<(usize, VecDeque<Vec<String>>)>,
    blocks: bool,
}

impl Lines<'_> {
    fn plain(&mut self, line: &str) -> io::Result<()> {
        if self.tail.is_none() { writeln!(self.out, "{line}") } else { Ok(()) }
    }

    fn damage(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")
    }

    fn group(&mut self, lines: Vec<String>) -> io::Result<()> {
        let Some((most, kept)) = &mut self.tail else {
            return lines.iter().try_for_each(|line| writeln!(self.out, "{line}"));
        };
        kept.push_back(lines);
        if kept.len() > *most {
            kept.pop_front();
        }
        Ok(())
    }

    fn finish(self) -> io::Result<()> {
        self.tail
            .iter()
            .flat_map(|(_, kept)| kept)
            .flatten()
            .try_for_each(|line| writeln!(self.out, "{line}"))
    }
}

fn read_meta(store: &Path) -> Result<Vec<Result<Meta, Flaw>>, Failure> {
    let path = store.join("META");
    let mut file = File::open(&path).map_err(|error| {
        let made = "check the path; `datasync import FILE.db STORE` makes a store of a database file";
        let at = store.display();
        match error.kind() {
            ErrorKind::NotFound if store.is_dir() => {
                Failure::new(Code::NoStore, format!("{at} is not a store: {}: {error}", path.display()), made)
            }
            ErrorKind::NotFound => {
                Failure::new(Code::NoStore, format!("there is no store at {at}: {error}"), "check the path")
            }
            ErrorKind::NotADirectory => {
                Failure::new(Code::NoStore, format!("{at} is a file, and no store"), made)
            }
            _ => Failure::from(error).within(&path.display().to_string()),
        }
    })?;
    let mut copies = Vec::new();
    for _ in 0..4 {
        let mut copy = Vec::new();
        (&mut file).take(META_BYTES as u64).read_to_end(&mut copy)?;
        copies.push(Meta::decode(&copy));
    }
    Ok(copies)
}

/// Prints the four copies and returns the newest sound one.
fn describe_meta<'a>(
    copies: &'a [Result<Meta, Flaw>],
    lines: &mut Lines<'_>,
) -> io::Result<Option<&'a Meta>> {
    for (at, copy) in copies.iter().enumerate() {
        let (slot, number) = (at / 2, at % 2);
        match copy {
            Ok(meta) => lines.plain(&format!(
                "META slot {slot} copy {number}: sequence {}, epoch {}, folded up to commit {}, {}, {} segments, {}",
                meta.seq,
                meta.epoch,
                meta.body.folded,
                bytes(meta.body.size),
                meta.body.segments.len(),
                if meta.body.clean { "closed" } else { "in use or not closed" },
            ))?,
            Err(flaw) => lines.plain(&format!("META slot {slot} copy {number}: {flaw}"))?,
        }
    }
    let newest = copies.iter().flatten().max_by_key(|meta| meta.seq);
    match newest {
        Some(meta) => lines.plain(&format!(
            "store {}, checksum {}, created {}",
            meta.store,
            meta.checksum().name(),
            when(meta.body.created_ms)
        ))?,
        None => lines.damage("META  DAMAGED: no sound copy, so which segments count is not known")?,
    }
    Ok(newest)
}

fn name(segment: SegmentId) -> String {
    format!("log-{:04}", segment.0)
}

fn segment_files(store: &Path) -> io::Result<Vec<(SegmentId, PathBuf)>> {
    let mut found = Vec::new();
    for entry in store.read_dir()? {
        let path = entry?.path();
        let number =
            path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix("log-"));
        if let Some(number) = number.and_then(|digits| digits.parse().ok()) {
            found.push((SegmentId(number), path));
        }
    }
    found.sort();
    Ok(found)
}

/// A segment file being walked.
struct Walk {
    file: File,
    pages: u32,
    end: u32,
    page: u32,
    chain: u64,
    /// First page of a run that is no group, and why.
    gap: Option<(u32, Flaw)>,
}

impl Walk {
    fn read(&mut self, page: u32) -> io::Result<BlockBytes> {
        let mut bytes = [0; BLOCK_SIZE];
        self.file.seek(SeekFrom::Start(u64::from(page) * BLOCK_SIZE as u64))?;
        self.file.read_exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Prints the run of pages that ends before `self.page`, if there is one.
    fn close_gap(&mut self, lines: &mut Lines<'_>, to_the_end: bool) -> io::Result<()> {
        match self.gap.take() {
            None => Ok(()),
            Some((_, Flaw::NotThere)) if to_the_end => Ok(()),
            Some((from, flaw)) => {
                let line = format!("  page {from:>6}  NOT A GROUP up to page {}: {flaw}", self.page - 1);
                // At the end it may be what a crash has left.
                if to_the_end { lines.group(vec![line]) } else { lines.damage(&line) }
            }
        }
    }
}

fn describe_segment(path: &Path, record: Option<&SegmentRecord>, lines: &mut Lines<'_>) -> io::Result<()> {
    let title = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let file = File::open(path)?;
    let len = file.metadata()?.len();
    let pages = u32::try_from(len / BLOCK_SIZE as u64).unwrap_or(u32::MAX);
    let cut = record.and_then(|record| record.cut);
    let state = match (record, cut) {
        (None, _) => "not listed in META: a spare, or left over".to_owned(),
        (Some(_), Some(cut)) => format!("cut before page {} after commit {}", cut.end_page, cut.lsn),
        (Some(_), None) => "being written".to_owned(),
    };
    let mut walk = Walk { file, pages, end: 0, page: 1, chain: 0, gap: None };
    let header = if pages == 0 { Err(Flaw::NotThere) } else { SegmentHeader::decode(&walk.read(0)?) };
    let header = match header {
        Ok((header, digest)) => {
            walk.chain = digest;
            header
        }
        Err(flaw) => {
            let line = format!("{title}  {}, {state}; header: {flaw}", bytes(len));
            return if record.is_some() { lines.damage(&line) } else { lines.plain(&line) };
        }
    };
    lines.plain(&format!(
        "{title}  {}, {state}; epoch {}, after commit {}",
        bytes(len),
        header.identity.epoch,
        header.after
    ))?;
    if record
        .is_some_and(|record| (record.salt, record.epoch) != (header.identity.salt, header.identity.epoch))
    {
        lines.damage(&format!("{title}  NOT the segment that META lists: another salt or epoch"))?;
    }
    walk.end = cut.map_or(pages, |cut| cut.end_page.min(pages));
    walk_groups(&mut walk, &header, lines)?;
    if cut.is_some_and(|cut| cut.end_page > pages) {
        lines.damage(&format!("{title}  DAMAGED: the file ends at page {pages}, before its cut"))?;
    }
    Ok(())
}

fn walk_groups(walk: &mut Walk, header: &SegmentHeader, lines: &mut Lines<'_>) -> io::Result<()> {
    while walk.page < walk.end {
        let page = walk.read(walk.page)?;
        let decoded = Group::decode(&page).and_then(|(group, digest)| {
            if group.identity != header.identity {
                Err(Flaw::Foreign("another segment or life"))
            } else if group.page != walk.page {
                Err(Flaw::Foreign("another page"))
            } else {
                Ok((group, digest))
            }
        });
        match decoded {
            Ok((group, digest)) => {
                walk.close_gap(lines, false)?;
                describe_group(walk, &group, lines)?;
                walk.chain = digest;
                walk.page = walk.page.saturating_add(group.pages());
            }
            Err(flaw) => {
                // A run is named after its most telling page: anything but "nothing written here".
                let from = walk.gap.map_or(walk.page, |(from, _)| from);
                let kept = walk.gap.map(|(_, kept)| kept).filter(|kept| *kept != Flaw::NotThere);
                walk.gap = Some((from, kept.unwrap_or(flaw)));
                walk.page += 1;
            }
        }
    }
    walk.close_gap(lines, true)
}

fn describe_group(walk: &mut Walk, group: &Group, lines: &mut Lines<'_>) -> io::Result<()> {
    let what = match group.role {
        Role::Watermark => format!("watermark {}", group.lsn),
        Role::Batch { last: true, .. } => format!("commit {}", group.lsn),
        Role::Batch { first: true, .. } => format!("begin {}", group.lsn),
        Role::Batch { .. } => format!("more of {}", group.lsn),
    };
    let payload = (0..group.payload_pages())
        .map(|at| match walk.page + 1 + at {
            page if page < walk.pages => walk.read(page).map(Some),
            _ => Ok(None),
        })
        .collect::<io::Result<Vec<_>>>()?;
    let mut payload = payload.into_iter();
    let mut bad = 0;
    let mut detail = Vec::new();
    for change in &group.changes {
        let text = match *change {
            Change::Put { block, sum } => {
                let bytes = payload.next().flatten();
                let sound = bytes.is_some_and(|bytes| {
                    group.identity.checksum.sum(group.identity.store, block, group.lsn, &bytes) == sum
                });
                bad += u32::from(!sound);
                format!("PUT {block} sum {sum:016x}{}", if sound { "" } else { " DAMAGED" })
            }
            Change::Trim { block } => format!("TRIM {block}"),
            Change::TrimRange { from, to } => format!("TRIM_RANGE {from}..{to}"),
        };
        detail.push(text);
    }
    let mut line = format!(
        "  page {:>6}  {what:<16} +{:<3} durable {}",
        group.page,
        group.payload_pages(),
        group.durable
    );
    line.push_str(&format!("  {}  {}", when(group.wall_ms), summary(group)));
    if group.tag.client != 0 {
        line.push_str(&format!("  asked by {:x}/{}/{}", group.tag.client, group.tag.seq, group.tag.ordinal));
    }
    if group.chain != walk.chain {
        line.push_str("  CHAIN BROKEN");
    }
    if bad > 0 {
        line.push_str(&format!("  {bad} DAMAGED"));
    }
    let mut group = vec![line];
    if lines.blocks {
        group.extend(detail.iter().map(|text| format!("               {text}")));
    }
    if bad > 0 { group.iter().try_for_each(|line| lines.damage(line)) } else { lines.group(group) }
}

/// The changes in a few words: `blocks 0 4..9 trim 12`.
fn summary(group: &Group) -> String {
    const SHOWN: usize = 6;
    let mut puts: Vec<u64> = Vec::new();
    let mut trims = Vec::new();
    for change in &group.changes {
        match *change {
            Change::Put { block, .. } => puts.push(block.0),
            Change::Trim { block } => trims.push(format!("trim {block}")),
            Change::TrimRange { from, to } => trims.push(format!("trim {from}..{to}")),
        }
    }
    puts.sort_unstable();
    let mut runs: Vec<(u64, u64)> = Vec::new();
    for block in puts {
        match runs.last_mut() {
            Some((_, to)) if *to + 1 == block => *to = block,
            _ => runs.push((block, block)),
        }
    }
    let name = |(from, to): &(u64, u64)| if from == to { from.to_string() } else { format!("{from}-{to}") };
    let mut words: Vec<String> = runs.iter().take(SHOWN).map(name).collect();
    if runs.len() > SHOWN {
        words.push(format!("and {} more runs", runs.len() - SHOWN));
    }
    if !words.is_empty() {
        words.insert(0, "blocks".to_owned());
    }
    words.extend(trims.iter().take(SHOWN).cloned());
    if trims.len() > SHOWN {
        words.push(format!("and {} more trims", trims.len() - SHOWN));
    }
    words.join(" ")
}
