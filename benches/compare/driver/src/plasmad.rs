//! plasmad through its Rust client: the same rows as `measurement.py`, measured in the same way.

use plasmad_client::testing::Daemon;
use plasmad_client::{CreateOptions, ObjectId, Store, Timeout};

use crate::clock::{self, batch_for, batches};
use crate::partner::{id, sum};
use crate::process::Process;
use crate::protocol::{Answer, Command, Failure, Row};
use crate::source::{Source, compare, is_verified};
use crate::{Side, measure};

#[derive(Default)]
pub(crate) struct Plasmad {
    running: Option<Running>,
}

struct Running {
    store: Store,
    source: Source,
    /// Cold objects stay until the first warm row, so that none is written over.
    kept: Vec<ObjectId>,
    /// Last, so that it outlives its client.
    daemon: Daemon,
}

type Measure = fn(&mut Running, &Row) -> Result<Vec<f64>, Failure>;

impl Side for Plasmad {
    fn obey(&mut self, command: Command) -> Result<Answer, Failure> {
        match (command, &mut self.running) {
            (Command::Start { memory_bytes, .. }, _) => {
                let daemon = Daemon::with(&["--memory", &memory_bytes.to_string()]);
                let store = Store::connect(daemon.socket())?;
                self.running = Some(Running { store, source: Source::default(), kept: Vec::new(), daemon });
                Ok(Answer::Version { version: format!("plasmad {}", env!("CARGO_PKG_VERSION")) })
            }
            (Command::Measure { row }, Some(running)) => {
                const ROWS: &[(&str, Measure)] = &[
                    ("get", Running::get),
                    ("put", Running::put),
                    ("hand_over", Running::hand_over),
                    ("crowd", Running::crowd),
                ];
                if !row.cold {
                    running.delete_kept()?;
                }
                Ok(Answer::Nanoseconds { nanoseconds: measure(&row, ROWS)?(running, &row)? })
            }
            (other, _) => Err(Failure::Failed(format!("not now: {other:?}"))),
        }
    }
}

impl Running {
    /// Get and release, one of 64 objects after the other.
    fn get(&mut self, row: &Row) -> Result<Vec<f64>, Failure> {
        self.source.grow(row.bytes);
        let ids = (0..OBJECTS).map(|at| self.make(row, at)).collect::<Result<Vec<_>, _>>()?;
        for (at, id) in ids.iter().enumerate() {
            self.verify(row, *id, at)?;
        }
        let get = |at: usize| drop(self.store.get(ids[at % OBJECTS], Timeout::NO_WAIT).expect("it was put"));
        let took = batches(row.calls, batch_for(GETS_TOGETHER, get), get);
        self.store.delete(&ids)?;
        Ok(took)
    }

    /// Warm: each object is deleted before the next is put, and the first two don't count. Small ones all stay.
    fn put(&mut self, row: &Row) -> Result<Vec<f64>, Failure> {
        self.source.grow(row.bytes);
        if row.bytes * row.calls <= STAY_BYTES_MAX {
            return self.put_small(row);
        }
        if !row.cold {
            for _ in 0..2 {
                let made = self.make(row, 0)?;
                self.store.delete(&[made])?;
            }
        }
        let mut took = Vec::with_capacity(row.calls);
        for at in 0..row.calls {
            let before = clock::now();
            let made = self.make(row, at)?;
            took.push((clock::now() - before) as f64);
            if row.cold {
                self.kept.push(made);
            } else {
                if is_verified(at, row.calls) {
                    self.verify(row, made, at)?;
                }
                self.store.delete(&[made])?;
            }
        }
        for (at, made) in self.kept.iter().rev().take(row.calls).rev().enumerate().filter(|_| row.cold) {
            if is_verified(at, row.calls) {
                self.verify(row, *made, at)?;
            }
        }
        Ok(took)
    }

    fn put_small(&mut self, row: &Row) -> Result<Vec<f64>, Failure> {
        let mut made = Vec::new();
        let mut put = |at: usize| made.push(self.make(row, at).expect("room"));
        let batch = batch_for(PUTS_TOGETHER, &mut put);
        let took = batches(row.calls, batch, &mut put);
        let tried = made.len() - row.calls * batch;
        for (at, id) in made[tried..].iter().enumerate() {
            if is_verified(at, row.calls) {
                self.verify(row, *id, at)?;
            }
        }
        for ids in made.chunks(IDS_TOGETHER) {
            self.store.delete(ids)?;
        }
        Ok(took)
    }

    /// From the start of the put until the other process, which slept in its get, has the object.
    fn hand_over(&mut self, row: &Row) -> Result<Vec<f64>, Failure> {
        self.source.grow(row.bytes);
        let mut partner = self.partner()?;
        let mut took = Vec::with_capacity(row.calls);
        for at in 0..row.calls + WARM_UP_CALLS {
            let key = at as u64 + 1;
            partner.call(&Command::Expect { key })?;
            clock::work_for(ASLEEP_NS);
            let piece = self.source.piece(row.bytes, at);
            let before = clock::now();
            let made = self.store.put(piece, &CreateOptions { id: Some(id(key)), ..CreateOptions::default() })?;
            match partner.hear()? {
                Answer::Arrived { at: after, crc } if crc == sum(piece) => took.push((after - before) as f64),
                other => return Err(Failure::Wrong(format!("call {at}: the other process has {other:?}"))),
            }
            self.store.delete(&[made])?;
        }
        Ok(took.split_off(WARM_UP_CALLS))
    }

    /// From a common start until the last of several processes has put; each of them has put as much before.
    fn crowd(&mut self, row: &Row) -> Result<Vec<f64>, Failure> {
        let mut partners = (0..row.processes).map(|_| self.partner()).collect::<Result<Vec<_>, _>>()?;
        let mut took = Vec::with_capacity(row.calls + 1);
        for piece in 0..=row.calls {
            for partner in &mut partners {
                partner.call(&Command::ReadyToPut { size: row.bytes, piece })?;
            }
            let start = clock::now() + START_NS;
            for partner in &mut partners {
                partner.ask(&Command::PutAt { nanoseconds: start })?;
            }
            let mut last = start;
            for partner in &mut partners {
                match partner.hear()? {
                    Answer::Done { done } => last = last.max(done),
                    other => return Err(Failure::Failed(format!("instead of being done: {other:?}"))),
                }
            }
            took.push((last - start) as f64);
            for partner in &mut partners {
                partner.call(&Command::Settle { verify: is_verified(piece, row.calls + 1) })?;
            }
        }
        Ok(took.split_off(1))
    }

    fn make(&self, row: &Row, at: usize) -> Result<ObjectId, Failure> {
        Ok(self.store.put(self.source.piece(row.bytes, at), &CreateOptions::default())?)
    }

    fn verify(&self, row: &Row, id: ObjectId, at: usize) -> Result<(), Failure> {
        compare(&self.store.get(id, Timeout::NO_WAIT)?, self.source.piece(row.bytes, at), at)
    }

    fn delete_kept(&mut self) -> Result<(), Failure> {
        if !self.kept.is_empty() {
            self.store.delete(&std::mem::take(&mut self.kept))?;
        }
        Ok(())
    }

    fn partner(&self) -> Result<Process, Failure> {
        let mut partner = Process::start("partner")?;
        partner.call(&Command::Connect { address: self.daemon.socket().display().to_string() })?;
        Ok(partner)
    }
}

const OBJECTS: usize = 64;
const GETS_TOGETHER: usize = 100;
const PUTS_TOGETHER: usize = 10;
const IDS_TOGETHER: usize = 1000;
/// Objects that all fit in this are deleted after the row, larger ones each before the next.
const STAY_BYTES_MAX: usize = 4 << 20;
pub(crate) const WARM_UP_CALLS: usize = 20;
/// How long the other side is given to fall asleep.
pub(crate) const ASLEEP_NS: u64 = 300_000;
/// How far ahead the common start of several processes is set.
pub(crate) const START_NS: u64 = 20_000_000;
