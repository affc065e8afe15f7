//! Connecting, waiting, Ctrl-C: what a command does before and while it asks.

use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use plasmad_client::{Error, Options, Role, Store, Timeout};
use signal_hook::consts::SIGINT;

use super::failures::failure;
use super::progress::Progress;
use crate::error::Failure;

/// Where a command will connect, and whether it was told to stop.
pub(super) struct Session {
    socket: Option<PathBuf>,
    stop: Arc<AtomicBool>,
}

impl Session {
    pub(super) fn new(socket: Option<PathBuf>) -> Self {
        Self { socket, stop: Arc::default() }
    }

    /// Connects for a command, within half a second.
    pub(super) fn connect(&self, command: &str, role: Role) -> Result<Store, Failure> {
        self.connect_within(command, role, Duration::from_millis(500))
    }

    pub(super) fn connect_within(&self, command: &str, role: Role, time: Duration) -> Result<Store, Failure> {
        let stop = self.stop.clone();
        // A second Ctrl-C ends the process at once, should the first not be enough.
        let registered = signal_hook::flag::register_conditional_default(SIGINT, stop.clone())
            .and_then(|_| signal_hook::flag::register(SIGINT, stop.clone()));
        registered.map_err(|error| Failure::file("signals", error))?;
        let mut options = Options::new().role(role).label(&format!("plasmad {command}")).connect_timeout(time);
        if let Some(socket) = &self.socket {
            options = options.socket(socket);
        }
        options.interrupt(Arc::new(move || stop.load(Ordering::Relaxed))).connect().map_err(failure)
    }

    /// All of standard input; Ctrl-C ends the wait for it.
    pub(super) fn read_input(&self, mut progress: Progress) -> Result<Vec<u8>, Failure> {
        let mut stdin = io::stdin().lock();
        let mut data = Vec::new();
        let mut part = vec![0; INPUT_BYTES];
        loop {
            self.check()?;
            let mut waiting = [PollFd::new(stdin.as_fd(), PollFlags::POLLIN)];
            // A read would be taken up again behind a signal, for ever.
            let tick = PollTimeout::try_from(TICK).unwrap_or(PollTimeout::ZERO);
            let ready = match poll(&mut waiting, tick) {
                Ok(ready) => ready > 0,
                Err(Errno::EINTR) => false,
                Err(error) => return Err(Failure::file("standard input", error.into())),
            };
            if ready {
                match stdin.read(&mut part).map_err(|error| Failure::file("standard input", error))? {
                    0 => return Ok(data),
                    bytes => {
                        data.extend_from_slice(&part[..bytes]);
                        progress.advance(bytes);
                    }
                }
            }
        }
    }

    fn check(&self) -> Result<(), Failure> {
        if self.stop.load(Ordering::Relaxed) { Err(failure(Error::Interrupted)) } else { Ok(()) }
    }

    /// Does nothing for a while; Ctrl-C ends it.
    pub(super) fn pause(&self, time: Duration) -> Result<(), Failure> {
        let start = Instant::now();
        loop {
            self.check()?;
            let left = time.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Ok(());
            }
            std::thread::sleep(left.min(TICK));
        }
    }
}

/// Reads a timeout in seconds.
pub(super) fn seconds(text: &str) -> Result<Timeout, String> {
    match text.parse::<f64>() {
        Ok(seconds) if seconds >= 0.0 => {
            // Beyond what a duration holds is for ever.
            Ok(Duration::try_from_secs_f64(seconds).map_or(Timeout::None, Timeout::After))
        }
        _ => Err(format!("{text:?} is no time: write seconds, 0 or more")),
    }
}

/// How long Ctrl-C may go unnoticed.
const TICK: Duration = Duration::from_millis(50);
/// Read at once; more than the standard library buffers, so that nothing is left there unseen.
const INPUT_BYTES: usize = 1 << 20;
