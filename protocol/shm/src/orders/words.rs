//! A file's words for models: the interface of the mapped ones, and loom's atomics behind it.
//!
//! Invariant: all words of a file are made when the file is, before a second thread can know of it, as loom demands.
//! Which ones these are is learned: whoever comes to a word that isn't there notes it and ends the run, and the next one
//! has it.

use std::cell::RefCell;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::panic::resume_unwind;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Weak};

use nix::sys::stat::fstat;

use super::atomic::{AtomicU32, AtomicU64};
use crate::memfd;

/// A word was missing. The next run has it.
pub(super) struct Learned;

/// What is known of files by their names: where words were looked for.
#[derive(Clone, Default, Debug)]
struct Layout {
    lines: BTreeSet<u64>,
    halves: BTreeSet<u64>,
}

#[derive(Debug)]
struct File {
    name: String,
    lines: BTreeMap<u64, [AtomicU64; 8]>,
    halves: BTreeMap<u64, AtomicU32>,
}

thread_local! {
    static LAYOUTS: RefCell<BTreeMap<String, Layout>> = const { RefCell::new(BTreeMap::new()) };
    static FILES: RefCell<BTreeMap<u64, Weak<File>>> = const { RefCell::new(BTreeMap::new()) };
    /// Kept from run to run, as making them takes longer than a run.
    static MEMFDS: RefCell<BTreeMap<(String, u64), OwnedFd>> = const { RefCell::new(BTreeMap::new()) };
}

impl File {
    fn create(name: &str) -> Self {
        let layout = LAYOUTS.with_borrow(|layouts| layouts.get(name).cloned().unwrap_or_default());
        let line = |offset| (offset, std::array::from_fn(|_| AtomicU64::new(0)));
        let half = |offset| (offset, AtomicU32::new(0));
        let (lines, halves) = (layout.lines.into_iter().map(line), layout.halves.into_iter().map(half));
        Self { name: name.to_owned(), lines: lines.collect(), halves: halves.collect() }
    }

    fn line(&self, offset: u64) -> &[AtomicU64; 8] {
        self.lines.get(&offset).unwrap_or_else(|| self.learn(|layout| layout.lines.insert(offset)))
    }

    fn word(&self, offset: u64) -> &AtomicU64 {
        assert!(offset.is_multiple_of(8), "a word lies on its own size");
        &self.line(offset / 64 * 64)[offset as usize % 64 / 8]
    }

    fn half(&self, offset: u64) -> &AtomicU32 {
        assert!(offset.is_multiple_of(4), "a word lies on its own size");
        self.halves.get(&offset).unwrap_or_else(|| self.learn(|layout| layout.halves.insert(offset)))
    }

    fn learn(&self, note: impl FnOnce(&mut Layout) -> bool) -> ! {
        LAYOUTS.with_borrow_mut(|layouts| note(layouts.entry(self.name.clone()).or_default()));
        resume_unwind(Box::new(Learned));
    }
}

fn inode(fd: impl AsFd) -> io::Result<u64> {
    Ok(fstat(fd)?.st_ino)
}

fn opened(fd: impl AsFd) -> io::Result<Arc<File>> {
    let inode = inode(fd)?;
    let file = FILES.with_borrow(|files| files.get(&inode).and_then(Weak::upgrade));
    file.ok_or_else(|| io::ErrorKind::NotFound.into())
}

fn memfd_of(name: &str, bytes: u64) -> io::Result<OwnedFd> {
    MEMFDS.with_borrow_mut(|fds| match fds.entry((name.to_owned(), bytes)) {
        Entry::Occupied(made) => made.get().try_clone(),
        Entry::Vacant(place) => place.insert(memfd::create(name, bytes)?).try_clone(),
    })
}

/// As the mapped ones.
#[derive(Debug)]
pub struct ReadWords(Arc<File>);

impl ReadWords {
    /// The words of a file.
    pub fn new(fd: impl AsFd, _: u64) -> io::Result<Self> {
        opened(fd).map(Self)
    }

    /// The 64-bit word at a byte offset, relaxed.
    pub fn u64(&self, offset: u64) -> u64 {
        self.0.word(offset).load(Relaxed)
    }

    /// The 32-bit word at a byte offset, relaxed.
    pub fn u32(&self, offset: u64) -> u32 {
        self.0.half(offset).load(Relaxed)
    }

    pub(crate) fn line(&self, offset: u64) -> Line<'_> {
        Line(self.0.line(offset))
    }
}

/// A line of words that are only loaded from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Line<'words>(&'words [AtomicU64; 8]);

impl Line<'_> {
    pub(crate) fn word(&self, number: usize) -> u64 {
        self.0[number].load(Relaxed)
    }
}

/// As the mapped ones.
#[derive(Debug)]
pub struct Words(Arc<File>);

impl Words {
    /// A new file of zeros.
    pub fn create(name: &str, bytes: u64) -> io::Result<(OwnedFd, Self)> {
        let fd = memfd_of(name, bytes)?;
        let file = Arc::new(File::create(name));
        let inode = inode(&fd)?;
        FILES.with_borrow_mut(|files| files.insert(inode, Arc::downgrade(&file)));
        Ok((fd, Self(file)))
    }

    /// The words of a file.
    pub fn new(fd: impl AsFd, _: u64) -> io::Result<Self> {
        opened(fd).map(Self)
    }

    /// Nobody forks here.
    pub fn keep_from_children(&self) -> io::Result<()> {
        Ok(())
    }

    pub(crate) fn forget(self) {}

    /// The 64-bit word at a byte offset.
    pub fn u64_at(&self, offset: u64) -> &AtomicU64 {
        self.0.word(offset)
    }

    pub(crate) fn line_at(&self, offset: u64) -> &[AtomicU64; 8] {
        self.0.line(offset)
    }

    /// The 32-bit word at a byte offset.
    pub fn u32_at(&self, offset: u64) -> &AtomicU32 {
        self.0.half(offset)
    }
}
