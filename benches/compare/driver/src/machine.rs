//! The machine without any store: what no store can beat, or can beat only by not doing it.

use std::collections::{BTreeMap, HashMap};
use std::hint::black_box;
use std::io::{Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command as Program, Stdio};
use std::sync::{Arc, Barrier};

use plasmad_shm::copy::{Method, copy_with};
use plasmad_shm::mapping::{UnsealedBytes, WriteMapping};
use plasmad_shm::{memfd, populate};

use crate::clock::{self, batches};
use crate::plasmad::{ASLEEP_NS, START_NS, WARM_UP_CALLS};
use crate::protocol::{Answer, Command, Failure, Row};
use crate::source::Source;
use crate::{Side, disk, measure};

#[derive(Default)]
pub(crate) struct Machine {
    source: Source,
    /// On the disk that stores spill to.
    directory: PathBuf,
}

pub(crate) type Ways = BTreeMap<String, Vec<f64>>;
type Measure = fn(&Source, &Row) -> Result<Ways, Failure>;

impl Side for Machine {
    fn obey(&mut self, command: Command) -> Result<Answer, Failure> {
        match command {
            Command::Start { directory, .. } => {
                self.directory = directory.into();
                Ok(Answer::Version { version: format!("Rust driver {}", env!("CARGO_PKG_VERSION")) })
            }
            Command::Measure { row } => {
                const ROWS: &[(&str, Measure)] = &[
                    ("get", look_up),
                    ("put", copies),
                    ("hand_over", one_way),
                    ("crowd", four_threads),
                    ("round_trip", round_trip),
                ];
                self.source.grow(row.bytes);
                let ways = match row.verb.as_str() {
                    "spill" | "restore" => disk::loops(&self.directory, &self.source, &row)?,
                    "zipf" => {
                        return Err(Failure::Unsupported("without a store nothing chooses what stays".to_owned()));
                    }
                    _ => measure(&row, ROWS)?(&self.source, &row)?,
                };
                Ok(Answer::Ways { ways })
            }
            other => Err(Failure::Failed(format!("the machine doesn't know {other:?}"))),
        }
    }
}

/// Look-up of one of 64 keys of 28 bytes after the other.
fn look_up(source: &Source, row: &Row) -> Result<Ways, Failure> {
    let keys: Vec<[u8; 28]> = (0..64).map(|at| source.piece(28, at).try_into().expect("28 bytes")).collect();
    let map: HashMap<[u8; 28], usize> = keys.iter().copied().zip(0..).collect();
    let took = batches(row.calls, 100, |at| {
        black_box(map.get(black_box(&keys[at % keys.len()])));
    });
    Ok(Ways::from([("hash map".to_owned(), took)]))
}

/// Copies into shared memory: present and written before, or for the first time.
fn copies(source: &Source, row: &Row) -> Result<Ways, Failure> {
    if row.bytes * row.calls <= SMALL_BYTES_MAX {
        return small_copies(source, row);
    }
    let mut ways = Ways::new();
    let methods = if row.cold { &COPIES[..2] } else { COPIES };
    for (name, method, threads) in methods {
        let threads = NonZeroUsize::new(*threads).expect("some");
        let warm = if row.cold { None } else { Some(memory(row.bytes)?) };
        let mut took = Vec::with_capacity(row.calls);
        for at in 0..row.calls + if row.cold { 0 } else { 2 } {
            let fresh;
            let mapping = match &warm {
                Some(mapping) => mapping,
                None => {
                    fresh = map(&memfd::create("plasmad-compare", row.bytes as u64)?, row.bytes)?;
                    &fresh
                }
            };
            let mut target = whole(mapping, row.bytes);
            let before = clock::now();
            copy_with(*method, threads, &mut target, source.piece(row.bytes, at));
            took.push((clock::now() - before) as f64);
        }
        ways.insert((*name).to_owned(), took.split_off(took.len() - row.calls));
    }
    Ok(ways)
}

/// One after the other into a MiB of objects, as small puts do.
fn small_copies(source: &Source, row: &Row) -> Result<Ways, Failure> {
    const PLACES: usize = 1024;
    let mapping = memory(PLACES * row.bytes)?;
    let place = |at: usize| UnsealedBytes::new(mapping.clone(), (at % PLACES * row.bytes) as u64, row.bytes as u64);
    let mut places: Vec<_> = (0..PLACES).map(|at| place(at).expect("inside")).collect();
    let took = batches(row.calls, 100, |at| {
        places[at % PLACES].copy_from_slice(black_box(source.piece(row.bytes, at)));
    });
    Ok(Ways::from([("memcpy".to_owned(), took)]))
}

/// Each into memory of its own, written before, from a common start until the last is done.
fn four_threads(source: &Source, row: &Row) -> Result<Ways, Failure> {
    let mut ways = Ways::new();
    for (name, method, _) in COPIES.iter().filter(|(_, _, threads)| *threads == 1) {
        let mappings = (0..row.processes).map(|_| memory(row.bytes)).collect::<Result<Vec<_>, _>>()?;
        let mut took = Vec::with_capacity(row.calls + 1);
        for at in 0..=row.calls {
            let barrier = Barrier::new(row.processes);
            let start = clock::now() + START_NS;
            let done = std::thread::scope(|scope| {
                let copies: Vec<_> = mappings
                    .iter()
                    .map(|mapping| {
                        let barrier = &barrier;
                        scope.spawn(move || {
                            let mut target = whole(mapping, row.bytes);
                            barrier.wait();
                            clock::sleep_until(start);
                            copy_with(*method, NonZeroUsize::MIN, &mut target, source.piece(row.bytes, at));
                            clock::now()
                        })
                    })
                    .collect();
                copies.into_iter().map(|copy| copy.join().expect("a copy")).max()
            });
            took.push((done.unwrap_or(start) - start) as f64);
        }
        ways.insert(name.replace("1 thread", "4 threads"), took.split_off(1));
    }
    Ok(ways)
}

/// From before a message is written until another process, which slept in its read, has it.
fn one_way(source: &Source, row: &Row) -> Result<Ways, Failure> {
    let mut echo = Echo::start()?;
    let mut took = Vec::with_capacity(row.calls);
    for at in 0..row.calls + WARM_UP_CALLS {
        clock::work_for(ASLEEP_NS);
        let before = clock::now();
        let arrived = echo.round_trip(source.piece(row.bytes, at))?;
        took.push((arrived - before) as f64);
    }
    Ok(Ways::from([("a message".to_owned(), took.split_off(WARM_UP_CALLS))]))
}

/// There and back.
fn round_trip(source: &Source, row: &Row) -> Result<Ways, Failure> {
    let mut echo = Echo::start()?;
    let mut took = Vec::with_capacity(row.calls);
    for at in 0..row.calls + WARM_UP_CALLS {
        let before = clock::now();
        echo.round_trip(source.piece(row.bytes, at))?;
        took.push((clock::now() - before) as f64);
    }
    Ok(Ways::from([("there and back".to_owned(), took.split_off(WARM_UP_CALLS))]))
}

/// Another process at the other end of a Unix socket, which is its standard input and output.
struct Echo {
    child: Child,
    stream: UnixStream,
}

impl Echo {
    fn start() -> Result<Self, Failure> {
        let (stream, theirs) = UnixStream::pair()?;
        let output = theirs.try_clone()?;
        let program = std::env::current_exe()?;
        let child = Program::new(program)
            .arg("echo")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::from(OwnedFd::from(output)))
            .spawn()?;
        Ok(Self { child, stream })
    }

    /// Sends a message, whose length goes before it, and returns when the other process had it.
    fn round_trip(&mut self, message: &[u8]) -> Result<u64, Failure> {
        let mut framed = Vec::with_capacity(8 + message.len());
        framed.extend_from_slice(&(message.len() as u64).to_le_bytes());
        framed.extend_from_slice(message);
        self.stream.write_all(&framed)?;
        let mut time = [0; 8];
        self.stream.read_exact(&mut time)?;
        Ok(u64::from_le_bytes(time))
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Answers each message with the time at which it was there.
pub(crate) fn echo() {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    let mut message = vec![0; 1 << 16];
    let mut had = 0;
    loop {
        match input.read(&mut message[had..]) {
            Ok(0) | Err(_) => return,
            Ok(bytes) => had += bytes,
        }
        let at = clock::now();
        let length = message.first_chunk().map_or(0, |length| u64::from_le_bytes(*length) as usize);
        if had >= 8 && had == 8 + length {
            had = 0;
            if output.write_all(&at.to_le_bytes()).and_then(|()| output.flush()).is_err() {
                return;
            }
        }
    }
}

/// Shared memory that is present.
pub(crate) fn memory(bytes: usize) -> Result<Arc<WriteMapping>, Failure> {
    let fd = memfd::create("plasmad-compare", bytes as u64)?;
    populate::populate(&fd, 0, bytes as u64)?;
    map(&fd, bytes)
}

fn map(fd: &OwnedFd, bytes: usize) -> Result<Arc<WriteMapping>, Failure> {
    Ok(Arc::new(WriteMapping::new(fd, bytes as u64)?))
}

pub(crate) fn whole(mapping: &Arc<WriteMapping>, bytes: usize) -> UnsealedBytes {
    UnsealedBytes::new(mapping.clone(), 0, bytes as u64).expect("inside")
}

/// Name, method, threads; the plain ones first.
const COPIES: &[(&str, Method, usize)] = &[
    ("memcpy, 1 thread", Method::Plain, 1),
    ("memcpy, 2 threads", Method::Plain, 2),
    ("non-temporal, 1 thread", Method::NonTemporal, 1),
    ("non-temporal, 2 threads", Method::NonTemporal, 2),
];
const SMALL_BYTES_MAX: usize = 4 << 20;
