//! Batches written to files: staged in one buffer, checksums computed on the way.
//!
//! Invariant: a batch's first block is written when all the rest of it is. So of a batch that was cut off, by a failing
//! disk or the end of this process, nothing counts. Room for all of it is set aside first.
//!
//! ```text
//! small records   staged one behind the other, each header put in when its data is there
//! large ones      data in pieces; a header that doesn't fit into one piece with all its data follows as a block
//! ```

use std::io::{self, ErrorKind};

use nix::errno::Errno;
use plasmad_core::disk::{
    BLOCK_BYTES, Batch, DiskPlace, DiskRecord, LARGE_DATA_BYTES, RECORD_ALIGNMENT, Source, WriteOutcome, data_start,
    record_bytes, record_start,
};
use plasmad_wire::limits::METADATA_BYTES_MAX;

use super::buffer::{BLOCK, Buffer};
use super::read::{Body, Shelf, Trouble, Window, same};
use super::record::{Header, HeaderBytes};
use crate::memory::Arena;

/// What a thread needs to write batches.
#[derive(Debug)]
pub(crate) struct Desk {
    staged: Buffer,
    /// What waits for the rest of its batch.
    first: Buffer,
    /// A header that waits for its data.
    header: Buffer,
    /// For records that are moved.
    window: Window,
}

/// Where a batch comes from and goes to.
#[derive(Clone, Copy)]
pub(crate) struct Surroundings<'a> {
    pub(crate) shelf: Shelf<'a>,
    pub(crate) arena: &'a Arena,
    /// Called before so many bytes are written: whoever else has to go first, goes first.
    pub(crate) give_way: &'a dyn Fn(usize),
}

impl Desk {
    /// Stages so many bytes at a time.
    pub(crate) fn new(bytes: usize) -> Self {
        assert!(bytes as u64 >= SMALL_BYTES_MAX, "any small record fits");
        Self {
            staged: Buffer::new(bytes),
            first: Buffer::new(BLOCK),
            header: Buffer::new(BLOCK),
            window: Window::new(WINDOW_BYTES),
        }
    }

    /// Writes a batch. What goes wrong is in the log.
    pub(crate) fn write(&mut self, batch: &Batch, around: &Surroundings<'_>) -> WriteOutcome {
        let files = around.shelf.files;
        let path = || files.path(batch.file);
        let bytes = batch_bytes(batch);
        // What tells of deletes is little, and makes room: it may have the last of the disk.
        let only_deletes = batch.records.iter().all(|(record, _)| record.tombstone);
        match files.room_bytes() {
            Ok(room) if room < bytes && !only_deletes => {
                let (path, at) = (path(), batch.offset);
                tracing::warn!("no room for {bytes} bytes of {} at {at}: {room} are left for it", path.display());
                return WriteOutcome::NoRoom;
            }
            Ok(_) => (),
            Err(error) => tracing::warn!("how full the disk of {} is can't be told: {error}", path().display()),
        }
        self.window.close();
        let mut writing = Writing { batch, around, desk: self, staged: 0, at: batch.offset, record: 0 };
        let written = files.reserve(batch.file, batch.offset, bytes).map_err(Stop::Failed).and_then(|()| writing.all());
        let Err(stop) = written else { return WriteOutcome::Written };
        if let Stop::Failed(error) = &stop {
            tracing::error!("{} can't be written at {}: {error}", path().display(), writing.at);
        }
        // Nothing of it may ever be found. Where that can't be done, its first block has most likely not been written.
        if let Err(error) = files.forget(batch.file, batch.offset, bytes) {
            tracing::debug!("{bytes} bytes of {} at {} stay: {error}", path().display(), batch.offset);
        }
        match stop {
            Stop::SourceLost(record) => WriteOutcome::SourceLost { record },
            Stop::Failed(error) if is_full(&error) => WriteOutcome::NoRoom,
            Stop::Failed(_) => WriteOutcome::Failed,
        }
    }
}

/// Why a batch isn't written.
enum Stop {
    Failed(io::Error),
    /// What is to be moved as this record isn't what was written, or is gone.
    SourceLost(u32),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Failed(error)
    }
}

fn is_full(error: &io::Error) -> bool {
    let number = error.raw_os_error().map(Errno::from_raw);
    matches!(number, Some(Errno::ENOSPC | Errno::EDQUOT | Errno::EFBIG)) || error.kind() == ErrorKind::StorageFull
}

/// How much of its file a batch takes.
fn batch_bytes(batch: &Batch) -> u64 {
    let end = batch.records.iter().fold(batch.offset, |at, (record, _)| {
        record_start(at, record.data_bytes) + record_bytes(record.data_bytes, record.metadata_bytes)
    });
    end.next_multiple_of(BLOCK_BYTES) - batch.offset
}

/// A batch that is being written.
struct Writing<'a> {
    batch: &'a Batch,
    around: &'a Surroundings<'a>,
    desk: &'a mut Desk,
    /// How much of the buffer waits to be written.
    staged: usize,
    /// Where in the file the buffer's first byte belongs: on a block.
    at: u64,
    /// Which of the batch's records it is about.
    record: u32,
}

/// Data and metadata of a record, wherever they come from.
enum Bytes {
    Memory { at: u64, checksum: u32 },
    Disk(DiskPlace, Body),
    Nothing,
}

impl Writing<'_> {
    fn all(&mut self) -> Result<(), Stop> {
        for (number, (record, source)) in self.batch.records.iter().enumerate() {
            self.record = number as u32;
            let start = record_start(self.end(), record.data_bytes);
            self.pad(start)?;
            let bytes = self.bytes(record, source)?;
            let room = (self.desk.staged.len() - self.staged) as u64;
            let needed = record_bytes(record.data_bytes, record.metadata_bytes);
            if needed > room {
                self.flush()?;
            }
            match needed <= (self.desk.staged.len() - self.staged) as u64 {
                true => self.stage(record, bytes)?,
                false => self.stream(record, bytes)?,
            }
        }
        self.pad(self.end().next_multiple_of(BLOCK_BYTES))?;
        self.flush()?;
        Ok(self.put_late(self.batch.offset, |desk| &desk.first)?)
    }

    /// Where in the file the next byte would go.
    fn end(&self) -> u64 {
        self.at + self.staged as u64
    }

    fn pad(&mut self, until: u64) -> io::Result<()> {
        let mut left = (until - self.end()) as usize;
        while left > 0 {
            if self.staged == self.desk.staged.len() {
                self.flush()?;
            }
            let some = left.min(self.desk.staged.len() - self.staged);
            self.desk.staged[self.staged..self.staged + some].fill(0);
            self.staged += some;
            left -= some;
        }
        Ok(())
    }

    /// A record that fits into the buffer with all its data.
    fn stage(&mut self, record: &DiskRecord, mut bytes: Bytes) -> Result<(), Stop> {
        let start = self.staged;
        let data = start + data_start(record.data_bytes) as usize;
        let end = data + record.data_bytes as usize + record.metadata_bytes as usize;
        self.desk.staged[start..data].fill(0);
        self.fill(&mut bytes, data, end)?;
        let header = self.header(record, bytes, self.at + start as u64)?;
        self.desk.staged[start..start + header.len()].copy_from_slice(&header);
        self.staged = end;
        Ok(self.pad(self.end().next_multiple_of(RECORD_ALIGNMENT))?)
    }

    /// A record of more data than the buffer holds: its header has a block of its own, which is written last.
    fn stream(&mut self, record: &DiskRecord, mut bytes: Bytes) -> Result<(), Stop> {
        debug_assert_eq!((self.staged, data_start(record.data_bytes)), (0, BLOCK_BYTES), "it begins a piece");
        let start = self.at;
        self.at += BLOCK_BYTES;
        let mut left = record.data_bytes + u64::from(record.metadata_bytes);
        while left > 0 {
            if self.staged == self.desk.staged.len() {
                self.flush()?;
            }
            let some = left.min((self.desk.staged.len() - self.staged) as u64) as usize;
            self.fill(&mut bytes, self.staged, self.staged + some)?;
            self.staged += some;
            left -= some as u64;
        }
        self.pad(self.end().next_multiple_of(RECORD_ALIGNMENT))?;
        let header = self.header(record, bytes, start)?;
        let block = if start == self.batch.offset { &mut self.desk.first } else { &mut self.desk.header };
        block.fill(0);
        block[..header.len()].copy_from_slice(&header);
        if start != self.batch.offset {
            self.put_late(start, |desk| &desk.header)?;
        }
        Ok(())
    }

    /// Writes the whole blocks that are staged; what is behind them stays.
    fn flush(&mut self) -> io::Result<()> {
        let whole = self.staged / BLOCK * BLOCK;
        if whole == 0 {
            return Ok(());
        }
        let held_back = if self.at == self.batch.offset { BLOCK } else { 0 };
        if held_back > 0 {
            self.desk.first.copy_from_slice(&self.desk.staged[..BLOCK]);
        }
        if whole > held_back {
            (self.around.give_way)(whole - held_back);
            let piece = &self.desk.staged[held_back..whole];
            self.around.shelf.files.write(self.batch.file, self.at + held_back as u64, piece)?;
        }
        self.desk.staged.copy_within(whole..self.staged, 0);
        self.staged -= whole;
        self.at += whole as u64;
        Ok(())
    }

    /// Writes a block that waited for what comes behind it.
    fn put_late(&self, at: u64, block: impl Fn(&Desk) -> &Buffer) -> io::Result<()> {
        self.around.shelf.files.write(self.batch.file, at, block(self.desk))
    }

    /// Where a record's data and metadata come from.
    fn bytes(&mut self, record: &DiskRecord, source: &Source) -> Result<Bytes, Stop> {
        let place = match source {
            Source::Nothing => return Ok(Bytes::Nothing),
            Source::Memory(extent) => return Ok(Bytes::Memory { at: extent.offset, checksum: 0 }),
            Source::Disk(place) => *place,
        };
        let is_expected = |found: &DiskRecord| same(found, record);
        let opened = self.around.shelf.open(&mut self.desk.window, &place, is_expected, place.offset + place.bytes);
        Ok(Bytes::Disk(place, opened.map_err(|trouble| self.not_moved(&place, trouble))?))
    }

    /// Fills a range of the buffer with the next bytes of a record.
    fn fill(&mut self, bytes: &mut Bytes, from: usize, to: usize) -> Result<(), Stop> {
        let target = &mut self.desk.staged[from..to];
        match bytes {
            Bytes::Nothing => target.fill(0),
            Bytes::Memory { at, checksum } => {
                self.around.arena.read(*at, target)?;
                *at += target.len() as u64;
                *checksum = crc32c::crc32c_append(*checksum, target);
            }
            Bytes::Disk(place, body) => {
                let files = self.around.shelf.files;
                let copied = body.copy(files, &mut self.desk.window, target, place.offset + place.bytes);
                copied.map_err(|trouble| self.not_moved(place, trouble))?;
            }
        }
        Ok(())
    }

    /// The header of a record, all of whose bytes have gone by, for its place in the file.
    fn header(&self, record: &DiskRecord, bytes: Bytes, offset: u64) -> Result<HeaderBytes, Stop> {
        let checksum = match bytes {
            Bytes::Nothing => 0,
            Bytes::Memory { checksum, .. } => checksum,
            Bytes::Disk(place, body) => body.finish().map_err(|trouble| self.not_moved(&place, trouble))?,
        };
        let header = Header { record: *record, batch_offset: self.batch.offset, checksum };
        Ok(header.encode(self.around.shelf.key, self.batch.file, offset))
    }

    fn not_moved(&self, place: &DiskPlace, trouble: Trouble) -> Stop {
        let at = || format!("{} at {}", self.around.shelf.files.path(place.file).display(), place.offset);
        match trouble {
            Trouble::Lost(why) => {
                tracing::error!("a record that was to be moved is lost: {}: {why}", at());
                Stop::SourceLost(self.record)
            }
            Trouble::Failed(why) => {
                let what = format!("what is to be moved from {} can't be read: {why}", at());
                Stop::Failed(io::Error::other(what))
            }
        }
    }
}

/// No data larger than this shares a block with what comes before it.
const SMALL_BYTES_MAX: u64 = record_bytes(LARGE_DATA_BYTES - 1, METADATA_BYTES_MAX) + BLOCK_BYTES;
/// How much of a record that is moved is read at a time.
const WINDOW_BYTES: usize = 1 << 20;
