//! A disk in memory that does what it is told to do wrong, and what tests write to it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, OnceLock};

use nix::errno::Errno;
use plasmad_core::disk::{
    BLOCK_BYTES, Batch, DiskPlace, DiskRecord, FileNumber, Restore, Source, WriteOutcome, record_bytes, record_start,
};
use plasmad_shm::memfd;
use plasmad_wire::{Extent, Format, ObjectId};

use super::backend::Backend;
use super::buffer::BLOCK;
use super::read::{Shelf, Trouble, Window};
use super::record::FolderKey;
use super::write::{Desk, Surroundings};
use crate::memory::Arena;

/// What goes wrong, once it was put in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// The n-th write from now on fails so, counted from 0, and all behind it.
    Write(usize, Errno),
    /// The n-th write from now on puts half of it there, and the machine stops: nothing behind it happens.
    Torn(usize),
    /// Every read fails so.
    Read(Errno),
    /// Room can't be set aside.
    Reserve(Errno),
}

/// Files in memory.
#[derive(Debug, Default)]
pub(crate) struct FakeDisk(Mutex<State>);

#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) files: BTreeMap<FileNumber, Vec<u8>>,
    pub(crate) fault: Option<Fault>,
    /// What may still be written; nothing for no limit.
    pub(crate) room: Option<u64>,
    /// Written and not synced since.
    pub(crate) unsynced: BTreeSet<FileNumber>,
    /// Offsets and lengths, in their order.
    pub(crate) writes: Vec<(FileNumber, u64, usize)>,
    pub(crate) reads: Vec<(FileNumber, u64, usize)>,
    /// Syncs and removals, in their order.
    pub(crate) order: Vec<String>,
}

impl FakeDisk {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }
}

fn missing() -> io::Error {
    Errno::ENOENT.into()
}

impl Backend for FakeDisk {
    fn files(&self) -> io::Result<Vec<FileNumber>> {
        Ok(self.state().files.keys().copied().collect())
    }

    fn bytes(&self, file: FileNumber) -> io::Result<u64> {
        self.state().files.get(&file).map(|it| it.len() as u64).ok_or_else(missing)
    }

    fn reserve(&self, file: FileNumber, offset: u64, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        if let Some(Fault::Reserve(error)) = state.fault {
            return Err(error.into());
        }
        let file = state.files.entry(file).or_default();
        file.resize(file.len().max((offset + bytes) as usize), 0);
        Ok(())
    }

    fn write(&self, file: FileNumber, offset: u64, source: &[u8]) -> io::Result<()> {
        let whole = [offset as usize, source.len(), source.as_ptr() as usize].map(|it| it % BLOCK);
        assert_eq!(whole, [0; 3], "whole blocks are written, from where blocks lie");
        let mut state = self.state();
        let mut bytes = source.len();
        match &mut state.fault {
            Some(Fault::Write(0, error)) => return Err((*error).into()),
            Some(Fault::Torn(usize::MAX)) => return Err(Errno::EIO.into()),
            Some(Fault::Torn(at @ 0)) => {
                *at = usize::MAX;
                bytes /= 2;
            }
            Some(Fault::Write(left, _) | Fault::Torn(left)) => *left -= 1,
            _ => (),
        }
        state.writes.push((file, offset, bytes));
        state.unsynced.insert(file);
        let file = state.files.get_mut(&file).ok_or_else(missing)?;
        let end = offset as usize + bytes;
        file.resize(file.len().max(end), 0);
        file[offset as usize..end].copy_from_slice(&source[..bytes]);
        if bytes < source.len() { Err(Errno::EIO.into()) } else { Ok(()) }
    }

    fn read(&self, file: FileNumber, offset: u64, into: &mut [u8]) -> io::Result<usize> {
        let whole = [offset as usize, into.len(), into.as_ptr() as usize].map(|it| it % BLOCK);
        assert_eq!(whole, [0; 3], "whole blocks are read, to where blocks lie");
        let mut state = self.state();
        if let Some(Fault::Read(error)) = state.fault {
            return Err(error.into());
        }
        state.reads.push((file, offset, into.len()));
        let file = state.files.get(&file).ok_or_else(missing)?;
        let found = file.get(offset as usize..).unwrap_or_default();
        let bytes = found.len().min(into.len());
        into[..bytes].copy_from_slice(&found[..bytes]);
        Ok(bytes)
    }

    fn forget(&self, file: FileNumber, offset: u64, bytes: u64) -> io::Result<()> {
        let mut state = self.state();
        if let Some(Fault::Torn(_)) = state.fault {
            return Err(Errno::EIO.into());
        }
        let file = state.files.get_mut(&file).ok_or_else(missing)?;
        let end = file.len().min((offset + bytes) as usize);
        file[offset as usize..end].fill(0);
        Ok(())
    }

    fn sync(&self, file: FileNumber) -> io::Result<()> {
        let mut state = self.state();
        state.unsynced.remove(&file);
        state.order.push(format!("sync {}", file.0));
        Ok(())
    }

    fn condemn(&self, file: FileNumber) -> io::Result<()> {
        let mut state = self.state();
        state.unsynced.remove(&file);
        state.order.push(format!("condemn {}", file.0));
        state.files.remove(&file).map(drop).ok_or_else(missing)
    }

    fn remove(&self, file: FileNumber) -> io::Result<()> {
        self.state().order.push(format!("remove {}", file.0));
        Ok(())
    }

    fn room_bytes(&self) -> io::Result<u64> {
        Ok(self.state().room.unwrap_or(u64::MAX))
    }

    fn path(&self, file: FileNumber) -> PathBuf {
        PathBuf::from(format!("/fake/{}", file.0))
    }
}

/// A disk, an arena full of bytes that tell where they lie, and records cut out of it.
pub(crate) struct Scene {
    pub(crate) disk: FakeDisk,
    pub(crate) arena: Arena,
    pub(crate) desk: Desk,
    sequence: u64,
    batches: u64,
}

pub(crate) const KEY: FolderKey = [3; 16];
/// The upper half of the arena is where records are restored to.
pub(crate) const ARENA_BYTES: u64 = 32 << 20;
/// Small, so that records of a few MiB go through it in pieces.
pub(crate) const STAGED_BYTES: usize = 2 << 20;

impl Scene {
    pub(crate) fn new() -> Self {
        let arena = Arena::from(memfd::create("plasmad-spill-test", ARENA_BYTES).unwrap());
        arena.write(0, pattern(0, (ARENA_BYTES / 2) as usize)).unwrap();
        Self { disk: FakeDisk::default(), arena, desk: Desk::new(STAGED_BYTES), sequence: 0, batches: 0 }
    }

    /// A record of what lies there in the arena.
    pub(crate) fn record(&mut self, at: u64, data_bytes: u64, metadata_bytes: u32) -> (DiskRecord, Source) {
        self.sequence += 1;
        let record = DiskRecord {
            sequence: self.sequence,
            id: ObjectId::from_slice(&self.sequence.to_le_bytes()).unwrap(),
            tombstone: false,
            data_bytes,
            metadata_bytes,
            format: Format::Raw,
            evictable: self.sequence % 2 == 1,
            created_at: 5,
            sealed_at: 6,
        };
        let bytes = data_bytes + u64::from(metadata_bytes);
        (record, Source::Memory(Extent { segment: 0, offset: at, bytes }))
    }

    pub(crate) fn tombstone(&mut self, of: ObjectId) -> (DiskRecord, Source) {
        let (record, _) = self.record(0, 0, 0);
        (DiskRecord { id: of, tombstone: true, evictable: false, ..record }, Source::Nothing)
    }

    pub(crate) fn batch(&mut self, file: u32, offset: u64, records: Vec<(DiskRecord, Source)>) -> Batch {
        self.batches += 1;
        Batch { number: self.batches, file: FileNumber(file), offset, records }
    }

    pub(crate) fn write(&mut self, batch: &Batch) -> WriteOutcome {
        let shelf = Shelf { files: &self.disk, key: &KEY };
        self.desk.write(batch, &Surroundings { shelf, arena: &self.arena, give_way: &|_| () })
    }

    /// Reads a record back, and compares it with what lay there in the arena.
    pub(crate) fn restore(&self, record: &DiskRecord, place: &DiskPlace, lay_at: u64) -> Result<(), Trouble> {
        let bytes = record.data_bytes + u64::from(record.metadata_bytes);
        let into = Extent { segment: 0, offset: ARENA_BYTES / 2, bytes };
        let restore = Restore { number: 0, place: *place, record: *record, into: Some(into), is_guess: false };
        let shelf = Shelf { files: &self.disk, key: &KEY };
        let mut window = Window::new(8 * BLOCK);
        shelf.restore(&mut window, &restore, place.offset + place.bytes, &self.arena)?;
        let mut read = vec![0; bytes as usize];
        self.arena.read(into.offset, &mut read).unwrap();
        assert!(read == pattern(lay_at, bytes as usize), "the bytes of {record:?}");
        Ok(())
    }
}

/// Where a batch's records lie.
pub(crate) fn places(batch: &Batch) -> Vec<DiskPlace> {
    let mut end = batch.offset;
    let mut place = |record: &DiskRecord| {
        let offset = record_start(end, record.data_bytes);
        let bytes = record_bytes(record.data_bytes, record.metadata_bytes);
        end = offset + bytes;
        DiskPlace { file: batch.file, offset, bytes }
    };
    batch.records.iter().map(|(record, _)| place(record)).collect()
}

/// Where the next batch may begin.
pub(crate) fn behind(batch: &Batch) -> u64 {
    places(batch).last().map_or(batch.offset, |it| it.offset + it.bytes).next_multiple_of(BLOCK_BYTES)
}

/// Bytes that tell where they lie, those of a page from those of others too.
pub(crate) fn pattern(at: u64, bytes: usize) -> &'static [u8] {
    static ALL: OnceLock<Vec<u8>> = OnceLock::new();
    let byte = |at: u64| (at ^ (at >> 8).wrapping_mul(0x9E37_79B9) ^ (at >> 20)) as u8;
    &ALL.get_or_init(|| (0..ARENA_BYTES / 2).map(byte).collect())[at as usize..at as usize + bytes]
}
