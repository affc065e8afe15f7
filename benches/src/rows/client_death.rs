//! How long after a client's death everything it held is back: pins, unsealed objects, its place among the clients.

use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use plasmad_client::{Buffer, CreateOptions, ObjectId, Store, Timeout, Writer, id};
use plasmad_shm::peer;

use crate::bench::Bench;
use crate::daemon::{Daemon, stat};
use crate::error::{Error, Result};
use crate::helper::{read_line, write_line};
use crate::row::{Bar, Row, Unit};
use crate::slice::Slice;

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let daemon = bench.daemon(&["--memory", "256MiB"])?;
    let store = daemon.connect()?;
    for id in pinned_ids() {
        store.put(&[7; 4096], &CreateOptions { id: Some(id), ..CreateOptions::default() })?;
    }
    let rounds = bench.rounds();
    let deaths = DEATHS.div_ceil(rounds);
    let mut slices = Vec::new();
    for round in 0..rounds {
        bench.round("client_death", round, rounds)?;
        let mut slice = Slice::default();
        for _ in 0..deaths {
            slice.add(1, death(bench, &daemon, &store)?.as_secs_f64());
        }
        slices.push(slice);
    }
    let row = Row::new("client_death", Unit::Seconds, &slices).bar(Bar::value_max(0.010)).note(format!(
        "{} deaths of a client with {PINS} pins and {WRITERS} unsealed objects of 1 MiB; \
         from its pidfd turning readable here to stats without it, one round trip included",
        deaths * rounds
    ));
    Ok(vec![row])
}

/// One client comes, holds, is killed; told is how long its things took.
fn death(bench: &Bench<'_>, daemon: &Daemon, store: &Store) -> Result<Duration> {
    let mut client = bench.helper(&["hold", &daemon.socket_text()])?;
    let before = client.read_line()?;
    if before != HOLDING {
        return Err(Error::Helper(format!("the client to be killed said {before:?}")));
    }
    let pidfd = peer::pidfd_of(client.pid()).map_err(Error::system("a pidfd"))?;
    kill(Pid::from_raw(client.pid() as i32), Signal::SIGKILL).map_err(Error::system("killing a client"))?;
    let mut watched = [PollFd::new(pidfd.as_fd(), PollFlags::POLLIN)];
    poll(&mut watched, PollTimeout::NONE).map_err(Error::system("waiting for a client's end"))?;
    let ended = Instant::now();
    while holds_something(store)? {
        if ended.elapsed() > PATIENCE {
            return Err(Error::Daemon("the daemon never took back what a dead client held".to_owned()));
        }
    }
    Ok(ended.elapsed())
}

/// Anything besides this process itself.
fn holds_something(store: &Store) -> Result<bool> {
    let json = store.stats_json()?;
    let stats: serde_json::Value = serde_json::from_str(&json).unwrap_or_default();
    let number = |path: &str| stats.pointer(path).and_then(serde_json::Value::as_u64);
    let clean = [("/memory/unsealed_bytes", 0), ("/memory/pinned_bytes", 0), ("/clients/connected", 1)];
    Ok(clean.iter().any(|(path, wanted)| number(path) != Some(*wanted)))
}

/// The client: pins, writes, says so, and waits for its end.
pub(crate) fn hold(mut channel: UnixStream, socket: &str) -> Result<()> {
    let store = Store::connect(socket)?;
    let pins: Vec<Buffer> = store.get_many(&pinned_ids(), Timeout::NO_WAIT)?;
    let mut writers: Vec<Writer> = Vec::new();
    for _ in 0..WRITERS {
        let mut writer = store.create(1 << 20, &CreateOptions::default())?;
        writer.fill(7);
        writers.push(writer);
    }
    if stat(&store, "/memory/unsealed_bytes")? < WRITERS << 20 || pins.len() != PINS {
        return Err(Error::Helper("it doesn't hold what it should".to_owned()));
    }
    write_line(&mut channel, HOLDING)?;
    read_line(&mut std::io::BufReader::new(channel))?;
    Ok(())
}

fn pinned_ids() -> Vec<ObjectId> {
    (0..PINS).map(|number| id::from_name(&format!("bench/client_death/{number}"))).collect()
}

const DEATHS: usize = 100;
const PINS: usize = 100;
const WRITERS: u64 = 8;
const HOLDING: &str = "holding";
/// Longer than this isn't slow, it's lost.
const PATIENCE: Duration = Duration::from_secs(10);
