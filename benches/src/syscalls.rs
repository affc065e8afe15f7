//! System calls of an operation, counted exactly.
//!
//! Not under the clock: a process of its own does the operation many times between two markers, traced by its parent,
//! which sees every system call of all its threads. A marker is a signal to itself; what that takes is counted between
//! the first two markers, where nothing else is done, and taken off.
//!
//! ```text
//! prepare, once for practice, MARK, MARK, operation * N, MARK
//!                                |    |                 |
//!                                +-base+------all-------+     (all - base) / N
//! ```

use std::os::unix::net::UnixStream;
use std::process::Command;

use nix::sys::ptrace;
use nix::sys::signal::{Signal, raise};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use nix::unistd::Pid;
use plasmad_client::{CreateOptions, Options, Timeout, id};

use crate::error::{Error, Result};
use crate::helper::{COMMAND, write_line};

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Operation {
    /// Get and release of a small sealed object.
    Get,
    /// The same, asking the daemon.
    GetBySocket,
    /// Create and seal of a small object, asking the daemon.
    CreateSeal,
    /// Put of 1 KiB.
    Put1K,
    /// Put of 1 KiB, get and release of the same.
    PutThenGet,
    /// Put of 1 MiB.
    Put1M,
    /// Put of 100 MiB.
    Put100M,
}

impl Operation {
    const ALL: [Self; 7] =
        [Self::Get, Self::GetBySocket, Self::CreateSeal, Self::Put1K, Self::PutThenGet, Self::Put1M, Self::Put100M];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::GetBySocket => "get_by_socket",
            Self::CreateSeal => "create_seal",
            Self::Put1K => "put_1k",
            Self::PutThenGet => "put_then_get",
            Self::Put1M => "put_1m",
            Self::Put100M => "put_100m",
        }
    }

    /// Enough that a call in a hundred operations shows.
    fn repetitions(self) -> u32 {
        match self {
            Self::Get | Self::GetBySocket | Self::Put1K => 5000,
            Self::CreateSeal | Self::PutThenGet => 500,
            Self::Put1M => 100,
            Self::Put100M => 5,
        }
    }

    fn data_bytes(self) -> usize {
        match self {
            Self::Get | Self::GetBySocket | Self::CreateSeal => 64,
            Self::Put1K | Self::PutThenGet => 1 << 10,
            Self::Put1M => 1 << 20,
            Self::Put100M => 100 << 20,
        }
    }
}

/// The traced process.
pub(crate) fn operate(operation: &str, socket: &str) -> Result<()> {
    let operation = Operation::ALL.into_iter().find(|it| it.name() == operation);
    let operation = operation.ok_or_else(|| Error::Helper("nothing to count".to_owned()))?;
    let is_fast = !matches!(operation, Operation::GetBySocket | Operation::CreateSeal);
    let store = Options::new().socket(socket).fast(is_fast).connect()?;
    let reader = store.reader()?;
    let options = CreateOptions::default();
    let data = vec![7; operation.data_bytes()];
    let hot = match operation {
        Operation::Get | Operation::GetBySocket => store.put(&data, &options)?,
        _ => id::from_name("unused"),
    };
    let mut made = Vec::with_capacity(operation.repetitions() as usize + 2);
    let mut once = || -> Result<()> {
        match operation {
            Operation::Get | Operation::GetBySocket => drop(reader.get(hot, Timeout::NO_WAIT)?),
            Operation::CreateSeal => made.push(store.create(data.len() as u64, &options)?.seal()?),
            Operation::Put1K | Operation::Put1M | Operation::Put100M => made.push(store.put(&data, &options)?),
            Operation::PutThenGet => {
                made.push(store.put(&data, &options)?);
                drop(store.get(made[made.len() - 1], Timeout::NO_WAIT)?);
            }
        }
        Ok(())
    };
    // What is done only once isn't counted: buffers that grow, tables that are filled.
    (0..2).try_for_each(|_| once())?;
    let system = |error| Error::system("tracing")(error);
    ptrace::traceme().map_err(system)?;
    raise(MARK).and_then(|()| raise(MARK)).map_err(system)?;
    (0..operation.repetitions()).try_for_each(|_| once())?;
    raise(MARK).map_err(system)?;
    if matches!(operation, Operation::Get | Operation::GetBySocket) {
        made.push(hot);
    }
    made.chunks(4096).try_for_each(|ids| store.delete(ids).map(drop))?;
    Ok(())
}

/// The tracing process: says how many system calls an operation takes.
pub(crate) fn count(mut channel: UnixStream, operation: &str, socket: &str) -> Result<()> {
    let found = Operation::ALL.into_iter().find(|it| it.name() == operation);
    let repetitions = found.map_or(1, Operation::repetitions);
    let child = Command::new("/proc/self/exe").args([COMMAND, "operate", operation, socket]).spawn();
    let child = child.map_err(Error::system("a process to be traced"))?;
    let counts = trace(Pid::from_raw(child.id() as i32)).map_err(Error::system("tracing"))?;
    let [_, base, all] = counts[..] else {
        return Err(Error::Helper(format!("the traced process ended after {} markers", counts.len())));
    };
    write_line(&mut channel, &format!("{}", all.saturating_sub(base) as f64 / f64::from(repetitions)))
}

/// System calls begun before each marker, since the one before.
fn trace(child: Pid) -> nix::Result<Vec<u64>> {
    let mut counts = Vec::new();
    let mut begun = 0;
    loop {
        let (pid, signal) = match waitpid(None, Some(WaitPidFlag::__WALL))? {
            WaitStatus::Exited(pid, _) | WaitStatus::Signaled(pid, _, _) if pid == child => return Ok(counts),
            WaitStatus::Stopped(pid, MARK) => {
                if counts.is_empty() {
                    ptrace::setoptions(pid, options())?;
                }
                counts.push(std::mem::take(&mut begun));
                (pid, None)
            }
            WaitStatus::PtraceSyscall(pid) => {
                let is_entry = ptrace::syscall_info(pid)?.op == libc::PTRACE_SYSCALL_INFO_ENTRY;
                begun += u64::from(is_entry);
                (pid, None)
            }
            // A new thread starts with this one.
            WaitStatus::Stopped(pid, Signal::SIGSTOP) | WaitStatus::PtraceEvent(pid, _, _) => (pid, None),
            WaitStatus::Stopped(pid, signal) => (pid, Some(signal)),
            _ => continue,
        };
        match ptrace::syscall(pid, signal) {
            // A thread may have ended meanwhile.
            Ok(()) | Err(nix::errno::Errno::ESRCH) => (),
            Err(error) => return Err(error),
        }
    }
}

fn options() -> ptrace::Options {
    use ptrace::Options;
    Options::PTRACE_O_TRACESYSGOOD | Options::PTRACE_O_TRACECLONE | Options::PTRACE_O_EXITKILL
}

const MARK: Signal = Signal::SIGUSR1;
