//! What the client library's errors mean to a script.

use plasmad_client::{Error, Outcome};

use crate::error::{Exit, Failure};

/// An error of the client library as the end of a command.
pub(super) fn failure(error: Error) -> Failure {
    let message = error.to_string();
    let (exit, code) = match &error {
        Error::Timeout { .. } => (Exit::TimedOut, "GetTimeout"),
        Error::Full { .. } => (Exit::Full, "StoreFull"),
        Error::Limit { .. } => (Exit::Full, "LimitExceeded"),
        Error::NotFound { .. } => (Exit::NotFound, "ObjectNotFound"),
        Error::Exists { .. } => (Exit::State, "ObjectExists"),
        Error::NotSealed { .. } => (Exit::State, "ObjectNotSealed"),
        Error::WrongState { .. } => (Exit::State, "WrongState"),
        Error::AccessDenied { .. } => (Exit::Denied, "AccessDenied"),
        Error::Invalid { .. } => (Exit::Usage, "InvalidArgument"),
        Error::Connection { outcome: Outcome::NotDone, .. } => (Exit::Daemon, "NoDaemon"),
        Error::Connection { outcome: Outcome::Unknown, .. } => (Exit::Daemon, "DaemonLost"),
        Error::Lost { .. } => (Exit::File, "ObjectLost"),
        Error::Spill { .. } => (Exit::File, "SpillFailed"),
        Error::Interrupted => (Exit::Interrupted, "Interrupted"),
        _ => (Exit::Bug, "Internal"),
    };
    Failure::new(exit, code, message)
}
