//! Do readers slow each other? Two processes on one object, beside the same two on an object each.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use plasmad_client::{ObjectId, Store, Timeout};

use super::Made;
use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::helper::{Helper, read_line, write_line};
use crate::row::{Bar, Row, Unit};
use crate::slice::{Budget, Slice};

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let daemon = bench.daemon(&["--memory", "64MiB"])?;
    let store = daemon.connect()?;
    let socket = daemon.socket_text();
    let start = || bench.helper(&["read", &socket]);
    let readers = std::cell::RefCell::new([start()?, start()?]);
    let mut made = Made::new(&store);
    made.put_small(bench, 3)?;
    let ids = &made.ids;
    let both_read = |ids: [ObjectId; 2]| {
        let mut readers = readers.borrow_mut();
        for (reader, id) in readers.iter_mut().zip(ids) {
            reader.write_line(&id.to_string())?;
        }
        let mut slice = Slice::default();
        for reader in readers.iter_mut() {
            let (gets, seconds) = answer(reader)?;
            slice.add(gets, seconds);
        }
        // They ran at the same time.
        slice.seconds /= 2.0;
        Ok(slice)
    };
    let rounds = bench.rounds();
    let pair =
        bench.pair("get_two_processes", rounds, || both_read([ids[0], ids[0]]), || both_read([ids[1], ids[2]]))?;
    let row = Row::new("get_two_processes", Unit::PerSecond, &pair.ours)
        .reference("on an object each", &pair.theirs)
        .bar(Bar::ratio_min(0.95))
        .note(
            "get + release through a Reader, both processes together; the percentiles are of one of them in one round",
        );
    Ok(vec![row])
}

/// A reader: for each id it is told, gets and releases that for a while, and tells how often in how many seconds.
pub(crate) fn read(channel: UnixStream, socket: &str) -> Result<()> {
    let store = Store::connect(socket)?;
    let reader = store.reader()?;
    let mut answers = channel.try_clone().map_err(Error::system("a helper's channel"))?;
    let mut channel = BufReader::new(channel);
    while let Some(line) = read_line(&mut channel)? {
        let id = ObjectId::from_hex(&line).ok_or_else(|| Error::Helper(format!("{line:?} is no id")))?;
        let slice = Slice::run(BUDGET, || {
            drop(reader.get(id, Timeout::NO_WAIT)?);
            Ok(())
        })?;
        write_line(&mut answers, &format!("{} {}", slice.operations, slice.seconds))?;
    }
    Ok(())
}

fn answer(reader: &mut Helper) -> Result<(u64, f64)> {
    let line = reader.read_line()?;
    let numbers = line.split_once(' ').and_then(|(gets, seconds)| Some((gets.parse().ok()?, seconds.parse().ok()?)));
    numbers.ok_or_else(|| Error::Helper(format!("{line:?} is no number of gets")))
}

const BUDGET: Budget = Budget { time: Duration::from_millis(150), ..Budget::batches(10_000) };
