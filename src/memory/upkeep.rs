//! The thread that makes pages present ahead of use and gives them back, where the core sends it.
//!
//! It has the lowest priority and one errand at a time, of some milliseconds. Before it takes memory it looks whether
//! the machine and every cgroup still have some: it fails with a sentence rather than have somebody killed, and is not
//! sent for more.

use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{fs::File, io, thread};

use mio::Waker;
use plasmad_core::Upkeep;
use plasmad_core::arena::Stretch;
use plasmad_shm::populate;
use plasmad_wire::Extent;

use crate::config::Populate;
use crate::memory::machine;
use crate::size;

/// What the thread is sent for.
#[derive(Clone, Copy, Debug)]
pub enum Errand {
    /// Make this present.
    Populate(Stretch),
    /// Give this back; nobody has it.
    GiveBack(Extent),
}

/// The engine's handle on the thread, which ends with it.
#[derive(Debug)]
pub struct Errands {
    sent: Sender<Errand>,
    done: Receiver<bool>,
}

impl Errands {
    /// Starts the thread. It wakes the engine when it is done with an errand.
    pub fn start(arena: OwnedFd, waker: Waker) -> io::Result<Self> {
        let (sent, received) = channel();
        let (tell, done) = channel();
        thread::Builder::new().name("upkeep".to_owned()).spawn(move || {
            if let Err(error) = populate::lower_thread_priority() {
                tracing::warn!("population runs at normal priority: {error}");
            }
            let arena = File::from(arena);
            for errand in received {
                // A closed channel or a poll that is gone: the engine ends.
                if tell.send(run(&arena, errand)).is_err() || waker.wake().is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { sent, done })
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
}

/// What the core is to do about memory that nobody uses.
pub fn upkeep(populate: Populate) -> Upkeep {
    match populate {
        Populate::Ahead => Upkeep { ahead_bytes: AHEAD_BYTES, idle_ns: IDLE_NS },
        Populate::All => Upkeep { ahead_bytes: u64::MAX, ..Upkeep::NONE },
        Populate::None => Upkeep { ahead_bytes: 0, idle_ns: IDLE_NS },
    }
}

fn run(arena: &File, errand: Errand) -> bool {
    match errand {
        Errand::Populate(stretch) => {
            let populated = make_present(arena, stretch);
            if let Err(reason) = &populated {
                let present = arena.metadata().map_or(0, |file| file.blocks() * 512);
                tracing::warn!("population stops at {}: {reason}", size::display(present));
            }
            populated.is_ok()
        }
        Errand::GiveBack(extent) => {
            let given_back = populate::punch_hole(arena, extent.offset, extent.bytes);
            if let Err(error) = &given_back {
                tracing::warn!("unused memory can't be given back: {error}");
            }
            given_back.is_ok()
        }
    }
}

fn make_present(arena: &File, stretch: Stretch) -> Result<(), String> {
    let available = machine::available();
    if available.bytes < stretch.bytes + RESERVE_BYTES {
        return Err(format!("{} is down to {}", available.name, size::display(available.bytes)));
    }
    populate::populate(arena, stretch.offset, stretch.bytes).map_err(|error| error.to_string())
}

/// How far population runs ahead of use.
const AHEAD_BYTES: u64 = 1 << 30;
/// How long memory beyond that is kept for nobody.
const IDLE_NS: u64 = 60 * 1_000_000_000;
/// What is always left to everybody else.
pub(crate) const RESERVE_BYTES: u64 = 256 << 20;
