//! Connecting, waiting, Ctrl-C: what a command does before and while it asks.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plasmad_client::{Options, Role, Store, Timeout};
use signal_hook::consts::SIGINT;

use super::failures::failure;
use crate::error::Failure;

/// Where a command will connect.
pub(super) struct Session {
    socket: Option<PathBuf>,
}

impl Session {
    pub(super) fn new(socket: Option<PathBuf>) -> Self {
        Self { socket }
    }

    /// Connects for a command, within half a second.
    pub(super) fn connect(&self, command: &str, role: Role) -> Result<Store, Failure> {
        self.connect_within(command, role, Duration::from_millis(500))
    }

    pub(super) fn connect_within(&self, command: &str, role: Role, time: Duration) -> Result<Store, Failure> {
        let stop = Arc::new(AtomicBool::new(false));
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
