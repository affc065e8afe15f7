//! Records read from files: piece by piece through a window, checksum included.
//!
//! Invariant: bytes are given out before all of them were checked, so whoever takes them lets nobody see them until
//! all of them were, and are what was written.

use std::io::ErrorKind;
use std::ops::Range;

use plasmad_core::disk::{BLOCK_BYTES, DiskPlace, DiskRecord, FileNumber, RECORD_HEADER_BYTES, Restore, data_start};

use super::backend::Backend;
use super::buffer::{BLOCK, Buffer};
use super::record::{FolderKey, Header};
use super::split::PartRead;
use crate::memory::Arena;

/// Why a record can't be had, in a sentence for the log.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// What lies there is not what was written.
    Lost(String),
    /// It can't be read just now.
    Failed(String),
}

/// A piece of a file in memory.
#[derive(Debug)]
pub(crate) struct Window {
    buffer: Buffer,
    file: FileNumber,
    held: Range<u64>,
}

/// Where records are read from.
#[derive(Clone, Copy)]
pub(crate) struct Shelf<'a> {
    pub(crate) files: &'a dyn Backend,
    pub(crate) key: &'a FolderKey,
}

/// Data and metadata of a record that is being read.
#[derive(Debug)]
pub(crate) struct Body {
    file: FileNumber,
    at: u64,
    end: u64,
    checksum: u32,
    expected: u32,
}

impl Window {
    /// Shows nothing yet.
    pub(crate) fn new(bytes: usize) -> Self {
        Self { buffer: Buffer::new(bytes), file: FileNumber(0), held: 0..0 }
    }

    /// How much it shows at a time.
    pub(crate) fn bytes(&self) -> u64 {
        self.buffer.len() as u64
    }

    /// Forgets what it shows: files may have changed.
    pub(crate) fn close(&mut self) {
        self.held = 0..0;
    }

    /// The bytes at an offset, at least so many of them, and as many as it shows. If it has to be moved for that, it
    /// shows no more than it must behind `until`.
    pub(crate) fn look(
        &mut self,
        files: &dyn Backend,
        file: FileNumber,
        offset: u64,
        least: usize,
        until: u64,
    ) -> Result<&[u8], Trouble> {
        let is_held = self.file == file && self.held.start <= offset && offset + least as u64 <= self.held.end;
        if !is_held {
            let start = offset / BLOCK_BYTES * BLOCK_BYTES;
            let end = until.max(offset + least as u64).next_multiple_of(BLOCK_BYTES);
            let bytes = (end - start).min(self.bytes()) as usize;
            self.close();
            let read = files.read(file, start, &mut self.buffer[..bytes]).map_err(|error| match error.kind() {
                ErrorKind::NotFound => Trouble::Lost("the file is gone".to_owned()),
                _ => Trouble::Failed(error.to_string()),
            })?;
            self.file = file;
            self.held = start..start + read as u64;
            if self.held.end < offset + least as u64 {
                return Err(Trouble::Lost("the file ends before the record does".to_owned()));
            }
        }
        let (from, to) = ((offset - self.held.start) as usize, (self.held.end - self.held.start) as usize);
        Ok(&self.buffer[from..to])
    }
}

impl Shelf<'_> {
    /// The record at a place, if it is the one that was expected there; `until` is how far the caller will read.
    pub(crate) fn open(
        &self,
        window: &mut Window,
        place: &DiskPlace,
        is_expected: impl Fn(&DiskRecord) -> bool,
        until: u64,
    ) -> Result<Body, Trouble> {
        let seen = window.look(self.files, place.file, place.offset, RECORD_HEADER_BYTES as usize, until)?;
        let bytes = seen[..RECORD_HEADER_BYTES as usize].try_into().expect("as many as asked for");
        match Header::decode(bytes, self.key, place.file, place.offset) {
            None => Err(Trouble::Lost("the record's header is damaged".to_owned())),
            Some(header) if !is_expected(&header.record) => {
                Err(Trouble::Lost("another record lies in its place".to_owned()))
            }
            Some(header) => {
                let record = &header.record;
                let at = place.offset + data_start(record.data_bytes);
                let end = at + record.data_bytes + u64::from(record.metadata_bytes);
                Ok(Body { file: place.file, at, end, checksum: 0, expected: header.checksum })
            }
        }
    }

    /// Reads a record, into the arena if it is to go there; `until` is how far the caller will read.
    pub(crate) fn restore(
        &self,
        window: &mut Window,
        restore: &Restore,
        until: u64,
        arena: &Arena,
    ) -> Result<(), Trouble> {
        let DiskRecord { data_bytes, metadata_bytes, .. } = restore.record;
        let read = self.restore_part(window, restore, 0..data_bytes + u64::from(metadata_bytes), until, arena)?;
        if read.expected == Some(read.checksum) { Ok(()) } else { Err(Trouble::changed()) }
    }

    /// Reads a range of a record's data and metadata, into its place in the arena if it has one, and if it begins there its
    /// header too.
    pub(crate) fn restore_part(
        &self,
        window: &mut Window,
        restore: &Restore,
        range: Range<u64>,
        until: u64,
        arena: &Arena,
    ) -> Result<PartRead, Trouble> {
        let (place, record) = (&restore.place, &restore.record);
        let is_expected = |found: &DiskRecord| found.sequence == record.sequence && same(found, record);
        let whole = match range.start {
            0 => Some(self.open(window, place, is_expected, until)?),
            _ => None,
        };
        let data = place.offset + data_start(record.data_bytes);
        let (at, end) = (data + range.start, data + range.end);
        let mut part = Body { file: place.file, at, end, checksum: 0, expected: 0 };
        let mut to = restore.into.map(|into| into.offset + range.start);
        while let Some(piece) = part.next(self.files, window, usize::MAX, until)? {
            let Some(to) = &mut to else { continue };
            arena.write(*to, piece).map_err(|error| Trouble::Failed(format!("the arena can't be written: {error}")))?;
            *to += piece.len() as u64;
        }
        Ok(PartRead { checksum: part.checksum, expected: whole.map(|whole| whole.expected) })
    }
}

impl Trouble {
    /// The bytes don't have the checksum of those that were written.
    pub(crate) fn changed() -> Self {
        Self::Lost("its bytes are not those that were written".to_owned())
    }
}

impl Body {
    /// The next bytes, at most so many; `None` behind the last.
    pub(crate) fn next<'a>(
        &mut self,
        files: &dyn Backend,
        window: &'a mut Window,
        most: usize,
        until: u64,
    ) -> Result<Option<&'a [u8]>, Trouble> {
        if self.at == self.end {
            return Ok(None);
        }
        let seen = window.look(files, self.file, self.at, 1, until.max(self.end))?;
        let bytes = (self.end - self.at).min(seen.len() as u64).min(most as u64) as usize;
        let piece = &seen[..bytes];
        self.checksum = crc32c::crc32c_append(self.checksum, piece);
        self.at += bytes as u64;
        Ok(Some(piece))
    }

    /// Fills all of it with the next bytes.
    pub(crate) fn copy(
        &mut self,
        files: &dyn Backend,
        window: &mut Window,
        into: &mut [u8],
        until: u64,
    ) -> Result<(), Trouble> {
        let mut done = 0;
        while done < into.len() {
            let piece = self.next(files, window, into.len() - done, until)?.expect("no more than it has is asked for");
            into[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        }
        Ok(())
    }

    /// The checksum of it all, if what was read is what was written.
    pub(crate) fn finish(self) -> Result<u32, Trouble> {
        debug_assert_eq!(self.at, self.end, "all of it was read");
        match self.checksum == self.expected {
            true => Ok(self.checksum),
            false => Err(Trouble::changed()),
        }
    }
}

/// Both tell of the same bytes.
pub(crate) fn same(one: &DiskRecord, other: &DiskRecord) -> bool {
    let told = |it: &DiskRecord| (it.id, it.tombstone, it.data_bytes, it.metadata_bytes, it.format);
    told(one) == told(other)
}

/// A window can show any header whole, wherever in a block it begins.
const _: () = assert!(BLOCK >= 2 * RECORD_HEADER_BYTES as usize);
