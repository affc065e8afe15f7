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
    /// What is there in rows that have more objects than memory holds, in the order they were put.
    spilled: Vec<ObjectId>,
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
                self.running =
                    Some(Running { store, source: Source::default(), kept: Vec::new(), spilled: Vec::new(), daemon });
                Ok(Answer::Version { version: format!("plasmad {}", env!("CARGO_PKG_VERSION")) })
            }
            (Command::Measure { row }, Some(running)) => {
                const ROWS: &[(&str, Measure)] = &[
                    ("get", Running::get),
                    ("put", Running::put),
                    ("hand_over", Running::hand_over),
                    ("crowd", Running::crowd),
                    ("spill", Running::spill),
                    ("restore", Running::restore),
                    ("zipf", Running::zipf),
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

    /// Memory is full before: each put has to displace as much as it brings.
    fn spill(&mut self, row: &Row) -> Result<Vec<f64>, Failure> {
        self.source.grow(row.bytes);
        self.spilled = (0..row.objects_before).map(|at| self.make(row, at)).collect::<Result<_, _>>()?;
        let before = clock::now();
        for at in self.spilled.len()..self.spilled.len() + row.objects {
            self.spilled.push(self.make(row, at)?);
        }
        Ok(vec![(clock::now() - before) as f64])
    }

    /// Get and release of what was put first, in that order: none of it is in memory when its turn comes.
    fn restore(&mut self, row: &Row) -> Result<Vec<f64>, Failure> {
        if self.spilled.is_empty() {
            self.spill(row)?;
        }
        self.timed_gets((0..row.objects).map(|at| (at, row.bytes)))
    }

    /// Get and release of objects of which some are wanted much more often than others.
    fn zipf(&mut self, row: &Row) -> Result<Vec<f64>, Failure> {
        self.source.grow(row.bytes);
        self.store.delete(&std::mem::take(&mut self.spilled))?;
        let put = |(at, bytes)| self.store.put(self.source.piece(bytes, at), &CreateOptions::default());
        self.spilled = row.lengths.iter().copied().enumerate().map(put).collect::<Result<_, _>>()?;
        self.timed_gets(row.order.iter().map(|at| (*at, row.lengths[*at])))
    }

    /// All gets and releases of these objects together; every sixteenth is compared while the clock stands.
    fn timed_gets(&self, objects: impl Iterator<Item = (usize, usize)>) -> Result<Vec<f64>, Failure> {
        let mut took = 0;
        for (call, (at, bytes)) in objects.enumerate() {
            let before = clock::now();
            let buffer = self.store.get(self.spilled[at], Timeout::None)?;
            let got = clock::now();
            if call.is_multiple_of(16) {
                compare(&buffer, self.source.piece(bytes, at), call)?;
            }
            let compared = clock::now();
            drop(buffer);
            took += clock::now() - compared + (got - before);
        }
        Ok(vec![took as f64])
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
