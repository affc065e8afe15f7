//! A large put beside the best copy loop this machine has, both into memory that is present and was written before.

use std::num::NonZeroUsize;
use std::sync::Arc;

use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Store};
use plasmad_shm::copy::{Method, copy_with};
use plasmad_shm::mapping::{UnsealedBytes, WriteMapping};
use plasmad_shm::{memfd, populate};

use crate::report::{Bar, Reference, Row};
use crate::rounds::{median, seconds_each};

/// 100 MiB, from the same source, rotating over 2 GiB on either side.
pub(crate) fn put_100m() -> Vec<Row> {
    let source: Vec<u8> = (0..BYTES).map(|at| (at / 64) as u8).collect();
    let daemon = Daemon::with(&["--memory", "2200MiB", "--populate", "all"]);
    let store = Store::connect(daemon.socket()).expect("a store");
    let mut puts = Puts { store, made: Vec::new() };
    let mut loops = Loops::new();
    // Both sides touch all their memory before anything counts.
    (0..PLACES).for_each(|_| puts.put(&source));
    METHODS.iter().for_each(|(method, threads)| (0..PLACES).for_each(|_| loops.copy(*method, *threads, &source)));
    let mut ours = Vec::new();
    let mut theirs = vec![Vec::new(); METHODS.len()];
    for _ in 0..ROUNDS {
        ours.push(rate(seconds_each(OPERATIONS, || puts.put(&source))));
        for ((method, threads), rounds) in METHODS.iter().zip(&mut theirs) {
            rounds.push(rate(seconds_each(OPERATIONS, || loops.copy(*method, *threads, &source))));
        }
    }
    let all: Vec<String> = METHODS
        .iter()
        .zip(&theirs)
        .map(|((method, threads), rounds)| format!("{method:?} x{threads} {:.1}", median(rounds)))
        .collect();
    let best = theirs.into_iter().max_by(|a, b| median(a).total_cmp(&median(b))).expect("some");
    vec![Row {
        name: "put_100m",
        unit: "GB/s",
        operations: OPERATIONS,
        rounds: ours,
        reference: Some(Reference { name: "best copy loop", rounds: best }),
        bar: Some(Bar::RatioMin(0.9)),
        note: format!("loops: {}", all.join(", ")),
    }]
}

struct Puts {
    store: Store,
    made: Vec<plasmad_client::ObjectId>,
}

impl Puts {
    /// The oldest object makes room, so that places rotate.
    fn put(&mut self, source: &[u8]) {
        if self.made.len() == PLACES {
            let oldest = self.made.remove(0);
            self.store.delete(&[oldest]).expect("deleted");
        }
        self.made.push(self.store.put(source, &CreateOptions::default()).expect("room"));
    }
}

struct Loops {
    memory: Arc<WriteMapping>,
    next: usize,
}

impl Loops {
    fn new() -> Self {
        let bytes = (PLACES * BYTES) as u64;
        let fd = memfd::create("plasmad-bench", bytes).expect("memory");
        populate::populate(&fd, 0, bytes).expect("memory");
        Self { memory: Arc::new(WriteMapping::new(&fd, bytes).expect("a mapping")), next: 0 }
    }

    fn copy(&mut self, method: Method, threads: usize, source: &[u8]) {
        let offset = (self.next * BYTES) as u64;
        self.next = (self.next + 1) % PLACES;
        let mut target = UnsealedBytes::new(self.memory.clone(), offset, BYTES as u64).expect("inside");
        copy_with(method, NonZeroUsize::new(threads).expect("some"), &mut target, source);
    }
}

/// GB/s.
fn rate(seconds: f64) -> f64 {
    BYTES as f64 / seconds / 1e9
}

const BYTES: usize = 100 << 20;
/// Together 2 GiB: no cache holds that.
const PLACES: usize = 21;
const ROUNDS: usize = 9;
const OPERATIONS: u32 = 6;
const METHODS: &[(Method, usize)] =
    &[(Method::Plain, 1), (Method::Plain, 2), (Method::NonTemporal, 1), (Method::NonTemporal, 2)];
