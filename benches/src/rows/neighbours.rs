//! Does a crowd that misbehaves slow a good client? Its requests beside 200 connections that do everything wrong, and
//! beside the same 200 connected and silent. A round's figure is the 99th percentile of its requests.

use std::io::{BufReader, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::Duration;

use plasmad_client::{CreateOptions, ObjectId, Store, Timeout};
use plasmad_shm::{fd_passing, populate};
use plasmad_wire::limits::{MAGIC, PROTOCOL_VERSION};
use plasmad_wire::request::{Get, Hello, List, Ping};
use plasmad_wire::{Request, Role};

use crate::bench::Bench;
use crate::error::{Error, Result};
use crate::helper::{read_line, write_line};
use crate::row::{Bar, Row, Unit};
use crate::slice::{Budget, Slice};

pub(crate) fn measure(bench: &mut Bench<'_>, _: &[&str]) -> Result<Vec<Row>> {
    let daemon = bench.daemon(&["--memory", "64MiB"])?;
    let store = daemon.connect_by_socket()?;
    let crowd = std::cell::RefCell::new(bench.helper(&["crowd", &daemon.socket_text()])?);
    let beside = |behaviour: &str| {
        let mut crowd = crowd.borrow_mut();
        crowd.write_line(behaviour)?;
        // It says so when all its connections are there.
        crowd.read_line()?;
        Slice::run(BUDGET, || good(&store))
    };
    let rounds = bench.rounds();
    let pair = bench.pair("neighbours", rounds, || beside(LOUD), || beside(SILENT))?;
    let slowest = |slices: &[Slice]| -> Vec<Slice> { slices.iter().map(Slice::at_percentile_99).collect() };
    let row = Row::new("neighbours", Unit::Microseconds, &slowest(&pair.ours))
        .reference("200 silent connections", &slowest(&pair.theirs))
        .bar(Bar::ratio_max(3.0))
        .note(format!(
            "p99 of put, get, release and delete of 64 B beside {CONNECTIONS} connections that misbehave while nothing else runs"
        ));
    Ok(vec![row])
}

/// What a good client does: three round trips.
fn good(store: &Store) -> Result<()> {
    let id = store.put(&[7; 64], &CreateOptions::default())?;
    drop(store.get(id, Timeout::NO_WAIT)?);
    store.delete(&[id])?;
    Ok(())
}

/// The crowd: behaves as it is told, until it is told otherwise.
pub(crate) fn crowd(channel: UnixStream, socket: &str) -> Result<()> {
    let mut answers = channel.try_clone().map_err(Error::system("a helper's channel"))?;
    // What is looked for is the daemon's time, not that of two processors that three processes share.
    populate::run_when_idle().map_err(Error::system("the lowest priority"))?;
    let (told, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut channel = BufReader::new(channel);
        while let Ok(Some(line)) = read_line(&mut channel) {
            let _ = told.send(line);
        }
    });
    let mut members: Vec<Member> = (0..CONNECTIONS).map(|number| Member::new(socket, number)).collect();
    let mut is_loud = false;
    loop {
        // Loud ones take a breath between two turns: the crowd must not be slow because one process is.
        let next = if is_loud { heard.recv_timeout(BREATH) } else { heard.recv().map_err(Into::into) };
        match next {
            Ok(line) => {
                is_loud = line == LOUD;
                members = (0..CONNECTIONS).map(|number| Member::new(socket, number)).collect();
                write_line(&mut answers, "here")?;
            }
            Err(mpsc::RecvTimeoutError::Timeout) => members.iter_mut().for_each(|member| member.misbehave(socket)),
            Err(mpsc::RecvTimeoutError::Disconnected) => return Ok(()),
        }
    }
}

/// One connection, and what is wrong with it.
struct Member {
    number: usize,
    stream: Option<UnixStream>,
}

impl Member {
    /// Connects, and shakes hands unless it is one of those who never do.
    fn new(socket: &str, number: usize) -> Self {
        let mut member = Self { number, stream: None };
        member.connect(socket);
        member
    }

    fn connect(&mut self, socket: &str) {
        self.stream = UnixStream::connect(socket).ok();
        if let Some(stream) = &self.stream {
            let _ = stream.set_nonblocking(true);
        }
        let hello = Hello {
            magic: MAGIC,
            version: PROTOCOL_VERSION,
            role: Role::Writer,
            has_pidfd: false,
            features: 0,
            pid: 0,
            label: "crowd".to_owned(),
        };
        if self.number % WAYS > 1 {
            self.request(&Request::Hello(hello));
        }
    }

    fn misbehave(&mut self, socket: &str) {
        let id = ObjectId::new([9; 28]);
        match self.number % WAYS {
            0 => self.send(&[0xA5; 64]),
            1 => self.send(&frame_header(17, 1, 0)),
            2 => self.send(&frame_header(0, 999, 0)),
            3 => self.send(&frame_header(u32::MAX, 4, 0)),
            // Half a frame, a byte more each time.
            4 => self.send(&[0]),
            5 => (0..16)
                .for_each(|_| self.request(&Request::Get(Get { timeout_ns: 0, partial: true, ids: vec![id; 50] }))),
            6 => self.send_descriptors(),
            // Never reads what it asks for.
            _ => self.request(&Request::List(List { cursor: 0, limit: 1024 })),
        }
        if self.number % WAYS == 5 {
            self.skim();
        }
        if self.is_closed() {
            self.connect(socket);
        }
    }

    fn request(&mut self, request: &Request) {
        let mut frame = Vec::new();
        request.append(&mut frame, 0, 1);
        self.send(&frame);
    }

    fn send(&mut self, bytes: &[u8]) {
        if let Some(stream) = &mut self.stream
            && let Err(error) = stream.write_all(bytes)
            && error.kind() != ErrorKind::WouldBlock
        {
            self.stream = None;
        }
    }

    fn send_descriptors(&mut self) {
        let mut frame = Vec::new();
        Request::Ping(Ping {}).append(&mut frame, 0, 1);
        if let Some(stream) = &self.stream {
            let _ = fd_passing::send(stream, &frame, &[stream.as_fd(); 8]);
        }
    }

    fn skim(&mut self) {
        if let Some(stream) = &mut self.stream {
            while matches!(stream.read(&mut [0; 65_536]), Ok(1..)) {}
        }
    }

    /// The daemon has hung up on those whose answers are read or refused; the deaf ones see it when they send.
    fn is_closed(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return true };
        if self.number % WAYS == WAYS - 1 {
            return false;
        }
        matches!(stream.read(&mut [0; 4096]), Ok(0))
    }
}

fn frame_header(body_bytes: u32, kind: u16, request: u64) -> Vec<u8> {
    [&body_bytes.to_le_bytes()[..], &kind.to_le_bytes(), &[0; 2], &request.to_le_bytes()].concat()
}

const LOUD: &str = "loud";
const SILENT: &str = "silent";
const CONNECTIONS: usize = 200;
const WAYS: usize = 8;
const BREATH: Duration = Duration::from_millis(2);
const BUDGET: Budget = Budget { time: Duration::from_millis(600), ..Budget::EACH };
