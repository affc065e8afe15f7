//! What the disk can do without a store: one file written and read past the page cache, from its front to its end.
//!
//! The file lies in the folder that the measured daemon spills to, and has no name there: however the bench ends,
//! nothing of it stays.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::{FallocateFlags, OFlag, fallocate};
use nix::sys::statvfs::statvfs;
use plasmad_client::Store;
use plasmad_shm::page_cache;
use serde_json::Value;

use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::limits::CopyLoop;
use crate::rows::source;
use crate::slice::Slice;
use crate::statistics::median;

/// How a file is driven: so many bytes at a time, by so many threads that take turns.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct DiskWay {
    pub(crate) block_bytes: u64,
    pub(crate) threads: usize,
}

/// The ways with the highest rates.
#[derive(Clone, Debug)]
pub(crate) struct BestWays {
    pub(crate) write: DiskWay,
    pub(crate) read: DiskWay,
    /// All there are, with their rates.
    pub(crate) note: String,
}

/// A file without a name.
#[derive(Debug)]
pub(crate) struct DiskFile(File);

impl DiskWay {
    /// All the ways among which the best is chosen.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        let threads = |block_bytes| [1, 2, 4].map(|threads| Self { block_bytes, threads });
        [1 << 20, 8 << 20].into_iter().flat_map(threads)
    }

    pub(crate) fn name(self) -> String {
        format!("{} MiB x{}", self.block_bytes >> 20, self.threads)
    }
}

impl BestWays {
    /// Tries all of them with so many bytes, some times each in turns.
    pub(crate) fn find(bench: &Bench<'_>, folder: &Path, bytes: u64) -> Result<Self> {
        let mut tried: Vec<(DiskWay, [Vec<f64>; 2])> = DiskWay::all().map(|way| (way, Default::default())).collect();
        for _ in 0..TRIALS {
            for (way, [written, read]) in &mut tried {
                bench.check()?;
                let (file, mut slice) = (DiskFile::new(folder)?, Slice::default());
                slice.time(1, || file.write(*way, bytes))?;
                slice.time(1, || file.read(*way, bytes))?;
                written.push(bytes as f64 / slice.samples[0] / 1e9);
                read.push(bytes as f64 / slice.samples[1] / 1e9);
            }
        }
        let best = |which: usize| {
            let rate = |it: &&(DiskWay, [Vec<f64>; 2])| median(&it.1[which]);
            let best = tried.iter().max_by(|a, b| rate(a).total_cmp(&rate(b))).expect("there are ways");
            best.0
        };
        let rates = |(way, [written, read]): &(DiskWay, [Vec<f64>; 2])| {
            format!("{} {:.2}/{:.2}", way.name(), median(written), median(read))
        };
        let note = format!("GB/s written/read: {}", tried.iter().map(rates).collect::<Vec<_>>().join(", "));
        Ok(Self { write: best(0), read: best(1), note })
    }
}

impl DiskFile {
    /// Makes one. It is gone with this value.
    pub(crate) fn new(folder: &Path) -> Result<Self> {
        let path = folder.join(format!("bench-{}", std::process::id()));
        let open = || {
            let mut options = File::options();
            let file =
                options.read(true).write(true).create_new(true).custom_flags(OFlag::O_DIRECT.bits()).open(&path)?;
            fs::remove_file(&path)?;
            Ok(Self(file))
        };
        open().map_err(|error: io::Error| {
            Error::system(format!("a file past the page cache in {}", folder.display()))(error)
        })
    }

    /// Writes its first so many bytes, and returns when they would survive a power failure.
    pub(crate) fn write(&self, way: DiskWay, bytes: u64) -> Result<()> {
        let write = |at, block: &mut [u8]| self.0.write_all_at(block, at);
        // Where that isn't known, room is found as it is written.
        let _ = fallocate(&self.0, FallocateFlags::empty(), 0, bytes as i64);
        self.drive(way, bytes, write)
            .and_then(|()| self.0.sync_data())
            .map_err(Error::system("a bare write to the disk"))
    }

    /// Reads its first so many bytes.
    pub(crate) fn read(&self, way: DiskWay, bytes: u64) -> Result<()> {
        let read = |at, block: &mut [u8]| self.0.read_exact_at(block, at);
        self.drive(way, bytes, read).map_err(Error::system("a bare read from the disk"))
    }

    /// For those who write or read elsewhere in it.
    pub(crate) fn file(&self) -> &File {
        &self.0
    }

    /// Has threads take the blocks in turns.
    pub(crate) fn drive(
        &self,
        way: DiskWay,
        bytes: u64,
        act: impl Fn(u64, &mut [u8]) -> io::Result<()> + Sync,
    ) -> io::Result<()> {
        let next = AtomicU64::new(0);
        let work = || {
            let mut memory = CopyLoop::new(way.block_bytes).map_err(io::Error::other)?;
            let block = memory.next_place(way.block_bytes as usize);
            block.copy_from_slice(&source(way.block_bytes as usize));
            loop {
                let at = next.fetch_add(way.block_bytes, Ordering::Relaxed);
                if at >= bytes {
                    return Ok(());
                }
                act(at, block)?;
            }
        };
        std::thread::scope(|scope| {
            let threads: Vec<_> = (0..way.threads).map(|_| scope.spawn(work)).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("it doesn't panic"))
        })
    }
}

/// Where a daemon spills to.
pub(crate) fn spill_folder(store: &Store) -> Result<PathBuf> {
    let document: Value = serde_json::from_str(&store.stats_json()?).unwrap_or_default();
    let folder = document.pointer("/spill/directory").and_then(Value::as_str);
    folder.map(PathBuf::from).ok_or_else(|| Error::Daemon("the daemon doesn't say where it spills to".to_owned()))
}

/// Whether a folder's disk has room for so many bytes; else the reason why not.
pub(crate) fn check(folder: &Path, bytes: u64) -> std::result::Result<(), String> {
    let found = statvfs(folder).map_err(|error| format!("the disk of {} tells nothing: {error}", folder.display()))?;
    let free = found.blocks_available() * found.fragment_size();
    // Half of what is free is what a daemon takes of it.
    let needed = 2 * bytes;
    match free >= needed {
        true => Ok(()),
        false => Err(format!(
            "it takes a disk with {} MiB free, and that of {} has {} MiB",
            needed >> 20,
            folder.display(),
            free >> 20
        )),
    }
}

/// The spill files of a folder.
pub(crate) fn spill_files(folder: &Path) -> io::Result<Vec<File>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "spill") {
            files.push(File::open(path)?);
        }
    }
    Ok(files)
}

/// How much of these files the page cache holds.
pub(crate) fn cached_bytes(files: &[File]) -> io::Result<u64> {
    files.iter().map(|file| page_cache::cached_bytes(file, file.metadata()?.len())).sum()
}

const TRIALS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_that_is_too_small_is_told_with_both_sizes() {
        let here = std::env::temp_dir();
        assert_eq!(check(&here, 0), Ok(()));
        let why = check(&here, u64::MAX / 4).unwrap_err();
        assert!(why.contains("MiB free") && why.contains(&here.display().to_string()), "{why}");
    }

    #[test]
    fn each_block_of_a_file_is_taken_once_whoever_takes_it() {
        let file = DiskFile::new(Path::new("/var/tmp")).unwrap();
        let taken = std::sync::Mutex::new(Vec::new());
        let take = |at, block: &mut [u8]| {
            assert_eq!((block.len(), block.as_ptr() as usize % 4096), (1 << 20, 0));
            taken.lock().unwrap().push(at >> 20);
            Ok(())
        };
        file.drive(DiskWay { block_bytes: 1 << 20, threads: 4 }, 32 << 20, take).unwrap();
        let mut taken = taken.into_inner().unwrap();
        taken.sort_unstable();
        assert!(taken.into_iter().eq(0..32u64));
        let failing = |at, _: &mut [u8]| if at == 3 << 20 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) };
        assert!(file.drive(DiskWay { block_bytes: 1 << 20, threads: 2 }, 8 << 20, failing).is_err());
    }

    #[test]
    fn what_is_written_is_read_and_stays_out_of_the_page_cache() {
        let (file, way) = (DiskFile::new(Path::new("/var/tmp")).unwrap(), DiskWay { block_bytes: 1 << 20, threads: 2 });
        file.write(way, 4 << 20).unwrap();
        file.read(way, 4 << 20).unwrap();
        assert!(file.read(way, 5 << 20).is_err(), "it ends before");
        assert_eq!(cached_bytes(&[file.0.try_clone().unwrap()]).unwrap(), 0);
        // The same through the cache is noticed.
        let path = Path::new("/var/tmp").join(format!("plasmad-bench-test-{}", std::process::id()));
        fs::write(&path, vec![1; 1 << 20]).unwrap();
        let cached = cached_bytes(&[File::open(&path).unwrap()]).unwrap();
        fs::remove_file(&path).unwrap();
        assert_eq!(cached, 1 << 20);
    }
}
