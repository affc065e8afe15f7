//! Pages made present ahead of use, so that no client pays for the first touch.
//!
//! The arena is filled from its front, and the allocator keeps to the front; so what is present is always a prefix.
//! A thread of low priority moves its end, a chunk at a time, and looks before each chunk whether the machine and
//! every cgroup still have memory: it stops with a sentence rather than have somebody killed.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::{io, thread};

use plasmad_shm::populate;

use crate::config::Populate;
use crate::memory::machine;
use crate::size;

/// The engine's handle on the populating thread.
#[derive(Debug)]
pub struct Population {
    mode: Populate,
    capacity_bytes: u64,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    /// Where the prefix should end.
    wanted_bytes: Mutex<u64>,
    raised: Condvar,
    present_bytes: AtomicU64,
    stopped: AtomicBool,
}

impl Population {
    /// Starts the thread, unless nothing is to be populated.
    pub fn start(mode: Populate, arena: OwnedFd, capacity_bytes: u64) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        if mode != Populate::None {
            let shared = shared.clone();
            thread::Builder::new().name("population".to_owned()).spawn(move || shared.work(&arena))?;
        }
        let population = Self { mode, capacity_bytes, shared };
        population.keep_ahead(0, capacity_bytes);
        Ok(population)
    }

    /// Raises the prefix to what may be used soon.
    pub fn keep_ahead(&self, high_water_bytes: u64, free_bytes: u64) {
        let wanted = match self.mode {
            Populate::None => return,
            Populate::All => self.capacity_bytes,
            Populate::Ahead => high_water_bytes + AHEAD_BYTES.min(free_bytes),
        };
        let wanted = wanted.next_multiple_of(CHUNK_BYTES).min(self.capacity_bytes);
        let mut current = self.shared.wanted_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted > *current {
            *current = wanted;
            self.shared.raised.notify_one();
        }
    }

    /// Nothing that is wanted is missing, or nothing more can be had.
    pub fn is_done(&self) -> bool {
        let wanted = *self.shared.wanted_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        self.shared.stopped.load(Relaxed) || self.shared.present_bytes.load(Relaxed) >= wanted
    }
}

impl Shared {
    fn work(&self, arena: &OwnedFd) {
        if let Err(error) = populate::lower_thread_priority() {
            tracing::warn!("population runs at normal priority: {error}");
        }
        let mut present = 0;
        loop {
            let wanted = self.wait_for_more(present);
            let chunk = CHUNK_BYTES.min(wanted - present);
            if let Err(reason) = populate_chunk(arena, present, chunk) {
                tracing::warn!("population stops at {}: {reason}", size::display(present));
                return self.stopped.store(true, Relaxed);
            }
            present += chunk;
            self.present_bytes.store(present, Relaxed);
        }
    }

    fn wait_for_more(&self, present: u64) -> u64 {
        let wanted = self.wanted_bytes.lock().unwrap_or_else(PoisonError::into_inner);
        let raised = self.raised.wait_while(wanted, |wanted| *wanted <= present);
        *raised.unwrap_or_else(PoisonError::into_inner)
    }
}

fn populate_chunk(arena: &OwnedFd, offset: u64, bytes: u64) -> Result<(), String> {
    let available = machine::available();
    if available.bytes < bytes + RESERVE_BYTES {
        return Err(format!("{} is down to {}", available.name, size::display(available.bytes)));
    }
    populate::populate(arena, offset, bytes).map_err(|error| error.to_string())
}

/// How far population runs ahead of use.
const AHEAD_BYTES: u64 = 1 << 30;
/// Small enough that a look at the machine's memory is never old.
const CHUNK_BYTES: u64 = 16 << 20;
/// What is always left to everybody else.
pub(crate) const RESERVE_BYTES: u64 = 256 << 20;
