//! Copies into shared memory, and a thread that looks as soon as it is told: every byte is there.
//!
//! Between a copy and the word that tells of it there is no system call here, and no lock: either would hide that a
//! fence is missing.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::time::{Duration, Instant};

use plasmad_shm::mapping::{ReadMapping, UnsealedBytes, WriteMapping};
use plasmad_shm::memfd;

use super::processors::{processors, run_on};
use crate::support::Random;

/// Copies for so long; how often. Panics at a byte that wasn't there yet.
pub(super) fn copy_and_tell(time: Duration) -> u64 {
    let file = memfd::create("torture", LENGTH_MAX).unwrap();
    let writable = Arc::new(WriteMapping::new(&file, LENGTH_MAX).unwrap());
    let mut target = UnsealedBytes::new(writable, 0, LENGTH_MAX).unwrap();
    let readable = ReadMapping::new(&file, LENGTH_MAX).unwrap();
    // Number and length of the last copy, and of the last one looked at: so nobody writes what the other looks at.
    let (copied, looked_at) = (Told::default(), Told::default());
    let processors = processors();
    run_on(&processors, 0);
    std::thread::scope(|scope| {
        let looker = scope.spawn(|| {
            run_on(&processors, 1);
            for copy in 1u64.. {
                match copied.wait(copy, || false) {
                    0 => return,
                    bytes => check(copy, readable.sealed_bytes(0, bytes).unwrap()),
                }
                looked_at.tell(copy, 0);
            }
        });
        let mut random = Random(1);
        let mut copies = 0u64;
        let end = Instant::now() + time;
        while Instant::now() < end && !looker.is_finished() {
            copies += 1;
            let bytes = length(&mut random);
            let source = copies.to_le_bytes().repeat(bytes as usize / 8);
            target.copy_from(0, &source);
            copied.tell(copies, bytes);
            looked_at.wait(copies, || looker.is_finished());
        }
        copied.tell(copies + 1, 0);
        looker.join().unwrap();
        copies
    })
}

/// Mostly small ones, which are told of while their last bytes are still on their way.
fn length(random: &mut Random) -> u64 {
    match random.below(1000) {
        0 => LENGTH_MAX,
        1..10 => 1 << 20,
        _ => 1024 + 8 * random.below(1024),
    }
}

/// From the end, where the last bytes are.
fn check(copy: u64, found: &[u8]) {
    let words = found.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
    let wrong = words.enumerate().rev().find(|(_, word)| *word != copy);
    assert_eq!(wrong, None, "WRONG BYTES: in copy {copy}, of {} words", found.len() / 8);
}

/// The number of a copy, told to another thread: on a line of its own.
#[derive(Default)]
#[repr(align(128))]
struct Told {
    bytes: AtomicU64,
    copy: AtomicU64,
}

impl Told {
    fn tell(&self, copy: u64, bytes: u64) {
        self.bytes.store(bytes, Release);
        self.copy.store(copy, Release);
    }

    /// Waits until this copy is told, or for nothing if the other is gone; its length.
    fn wait(&self, copy: u64, is_over: impl Fn() -> bool) -> u64 {
        let mut turns = 0u32;
        while self.copy.load(Acquire) != copy && !is_over() {
            turns += 1;
            // The other may have no processor.
            if turns.is_multiple_of(10_000) {
                std::thread::yield_now();
            }
        }
        self.bytes.load(Acquire)
    }
}

/// So long that two threads copy it.
const LENGTH_MAX: u64 = 8 << 20;
