//! Objects in the room of two, evicted one by one as fast as the daemon can, while a client claims them.
//!
//! A claim and an eviction meet here thousands of times a second, at every distance in time: between the two looks at
//! the commit word, and while the claim is still on its way out of the processor. What is claimed is looked at at
//! once, and again when whoever missed the claim had the time to write something else there.

use std::time::{Duration, Instant};

use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, Store, Timeout};
use plasmad_wire::Response;

use super::content::{bytes, check, id};
use super::processors::{processors, run_on};
use crate::it::raw::{self, Raw};
use crate::support::Random;

/// What a run did.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) gets: u64,
    pub(super) evictions: u64,
}

/// Claims and evicts for so long; panics at a wrong byte.
pub(super) fn claim_what_leaves(time: Duration) -> Run {
    let processors = processors();
    // The daemon starts where this thread is, and stays there.
    run_on(&processors, 0);
    let daemon = Daemon::with(&["--memory", "64KiB", "--when-full", "evict", "--populate", "none"]);
    // The first client's page is the first to be scanned: the shortest way from a change to the look for claims.
    let reader = Store::connect(daemon.socket()).unwrap();
    let mut writer = Raw::writer(&daemon.socket());
    let holder = Store::connect(daemon.socket()).unwrap();
    let ballast = holder.put(&vec![0; (64 << 10) - 2 * HOT_BYTES as usize], &CreateOptions::default()).unwrap();
    let _held = holder.get(ballast, Timeout::NO_WAIT).unwrap();
    let end = Instant::now() + time;
    let gets = std::thread::scope(|scope| {
        let claims = scope.spawn(|| {
            run_on(&processors, 1);
            let mut random = Random(1);
            let mut gets = 0;
            while Instant::now() < end {
                (0..1000).for_each(|_| gets += u64::from(claim(&reader, random.below(KEYS))));
            }
            gets
        });
        let mut random = Random(2);
        while !claims.is_finished() {
            put_all(&mut writer, &mut random);
        }
        claims.join().unwrap()
    });
    Run { gets, evictions: super::evictions(&holder) }
}

/// Pins the object if it is there; `false` if not.
fn claim(reader: &Store, key: u64) -> bool {
    let Some(buffer) = reader.get_without_asking(id(key)).unwrap() else { return false };
    check(key, &buffer);
    (0..LOOK_AGAIN_AFTER).for_each(|_| std::hint::spin_loop());
    check(key, &buffer);
    true
}

/// Asks for many puts at once, so that the daemon goes from one to the next. There is always one that isn't there.
fn put_all(writer: &mut Raw, random: &mut Random) {
    let frames: Vec<u8> = (0..PUTS_AT_ONCE)
        .flat_map(|number| {
            let key = number % KEYS;
            raw::frame(&raw::put(id(key), &bytes(key, random.bits(), HOT_BYTES / 8)), number)
        })
        .collect();
    writer.send_bytes(&frames);
    for _ in 0..PUTS_AT_ONCE {
        match writer.next() {
            Some((_, Response::Count(_) | Response::Error(_))) => (),
            other => panic!("a put was answered with {other:?}"),
        }
    }
}

/// One more than there is room for.
const KEYS: u64 = 3;
const HOT_BYTES: u64 = 64;
/// As many frames as the daemon takes in a turn.
const PUTS_AT_ONCE: u64 = 16;
/// Some microseconds.
const LOOK_AGAIN_AFTER: u32 = 100;
