//! The machine's disk: one file written or read past the page cache, from its front to its end, by one thread or by some
//! that take turns.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use nix::fcntl::OFlag;

use crate::clock;
use crate::machine::{Ways, memory, whole};
use crate::protocol::{Failure, Row};
use crate::source::{MIB, Source};

/// As many bytes as the row has, written and synced; or written before, and read.
pub(crate) fn loops(directory: &Path, source: &Source, row: &Row) -> Result<Ways, Failure> {
    let bytes = (row.bytes * row.objects) as u64;
    let mut ways = BTreeMap::new();
    for threads in THREADS {
        let file = DirectFile::new(directory)?;
        let write = |at, block: &mut [u8]| file.0.write_all_at(block, at);
        let read = |at, block: &mut [u8]| file.0.read_exact_at(block, at);
        let before = clock::now();
        drive(threads, source, bytes, write)?;
        file.0.sync_data()?;
        let written = clock::now();
        let took = match row.verb.as_str() {
            "spill" => written - before,
            _ => {
                drive(threads, source, bytes, read)?;
                clock::now() - written
            }
        };
        let plural = if threads == 1 { "" } else { "s" };
        ways.insert(format!("1 MiB at a time, {threads} thread{plural}"), vec![took as f64]);
    }
    Ok(ways)
}

/// It has no name, so it is gone with this value.
struct DirectFile(File);

impl DirectFile {
    fn new(directory: &Path) -> Result<Self, Failure> {
        let path = directory.join("direct");
        let mut options = File::options();
        let file = options.read(true).write(true).create_new(true).custom_flags(OFlag::O_DIRECT.bits()).open(&path);
        let file = file.map_err(|error| Failure::Unsupported(format!("no file past the page cache: {error}")))?;
        fs::remove_file(&path)?;
        Ok(Self(file))
    }
}

/// Has threads take the blocks in turns, each with memory of its own.
fn drive(
    threads: usize,
    source: &Source,
    bytes: u64,
    act: impl Fn(u64, &mut [u8]) -> io::Result<()> + Sync,
) -> Result<(), Failure> {
    let next = AtomicU64::new(0);
    let work = || -> Result<(), Failure> {
        let mapping = memory(MIB)?;
        let mut block = whole(&mapping, MIB);
        block.copy_from_slice(source.piece(MIB, 0));
        loop {
            let at = next.fetch_add(MIB as u64, Ordering::Relaxed);
            if at >= bytes {
                return Ok(());
            }
            act(at, &mut block)?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("it doesn't panic"))
    })
}

const THREADS: [usize; 3] = [1, 2, 4];
