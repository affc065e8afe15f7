//! What several kinds of tests share: random numbers, waiting for what must come, shared memory without lies, random clients.

mod pages;
mod pushers;
mod random;
pub(crate) mod until;
mod violation;
mod workload;

pub(crate) use pages::{Call, Pages};
pub(crate) use pushers::{At, Did, Hand, Late, Pushers, Then, own_id};
pub(crate) use random::Random;
pub(crate) use violation::{Checked, Violation, ensure, guarded, seeds};
pub(crate) use workload::Workload;
