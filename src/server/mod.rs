//! The engine: one thread that serves all clients.
//!
//! | module | what is in it |
//! |---|---|
//! | `event_loop` | the loop: poll, read, decide, answer |
//! | `connection` | one socket: bytes in, frames out of them |
//! | `outbox` | answers on their way out |
//! | `subscriptions` | what subscribers hear, on its way out |
//! | `handshake` | who may come in, as what |
//! | `limits` | what clients may take of the engine |
//! | `dispatch` | requests to events, replies to responses: the only file that knows both |
//! | `refusals` | sentences for what is refused |
//! | `report` | the stats document |
//! | `clients` | the processes behind the connections |
//! | `clock` | the core's time, and the calendar's |

mod clients;
mod clock;
mod connection;
mod dispatch;
mod event_loop;
mod handshake;
mod limits;
mod outbox;
mod refusals;
mod report;
mod subscriptions;

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
use crate::error::{Exit, Failure};
use crate::keeper;
use event_loop::Engine;

/// Serves what the keeper hands over, until the keeper, the watched process or a signal ends it.
pub fn run() -> Result<(), Failure> {
    let channel = io::stdin().as_fd().try_clone_to_owned().map(UnixStream::from);
    let received = channel.and_then(|channel| Ok((keeper::receive_handover(&channel)?, channel)));
    let (handover, mut channel) = received.map_err(|error| {
        let what = format!("the engine is started by plasmad itself, not by hand ({error})");
        Failure::usage(what).hint("run `plasmad serve`")
    })?;
    start_log(&handover.config);
    let mut engine = Engine::new(handover, OwnedFd::from(clone(&channel)?))
        .map_err(|error| Failure::file("starting the engine", error))?;
    // A keeper that is gone shows as the end of the channel in the loop.
    let _ = channel.write_all(keeper::READY);
    engine.run().map_err(|error| Failure::new(Exit::Bug, "EngineFailed", format!("the engine stops: {error}")))
}

fn clone(channel: &UnixStream) -> Result<UnixStream, Failure> {
    channel.try_clone().map_err(|error| Failure::file("the keeper's channel", error))
}

fn start_log(config: &Config) {
    let filter = EnvFilter::try_new(&config.log_level).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).with_target(false);
    match config.log_format {
        LogFormat::Text => builder.with_ansi(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}
