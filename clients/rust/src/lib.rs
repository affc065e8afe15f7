//! Client of the plasmad object store: create, seal, get and share objects with other processes of this machine.
//!
//! A [`Store`] is a connection to the daemon that many threads may use. Objects are written once through a
//! [`Writer`] (or [`Store::put`]), and read without copying through a [`Buffer`], which keeps its object where it is
//! until it is dropped.
//!
//! ```
//! # fn main() -> plasmad_client::Result<()> {
//! # let daemon = plasmad_client::testing::Daemon::start();
//! # let path = daemon.socket();
//! use plasmad_client::{CreateOptions, Store, Timeout};
//!
//! let store = Store::connect(path)?;
//! let id = store.put(b"hello", &CreateOptions::default())?;
//! let hello = store.get(id, Timeout::NO_WAIT)?;
//! assert_eq!(&hello[..], b"hello");
//! # Ok(())
//! # }
//! ```
//!
//! | module | what is in it |
//! |---|---|
//! | `store` | [`Store`]: connecting, closing, fork, reconnecting |
//! | `verbs`, `get`, `put` | its verbs |
//! | `subscription` | hearing what happens, on a connection of its own |
//! | `writer`, `buffer` | the two kinds of object bytes |
//! | `reader` | [`Reader`]: many gets of one thread, at the least cost |
//! | `forks` | what is done around a fork, so that what children inherit stays |
//! | `fast`, `pinned` | what is done without the daemon; a claim, however it was made |
//! | `pushing`, `stock` | puts without the daemon; the places granted for them |
//! | `connection`, `outgoing`, `incoming` | requests and answers of many threads on one socket, without a thread of its own |
//! | `lately` | what is done again only after some milliseconds |
//! | `handshake`, `arena`, `session` | from a socket path to mapped memory |
//! | `socket` | the socket, in a process that may close it |
//! | [`id`], `error`, `options`, `timeout`, `interrupt` | what they speak of |

#![forbid(unsafe_code)]

mod arena;
mod buffer;
mod connection;
mod error;
mod fast;
mod forks;
mod get;
mod handshake;
pub mod id;
mod incoming;
mod interrupt;
mod lately;
mod options;
mod outgoing;
mod pinned;
mod pushing;
mod put;
mod reader;
mod session;
mod socket;
mod stock;
mod store;
mod subscription;
#[doc(hidden)]
pub mod testing;
mod timeout;
mod verbs;
mod writer;

pub use buffer::Buffer;
pub use error::{Error, Outcome, Pending, Result};
pub use options::{CreateOptions, Options, SubscribeOptions, default_socket_path};
pub use plasmad_wire::error::{Full, Holder};
pub use plasmad_wire::response::{Evicted, ExtentInfo, FilePlace, ObjectInfo, Pong};
pub use plasmad_wire::value::ObjectState;
pub use plasmad_wire::{Change, ChangeKind, Format, ObjectId, Role};
pub use reader::{Reader, View};
pub use store::{Store, Welcome};
pub use subscription::{Event, Subscription};
pub use timeout::Timeout;
pub use verbs::Listing;
pub use writer::Writer;
