//! The thread that makes pages present ahead of use and gives them back, where the core sends it.
//!
//! It has the lowest priority and one errand at a time, of some milliseconds. Before it takes memory it looks whether
//! the machine and every cgroup still have some: it fails with a sentence rather than have somebody killed, and is not
//! sent for more.
//!
//! Free memory becomes huge pages where the kernel makes them: that takes no longer than as many small ones, and saves
//! each client 511 of 512 first touches. Where one can't be had, small ones do. So does the index of a store that has
//! more than a few objects, mostly before it is used; what can't be had of it is tried again later, as the kernel gives
//! up where somebody uses a page at that moment.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread;
use std::time::Duration;

use mio::Waker;
use nix::errno::Errno;
use plasmad_core::Upkeep;
use plasmad_core::arena::{SPAN_BYTES, Stretch};
use plasmad_shm::populate;
use plasmad_wire::Extent;

use crate::config::{HugePages, Populate};
use crate::memory::machine;
use crate::size;

/// What the thread is sent for.
#[derive(Clone, Copy, Debug)]
pub enum Errand {
    /// Make this present.
    Populate(Stretch),
    /// Give this back; nobody has it.
    GiveBack(Extent),
    /// Make a huge page of this piece of the index. There is no hurry, and nobody is told.
    Index(u64),
}

/// The engine's handle on the thread, which ends with it.
#[derive(Debug)]
pub struct Errands {
    sent: Sender<Errand>,
    done: Receiver<bool>,
    huge_bytes: Arc<AtomicU64>,
}

impl Errands {
    /// Starts the thread. It wakes the engine when it is done with an errand.
    pub fn start(arena: OwnedFd, index: OwnedFd, huge_pages: HugePages, waker: Arc<Waker>) -> io::Result<Self> {
        let (sent, received) = channel();
        let (tell, done) = channel();
        let huge_bytes = Arc::new(AtomicU64::new(0));
        let counted = huge_bytes.clone();
        let mut worker = Worker::new(File::from(arena), index, huge_pages);
        thread::Builder::new().name("upkeep".to_owned()).spawn(move || {
            if let Err(error) = populate::lower_thread_priority(populate::LOWEST_NICE) {
                tracing::warn!("population runs at normal priority: {error}");
            }
            while let Some(errand) = worker.next(&received) {
                let Some(succeeded) = worker.run(errand) else { continue };
                counted.store(worker.huge.len() as u64 * SPAN_BYTES, Relaxed);
                // A closed channel or a poll that is gone: the engine ends.
                if tell.send(succeeded).is_err() || waker.wake().is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { sent, done, huge_bytes })
    }

    /// Sends the thread on its next errand.
    pub fn send(&self, errand: Errand) {
        // If the thread is dead, nothing is made present any more, and nothing given back.
        let _ = self.sent.send(errand);
    }

    /// Whether the last errand succeeded, once it is done.
    pub fn done(&self) -> Option<bool> {
        self.done.try_recv().ok()
    }

    /// How much of the arena was made huge pages and not given back since. The system may have split some of them,
    /// which it does when memory is short.
    pub fn huge_bytes(&self) -> u64 {
        self.huge_bytes.load(Relaxed)
    }
}

/// What the core is to do about memory that nobody uses.
pub fn upkeep(populate: Populate, huge_pages: HugePages) -> Upkeep {
    let idle_ns = match (populate, huge_pages) {
        // Reserved huge pages are good for nothing else, and whoever got one given back would have it for good.
        (Populate::All, _) | (_, HugePages::Always) => Upkeep::NONE.idle_ns,
        (Populate::Ahead | Populate::None, HugePages::Auto | HugePages::Never) => IDLE_NS,
    };
    let ahead_bytes = match populate {
        Populate::Ahead => AHEAD_BYTES,
        Populate::All => u64::MAX,
        Populate::None => 0,
    };
    Upkeep { ahead_bytes, idle_ns }
}

/// What the thread has.
struct Worker {
    arena: File,
    index: OwnedFd,
    huge_pages: HugePages,
    /// Where the spans begin that were made huge pages.
    huge: BTreeSet<u64>,
    /// A huge page could not be had.
    has_failed: bool,
    /// Pieces of the index that could not be made huge pages yet.
    unmade: VecDeque<u64>,
    /// How long it is until the first of them is tried again.
    patience: Duration,
}

impl Worker {
    fn new(arena: File, index: OwnedFd, huge_pages: HugePages) -> Self {
        let (huge, unmade) = (BTreeSet::new(), VecDeque::new());
        Self { arena, index, huge_pages, huge, has_failed: false, unmade, patience: PATIENCE_LEAST }
    }

    /// What is to be done next, once there is something; nothing if nobody will send any more.
    fn next(&mut self, received: &Receiver<Errand>) -> Option<Errand> {
        if self.unmade.is_empty() {
            return received.recv().ok();
        }
        match received.recv_timeout(self.patience) {
            Err(RecvTimeoutError::Timeout) => self.unmade.pop_front().map(Errand::Index),
            told => told.ok(),
        }
    }

    /// Whether it succeeded; `None` if nobody asks.
    fn run(&mut self, errand: Errand) -> Option<bool> {
        match errand {
            Errand::Populate(stretch) => {
                let populated = self.make_present(stretch);
                if let Err(reason) = &populated {
                    let present = self.arena.metadata().map_or(0, |file| file.blocks() * 512);
                    tracing::warn!("population stops at {}: {reason}", size::display(present));
                }
                Some(populated.is_ok())
            }
            Errand::GiveBack(extent) => {
                let given_back = populate::punch_hole(&self.arena, extent.offset, extent.bytes);
                match &given_back {
                    Ok(()) => self.huge.retain(|span| !(extent.offset..extent.offset + extent.bytes).contains(span)),
                    Err(error) => tracing::warn!("unused memory can't be given back: {error}"),
                }
                Some(given_back.is_ok())
            }
            Errand::Index(offset) => {
                self.collapse_index(offset);
                None
            }
        }
    }

    fn make_present(&mut self, stretch: Stretch) -> Result<(), String> {
        let available = machine::available();
        // Reserved huge pages are set aside already.
        if self.huge_pages != HugePages::Always && available.bytes < stretch.bytes + RESERVE_BYTES {
            return Err(format!("{} is down to {}", available.name, size::display(available.bytes)));
        }
        if self.huge_pages == HugePages::Auto && stretch.is_free {
            self.collapse(stretch);
        }
        // What is huge is present already, which takes no time.
        populate::populate(&self.arena, stretch.offset, stretch.bytes).map_err(|error| error.to_string())
    }

    /// Makes huge pages of the whole spans of a stretch, or of as many as can be had.
    fn collapse(&mut self, stretch: Stretch) {
        let bytes = stretch.bytes / SPAN_BYTES * SPAN_BYTES;
        let spans = || (stretch.offset..stretch.offset + bytes).step_by(SPAN_BYTES as usize);
        if bytes > 0 && populate::collapse(&self.arena, stretch.offset, bytes).is_ok() {
            return self.huge.extend(spans());
        }
        for span in spans() {
            match populate::collapse(&self.arena, span, SPAN_BYTES) {
                Ok(()) => drop(self.huge.insert(span)),
                Err(error) => {
                    self.has_failed_to_collapse(&error);
                    if self.huge_pages == HugePages::Never {
                        return;
                    }
                }
            }
        }
    }

    /// Makes a huge page of a piece of the index, now or later.
    fn collapse_index(&mut self, offset: u64) {
        let spared = machine::available().bytes >= SPAN_BYTES + RESERVE_BYTES;
        let made = spared && self.huge_pages != HugePages::Never && {
            let collapsed = populate::collapse(&self.index, offset, SPAN_BYTES);
            collapsed.inspect_err(|error| self.has_failed_to_collapse(error)).is_ok()
        };
        if self.huge_pages == HugePages::Never {
            return self.unmade.clear();
        }
        if !made {
            self.unmade.push_back(offset);
        }
        self.patience = if made { PATIENCE_LEAST } else { (2 * self.patience).min(PATIENCE_MOST) };
    }

    fn has_failed_to_collapse(&mut self, error: &io::Error) {
        if !std::mem::replace(&mut self.has_failed, true) {
            tracing::info!("huge pages can't be had: {error}; small ones do");
        }
        // This kernel, or the way it is set, never makes any. An arena of reserved ones is what it is.
        if error.raw_os_error() == Some(Errno::EINVAL as i32) && self.huge_pages == HugePages::Auto {
            self.huge_pages = HugePages::Never;
        }
    }
}

/// How far population runs ahead of use.
const AHEAD_BYTES: u64 = 1 << 30;
/// How long memory beyond that is kept for nobody.
const IDLE_NS: u64 = 60 * 1_000_000_000;
/// What is always left to everybody else.
pub(crate) const RESERVE_BYTES: u64 = 256 << 20;

/// How soon a piece of the index is tried again, and how seldom while it goes on failing: the kernel may look through
/// all memory for each.
const PATIENCE_LEAST: Duration = Duration::from_millis(10);
const PATIENCE_MOST: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::FileExt;

    use nix::fcntl::{SpliceFFlags, splice};
    use nix::unistd::pipe;
    use plasmad_shm::memfd;

    use super::*;

    #[test]
    fn a_piece_of_the_index_that_somebody_uses_just_then_is_made_huge_later() {
        let file = || memfd::create("plasmad-upkeep-test", SPAN_BYTES).unwrap();
        if let Err(error) = populate::collapse(file(), 0, SPAN_BYTES) {
            return println!("no huge pages here: {error}");
        }
        let (index, (_send, received)) = (file(), channel());
        let mut worker = Worker::new(File::from(file()), index.try_clone().unwrap(), HugePages::Auto);
        // A pipe has the page itself, as long as nobody reads it.
        File::from(index.try_clone().unwrap()).write_all_at(b"used", 0).unwrap();
        let (reading, writing) = pipe().unwrap();
        splice(index.as_fd(), Some(&mut 0), &writing, None, 4, SpliceFFlags::empty()).unwrap();
        assert_eq!(worker.run(Errand::Index(0)), None);
        assert_eq!((&worker.unmade, worker.patience), (&[0].into(), 2 * PATIENCE_LEAST));
        drop((reading, writing));
        for _ in 0..8 {
            if worker.unmade.is_empty() {
                break;
            }
            let again = worker.next(&received).expect("it is tried again");
            worker.run(again);
        }
        assert!(worker.unmade.is_empty(), "{:?}", worker.unmade);
        assert_eq!(worker.patience, PATIENCE_LEAST);
    }

    #[test]
    fn reserved_huge_pages_are_kept() {
        assert_eq!(upkeep(Populate::None, HugePages::Always), Upkeep::NONE);
        assert_eq!(upkeep(Populate::All, HugePages::Auto), Upkeep { ahead_bytes: u64::MAX, ..Upkeep::NONE });
        assert_eq!(upkeep(Populate::None, HugePages::Never), Upkeep { ahead_bytes: 0, idle_ns: IDLE_NS });
    }
}
