//! What the machine can do without a store: round trips over a bare socket, copies into bare shared memory.

use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::{Relaxed, Release};

use plasmad_shm::copy::{Method, copy_with};
use plasmad_shm::mapping::{UnsealedBytes, WriteMapping};
use plasmad_shm::{memfd, populate};

use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::helper::Helper;

/// The other end of a bare socket, in a process of its own.
#[derive(Debug)]
pub(crate) struct Echo {
    helper: Helper,
    buffer: Vec<u8>,
}

/// How long a request and its answer are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RoundTrip {
    pub(crate) request_bytes: usize,
    pub(crate) answer_bytes: usize,
}

impl Echo {
    pub(crate) fn start(bench: &Bench<'_>) -> Result<Self> {
        Ok(Self { helper: bench.helper(&["echo"])?, buffer: vec![0; MESSAGE_BYTES_MAX] })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.helper.pid()
    }

    /// One send and one receive at either end.
    pub(crate) fn round_trip(&mut self, lengths: RoundTrip) -> Result<()> {
        let mut stream = self.helper.stream();
        let (request, answer) = (lengths.request_bytes as u32, lengths.answer_bytes as u32);
        self.buffer[..4].copy_from_slice(&request.to_le_bytes());
        self.buffer[4..8].copy_from_slice(&answer.to_le_bytes());
        let sent = stream.write_all(&self.buffer[..lengths.request_bytes]);
        sent.and_then(|()| stream.read_exact(&mut self.buffer[..lengths.answer_bytes]))
            .map_err(Error::system("a bare round trip"))
    }
}

/// Answers each message with as many bytes as it asks for.
pub(crate) fn echo(mut channel: UnixStream) -> Result<()> {
    let mut buffer = vec![0; MESSAGE_BYTES_MAX];
    let mut received = 0;
    loop {
        match channel.read(&mut buffer[received..]) {
            Ok(0) => return Ok(()),
            Ok(bytes) => received += bytes,
            Err(error) => return Err(Error::system("a bare round trip")(error)),
        }
        let word = |at: usize| u32::from_le_bytes(buffer[at..at + 4].try_into().expect("4 bytes")) as usize;
        if received >= 8 && received >= word(0) {
            channel.write_all(&buffer[..word(4)]).map_err(Error::system("a bare round trip"))?;
            received = 0;
        }
    }
}

/// A way to copy.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) struct Way {
    pub(crate) method: Method,
    pub(crate) threads: NonZeroUsize,
}

impl Way {
    /// All the ways among which the best is chosen.
    pub(crate) const ALL: [Self; 4] = [
        Self { method: Method::Plain, threads: ONE },
        Self { method: Method::Plain, threads: TWO },
        Self { method: Method::NonTemporal, threads: ONE },
        Self { method: Method::NonTemporal, threads: TWO },
    ];

    pub(crate) fn name(self) -> String {
        let method = match self.method {
            Method::Plain => "memcpy",
            Method::NonTemporal => "non-temporal",
            Method::Striped => "striped",
        };
        format!("{method} x{}", self.threads)
    }
}

/// Shared memory that is present, written place after place.
#[derive(Debug)]
pub(crate) struct CopyLoop {
    bytes: UnsealedBytes,
    next: usize,
}

impl CopyLoop {
    /// Makes the memory; it is touched by nobody yet but the kernel.
    pub(crate) fn new(bytes: u64) -> Result<Self> {
        Ok(Self::over(PresentMemory::new(bytes)?.map()?))
    }

    pub(crate) fn over(bytes: UnsealedBytes) -> Self {
        Self { bytes, next: 0 }
    }

    /// Touches every page, so that this process has it in its tables.
    pub(crate) fn touch(&mut self) {
        self.bytes.chunks_mut(4096).for_each(|page| page[0] = 1);
    }

    /// Copies to the next place.
    pub(crate) fn copy(&mut self, way: Way, source: &[u8]) {
        let target = self.next_place(source.len());
        copy_with(way.method, way.threads, target, source);
    }

    /// The next place for so many bytes; the first follows the last.
    pub(crate) fn next_place(&mut self, bytes: usize) -> &mut [u8] {
        if self.next + bytes > self.bytes.len() {
            self.next = 0;
        }
        let start = self.next;
        self.next += bytes;
        self.place(start, bytes)
    }

    /// So many bytes there.
    pub(crate) fn place(&mut self, start: usize, bytes: usize) -> &mut [u8] {
        &mut self.bytes[start..start + bytes]
    }
}

/// A file of shared memory whose pages are all present.
#[derive(Debug)]
pub(crate) struct PresentMemory {
    fd: std::os::fd::OwnedFd,
    bytes: u64,
}

impl PresentMemory {
    pub(crate) fn new(bytes: u64) -> Result<Self> {
        let system = |error| Error::system(format!("{bytes} bytes of shared memory"))(error);
        let fd = memfd::create("plasmad-bench", bytes).map_err(system)?;
        populate::populate(&fd, 0, bytes).map_err(system)?;
        Ok(Self { fd, bytes })
    }

    /// A mapping of its own: none of its pages is in this process's tables.
    pub(crate) fn map(&self) -> Result<UnsealedBytes> {
        let mapping = WriteMapping::new(&self.fd, self.bytes).map_err(Error::system("mapping shared memory"))?;
        Ok(UnsealedBytes::new(Arc::new(mapping), 0, self.bytes).expect("it is as long as its file"))
    }
}

/// The least a queue between two processes can do: fill an entry of a cache line, then publish it.
#[derive(Debug)]
pub(crate) struct Ring {
    entries: Vec<[AtomicU64; 8]>,
    tail: AtomicU64,
}

impl Ring {
    pub(crate) fn new() -> Self {
        Self { entries: (0..RING_ENTRIES).map(|_| Default::default()).collect(), tail: AtomicU64::new(0) }
    }

    pub(crate) fn push(&self, entry: [u64; 8]) {
        let tail = self.tail.load(Relaxed);
        let place = &self.entries[(tail % RING_ENTRIES) as usize];
        place.iter().zip(entry).for_each(|(word, value)| word.store(value, Relaxed));
        self.tail.store(tail + 1, Release);
    }
}

pub(crate) const ONE: NonZeroUsize = NonZeroUsize::MIN;
const TWO: NonZeroUsize = NonZeroUsize::new(2).unwrap();
const MESSAGE_BYTES_MAX: usize = 4096;
const RING_ENTRIES: u64 = 4096;
