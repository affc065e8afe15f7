//! Why there is no figure.

/// What measuring returns.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No row has this name.
    #[error("there is no row {name:?}; there are {}", known.join(", "))]
    UnknownRow {
        /// What was asked for.
        name: String,
        /// What could have been.
        known: Vec<&'static str>,
    },
    /// A row that was asked for by name can't be measured here.
    #[error("{row} can't be measured here: {reason}")]
    Impossible {
        /// The row.
        row: String,
        /// Why not.
        reason: String,
    },
    /// The watcher asked to stop.
    #[error("interrupted; nothing was left behind")]
    Interrupted,
    /// The store said no, or went away.
    #[error(transparent)]
    Store(#[from] plasmad_client::Error),
    /// The daemon didn't start, or didn't get the memory it should have.
    #[error("{0}")]
    Daemon(String),
    /// The system said no.
    #[error("{what}: {error}")]
    System {
        /// What was tried.
        what: String,
        /// The system's answer.
        error: std::io::Error,
    },
    /// A helper process ended early or said something else than it should.
    #[error("a helper process failed: {0}")]
    Helper(String),
}

impl Error {
    /// For `map_err`: the system said no to this.
    pub(crate) fn system<E: Into<std::io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> Self {
        let what = what.into();
        move |error| Self::System { what, error: error.into() }
    }
}
