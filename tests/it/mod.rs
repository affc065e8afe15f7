//! The real daemon, its real command line, and real clients: good ones, bad ones, dead ones.
//!
//! No test here is decided by how fast the machine is: each waits for what must come, with a deadline that only a
//! failure meets. Where a time was promised it is measured and printed; `--nocapture` shows it.
//!
//! | module | what is proven there |
//! |---|---|
//! | `client_death` | what a killed client held comes back |
//! | `waiting` | deadlines are kept, creates are served in line |
//! | `users` | readers can't write, strangers can't enter |
//! | `starting`, `stopping` | one daemon on one path; every end is clean, or says what was lost |
//! | `sealed` | what is sealed stays as it is |
//! | `memory` | what the daemon takes, and gives back |
//! | `many` | as many objects as there can be |
//! | `verbs` | every verb of the Rust client, with its errors |
//! | `requests` | order, pieces, and requests that make no sense |
//! | `command_*` | the command line: what it prints, how it exits |
//! | `raw`, `command`, `helpers`, `numbers` | what these tests are made of |

mod client_death;
mod command;
mod command_failures;
mod command_objects;
mod command_stats;
pub(crate) mod helpers;
mod many;
mod memory;
pub(crate) mod numbers;
pub(crate) mod raw;
mod requests;
mod sealed;
mod starting;
pub(crate) mod stopping;
mod users;
mod verbs;
mod waiting;
