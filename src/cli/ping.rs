//! `plasmad ping`: is anybody there?

use std::time::{Duration, Instant};

use clap::Args;
use plasmad_client::{Role, Timeout};
use serde_json::json;

use super::failures::failure;
use super::output::Output;
use super::session::{Session, seconds};
use crate::error::{Exit, Failure};

/// Ask whether the daemon answers
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Ping {
    /// How long to wait for an answer, in seconds
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    timeout: Timeout,
}

impl Ping {
    pub(super) fn run(self, session: &Session, output: &Output) -> Result<(), Failure> {
        let time = match self.timeout {
            Timeout::None => Duration::MAX / 4,
            Timeout::After(time) => time,
        };
        let store = session.connect_within("ping", Role::Reader, time)?;
        // A daemon that is stopped in the middle would keep a ping waiting for ever.
        let give_up = Instant::now() + time.min(Duration::from_secs(3600));
        let store = store.with_interrupt(std::sync::Arc::new(move || Instant::now() >= give_up));
        let start = Instant::now();
        let pong = store.ping().map_err(|error| match error {
            plasmad_client::Error::Interrupted => {
                Failure::new(Exit::Daemon, "NoDaemon", "the daemon took the connection but doesn't answer")
            }
            error => failure(error),
        })?;
        let rtt = start.elapsed().as_secs_f64();
        let document = json!({ "rtt_seconds": rtt, "epoch": pong.epoch, "ready": pong.ready });
        output.answer(document, || format!("answered in {:.0} us\n", rtt * 1e6))
    }
}

const EXAMPLES: &str = "\
Examples:
  plasmad ping                                is it there?
  plasmad ping --timeout 10                   wait for one that is just starting";
