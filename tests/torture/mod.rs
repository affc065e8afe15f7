//! Many processes get, put, delete and evict at full speed while some of them are killed; no byte is ever wrong.
//!
//! Every object carries its key, its version and words that follow from both, so bytes of another object, of an
//! earlier one, or of none are told at sight. What is got is looked at twice: when it is pinned, and before it is
//! released. `make test-long` runs it long; with one of the faults that `plasmad_broken` can compile into the protocol it
//! must fail (`.ci/torture-canaries`).

mod worker;

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use plasmad_client::Store;
use plasmad_client::testing::Daemon;

use self::worker::Counts;
use crate::support::Random;

#[test]
fn nobody_ever_reads_a_wrong_byte() {
    let run = torture(Duration::from_secs(4));
    assert!(run.counts.gets > 0 && run.counts.puts > 0 && run.evictions > 0 && run.counts.deletes_under_pin > 0);
}

#[test]
#[ignore = "the long run: some minutes, or as many seconds as PLASMAD_TORTURE_SECONDS says"]
fn nobody_ever_reads_a_wrong_byte_for_long() {
    let seconds = std::env::var("PLASMAD_TORTURE_SECONDS").ok().and_then(|text| text.parse().ok());
    let run = torture(Duration::from_secs(seconds.unwrap_or(LONG_SECONDS)));
    println!("{run:?}");
}

/// One of the processes of [`torture`]; does nothing unless it is told.
#[test]
#[ignore = "a part in another test"]
fn torturer() {
    if let Ok(told) = std::env::var(TOLD) {
        worker::run(&told);
    }
}

/// What a run did.
#[derive(Debug)]
struct Run {
    counts: Counts,
    evictions: u64,
    kills: u64,
}

/// Runs the workers for so long, killing one after the other; panics when one finds a wrong byte.
fn torture(time: Duration) -> Run {
    // A third of what the workers put: every object is evicted, and its memory used again, many times a second.
    let daemon = Daemon::with(&["--memory", "256KiB", "--when-full", "evict", "--populate", "none"]);
    let store = Store::connect(daemon.socket()).unwrap();
    let (told, heard) = mpsc::channel();
    let mut random = Random(u64::from(std::process::id()));
    let mut started = 0;
    let mut start = |slot: u64| {
        started += 1;
        let child = Worker::start(&daemon, slot, started, told.clone());
        (child, Instant::now() + Duration::from_millis(300))
    };
    let mut workers: Vec<(Child, Instant)> = (0..WORKERS).map(&mut start).collect();
    let mut run = Run { counts: Counts::default(), evictions: 0, kills: 0 };
    let end = Instant::now() + time;
    while Instant::now() < end {
        match heard.recv_timeout(Duration::from_millis(20)) {
            Ok(counts) => run.counts.add(&counts),
            Err(mpsc::RecvTimeoutError::Timeout) => (),
            Err(error) => panic!("{error}"),
        }
        for slot in 0..WORKERS {
            let (child, not_before) = &mut workers[slot as usize];
            if let Some(status) = child.try_wait().unwrap() {
                panic!("a worker ended by itself, {status}: it says why above");
            }
            if Instant::now() > *not_before && random.percent(20) {
                child.kill().unwrap();
                child.wait().unwrap();
                run.kills += 1;
                workers[slot as usize] = start(slot);
            }
        }
    }
    for (mut child, _) in workers {
        assert!(child.try_wait().unwrap().is_none(), "a worker ended by itself: it says why above");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    let stats: serde_json::Value = serde_json::from_str(&store.stats_json().unwrap()).unwrap();
    run.evictions = stats["totals"]["evictions"].as_u64().unwrap();
    run
}

struct Worker;

impl Worker {
    /// A process of this very program, and a thread that listens to its counts.
    fn start(daemon: &Daemon, slot: u64, seed: u64, told: mpsc::Sender<Counts>) -> Child {
        let mut command = Command::new("/proc/self/exe");
        command.args(["--include-ignored", "--exact", "torture::torturer", "--nocapture"]);
        command.env(TOLD, format!("{} {slot} {seed}", daemon.socket().display())).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for counts in lines.map_while(Result::ok).filter_map(|line| Counts::parse(&line)) {
                let _ = told.send(counts);
            }
        });
        child
    }
}

/// More than there are processors, so that they are stopped anywhere.
const WORKERS: u64 = 3;
const LONG_SECONDS: u64 = 180;
const TOLD: &str = "PLASMAD_TEST_TORTURER";
