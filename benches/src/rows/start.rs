//! From start to service, whatever the arena's size.

use std::time::{Duration, Instant};

use plasmad_client::{CreateOptions, Options, Result as StoreResult};

use crate::bench::Bench;
use crate::daemon::{Daemon, next_socket};
use crate::error::{Error, Result};
use crate::row::{Bar, Row, Unit};
use crate::slice::Slice;

/// A client that waits for the daemon puts 1 KiB; the time counts from the daemon's start.
pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let mut starts = Vec::new();
    let rounds = bench.rounds();
    for round in 0..rounds {
        bench.round("start_16g", round, rounds)?;
        let socket = next_socket();
        let path = socket.clone();
        let start = Instant::now();
        let client = std::thread::spawn(move || -> StoreResult<Duration> {
            let store = Options::new().socket(path).connect_timeout(PATIENCE).connect()?;
            store.put(&[1; 1024], &CreateOptions::default())?;
            Ok(start.elapsed())
        });
        let daemon = Daemon::start_at(bench.program(), &socket, &["--memory", "16GiB"]);
        let put = client.join().map_err(|_| Error::Helper("the waiting client panicked".to_owned()))?;
        // Why there is no daemon says more than that the client found none.
        let _daemon = daemon?;
        let mut slice = Slice::default();
        slice.add(1, put?.as_secs_f64());
        starts.push(slice);
    }
    let row = Row::new("start_16g", Unit::Seconds, &starts)
        .bar(Bar::value_max(0.1))
        .note("from the daemon's start to the end of a waiting client's put of 1 KiB");
    Ok(vec![row])
}

const PATIENCE: Duration = Duration::from_secs(10);
