//! Many processes get, put, delete and evict at full speed while some of them are killed; no byte is ever wrong.
//!
//! Every object carries its key, its version and words that follow from both, so bytes of another object, of an
//! earlier one, or of none are told at sight. What is got is looked at twice: when it is pinned, and before it is
//! released. `hot` and `copies` are about one moment each, which comes too seldom here. `make test-long` runs all three
//! long; with one of the faults that `plasmad_broken` compiles into the protocol one of them must fail
//! (`.ci/torture-canaries`).

mod content;
mod copies;
mod hot;
mod processors;
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
    let run = torture(Duration::from_secs(4), &Run::default());
    let counts = &run.counts;
    assert!(counts.gets > 0 && counts.puts > 0 && run.evictions > 0 && counts.deletes_under_pin > 0, "{run:?}");
}

#[test]
#[ignore = "the long run: until it did what it has to, or for as many seconds as PLASMAD_TORTURE_SECONDS says"]
fn nobody_ever_reads_a_wrong_byte_for_long() {
    let run = match seconds() {
        Some(seconds) => torture(seconds, &Run::default()),
        None => torture(LONG, &LONG_RUN),
    };
    println!("{run:?}");
}

#[test]
fn what_leaves_is_claimed_in_time_or_not_at_all() {
    let run = hot::claim_what_leaves(SHORT);
    assert!(run.gets > 0 && run.evictions > 0, "{run:?}");
}

#[test]
#[ignore = "the long run: a minute, or as many seconds as PLASMAD_TORTURE_SECONDS says"]
fn what_leaves_is_claimed_in_time_or_not_at_all_for_long() {
    println!("{:?}", hot::claim_what_leaves(seconds().unwrap_or(LONG)));
}

#[test]
fn what_a_copy_wrote_is_there_when_it_is_told_of() {
    assert!(copies::copy_and_tell(SHORT) > 0);
}

#[test]
#[ignore = "the long run: a minute, or as many seconds as PLASMAD_TORTURE_SECONDS says"]
fn what_a_copy_wrote_is_there_when_it_is_told_of_for_long() {
    println!("{} copies", copies::copy_and_tell(seconds().unwrap_or(LONG)));
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
#[derive(Clone, Default, Debug)]
struct Run {
    counts: Counts,
    evictions: u64,
    kills: u64,
}

impl Run {
    fn has_done(&self, goal: &Self) -> bool {
        self.counts.has_done(&goal.counts) && self.evictions >= goal.evictions && self.kills >= goal.kills
    }
}

/// Runs the workers for so long and until they have done so much, killing one after the other; panics when one finds a
/// wrong byte.
fn torture(time: Duration, goal: &Run) -> Run {
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
    let mut run = Run::default();
    let end = Instant::now() + time;
    while Instant::now() < end || !run.has_done(goal) {
        assert!(Instant::now() < end + GIVE_UP_AFTER, "too little was done: {run:?}");
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
                run.evictions = evictions(&store);
                workers[slot as usize] = start(slot);
            }
        }
    }
    for (mut child, _) in workers {
        assert!(child.try_wait().unwrap().is_none(), "a worker ended by itself: it says why above");
        child.kill().unwrap();
        child.wait().unwrap();
    }
    run.evictions = evictions(&store);
    run
}

/// How often a store has evicted.
fn evictions(store: &Store) -> u64 {
    let stats: serde_json::Value = serde_json::from_str(&store.stats_json().unwrap()).unwrap();
    stats["totals"]["evictions"].as_u64().unwrap()
}

fn seconds() -> Option<Duration> {
    let told = std::env::var("PLASMAD_TORTURE_SECONDS").ok()?;
    Some(Duration::from_secs(told.parse().expect("PLASMAD_TORTURE_SECONDS is a number")))
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
const SHORT: Duration = Duration::from_secs(1);
const LONG: Duration = Duration::from_secs(60);
/// What the long run has to do, however long that takes.
const LONG_RUN: Run = Run {
    counts: Counts { gets: 20_000_000, misses: 0, puts: 2_000_000, deletes_under_pin: 10_000 },
    evictions: 100_000,
    kills: 200,
};
/// Something is wrong with a machine that needs so long.
const GIVE_UP_AFTER: Duration = Duration::from_secs(1800);
const TOLD: &str = "PLASMAD_TEST_TORTURER";
