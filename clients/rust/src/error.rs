//! What can go wrong, each with a plain sentence: what, which id, which limit, what to do.
//!
//! Invariant: an error says who has to act. The daemon's sentence is kept wherever it sent one.

use plasmad_wire::ObjectId;
use plasmad_wire::error::{ErrorBody, ErrorCode, Full};

/// What the verbs of this library return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a verb failed.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The time was up before all objects were there; what was found is unpinned again. Or before a subscriber heard
    /// of anything.
    #[error("{}", timeout_sentence(pending))]
    Timeout {
        /// Each object that was missing, and how; none for a subscriber.
        pending: Vec<(ObjectId, Pending)>,
    },
    /// No room, now or ever.
    #[error("{message}")]
    Full {
        /// The daemon's sentence.
        message: String,
        /// How much was asked, is free, is pinned, and by whom.
        numbers: Full,
    },
    /// Nothing has this id.
    #[error("{message}")]
    NotFound {
        /// The id.
        id: ObjectId,
        /// The daemon's sentence.
        message: String,
    },
    /// The id is taken, by a sealed object or by one that is being written.
    #[error("{message}")]
    Exists {
        /// The id.
        id: ObjectId,
        /// The daemon's sentence.
        message: String,
    },
    /// The object is still being written.
    #[error("{message}")]
    NotSealed {
        /// The id.
        id: ObjectId,
        /// The daemon's sentence.
        message: String,
    },
    /// This connection's role, or this process, may not do that.
    #[error("{message}")]
    AccessDenied {
        /// The sentence.
        message: String,
    },
    /// A limit of the protocol or of the store.
    #[error("{message}")]
    Limit {
        /// The sentence; it names the limit.
        message: String,
    },
    /// An argument that means nothing, whatever the store's state.
    #[error("{message}")]
    Invalid {
        /// The sentence.
        message: String,
    },
    /// The store, or the subscription, was closed here.
    #[error("this was closed here, or its store was: connect or subscribe again to go on")]
    Closed,
    /// The object's bytes are gone for good.
    #[error("{message}")]
    Lost {
        /// The id, where the daemon named it.
        id: Option<ObjectId>,
        /// The daemon's sentence.
        message: String,
    },
    /// Reading or writing the daemon's disk failed.
    #[error("{message}")]
    Spill {
        /// The daemon's sentence.
        message: String,
    },
    /// There is no daemon, or it went away.
    #[error("{message}")]
    Connection {
        /// What became of the request.
        outcome: Outcome,
        /// The sentence.
        message: String,
    },
    /// The interrupt hook asked to stop. Nothing is left behind: no pin, no waiting request.
    #[error("interrupted while waiting for the store; nothing was left behind")]
    Interrupted,
    /// The object, writer or pin isn't in a state that allows this.
    #[error("{message}")]
    WrongState {
        /// The sentence.
        message: String,
    },
    /// The other side doesn't speak this protocol, or not this version of it.
    #[error("{message}")]
    Protocol {
        /// The sentence.
        message: String,
    },
    /// A mistake of the daemon's own.
    #[error("{message}")]
    Internal {
        /// The daemon's sentence.
        message: String,
    },
}

/// What became of a request whose connection failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// It never reached the daemon: asking again is safe.
    NotDone,
    /// It was sent and not answered: it may have been done.
    Unknown,
}

/// Why an object was not there in time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pending {
    /// Nothing has this id: never made, aborted, deleted or evicted.
    Absent,
    /// Created, not sealed yet.
    Unsealed,
    /// On its way back from disk.
    Restoring,
}

impl Error {
    pub(crate) fn not_done(message: impl Into<String>) -> Self {
        Self::Connection { outcome: Outcome::NotDone, message: message.into() }
    }

    pub(crate) fn protocol(message: impl Into<String>) -> Self {
        Self::Protocol { message: message.into() }
    }

    pub(crate) fn limit(message: impl Into<String>) -> Self {
        Self::Limit { message: message.into() }
    }

    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::Invalid { message: message.into() }
    }

    pub(crate) fn wrong_state(message: impl Into<String>) -> Self {
        Self::WrongState { message: message.into() }
    }
}

impl From<ErrorBody> for Error {
    fn from(body: ErrorBody) -> Self {
        let ErrorBody { code, id, message, full } = body;
        // A refusal that is about an object names it; one that doesn't is the daemon's mistake.
        let about = |make: fn(ObjectId, String) -> Self, message| match id {
            Some(id) => make(id, message),
            None => Self::Protocol { message },
        };
        match code {
            ErrorCode::ObjectExists => about(|id, message| Self::Exists { id, message }, message),
            ErrorCode::ObjectNotFound => about(|id, message| Self::NotFound { id, message }, message),
            ErrorCode::ObjectNotSealed => about(|id, message| Self::NotSealed { id, message }, message),
            ErrorCode::StoreFull => match full {
                Some(numbers) => Self::Full { message, numbers },
                None => Self::Protocol { message },
            },
            ErrorCode::AccessDenied => Self::AccessDenied { message },
            ErrorCode::LimitExceeded => Self::Limit { message },
            ErrorCode::Cancelled => Self::Interrupted,
            ErrorCode::NotHeld => Self::WrongState { message },
            ErrorCode::ShuttingDown => Self::Connection { outcome: Outcome::NotDone, message },
            ErrorCode::SpillFailed => Self::Spill { message },
            ErrorCode::ObjectLost => Self::Lost { id, message },
            ErrorCode::Internal => Self::Internal { message },
            ErrorCode::Malformed | ErrorCode::UnsupportedVersion | ErrorCode::UnknownRequest => {
                Self::Protocol { message }
            }
        }
    }
}

fn timeout_sentence(pending: &[(ObjectId, Pending)]) -> String {
    if pending.is_empty() {
        return "the time was up and nothing had happened".to_owned();
    }
    let described = |(id, why): &(ObjectId, Pending)| match why {
        Pending::Absent => format!("{id} (absent)"),
        Pending::Unsealed => format!("{id} (created, not sealed yet)"),
        Pending::Restoring => format!("{id} (coming back from disk)"),
    };
    let named: Vec<String> = pending.iter().take(NAMED_MAX).map(described).collect();
    let rest = match pending.len().saturating_sub(NAMED_MAX) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let objects = if pending.len() == 1 { "object was" } else { "objects were" };
    format!("the time was up and {} {objects} not there: {}{rest}", pending.len(), named.join(", "))
}

/// Objects a timeout's sentence names; the rest are in the error itself.
const NAMED_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timeout_names_a_few_objects_and_counts_the_rest() {
        let pending = |count| Error::Timeout { pending: vec![(ObjectId::new([7; 28]), Pending::Unsealed); count] };
        assert!(pending(1).to_string().contains(&"07".repeat(28)));
        assert!(pending(1).to_string().contains("1 object was not there"));
        assert!(pending(9).to_string().ends_with("and 5 more"));
        assert_eq!(pending(0).to_string(), "the time was up and nothing had happened");
    }

    #[test]
    fn every_refusal_keeps_the_daemons_sentence() {
        for &code in ErrorCode::ALL.iter().filter(|&&code| code != ErrorCode::Cancelled) {
            let body = ErrorBody { code, id: Some(ObjectId::new([1; 28])), message: "so it is".into(), full: None };
            assert_eq!(Error::from(body).to_string(), "so it is");
        }
    }
}
