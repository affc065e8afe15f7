//! From start to service, whatever the arena's size.

use std::time::{Duration, Instant};

use plasmad_client::testing::{Daemon, socket_for_next};
use plasmad_client::{CreateOptions, Options};

use crate::report::{Bar, Row};

/// A client that waits for the daemon puts 1 KiB; the time counts from the daemon's start.
pub(crate) fn start_16g() -> Vec<Row> {
    let (mut serving, mut put) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let socket = socket_for_next();
        let start = Instant::now();
        let client = std::thread::spawn(move || {
            let store = Options::new().socket(socket).connect_timeout(Duration::from_secs(10)).connect();
            store.and_then(|store| store.put(&[1; 1024], &CreateOptions::default())).expect("put");
            start.elapsed()
        });
        let daemon = Daemon::with(&["--memory", "16GiB", "--populate", "none"]);
        serving.push(1e3 * start.elapsed().as_secs_f64());
        put.push(1e3 * client.join().expect("the client").as_secs_f64());
        drop(daemon);
    }
    let row = |name, rounds| Row {
        name,
        unit: "ms",
        operations: 1,
        rounds,
        reference: None,
        bar: Some(Bar::ValueMax(100.0)),
        note: String::new(),
    };
    vec![row("start_16g", serving), row("start_16g_put_1k", put)]
}

const ROUNDS: usize = 11;
